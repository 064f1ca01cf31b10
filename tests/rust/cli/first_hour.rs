//! What people type in their first hour, as they type it, at a real sshd: by a shell, in a folder with an inventory.
//!
//! The inventory is found by EASYCLUSTER_INVENTORY, and its hosts are addresses of the loopback, so that the names are those of
//! a network.

use crate::cli::scene::{Said, said, shell};
use crate::support::{Sshd, SshdOptions};

pub(super) struct Desk {
    folder: tempfile::TempDir,
    pub(super) servers: [Sshd; 2],
}

/// Three hosts of a group, and one that has a shell and a few tools alone.
pub(super) fn desk() -> Desk {
    let folder = tempfile::tempdir().expect("folder");
    let tools = folder.path().join("tools");
    std::fs::create_dir(&tools).expect("folder");
    for name in ["sh", "echo", "dd", "cat"] {
        let tool = crate::support::program(name);
        std::os::unix::fs::symlink(tool, tools.join(name)).expect("link");
    }
    let web = Sshd::start_with(&SshdOptions {
        addresses: 3,
        ..SshdOptions::default()
    });
    let bare = Sshd::start_with(&SshdOptions {
        environment: vec![("PATH".to_owned(), tools.display().to_string())],
        shell: Some("/bin/sh".into()),
        ..SshdOptions::default()
    });
    let of = |server: &Sshd, address: &str| {
        format!(
            "ansible_host={address} ansible_port={} ansible_user={} ansible_ssh_private_key_file={} \
             ansible_ssh_common_args='-F none -o UserKnownHostsFile={} -o BatchMode=yes'",
            server.port(),
            server.user(),
            server.key.private.display(),
            server.known_hosts().display(),
        )
    };
    let write = |name: &str, text: String| {
        std::fs::write(folder.path().join(name), text).expect("file");
    };
    write(
        "hosts.ini",
        format!(
            "bare {}\nrefused ansible_host=127.0.0.1 ansible_port=1 ansible_user=me\n[web]\nweb1 {}\nweb2 {}\nweb3 {}\n[prod]\nweb1\n",
            of(&bare, "127.0.0.1"),
            of(&web, "127.0.0.1"),
            of(&web, "127.0.0.2"),
            of(&web, "127.0.0.3"),
        ),
    );
    let spec = web.spec();
    write("hosts.txt", format!("{spec}:name=one\n{spec}:name=two\n"));
    write(
        "check.sh",
        "#!/bin/sh\necho \"checked $1 on $EASYCLUSTER_HOST\"\n".to_owned(),
    );
    write(
        "check.py",
        "import sys\nprint('checked ' + ' '.join(sys.argv[1:]))\n".to_owned(),
    );
    write("inventory.yml", "web:\n  hosts:\n    web1:\n".to_owned());
    write("plain.sh", "echo \"plain $1\"\n".to_owned());
    write(
        "count.awk",
        "#!/usr/bin/awk -f\nEND { print NR }\n".to_owned(),
    );
    Desk {
        folder,
        servers: [web, bare],
    }
}

impl Desk {
    /// Types the line.
    pub(super) async fn typed(&self, line: &str) -> Said {
        let mut shell = shell(line);
        shell
            .current_dir(self.folder.path())
            .env("EASYCLUSTER_INVENTORY", "hosts.ini")
            .env("TOKEN", "s3cret-t0ken");
        said(shell.spawn().expect("a shell")).await
    }

    /// Each line ends with this status and says these words, on either stream.
    async fn expect(&self, rows: &[(&str, i32, &[&str])]) {
        for (line, code, words) in rows {
            let said = self.typed(line).await;
            assert_eq!(said.code, Some(*code), "{line}\n{said:?}");
            let all = format!("{}{}", said.stdout, said.stderr);
            for word in *words {
                assert!(all.contains(word), "{line}\nlacks {word:?}: {said:?}");
            }
        }
    }

    pub(super) fn end(self) {
        for server in &self.servers {
            server.wait_until_idle();
        }
    }
}

