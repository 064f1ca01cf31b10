//! `easycluster completions` and `easycluster manpages`: for shells and for `man`, from the definition of the command line.

use std::path::PathBuf;

use clap_complete::Shell;

use crate::cli::terminal::failure::{self, Failure};

const EXAMPLES: &str = "\
Examples:
  bash, for this user:
    easycluster completions bash > ~/.local/share/bash-completion/completions/easycluster
  zsh, in a folder of $fpath:
    easycluster completions zsh > ~/.zfunc/_easycluster
  fish:
    easycluster completions fish > ~/.config/fish/completions/easycluster.fish";

/// Print a script that completes the words of this program in a shell
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Write the man pages to a folder
#[derive(clap::Args)]
#[command(after_help = "Example:\n  easycluster manpages ~/.local/share/man/man1")]
pub(crate) struct ManPages {
    /// The folder, which is made if it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn completions(
    arguments: &Completions,
    mut command: clap::Command,
) -> Result<i32, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "easycluster", &mut script);
    Ok(failure::printed(script))
}

pub(crate) fn man_pages(arguments: &ManPages, command: clap::Command) -> Result<i32, Failure> {
    let folder = &arguments.folder;
    let failed = |error: std::io::Error| {
        Failure::here(format!(
            "cannot write man pages to {}: {error}",
            folder.display()
        ))
        .with_hint("give a folder that you may write to")
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(command, folder).map_err(failed)?;
    Ok(failure::OK)
}
