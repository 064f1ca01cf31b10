//! `easycluster copy`: files to many machines, or from them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::many::{self, Host, ManyOptions, Outcome, Secrets};
use crate::cli::misplaced::behind_separator;
use crate::cli::programs::habits::{COPY_LINES, copy_line};
use crate::cli::terminal::failure::Failure;
use crate::cli::terminal::hosts::HostOptions;
use crate::files::of_host::{has_place, path_of};
use crate::transfer::{self, Sending, ToHost, size};
use crate::{Client, CopyOptions, Error, Links, Modes, Progress, ProgressSink, Skip};

const EXAMPLES: &str = "\
Examples:
  What is in a folder, to a folder of two machines:
    easycluster copy admin@web1 admin@web2 -- dist/ :/srv/app
  The same, and what is not in dist/ any more is removed there:
    easycluster copy admin@web1 admin@web2 --delete -- dist/ :/srv/app
  What that would change:
    easycluster copy admin@web1 admin@web2 --delete -n -- dist/ :/srv/app
  As another user than the one who logs in:
    easycluster copy admin@web1 --become -- nginx.conf :/etc/nginx/
  A log of each machine, into a folder for each:
    easycluster copy -f hosts.txt -- :/var/log/app.log 'logs/{host}/'

Hosts are given before `--`, what is copied and where to after it. A path of the
hosts begins with a colon. As with rsync, a folder with a slash at its end means
what is in it: `dist/ :/srv/app` makes /srv/app/index.html, `dist :/srv/app` makes
/srv/app/dist/index.html. A single file gets the name of the destination, unless
that is a folder or ends with a slash. Folders on the way are made.

Files of the same size and time are not sent again. Each arrives under another
name and takes its own when it is whole; a large one that was cut off goes on
where it was at the next attempt. Contents are checked. A file is read once for
all hosts that keep up with each other. What is there in the place of a file is
replaced, with its permissions; the new one belongs to the user who copies.

Owners, ACLs, extended attributes and hard links are not copied; devices and
pipes are refused. What hosts send is not trusted: nothing is written outside of
the destination, and links that lead out of it are refused.

Exit status:
  0    everything was copied on every host
  1    something was not; the rest was
  2    the command line is wrong
  130  interrupted
  255  some host could not be reached, or was lost";

const USAGE: &str = "easycluster copy [OPTIONS] HOST... -- SOURCE... :DEST
       easycluster copy [OPTIONS] HOST... -- :SOURCE... DEST/{host}/";

