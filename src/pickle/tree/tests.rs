//! What is plain data within bounds, and what is refused.

use super::*;

fn check(data: &[u8]) -> Result<(), String> {
    match Tree::read(Pieces::from(data), Budget::RUST) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn plain_data_passes() {
    // pickle.dumps({'a': [1, 2.5, None, b'x'], 'b': ('a', True)}, 3)
    let data = b"\x80\x03}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01G@\x04\x00\x00\x00\x00\x00\x00NC\x01xq\x03eX\x01\x00\x00\x00bq\x04h\x01\x88\x86q\x05u.";
    assert_eq!(check(data), Ok(()));
}

#[test]
fn an_expansion_bomb_is_refused() {
    // Each level is a tuple of the level before it, twice, through the memo.
    let mut data = b"\x80\x02]q\x00".to_vec();
    for level in 0..120u8 {
        data.extend([b'h', level, b'h', level, 0x86, b'q', level + 1]);
    }
    data.push(b'.');
    assert!(check(&data).is_err_and(|e| e.contains("larger than its pickle")));
}

#[test]
fn deep_nesting_is_refused() {
    let mut data = vec![b']'; 1000];
    data.extend(vec![b'a'; 999]);
    data.push(b'.');
    assert!(check(&data).is_err_and(|e| e.contains("nested")));
}

#[test]
fn a_part_that_grows_after_its_use_is_refused() {
    assert!(
        check(b"]q\x00]h\x00ah\x00K\x01a.").is_err_and(|e| e.contains("changes after its use"))
    );
    // A list that holds itself.
    assert!(check(b"]q\x00h\x00a.").is_err_and(|e| e.contains("changes after its use")));
}

#[test]
fn a_length_beyond_the_data_is_refused_without_allocating() {
    assert!(check(b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.").is_err());
}

#[test]
fn what_is_not_plain_is_refused() {
    for (pickle, why) in [
        (&b"cos\nsystem\n)\x81."[..], "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"cbuiltins\nset\n.", "not plain"),
        (b"cbuiltins\nset\n\x85.", "not plain"),
        (b"cbuiltins\nset\n)\x81.", "not plain"),
        (b"cbuiltins\nset\nK\x01\x85R.", "not plain data"),
        (b"K\x01)R.", "not a function"),
        (b"Pid\n.", "persistent"),
        (b"S'a'\n.", "protocol 0"),
        (b"Ix\n.", "number is not valid"),
        (b"K\x01K\x02a.", "not a container"),
        (b"]K\x01K\x02s.", "not a container"),
        (b"}(K\x01u.", "no value"),
        (b"(K\x01d.", "no value"),
        (b"K\x01K\x02..", "follow"),
        (b"\x80\x04Nr\x00\x00\x00\x08.", "out of order"),
    ] {
        let error = check(pickle).unwrap_err();
        assert!(error.contains(why), "{pickle:?}: {error}");
    }
}

proptest::proptest! {
    #[test]
    fn garbage_never_panics(data: Vec<u8>) {
        let _ = check(&data);
    }
}
