//! What each type makes of what Python sends.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use super::*;
use ::bytes::Bytes;

fn decode<T: serde::de::DeserializeOwned>(pickle: &[u8]) -> Result<T, String> {
    // In pieces of every kind, and in one.
    let whole = decode_in_pieces(pickle, pickle.len());
    for every in [1, 2, 3, 7] {
        assert_eq!(
            decode_in_pieces::<T>(pickle, every).err(),
            whole.as_ref().err().cloned()
        );
    }
    whole
}

fn decode_in_pieces<T: serde::de::DeserializeOwned>(
    pickle: &[u8],
    every: usize,
) -> Result<T, String> {
    let mut segments = Segments::new();
    for piece in pickle.chunks(every) {
        segments.push(Bytes::copy_from_slice(piece));
    }
    let document = Document::read(&segments).map_err(|error| error.to_string())?;
    document.decode().map_err(|error| error.to_string())
}

// pickle.dumps(2**64-1, 2)
const LARGE: &[u8] = b"\x8a\t\xff\xff\xff\xff\xff\xff\xff\xff\x00";

fn pickle(parts: &[&[u8]]) -> Vec<u8> {
    [&b"\x80\x03"[..], &parts.concat(), b"."].concat()
}

#[test]
fn large_integers_decode_at_any_depth() {
    assert_eq!(decode::<u64>(&pickle(&[LARGE])), Ok(u64::MAX));
    assert_eq!(
        decode::<Vec<u64>>(&pickle(&[b"](", LARGE, b"K\x01e"])),
        Ok(vec![u64::MAX, 1])
    );
    assert_eq!(
        decode::<(u64, i64)>(&pickle(&[LARGE, b"J\xff\xff\xff\xff\x86"])),
        Ok((u64::MAX, -1))
    );
    assert_eq!(decode::<Option<u64>>(&pickle(&[LARGE])), Ok(Some(u64::MAX)));
    assert_eq!(decode::<Option<u64>>(&pickle(&[b"N"])), Ok(None));
    // -2**64 and 2**127.
    let negative = b"\x8a\t\0\0\0\0\0\0\0\0\xff";
    assert_eq!(
        decode::<Vec<i128>>(&pickle(&[negative, b"\x85"])),
        Ok(vec![-(1 << 64)])
    );
    let larger = b"\x8a\x11\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x80\0";
    assert_eq!(decode::<u128>(&pickle(&[larger])), Ok(1 << 127));
    assert!(decode::<u64>(&pickle(&[larger])).is_err());
    assert!(decode::<u64>(&pickle(&[b"J\xff\xff\xff\xff"])).is_err());
    let beyond = [&b"\x8a\x12"[..], &[0; 17], b"\x01"].concat();
    assert!(decode::<u128>(&pickle(&[&beyond])).is_err_and(|e| e.contains("128 bits")));
}

#[test]
fn integers_of_python_2_are_text() {
    // cPickle.dumps((2**40, -2**70, True), 2) and as protocol 0 has them.
    let long = b"\x8a\t\0\0\0\0\0\0\0\0\xc0";
    let both = pickle(&[b"(I1099511627776\n", long, b"I01\nL-7L\nI-8\nt"]);
    let expected = (1u64 << 40, -(1i128 << 70), true, -7, -8);
    assert_eq!(decode::<(u64, i128, bool, i8, i8)>(&both), Ok(expected));
    let endless = [&b"I"[..], &[b'1'; 5000], b"\n"].concat();
    assert!(decode::<Plain>(&pickle(&[&endless])).is_err());
}

#[test]
fn bytes_decode_at_any_depth() {
    assert_eq!(
        decode::<Vec<u8>>(&pickle(&[b"C\x02ab"])),
        Ok(b"ab".to_vec())
    );
    assert_eq!(
        decode::<Vec<Vec<u8>>>(&pickle(&[b"](C\x02abC\0e"])),
        Ok(vec![b"ab".to_vec(), Vec::new()])
    );
    assert_eq!(
        decode::<(Vec<u8>, i64)>(&pickle(&[b"C\x02abM\x2c\x01\x86"])),
        Ok((b"ab".to_vec(), 300))
    );
    assert_eq!(decode::<[u8; 2]>(&pickle(&[b"C\x02ab"])), Ok(*b"ab"));
    assert!(decode::<[u8; 2]>(&pickle(&[b"C\x03abc"])).is_err());
    assert!(decode::<[u8; 2]>(&pickle(&[b"C\x01a"])).is_err());
    // A list of numbers is one as well, and the text of a str.
    assert_eq!(
        decode::<Vec<u8>>(&pickle(&[b"](K\x01K\xffe"])),
        Ok(vec![1, 255])
    );
    assert_eq!(
        decode::<Vec<u8>>(&pickle(&[b"X\x03\0\0\0\xe2\x82\xac"])),
        Ok("\u{20ac}".as_bytes().to_vec())
    );
    // But bytes are not a list of other numbers.
    let error = decode::<Vec<i64>>(&pickle(&[b"C\x02ab"])).unwrap_err();
    assert_eq!(error, "bytes, where a sequence is expected");
}