/// Copy files to many machines, or from them
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES, override_usage = USAGE)]
pub(crate) struct Arguments {
    #[command(flatten)]
    hosts: HostOptions,
    #[command(flatten)]
    many: ManyOptions,
    /// Remove what is in copied folders there and not here; what is excluded stays
    #[arg(long)]
    delete: bool,
    /// Leave out what is called so: *.pyc, build/ (a folder), or with a slash a path from the top
    #[arg(long = "exclude", id = "left_out", value_name = "PATTERN")]
    left_out: Vec<String>,
    /// Say what would change on the hosts, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// What is done with symbolic links
    #[arg(long, value_name = "WHAT", default_value = "copy")]
    links: LinksChoice,
    /// Which files are not sent again: of the same size and time, of the same content, none
    #[arg(long, value_name = "WHICH", default_value = "same")]
    skip: SkipChoice,
    /// Permissions of files, in octal, or `all` for those they have with set-user-ID and the like; folders get x where r is
    #[arg(long, value_name = "MODE", value_parser = modes)]
    mode: Option<Modes>,
    /// Leave times as they come
    #[arg(long)]
    no_times: bool,
    /// Leave nothing behind of a large file that was cut off
    #[arg(long)]
    no_resume: bool,
    /// Have each file on the disk before it takes its name
    #[arg(long)]
    fsync: bool,
    /// Take at most so many bytes of each host, such as 500M
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_bytes: Option<u64>,
    /// Take at most so many files and folders of each host
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    max_files: u64,
    /// All words of the command line.
    #[arg(skip)]
    pub(crate) typed: Vec<String>,
    /// What is copied, and where to; a path of the hosts begins with a colon
    #[arg(last = true, value_name = "SOURCE... DEST")]
    paths: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LinksChoice {
    /// They are copied as links
    Copy,
    /// What they lead to is copied
    Follow,
    /// They are left out
    Skip,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SkipChoice {
    /// Those of the same size and time
    Same,
    /// Those of the same content, by SHA-256
    Content,
    /// None
    Never,
}

fn modes(text: &str) -> Result<Modes, String> {
    if text == "all" {
        return Ok(Modes::All);
    }
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(Modes::Set(mode)),
        _ => Err("permissions are octal, such as 644, or `all`".to_owned()),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text
        .get(digits.len()..)
        .unwrap_or_default()
        .to_ascii_uppercase()
        .as_str()
    {
        "" | "B" => 0,
        "K" | "KIB" => 10,
        "M" | "MIB" => 20,
        "G" | "GIB" => 30,
        "T" | "TIB" => 40,
        _ => return Err("a size is a number with K, M, G or T behind it".to_owned()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "a size is a number with K, M, G or T behind it".to_owned())?;
    number
        .checked_mul(1 << unit)
        .ok_or_else(|| "that is too large".to_owned())
}

/// Which way files go.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    To(Vec<PathBuf>, Vec<u8>),
    From(Vec<Vec<u8>>, OsString),
}

/// Takes apart what stands behind `--`.
///
/// # Errors
///
/// Where it is not to be seen which way files go; with what does it.
fn way(paths: &[OsString]) -> Result<Way, Failure> {
    let remote = |path: &OsString| path.as_bytes().strip_prefix(b":").map(<[u8]>::to_vec);
    let example = COPY_LINES;
    let (dest, sources) = match paths.split_last() {
        Some((dest, sources)) if !sources.is_empty() => (dest, sources),
        _ => {
            return Err(Failure::usage("copy takes what is copied and where to").with_hint(example));
        }
    };
    if paths.iter().any(|path| path == "-") {
        return Err(
            Failure::usage("copy takes files: neither stdin nor stdout is one").with_hint(
                "by commands: easycluster exec HOST... --stdin all -- 'cat > FILE', or easycluster exec HOST... --no-prefix -- cat FILE; a file of that name here is ./-",
            ),
        );
    }
    if sources.iter().any(|path| path.is_empty() || path == ":") || dest.is_empty() {
        return Err(Failure::usage("a path is empty").with_hint(
            "a variable in it may be unset here; `.` is this folder, and :~ the home of the user there",
        ));
    }
    let remote_sources: Vec<Vec<u8>> = sources.iter().filter_map(remote).collect();
    match (remote(dest), remote_sources.len()) {
        (Some(_), 0) if has_place(dest) => Err(Failure::usage(
            "{host} stands for a host in a folder of this machine; each host has its own anyway",
        )
        .with_hint("leave it out: what goes to the hosts has the same path on each")),
        (Some(dest), 0) => Ok(Way::To(sources.iter().map(PathBuf::from).collect(), dest)),
        (None, count) if count == sources.len() => Ok(Way::From(remote_sources, dest.clone())),
        (None, 0) => {
            Err(Failure::usage("none of the paths is one of the hosts").with_hint(example))
        }
        _ => Err(Failure::usage("both ends are on the hosts").with_hint(example)),
    }
}

pub(crate) fn main(arguments: Arguments) -> Result<i32, Failure> {
    if let Some(failure) = behind_separator(&arguments.typed) {
        return Err(failure);
    }
    let way = way(&arguments.paths).map_err(|failure| {
        let words = &arguments.hosts.specs;
        match copy_line(&arguments.typed, words).filter(|_| arguments.paths.is_empty()) {
            Some(line) => failure.with_hint(line),
            None => failure,
        }
    })?;
    let targets = arguments.hosts.targets(&arguments.hosts.specs)?;
    let targets = arguments.many.report.wanted(&arguments.hosts, targets)?;
    let options = arguments.options();
    match way {
        Way::To(sources, dest) => {
            let sending = crate::cli::runtime()?
                .block_on(Sending::new(sources, &options, targets.len()))
                .map_err(|error| {
                    Failure::usage(error.to_string()).with_hint(
                        "what goes to the hosts is read on this machine; a path of the hosts begins with a colon",
                    )
                })?;
            let (dest, dry_run) = (Arc::<[u8]>::from(dest), arguments.dry_run);
            many::on_all(
                "copy",
                targets,
                &arguments.many,
                &Secrets::default(),
                move |host| {
                    let (to_host, dest) = (sending.to_host(), Arc::clone(&dest));
                    send(host, to_host, dest, dry_run)
                },
            )
        }
        Way::From(sources, dest) => {
            if arguments.dry_run {
                return Err(Failure::usage(
                    "-n shows what would change on the hosts, and files come from there",
                ));
            }
            let many_to_one = targets.len() > 1 && !has_place(&dest);
            if many_to_one {
                let dest = dest.to_string_lossy();
                let dest = dest.trim_end_matches('/');
                return Err(
                    Failure::usage("the files of all hosts would go to the same place").with_hint(
                        format!("put {{host}} into the destination: '{dest}/{{host}}/'"),
                    ),
                );
            }
            let sources = Arc::new(sources);
            many::on_all(
                "copy",
                targets,
                &arguments.many,
                &Secrets::default(),
                move |host| {
                    let dest = path_of(&dest, &host.target.label);
                    receive(host, Arc::clone(&sources), dest, options.clone())
                },
            )
        }
    }
}

impl Arguments {
    fn options(&self) -> CopyOptions {
        CopyOptions {
            modes: self.mode.unwrap_or_default(),
            times: !self.no_times,
            links: match self.links {
                LinksChoice::Copy => Links::Copy,
                LinksChoice::Follow => Links::Follow,
                LinksChoice::Skip => Links::Skip,
            },
            skip: match self.skip {
                SkipChoice::Same => Skip::Same,
                SkipChoice::Content => Skip::Content,
                SkipChoice::Never => Skip::Never,
            },
            delete: self.delete,
            exclude: self.left_out.clone(),
            resume: !self.no_resume,
            fsync: self.fsync,
            max_bytes: self.max_bytes,
            max_files: self.max_files,
            progress: None,
        }
    }
}

/// Tells the command's own view.
fn progress(host: &Host) -> ProgressSink {
    let tell = host.progress();
    Arc::new(move |progress: &Progress| {
        tell(format!(
            "copying, {} of {}, {} of {} files",
            size(progress.bytes),
            size(progress.all_bytes),
            progress.files,
            progress.all_files
        ));
    })
}

async fn send(host: Host, to_host: ToHost, dest: Arc<[u8]>, dry_run: bool) -> Outcome {
    let to_host = to_host.with_progress(Some(progress(&host)));
    let own = host.clone();
    let work = move |client: Client| async move {
        if !dry_run {
            own.say(&to_host.copy(&client, &dest).await?.to_string());
            return Ok::<i32, Error>(0);
        }
        for difference in to_host.compare(&client, &dest).await? {
            own.say(&format!("{} {}", difference.change.name(), difference.path));
        }
        Ok(0)
    };
    host.clone().with_client(host.connect_options(), work).await
}

async fn receive(
    host: Host,
    sources: Arc<Vec<Vec<u8>>>,
    dest: PathBuf,
    mut options: CopyOptions,
) -> Outcome {
    options.progress = Some(progress(&host));
    let own = host.clone();
    let work = move |client: Client| async move {
        let copied = transfer::fetch(&client, &sources, &dest, &options).await?;
        own.say(&copied.to_string());
        Ok::<i32, Error>(0)
    };
    host.clone().with_client(host.connect_options(), work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn colons_say_which_way_files_go() {
        let to = Way::To(vec!["a".into(), "b".into()], b"/c".to_vec());
        assert_eq!(way(&paths(&["a", "b", ":/c"])).unwrap(), to);
        let from = Way::From(vec![b"/a".to_vec(), b"~".to_vec()], "c".into());
        assert_eq!(way(&paths(&[":/a", ":~", "c"])).unwrap(), from);
        for bad in [
            &["a"][..],
            &[],
            &["a", "b"],
            &[":a", ":b"],
            &["a", ":b", "c"],
            &["a", ":b", ":c"],
            &["", ":c"],
            &[":", "c"],
            &[":a", ""],
            &["a", ":b/{host}/"],
        ] {
            let failure = way(&paths(bad)).expect_err("no way");
            assert!(failure.hint.is_some(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_and_permissions_are_read() {
        assert_eq!(bytes("500M"), Ok(500 << 20));
        assert_eq!(bytes("7"), Ok(7));
        assert_eq!(bytes("2GiB"), Ok(2 << 30));
        for bad in ["", "M", "5X", "-1", "99999999999T"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(modes("640"), Ok(Modes::Set(0o640)));
        assert_eq!(modes("all"), Ok(Modes::All));
        assert!(modes("999").is_err() && modes("u+x").is_err());
    }
}
