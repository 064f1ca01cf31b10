//! The scanner on pickles of Python and on broken ones.

use super::*;

fn scan(pickle: &[u8]) -> Result<Scan, Refused> {
    super::scan(pickle, Budget::PYTHON)
}

#[test]
fn plain_data_is_plain() {
    // (1, 'a', {'k': [1.5, None, b'x']}) in protocol 4.
    let pickle = b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00K\x01\x8c\x01a\x94}\x94\x8c\x01k\x94]\x94(G?\xf8\x00\x00\x00\x00\x00\x00NC\x01x\x94es\x87\x94.";
    assert_eq!(scan(pickle), Ok(Scan::Plain));
}

#[test]
fn uses_of_names_are_told_apart() {
    assert_eq!(
        scan(b"cos\nsystem\n."),
        Ok(Scan::Names(vec![USED_AS_VALUE]))
    );
    assert_eq!(
        scan(b"cos\nsystem\n(S'x'\ntR."),
        Ok(Scan::Names(vec![USED_BY_CALL]))
    );
    assert_eq!(
        scan(b"(S'x'\nios\nsystem\n."),
        Ok(Scan::Names(vec![USED_BY_CALL]))
    );
    assert_eq!(
        scan(b"(cos\nsystem\nS'x'\no."),
        Ok(Scan::Names(vec![USED_BY_CALL]))
    );
    assert_eq!(
        scan(b"\x80\x02cm\nC\n)\x81."),
        Ok(Scan::Names(vec![USED_BY_NEW]))
    );
    assert_eq!(
        scan(b"\x80\x04\x8c\x01m\x8c\x01C\x93)}\x92."),
        Ok(Scan::Names(vec![USED_BY_NEW]))
    );
}

#[test]
fn a_name_called_by_way_of_the_memo_is_called() {
    assert_eq!(
        scan(b"\x80\x02cm\nf\nq\x000h\x00)R."),
        Ok(Scan::Names(vec![USED_BY_CALL]))
    );
    assert_eq!(
        scan(b"\x80\x04\x8c\x01m\x94\x8c\x01f\x94\x93\x940h\x02)R."),
        Ok(Scan::Names(vec![USED_BY_CALL]))
    );
    assert_eq!(
        scan(b"cm\nf\n2)R0."),
        Ok(Scan::Names(vec![USED_BY_CALL])),
        "by way of DUP"
    );
}

#[test]
fn what_was_looked_up_is_not_changed() {
    for pickle in [
        &b"cm\nC\n}b."[..],
        b"cm\nC\nI1\na.",
        b"cm\nC\n(I1\ne.",
        b"cm\nC\nS'k'\nI1\ns.",
        b"cm\nC\n(S'k'\nI1\nu.",
        b"\x80\x04cm\nC\n(K\x01\x90.",
        b"Pid\n}b.",
    ] {
        assert!(
            matches!(scan(pickle), Err(Refused::Forbidden(_))),
            "{pickle:?}"
        );
    }
}

#[test]
fn extension_codes_and_calls_of_values_are_refused() {
    for pickle in [
        &b"\x80\x02\x82\x01."[..],
        b"\x80\x02\x83\x01\x00.",
        b"\x80\x02\x84\x01\x00\x00\x00.",
        b"cm\nC\n)\x81)R.",
        b"cm\nC\n)R)\x81.",
        b"Pid\n)R.",
    ] {
        assert!(
            matches!(scan(pickle), Err(Refused::Forbidden(_))),
            "{pickle:?}"
        );
    }
    // What a call gave may be a method; whether it is one the decoder sees.
    assert!(scan(b"cm\nC\n)R)R.").is_ok());
}

#[test]
fn broken_pickles_are_malformed() {
    for pickle in [
        &b""[..],
        b"K",
        b"0.",
        b"(.",
        b"\xff.",
        b"t.",
        b"X\xff\xff\xff\xffa.",
        b"N",
        b"gx\n.",
    ] {
        assert!(
            matches!(scan(pickle), Err(Refused::Malformed(_))),
            "{pickle:?}"
        );
    }
}

#[test]
fn nesting_has_a_limit_by_every_instruction_that_nests() {
    let limit = Budget::PYTHON.depth as usize;
    // Each makes a value out of the one before it.
    for step in [
        &b"\x85"[..],
        b"K\x01\x86",
        b"K\x01K\x01\x87",
        b"q\0(h\0t",
        b"q\0(h\0l",
        b"q\0]h\0a",
        b"q\0](h\0e",
        b"q\0}K\x01h\0s",
        b"q\0}(K\x01h\0u",
        b"q\0(K\x01h\0d",
        b"q\0\x8f(h\0\x90",
        b"q\0(h\0\x91",
        b"q\0cm\nC\nh\0R",
        b"q\0cm\nC\nh\0\x81",
        b"q\0cm\nC\nh\0}\x92",
        b"q\0(h\0im\nC\n",
        b"q\0(cm\nC\nh\0o",
        b"q\0cm\nC\n)R}h\0sb",
    ] {
        let pickle = |count: usize| {
            let mut pickle = b"\x80\x04)".to_vec();
            for _ in 0..count {
                pickle.extend(step);
            }
            pickle.push(b'.');
            pickle
        };
        assert!(scan(&pickle(limit / 4)).is_ok(), "{step:?}");
        let deep = scan(&pickle(limit));
        assert!(
            matches!(deep, Err(Refused::TooMuch(_))),
            "{step:?}: {deep:?}"
        );
    }
}

