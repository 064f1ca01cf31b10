//! The filter of output: what it lets through, and that it does not matter how the bytes arrive.

use proptest::prelude::*;

use super::super::acts;
use super::Filter;

fn shown_in(pieces: &[&[u8]]) -> Vec<u8> {
    let mut filter = Filter::default();
    let mut shown = Vec::new();
    for piece in pieces {
        filter.push(piece, &mut shown);
    }
    filter.finish_line(&mut shown);
    shown
}

fn shown(text: &[u8]) -> String {
    // As Latin-1 where it is no UTF-8.
    let bytes = shown_in(&[text]);
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let bytes = error.into_bytes();
        bytes.into_iter().map(char::from).collect()
    })
}

#[test]
fn text_and_colours_stay() {
    for text in [
        "",
        "plain \u{e9}\u{20ac}\u{1f600}\tx\n\nnext\n",
        "\x1b[31mred\x1b[0m and \x1b[1;38;5;208mbold\x1b[m\n",
        "\x1b[4:3mcurly\x1b[24m\n",
        "\x1b[0m",
        "a\r\nb\r\n",
        "ends \x1b[32mwith\x1b[39m it\n",
    ] {
        assert_eq!(shown(text.as_bytes()), text);
    }
}

#[test]
fn what_acts_becomes_visible() {
    let cases: [(&[u8], &str); 24] = [
        (b"\x1b[2J\x1b[H", "\\u{1b}[2J\\u{1b}[H"),
        (b"\x1b[1A\x1b[2Kforged", "\\u{1b}[1A\\u{1b}[2Kforged"),
        (b"\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
        (b"\x1b]8;;http://x\x1b\\y", "\\u{1b}]8;;http://x\\u{1b}\\y"),
        (b"\x1bP1$r\x1b\\", "\\u{1b}P1$r\\u{1b}\\"),
        (b"\x1bc\x1b7\x1b(0", "\\u{1b}c\\u{1b}7\\u{1b}(0"),
        (b"10%\r20%\r\n", "10%\\u{d}20%\r\n"),
        (b"\r\r\n", "\\u{d}\r\n"),
        (b"x\x08\x08y\x07\x00", "x\\u{8}\\u{8}y\\u{7}\\u{0}"),
        (b"\x0b\x0c\x0e\x7f", "\\u{b}\\u{c}\\u{e}\\u{7f}"),
        // The sequences that end in m and set no colours.
        (b"\x1b[>4;2m\x1b[?4m", "\\u{1b}[>4;2m\\u{1b}[?4m"),
        (b"\x1b[3 m\x1b[31\nm", "\\u{1b}[3 m\\u{1b}[31\nm"),
        // Text that would not be seen.
        (b"\x1b[8mhidden\x1b[28m", "\\u{1b}[8mhidden\x1b[28m"),
        (b"\x1b[31mx\x1b[1;8my", "\x1b[31mx\\u{1b}[1;8my\x1b[0m"),
        // A second begins where the first is cut short.
        (b"\x1b[3\x1b[31mred", "\\u{1b}[3\x1b[31mred\x1b[0m"),
        (b"\x1b\x1b[1mx", "\\u{1b}\x1b[1mx\x1b[0m"),
        (b"\xc2\x9b2J\xc2\x85", "\\u{9b}2J\\u{85}"),
        (b"\x9b2J\x90", "\\x9b2J\\x90"),
        (b"caf\xe9 \xff\xc3", "caf\u{e9} \u{ff}\u{c3}"),
        (b"\xe2\x82\x1b[1Ax", "\u{e2}\\x82\\u{1b}[1Ax"),
        ("a\u{202e}b\u{2067}".as_bytes(), "a\\u{202e}b\\u{2067}"),
        ("\u{2028}\u{200b}".as_bytes(), "\\u{2028}\\u{200b}"),
        (b"\x1b", "\\u{1b}"),
        (b"\x1b[31", "\\u{1b}[31"),
    ];
    for (text, expected) in cases {
        assert_eq!(shown(text), expected);
    }
    let long = format!("\x1b[{}m", "1;".repeat(1000));
    assert_eq!(shown(long.as_bytes()), long.replace('\x1b', "\\u{1b}"));
}

#[test]
fn colours_end_with_the_line_and_begin_again_with_the_next() {
    assert_eq!(
        shown(b"\x1b[31mone\ntwo\x1b[0m\nthree\n"),
        "\x1b[31mone\x1b[0m\n\x1b[31mtwo\x1b[0m\nthree\n"
    );
    assert_eq!(shown(b"\x1b[1;7mone\r\n\n"), "\x1b[1;7mone\x1b[0m\r\n\n");
    // What ends them at the beginning of the next line has nothing left to end.
    assert_eq!(
        shown(b"\x1b[31mone\n\x1b[0mtwo\n"),
        "\x1b[31mone\x1b[0m\ntwo\n"
    );
    assert_eq!(
        shown(b"\x1b[31mone\n\x1b[1mtwo\x1b[m\n"),
        "\x1b[31mone\x1b[0m\n\x1b[31;1mtwo\x1b[m\n"
    );
    assert_eq!(shown(b"\x1b[7mopen"), "\x1b[7mopen\x1b[0m");
}

#[test]
fn what_sets_more_than_one_sequence_can_is_let_through_again() {
    let long = format!("\x1b[3m\x1b[38;5;{}m\nx\n", "5".repeat(55));
    let once = shown_in(&[long.as_bytes()]);
    assert_eq!(shown_in(&[&once]), once);
}

/// What a terminal does with the bytes: whether a line ends while colours are on, or something acts.
fn assert_harmless(shown: &[u8]) {
    let mut text = String::new();
    for chunk in shown.utf8_chunks() {
        assert!(
            chunk.invalid().iter().all(|byte| *byte >= 0xa0),
            "{shown:?}"
        );
        text.push_str(chunk.valid());
    }
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        if c == '\x1b' {
            let sequence = rest.strip_prefix("\x1b[").expect("a control sequence");
            let end = sequence
                .find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))
                .expect("its end");
            let after = sequence.get(end..).expect("the end");
            rest = after.strip_prefix('m').expect("a colour");
            continue;
        }
        let follows = rest.get(c.len_utf8()..).expect("the rest");
        assert!(
            !acts(c)
                || matches!(c, '\n' | '\t')
                || (c == '\r' && (follows.is_empty() || follows.starts_with('\n'))),
            "{text:?}"
        );
        rest = follows;
    }
}

