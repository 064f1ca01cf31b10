//! The demo's acts in which the program itself and the Python package work on the same server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt;

use crate::cli::commands::demo::{call, heading, result, say, source};
use crate::cli::terminal::failure::Failure;
use crate::cli::this_program::this_program;
use crate::process::{self, ErrorOutput, Group};
use crate::spec::ConnectionSpec;

/// What the Python act runs; the spec comes by a variable.
const SCRIPT: &str = "\
import os, easycluster

easycluster.define_common('''
def add(a, b):
    return a + b
''')
client = easycluster.Client.from_spec(os.environ['SPEC'])
print(client.add(20, 22), client.os.path.basename('/etc/ssh/sshd_config'))
client.close()
";

/// Runs this program on three names of the server.
pub(super) async fn by_the_program(folder: &Path, spec: &ConnectionSpec) -> Result<(), Failure> {
    heading("In a shell");
    let file = folder.join("hosts.txt");
    let lines: String = (1..=3)
        .map(|number| {
            let mut spec = spec.clone();
            spec.name = Some(format!("web{number}"));
            spec.to_canonical() + "\n"
        })
        .collect();
    std::fs::write(&file, lines)
        .map_err(|error| Failure::here(format!("cannot write a temporary file: {error}")))?;
    say(
        "hosts.txt has this server three times, as web1, web2 and web3. A shell command on all of them, and Python:\n",
    );
    for words in [
        &[
            "exec",
            "-f",
            "hosts.txt",
            "--",
            "echo \"hello from process $$\"",
        ][..],
        &[
            "run",
            "-f",
            "hosts.txt",
            "--gather",
            "-q",
            "-c",
            "print(6 * 7)",
        ],
        &["hosts", "-f", "hosts.txt", "-x", "web2", "--fold"],
    ] {
        let shown = shlex::try_join(words.iter().copied()).unwrap_or_default();
        call(&format!("easycluster {shown}"));
        let mut line = this_program().map_err(|error| Failure::here(error.to_string()))?;
        line.extend(words.iter().map(OsString::from));
        result(&output_of(line, folder, &[]).await?);
    }
    Ok(())
}

/// Runs the Python package where it is there, and shows how it is used where it is not.
pub(super) async fn by_python(folder: &Path, spec: &ConnectionSpec) -> Result<(), Failure> {
    heading("In Python");
    source(SCRIPT);
    let Some(python) = python() else {
        say("There is no python3 here to run it.\n");
        return Ok(());
    };
    let line = |code: &str| -> Vec<OsString> {
        vec![python.clone().into_os_string(), "-c".into(), code.into()]
    };
    if output_of(line("import easycluster"), folder, &[])
        .await
        .is_err()
    {
        say(&format!(
            "It was not run: {} does not have the package. In the folder of this project, `pip install .` installs it.\n",
            python.display()
        ));
        return Ok(());
    }
    let spec = spec.to_canonical();
    result(&output_of(line(SCRIPT), folder, &[("SPEC", &spec)]).await?);
    Ok(())
}

/// The Python that this program is part of, or the one in PATH.
fn python() -> Option<PathBuf> {
    let own = this_program().ok().filter(|words| words.len() > 1);
    let own = own
        .and_then(|words| words.into_iter().next())
        .map(PathBuf::from);
    own.or_else(|| process::find_program("python3"))
}

/// What a command prints on both of its outputs.
async fn output_of(
    line: Vec<OsString>,
    folder: &Path,
    variables: &[(&str, &str)],
) -> Result<String, Failure> {
    let mut words = line.into_iter();
    let mut command = process::program(words.next().unwrap_or_default());
    command.args(words).current_dir(folder);
    // The demo's own hosts, whatever this user's usual ones are.
    for name in [
        "EASYCLUSTER_HOSTS",
        "EASYCLUSTER_INVENTORY",
        "GITHUB_ACTIONS",
        "GITLAB_CI",
    ] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    let failed = |what: String| Failure::here(format!("a command of the demo failed: {what}"));
    let mut spawned = process::spawn(command, Group::Own, ErrorOutput::Piped)
        .map_err(|error| failed(error.to_string()))?;
    drop(spawned.stdin);
    let (mut text, mut errors) = (String::new(), String::new());
    let stderr = async {
        match &mut spawned.stderr {
            Some(stderr) => stderr.read_to_string(&mut errors).await,
            None => Ok(0),
        }
    };
    let both = tokio::try_join!(spawned.stdout.read_to_string(&mut text), stderr);
    both.map_err(|error| failed(error.to_string()))?;
    let status = spawned.child.wait().await;
    if status.shell_code() == Some(0) {
        Ok((text + &errors).trim_end().to_owned())
    } else {
        Err(failed(errors.trim_end().to_owned()))
    }
}