#[test]
fn depth_is_known_by_way_of_the_memo() {
    // A list that is filled after it was noted, then taken from there, level by level.
    let mut pickle = b"\x80\x02]q\0".to_vec();
    for _ in 0..Budget::PYTHON.depth {
        pickle.extend(b"]q\x01h\0a0h\x01q\0");
    }
    pickle.push(b'.');
    assert!(matches!(scan(&pickle), Err(Refused::TooMuch(_))));
}

#[test]
fn wide_values_are_not_deep() {
    let mut pickle = b"\x80\x04](".to_vec();
    for _ in 0..100_000 {
        pickle.extend(b")\x85\x85");
    }
    pickle.extend(b"e.");
    assert_eq!(scan(&pickle), Ok(Scan::Plain));
}

#[test]
fn keys_are_counted_as_often_as_they_are_hashed() {
    let doubled = |end: &[u8]| [b"\x80\x04}(K\x01N)", b"2\x86".repeat(60).as_slice(), end].concat();
    for end in [&b"Nu."[..], b"\x85Nu.", b"N\x86\x85Nu."] {
        let scanned = scan(&doubled(end));
        assert!(matches!(scanned, Err(Refused::TooMuch(_))), "{end:?}");
    }
    let as_value = [
        b"\x80\x04}(K\x01)".as_slice(),
        b"2\x86".repeat(60).as_slice(),
        b"u.",
    ]
    .concat();
    assert_eq!(scan(&as_value), Ok(Scan::Plain), "no key");
    // A tuple of 1,000 as a key 10,000 times.
    let mut shared = b"\x80\x04(".to_vec();
    shared.extend(b"N".repeat(1_000));
    shared.extend(b"tq\0(");
    shared.extend(b"}h\0Ns".repeat(10_000));
    shared.extend(b"t.");
    assert_eq!(scan(&shared), Ok(Scan::Plain));
}

#[test]
fn memory_is_counted_as_python_takes_it() {
    let with = |memory, pickle: &[u8]| {
        super::scan(
            pickle,
            Budget {
                memory,
                ..Budget::PYTHON
            },
        )
    };
    let many = |one: &[u8]| [b"\x80\x04](", one.repeat(10_000).as_slice(), b"e."].concat();
    // Without the space that CPython itself keeps free, an empty set takes 216 bytes, a dict 64, a tuple of one 48.
    for (one, least) in [
        (&b"\x8f"[..], 216),
        (b"}", 64),
        (b"]", 56),
        (b"N\x85", 48),
        (b"M\x01\x01", 28),
    ] {
        assert!(with(least * 10_000, &many(one)).is_err(), "{one:?}");
        assert!(with(least * 20_000, &many(one)).is_ok(), "{one:?}");
    }
    let text = |last: &str| {
        let text = "x".repeat(100_000) + last;
        let length = (text.len() as u32).to_le_bytes();
        [b"\x80\x04X", &length[..], text.as_bytes(), b"."].concat()
    };
    assert!(with(110_000, &text("y")).is_ok());
    assert!(with(210_000, &text("\u{20ac}")).is_ok());
    assert!(with(310_000, &text("\u{1f600}")).is_err());
}

#[test]
fn values_in_a_row_count_as_each_by_itself() {
    let values: [&[u8]; 7] = [
        b"K\x01",
        b"M\x01\x02",
        b"J\x01\x02\x03\x04",
        b"G\0\0\0\0\0\0\0\0",
        b"N",
        b"\x88",
        b"\x89",
    ];
    let row = values.concat();
    let pickle = [b"](", &row[..], &row[..], b"e."].concat();
    // Four numbers and three constants, twice; a list with its items, and a mark.
    let memory = 2 * (4 * 40 + 3 * 16) + 72 + 14 * 8 + 16 + 2 * 8;
    let budget = |instructions, memory| Budget {
        instructions,
        memory,
        ..Budget::PYTHON
    };
    assert_eq!(super::scan(&pickle, budget(18, memory)), Ok(Scan::Plain));
    for (instructions, memory) in [(17, memory), (9, memory), (2, memory), (18, memory - 1)] {
        assert!(matches!(
            super::scan(&pickle, budget(instructions, memory)),
            Err(Refused::TooMuch(_))
        ));
    }
    for end in 0..pickle.len() {
        assert!(scan(&pickle[..end]).is_err(), "cut off at {end}");
    }
    // What one scan left behind is nothing to the next.
    assert!(scan(b"K\x01K\x02t.").is_err());
    assert!(scan(b"h\0.").is_err());
}

#[test]
fn places_in_the_memo_are_in_order_and_no_more_than_instructions() {
    for pickle in [
        &b"\x80\x04Nr\x00\x00\x00\x08."[..],
        b"\x80\x04Nq\x02.",
        b"Np134217728\n.",
        b"Np18446744073709551615\n.",
        b"Nh\0.",
        b"Nj\0\0\0\x08.",
        b"Ng7\n.",
        // Noted as 1, where CPython counts one, so that the next number is not known for certain.
        b"\x80\x04Nq\x01\x94.",
    ] {
        let scanned = scan(pickle);
        assert!(matches!(scanned, Err(Refused::Malformed(_))), "{pickle:?}");
    }
    for pickle in [
        &b"\x80\x02Nq\0Nq\x01\x86h\0\x86."[..],
        // Python 2's cPickle counts from 1.
        b"\x80\x02Nq\x01Nq\x02\x86h\x01\x86.",
        b"(Np0\nNp1\ng0\nt.",
    ] {
        assert_eq!(scan(pickle), Ok(Scan::Plain), "{pickle:?}");
    }
}

proptest::proptest! {
    #[test]
    fn garbage_never_panics(data: Vec<u8>) {
        let _ = scan(&data);
    }
}
