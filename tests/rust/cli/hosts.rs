//! Naming hosts: ranges, lists, groups, inventories, the options of ssh; as typed, and what is said where they are wrong.

use std::path::Path;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::cli::scene::{PATIENCE, Scene, easycluster, program, said, write_private};
use crate::support::write_program;

/// The lines that `hosts` prints.
async fn hosts(arguments: &[&str]) -> Vec<String> {
    let words: Vec<&str> = ["hosts"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    let said = easycluster(&words).await;
    assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.stderr);
    said.stdout.lines().map(str::to_owned).collect()
}

/// What it says on stderr where the arguments are wrong.
async fn refused(arguments: &[&str]) -> String {
    let words: Vec<&str> = ["hosts"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    let said = easycluster(&words).await;
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (Some(2), ""),
        "{arguments:?}"
    );
    said.stderr
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("file");
    path.to_str().expect("path").to_owned()
}

const INI: &str = "[web]\nweb[01:03] ansible_user=deploy\n[prod]\nweb01\ndb1 ansible_port=2200\n";

#[tokio::test]
async fn many_hosts_as_typed() {
    let folder = tempfile::tempdir().expect("folder");
    let list = write(
        folder.path(),
        "hosts.txt",
        // As an editor of Windows writes it.
        "\u{feff}me@web1:2222 # old\r\n[db]\r\ndb[1-2],db9\r\n",
    );
    let ini = write(folder.path(), "hosts.ini", INI);
    let yaml = write(
        folder.path(),
        "inventory.yml",
        "web:\n  hosts:\n    web[01:03]:\n",
    );
    let json = write(
        folder.path(),
        "inventory.json",
        "{\"web\": {\"hosts\": [\"web01\"]}, \"_meta\": {\"hostvars\": {}}}",
    );
    let script = folder.path().join("inventory");
    write_program(
        &script,
        "#!/bin/sh\necho '{\"web\": [\"web01\", \"web02\"]}'\n",
    );
    let script = script.to_str().expect("path");
    for (typed, expected) in [
        (&["web[01-03]"][..], "web01 web02 web03"),
        (&["web1,web2"], "web1 web2"),
        (&["web[1-10/3]", "x[a:c]"], "web1 web4 web7 web10 xa xb xc"),
        (&["-f", &list], "me@web1:2222 db1 db2 db9"),
        (&["-f", &list, "@db"], "db1 db2 db9"),
        (&["-f", &list, "-x", "@db"], "me@web1:2222"),
        (&["-I", &ini, "all"], "web01 web02 web03 db1"),
        (&["-I", &ini, "web:&prod"], "web01"),
        (&["-I", &ini, "web", "-x", "web03"], "web01 web02"),
        (&["-I", &ini, "web:!web03"], "web01 web02"),
        (
            &["-I", &ini, "@prod", "web[02-03]"],
            "web01 db1 web02 web03",
        ),
        (&["-I", &ini, "~(db|web)\\d?1"], "web01 db1"),
        (&["-I", &yaml, "web[0:1]"], "web01 web02"),
        (&["-I", &json, "web"], "web01"),
        (&["-I", script, "web"], "web01 web02"),
        (&["-I", "a,b,", "all"], "a b"),
        (&["web[01-32,40]", "web07", "--fold"], "web[01-32,40]"),
    ] {
        assert_eq!(hosts(typed).await.join(" "), expected, "{typed:?}");
    }
}

#[tokio::test]
async fn what_is_typed_by_mistake_is_answered_with_what_to_type() {
    let folder = tempfile::tempdir().expect("folder");
    let ini = write(folder.path(), "hosts.ini", INI);
    for (typed, expected) in [
        (&[][..], "an inventory with -I"),
        (&["-I", &ini], "`all` means every host of the inventory"),
        (&["-I", &ini, "wbe"], "did you mean \"web\"?"),
        (
            &["-I", &ini, "web", "-x", "wbe03"],
            "did you mean \"web03\"?",
        ),
        (&["-I", &ini, "me@web01"], "-l USER"),
        (&["-i", &ini, "web"], &format!("-I {ini}")),
        (
            &["-I", "/nonexistent/inv", "web"],
            "cannot read the inventory /nonexistent/inv",
        ),
        (&["@web"], "there is no group web"),
        (&["h[1-99999999]"], "more than 100000 hosts"),
        (&["h[3-1]"], "runs backwards"),
        (&["web1:rpyton=x"], "did you mean \"rpython\"?"),
        (&["web1", "--exlude", "x"], "'--exclude'"),
        (
            &["web1", "-o", "ProxyComand=x"],
            "did you mean ProxyCommand?",
        ),
        (
            &["web1", "-o", "ConnectTimeout=x"],
            "ConnectTimeout does not take the value 'x'",
        ),
        (
            &["web1", "-o", "BatchMode=x"],
            "BatchMode does not take the value 'x'",
        ),
        (
            &["web1", "-x", "web2"],
            "no host or group \"web2\" is among those given",
        ),
        (
            &["web1", "-x", "db"],
            "only hosts that are given can be left out",
        ),
        (
            &["web1", "-x", "db*"],
            "no host that is given matches \"db*\"",
        ),
        (
            &["web1", "-i", "/nonexistent/key"],
            "cannot read the key file /nonexistent/key",
        ),
    ] {
        let stderr = refused(typed).await;
        assert!(stderr.contains(expected), "{typed:?}: {stderr}");
    }
    let said = easycluster(&["hsots"]).await;
    assert!(
        said.stderr.contains("a similar subcommand exists: 'hosts'"),
        "{}",
        said.stderr
    );
}

