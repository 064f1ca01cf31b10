//! Has uv or pip put packages for another Python into a folder: wheels alone, because nothing of theirs is to run here.

use std::ffi::OsString;
use std::path::Path;

use super::Platform;
use crate::process::{self, Command};

/// How many of the last lines of uv or pip say why it failed.
const REASON_LINES: usize = 3;

/// Has packages in a folder. `pip` is the command of a pip that is known to be here; without one, one is looked for. Blocks.
///
/// # Errors
/// Why not, in words.
pub(crate) fn build(
    requirements: &[OsString],
    platform: &Platform,
    pip: &[OsString],
    folder: &Path,
) -> Result<(), String> {
    let mut command = installer(platform, pip)?;
    command
        .arg("--target")
        .arg(folder)
        .args(["--only-binary", ":all:", "--python-version"])
        .arg(platform.version())
        .args(requirements);
    let output = process::run(command).map_err(|error| format!("packages: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.trim().lines().map(str::trim).collect();
    let last = lines.len().saturating_sub(REASON_LINES);
    Err(format!(
        "no packages for Python {} on {} could be had here: {}",
        platform.version(),
        platform.name(),
        lines.get(last..).unwrap_or_default().join("; ")
    ))
}

/// The command that installs packages into a folder: uv where it is found, or pip.
fn installer(platform: &Platform, pip: &[OsString]) -> Result<Command, String> {
    if process::find_program("uv").is_some() {
        let mut uv = process::program("uv");
        uv.args(["pip", "install", "--quiet", "--python-platform"]);
        uv.arg(platform.for_uv()?);
        return Ok(uv);
    }
    let mut command = match pip.split_first() {
        Some((program, words)) => {
            let mut command = process::program(program);
            command.args(words);
            command
        }
        None => pip_of_this_machine()?,
    };
    command.args(["install", "--quiet", "--disable-pip-version-check"]);
    command.args(["--no-input", "--no-compile"]);
    command.args(platform.for_pip()?);
    Ok(command)
}

fn pip_of_this_machine() -> Result<Command, String> {
    let of_python = || {
        let mut command = process::program("python3");
        command.args(["-m", "pip"]);
        command
    };
    let mut asked = of_python();
    asked.arg("--version");
    if process::succeeds(asked).unwrap_or(false) {
        return Ok(of_python());
    }
    let found = ["pip3", "pip"].into_iter().find_map(process::find_program);
    found.map(process::program).ok_or_else(|| {
        "packages are had by uv or pip, and neither is here: install one of them".to_owned()
    })
}
