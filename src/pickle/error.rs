//! Why a pickle is not read, and why its value is not of the requested type.

use std::fmt;

/// Why a pickle is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It ends early, or an instruction does not fit what came before it.
    Malformed(&'static str),
    /// It takes more to decode than a pickle of a value does.
    TooMuch(&'static str),
    /// It does something that no pickle of a value does.
    Forbidden(&'static str),
}

pub(super) const CUT_OFF: Refused = Refused::Malformed("it is cut off");
pub(super) const UNDERFLOW: Refused =
    Refused::Malformed("its stack is empty where a value is needed");
pub(super) const EXTENSION: Refused =
    Refused::Forbidden("uses an extension code of the copyreg module");

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Malformed(what) => write!(f, "the pickle is malformed: {what}"),
            Refused::TooMuch(what) | Refused::Forbidden(what) => {
                write!(f, "the pickle is refused: it {what}")
            }
        }
    }
}

/// Why a value cannot be written as a pickle, or a pickle not be read as the type that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error(Box<str>);

impl Error {
    pub(super) fn new(message: impl Into<Box<str>>) -> Error {
        Error(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error(message.to_string().into())
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        Error(refused.to_string().into())
    }
}