#[test]
fn lengths_of_tuples_agree() {
    let three = pickle(&[b"K\x01K\x02K\x03\x87"]);
    assert_eq!(decode::<(i64, i64, i64)>(&three), Ok((1, 2, 3)));
    assert_eq!(
        decode::<(i64, i64)>(&three),
        Err("a tuple of 3 items, where 2 are expected".to_owned())
    );
    assert!(decode::<(i64, i64, i64, i64)>(&three).is_err());
    assert!(decode::<Vec<(i64, i64)>>(&pickle(&[b"](K\x01K\x02K\x03\x87e"])).is_err());
    assert_eq!(
        decode::<(i64, i64)>(&pickle(&[b"](K\x01K\x02e"])),
        Ok((1, 2))
    );
}

#[test]
fn a_part_that_is_there_twice_is_decoded_twice() {
    // d = {'a': 1}; pickle.dumps([d, d], 3)
    let twice = pickle(&[b"]q\0(}q\x01X\x01\0\0\0aq\x02K\x01sh\x01e"]);
    let entry = BTreeMap::from([("a".to_owned(), 1)]);
    assert_eq!(
        decode::<Vec<BTreeMap<String, i64>>>(&twice),
        Ok(vec![entry.clone(), entry])
    );
    let entry = Plain::Dict(vec![(Plain::from("a"), Plain::from(1))]);
    assert_eq!(
        decode::<Plain>(&twice),
        Ok(Plain::List(vec![entry.clone(), entry]))
    );
}

#[derive(Debug, PartialEq, Deserialize)]
struct Point {
    x: i64,
    tags: Vec<Vec<u8>>,
    shape: Shape,
}

#[derive(Debug, PartialEq, Deserialize)]
enum Shape {
    Dot,
    Round(u64),
    Box { width: i64 },
    Line(i64, i64),
}

#[test]
fn structs_and_enums_decode_inside_others() {
    // [{'x': 7, 'tags': [b'a'], 'shape': {'Round': 2**64-1}, 'more': None}]
    let points = pickle(&[
        b"](}(X\x01\0\0\0xK\x07X\x04\0\0\0tags](C\x01aeX\x05\0\0\0shape}X\x05\0\0\0Round",
        LARGE,
        b"sX\x04\0\0\0moreNue",
    ]);
    let expected = Point {
        x: 7,
        tags: vec![b"a".to_vec()],
        shape: Shape::Round(u64::MAX),
    };
    assert_eq!(decode::<Vec<Point>>(&points), Ok(vec![expected]));
    let shapes = pickle(&[
        b"(X\x03\0\0\0Dot}X\x03\0\0\0Box}X\x05\0\0\0widthK\x02ss}X\x04\0\0\0Line](K\x01K\x02est",
    ]);
    assert_eq!(
        decode::<Vec<Shape>>(&shapes),
        Ok(vec![Shape::Dot, Shape::Box { width: 2 }, Shape::Line(1, 2)])
    );
    assert!(decode::<Shape>(&pickle(&[b"X\x04\0\0\0None"])).is_err());
    assert!(decode::<Shape>(&pickle(&[b"X\x05\0\0\0Round"])).is_err());
    assert!(decode::<Shape>(&pickle(&[b"}X\x04\0\0\0Line](K\x01K\x02K\x03es"])).is_err());
}

#[test]
fn values_are_told_apart_at_any_depth() {
    // [(1,), {2, 1}, frozenset(), {3: 4}, 2**64-1] with sets as protocol 3 has them.
    let mixed = pickle(&[
        b"](K\x01\x85cbuiltins\nset\n](K\x02K\x01e\x85Rcbuiltins\nfrozenset\n]\x85R}K\x03K\x04s",
        LARGE,
        b"e",
    ]);
    let expected = vec![
        Plain::Tuple(vec![Plain::from(1)]),
        Plain::Set(vec![Plain::from(1), Plain::from(2)]),
        Plain::FrozenSet(Vec::new()),
        Plain::Dict(vec![(Plain::from(3), Plain::from(4))]),
        Plain::BigInt(num_bigint::BigInt::from(u64::MAX)),
    ];
    assert_eq!(decode::<Vec<Plain>>(&mixed), Ok(expected.clone()));
    assert_eq!(decode::<Plain>(&mixed), Ok(Plain::List(expected)));
    assert_eq!(
        decode::<BTreeSet<i64>>(&pickle(&[b"cbuiltins\nset\n](K\x02K\x01e\x85R"])),
        Ok(BTreeSet::from([1, 2]))
    );
}

