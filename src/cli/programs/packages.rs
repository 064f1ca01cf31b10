//! The packages that a Python program is given on the hosts, as the command line names them.

use std::path::PathBuf;

use crate::cli::terminal::failure::Failure;
use crate::packages::Packages;

/// The packages of a program.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PackageOptions {
    /// Have this package for the program there, named as for pip; it is fetched here by uv or pip, sent, and removed at the end
    #[arg(long = "with", value_name = "PACKAGE")]
    with: Vec<String>,
    /// The same for all packages of a file, as of `pip install -r`
    #[arg(long, value_name = "FILE")]
    with_requirements: Vec<PathBuf>,
    /// Leave the packages there for the next time, until `easycluster clean`
    #[arg(long)]
    keep: bool,
}

impl PackageOptions {
    /// What is to be had on the hosts, if anything is.
    ///
    /// # Errors
    ///
    /// Where a name is an option of pip, or a file cannot be read.
    pub(crate) fn packages(&self) -> Result<Option<Packages>, Failure> {
        if self.with.is_empty() && self.with_requirements.is_empty() {
            if self.keep {
                return Err(
                    Failure::usage("--keep is about packages, and none is named")
                        .with_hint("name them by --with PACKAGE or --with-requirements FILE"),
                );
            }
            return Ok(None);
        }
        if let Some(option) = self.with.iter().find(|name| name.starts_with('-')) {
            return Err(Failure::usage(format!("--with takes a package, and {option} is an option"))
                .with_hint(
                    "options of pip stand in a file for --with-requirements, or in variables such as PIP_INDEX_URL",
                ));
        }
        let packages = Packages::new(self.with.clone(), &self.with_requirements, self.keep);
        let packages = packages
            .map_err(|error| Failure::usage(format!("a file of packages cannot be read: {error}")));
        packages.map(Some)
    }
}
