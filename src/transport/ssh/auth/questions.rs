//! Authentication that asks the user: passwords, and whatever a server wants to know.

use russh::MethodKind;
use russh::client::{AuthResult, KeyboardInteractiveAuthResponse};

use crate::error::{ConnectError, Stage};
use crate::transport::ssh::auth::{Attempt, Outcome};

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
        match self.stages.timed(Stage::Authentication, request).await? {
            Ok(result) => {
                if !result.success() {
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
        let mut reply = self.stages.timed(Stage::Authentication, start).await?;
        loop {
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
                    let mut responses = Vec::new();
                    let mut heading = [name, instructions]
                        .into_iter()
                        .filter(|text| !text.is_empty())
                        .collect::<Vec<_>>()
                        .join("\n");
                    for prompt in prompts {
                        if !heading.is_empty() {
                            heading.push('\n');
                        }
                        let question = format!(
                            "{}{heading}({}@{}) {}",
                            std::mem::take(&mut again),
                            self.settings.user,
                            self.settings.host,
                            prompt.prompt
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
                    reply = self.stages.timed(Stage::Authentication, answer).await?;
                }
            }
        }
    }
}
