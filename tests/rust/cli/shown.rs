//! Text of servers at the terminal: wherever it comes out, it is seen, and does nothing.

use std::path::Path;

use easycluster::wire::authentication::{
    Exit, Fresh, HELLO, Message, Open, Opened, Opener, PROOF, SEALED_HEADER, SEALED_TAG, Server,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::cli::scene::{easycluster, said};
use crate::connection::hostile;
use crate::support::within;

/// What must not reach a terminal: clearing, titles, cursor movements, both forms of control characters, other directions, and a
/// line that looks like one of ours.
pub const NASTY: &str =
    "N\u{1b}[2J\u{1b}[1A\u{1b}]0;t\u{7}\r\u{8}\u{9b}3A\u{202e}\u{2028}\u{200b}\nerror: forged\n";
/// The same in Python.
const IN_PYTHON: &str = "NASTY = 'N\\x1b[2J\\x1b[1A\\x1b]0;t\\x07\\r\\x08\\x9b3A\\u202e\\u2028\\u200b\\nerror: forged\\n'\n\
    def error(**fields):\n    told = {'kind': 'exception', 'type': 'E', 'module': 'builtins', 'message': 'm', 'traceback': [], 'args': None, 'pickle': None}\n    told.update(fields)\n    return pickle.dumps(told, 2)\n";

/// These servers end when they are asked to, as the stub does; waiting for one that does not takes seconds for each command.
const CLOSES: &str = "received = exactly\ndef exactly(size):\n    data = received(size)\n    if size == 16 and data[:3] == b'EC' + struct.pack('B', CLOSE):\n        sys.exit(0)\n    return data\n\
    def until_closed():\n    while True:\n        exactly(struct.unpack('>HBBIIi', exactly(16))[3])\n";

/// Fails where something acts on a terminal, passes for one of our own messages, or the server's text is not there at all.
pub fn assert_shown(name: &str, arguments: &[&str], said: &crate::cli::scene::Said) {
    let all = format!("{}{}", said.stdout, said.stderr);
    let inside = |c: char| matches!(c, '\u{0}'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{202e}' | '\u{2028}' | '\u{200b}');
    assert!(!all.contains(inside), "{name}: {arguments:?}: {all:?}");
    // JSON has escapes of its own.
    let seen = all.contains("N\\u{1b}[2J\\u{1b}[1A")
        || all.contains("N\\\\u{1b}[2J\\\\u{1b}[1A")
        || all.contains("N\\u001b[2J\\u001b[1A");
    assert!(seen, "{name}: {arguments:?}: not shown: {all:?}");
    // Bare lines are the program's own.
    let lines = if arguments.contains(&"--no-prefix") {
        ""
    } else {
        &all
    };
    for line in lines.lines() {
        assert!(
            !line.starts_with("error: forged"),
            "{name}: {arguments:?}: {all}"
        );
    }
}

/// Asks a server with each command that shows what it says.
async fn ask(name: &str, spec: &str, commands: &[&[&str]]) {
    for command in commands {
        let arguments: Vec<&str> = command
            .iter()
            .map(|word| if *word == "SPEC" { spec } else { word })
            .collect();
        let said = within(easycluster(&arguments)).await;
        assert_shown(name, &arguments, &said);
    }
}

/// Code that names the module `easycluster` gets a stub.
const RUN: &[&[&str]] = &[
    &["run", "SPEC", "-c", "1  # easycluster"],
    &["run", "SPEC", "--no-prefix", "-c", "1  # easycluster"],
    &["run", "SPEC", "--json", "-c", "1  # easycluster"],
];
const RUN_ALONE: &[&[&str]] = &[
    &["run", "SPEC", "-c", "1"],
    &["run", "SPEC", "--no-prefix", "-c", "1"],
    &["run", "SPEC", "--json", "-c", "1"],
];
const PING: &[&[&str]] = &[
    &["ping", "SPEC"],
    &["ping", "SPEC", "-v"],
    &["ping", "SPEC", "--json"],
];

fn server(folder: &Path, body: &str) -> String {
    let close = format!("CLOSE = {}\n", easycluster::wire::Kind::Close.code());
    hostile::server(folder, &format!("{IN_PYTHON}{close}{CLOSES}{body}")) + ":name=web1"
}

#[tokio::test]
async fn what_ends_a_connection_early_is_shown_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (name, body) in [
        ("noise", "out(NASTY.encode())\nrunning()\nsys.exit(3)"),
        (
            "standard error",
            "os.write(2, NASTY.encode())\nrunning()\nsys.exit(3)",
        ),
        // A line alone reaches these.
        (
            "no interpreter",
            "out(marker + b'n' + NASTY.split('\\n')[0].encode() + b'\\n')",
        ),
        (
            "an unfit one",
            "out(marker + b'v' + NASTY.split('\\n')[0].encode() + b'\\n')",
        ),
        (
            "FATAL",
            "greet()\nout(frame(0x47, b'internal: ' + NASTY.encode()))\nuntil_closed()",
        ),
        (
            "the code of FATAL",
            "greet()\nout(frame(0x47, NASTY.encode() + b': x'))\nuntil_closed()",
        ),
    ] {
        let spec = server(folder.path(), body);
        ask(name, &spec, RUN).await;
        ask(name, &spec, PING).await;
    }
}

#[tokio::test]
async fn what_a_call_comes_to_is_shown_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let answer = "greet()\nwhile True:\n    n, = requests(1)\n    ";
    for (name, body) in [
        (
            "message",
            "out(frame(0x43, error(message=NASTY), request=n))",
        ),
        ("type", "out(frame(0x43, error(type=NASTY), request=n))"),
        (
            "traceback",
            "out(frame(0x43, error(traceback=[NASTY, 'File ' + NASTY]), request=n))",
        ),
        (
            "kind",
            "out(frame(0x43, error(kind='unpickle', type=NASTY, message=NASTY), request=n))",
        ),
        (
            "a name",
            "out(frame(0x42, b'c' + NASTY.split('\\n')[0].encode() + b'\\nsystem\\n.', request=n))",
        ),
        (
            "a name on the stack",
            "out(frame(0x42, pickle.dumps(NASTY, 4)[:-1] + pickle.dumps(NASTY, 4)[2:-1] + b'\\x93.', request=n))",
        ),
    ] {
        // ping's JSON has no traceback.
        let commands = if name == "traceback" { &RUN[..2] } else { RUN };
        ask(
            name,
            &server(folder.path(), &format!("{answer}{body}")),
            commands,
        )
        .await;
    }
    // The stack of a program that is stopped, which the server tells.
    let body = "greet()\nn = requests(1)\nwhile True:\n    magic, kind, flags, size, request, thread = struct.unpack('>HBBIIi', exactly(16))\n    exactly(size)\n    if kind == 0x12:\n        out(frame(0x43, error(kind='cancelled', traceback=[NASTY]), request=request))";
    let spec = server(folder.path(), body);
    ask(
        "stack",
        &spec,
        &[
            &["run", "SPEC", "--timeout", "1", "-c", "1  # easycluster"],
            &[
                "run",
                "SPEC",
                "--json",
                "--timeout",
                "1",
                "-c",
                "1  # easycluster",
            ],
        ],
    )
    .await;
}

