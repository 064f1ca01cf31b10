//! The way through steps that may ask: reads until the first stage speaks, and answers prompts in between.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use zeroize::Zeroizing;

use super::dialogue::{Dialogue, Turn};
use super::tokens::Tokens;
use super::{Passage, explain};
use crate::error::{ConnectError, Stage, printable};
use crate::spec::{Password, PasswordSource, Secret, Step};
use crate::transport::asker::Asker;
use crate::transport::{ExitStatus, Process, ReadEvent, TransportOptions};

/// How many questions of programs are passed on to the user.
const MAX_QUESTIONS: usize = 8;

/// Why nothing came of it.
pub(crate) enum Stopped {
    /// A step failed, or took too long.
    Failed(ConnectError),
    /// The connection ended before a word of the other side.
    Lost,
}

/// An answer that is being looked for.
type Answering = Pin<Box<dyn Future<Output = Result<Secret, ConnectError>> + Send>>;

/// Holds all input back until the first stage has spoken, and gives what was read until then.
pub(crate) async fn go_through(
    host: &str,
    steps: &[Step],
    passage: &Passage,
    process: &mut Process,
    options: &TransportOptions,
) -> Result<Vec<ReadEvent>, Stopped> {
    let dialogue = Dialogue::new(&passage.marker, Tokens::new(passage.token()), steps);
    let mut conversation = Conversation {
        host,
        steps,
        passage,
        options,
        dialogue,
        asker: Asker::new(host, options.prompter.clone()).at(Stage::Escalation),
        questions: 0,
        answering: None,
        status: None,
        since: Instant::now(),
    };
    let begun = Instant::now();
    let mut way = Way {
        process,
        is_through: false,
    };
    conversation.run(way.process).await?;
    way.is_through = true;
    let texts: Vec<String> = steps.iter().map(ToString::to_string).collect();
    options.reached(Stage::Escalation, begun.elapsed(), texts.join(", "));
    let (stderr, stdout) = conversation.dialogue.printed();
    let mut read = vec![
        ReadEvent::Stderr(stderr.into()),
        ReadEvent::Stdout(stdout.freeze()),
    ];
    // A child process may be gone before its output is read.
    read.extend(conversation.status.map(ReadEvent::Exit));
    Ok(read)
}

/// What is on its way. Given up before it is through, it is signalled as well, where the server does that: what reads nothing does
/// not see the end of its input.
struct Way<'a> {
    process: &'a mut Process,
    is_through: bool,
}

impl Drop for Way<'_> {
    fn drop(&mut self) {
        if !self.is_through {
            self.process.reader.signal_at_close();
        }
    }
}

struct Conversation<'a> {
    host: &'a str,
    steps: &'a [Step],
    passage: &'a Passage,
    options: &'a TransportOptions,
    dialogue: Dialogue,
    asker: Asker,
    questions: usize,
    answering: Option<Answering>,
    status: Option<ExitStatus>,
    /// The time limit counts from here: a person takes as long as it takes.
    since: Instant,
}

