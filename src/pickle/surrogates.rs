//! Text that is not Unicode: the surrogates in which Python keeps the bytes of file names.

/// The text that Python's `backslashreplace` makes of a `str` with surrogates.
pub(super) fn with_escapes(mut bytes: &[u8]) -> String {
    let mut text = String::new();
    while !bytes.is_empty() {
        let valid = match std::str::from_utf8(bytes) {
            Ok(rest) => {
                text.push_str(rest);
                return text;
            }
            Err(error) => error.valid_up_to(),
        };
        let (good, rest) = bytes.split_at_checked(valid).unwrap_or((bytes, &[]));
        text.push_str(&String::from_utf8_lossy(good));
        bytes = match rest {
            [0xed, high @ 0xa0..=0xbf, low @ 0x80..=0xbf, rest @ ..] => {
                let code = 0xd000 | u32::from(high & 0x3f) << 6 | u32::from(low & 0x3f);
                text.push_str(&format!("\\u{code:04x}"));
                rest
            }
            [byte, rest @ ..] => {
                text.push_str(&format!("\\x{byte:02x}"));
                rest
            }
            [] => rest,
        };
    }
    text
}

/// The bytes that Python's `surrogateescape` made this `str` of: what `os.fsencode()` gives where names are UTF-8.
pub(super) fn file_name(bytes: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        rest = match rest {
            // U+DC80 to U+DCFF stand for the bytes 0x80 to 0xff.
            [0xed, high @ (0xb2 | 0xb3), low @ 0x80..=0xbf, rest @ ..] => {
                name.push((high & 0x03) << 6 | (low & 0x3f));
                rest
            }
            [byte, rest @ ..] => {
                name.push(*byte);
                rest
            }
            [] => return name,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surrogates_are_shown_as_python_shows_them() {
        assert_eq!(
            with_escapes(b"a\xed\xb3\xa9b\xed\xa0\x80"),
            "a\\udce9b\\ud800"
        );
        assert_eq!(with_escapes(b"\xff\xed"), "\\xff\\xed");
        assert_eq!(with_escapes("\u{20ac}".as_bytes()), "\u{20ac}");
    }

    #[test]
    fn the_bytes_of_a_file_name_come_back() {
        assert_eq!(file_name(b"caf\xed\xb3\xa9"), b"caf\xe9");
        assert_eq!(file_name(b"\xed\xb2\x80\xed\xb3\xbf"), b"\x80\xff");
        // Other surrogates stand for no bytes, and other characters for themselves.
        assert_eq!(file_name(b"\xed\xa0\x80"), b"\xed\xa0\x80");
        assert_eq!(
            file_name("\u{d7ff}\u{e9}".as_bytes()),
            "\u{d7ff}\u{e9}".as_bytes()
        );
    }
}