/// Bytes of which many mean something to a terminal.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..4),
        "[a-z\u{e9}\u{20ac} \n\r\t]{0,4}".prop_map(String::into_bytes),
        proptest::sample::select(vec![
            "\x1b",
            "\x1b[",
            "\x1b[31m",
            "\x1b[0m",
            "\x1b[1;7m",
            "\x1b[2J",
            "\x1b]0;t\x07",
            "\r\n",
            "\r",
            "m",
            ";",
            "31",
            "\u{9b}",
            "\u{202e}",
            "\x1b[38;2;1;2;3m",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    proptest::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_that_acts_comes_through(bytes in bytes()) {
        assert_harmless(&shown_in(&[&bytes]));
    }

    #[test]
    fn the_cuts_make_no_difference(bytes in bytes(), cuts in proptest::collection::vec(0usize..64, 0..6)) {
        let whole = shown_in(&[&bytes]);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut rest = bytes.as_slice();
        let mut at = 0;
        for cut in cuts {
            let (piece, after) = rest.split_at(cut - at);
            pieces.push(piece);
            rest = after;
            at = cut;
        }
        pieces.push(rest);
        prop_assert_eq!(&shown_in(&pieces), &whole);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&shown_in(&single), &whole);
    }

    #[test]
    fn what_was_let_through_is_let_through_again(bytes in bytes()) {
        let once = shown_in(&[&bytes]);
        prop_assert_eq!(shown_in(&[&once]), once);
    }

    #[test]
    fn no_line_ends_in_colour(bytes in bytes()) {
        let shown = shown_in(&[&bytes]);
        for line in shown.split(|byte| *byte == b'\n') {
            let mut alone = Filter::default();
            let mut out = Vec::new();
            alone.push(line, &mut out);
            // Nothing had to be ended.
            alone.push(b"\n", &mut out);
            let mut line = line.to_vec();
            line.push(b'\n');
            prop_assert_eq!(&out, &line);
        }
    }
}
