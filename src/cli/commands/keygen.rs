//! `easycluster keygen FILE`, and `-g FILE` of the manual: a new key file for a standalone server.

use std::path::{Path, PathBuf};

use crate::cli::terminal::failure::{self, Failure};
use crate::keys::{Key, write_key_file};

/// Make a key file for a standalone server and its clients
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The file to write; only its owner can read it
    file: PathBuf,
    /// Replace the file if it exists
    #[arg(short = 'O', long)]
    overwrite: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<i32, Failure> {
    generate(&arguments.file, arguments.overwrite)
}

/// Writes a new key to `file`.
pub(crate) fn generate(file: &Path, overwrite: bool) -> Result<i32, Failure> {
    if file == Path::new("-") {
        return Err(Failure::usage(
            "a key goes into a file that only its owner reads, and not to stdout",
        )
        .with_hint("name one: easycluster keygen secret.key"));
    }
    let here = |error: crate::keys::KeyError| Failure::here(error.to_string());
    let key = Key::generate().map_err(here)?;
    if write_key_file(file, &key, overwrite).map_err(here)? {
        return Ok(failure::OK);
    }
    Err(
        Failure::here(format!("key file {} already exists", file.display())).with_hint(
            "add --overwrite to replace it, which locks out clients that have the old key",
        ),
    )
}
