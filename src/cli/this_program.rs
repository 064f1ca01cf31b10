//! Where the running program stands, for services and daemons that start it again.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// How this program is started again: its path, or the Python that it is part of.
pub(crate) fn this_program() -> std::io::Result<Vec<OsString>> {
    let path = std::env::current_exe()?;
    let python = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().to_lowercase().starts_with("python"));
    if !python {
        return Ok(vec![path.into_os_string()]);
    }
    // The interpreter of a virtual environment is a link, and is told which environment it is for by
    // the name it was started under; the file behind the link knows nothing of the environment.
    let started_as = std::env::args_os()
        .next()
        .and_then(|name| find_program(&name));
    let python = started_as.unwrap_or(path).into_os_string();
    Ok(vec![python, "-m".into(), "easycluster".into()])
}

/// The file that a shell would have started by this name.
fn find_program(name: &OsStr) -> Option<PathBuf> {
    let named = Path::new(name);
    let found = if named.components().count() > 1 {
        Some(absolute(named))
    } else {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| absolute(&folder.join(named)))
            .find(|file| file.is_file())
    };
    found.filter(|file| file.is_file())
}

/// A daemon or service does not run where the user stood.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