#[tokio::test]
async fn a_command_typed_by_habit_is_answered_with_the_line_that_runs_it() {
    let desk = desk();
    for (line, right) in [
        (
            "easycluster run web1 web2 uname",
            "easycluster exec web1 web2 -- uname",
        ),
        (
            "easycluster run web1 -- uname",
            "easycluster exec web1 -- uname",
        ),
        (
            "easycluster run web1 web2 -c uname",
            "easycluster exec web1 web2 -- uname",
        ),
        (
            "easycluster exec web1 web2 uname",
            "easycluster exec web1 web2 -- uname",
        ),
        (
            "easycluster exec -j 5 web1 uname",
            "easycluster exec -j 5 web1 -- uname",
        ),
        (
            "easycluster exec web1 ls -la /",
            "easycluster exec web1 -- ls -la /",
        ),
        (
            "easycluster exec web1 df -h",
            "easycluster exec web1 -- df -h",
        ),
        (
            "easycluster exec web1 df -P",
            "easycluster exec web1 -- df -P",
        ),
        (
            "easycluster exec -I hosts.ini web1 uname",
            "easycluster exec -I hosts.ini web1 -- uname",
        ),
        (
            "easycluster exec -f hosts.txt uname",
            "easycluster exec -f hosts.txt -- uname",
        ),
        ("easycluster web1 uname", "easycluster exec web1 -- uname"),
        (
            "easycluster ssh web1 -- uname",
            "easycluster exec web1 -- uname",
        ),
        (
            "easycluster exec web1 -c 'uname; uname'",
            "easycluster exec web1 -- 'uname; uname'",
        ),
        (
            "easycluster exec web1 -- check.sh",
            "easycluster exec web1 --script check.sh",
        ),
        (
            "easycluster exec web1 ./check.sh now",
            "easycluster exec web1 --script ./check.sh -- now",
        ),
        (
            "easycluster exec web1 --script check.py -- now",
            "easycluster run web1 --script check.py -- now",
        ),
        (
            "easycluster run -q web1 -- plain.sh now",
            "easycluster exec -q web1 --script plain.sh -- now",
        ),
        (
            "easycluster run web1 --script plain.sh -- now",
            "easycluster exec web1 --script plain.sh -- now",
        ),
        (
            "easycluster run web1 check.py now",
            "easycluster run web1 -- check.py now",
        ),
        (
            "easycluster run check.py web1",
            "easycluster run web1 -- check.py",
        ),
        (
            "easycluster copy -n check.sh web1:/tmp/",
            "easycluster copy -n web1 -- check.sh :/tmp/",
        ),
        (
            "easycluster scp -p web1:/etc/passwd copied",
            "easycluster copy web1 -- :/etc/passwd copied",
        ),
        (
            "easycluster copy web1 -n check.sh :/tmp/",
            "easycluster copy web1 -n -- check.sh :/tmp/",
        ),
    ] {
        let said = desk.typed(line).await;
        assert_eq!(said.code, Some(2), "{line}: {said:?}");
        let hint = said.last_line();
        assert!(hint.ends_with(right), "{line}: {hint}");
        let said = desk.typed(right).await;
        assert_eq!(said.code, Some(0), "{right}: {said:?}");
        assert!(
            said.stdout.starts_with(['w', 'o', 't']),
            "{right}: {said:?}"
        );
    }
    desk.end();
}