#[test]
fn bytes_of_old_protocols_are_bytes() {
    // b'\xe9' and b'' of Python 3 and bytearray(b'\xe9') of both in protocol 2.
    for (parts, expected) in [
        (
            &b"c_codecs\nencode\nX\x02\0\0\0\xc3\xa9X\x06\0\0\0latin1\x86R"[..],
            &b"\xe9"[..],
        ),
        (b"c__builtin__\nbytes\n)R", b""),
        (
            b"c__builtin__\nbytearray\nX\x02\0\0\0\xc3\xa9X\x07\0\0\0latin-1\x86R",
            b"\xe9",
        ),
        (b"cbuiltins\nbytearray\nC\x01\xe9\x85R", b"\xe9"),
        (b"cbuiltins\nbytearray\n)R", b""),
    ] {
        let pickle = pickle(&[parts]);
        assert_eq!(decode(&pickle), Ok(Plain::Bytes(expected.to_vec())));
        assert_eq!(decode(&pickle), Ok(expected.to_vec()));
    }
}

#[test]
fn the_str_of_python_2_is_text_if_it_is_utf_8() {
    let both = pickle(&[b"(U\x02\xc3\xa9U\x01\xe9t"]);
    assert_eq!(
        decode::<Plain>(&both),
        Ok(Plain::Tuple(vec![
            Plain::from("\u{e9}"),
            Plain::Bytes(b"\xe9".to_vec())
        ]))
    );
    assert_eq!(
        decode::<(String, Vec<u8>)>(&both),
        Ok(("\u{e9}".to_owned(), b"\xe9".to_vec()))
    );
}

#[test]
fn file_names_that_are_not_utf_8_are_had_as_what_they_are() {
    // ['ok', os.fsdecode(b'caf\xe9')]
    let names = pickle(&[b"](X\x02\0\0\0okX\x06\0\0\0caf\xed\xb3\xa9e"]);
    let error = decode::<Vec<String>>(&names).unwrap_err();
    assert!(
        error.starts_with("the str 'caf\\udce9' holds surrogates") && error.contains("OsString"),
        "{error}"
    );
    assert!(decode::<Plain>(&names).is_err_and(|error| error.contains("udce9")));
    assert_eq!(
        decode::<Vec<Vec<u8>>>(&names),
        Ok(vec![b"ok".to_vec(), b"caf\xe9".to_vec()])
    );
    let bytes: Vec<Vec<u8>> = decode::<Vec<OsString>>(&names)
        .unwrap()
        .into_iter()
        .map(OsString::into_encoded_bytes)
        .collect();
    assert_eq!(bytes, [b"ok".to_vec(), b"caf\xe9".to_vec()]);
    // What is shown to people is shown all the same.
    let segments = Segments::from(names);
    let shown = Document::read(&segments).and_then(|names| names.decode_readable());
    assert_eq!(
        shown.map(|names| names.to_string()).as_deref(),
        Ok("[\"ok\", \"caf\\\\udce9\"]")
    );
}

#[test]
fn what_is_asked_for_wrongly_is_named() {
    for (error, kind) in [
        (decode::<String>(&pickle(&[b"K\x01"])).err(), "a string"),
        (decode::<i64>(&pickle(&[b"X\x01\0\0\0a"])).err(), "i64"),
        (decode::<i64>(&pickle(&[b"\x88"])).err(), "i64"),
        (decode::<()>(&pickle(&[b"K\x01"])).err(), "unit"),
        (decode::<Vec<i64>>(&pickle(&[b"}"])).err(), "a sequence"),
        (
            decode::<BTreeMap<i64, i64>>(&pickle(&[b"]"])).err(),
            "a map",
        ),
    ] {
        assert!(
            error.as_ref().is_some_and(|e| e.contains(kind)),
            "{error:?}"
        );
    }
    assert_eq!(decode::<f64>(&pickle(&[b"K\x01"])), Ok(1.0));
}

proptest::proptest! {
    #[test]
    fn numbers_come_as_they_went(number: i64, other: u64) {
        let encoded = super::super::encode(&(number, other), 3).unwrap();
        proptest::prop_assert_eq!(decode::<(i64, u64)>(&encoded), Ok((number, other)));
    }

    #[test]
    fn text_and_bytes_come_as_they_went(text: String, bytes: Vec<u8>) {
        let pair = Plain::Tuple(vec![Plain::Str(text), Plain::Bytes(bytes)]);
        let encoded = super::super::encode(&pair, 3).unwrap();
        proptest::prop_assert_eq!(decode::<Plain>(&encoded), Ok(pair));
    }
}
