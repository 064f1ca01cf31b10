//! Authentication that asks the user: passwords, and whatever a server wants to know.

use russh::MethodKind;
use russh::client::{AuthResult, KeyboardInteractiveAuthResponse};

use crate::error::ConnectError;
use crate::transport::ssh::auth::{Attempt, Outcome, is_refusal};

/// Rounds of questions in one attempt; a second factor takes two or three.
const ROUNDS: usize = 100;
/// Rounds among them in which nothing is asked; PAM has one or two.
const SILENT_ROUNDS: usize = 20;

impl Attempt<'_> {
    pub(crate) async fn password(&mut self) -> Result<Outcome, ConnectError> {
        let question = format!(
            "{}{}@{}'s password: ",
            self.again("password"),
            self.settings.user,
            self.settings.host
        );
        let Some(password) = self.stages.asker.ask(&question, false).await else {
            self.tried.push("password: not answered".to_owned());
            self.withdraw(MethodKind::Password);
            return Ok(Outcome::Failure);
        };
        let request = self
            .handle
            .authenticate_password(&self.settings.user, password);
        match self.stages.timed_person(request).await? {
            Ok(result) => {
                if is_refusal(&result) {
                    self.tried.push("password: refused".to_owned());
                }
                self.outcome(result)
            }
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// What goes before a question that is put again.
    fn again(&self, method: &str) -> &'static str {
        if self.tried.last() == Some(&format!("{method}: refused")) {
            "Permission denied, please try again.\n"
        } else {
            ""
        }
    }

    /// A method whose question the user does not answer is not asked again.
    fn withdraw(&mut self, method: MethodKind) {
        if let Some(accepted) = &mut self.accepted {
            accepted.remove(method);
        }
    }

    pub(crate) async fn keyboard_interactive(&mut self) -> Result<Outcome, ConnectError> {
        let mut again = self.again("keyboard-interactive");
        let start = self
            .handle
            .authenticate_keyboard_interactive_start(&self.settings.user, None::<String>);
        let mut reply = self.stages.timed_person(start).await?;
        let mut silent_rounds = 0;
        for _ in 0..ROUNDS {
            match reply {
                Err(error) => return Err(self.broken(&error)),
                Ok(KeyboardInteractiveAuthResponse::Success) => return Ok(Outcome::Success),
                Ok(KeyboardInteractiveAuthResponse::Failure {
                    remaining_methods,
                    partial_success,
                }) => {
                    if !partial_success {
                        self.tried.push("keyboard-interactive: refused".to_owned());
                    }
                    return self.outcome(AuthResult::Failure {
                        remaining_methods,
                        partial_success,
                    });
                }
                Ok(KeyboardInteractiveAuthResponse::InfoRequest {
                    name,
                    instructions,
                    prompts,
                }) => {
                    // One that asks nothing is answered without a person, so a server could go on forever.
                    silent_rounds += usize::from(prompts.is_empty());
                    if silent_rounds > SILENT_ROUNDS {
                        break;
                    }
                    let mut responses = Vec::new();
                    let mut heading = [name, instructions]
                        .into_iter()
                        .filter(|text| !text.trim().is_empty())
                        .map(|text| format!("  {}\n", theirs(text.trim_end())))
                        .collect::<String>();
                    for prompt in prompts {
                        let question = format!(
                            "{}{heading}({}@{}) {}",
                            std::mem::take(&mut again),
                            self.settings.user,
                            self.settings.host,
                            theirs(&prompt.prompt)
                        );
                        heading.clear();
                        match self.stages.asker.ask(&question, prompt.echo).await {
                            Some(answer) => responses.push(answer),
                            None => {
                                // russh can only answer, so an empty one ends the attempt.
                                self.withdraw(MethodKind::KeyboardInteractive);
                                self.tried
                                    .push("keyboard-interactive: not answered".to_owned());
                                return Err(self.refused(&[]));
                            }
                        }
                    }
                    let answer = self
                        .handle
                        .authenticate_keyboard_interactive_respond(responses);
                    reply = self.stages.timed_person(answer).await?;
                }
            }
        }
        Err(self.failure("the server goes on asking without an end (keyboard-interactive)"))
    }
}

/// The most of a text of the server's that is put to the user, in characters.
const LONGEST_TEXT: usize = 4096;

/// A text of the server's within a question: no line of it can pass for one of ours.
fn theirs(text: &str) -> String {
    let text: String = text.chars().take(LONGEST_TEXT).collect();
    text.replace('\n', "\n  ")
}
