//! `CallbackError`: what a callback fails with, which remote code gets as an exception.

use std::any::Any;
use std::fmt;

use crate::error::Error;
use crate::pickle::{Plain, encode};

/// What a callback fails with. Any error becomes one by `?`: an [`Error::Remote`] the exception that it was, an
/// [`std::io::Error`] of the system an `OSError`, any other a `RuntimeError`.
#[derive(Debug, Clone)]
pub struct CallbackError {
    module: String,
    name: String,
    args: Option<Vec<Plain>>,
    message: String,
}

impl CallbackError {
    /// An exception of this class, `ValueError` or `module.Class`, with its words. One that the host does not have is a
    /// `RuntimeError` there, which names it.
    pub fn new(class: &str, message: impl Into<String>) -> CallbackError {
        let (module, name) = class.rsplit_once('.').unwrap_or(("builtins", class));
        CallbackError {
            module: module.to_owned(),
            name: name.to_owned(),
            args: None,
            message: message.into(),
        }
    }

    /// The pickle by which the other side is told (ME-40).
    pub(super) fn told(&self, protocol: u8) -> Vec<u8> {
        let Self {
            module,
            name,
            args,
            message,
        } = self;
        let names = [(module, name)];
        let text = format!("{self}\n");
        encode(&(&names[..], args, message, &text), protocol)
            // Only what was taken over from another exception may be too deep.
            .or_else(|_| encode(&(&names[..], None::<Vec<Plain>>, message, &text), protocol))
            .unwrap_or_default()
    }
}

impl fmt::Display for CallbackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.module != "builtins" {
            write!(f, "{}.", self.module)?;
        }
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl<E: std::error::Error + 'static> From<E> for CallbackError {
    fn from(error: E) -> CallbackError {
        let mut made = CallbackError::new("RuntimeError", error.to_string());
        let any: &dyn Any = &error;
        if let Some(Error::Remote(remote)) = any.downcast_ref() {
            made.module.clone_from(&remote.module);
            made.name.clone_from(&remote.type_name);
            made.message.clone_from(&remote.message);
            made.args.clone_from(&remote.args);
        } else if let Some(system) = any.downcast_ref::<std::io::Error>()
            && let Some(number) = system.raw_os_error()
        {
            "OSError".clone_into(&mut made.name);
            made.args = Some(vec![
                Plain::from(i64::from(number)),
                Plain::from(made.message.as_str()),
            ]);
        }
        made
    }
}
