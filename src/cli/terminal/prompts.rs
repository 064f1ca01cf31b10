//! The terminal that questions are asked on, and its settings, which a question cut short would leave changed.

use crate::transport::Prompter;

/// The controlling terminal, if there is one.
pub(crate) struct Terminal {
    #[cfg(unix)]
    saved: Option<(std::fs::File, rustix::termios::Termios)>,
}

impl Terminal {
    /// Takes note of how the terminal is set now.
    pub(crate) fn remember() -> Terminal {
        Terminal {
            #[cfg(unix)]
            saved: std::fs::File::open("/dev/tty").ok().and_then(|file| {
                let settings = rustix::termios::tcgetattr(&file).ok()?;
                Some((file, settings))
            }),
        }
    }

    /// Who answers the questions of connections: the person at the terminal, also where stdin is
    /// a file; or the program that SSH_ASKPASS names, as `ssh` chooses. `None`: nothing can be asked.
    pub(crate) fn prompter(&self) -> Option<Prompter> {
        #[cfg(unix)]
        let at_terminal = self.saved.is_some();
        #[cfg(not(unix))]
        let at_terminal = std::io::IsTerminal::is_terminal(&std::io::stdin());
        crate::transport::ssh::prompter(at_terminal)
    }

    /// Sets it as it was. For commands that are stopped while a password is being typed, when echo
    /// is off.
    pub(crate) fn restore(&self) {
        #[cfg(unix)]
        if let Some((file, settings)) = &self.saved {
            let now = rustix::termios::OptionalActions::Now;
            // A terminal that has gone needs no settings.
            let _ = rustix::termios::tcsetattr(file, now, settings);
        }
    }
}

/// The columns and rows of the terminal that stderr is; `None` where it is none.
pub(crate) fn size() -> Option<(usize, usize)> {
    #[cfg(unix)]
    {
        // Asking for the size of what is no terminal fails, which is the answer.
        let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
        let size = (usize::from(size.ws_col), usize::from(size.ws_row));
        Some(size).filter(|(columns, rows)| *columns > 0 && *rows > 0)
    }
    #[cfg(not(unix))]
    None
}