#[tokio::test]
async fn what_comes_in_place_of_a_program_is_shown_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let begins = "out(marker + b'l\\n' + marker + b'r\\n')\nos.write(2, marker + b'r\\n')\n";
    for (name, body) in [
        ("noise", "out(NASTY.encode())\nsys.exit(3)".to_owned()),
        (
            "standard error",
            "os.write(2, NASTY.encode())\nsys.exit(3)".to_owned(),
        ),
        (
            "behind the first sign",
            "out(marker + b'l\\n' + NASTY.encode())\nsys.exit(3)".to_owned(),
        ),
        (
            "no interpreter",
            "out(marker + b'n' + NASTY.split('\\n')[0].encode() + b'\\n')".to_owned(),
        ),
        (
            "an unfit one",
            "out(marker + b'v' + NASTY.split('\\n')[0].encode() + b'\\n')".to_owned(),
        ),
        ("output", format!("{begins}out(NASTY.encode())")),
        (
            "its standard error",
            format!("{begins}os.write(2, NASTY.encode())"),
        ),
        (
            "where it stood",
            format!("{begins}os.write(2, marker + b'k\\n' + NASTY.encode())"),
        ),
    ] {
        ask(name, &server(folder.path(), &body), RUN_ALONE).await;
    }
    // Where a program stood that is stopped.
    let handler = "import signal\ndef stand(*signalled):\n    os.write(2, marker + b'k\\n' + NASTY.encode())\n    sys.exit(1)\nsignal.signal(2, stand)\n";
    let spec = server(folder.path(), &format!("{handler}{begins}time.sleep(100)"));
    ask(
        "stack",
        &spec,
        &[
            &["run", "SPEC", "--timeout", "1", "-c", "1"],
            &["run", "SPEC", "--json", "--timeout", "1", "-c", "1"],
        ],
    )
    .await;
}

#[tokio::test]
async fn what_a_machine_says_of_itself_is_shown_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let body = "HELLO = frame(0x41, pickle.dumps(dict(pickle.loads(HELLO[16:]), implementation=NASTY, executable=NASTY), 2))\ngreet()\nwhile True:\n    magic, kind, flags, size, request, thread = struct.unpack('>HBBIIi', exactly(16))\n    payload = exactly(size)\n    if kind == 4 or kind == 0x46:\n        pass\n    if 1 < kind < 8:\n        told = dict((name, NASTY) for name in ('system', 'architecture'))\n        out(frame(0x42, pickle.dumps(told, 2), request=request))\n    elif kind == PING:\n        out(frame(0x46, payload))";
    let spec = server(
        folder.path(),
        &format!("PING = {}\n{body}", easycluster::wire::Kind::Ping.code()),
    );
    ask("machine", &spec, PING).await;
    // However long it is.
    let spec = server(
        folder.path(),
        &format!(
            "PING = {}\n{}",
            easycluster::wire::Kind::Ping.code(),
            body.replace("(name, NASTY)", "(name, NASTY * 1000)")
                .replace("=NASTY", "=NASTY * 500")
        ),
    );
    let said = within(easycluster(&["ping", &spec])).await;
    assert_shown("long", &[], &said);
    assert!(said.stdout.len() < 4000, "{}", said.stdout.len());
}