#[tokio::test]
async fn a_whole_line_of_another_program_is_answered_with_ours_which_works() {
    let desk = desk();
    let user = desk.servers[0].user().to_owned();
    for (theirs, ours) in [
        ("pssh -h hosts.txt -i uname", "exec -f hosts.txt -- uname"),
        (
            "pssh -H 'web1 web2' -p 2 --timeout=60 uname -m",
            "exec -j 2 --timeout 60 web1 web2 -- uname -m",
        ),
        ("exec -h hosts.txt uname", "exec -f hosts.txt -- uname"),
        (
            "exec -h hosts.txt -l USER -- uname",
            "exec -f hosts.txt -l USER -- uname",
        ),
        ("-h hosts.txt uname", "exec -f hosts.txt -- uname"),
        (
            "web -i hosts.ini -m shell -a 'uname; id -u'",
            "exec -I hosts.ini web -- 'uname; id -u'",
        ),
        (
            "ansible web -m command -a uname -f 2 -o -u USER",
            "exec -j 2 -l USER web -- uname",
        ),
        ("ansible web -m ping", "ping web"),
        ("prod -m ping", "ping prod"),
        (
            "clush -w web1,web2 -b uname",
            "exec --gather 'web1,web2' -- uname",
        ),
        ("clush -g prod uname -m", "exec @prod -- uname -m"),
        (
            "pdsh -f 2 -w web1,web2 uname",
            "exec -j 2 'web1,web2' -- uname",
        ),
        ("dsh -M -g prod -c uname", "exec @prod -- uname"),
        (
            "fab -H web1,web2 -- uname -m",
            "exec 'web1,web2' -- uname -m",
        ),
        (
            "parallel --sshlogin web1,web2 --nonall uname",
            "exec 'web1,web2' -- uname",
        ),
    ] {
        let (theirs, ours) = (theirs.replace("USER", &user), ours.replace("USER", &user));
        let said = desk.typed(&format!("easycluster {theirs}")).await;
        assert_eq!(said.code, Some(2), "{theirs}\n{said:?}");
        let hint = format!("hint: easycluster {ours}\n");
        assert!(said.stderr.contains(&hint), "{theirs}\n{said:?}");
        let said = desk.typed(&format!("easycluster {ours}")).await;
        assert_eq!(said.code, Some(0), "{ours}\n{said:?}");
    }
    desk.expect(&[
        (
            "easycluster exec -H web1 -- true",
            2,
            &["there is no option -H", "hosts stand by themselves"],
        ),
        (
            "easycluster exec -S web1,web2 true",
            2,
            &["hosts stand by themselves"],
        ),
        (
            "easycluster exec --slf hosts.txt true",
            2,
            &["-f FILE takes the hosts from a file"],
        ),
        (
            "easycluster exec web --list-hosts",
            2,
            &["easycluster hosts HOST... prints which hosts are meant"],
        ),
        (
            "easycluster exec --gateway web2 web1 -- true",
            2,
            &["-J HOST goes through a jump host"],
        ),
        (
            "easycluster exec -M -f hosts.txt -- true",
            2,
            &["there is no option -M", "leave it out"],
        ),
        (
            "easycluster exec --hosts web1,web2 -- true",
            2,
            &["hosts themselves stand without -f"],
        ),
        // A module that is no command.
        (
            "easycluster ansible web -m apt -a name=vim",
            2,
            &[
                "there is no command ansible",
                "easycluster exec HOST... -- COMMAND",
            ],
        ),
    ])
    .await;
    desk.end();
}

#[tokio::test]
async fn what_a_sysadmin_types_works() {
    let desk = desk();
    desk.expect(&[
        ("easycluster exec web1 web2 -- 'echo a b | wc -w'", 0, &["web1 | 2\n", "web2 | 2\n", "2 hosts: 2 ok, "]),
        ("easycluster run web1 -- check.sh all", 0, &["web1 | checked all on web1\n"]),
        ("easycluster run web1 -- check.py all", 0, &["web1 | checked all\n"]),
        ("printf 'a\\nb\\n' | easycluster run web1 --stdin one -- count.awk", 0, &["web1 | 2\n"]),
        ("easycluster exec bare web1 -- echo here", 0, &["bare | here\n", "web1 | here\n"]),
        ("easycluster run bare -- check.sh all", 0, &["bare | checked all on bare\n"]),
        ("easycluster run bare -c 'print(1)'", 255, &["no Python found", "shell commands need none: easycluster exec"]),
        ("easycluster exec 'web[1-3]' -- echo here", 0, &["web1 | here", "web2 | here", "web3 | here", "3 hosts: 3 ok"]),
        ("easycluster exec web1,web2 -- echo here", 0, &["2 hosts: 2 ok"]),
        ("easycluster exec @web -x web3 -- echo here", 0, &["2 hosts: 2 ok"]),
        ("easycluster exec 'web:!web3:&prod' -- echo here", 0, &["web1 | here"]),
        ("easycluster exec -f hosts.txt -- echo here", 0, &["one | here", "two | here"]),
        ("EASYCLUSTER_HOSTS='web1 web3' easycluster exec -- echo here", 0, &["web1 | here", "web3 | here"]),
        ("easycluster exec 'web[1-3]' --gather -- echo same", 0, &["\nweb[1-3] (3 hosts)\n", "same\n"]),
        ("easycluster exec 'web[1-3]' refused --failed-to failed -- 'test $EASYCLUSTER_NUMBER = 0'", 255, &[
            "error: web[2-3]: exit status 1 (2 hosts)",
            "error: refused: unreachable (connect)",
            "4 hosts: 1 ok, 2 failed, 1 unreachable, ",
        ]),
        ("easycluster exec 'web[1-3]' --retry-from failed --retries 2 -- true", 2, &["refused is not among the hosts"]),
        ("easycluster exec 'web[1-3]' refused --retry-from failed --max-fail 50% -- true", 255, &["3 hosts: 2 ok, 1 unreachable"]),
        ("easycluster exec web1 web2 -q --failed-to - -- 'test $EASYCLUSTER_NUMBER = 0'; test ! -e ./-", 0, &["web2\n"]),
        ("easycluster exec 'web[1-3]' --serial 1 --fail-fast -- false", 1, &[
            "error: web[2-3]: skipped, because others had failed (2 hosts)",
            "3 hosts: 1 failed, 2 skipped",
        ]),
        ("easycluster exec 'web[1-3]' --out out --junit report.xml -- echo kept && cat out/web2.stdout report.xml", 0, &[
            "kept\n",
            "<testcase name=\"web3\"",
        ]),
        ("easycluster ping 'web[1-3]'", 0, &["web1  ok", "3 hosts: 3 ok"]),
        ("easycluster hosts 'web:!web2'", 0, &["web1\nweb3\n"]),
        ("easycluster completions bash | grep -c easycluster", 0, &[]),
    ])
    .await;
    desk.end();
}

