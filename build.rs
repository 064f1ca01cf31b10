//! Compresses the stub once, when the crate is built: the best compression is too slow for every start.

use std::io::Write;
use std::path::Path;

#[path = "src/stub/assemble.rs"]
mod assemble;
#[path = "src/stub/shorten.rs"]
mod shorten;
#[path = "src/stub/strip.rs"]
mod strip;

fn main() {
    println!("cargo::rerun-if-changed=bootstrap_py");
    println!("cargo::rerun-if-changed=src/stub");
    let root = Path::new("bootstrap_py");
    let files: Vec<(String, String)> = ["stub", "shared"]
        .into_iter()
        .flat_map(|folder| {
            std::fs::read_dir(root.join(folder)).expect("bootstrap_py lies beside Cargo.toml")
        })
        .map(|entry| entry.expect("bootstrap_py can be listed").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "py"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a stub file can be read");
            let path = path.strip_prefix(root).expect("it was listed there");
            (path.to_string_lossy().into_owned(), text)
        })
        .collect();
    let text = assemble::assemble(
        files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str())),
    );
    let mut deflated = Vec::new();
    zopfli::compress(
        zopfli::Options {
            // Four times the usual number; each further byte is one in every bootstrap.
            iteration_count: std::num::NonZeroU64::new(60).expect("60 is not 0"),
            ..zopfli::Options::default()
        },
        zopfli::Format::Deflate,
        text.as_bytes(),
        &mut deflated,
    )
    .expect("compressing into memory does not fail");
    let out = std::env::var_os("OUT_DIR").expect("cargo names a folder for build results");
    let mut file = std::fs::File::create(Path::new(&out).join("stub.deflate"))
        .expect("the folder can be written");
    file.write_all(&deflated)
        .expect("the folder can be written");
}
