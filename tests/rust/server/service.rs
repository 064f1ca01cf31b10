//! The server as a service: a user's under systemd in a folder of the test's own, an init script
//! under a root of its own, and the refusal without rights.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use easycluster::service::SysV;

use crate::server::process::{program, say};

/// The program with a home of its own, and a systemctl that works on files alone.
fn at_home(home: &Path, arguments: &[&str]) -> std::process::Output {
    program()
        .args(arguments)
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("SYSTEMD_OFFLINE", "1")
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .unwrap()
}

/// Every file and link below a folder.
fn files(folder: &Path) -> Vec<String> {
    let done = Command::new("find")
        .arg(folder)
        .args(["!", "-type", "d"])
        .output()
        .unwrap();
    let mut found: Vec<_> = say(&done).lines().map(str::to_owned).collect();
    found.sort();
    found
}

#[test]
fn a_users_service_comes_and_goes() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| at_home(home.path(), arguments);

    let done = run(&["service", "status", "--user"]);
    assert_eq!(done.status.code(), Some(1), "{}", say(&done));
    let done = run(&["service", "start", "--user"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(say(&done).contains("not installed"), "{}", say(&done));

    let done = run(&[
        "service",
        "install",
        "--user",
        "-p",
        "4711",
        "-b",
        "127.0.0.1",
        "-v",
    ]);
    assert!(done.status.success(), "{}", say(&done));
    let unit = home.path().join("config/systemd/user/easycluster.service");
    let text = std::fs::read_to_string(&unit).unwrap();
    let key = home.path().join("config/easycluster/service.key");
    for word in [
        "-p 4711",
        "-b 127.0.0.1",
        "-v",
        "Type=notify",
        key.to_str().unwrap(),
    ] {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
    assert_eq!(
        std::fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let wanted = home
        .path()
        .join("config/systemd/user/default.target.wants/easycluster.service");
    assert!(wanted.is_symlink(), "{:?}", files(home.path()));
    let checked = Command::new("systemd-analyze")
        .args(["verify", "--user", "--man=no"])
        .arg(&unit)
        .env("XDG_RUNTIME_DIR", home.path())
        .output()
        .unwrap();
    assert!(!say(&checked).contains("easycluster"), "{}", say(&checked));
    assert_eq!(run(&["service", "status", "--user"]).status.code(), Some(0));

    // Installed again, it keeps its key.
    let first = std::fs::read(&key).unwrap();
    assert!(run(&["service", "install", "--user"]).status.success());
    assert_eq!(std::fs::read(&key).unwrap(), first);
    assert!(
        run(&["service", "install", "--user", "-O"])
            .status
            .success()
    );
    assert_ne!(std::fs::read(&key).unwrap(), first);

    let done = run(&["service", "uninstall", "--user"]);
    assert!(done.status.success(), "{}", say(&done));
    assert_eq!(files(home.path()), Vec::<String>::new());
    let done = run(&["service", "uninstall", "--user"]);
    assert!(say(&done).contains("not installed"), "{}", say(&done));
}

/// Where the machine was not started by systemd, nothing starts a service of it, however well it is installed.
#[test]
fn a_service_that_nothing_starts_here_says_so() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| at_home(home.path(), arguments);
    let hint = "easycluster serve -d -k ";
    let booted = Path::new("/run/systemd/system").exists();
    let done = run(&["service", "install", "--user"]);
    assert!(done.status.success(), "{}", say(&done));
    let warned = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(warned.contains(hint), !booted, "{warned}");
    assert_eq!(
        say(&done).contains("starts at boot"),
        booted,
        "{}",
        say(&done)
    );
    let done = run(&["service", "start", "--user"]);
    assert_eq!(done.status.code(), Some(1), "{}", say(&done));
    assert_eq!(say(&done).contains(hint), !booted, "{}", say(&done));
    let done = run(&["service", "uninstall", "--user"]);
    assert!(done.status.success(), "{}", say(&done));
}

#[test]
fn an_init_script_starts_and_stops_a_real_server() {
    let root = tempfile::tempdir().unwrap();
    for folder in ["etc/init.d", "var/run"] {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    let key = root.path().join("a key file");
    assert!(program().arg("-g").arg(&key).status().unwrap().success());
    let sysv = SysV::new(root.path());
    let arguments: Vec<OsString> = ["-S", "-b", "127.0.0.1", "-p", "0", "-k"]
        .iter()
        .map(Into::into)
        .chain([key.into_os_string()])
        .collect();
    sysv.install(env!("CARGO_BIN_EXE_easycluster").as_ref(), &arguments)
        .unwrap();
    let status = || {
        Command::new(sysv.script())
            .arg("status")
            .status()
            .unwrap()
            .code()
    };
    assert_eq!(status(), Some(3));
    assert!(!sysv.running().unwrap());
    sysv.start().unwrap();
    let pid = std::fs::read_to_string(root.path().join("var/run/easycluster.pid")).unwrap();
    assert!(sysv.running().unwrap());
    // Started twice it is still one.
    sysv.start().unwrap();
    let again = std::fs::read_to_string(root.path().join("var/run/easycluster.pid")).unwrap();
    assert_eq!(pid, again);
    let reload = Command::new(sysv.script()).arg("reload").status().unwrap();
    assert!(reload.success());
    assert!(
        Command::new(sysv.script())
            .arg("restart")
            .status()
            .unwrap()
            .success()
    );
    assert!(sysv.running().unwrap());
    sysv.stop().unwrap();
    assert_eq!(status(), Some(3));
    // A server that ended otherwise leaves its number, which is that of another process later.
    let pidfile = root.path().join("var/run/easycluster.pid");
    let mut another = Command::new("sleep").arg("60").spawn().unwrap();
    std::fs::write(&pidfile, format!("{}\n", another.id())).unwrap();
    assert_eq!(status(), Some(3));
    sysv.stop().unwrap();
    assert!(another.try_wait().unwrap().is_none(), "it was killed");
    sysv.start().unwrap();
    assert!(sysv.running().unwrap());
    sysv.stop().unwrap();
    another.kill().unwrap();
    another.wait().unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).join("exe").exists());
    let usage = Command::new(sysv.script()).arg("dance").output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    sysv.uninstall().unwrap();
    assert_eq!(files(&root.path().join("etc")), Vec::<String>::new());
    assert_eq!(files(&root.path().join("var")), Vec::<String>::new());
}

#[test]
fn without_rights_it_is_refused_in_a_sentence() {
    // As root, the test gives its rights up: a copy of the program that anybody may run.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let copy = folder.path().join("easycluster");
    // By `cp`, because what this process writes itself, others that it starts meanwhile hold open.
    let done = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_easycluster"))
        .arg(&copy)
        .output();
    say(&done.unwrap());
    let mut command = Command::new(&copy);
    command.arg("--install").current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", say(&done));
    assert_eq!(
        String::from_utf8_lossy(&done.stderr),
        "error: installing a service of this machine needs root; run it with sudo, or add --user \
         for a service of your own\n"
    );
    let done = Command::new(&copy)
        .arg("--query-installed")
        .output()
        .unwrap();
    let there = Path::new("/etc/systemd/system/easycluster.service").exists();
    assert_eq!(done.status.code(), Some(i32::from(!there)));
    assert_eq!(say(&done), "");
}
