//! A program that runs alone on another machine, without a stub: the remote command, and the text that its Python reads (BS-16).

use std::sync::LazyLock;

use bytes::Bytes;
use data_encoding::BASE64;

use super::FirstStage;
use crate::error::Error;

/// What runs first, which reads all the rest.
const RUN_ALONE: &str = include_str!(concat!(env!("OUT_DIR"), "/run_alone.py"));
/// What runs every program.
const RUN_MAIN: &str = include_str!(concat!(env!("OUT_DIR"), "/run_main.py"));
/// What few programs need, as text, because the whole may be an environment variable.
static OTHERS: LazyLock<String> = LazyLock::new(|| BASE64.encode(part!("run_others")));

/// The start of a program's Python, which waits for text, under the interpreter `rpython`, or the best one found.
///
/// # Errors
/// As [`Bootstrap::new`](super::Bootstrap::new).
pub(crate) fn start(rpython: Option<&str>) -> Result<FirstStage, Error> {
    FirstStage::new("stub/first_stage_program.py", RUN_ALONE.len(), rpython)
}

/// A program, and what it is given on one host. What is bytes is so because names of files and variables need not be text.
#[derive(Debug, Clone)]
pub(crate) struct PythonProgram {
    pub(crate) source: Bytes,
    /// What tracebacks call it.
    pub(crate) filename: String,
    /// `sys.argv`, the program's own name first.
    pub(crate) argv: Vec<Vec<u8>>,
    pub(crate) environment: Vec<(String, Vec<u8>)>,
    /// To run in; the account's home otherwise.
    pub(crate) folder: Option<Vec<u8>>,
}

impl PythonProgram {
    /// The text that its Python reads, in pieces, of which the long ones are shared by all hosts.
    pub(crate) fn text(&self) -> Vec<Bytes> {
        let given = self.given();
        let sizes = format!("{} {} {}\n", RUN_MAIN.len(), OTHERS.len(), given.len());
        vec![
            Bytes::from_static(RUN_ALONE.as_bytes()),
            sizes.into(),
            Bytes::from_static(RUN_MAIN.as_bytes()),
            Bytes::from_static(OTHERS.as_bytes()),
            given.into(),
            self.source.clone(),
        ]
    }

    /// What it is given, as literals of every Python: file name, arguments, variables, folder.
    fn given(&self) -> String {
        let mut text = String::from("(");
        literal(self.filename.as_bytes(), &mut text);
        text.push_str(",[");
        for word in &self.argv {
            literal(word, &mut text);
            text.push(',');
        }
        text.push_str("],{");
        for (name, value) in &self.environment {
            literal(name.as_bytes(), &mut text);
            text.push(':');
            literal(value, &mut text);
            text.push(',');
        }
        text.push_str("},");
        literal(self.folder.as_deref().unwrap_or_default(), &mut text);
        text.push(')');
        text
    }
}

/// Appends bytes as a literal.
fn literal(bytes: &[u8], text: &mut String) {
    text.push_str("b\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b' '..=b'~' => text.push(char::from(*byte)),
            byte => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_is_given_stands_as_literals() {
        let program = PythonProgram {
            source: Bytes::from_static(b"print(1)"),
            filename: "a \"b\"\\.py".to_owned(),
            argv: vec![b"x\n'".to_vec(), "\u{fc}".as_bytes().to_vec()],
            environment: vec![("A".to_owned(), vec![0xff])],
            folder: None,
        };
        assert_eq!(
            program.given(),
            r#"(b"a \"b\"\\.py",[b"x\x0a'",b"\xc3\xbc",],{b"A":b"\xff",},b"")"#
        );
    }

    #[test]
    fn the_text_of_a_program_is_short_and_holds_no_zero_byte() {
        let program = PythonProgram {
            source: Bytes::new(),
            filename: String::new(),
            argv: Vec::new(),
            environment: Vec::new(),
            folder: None,
        };
        let text = program.text().concat();
        assert!(!text.contains(&0));
        println!("{} bytes", text.len());
        assert!(text.len() <= 14_000, "{} bytes", text.len());
    }
}
