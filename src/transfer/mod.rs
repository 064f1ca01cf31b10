//! Files to and from other machines: whole trees, only what differs, never half a file.

#[cfg(feature = "internals")]
pub(crate) mod fuzz;
mod get;
mod listing;
mod many;
mod options;
mod plan;
mod put;
mod records;
mod report;
mod source;
mod steps;
mod window;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::client::Client;
use crate::error::Error;
use crate::files::names::differ;
use crate::files::tree::{Exclude, Tree};
use get::Get;
use listing::called_here;
use put::{Put, blocking};
use source::{Reader, Source};

#[cfg(feature = "python")]
pub(crate) use many::Many;
pub(crate) use options::size;
pub use options::{
    Change, Copied, CopyOptions, Difference, Links, Modes, Progress, ProgressSink, Skip,
};

/// Files of this machine that are sent to hosts: read once for all that keep up with each other.
pub(crate) struct Sending {
    options: CopyOptions,
    exclude: Exclude,
    source: Arc<Source>,
    readers: Mutex<Vec<Reader>>,
}

impl Sending {
    /// Looks at what is to be sent to so many hosts.
    ///
    /// # Errors
    /// Where one of the sources is not there, or a pattern is none.
    pub(crate) async fn new(
        sources: Vec<PathBuf>,
        options: &CopyOptions,
        hosts: usize,
    ) -> Result<Sending, Error> {
        let exclude = Exclude::new(&options.exclude).map_err(Error::Convert)?;
        if sources.is_empty() {
            return Err(Error::Convert("there is nothing to copy".to_owned()));
        }
        let (links, left_out) = (options.links, exclude.clone());
        let tree = blocking(move || Tree::read(&sources, links, &left_out)).await?;
        let tree = tree.map_err(Error::Convert)?;
        let (source, readers) = Source::new(tree, options, hosts);
        Ok(Sending {
            options: options.clone(),
            exclude,
            source,
            readers: Mutex::new(readers),
        })
    }

    /// One host's part. A host that does not come after all is said by dropping it; one that comes once more reads by itself.
    pub(crate) fn to_host(&self) -> ToHost {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = readers.pop();
        ToHost {
            reader: reader.unwrap_or_else(|| Reader::alone(&self.source)),
            options: self.options.clone(),
            exclude: self.exclude.clone(),
        }
    }
}

/// What goes to one host.
pub(crate) struct ToHost {
    reader: Reader,
    options: CopyOptions,
    exclude: Exclude,
}

impl ToHost {
    /// Hears how far it is.
    pub(crate) fn with_progress(mut self, progress: Option<ProgressSink>) -> ToHost {
        self.options.progress = progress;
        self
    }

    fn put(self, client: &Client) -> Put {
        Put::new(client, self.reader, self.options, self.exclude)
    }

    pub(crate) async fn copy(self, client: &Client, dest: &[u8]) -> Result<Copied, Error> {
        self.put(client).copy(dest).await
    }

    pub(crate) async fn compare(
        self,
        client: &Client,
        dest: &[u8],
    ) -> Result<Vec<Difference>, Error> {
        self.put(client).compare(dest).await
    }
}

/// Copies from one host.
pub(crate) async fn fetch(
    client: &Client,
    sources: &[Vec<u8>],
    dest: &Path,
    options: &CopyOptions,
) -> Result<Copied, Error> {
    let exclude = Exclude::new(&options.exclude).map_err(Error::Convert)?;
    let called = sources.iter().map(|source| called_here(source));
    differ(called).map_err(Error::Convert)?;
    Get::new(client, options.clone(), exclude)
        .copy(sources, dest)
        .await
}

impl Client {
    /// Copies a file or a folder of this machine to the other one.
    ///
    /// As with rsync, a folder with a slash at the end means what is in it: `put("dist/", "/srv/app")` makes `/srv/app/index.html`,
    /// `put("dist", "/srv/app")` makes `/srv/app/dist/index.html`. A single file gets the name of the destination, unless that is a
    /// folder or ends with a slash. Folders on the way are made.
    ///
    /// Each file arrives under another name and changes it for its own when it is whole. What is there with the same size and time
    /// is not sent again, and a large file that was cut off goes on where it was. Contents are checked.
    ///
    /// ```no_run
    /// # async fn f(client: easycluster::Client) -> Result<(), easycluster::Error> {
    /// let copied = client.put("dist/", "/srv/app", &Default::default()).await?;
    /// println!("{copied}");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Files`] names what could not be copied, and why; the rest was. [`Error::Convert`] where the source is not there.
    pub async fn put(
        &self,
        source: impl AsRef<Path>,
        dest: &str,
        options: &CopyOptions,
    ) -> Result<Copied, Error> {
        let sources = vec![source.as_ref().to_owned()];
        let sending = Sending::new(sources, options, 1).await?;
        sending.to_host().copy(self, dest.as_bytes()).await
    }

    /// Copies a file or a folder of the other machine to this one, as [`put`](Self::put) does the other way round.
    ///
    /// Nothing that the server says is believed: whatever it names, nothing is written outside of `dest`. Links that lead out of what
    /// is copied are refused; devices and pipes are not copied.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn get(
        &self,
        source: &str,
        dest: impl AsRef<Path>,
        options: &CopyOptions,
    ) -> Result<Copied, Error> {
        fetch(self, &[source.as_bytes().to_vec()], dest.as_ref(), options).await
    }

    /// What [`put`](Self::put) would change, without changing anything.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn compare(
        &self,
        source: impl AsRef<Path>,
        dest: &str,
        options: &CopyOptions,
    ) -> Result<Vec<Difference>, Error> {
        let sources = vec![source.as_ref().to_owned()];
        let sending = Sending::new(sources, options, 1).await?;
        sending.to_host().compare(self, dest.as_bytes()).await
    }
}