impl Conversation<'_> {
    async fn run(&mut self, process: &mut Process) -> Result<(), Stopped> {
        let mut quiet = Instant::now();
        loop {
            let limit = self.options.limits.since(Stage::Escalation, self.since);
            let silence = self
                .dialogue
                .patience()
                .filter(|_| self.answering.is_none());
            let turn = tokio::select! {
                biased;
                event = process.reader.next() => {
                    quiet = Instant::now();
                    match event {
                        Some(ReadEvent::Stdout(data)) => self.dialogue.stdout(&data),
                        Some(ReadEvent::Stderr(data)) => self.dialogue.stderr(&data),
                        // How it ended comes next, or the limit of the stage.
                        Some(ReadEvent::OutputEnd) => Turn::Wait,
                        Some(ReadEvent::Exit(status)) => {
                            self.status = Some(status);
                            Turn::Wait
                        }
                        None => return Err(self.ended()),
                    }
                }
                answer = answer(&mut self.answering) => {
                    self.answering = None;
                    self.since = Instant::now();
                    let secret = answer.map_err(Stopped::Failed)?;
                    self.write(process, &secret).await?;
                    quiet = Instant::now();
                    Turn::Wait
                }
                () = sleep_until(quiet, silence) => self.dialogue.silence(),
                () = sleep_until(self.since, Some(limit)), if self.answering.is_none() => {
                    return Err(self.timeout(limit));
                }
            };
            match turn {
                Turn::Wait => {}
                Turn::Release => return Ok(()),
                Turn::Password(step, account) => {
                    self.answering = Some(self.password(step, account))
                }
                Turn::Refused(step) => return Err(Stopped::Failed(self.refused(step))),
                Turn::Question(text) => self.answering = Some(self.question(text)?),
            }
        }
    }

    /// Looks for the password of a step.
    fn password(&self, step: usize, account: Option<String>) -> Answering {
        let wanting = self.steps.get(step);
        let source = wanting.and_then(Step::password);
        let step_text = wanting.map(ToString::to_string).unwrap_or_default();
        let account = match wanting {
            Some(Step::Su { user, .. }) => Some(user.clone()),
            _ => account,
        };
        let failed = |message: String| ConnectError::new(self.host, Stage::Escalation, message);
        let no_terminal = failed(format!(
            "{step_text} wants a password, and there is no terminal to ask for it on"
        ))
        .with_hint("give it by --sudo-password-file or, in a program, as the step's password; questions need a terminal and no batch=yes");
        let unanswered = failed(format!(
            "the question for the password of {step_text} was not answered"
        ))
        .with_hint("connect again and type it, or give it by --sudo-password-file");
        match source.cloned().map(|Password(source)| source) {
            Some(PasswordSource::Given(secret)) => Box::pin(std::future::ready(Ok(secret))),
            Some(PasswordSource::Asked(answers)) => {
                let asker = self.asker.clone();
                let name = step_text.split('/').next().unwrap_or_default().to_owned();
                Box::pin(async move {
                    if !asker.available() {
                        return Err(no_terminal);
                    }
                    let account = account.unwrap_or_default();
                    let mut answers = answers.0.lock().await;
                    if let Some(known) = answers.get(&account) {
                        return known.clone().ok_or(unanswered);
                    }
                    let of = match account.as_str() {
                        "" => String::new(),
                        account => format!(" for {account}"),
                    };
                    let answer = asker.ask(&format!("[{name}] password{of}: "), false).await;
                    let answer = answer.map(|text| Secret::new(Zeroizing::new(text)));
                    answers.insert(account, answer.clone());
                    answer.ok_or(unanswered)
                })
            }
            None => Box::pin(std::future::ready(Err(no_terminal))),
        }
    }

    /// Puts a question of a program to the user.
    fn question(&mut self, text: String) -> Result<Answering, Stopped> {
        self.questions += 1;
        let shown = printable(text.trim()).replace('\n', " ");
        let failed = |why: &str, hint: &str| {
            let error = ConnectError::new(
                self.host,
                Stage::Escalation,
                format!("{} asks {shown:?}, and {why}", self.names()),
            );
            error.with_hint(hint)
        };
        if self.questions > MAX_QUESTIONS {
            return Err(Stopped::Failed(failed(
                "asks on and on",
                "look by hand what it wants",
            )));
        }
        let no_terminal = failed(
            "there is no terminal to ask on",
            "a program gives su and doas their passwords with the step; anything else takes a terminal, and no batch=yes",
        );
        if !self.asker.available() {
            return Err(Stopped::Failed(no_terminal));
        }
        let unanswered = failed("that was not answered", "connect again and type the answer");
        let (asker, question) = (self.asker.clone(), format!("({}) {text}", self.host));
        Ok(Box::pin(async move {
            let answer = asker.ask(&question, false).await;
            answer
                .map(|text| Secret::new(Zeroizing::new(text)))
                .ok_or(unanswered)
        }))
    }

    /// Writes one line.
    async fn write(&mut self, process: &mut Process, secret: &Secret) -> Result<(), Stopped> {
        if secret.contains(['\n', '\r', '\0']) {
            let error = ConnectError::new(
                self.host,
                Stage::Escalation,
                "a password with a line break cannot be typed",
            );
            return Err(Stopped::Failed(
                error.with_hint("give its first line alone"),
            ));
        }
        let mut line = Zeroizing::new(secret.as_bytes().to_vec());
        line.push(b'\n');
        let limit = self.options.limits.of(Stage::Escalation);
        let writing = process.writer.write(vec![Bytes::from_owner(line)]);
        // A pipe that is broken: what is read next says why.
        match tokio::time::timeout(limit, writing).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.timeout(limit)),
        }
    }

    /// The steps, for a sentence.
    fn names(&self) -> String {
        let texts: Vec<String> = self.steps.iter().map(ToString::to_string).collect();
        format!("something on the way through {}", texts.join(","))
    }

    fn printed(&mut self) -> Vec<u8> {
        let (mut printed, stdout) = self.dialogue.printed();
        printed.extend_from_slice(&stdout);
        printed
    }

    fn refused(&mut self, step: usize) -> ConnectError {
        let step = self.steps.get(step).map(ToString::to_string);
        let printed = self.printed();
        ConnectError::new(
            self.host,
            Stage::Escalation,
            format!("{} refused the password", step.unwrap_or_default()),
        )
        .with_hint("correct it; it was tried once, because accounts are locked after several times")
        .with_output(self.passage.in_words(&printed).as_bytes())
    }

    fn timeout(&mut self, limit: Duration) -> Stopped {
        let printed = self.printed();
        let limit = self.options.limits.used_up().unwrap_or(limit);
        Stopped::Failed(
            ConnectError::timeout(self.host, Stage::Escalation, limit)
                .with_hint(format!(
                    "look by hand what {} waits for; a longer limit is timeout=SECONDS in the spec",
                    self.names()
                ))
                .with_output(self.passage.in_words(&printed).as_bytes()),
        )
    }

    fn ended(&mut self) -> Stopped {
        let printed = self.printed();
        let text = self.passage.in_words(&printed);
        match explain::explain(self.host, self.steps, self.status.as_ref(), &text) {
            Some(error) => Stopped::Failed(error.with_output(text.as_bytes())),
            None => Stopped::Lost,
        }
    }
}

/// Waits for the answer, if one is looked for. Dropping it drops the answer.
async fn answer(answering: &mut Option<Answering>) -> Result<Secret, ConnectError> {
    match answering {
        Some(answering) => answering.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(since: Instant, time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep_until((since + time).into()).await,
        None => std::future::pending().await,
    }
}
