//! Systems with neither systemd nor another known service manager: an init script as the Linux
//! Standard Base wants it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use crate::process::{self, Command};

/// Init scripts under a root, `/` or a folder that stands for it.
#[derive(Debug)]
pub struct SysV {
    root: PathBuf,
}

/// Some words of a command line.
type Words = &'static [&'static str];

/// What registers init scripts for boot: the program, and its words before and after the name, to
/// add and to remove.
const REGISTRARS: [(&str, Words, Words, Words, Words); 3] = [
    ("update-rc.d", &[], &["defaults"], &["-f"], &["remove"]),
    ("chkconfig", &["--add"], &[], &["--del"], &[]),
    ("/usr/lib/lsb/install_initd", &[], &[], &[], &[]),
];

impl SysV {
    /// Init scripts under `root`.
    pub fn new(root: &Path) -> Self {
        SysV { root: root.into() }
    }

    /// The init script.
    pub fn script(&self) -> PathBuf {
        self.root.join("etc/init.d").join(super::NAME)
    }

    fn pidfile(&self) -> PathBuf {
        self.root.join("var/run/easycluster.pid")
    }

    /// Writes the init script and registers it for boot.
    ///
    /// # Errors
    /// Where the script cannot be written or nothing registers it.
    pub fn install(&self, program: &OsStr, arguments: &[OsString]) -> io::Result<()> {
        let script = self.script();
        let text = self.text(program, arguments)?;
        crate::files::replace(&script, text.as_bytes(), 0o755)?;
        self.register(true)
    }

    /// Unregisters the init script and removes it.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn uninstall(&self) -> io::Result<()> {
        // The links go with the script: most registrars want it gone first, some want it there.
        let registered = self.register(false);
        std::fs::remove_file(self.script())?;
        registered
    }

    /// Starts the service.
    ///
    /// # Errors
    /// What the script says.
    pub fn start(&self) -> io::Result<()> {
        self.run("start")
    }

    /// Stops the service.
    ///
    /// # Errors
    /// What the script says.
    pub fn stop(&self) -> io::Result<()> {
        self.run("stop")
    }

    /// Whether the service runs.
    ///
    /// # Errors
    /// Where the script cannot be started.
    pub fn running(&self) -> io::Result<bool> {
        let mut script = process::program(self.script());
        script.arg("status");
        process::succeeds(script)
    }

    fn run(&self, verb: &str) -> io::Result<()> {
        let mut script = process::program(self.script());
        script.arg(verb);
        outcome(script)
    }

    fn register(&self, add: bool) -> io::Result<()> {
        if self.root != Path::new("/") {
            // A folder that stands for the root has no boot.
            return Ok(());
        }
        for (program, before, after, remove_before, remove_after) in REGISTRARS {
            let (program, before, after) = match (add, program) {
                (true, _) => (program, before, after),
                (false, "/usr/lib/lsb/install_initd") => {
                    ("/usr/lib/lsb/remove_initd", remove_before, remove_after)
                }
                (false, _) => (program, remove_before, remove_after),
            };
            let mut command = process::program(program);
            command.args(before).arg(super::NAME).args(after);
            match outcome(command) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => return other,
            }
        }
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            "no program here registers init scripts (tried update-rc.d, chkconfig, install_initd)",
        ))
    }

    fn text(&self, program: &OsStr, arguments: &[OsString]) -> io::Result<String> {
        let mut line = String::new();
        for word in std::iter::once(program).chain(arguments.iter().map(OsString::as_os_str)) {
            let word = word.to_string_lossy();
            let word = shlex::try_quote(&word).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidInput, "an argument with a NUL")
            })?;
            line.push_str(&word);
            line.push(' ');
        }
        let pidfile = self.pidfile();
        Ok(SCRIPT
            .replace("@PIDFILE@", &pidfile.to_string_lossy())
            .replace("@COMMAND@", line.trim_end()))
    }
}

fn outcome(command: Command) -> io::Result<()> {
    let done = process::run(command)?;
    if done.status.success() {
        return Ok(());
    }
    let said = [done.stderr, done.stdout].concat();
    Err(io::Error::other(
        String::from_utf8_lossy(&said).trim().to_owned(),
    ))
}

/// Exit codes are those of the Linux Standard Base: 3 is "not running".
const SCRIPT: &str = r#"#!/bin/sh
# chkconfig: 345 99 01
# description: Standalone server of easycluster
### BEGIN INIT INFO
# Provides:          easycluster
# Required-Start:    $remote_fs $network
# Required-Stop:     $remote_fs $network
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Standalone server of easycluster
### END INIT INFO

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
PIDFILE='@PIDFILE@'

# Whether the process of this number is the server: where it ended otherwise, the number may be that of any other by now.
ours() {
    if [ -r "/proc/$1/cmdline" ]; then
        tr '\000' ' ' < "/proc/$1/cmdline"
    else
        ps -p "$1" -o args=
    fi 2>/dev/null | grep -F -e "-P $PIDFILE" >/dev/null
}

running() {
    pid=$(cat "$PIDFILE" 2>/dev/null) || return 1
    case "$pid" in '' | *[!0-9]*) return 1 ;; esac
    kill -0 "$pid" 2>/dev/null && ours "$pid"
}

start() {
    running && { echo "easycluster is already running."; return 0; }
    @COMMAND@ -d -P "$PIDFILE"
}

stop() {
    running || { echo "easycluster is not running."; return 0; }
    kill "$pid" || return 1
    tries=0
    while kill -0 "$pid" 2>/dev/null && ours "$pid"; do
        tries=$((tries + 1))
        [ "$tries" -gt 150 ] && { echo "easycluster does not end."; return 1; }
        sleep 0.1 2>/dev/null || sleep 1
    done
    rm -f "$PIDFILE"
}

case "$1" in
    start) start ;;
    stop) stop ;;
    restart) stop && start ;;
    reload | force-reload) running && kill -HUP "$pid" ;;
    status)
        if running; then
            echo "easycluster is running."
        else
            echo "easycluster is not running."
            exit 3
        fi
        ;;
    *)
        echo "Usage: $0 {start|stop|restart|reload|force-reload|status}" >&2
        exit 2
        ;;
esac
"#;
