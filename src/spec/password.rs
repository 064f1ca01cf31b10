//! Where the password of a step comes from. It stands in no text of a spec, and nothing shows it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// A secret text, wiped from memory when the last holder is done with it.
pub(crate) type Secret = Arc<Zeroizing<String>>;

/// Where the password of a [`Step`](crate::spec::Step) comes from. `Debug` leaves it out.
#[derive(Clone)]
pub struct Password(pub(crate) PasswordSource);

#[derive(Clone)]
pub(crate) enum PasswordSource {
    /// The program has it.
    Given(Secret),
    /// The user is asked by the prompter when the first machine wants it.
    Asked(Arc<Answers>),
}

/// What the user has answered, by the account whose password was asked for. Held while a question is open, so that
/// machines that want the same password wait for the same answer. `None` is an answer that was refused.
#[derive(Default)]
pub(crate) struct Answers(pub(crate) tokio::sync::Mutex<HashMap<String, Option<Secret>>>);

impl Password {
    /// This password.
    pub fn given(password: impl Into<String>) -> Self {
        Password(PasswordSource::Given(Arc::new(Zeroizing::new(
            password.into(),
        ))))
    }

    /// The answer to a question that is asked by the prompter, once an account for all clones of this value, and only where a
    /// machine wants a password.
    pub fn asked() -> Self {
        Password(PasswordSource::Asked(Arc::default()))
    }
}

/// Leaves the password out.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// The same text, or clones of one question.
impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (PasswordSource::Given(one), PasswordSource::Given(other)) => one == other,
            (PasswordSource::Asked(one), PasswordSource::Asked(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for Password {}
