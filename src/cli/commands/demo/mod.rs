//! `easycluster demo`: the whole thing on this machine, over real SSH on loopback, explained while it runs.

#[doc(hidden)]
pub mod embedded_sshd;
mod other_ways;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use russh::keys::ssh_key::LineEnding;
use tokio::sync::watch;

use crate::cli::commands::demo::embedded_sshd::{EmbeddedSshd, generate_ed25519};
use crate::cli::terminal::failure::{Failure, tell};
use crate::cli::terminal::stop::Stopper;
use crate::spec::{ConfigChoice, ConnectionSpec, Host};
use crate::{Client, Cluster, Error, RemoteObject};

const AFTERWARDS: &str = "\
Now try it with a machine of your own. It needs sshd, and Python 2.6 or newer for all but shell commands.

  In a shell:
    easycluster ping you@yourbox
    easycluster exec you@yourbox -- uptime
    easycluster run you@yourbox -c 'import platform; print(platform.platform())'
  and with many:
    easycluster exec -l you 'web[01-20]' -- uptime
    easycluster exec -I hosts.ini 'web:!web03' --gather -- uname -r

  In Python, once `pip install .` has installed the package:
    python3 -c \"import easycluster; print(easycluster.Client.from_spec('you@yourbox').os.getpid())\"
  and with many:
    clients = easycluster.connect_multi(easycluster.hosts('you@web[01-20]'))

  In Rust, in the folder of this project:
    cargo run --example hello -- you@yourbox
  and in a program of yours:
    let client = Client::from_spec(\"you@yourbox\").await?;
";

/// What is defined on the remote side; shown to the user unchanged.
const DEFINITIONS: &str = "\
import os, time

def add(a, b):
    return a + b

def slow_square(n):
    time.sleep(0.5)
    return n * n, os.getpid()

class Counter(ServerObject):
    def __init__(self, start):
        self.value = start
    def increment(self):
        self.value += 1
        return self.value

def average(numbers):
    return sum(numbers) / len(numbers)
";

/// See it work on this machine, over real SSH to a temporary server
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run the remote side under this interpreter
    #[arg(long, value_name = "PYTHON")]
    rpython: Option<String>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<i32, Failure> {
    crate::cli::runtime()?.block_on(async {
        let mut stopper = Stopper::new(watch::Sender::new(false).subscribe());
        let stage = Stage::build().await?;
        let shown = tokio::select! {
            shown = show(&stage, arguments.rpython.clone()) => shown.map(|()| crate::cli::terminal::failure::OK),
            _ = stopper.wait() => Ok(stopper.reason().map_or(0, |stop| stop.exit_code())),
        };
        stage.clear().await;
        shown
    })
}

/// The server and the temporary files; all of it is gone after `clear`.
struct Stage {
    server: EmbeddedSshd,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn build() -> Result<Stage, Failure> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: std::io::Error| Failure::here(format!("{what}: {error}"))
        };
        let folder = tempfile::tempdir().map_err(failed("cannot make a temporary folder"))?;
        let key = generate_ed25519().map_err(failed("cannot make a key"))?;
        let server = EmbeddedSshd::start(key.public_key().clone())
            .await
            .map_err(failed("cannot start a server on 127.0.0.1"))?;
        let text = key
            .to_openssh(LineEnding::LF)
            .map_err(|error| Failure::here(error.to_string()))?;
        let line = server
            .known_hosts_line()
            .map_err(failed("cannot write the host key"))?;
        write_private(&folder.path().join("key"), text.as_bytes())
            .and_then(|()| write_private(&folder.path().join("known_hosts"), line.as_bytes()))
            .map_err(failed("cannot write a temporary file"))?;
        Ok(Stage { server, folder })
    }

    /// How to connect to the server. Nothing of the user's own SSH configuration takes part.
    fn spec(&self, rpython: Option<String>) -> ConnectionSpec {
        let user = std::env::var("USER").unwrap_or_else(|_| "demo".to_owned());
        let mut spec = ConnectionSpec::for_host(Host::V4(std::net::Ipv4Addr::LOCALHOST));
        spec.user = Some(user);
        spec.port = Some(self.server.address().port());
        spec.identity = Some(self.folder.path().join("key"));
        spec.known_hosts = Some(self.folder.path().join("known_hosts"));
        spec.config = Some(ConfigChoice::None);
        spec.batch = Some(true);
        spec.rpython = rpython;
        spec
    }

    async fn clear(self) {
        self.server.shutdown().await;
    }
}

fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(content)
}

/// The demo, step by step.
async fn show(stage: &Stage, rpython: Option<String>) -> Result<(), Failure> {
    let parsed = stage.spec(rpython);
    let spec = parsed.to_canonical();
    heading("A server");
    say(&format!(
        "This program's own SSH server listens on {}, with a key made for this demo.\n\
         Its connection spec, the only thing that differs for your own machine:\n",
        stage.server.address()
    ));
    source(&spec);

    heading("In Rust: connect");
    call("let client = Client::from_spec(SPEC).await?;");
    let started = Instant::now();
    let client = Client::from_spec(&spec).await?;
    let hello = client.ready().await?;
    result(&format!(
        "Python {} as process {} after {} ms: {}",
        hello.python_version(),
        hello.pid,
        started.elapsed().as_millis(),
        hello.executable
    ));
    say(
        "This time includes the SSH login, the upload of the stub and the start of Python. Nothing was installed.\n",
    );

    functions(&client).await?;
    objects(&client).await?;
    at_once(&spec, &client).await?;
    errors(&client).await?;
    client.close().await;

    other_ways::by_python(stage.folder.path(), &parsed).await?;
    other_ways::by_the_program(stage.folder.path(), &parsed).await?;

    heading("Your turn");
    say(AFTERWARDS);
    Ok(())
}