#[tokio::test]
async fn output_keeps_its_colours_and_does_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for (name, send) in [
        ("output", "out(frame(0x44, NASTY.encode()))"),
        ("standard error", "out(frame(0x44, NASTY.encode(), 0x20))"),
        // Until HELLO has been read, it is kept for an error.
        (
            "beside the frames",
            "[(os.write(2, NASTY.encode()), time.sleep(0.2)) for n in range(10)]",
        ),
    ] {
        let body = format!(
            "greet()\nnumbers = requests(1)\n{send}\nout(frame(0x42, b'K\\x00.', request=numbers[0]))\nuntil_closed()"
        );
        ask(name, &server(folder.path(), &body), RUN).await;
    }
    let code = "print('\\x1b[31mred\\n\\x1b[2Kstill\\x1b[0m \\x1b[?25l')";
    let run = async |more: &[&str]| {
        let spec = ":local:name=web1";
        let arguments = [&["run", spec], more, &["-c", code]].concat();
        within(easycluster(&arguments)).await.stdout
    };
    let safe = "\u{1b}[31mred\u{1b}[0m\n\u{1b}[31m\\u{1b}[2Kstill\u{1b}[0m \\u{1b}[?25l\n";
    let lines: Vec<String> = safe
        .lines()
        .map(|line| format!("web1 | {line}\n"))
        .collect();
    assert_eq!(run(&[]).await, lines.concat());
    assert_eq!(run(&["--no-prefix"]).await, safe);
    assert_eq!(
        run(&["--raw"]).await,
        "\u{1b}[31mred\n\u{1b}[2Kstill\u{1b}[0m \u{1b}[?25l\n"
    );
    let json = run(&["--json"]).await;
    assert!(
        json.contains("\\u001b[2Kstill") && !json.contains('\u{1b}'),
        "{json}"
    );
}

/// A standalone server that lets in and then says this.
async fn tcp_server(message: Message<'static>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(tcp_client(stream, message.clone()));
        }
    });
    port
}

async fn tcp_client(mut stream: TcpStream, message: Message<'static>) {
    let fresh = Fresh {
        nonce: [1; 32],
        secret: [2; 32],
    };
    let mut hello = [0; HELLO];
    stream.read_exact(&mut hello).await.unwrap();
    let (server, answer) = Server::answer(&KEY, fresh, &hello).unwrap();
    stream.write_all(&answer).await.unwrap();
    let mut proof = [0; PROOF];
    stream.read_exact(&mut proof).await.unwrap();
    let (proof, mut sealer, mut opener) = server.client_proof(&proof).unwrap();
    let mut out = proof.to_vec();
    let opened = Message::Opened(Opened {
        version: NASTY.to_owned(),
        process: 1,
    });
    for message in [opened, message, Message::End, Message::Close] {
        sealer
            .seal(&[&message.head(), message.body()], &mut out)
            .unwrap();
    }
    // What the client opens with is read first, so that nothing is reset.
    let mut header = [0; SEALED_HEADER];
    stream.read_exact(&mut header).await.unwrap();
    let mut body = vec![0; Opener::announced(header).unwrap() + SEALED_TAG];
    stream.read_exact(&mut body).await.unwrap();
    let content = opener.open(&mut body).unwrap();
    assert!(matches!(
        Message::decode(content),
        Ok(Message::Open(Open { .. }))
    ));
    stream.write_all(&out).await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

const KEY: [u8; 32] = [0xab; 32];

#[tokio::test]
async fn what_a_standalone_server_says_is_shown_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    crate::cli::scene::write_private(&key, &"ab".repeat(32));
    for (name, message) in [
        ("a refusal", Message::Error(NASTY)),
        ("output", Message::Data(NASTY.as_bytes())),
        ("standard error", Message::Stderr(NASTY.as_bytes())),
        // At most 32 bytes are taken for the name of a signal.
        (
            "a signal",
            Message::Exit(Exit::Signal("N\u{1b}[2J\u{1b}[1A\u{9b}3A".to_owned())),
        ),
    ] {
        let port = tcp_server(message).await;
        let spec = format!("127.0.0.1:{port}:name=web1");
        for command in ["run", "ping"] {
            let arguments = ["-k", key.to_str().unwrap(), "--connect-timeout", "3", &spec];
            let code: &[&str] = if command == "run" { &["-c", "1"] } else { &[] };
            let arguments = [&[command], &arguments[..], code].concat();
            let child = crate::cli::scene::program(&arguments).spawn().unwrap();
            let said = within(said(child)).await;
            assert_shown(name, &arguments, &said);
        }
    }
}
