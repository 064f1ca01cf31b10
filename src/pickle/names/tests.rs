//! The scanner on pickles of Python and on broken ones.

use super::*;

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
        b"cm\nC\n)R)R.",
        b"Pid\n)R.",
    ] {
        assert!(
            matches!(scan(pickle), Err(Refused::Forbidden(_))),
            "{pickle:?}"
        );
    }
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
