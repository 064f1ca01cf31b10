//! Where the running program stands, for services and daemons that start it again.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::process::find_program;

/// How this program is started again: its path, or the Python that it is part of.
pub(crate) fn this_program() -> std::io::Result<Vec<OsString>> {
    let path = std::env::current_exe()?;
    let python = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().to_lowercase().starts_with("python"));
    if !python {
        return Ok(vec![path.into_os_string()]);
    }
    // The interpreter of a virtual environment is a link, and learns which environment it is for from
    // the name it was started under; the file behind the link knows nothing of the environment.
    let started_as = std::env::args_os()
        .next()
        .and_then(find_program)
        .map(|file| absolute(&file));
    let python = started_as.unwrap_or(path).into_os_string();
    Ok(vec![python, "-m".into(), "easycluster".into()])
}

/// A daemon or service does not run where the user stood.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
