//! `easycluster ping`: who can be reached, how fast, and which Python is there.

mod story;
mod table;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::cli::many::{self, Host, Limits, Outcome, ReportOptions, Shown};
use crate::cli::terminal::failure::{self, Failure};
use crate::cli::terminal::hosts::{HostOptions, Target};
use crate::cli::terminal::screen::Screen;
use crate::cli::terminal::stop;
use crate::connection::{ConnectOptions, OutputSink};
use crate::{Client, ConnectError, Error, Stage, Value};
use story::Told;
use table::{Machine, Row, Rows, Style};

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
#[command(after_long_help = EXAMPLES, override_usage = "easycluster ping [OPTIONS] HOST...")]
pub(crate) struct Arguments {
    #[command(flatten)]
    hosts: HostOptions,
    #[command(flatten)]
    report: ReportOptions,
    /// Show each connection stage by stage, with times, one host after the other
    #[arg(short, long)]
    verbose: bool,
    /// Print a JSON array instead of the table
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(arguments: Arguments) -> Result<i32, Failure> {
    let targets = arguments.hosts.targets(&arguments.hosts.specs)?;
    let targets = arguments.report.wanted(&arguments.hosts, targets)?;
    let verbose = arguments.verbose && !arguments.json;
    let mut options = arguments.report.clone();
    if verbose {
        options.jobs = 1;
    }
    let labels = many::labels(&targets);
    let screen = Screen::new();
    let rows: Rows = Arc::new(Mutex::new(labels.iter().map(|_| None).collect()));
    let told = Told::default();
    let style = match (arguments.json, verbose) {
        (true, _) => Style::None,
        (_, true) => Style::Story(told.clone()),
        _ => Style::Table,
    };
    let table = table::Table::new(style, &labels, Arc::clone(&rows), screen.clone());
    let mut shown = Shown::new("ping", screen, Box::new(table));
    shown.progress = !verbose;
    shown.summary = !arguments.json;
    shown.ci = options.ci_log().filter(|_| !arguments.json);
    let answers = Arc::clone(&rows);
    let mut finished =
        many::on_all_shown(targets, &options, Limits::default(), shown, move |host| {
            one(host, verbose.then(|| told.clone()), Arc::clone(&answers))
        })?;
    if finished.stopped {
        return Ok(finished.code);
    }
    if arguments.json {
        let rows = table::lock(&rows);
        let rows: Vec<&Row> = rows.iter().flatten().collect();
        let text = format!("{:#}\n", table::as_json(&rows));
        let text = crate::visible::json(text);
        let printing = move || failure::printed(text);
        match stop::unless_stopped(None, &mut finished.signals, printing) {
            Ok(failure::OK) => {}
            Ok(code) => return Ok(code),
            Err(stop) => return Ok(stop.exit_code()),
        }
    }
    Ok(if finished.code == failure::OK {
        failure::OK
    } else {
        failure::CONNECTION
    })
}

/// Asks one host. Its row is there before it ends.
async fn one(mut host: Host, told: Option<Told>, rows: Rows) -> Outcome {
    let label = host.target.label.clone();
    let story = told.map(|told| story::Story::begin(&label, told));
    let mut options = host.connect_options();
    // Nothing is printed by what we ask; what a login script prints is not about us.
    options.output = OutputSink::discard();
    if let Some(story) = &story {
        options.transport.observer = Some(story.observer());
    }
    let target = host.target.clone();
    let answer = tokio::select! {
        answer = ask(&target, options) => answer,
        () = host.stopping() => return Outcome::Interrupted,
    };
    if let Some(story) = story {
        story.end(&answer);
    }
    let (answer, outcome) = match answer {
        Ok(machine) => (Ok(machine), Outcome::Ended(0)),
        Err(error) => (Err(table::silence(&error)), Outcome::Failed(error)),
    };
    table::lock(&rows)[host.number] = Some(Row {
        host: label,
        answer,
    });
    outcome
}

async fn ask(target: &Target, options: ConnectOptions) -> Result<Machine, Error> {
    let started = Instant::now();
    let client = Client::begin(&target.spec, options).await?;
    let answers = async {
        client.send_helper(&crate::stub::functions::PROBE);
        let told: Value = client
            .call("helpers/probe.describe_machine", ())
            .plain()
            .await?;
        let hello = client.ready().await?;
        let connect_ms = in_milliseconds(started.elapsed());
        let mut shortest = Duration::MAX;
        for _ in 0..ROUND_TRIPS {
            shortest = shortest.min(client.ping().await?);
        }
        Ok::<_, Error>((hello, told, connect_ms, shortest))
    };
    let (hello, told, connect_ms, shortest) = tokio::select! {
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
        python: hello.python_version(),
        implementation: match &*hello.implementation {
            "cpython" => "CPython".to_owned(),
            "pypy" => "PyPy".to_owned(),
            other => other.to_owned(),
        },
        executable: hello.executable,
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

fn in_milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
