//! Copies with many machines at once.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Copied, CopyOptions, Difference, Progress, ProgressSink, Sending, ToHost, fetch};
use crate::client::Client;
use crate::cluster::{Cluster, fan_out};
use crate::error::Error;
use crate::files::of_host::{has_place, path_of};

/// Told of how far the copy with the host at a place is.
pub(crate) type PlaceSink = Arc<dyn Fn(usize, &Progress) + Send + Sync>;

/// Machines, and how to copy.
pub(crate) struct Many {
    /// What each is called, and its client.
    pub(crate) hosts: Vec<(String, Client)>,
    pub(crate) options: CopyOptions,
    /// Told in the place of the options' own.
    pub(crate) progress: Option<PlaceSink>,
}

/// What came of it on each host, in order.
type Outcomes<T> = Result<Vec<(String, Result<T, Error>)>, Error>;

impl Many {
    pub(crate) async fn put(self, sources: Vec<PathBuf>, dest: &[u8]) -> Outcomes<Copied> {
        let dest: Arc<[u8]> = dest.into();
        self.send(sources, |to_host, client| {
            let dest = Arc::clone(&dest);
            async move { to_host.copy(&client, &dest).await }
        })
        .await
    }

    pub(crate) async fn compare(
        self,
        sources: Vec<PathBuf>,
        dest: &[u8],
    ) -> Outcomes<Vec<Difference>> {
        let dest: Arc<[u8]> = dest.into();
        self.send(sources, |to_host, client| {
            let dest = Arc::clone(&dest);
            async move { to_host.compare(&client, &dest).await }
        })
        .await
    }

    pub(crate) async fn get(self, sources: Vec<Vec<u8>>, dest: &OsStr) -> Outcomes<Copied> {
        if self.hosts.len() > 1 && !has_place(dest) {
            let dest = dest.to_string_lossy();
            return Err(Error::Convert(format!(
                "the files of all hosts would go to {dest}; put {{host}} into it: {}/{{host}}/",
                dest.trim_end_matches('/')
            )));
        }
        let mut names = HashSet::new();
        if let Some((host, _)) = self.hosts.iter().find(|(host, _)| !names.insert(host)) {
            return Err(Error::Convert(format!(
                "two hosts are called {host}, and their files would go to the same place; give one another name with name=NAME in its spec"
            )));
        }
        let sources = Arc::new(sources);
        let each = self
            .hosts
            .iter()
            .enumerate()
            .map(|(place, (host, client))| {
                let mut options = self.options.clone();
                options.progress = self.progress(place);
                let (client, dest) = (client.clone(), path_of(dest, host));
                let sources = Arc::clone(&sources);
                async move { fetch(&client, &sources, &dest, &options).await }
            });
        Ok(all(&self.hosts, each.collect()).await)
    }

    async fn send<T, F>(
        self,
        sources: Vec<PathBuf>,
        work: impl Fn(ToHost, Client) -> F,
    ) -> Outcomes<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let sending = Sending::new(sources, &self.options, self.hosts.len()).await?;
        let each = self.hosts.iter().enumerate().map(|(place, (_, client))| {
            let to_host = sending.to_host().with_progress(self.progress(place));
            work(to_host, client.clone())
        });
        Ok(all(&self.hosts, each.collect()).await)
    }

    fn progress(&self, place: usize) -> Option<ProgressSink> {
        let Some(tell) = &self.progress else {
            return self.options.progress.clone();
        };
        let tell = Arc::clone(tell);
        Some(Arc::new(move |progress: &Progress| tell(place, progress)))
    }
}

/// All of it at once: the hosts are connected, and one that waits for others would hold up what is read for all.
async fn all<T: Send + 'static>(
    hosts: &[(String, Client)],
    work: Vec<impl Future<Output = Result<T, Error>> + Send + 'static>,
) -> Vec<(String, Result<T, Error>)> {
    let count = work.len();
    let outcomes = fan_out(work, count).in_order().await;
    let outcomes = outcomes.into_iter().map(|outcome| {
        outcome.unwrap_or_else(|| Err(Error::Convert("the task on this side ended".to_owned())))
    });
    let names = hosts.iter().map(|(host, _)| host.clone());
    names.zip(outcomes).collect()
}

impl Cluster {
    /// Copies to every machine, as [`Client::put`] does; each file is read once for all machines that keep up with each other. Each
    /// machine's outcome in order.
    ///
    /// # Errors
    /// Where the source is not there, or a pattern is none.
    pub async fn put(
        &self,
        source: impl AsRef<Path>,
        dest: &str,
        options: &CopyOptions,
    ) -> Result<Vec<(String, Result<Copied, Error>)>, Error> {
        let sources = vec![source.as_ref().to_owned()];
        self.many(options).put(sources, dest.as_bytes()).await
    }

    /// Copies from every machine, as [`Client::get`] does. In `dest`, `{host}` becomes the machine's name, so that each has a place
    /// of its own: `logs/{host}/`. Each machine's outcome in order.
    ///
    /// # Errors
    /// Where there are several machines and no `{host}`, or a pattern is none.
    pub async fn get(
        &self,
        source: &str,
        dest: impl AsRef<Path>,
        options: &CopyOptions,
    ) -> Result<Vec<(String, Result<Copied, Error>)>, Error> {
        let sources = vec![source.as_bytes().to_vec()];
        let dest = dest.as_ref().as_os_str();
        self.many(options).get(sources, dest).await
    }

    /// What [`put`](Self::put) would change on each machine, without changing anything.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn compare(
        &self,
        source: impl AsRef<Path>,
        dest: &str,
        options: &CopyOptions,
    ) -> Result<Vec<(String, Result<Vec<Difference>, Error>)>, Error> {
        let sources = vec![source.as_ref().to_owned()];
        self.many(options).compare(sources, dest.as_bytes()).await
    }

    fn many(&self, options: &CopyOptions) -> Many {
        Many {
            hosts: self.members(),
            options: options.clone(),
            progress: None,
        }
    }
}
