//! `easycluster ping`: who can be reached, how fast, and which Python is there.

mod story;
mod table;

use std::io::Write;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::cli::terminal::failure::{self, Failure, print_error};
use crate::cli::terminal::hosts::{self, HostOptions, Target};
use crate::cli::terminal::prompts::{self as terminal, Terminal};
use crate::cli::terminal::stop::Stopper;
use crate::connection::{ConnectOptions, OutputSink};
use crate::transport::Prompter;
use crate::{Client, ConnectError, Error, Stage, Value, fan_out};
use table::{Machine, Row, Silence};

const EXAMPLES: &str = "\
Examples:
  easycluster ping admin@web1 admin@web2
  One connection, stage by stage:
    easycluster ping -v admin@web1
  The names of the hosts that do not answer:
    easycluster ping -f hosts.txt --json |
      jq -r '.[] | select(.reachable | not) | .host'

CONNECT is the time from the start to the first answer of the remote Python.
ROUND TRIP is the shortest of a few over the open connection.

Exit status:
  0    every host answered
  2    the command line is wrong
  130  interrupted
  255  some host did not answer";

/// How long a Python that has started may take for its answers, where no limit is given for connecting.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// How often the round trip is measured.
const ROUND_TRIPS: usize = 5;

/// Show which machines answer, and which Python they have
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "easycluster ping [OPTIONS] SPEC...")]
pub(crate) struct Arguments {
    #[command(flatten)]
    hosts: HostOptions,
    /// Ask at most this many hosts at the same time
    #[arg(short, long, value_name = "N", default_value_t = 32, value_parser = hosts::at_least_one)]
    jobs: usize,
    /// Show each connection stage by stage, with times, one host after the other
    #[arg(short, long)]
    verbose: bool,
    /// Print a JSON array instead of the table
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(arguments: Arguments) -> Result<i32, Failure> {
    let targets = arguments.hosts.targets(&arguments.hosts.specs)?;
    let terminal = Terminal::remember();
    let runtime = crate::cli::runtime()?;
    let verbose = arguments.verbose && !arguments.json;
    let jobs = if verbose { 1 } else { arguments.jobs };
    let (rows, stopped) = runtime.block_on(all(targets, jobs, verbose, terminal.prompter()));
    crate::cli::end(runtime);
    if let Some(code) = stopped {
        terminal.restore();
        return Ok(code);
    }
    let printed = if arguments.json {
        let text = format!("{:#}\n", table::as_json(&rows));
        print(&crate::visible::json(text))
    } else if verbose {
        Ok(())
    } else {
        show(&rows)
    };
    if let Err(error) = printed {
        return Ok(failure::unwritten(&error));
    }
    let silent = rows.iter().any(|row| row.answer.is_err());
    Ok(if silent {
        failure::CONNECTION
    } else {
        failure::OK
    })
}

/// The table on stdout, and below it on stderr what to do about those that did not answer.
fn show(rows: &[Row]) -> std::io::Result<()> {
    print(&table::as_table(rows, terminal::width()))?;
    for row in rows {
        if let Err(silence) = &row.answer {
            print_error(&silence.message, silence.hint.as_deref());
        }
    }
    Ok(())
}

fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Asks all targets; the rows are in their order. An exit code instead where it was stopped.
async fn all(
    targets: Vec<Target>,
    jobs: usize,
    verbose: bool,
    prompter: Option<Prompter>,
) -> (Vec<Row>, Option<i32>) {
    let mut rows: Vec<Option<Row>> = targets.iter().map(|_| None).collect();
    let mut stopper = Stopper::new(watch::Sender::new(false).subscribe());
    let questions = targets
        .into_iter()
        .map(|target| one(target, verbose, prompter.clone()));
    let mut asking = fan_out(questions, jobs);
    loop {
        tokio::select! {
            asked = asking.next() => match asked {
                Some((number, row)) => rows[number] = Some(row),
                None => break,
            },
            _ = stopper.wait() => {
                asking.stop().await;
                break;
            }
        }
    }
    let code = stopper.reason().map(|stop| stop.exit_code());
    (rows.into_iter().flatten().collect(), code)
}

async fn one(target: Target, verbose: bool, prompter: Option<Prompter>) -> Row {
    let story = verbose.then(|| story::Story::begin(&target.label));
    let mut options = ConnectOptions {
        // Nothing is printed by what we ask; what a login script prints is not about us.
        output: OutputSink::discard(),
        ..ConnectOptions::default()
    };
    options.transport.prompter = prompter;
    options.transport.observer = story.as_ref().map(story::Story::observer);
    let answer = ask(&target, options).await;
    if let Some(story) = story {
        story.end(&answer);
    }
    Row {
        host: target.label,
        answer: answer.map_err(silence),
    }
}

async fn ask(target: &Target, options: ConnectOptions) -> Result<Machine, Error> {
    let started = Instant::now();
    let client = Client::begin(&target.spec, options).await?;
    let answers = async {
        client.send_part(crate::stub::probe());
        let told: Value = client
            .call("helpers/probe.describe_machine", ())
            .plain()
            .await?;
        let connect_ms = in_milliseconds(started.elapsed());
        let mut shortest = Duration::MAX;
        for _ in 0..ROUND_TRIPS {
            shortest = shortest.min(client.ping().await?);
        }
        Ok::<_, Error>((told, connect_ms, shortest))
    };
    let (told, connect_ms, shortest) = tokio::select! {
        answered = answers => answered?,
        error = standstill(&client, target.spec.timeout.unwrap_or(ANSWER_LIMIT)) => return Err(error),
    };
    client.close().await;
    let text = |key: &str| {
        told.get(key)
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned()
    };
    Ok(Machine {
        python: text("python"),
        implementation: text("implementation"),
        executable: text("executable"),
        system: text("system"),
        architecture: text("architecture"),
        cores: told.get("cores").and_then(Value::as_i64).unwrap_or(0),
        connect_ms,
        round_trip_ms: in_milliseconds(shortest),
    })
}

/// The error for a Python that started and then does not answer for so long.
async fn standstill(client: &Client, limit: Duration) -> Error {
    // Until it is up, each stage has a limit of its own.
    if let Err(error) = client.ready().await {
        return error;
    }
    tokio::time::sleep(limit).await;
    ConnectError::timeout(client.host(), Stage::Stub, limit)
        .with_hint("Python started there and then stopped responding; check the machine's load and its processes")
        .into()
}

fn silence(error: Error) -> Silence {
    Silence {
        stage: match &error {
            Error::Connect(error) => Some(error.stage.to_string()),
            _ => None,
        },
        message: error.to_string(),
        hint: error.hint(),
    }
}

fn in_milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