async fn functions(client: &Client) -> Result<(), Error> {
    heading("Functions");
    say("You can send any Python source:\n");
    source(DEFINITIONS);
    source("client.define(SOURCE).await?;");
    client.define(DEFINITIONS).await?;
    call("client.call(\"add\", (20, 22))");
    let sum: i64 = client.call("add", (20, 22)).await?;
    result(&sum.to_string());
    say(
        "You can call anything that the remote Python has by its name, and evaluate expressions:\n",
    );
    call("client.call(\"os.path.basename\", (\"/etc/ssh/sshd_config\",))");
    let name: String = client
        .call("os.path.basename", ("/etc/ssh/sshd_config",))
        .await?;
    result(&format!("{name:?}"));
    call("client.eval(\"[add(n, n) for n in range(5)]\")");
    let doubled: Vec<i64> = client.eval("[add(n, n) for n in range(5)]").await?;
    result(&format!("{doubled:?}"));
    Ok(())
}

async fn objects(client: &Client) -> Result<(), Error> {
    heading("Objects");
    say("A server object stays on the server; here is a handle to it:\n");
    source("let counter: RemoteObject = client.call(\"Counter\", (41,)).await?;");
    let counter: RemoteObject = client.call("Counter", (41,)).await?;
    call("counter.call(\"increment\", ())");
    let value: i64 = counter.call("increment", ()).await?;
    result(&value.to_string());
    call("counter.get(\"value\")");
    let value: i64 = counter.get("value").await?;
    result(&value.to_string());
    Ok(())
}

async fn at_once(spec: &str, first: &Client) -> Result<(), Failure> {
    heading("Many at once");
    say(
        "Four clients are four remote processes; with four specs they are four machines.\n\
         Each sleeps half a second and squares a number:\n",
    );
    call("cluster.call(\"slow_square\", (12,))");
    let mut clients = vec![first.clone()];
    for _ in 0..3 {
        clients.push(Client::from_spec(spec).await?);
    }
    let cluster = Cluster::from(clients);
    for defined in cluster.define(DEFINITIONS).await {
        defined?;
    }
    let started = Instant::now();
    let answers: Vec<Result<(i64, i64), Error>> = cluster.call("slow_square", (12,)).await;
    let elapsed = started.elapsed();
    let mut lines = String::new();
    for answer in answers {
        let (square, process) = answer?;
        lines.push_str(&format!("{square} from process {process}\n"));
    }
    result(&format!(
        "{lines}all four after {:.2} s",
        elapsed.as_secs_f64()
    ));
    for client in cluster.clients().iter().skip(1) {
        client.clone().close().await;
    }
    Ok(())
}

async fn errors(client: &Client) -> Result<(), Failure> {
    heading("Errors");
    say("A remote exception arrives with its traceback, source lines included:\n");
    call("client.call(\"average\", ([],))");
    let none: Vec<f64> = Vec::new();
    match client.call::<f64>("average", (none,)).await {
        Err(Error::Remote(error)) => result(error.traceback.concat().trim_end()),
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(Failure::here("the average of nothing should have failed")),
    }
    say("A call that takes too long is stopped on the server, and the error shows where it was:\n");
    call("client.call(\"time.sleep\", (60,)).timeout(Duration::from_millis(300))");
    let limit = Duration::from_millis(300);
    match client.call::<()>("time.sleep", (60,)).timeout(limit).await {
        Err(error @ Error::Timeout { .. }) => result(&error.to_string()),
        Err(error) => return Err(error.into()),
        Ok(()) => return Err(Failure::here("a minute should take longer")),
    }
    say("The connection still works:\n");
    call("client.call(\"add\", (\"still \", \"here\"))");
    let text: String = client.call("add", ("still ", "here")).await?;
    result(&format!("{text:?}"));
    Ok(())
}

fn heading(text: &str) {
    let bold = anstyle::Style::new().bold();
    tell(&format!("{bold}{text}{bold:#}\n\n"));
}

fn say(text: &str) {
    tell(&format!("{text}\n"));
}

/// Source, indented.
fn source(text: &str) {
    call(text);
    tell("\n");
}

/// What is run, indented; its result follows.
fn call(text: &str) {
    let cyan = anstyle::AnsiColor::Cyan.on_default();
    for line in text.lines() {
        match line {
            "" => tell("\n"),
            line => tell(&format!("    {cyan}{line}{cyan:#}\n")),
        }
    }
}

/// The result.
fn result(text: &str) {
    let safe = crate::error::printable(text);
    let lines: Vec<String> = safe
        .lines()
        .map(|line| format!("    -> {line}\n"))
        .collect();
    tell(&format!("{}\n", lines.concat()));
}
