//! Packages that hosts lack: built on this machine for each version of Python and platform that is found there, and copied.

mod build;
mod platform;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::client::Client;
use crate::error::Error;
use crate::transfer::CopyOptions;
pub(crate) use build::build;
pub(crate) use platform::Platform;
#[cfg(feature = "python")]
pub(crate) use platform::Told;

/// What was built for one platform, or why it could not be.
type Built = Arc<OnceCell<Result<tempfile::TempDir, String>>>;

/// Packages as pip or uv is asked for them, and what was built of them.
pub(crate) struct Packages {
    requirements: Vec<OsString>,
    /// What the names of folders are made of that stay on hosts.
    digest: [u8; 32],
    keep: bool,
    built: Mutex<HashMap<Platform, Built>>,
}

impl Packages {
    /// Names of packages, and files of such names. With `keep` they stay on the hosts for the next time.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub(crate) fn new(
        mut names: Vec<String>,
        files: &[PathBuf],
        keep: bool,
    ) -> std::io::Result<Packages> {
        names.sort();
        let mut digest = Sha256::new();
        for name in &names {
            digest.update(name);
            digest.update("\n");
        }
        let mut requirements: Vec<OsString> = names.into_iter().map(OsString::from).collect();
        for file in files {
            digest.update(std::fs::read(file)?);
            requirements.extend(["-r".into(), file.into()]);
        }
        Ok(Packages {
            requirements,
            digest: digest.finalize().into(),
            keep,
            built: Mutex::default(),
        })
    }

    /// Has them at a host; gives the folder there, which is to stand in `sys.path`. Tells how far it is in words.
    ///
    /// # Errors
    /// Where they cannot be built for that host, or its Python is older than 3.
    pub(crate) async fn send_to(
        &self,
        client: &Client,
        tell: impl Fn(String),
    ) -> Result<String, Error> {
        let host = client.host();
        let failed = |reason: String| Error::Convert(format!("{host}: {reason}"));
        client.send_helper(&crate::stub::functions::ENVIRONMENTS);
        let hello = client.ready().await?;
        if hello.python.0 < 3 {
            return Err(failed(format!(
                "packages are for Python 3, and it runs Python {}; name another with rpython=",
                hello.python_version()
            )));
        }
        let platform = client.call("helpers/environments.platform", ()).await?;
        let platform = Platform::told(platform);
        let key = self.key(&platform);
        if self.keep {
            let found: Option<String> = client.call("helpers/environments.find", (&key,)).await?;
            if let Some(found) = found {
                return Ok(found);
            }
        }
        tell(format!(
            "gets packages for Python {} built",
            platform.version()
        ));
        let built = self.cell(&platform);
        let built = built
            .get_or_init(|| self.built(platform))
            .await
            .as_ref()
            .map_err(|reason| failed(reason.clone()))?;
        let folder: String = client
            .call("helpers/environments.begin", (&key, self.keep))
            .await?;
        tell("is sent packages".to_owned());
        // With a slash at the end, what is in it.
        let source = built.path().join("");
        client.put(source, &folder, &CopyOptions::default()).await?;
        client
            .call("helpers/environments.finish", (folder, key, self.keep))
            .await
    }

    /// Removes the folder at a host, unless it is to stay.
    ///
    /// # Errors
    /// As those of calls.
    pub(crate) async fn remove_from(&self, client: &Client, folder: &str) -> Result<(), Error> {
        if self.keep {
            return Ok(());
        }
        client.call("helpers/environments.remove", (folder,)).await
    }

    fn key(&self, platform: &Platform) -> String {
        let mut digest = Sha256::new();
        digest.update(self.digest);
        digest.update(platform.to_string());
        let mut key = data_encoding::HEXLOWER.encode(&digest.finalize());
        key.truncate(16);
        key
    }

    fn cell(&self, platform: &Platform) -> Built {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(built.entry(platform.clone()).or_default())
    }

    async fn built(&self, platform: Platform) -> Result<tempfile::TempDir, String> {
        let requirements = self.requirements.clone();
        let work = move || {
            let folder = tempfile::Builder::new()
                .prefix("easycluster-env-")
                .tempdir()
                .map_err(|error| format!("no folder for packages can be made here: {error}"))?;
            build(&requirements, &platform, &[], folder.path())?;
            Ok(folder)
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// Removes what is kept at a host; gives the folders' names and their bytes.
///
/// # Errors
/// As those of calls.
pub(crate) async fn clean(client: &Client) -> Result<Vec<(String, u64)>, Error> {
    client.send_helper(&crate::stub::functions::ENVIRONMENTS);
    client.call("helpers/environments.clean", ()).await
}
