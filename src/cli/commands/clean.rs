//! `easycluster clean`: removes what `run --keep` has left on hosts.

use crate::cli::many::{self, ManyOptions, Secrets};
use crate::cli::terminal::failure::{self, Failure};
use crate::cli::terminal::hosts::HostOptions;
use crate::packages;
use crate::transfer::size;

const EXAMPLES: &str = "\
Examples:
  Packages that runs with --keep have left on all machines of a file:
    easycluster clean -f hosts.txt

They are in ~/.cache/easycluster (or in $XDG_CACHE_HOME) of the user who logs in.
Programs that run with them at that moment lose them.

Exit status:
  0    nothing is left on any host
  1    something could not be removed
  2    the command line is wrong
  130  interrupted
  255  some host could not be reached, or was lost";

/// Remove the packages that runs with --keep have left on machines
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    hosts: HostOptions,
    #[command(flatten)]
    many: ManyOptions,
}

pub(crate) fn main(arguments: &Arguments) -> Result<i32, Failure> {
    let targets = arguments.hosts.targets(&arguments.hosts.specs)?;
    let targets = arguments.many.report.wanted(&arguments.hosts, targets)?;
    let secrets = Secrets::default();
    many::on_all("clean", targets, &arguments.many, &secrets, |host| {
        let own = host.clone();
        host.clone()
            .with_client(host.connect_options(), move |client| async move {
                let removed = packages::clean(&client).await?;
                let bytes: u64 = removed.iter().map(|(_, bytes)| bytes).sum();
                own.say(&match removed.len() {
                    0 => "nothing was kept".to_owned(),
                    1 => format!("1 folder of packages removed ({})", size(bytes)),
                    count => format!("{count} folders of packages removed ({})", size(bytes)),
                });
                Ok(failure::OK)
            })
    })
}
