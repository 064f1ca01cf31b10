//! Steps between the login and the interpreter, on machines of their own: real sudo, su, doas, chroot, nsenter, ssh.

mod commands;
mod containers;
mod ending;
mod files;
mod pods;
mod program;
mod round_trips;
mod secrets;
mod sudo;
mod terminal;
mod transports;
mod ways;

use std::sync::{Arc, Mutex};

use easycluster::connection::ConnectOptions;
use easycluster::spec::{Password, Step};
use easycluster::{
    Client, ConnectError, ConnectionSpec, Error, OutputSink, Prompter, Question, TransportOptions,
};

use crate::support::Machine;

/// The password of every account.
pub const SESAME: &str = "open-Sesame-1";

/// Accounts, and what sudoers and doas.conf say of each.
const SETUP: &str = "
for user in alice nopass mallory wtty both wpty lect one bob; do
    useradd -m -s /bin/bash $user; echo $user:open-Sesame-1; done | chpasswd
cat >/etc/sudoers <<'END'
Defaults env_reset, timestamp_timeout=5
Defaults:wtty requiretty
Defaults:both requiretty, use_pty, log_output
Defaults:wpty use_pty, log_output
Defaults:lect lecture=always
root ALL=(ALL) ALL
alice ALL=(ALL) ALL
wpty ALL=(ALL) ALL
both ALL=(ALL) ALL
lect ALL=(ALL) ALL
nopass ALL=(ALL) NOPASSWD: ALL
wtty ALL=(ALL) NOPASSWD: ALL
one ALL=(bob) NOPASSWD: ALL
END
chmod 440 /etc/sudoers
cat >/etc/doas.conf <<'END'
permit nopass \"nopass\"
permit alice
END
chmod 400 /etc/doas.conf
";

pub fn machine() -> Option<Machine> {
    Machine::start(SETUP)
}

pub fn options() -> ConnectOptions {
    ConnectOptions::default().with_output(OutputSink::discard())
}

/// With somebody who gives these answers, and what was asked.
pub fn answering(answers: &[&str]) -> (ConnectOptions, Arc<Mutex<Vec<Question>>>) {
    let mut left: Vec<String> = answers
        .iter()
        .rev()
        .map(|text| (*text).to_owned())
        .collect();
    let left = Mutex::new(std::mem::take(&mut left));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let prompter: Prompter = Arc::new(move |question| {
        seen.lock().unwrap().push(question.clone());
        left.lock().unwrap().pop()
    });
    let transport = TransportOptions::default().with_prompter(prompter);
    (options().with_transport(transport), asked)
}

pub fn spec(machine: &Machine, user: &str, then: &str) -> ConnectionSpec {
    machine.spec(user, &format!("then={then}")).parse().unwrap()
}

/// The same with this password for each step by sudo.
pub fn with_password(spec: ConnectionSpec, password: &str) -> ConnectionSpec {
    spec.with_sudo_password(&Password::given(password))
}

/// Connects, and says who it is there.
pub async fn who(spec: &ConnectionSpec, options: ConnectOptions) -> Result<String, Error> {
    let client = Client::connect(spec, options).await?;
    client.ready().await?;
    client
        .eval("__import__('pwd').getpwuid(__import__('os').getuid()).pw_name")
        .await
}

pub async fn failure(spec: &ConnectionSpec, options: ConnectOptions) -> ConnectError {
    match who(spec, options).await {
        Err(Error::Connect(error)) => *error,
        other => panic!("no connect error: {other:?}"),
    }
}

pub fn su(user: &str, password: &str) -> Step {
    let step: Step = format!("su/{user}").parse().unwrap();
    step.with_password(Password::given(password))
}