#[tokio::test]
async fn the_environment_names_hosts_where_nothing_else_does() {
    let folder = tempfile::tempdir().expect("folder");
    let ini = write(folder.path(), "hosts.ini", INI);
    let with = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = program(arguments);
        command.envs(variables.iter().copied());
        said(command.spawn().expect("starts"))
    };
    let hosts = [("EASYCLUSTER_HOSTS", "web[1-2] me@db")];
    assert_eq!(with(&["hosts"], &hosts).await.stdout, "web1\nweb2\nme@db\n");
    assert_eq!(with(&["hosts", "x"], &hosts).await.stdout, "x\n");
    let inventory = [("EASYCLUSTER_INVENTORY", ini.as_str())];
    assert_eq!(
        with(&["hosts", "prod"], &inventory).await.stdout,
        "web01\ndb1\n"
    );
    let wrong = with(&["hosts", "wbe"], &inventory).await.stderr;
    assert!(wrong.contains("EASYCLUSTER_INVENTORY"), "{wrong}");
    let both = [
        ("EASYCLUSTER_INVENTORY", ini.as_str()),
        ("EASYCLUSTER_HOSTS", "web:!web02"),
    ];
    assert_eq!(with(&["hosts"], &both).await.stdout, "web01\nweb03\n");
}

#[tokio::test]
async fn json_has_specs_groups_and_variables_and_no_password() {
    let folder = tempfile::tempdir().expect("folder");
    let ini = write(
        folder.path(),
        "hosts.ini",
        "[web]\nweb1 ansible_user=deploy ansible_password=s3cret rank=3 ansible_become=yes ansible_become_pass=s3cret\n",
    );
    let said = easycluster(&["hosts", "-I", &ini, "web", "--json", "-p", "2222"]).await;
    let found: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(
        found[0]["spec"],
        "deploy@web1:2222:ssh=yes:name=web1:become=root"
    );
    assert_eq!(found[0]["groups"][0], "web");
    assert_eq!(found[0]["variables"]["rank"], 3);
    assert!(!said.stdout.contains("s3cret"), "{}", said.stdout);
    assert_eq!(
        said.stderr.matches("passwords in clear").count(),
        1,
        "{}",
        said.stderr
    );
}

#[tokio::test]
async fn a_duplicate_host_is_one_with_a_warning() {
    let said = easycluster(&["hosts", "web1", "web[1-2]"]).await;
    assert_eq!(said.stdout, "web1\nweb2\n");
    assert!(
        said.stderr
            .contains("warning: web1 is named more than once"),
        "{}",
        said.stderr
    );
}

#[tokio::test]
async fn nothing_is_left_out_by_an_empty_pattern_in_silence() {
    for more in [&["-x", ""][..], &["-x", "web2", "-x", " "]] {
        let said = easycluster(&[&["hosts", "web[1-3]"], more].concat()).await;
        assert_eq!(said.code, Some(2), "{more:?}: {said:?}");
        let wanted = "error: the pattern behind -x is empty\n hint: a variable in it";
        assert!(said.stderr.starts_with(wanted), "{more:?}: {said:?}");
    }
}

#[tokio::test]
async fn what_is_waited_for_is_said() {
    let folder = tempfile::tempdir().expect("folder");
    let pipe = folder.path().join("hosts");
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, fifo, 0o600.into(), 0).expect("pipe");
    for option in ["-f", "-I"] {
        let name = pipe.display().to_string();
        let mut arguments = vec!["hosts", option, &name];
        arguments.extend((option == "-I").then_some("all"));
        let mut child = program(&arguments).spawn().expect("the program starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let told = tokio::time::timeout(PATIENCE, stderr.next_line()).await;
        let told = told.expect("in time").expect("read").unwrap_or_default();
        assert!(
            told.starts_with("waiting for the ") && told.contains(&name),
            "{option}: {told}"
        );
        std::fs::write(&pipe, "web1\n").expect("written");
        let output = said(child).await;
        assert_eq!((output.stdout.as_str(), output.code), ("web1\n", Some(0)));
    }
}

#[tokio::test]
async fn the_options_of_ssh_connect() {
    let scene = Scene::new().await;
    let port = scene.server.address().port().to_string();
    let key = scene.key();
    let known_hosts = scene.folder.path().join("known_hosts");
    let known_hosts = format!("UserKnownHostsFile={}", known_hosts.display());
    let options = [
        "-l",
        "me",
        "-p",
        &port,
        "-i",
        key.to_str().expect("path"),
        "-o",
        &known_hosts,
        "-o",
        "BatchMode=yes",
    ];
    let words = |rest: &[&'static str]| -> Vec<String> {
        let start = ["run"].into_iter().chain(rest.iter().copied());
        let options = options.iter().copied();
        start
            .chain(options)
            .chain(["-c", "print(7)"])
            .map(str::to_owned)
            .collect()
    };
    let said = easycluster(&words(&["127.0.0.1"])).await;
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (Some(0), "127.0.0.1 | 7\n"),
        "{}",
        said.stderr
    );
    // A host's own port goes before.
    let said = easycluster(&words(&["127.0.0.1:1"])).await;
    assert_eq!(said.code, Some(255), "{}", said.stderr);
    scene.end().await;
}

