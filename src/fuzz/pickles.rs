//! The readers of a peer's pickles: what names it looks up, and plain data for Rust.

use ::bytes::Bytes;

use crate::pickle::{Budget, Document, Plain, bytes, encode, first_text, names};

/// Whether two values are the same; a NaN is itself.
fn same(one: &Plain, other: &Plain) -> bool {
    one == other || format!("{one:?}") == format!("{other:?}")
}

pub(super) fn run(data: &[u8]) {
    let scanned = names::scan(data, Budget::PYTHON);
    let _ = first_text(data);
    let pickle = Bytes::copy_from_slice(data).into();
    let _ = bytes::plain_bytes(&pickle);
    let Ok(value) = Document::read(&pickle).and_then(|document| document.decode_readable()) else {
        return;
    };
    // What Rust takes for plain data is a pickle for Python as well.
    assert!(scanned.is_ok(), "{data:?}");
    let Ok(written) = encode(&value, 3) else {
        return;
    };
    let pickle = Bytes::from(written).into();
    let again = Document::read(&pickle).and_then(|document| document.decode_readable());
    match again {
        Ok(again) => assert!(same(&value, &again), "{data:?}: {value:?} {again:?}"),
        Err(error) => assert!(error.to_string().is_empty(), "{data:?}: {value:?}: {error}"),
    }
}
