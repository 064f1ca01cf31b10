//! Compresses the parts of the stub once, when the crate is built: the best compression is too slow for every start.

// A build that cannot go on ends with a message; nothing here comes from a peer, and nothing is public.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub
)]

use std::path::Path;

#[path = "src/stub/assemble.rs"]
mod assemble;
#[path = "src/stub/strip.rs"]
mod strip;

/// What the program itself sends out, as parts or in a command line, and the files of each.
const HELPERS: [(&str, &[&str]); 12] = [
    ("asks", &["helpers/asks.py", "helpers/forward.py"]),
    ("commands", &["helpers/commands.py"]),
    ("environments", &["helpers/environments.py"]),
    ("files", &["helpers/files.py", "helpers/files_arriving.py"]),
    ("map_items", &["helpers/map_items.py", "helpers/values.py"]),
    ("probe", &["helpers/probe.py"]),
    ("reports", &["helpers/reports.py"]),
    (
        "run_program",
        &[
            "helpers/run_program.py",
            "helpers/run_main.py",
            "helpers/run_main_seldom.py",
            "helpers/run_process.py",
            "helpers/run_progress.py",
            "helpers/run_seldom.py",
        ],
    ),
    ("run_others", &["children.py", "helpers/run_main_seldom.py"]),
    ("streams", &["helpers/streams.py"]),
    ("terminal", &["helpers/terminal.py"]),
    ("workers", &["helpers/workers.py"]),
];

/// What is sent as text, because it is run before anything could inflate it.
const TEXTS: [&str; 2] = ["run_alone.py", "run_main.py"];

fn main() {
    println!("cargo::rerun-if-changed=bootstrap_py");
    println!("cargo::rerun-if-changed=src/stub");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|it| it == value);
    if is("CARGO_CFG_WINDOWS", "")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && is("CARGO_FEATURE_PYTHON", "1")
    {
        // Its linker exports every symbol of a library that names none, and there are more than it can count.
        println!("cargo::rustc-link-arg=-Wl,--exclude-all-symbols");
    }
    let out = std::env::var_os("OUT_DIR").expect("cargo names a folder for build results");
    for name in TEXTS {
        let text = strip::strip(&source(&format!("helpers/{name}")));
        // Nobody looks at its line numbers.
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        std::fs::write(Path::new(&out).join(name), lines.join("\n") + "\n")
            .expect("the folder can be written");
    }
    let helpers = HELPERS.map(|(part, files)| (part, files.to_vec()));
    // In threads of their own, because nothing else can be compiled meanwhile.
    std::thread::scope(|scope| {
        for (part, files) in assemble::parts().chain(helpers) {
            let file = Path::new(&out).join(format!("{part}.deflate"));
            scope.spawn(move || write_part(&files, &file));
        }
    });
}

fn write_part(files: &[&str], to: &Path) {
    let sources: Vec<String> = files.iter().map(|name| source(name)).collect();
    let text = assemble::assemble(files, |name| {
        let place = files.iter().position(|listed| *listed == name);
        place.map_or("", |place| sources[place].as_str())
    });
    // Each byte of what is sent with the command is in every bootstrap; so that has four times the usual number of rounds, of which
    // the last ones find least.
    let is_first = files.first() == Some(&assemble::START);
    let rounds = if is_first { 60 } else { 15 };
    std::fs::write(to, deflate(&text, rounds)).expect("the folder can be written");
}

/// A file of the stub, one that both ends run, or one that stands with its folder.
fn source(name: &str) -> String {
    ["stub", "shared", ""]
        .iter()
        .find_map(|folder| {
            let path = Path::new("bootstrap_py").join(folder).join(name);
            std::fs::read_to_string(path).ok()
        })
        .unwrap_or_else(|| panic!("bootstrap_py has no {name}"))
}

fn deflate(text: &str, rounds: u64) -> Vec<u8> {
    let mut deflated = Vec::new();
    let options = zopfli::Options {
        iteration_count: std::num::NonZeroU64::new(rounds).expect("it is not 0"),
        ..zopfli::Options::default()
    };
    zopfli::compress(
        options,
        zopfli::Format::Deflate,
        text.as_bytes(),
        &mut deflated,
    )
    .expect("compressing into memory does not fail");
    deflated
}