#[tokio::test]
async fn an_inventory_connects() {
    let scene = Scene::new().await;
    let ini = scene.file(
        "hosts.ini",
        &format!(
            "[web]\nweb[1:2] ansible_host=127.0.0.1\n[web:vars]\nansible_port={}\nansible_user=me\nansible_ssh_private_key_file={}\n\
             ansible_ssh_common_args='-o UserKnownHostsFile={} -o BatchMode=yes -F none'\n",
            scene.server.address().port(),
            scene.key().display(),
            scene.folder.path().join("known_hosts").display(),
        ),
    );
    let ini = ini.to_str().expect("path");
    let said = easycluster(&["run", "-I", ini, "web", "-c", "print(7)"]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(said.sorted_stdout(), ["web1 | 7", "web2 | 7"]);
    scene.end().await;
}

#[tokio::test]
async fn short_help_fits_a_screen_and_long_help_has_examples() {
    let short = easycluster(&["-h"]).await.stdout;
    assert!(short.lines().count() <= 36, "{short}");
    assert!(
        short.contains("--help shows") && !short.contains("--query-installed"),
        "{short}"
    );
    assert_eq!(easycluster::<&str>(&[]).await.stderr, short);
    let long = easycluster(&["--help"]).await.stdout;
    assert!(
        long.contains("--query-installed") && long.contains("run -I hosts.ini"),
        "{long}"
    );
    for command in ["run", "exec", "ping", "hosts"] {
        let short = easycluster(&[command, "-h"]).await.stdout;
        let lines = short.lines().count();
        assert!(lines <= 36, "{command} -h has {lines} lines\n{short}");
        assert!(short.contains("--help shows"), "{short}");
        let long = easycluster(&[command, "--help"]).await.stdout;
        assert!(
            long.contains("Examples:") && long.contains("EASYCLUSTER_INVENTORY"),
            "{long}"
        );
    }
}

#[tokio::test]
async fn shells_complete_the_words_of_the_program() {
    let folder = tempfile::tempdir().expect("folder");
    for (shell, check) in [
        // bash and zsh read the script, and bash completes a subcommand by it.
        (
            "bash",
            ". \"$0\" && COMP_WORDS=(easycluster pi) COMP_CWORD=1 && _easycluster easycluster pi easycluster && [ \"${COMPREPLY[*]}\" = ping ]",
        ),
        (
            "zsh",
            "autoload -Uz compinit && compinit -D -u && source \"$0\" && (( $+functions[_easycluster] ))",
        ),
        (
            "fish",
            "source $argv[1]; and complete -C 'easycluster pi' | string match -q 'ping*'",
        ),
    ] {
        let said = easycluster(&["completions", shell]).await;
        assert_eq!(said.code, Some(0), "{shell}: {}", said.stderr);
        let file = folder.path().join(shell);
        write_private(&file, &said.stdout);
        let output = tokio::process::Command::new(crate::support::program(shell))
            .args(["-c", check])
            .arg(&file)
            .env("HOME", folder.path())
            .output()
            .await
            .expect("the shell starts");
        assert!(
            output.status.success(),
            "{shell}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let said = easycluster(&["completions", "bahs"]).await;
    assert!(said.stderr.contains("'bash'"), "{}", said.stderr);
}

#[tokio::test]
async fn man_pages_are_written_for_every_subcommand() {
    let folder = tempfile::tempdir().expect("folder");
    let target = folder.path().join("man/man1");
    let said = easycluster(&["manpages", target.to_str().expect("path")]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for page in [
        "easycluster.1",
        "easycluster-run.1",
        "easycluster-ping.1",
        "easycluster-hosts.1",
    ] {
        let text = std::fs::read_to_string(target.join(page)).expect(page);
        assert!(text.contains(".TH"), "{page}");
    }
    let run = std::fs::read_to_string(target.join("easycluster-run.1")).expect("run");
    assert!(
        run.contains("inventory") && run.contains("Exit status"),
        "{run}"
    );
}

#[tokio::test]
async fn no_color_is_obeyed() {
    let with = |variables: &[(&str, &str)]| {
        let mut command = program(&["hosts", "h[3-1]"]);
        command.envs(variables.iter().copied());
        said(command.spawn().expect("starts"))
    };
    let coloured = with(&[("CLICOLOR_FORCE", "1")]).await.stderr;
    assert!(coloured.contains('\u{1b}'), "{coloured:?}");
    let plain = with(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")])
        .await
        .stderr;
    assert!(
        !plain.contains('\u{1b}') && plain.contains("runs backwards"),
        "{plain:?}"
    );
}
