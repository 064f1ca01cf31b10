//! `--profile`: a folder on the PYTHONPATH of commands, whose sitecustomize.py profiles the
//! interpreter. The stub knows nothing of it, so that it costs nothing where it is not asked for.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::system::rights::private_folder;

const SITECUSTOMIZE: &str = include_str!("../../bootstrap_py/helpers/profile_site.py");

/// The folder; removed when the server ends.
#[derive(Debug)]
pub(super) struct Profile {
    folder: PathBuf,
    pattern: OsString,
}

impl Profile {
    /// Makes the folder. `pattern` names the files: `%d` counts the threads, `%p` is the process
    /// id; both are added where they are missing, so that no file is written over.
    ///
    /// # Errors
    /// Where the temporary folder cannot be written to.
    pub(super) fn new(pattern: &str) -> io::Result<Self> {
        let mut pattern = pattern.to_owned();
        for place in ["%p", "%d"] {
            if !pattern.contains(place) {
                pattern.push('.');
                pattern.push_str(place);
            }
        }
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let name = format!("easycluster-profile-{:016x}", u64::from_ne_bytes(random));
        let folder = std::env::temp_dir().join(name);
        // No other user may put code there.
        private_folder().create(&folder)?;
        let profile = Profile {
            pattern: std::path::absolute(Path::new(&pattern))?.into_os_string(),
            folder,
        };
        std::fs::write(profile.folder.join("sitecustomize.py"), SITECUSTOMIZE)?;
        Ok(profile)
    }

    /// Adds to a command's environment what makes Python find it.
    pub(super) fn enter(&self, environment: &mut Vec<(OsString, OsString)>) {
        let mut path = self.folder.clone().into_os_string();
        if let Some((_, before)) = environment.iter().find(|(name, _)| name == "PYTHONPATH") {
            path.push(":");
            path.push(before);
        }
        environment.retain(|(name, _)| name != "PYTHONPATH");
        environment.push(("PYTHONPATH".into(), path));
        environment.push(("EASYCLUSTER_PROFILE".into(), self.pattern.clone()));
        // The folder is to hold one file, and be gone with it.
        environment.push(("PYTHONDONTWRITEBYTECODE".into(), "1".into()));
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_goes_with_the_server() {
        let profile = Profile::new("calls").unwrap();
        let mut environment = vec![("PYTHONPATH".into(), "/mine".into())];
        profile.enter(&mut environment);
        let folder = profile.folder.clone();
        assert!(folder.join("sitecustomize.py").is_file());
        let value = |name: &str| {
            let found = environment.iter().filter(|(key, _)| key == name);
            let found: Vec<_> = found.map(|(_, value)| value.to_str().unwrap()).collect();
            assert_eq!(found.len(), 1, "{name}");
            found[0].to_owned()
        };
        assert_eq!(value("PYTHONPATH"), format!("{}:/mine", folder.display()));
        let pattern = value("EASYCLUSTER_PROFILE");
        assert!(
            pattern.starts_with('/') && pattern.ends_with("calls.%p.%d"),
            "{pattern}"
        );
        drop(profile);
        assert!(!folder.exists());
    }
}
