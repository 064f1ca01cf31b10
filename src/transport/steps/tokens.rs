//! What a step is recognized by in what comes back: the prompt that sudo is told to show, the line in front of su.
//!
//! Both are made of the halves of the bootstrap's marker in the other order, so that neither is taken for the marker, and they
//! differ for each step. The command line holds neither in one piece, so that an echo of it is neither: sudo itself puts the
//! account in the place of `%p`.

/// What sudo replaces by the account whose password it wants.
const ACCOUNT: &str = "%p";

/// The tokens of one start.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    first: String,
    second: String,
}

impl Tokens {
    pub(super) fn new(marker: &str) -> Self {
        let (second, first) = marker
            .split_at_checked(marker.len() / 2)
            .unwrap_or((marker, ""));
        Tokens {
            first: first.to_owned(),
            second: second.to_owned(),
        }
    }

    fn head(&self, step: usize) -> String {
        format!("{}.{step}.", self.first)
    }

    fn tail(&self) -> String {
        format!(".{}", self.second)
    }

    /// The prompt for sudo's `-p`.
    pub(super) fn prompt(&self, step: usize) -> String {
        format!("{}{ACCOUNT}{}", self.head(step), self.tail())
    }

    /// For `sh`: prints the line that says that a step has been reached, then runs its arguments.
    pub(super) fn announcing(&self, step: usize) -> String {
        format!(
            "echo {}\"\"{} >&2;exec \"$@\"",
            self.head(step),
            self.tail()
        )
    }

    /// The two halves of the line that says that a step has been reached.
    pub(super) fn announcement(&self, step: usize) -> (String, String) {
        (self.head(step), self.tail())
    }

    /// Whether this line says that a step has been reached.
    pub(super) fn announces(&self, step: usize, line: &str) -> bool {
        line.trim_end()
            .ends_with(&format!("{}{}", self.head(step), self.tail()))
    }

    /// The prompt of a step in an unfinished line.
    pub(super) fn prompt_in<'a>(&self, step: usize, line: &'a str) -> Option<Prompt<'a>> {
        let (before, rest) = line.rsplit_once(&self.head(step))?;
        let (account, behind) = rest.split_once(&self.tail())?;
        // An announcement has no account. Where `%p` stands as it was given (sudo-rs), something must follow that is not the
        // rest of the command line: a shell may show what it runs, in pieces.
        let expanded = account != ACCOUNT;
        let is_echo = behind.starts_with([' ', '\'', '"']) || behind.is_empty();
        (!account.is_empty() && (expanded || !is_echo)).then_some(Prompt {
            account: Some(account).filter(|_| expanded),
            is_alone: expanded && before.trim().is_empty() && behind.is_empty(),
        })
    }

    /// A text for people: prompts in words, and without announcements.
    pub(super) fn in_words(&self, text: &str) -> String {
        self.told(text, |account| format!("[sudo] password for {account}: "))
    }

    /// What others have printed: without prompts and announcements.
    pub(super) fn without(&self, text: &str) -> String {
        self.told(text, |_| String::new())
    }

    fn told(&self, text: &str, prompt: impl Fn(&str) -> String) -> String {
        let mut told = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once(&format!("{}.", self.first)) {
            // `STEP.ACCOUNT.SECOND`, or `STEP..SECOND` of an announcement.
            let named = behind
                .split_once('.')
                .filter(|(step, _)| !step.is_empty() && step.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|(_, named)| named.split_once(&self.tail()));
            told.push_str(before);
            match named {
                Some(("", after)) => rest = after.trim_start_matches(['\r', '\n']),
                Some((account, after)) => {
                    told.push_str(&prompt(account));
                    rest = after;
                }
                None => rest = behind,
            }
        }
        told.push_str(rest);
        told
    }
}

/// A prompt as it was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prompt<'a> {
    /// Whose password is wanted, where sudo says so.
    pub(super) account: Option<&'a str>,
    /// Nothing else stands in the line. Where something does (sudo-rs puts words around it), more may be on its way.
    pub(super) is_alone: bool,
}
