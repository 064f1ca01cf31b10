//! Becoming another user on every host of a command: `--become` and where its password comes from.

use std::path::PathBuf;

use crate::cli::terminal::failure::{Failure, print_warning};
use crate::keys::read_password_file;
use crate::spec::{ConnectionSpec, Password, Step};

/// The arguments by which a command becomes another user.
#[derive(clap::Args, Default)]
pub(crate) struct BecomeOptions {
    /// Become this user on every host by sudo, root if none is named
    #[arg(
        long,
        alias = "sudo",
        value_name = "USER",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "root"
    )]
    pub(crate) r#become: Option<String>,
    /// Ask once for the password that sudo wants, where it wants one
    #[arg(long)]
    pub(crate) ask_sudo_password: bool,
    /// Take the password that sudo wants from the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with = "ask_sudo_password")]
    pub(crate) sudo_password_file: Option<PathBuf>,
}

impl BecomeOptions {
    /// Adds what the arguments say to the specs of all hosts. One that says itself whom to become keeps that.
    ///
    /// # Errors
    ///
    /// Where the user is not a user's name, the file cannot be read, or no host wants the password.
    pub(crate) fn apply<'a>(
        &self,
        specs: impl Iterator<Item = &'a mut ConnectionSpec>,
    ) -> Result<(), Failure> {
        let step = match &self.r#become {
            Some(user) => Some(
                format!("sudo/{user}")
                    .parse::<Step>()
                    .map_err(|reason| Failure::usage(format!("--become: {reason}")))?,
            ),
            None => None,
        };
        let password = self.password()?;
        let mut wanted = false;
        for spec in specs {
            if spec.become_step.is_none() {
                spec.become_step.clone_from(&step);
            }
            if let Some(password) = &password {
                wanted |= spec.steps().any(|step| matches!(step, Step::Sudo { .. }));
                *spec = std::mem::take(spec).with_sudo_password(password);
            }
        }
        if password.is_some() && !wanted {
            return Err(
                Failure::usage("a password for sudo, and no host where it is wanted")
                    .with_hint("add --become, or become=USER to the hosts"),
            );
        }
        Ok(())
    }

    fn password(&self) -> Result<Option<Password>, Failure> {
        if self.ask_sudo_password {
            return Ok(Some(Password::asked()));
        }
        let Some(path) = &self.sudo_password_file else {
            return Ok(None);
        };
        let (password, warning) = read_password_file(path).map_err(|error| {
            Failure::usage(format!(
                "cannot read the password file {}: {error}",
                path.display()
            ))
            .with_hint("--sudo-password-file takes a file with the password in its first line")
        })?;
        if let Some(warning) = warning {
            print_warning(&warning.to_string());
        }
        Ok(Some(Password::given(password)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::BecomeOptions;
    use crate::spec::ConnectionSpec;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: BecomeOptions,
    }

    fn steps(line: &[&str], specs: &[&str]) -> Result<Vec<String>, String> {
        let words = std::iter::once("x").chain(line.iter().copied());
        let options = Line::try_parse_from(words).expect("arguments").options;
        let mut specs: Vec<ConnectionSpec> =
            specs.iter().map(|text| text.parse().expect(text)).collect();
        options
            .apply(specs.iter_mut())
            .map_err(|failure| failure.message)?;
        Ok(specs
            .iter()
            .map(|spec| spec.steps_text().unwrap_or_default())
            .collect())
    }

    #[test]
    fn a_host_keeps_what_it_says_itself() {
        let specs = ["u@a", "u@b:then=podman/db", "u@c:become=bob"];
        for (line, expected) in [
            (vec![], ["", "podman/db", "sudo/bob"]),
            (
                vec!["--become"],
                ["sudo/root", "podman/db,sudo/root", "sudo/bob"],
            ),
            (
                vec!["--become=eve"],
                ["sudo/eve", "podman/db,sudo/eve", "sudo/bob"],
            ),
            (vec!["--ask-sudo-password"], ["", "podman/db", "sudo/bob"]),
        ] {
            let expected = expected.map(str::to_owned).to_vec();
            assert_eq!(steps(&line, &specs), Ok(expected), "{line:?}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(steps(&["--become=-x"], &["u@a"]).is_err());
        let none = steps(&["--ask-sudo-password"], &["u@a"]).unwrap_err();
        assert!(none.contains("no host where it is wanted"), "{none}");
        let missing = steps(&["--become", "--sudo-password-file", "/none"], &["u@a"]);
        assert!(missing.unwrap_err().contains("/none"));
    }

    #[test]
    fn a_password_is_the_first_line_of_its_file_and_is_not_shown() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("password");
        std::fs::write(&file, "s3cret word \r\nnot this\n").expect("written");
        let options = BecomeOptions {
            sudo_password_file: Some(file),
            ..BecomeOptions::default()
        };
        let mut spec: ConnectionSpec = "u@a:become=root".parse().expect("spec");
        options
            .apply(std::iter::once(&mut spec))
            .map_err(|failure| failure.message)
            .expect("taken");
        assert!(!format!("{spec} {spec:?} {}", spec.to_canonical()).contains("s3cret"));
        let expected = crate::spec::Password::given("s3cret word ");
        assert_eq!(
            spec.become_step,
            Some(crate::spec::Step::sudo("root").with_password(expected))
        );
    }
}
