//! What is to be done about what comes back while input is held back: a pure state machine, without I/O and without a clock.

use std::time::Duration;

use bytes::BytesMut;

use super::command::{has_terminal, is_announced, may_ask};
use super::tokens::Tokens;
use crate::spec::Step;
use crate::transport::tail::{NOISE_KEPT, Tail, find};

/// How long an unfinished line has to stay as it is until it counts as a prompt.
const PROMPT_SILENCE: Duration = Duration::from_millis(300);
/// The same where it holds a prompt of ours with something around it.
const OWN_PROMPT_SILENCE: Duration = Duration::from_millis(50);
/// Of an unfinished line no more than its end is looked at, in bytes.
const LINE_KEPT: usize = 2048;

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing yet.
    Wait,
    /// Input flows: the first stage has said a word.
    Release,
    /// A step wants its password, for this account where it says so. Said once a step.
    Password(usize, Option<String>),
    /// A step wants its password again.
    Refused(usize),
    /// Something that is not known asks this.
    Question(String),
}

/// A step that may ask.
struct Gate {
    step: usize,
    /// It says when it has been reached, and asks in its own words.
    is_announced: bool,
    has_password: bool,
    /// The password was handed out; the prompt that it was for, where that is not ours.
    answered: Option<String>,
}

/// The state between the start of the command and the first stage's word.
pub(super) struct Dialogue {
    marker: Vec<u8>,
    tokens: Tokens,
    gates: Vec<Gate>,
    /// The announced gate that was reached last.
    reached: Option<usize>,
    /// The terminals on which something may be asked and which have not been left: what is written before is typed there.
    terminals: Vec<usize>,
    /// The first stage has said a word.
    spoken: bool,
    out: BytesMut,
    err: Tail,
    /// The last line of standard error, which has no end yet.
    line: Vec<u8>,
}

impl Dialogue {
    pub(super) fn new(marker: &str, tokens: Tokens, steps: &[Step]) -> Self {
        let asking = || (0..steps.len()).filter(|step| may_ask(steps, *step));
        let gate = |step| Gate {
            step,
            is_announced: is_announced(steps, step),
            has_password: steps.get(step).and_then(Step::password).is_some(),
            answered: None,
        };
        Dialogue {
            marker: marker.as_bytes().to_vec(),
            tokens,
            gates: asking().map(gate).collect(),
            reached: None,
            terminals: asking()
                .filter(|step| has_terminal(steps, *step))
                .map(|step| step - 1)
                .collect(),
            spoken: false,
            out: BytesMut::new(),
            err: Tail::default(),
            line: Vec::new(),
        }
    }

    /// Takes standard output.
    pub(super) fn stdout(&mut self, data: &[u8]) -> Turn {
        let from = self.out.len().saturating_sub(self.marker.len());
        self.out.extend_from_slice(data);
        let fresh = self.out.get(from..).unwrap_or_default();
        self.spoken |= find(fresh, &self.marker).is_some();
        // More than the first stage says is none of it, and is not kept for a terminal that is never left.
        if self.spoken && (self.terminals.is_empty() || self.out.len() > 2 * NOISE_KEPT) {
            return Turn::Release;
        }
        if self.spoken {
            return Turn::Wait;
        }
        let over = self.out.len().saturating_sub(NOISE_KEPT);
        let _ = self.out.split_to(over);
        Turn::Wait
    }

