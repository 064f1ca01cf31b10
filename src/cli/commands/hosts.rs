//! `easycluster hosts`: which hosts are meant, without connecting to any.

use serde_json::{Map, Value, json};

use crate::Plain;
use crate::cli::terminal::failure::{self, Failure};
use crate::cli::terminal::hosts::{HostOptions, Target};
use crate::inventory::fold;

const EXAMPLES: &str = "\
Examples:
  What a range stands for:
    easycluster hosts 'web[01-20,25]' -x 'web1*'
  What an inventory of Ansible has, and what a pattern chooses of it:
    easycluster hosts -I hosts.ini all
    easycluster hosts -I inventory/ 'web:&prod:!web03'
  The same in one line, or with specs, groups and variables:
    easycluster hosts -I hosts.ini web --fold
    easycluster hosts -I hosts.ini web --json | jq -r '.[].spec'

--json prints an array of objects: {\"host\", \"spec\", \"groups\", \"variables\"}.
Keys are left out of specs, and passwords of variables.

Exit status:
  0    hosts were found
  2    the command line is wrong, or nothing matches";

/// Print which hosts are meant, and connect to none
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    hosts: HostOptions,
    /// Print one line, with ranges: web[01-03,07]
    #[arg(long, conflicts_with = "json")]
    fold: bool,
    /// Print a JSON array, with the spec, groups and variables of each host
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<i32, Failure> {
    let targets = arguments.hosts.targets(&arguments.hosts.specs)?;
    let labels = || targets.iter().map(|target| target.label.as_str());
    let text = if arguments.json {
        let hosts: Vec<Value> = targets.iter().map(as_json).collect();
        format!("{:#}\n", Value::Array(hosts))
    } else if arguments.fold {
        fold(labels()) + "\n"
    } else {
        labels().map(|label| format!("{label}\n")).collect()
    };
    Ok(failure::printed(text))
}

fn as_json(target: &Target) -> Value {
    let variables = target.variables().into_iter();
    let variables: Map<String, Value> = variables
        .map(|(name, value)| (name.to_owned(), value_of(value)))
        .collect();
    let groups: Vec<&str> = target.host.groups().collect();
    json!({
        "host": target.label,
        "spec": target.spec.to_string(),
        "groups": groups,
        "variables": variables,
    })
}

/// A variable; what JSON has no form for is text.
fn value_of(value: &Plain) -> Value {
    match value {
        Plain::None => Value::Null,
        Plain::Bool(truth) => json!(truth),
        Plain::Int(number) => json!(number),
        Plain::BigInt(number) => json!(number.to_string()),
        Plain::Float(number) => json!(number),
        Plain::Str(text) => json!(text),
        Plain::List(items) => items.iter().map(value_of).collect(),
        Plain::Dict(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| {
                let key = match value_of(key) {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                (key, value_of(value))
            });
            Value::Object(pairs.collect())
        }
        _ => Value::Null,
    }
}