#[tokio::test]
async fn input_and_secrets_go_where_they_are_meant() {
    let desk = desk();
    desk.expect(&[
        (
            "echo x | easycluster exec web1 web2 --stdin all -- cat",
            0,
            &["web1 | x\n", "web2 | x\n"],
        ),
        (
            "echo x | easycluster exec web1 --stdin one -- cat",
            0,
            &["web1 | x\n"],
        ),
        (
            "echo x | easycluster exec web1 web2 --stdin one -- cat",
            2,
            &["--stdin all gives each host a copy"],
        ),
        (
            "echo x | easycluster exec web1 -- 'cat; echo end'",
            0,
            &["web1 | end\n"],
        ),
    ])
    .await;
    std::fs::write(desk.folder.path().join("names"), "web1\nweb2\n").expect("file");
    desk.expect(&[
        (
            "while read host; do easycluster exec $host -- echo here; done < names",
            0,
            &["web1 | here\nweb2 | here\n"],
        ),
        (
            "easycluster exec web1 --secret TOKEN -- 'echo it is $TOKEN'",
            0,
            &["web1 | it is ***\n"],
        ),
        (
            "easycluster exec web1 --env TOKEN -- 'echo it is $TOKEN'",
            0,
            &["web1 | it is ***\n"],
        ),
        (
            "echo x | easycluster run web1 -c 'import sys; print(repr(sys.stdin.read()))'",
            0,
            &["web1 | ''\n"],
        ),
        (
            "easycluster exec web1 --env TOKEN=other1 -- 'echo ${#TOKEN}'",
            0,
            &["web1 | 6\n"],
        ),
        (
            "easycluster exec web1 --secret TOKEN=other1 -- true",
            2,
            &["set the variable here and give its name"],
        ),
        (
            "easycluster run web1 --cwd / -c 'import os; print(os.getcwd())'",
            0,
            &["web1 | /\n"],
        ),
        (
            "easycluster run web1 -m this",
            0,
            &["web1 | The Zen of Python"],
        ),
    ])
    .await;
    desk.end();
}