    /// Takes standard error.
    pub(super) fn stderr(&mut self, data: &[u8]) -> Turn {
        self.err.extend(data);
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            let over = self.line.len().saturating_sub(LINE_KEPT);
            self.line.drain(..over);
            if piece.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&self.line).into_owned();
                self.announced(&line);
                self.line.clear();
            }
        }
        if self.spoken && self.terminals.is_empty() {
            return Turn::Release;
        }
        self.prompted(true)
    }

    /// Takes a whole line, which may say that a step has been reached or that a terminal has been left.
    fn announced(&mut self, line: &str) {
        let left = |step: &usize| self.tokens.announces(*step, line);
        if self.terminals.iter().any(left) {
            self.terminals
                .retain(|step| !self.tokens.announces(*step, line));
            self.reached = None;
        }
        let reached = self
            .gates
            .iter()
            .position(|gate| gate.is_announced && self.tokens.announces(gate.step, line));
        self.reached = reached.or(self.reached);
    }

    /// How long the line may stay as it is before `silence` is to be called.
    pub(super) fn patience(&self) -> Option<Duration> {
        if self.line.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        let line = String::from_utf8_lossy(&self.line);
        let is_ours = |gate: &Gate| self.tokens.prompt_in(gate.step, &line).is_some();
        Some(match self.gates.iter().any(is_ours) {
            true => OWN_PROMPT_SILENCE,
            false => PROMPT_SILENCE,
        })
    }

    /// The line has stayed as it is.
    pub(super) fn silence(&mut self) -> Turn {
        match self.prompted(false) {
            Turn::Wait => {}
            turn => return turn,
        }
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line).into_owned();
        let reached = self.reached.and_then(|at| self.gates.get_mut(at));
        match reached {
            Some(gate) if gate.has_password => match &gate.answered {
                None => {
                    gate.answered = Some(line);
                    return Turn::Password(gate.step, None);
                }
                Some(before) if before.trim() == line.trim() => return Turn::Refused(gate.step),
                Some(_) => {}
            },
            _ => {}
        }
        Turn::Question(line)
    }

    /// Looks for a prompt of sudo's in the line.
    fn prompted(&mut self, only_alone: bool) -> Turn {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        for gate in self
            .gates
            .iter_mut()
            .filter(|gate| !gate.is_announced && gate.has_password)
        {
            let Some(prompt) = self.tokens.prompt_in(gate.step, &line) else {
                continue;
            };
            if only_alone && !prompt.is_alone {
                continue;
            }
            self.line.clear();
            if gate.answered.is_some() {
                return Turn::Refused(gate.step);
            }
            gate.answered = Some(String::new());
            return Turn::Password(gate.step, prompt.account.map(str::to_owned));
        }
        Turn::Wait
    }

    /// What was printed, for what reads on: standard error, then standard output with the first stage's word.
    pub(super) fn printed(&mut self) -> (Vec<u8>, BytesMut) {
        (self.err.bytes().to_vec(), self.out.split())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{ConnectionSpec, Password};

    /// A dialogue about steps that all have a password, the prompts that sudo would show for `alice`, and the marker.
    fn dialogue(steps: &str) -> (Dialogue, impl Fn(usize, &str) -> String, String) {
        let spec: ConnectionSpec = format!("u@h:then={steps}").parse().unwrap();
        let steps: Vec<Step> = spec
            .then
            .into_iter()
            .map(|step| step.with_password(Password::given("x")))
            .collect();
        let marker = "0123456789abcdef";
        let tokens = Tokens::new(marker);
        let dialogue = Dialogue::new(marker, tokens.clone(), &steps);
        let prompt = move |step, account: &str| tokens.prompt(step).replace("%p", account);
        (dialogue, prompt, marker.to_owned())
    }

    fn password(step: usize, account: Option<&str>) -> Turn {
        Turn::Password(step, account.map(str::to_owned))
    }

    #[test]
    fn a_prompt_of_ours_is_answered_once() {
        for pieces in 1..6 {
            let (mut dialogue, prompt, _) = dialogue("sudo");
            let text = format!("A lecture.\n\n{}", prompt(0, "alice"));
            let size = text.len().div_ceil(pieces);
            let mut turns = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                turns.push(dialogue.stderr(piece));
            }
            let last = turns.pop();
            assert_eq!(last, Some(password(0, Some("alice"))));
            assert!(turns.iter().all(|turn| *turn == Turn::Wait), "{turns:?}");
            let again = format!("Sorry, try again.\n{}", prompt(0, "alice"));
            assert_eq!(dialogue.stderr(again.as_bytes()), Turn::Refused(0));
        }
    }

    #[test]
    fn words_around_a_prompt_make_it_wait_a_little() {
        let (mut dialogue, prompt, _) = dialogue("sudo");
        let text = format!("[sudo: {}] Password: ", prompt(0, "alice"));
        assert_eq!(dialogue.stderr(text.as_bytes()), Turn::Wait);
        assert_eq!(dialogue.patience(), Some(OWN_PROMPT_SILENCE));
        assert_eq!(dialogue.silence(), password(0, Some("alice")));
        // What stands in its line belongs to it.
        assert_eq!(dialogue.patience(), None);
        // One that has not been filled in.
        let (mut dialogue, prompt, _) = self::dialogue("sudo");
        let text = format!("[sudo: {}] Password: ", prompt(0, "%p"));
        assert_eq!(dialogue.stderr(text.as_bytes()), Turn::Wait);
        assert_eq!(dialogue.silence(), password(0, None));
    }

    #[test]
    fn an_echo_of_the_command_is_no_prompt() {
        let (mut dialogue, prompt, marker) = dialogue("sudo");
        let raw = prompt(0, "%p");
        for echo in [
            format!("exec sudo -S -p '{raw}' -H -u root --"),
            format!("+ exec sudo -S -p {raw} -H -u root --"),
            format!("exec sudo -S -p \"{raw}\" -H"),
            format!("+ exec sudo -S -p '{raw}"),
        ] {
            assert_eq!(dialogue.stderr(echo.as_bytes()), Turn::Wait, "{echo}");
            // At worst somebody is asked, who sees what it is.
            assert_eq!(dialogue.silence(), Turn::Question(echo));
        }
        let whole = format!("{} /bin/sh\n", prompt(0, "alice"));
        assert_eq!(dialogue.stderr(whole.as_bytes()), Turn::Wait);
        assert_eq!(dialogue.stdout(marker.as_bytes()), Turn::Release);
    }

    #[test]
    fn each_step_has_its_own_prompt() {
        let (mut dialogue, prompt, _) = dialogue("sudo/bob,sudo");
        assert_eq!(
            dialogue.stderr(prompt(1, "bob").as_bytes()),
            password(1, Some("bob"))
        );
        assert_eq!(
            dialogue.stderr(prompt(0, "alice").as_bytes()),
            password(0, Some("alice"))
        );
        assert_eq!(
            dialogue.stderr(prompt(1, "bob").as_bytes()),
            Turn::Refused(1)
        );
    }

    #[test]
    fn su_is_answered_where_it_was_reached() {
        let (mut dialogue, prompt, _) = dialogue("sudo,su/bob");
        // Something in front of it asks for a code.
        assert_eq!(dialogue.stderr(b"Code: "), Turn::Wait);
        assert_eq!(dialogue.patience(), Some(PROMPT_SILENCE));
        assert_eq!(dialogue.silence(), Turn::Question("Code: ".to_owned()));
        let reached = format!("{}\nPasswort: ", prompt(1, ""));
        assert_eq!(dialogue.stderr(reached.as_bytes()), Turn::Wait);
        assert_eq!(dialogue.silence(), password(1, None));
        // A second factor behind the password is another question, the same prompt is a refusal.
        assert_eq!(dialogue.stderr(b"\nFaktor: "), Turn::Wait);
        assert_eq!(dialogue.silence(), Turn::Question("Faktor: ".to_owned()));
        assert_eq!(dialogue.stderr(b"\nPasswort: "), Turn::Wait);
        assert_eq!(dialogue.silence(), Turn::Refused(1));
    }

    #[test]
    fn a_terminal_has_to_be_left_first() {
        let (mut dialogue, prompt, marker) = dialogue("tty,doas,tty,sudo");
        let reached = format!("{}\ndoas password: ", prompt(1, ""));
        assert_eq!(dialogue.stderr(reached.as_bytes()), Turn::Wait);
        assert_eq!(dialogue.silence(), password(1, None));
        let left = format!("\n{}\n", prompt(0, ""));
        assert_eq!(dialogue.stderr(left.as_bytes()), Turn::Wait);
        // What asks now is no longer doas.
        assert_eq!(dialogue.stderr(b"Code: "), Turn::Wait);
        assert_eq!(dialogue.silence(), Turn::Question("Code: ".to_owned()));
        let asks = format!("\n{}", prompt(3, "alice"));
        assert_eq!(dialogue.stderr(asks.as_bytes()), password(3, Some("alice")));
        // The line may come behind what stands on standard output.
        let said = format!("{marker}l\n");
        assert_eq!(dialogue.stdout(said.as_bytes()), Turn::Wait);
        let left = format!("\n{}\n", prompt(2, ""));
        assert_eq!(dialogue.stderr(left.as_bytes()), Turn::Release);
        assert_eq!(dialogue.printed().1, said.as_bytes());
    }

    #[test]
    fn a_terminal_that_is_never_left_keeps_little() {
        let (mut dialogue, _, marker) = dialogue("tty,run/x");
        assert_eq!(dialogue.stdout(marker.as_bytes()), Turn::Wait);
        let turns = (0..100).map(|_| dialogue.stdout(&[b'z'; 1000]));
        let waits = turns.take_while(|turn| *turn == Turn::Wait).count();
        assert!(waits * 1000 <= 2 * NOISE_KEPT, "{waits}");
    }

    #[test]
    fn the_first_stage_opens_the_way() {
        let (mut dialogue, _, marker) = dialogue("sudo");
        let said = format!("Welcome\n{marker}l\n");
        let (last, first) = said.as_bytes().split_last().unwrap();
        let mut turns: Vec<Turn> = first.iter().map(|byte| dialogue.stdout(&[*byte])).collect();
        turns.push(dialogue.stdout(&[*last]));
        let at = turns.iter().position(|turn| *turn == Turn::Release);
        assert_eq!(at, Some("Welcome\n".len() + marker.len() - 1));
        assert_eq!(dialogue.printed().1, said.as_bytes());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut dialogue, _, marker) = dialogue("sudo,su");
        for _ in 0..2000 {
            assert_eq!(dialogue.stdout(&[b'z'; 1000]), Turn::Wait);
            assert_eq!(dialogue.stderr(&[b'y'; 1000]), Turn::Wait);
        }
        assert!(dialogue.line.len() <= LINE_KEPT);
        assert_eq!(dialogue.stdout(marker.as_bytes()), Turn::Release);
        let (stderr, stdout) = dialogue.printed();
        assert!(stderr.len() <= NOISE_KEPT && stdout.len() <= NOISE_KEPT + marker.len());
    }
}
