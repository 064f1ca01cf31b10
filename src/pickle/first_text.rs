//! The name that a request's pickle begins with, of which only the beginning is available.

use super::opcodes::{Action, Literal};
use super::pieces::Pieces;
use super::reader::{Budget, Reader};

/// The first text of a pickled tuple whose items before it are numbers: the name of a call, the
/// method of an object, the module of a definition. `None` where it is anything else.
pub(crate) fn first_text(pickle: &[u8]) -> Option<String> {
    let mut reader = Reader::new(Pieces::from(pickle), Budget::RUST);
    loop {
        match reader.next().ok()? {
            Action::Push(Literal::Text | Literal::ByteString) => {
                let text = reader.bytes().ok()?.joined().into_owned();
                return String::from_utf8(text).ok();
            }
            Action::Nothing
            | Action::Mark
            | Action::Memoize
            | Action::Put
            | Action::Get
            | Action::Push(Literal::Int | Literal::Long) => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_pickles_of_every_protocol() {
        // pickle.dumps(("os.getpid", (), {}), 2), 4 and (7, "read", (), {}), 4; 300 as first.
        for (pickle, name) in [
            (
                b"\x80\x02X\x09\0\0\0os.getpidq\0)}q\x01\x87q\x02.".as_slice(),
                "os.getpid",
            ),
            (
                b"\x80\x04\x95\x12\0\0\0\0\0\0\0\x8c\x09os.getpid\x94)}\x94\x87\x94.",
                "os.getpid",
            ),
            (
                b"\x80\x04\x95\x10\0\0\0\0\0\0\0(K\x07\x8c\x04read\x94)}\x94t\x94.",
                "read",
            ),
            (b"\x80\x02(M\x2c\x01X\x04\0\0\0read", "read"),
        ] {
            assert_eq!(first_text(pickle).as_deref(), Some(name));
        }
        assert_eq!(first_text(b""), None);
        assert_eq!(first_text(b"\x80\x04c__main__\n"), None);
        assert_eq!(first_text(b"\x80\x02X\xff\xff\xff\xffx"), None);
    }
}