#[tokio::test]
async fn mistakes_are_answered_with_what_to_do() {
    let desk = desk();
    std::fs::copy(&desk.servers[0].key.private, desk.folder.path().join("key")).expect("copied");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(desk.folder.path().join("key"), mode).expect("mode");
    let port = desk.servers[0].port();
    let direct = |rest: &str| {
        format!("env -u EASYCLUSTER_INVENTORY easycluster exec {rest}")
            .replace("HOST", &format!("127.0.0.1:{port}"))
    };
    let (named, unknown) = (
        direct("HOST:config=none:identity=key -- true"),
        direct("HOST:config=none:batch=yes:known_hosts=none -- true"),
    );
    let (file, silent) = (
        direct("hosts.txt -- true"),
        direct("HOST:config=none:identity=/nonexistent -- true"),
    );
    let known = desk.servers[0].known_hosts().display().to_string();
    let with =
        |line: &str| line.replace(":config=none", &format!(":config=none:known_hosts={known}"));
    let (named, silent) = (with(&named), with(&silent));
    desk.expect(&[
        (&named, 255, &["127.0.0.1", "mode 0644", "hint: a private key that others may read is not used: chmod 600 it"]),
        (&silent, 255, &["skipped /nonexistent: No such file", "the spec's identity"]),
        (&unknown, 255, &["no key is recorded", "say hostkey=SHA256:", "hostkey=accept-new"]),
        (&file, 255, &["hosts.txt is a file of this machine; for the hosts that it names: -f hosts.txt"]),
        ("easycluster exec -i hosts.ini web1 -- true", 2, &["-I hosts.ini"]),
        ("easycluster exec -i inventory.yml web1 -- true", 2, &["-I inventory.yml"]),
        ("easycluster exec -b web1 -- true", 2, &["there is no option -b", "--become"]),
        ("easycluster exec -w web1 -- true", 2, &["hosts stand by themselves"]),
        ("easycluster exec --forks 5 web1 -- true", 2, &["-j N"]),
        ("easycluster exec -A web1 -- true", 2, &["there is no option -A", "nothing is forwarded"]),
        ("easycluster exec -L 8080:localhost:80 web1", 2, &["neither ports", "ssh -N -L"]),
        ("easycluster help exce", 2, &["there is no command exce", "easycluster help exec"]),
        ("easycluster help scp", 2, &["easycluster help copy"]),
        ("easycluster help nothing", 2, &["there is no command nothing", "easycluster -h names them"]),
        ("easycluster exec web1 --script check.sh now", 2, &["now stands behind --script FILE", "arguments stand behind `--`: easycluster exec web1 --script check.sh -- now"]),
        ("easycluster run web1 -c 'print(1)' now", 2, &["arguments stand behind `--`: easycluster run web1 -c 'print(1)' -- now; hosts stand before -c CODE"]),
        ("easycluster run -f hosts.txt -m platform now", 2, &["easycluster run -f hosts.txt -m platform -- now"]),
        ("easycluster exec -f hosts.txt --failed-to ./hosts.txt -- true", 2, &["--failed-to would write over hosts.txt, which names the hosts"]),
        ("easycluster exec web1 --failed-to report --junit ./report -- true", 2, &["--failed-to and --junit would both write report"]),
        ("easycluster copy web1 -- :/etc/passwd -; test ! -e ./- && exit 2", 2, &["neither stdin nor stdout", "--no-prefix -- cat FILE"]),
        ("easycluster exec --script check.sh web1 web2", 0, &["2 hosts: 2 ok"]),
        ("easycluster web1", 2, &["there is no command web1", "if web1 is a host: easycluster ping web1"]),
        ("easycluster uname -a", 2, &["easycluster exec HOST... -- uname -a"]),
        ("easycluster copy web1 -- nothing :/tmp/", 2, &["nothing: No such file", "read on this machine"]),
        ("easycluster exec web1 -m platform", 2, &["easycluster run HOST... -m MODULE"]),
        ("easycluster exec web1 -a uptime", 2, &["a command stands behind `--` (-a of ansible)"]),
        ("easycluster exec wbe1 -- true", 2, &["did you mean \"web1\"?"]),
        ("easycluster exec web1 --timeout 0.5 -- sleep 60", 124, &["web1: no result within 0.5 s", "--timeout SECONDS gives it longer"]),
        ("easycluster exec refused -- true", 255, &["refused: connect: 127.0.0.1:1: ", "check that sshd runs and the port is right"]),
        ("env -u EASYCLUSTER_INVENTORY easycluster run $(head -1 hosts.txt):rpython=/bin/sh -c 1", 255, &["see whether rpython=/bin/sh is a Python"]),
        ("env -u EASYCLUSTER_INVENTORY easycluster ping web1:rpyton=x", 2, &["did you mean \"rpython\"?"]),
        ("env -u EASYCLUSTER_INVENTORY easycluster ping web1:port=22", 2, &["a port is not an option: it follows the host directly"]),
        ("env -u EASYCLUSTER_INVENTORY easycluster ping '[web]'", 2, &["ranges are written web[01-32,40]"]),
        ("env -u EASYCLUSTER_INVENTORY easycluster ping", 2, &["no host is given", "an inventory with -I"]),
    ])
    .await;
    desk.end();
}
