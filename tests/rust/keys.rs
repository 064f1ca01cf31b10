//! Key files: what is written reads back, only the owner may read it, nothing is overwritten unasked, and bad files are told apart.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use easycluster::keys::{Key, KeyError, KeyWarning, read_key_file, write_key_file};
use easycluster::spec::{ConnectionSpec, expand_home};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_written_key_reads_back_and_is_the_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    let key = Key::generate().unwrap();
    assert!(write_key_file(&path, &key, false).unwrap());
    assert_eq!(mode(&path), 0o600);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        format!("{}\n", key.to_hex())
    );
    let loaded = read_key_file(&path).unwrap();
    assert_eq!((loaded.key, loaded.warnings), (key, vec![]));
}

#[test]
fn two_keys_are_never_the_same() {
    assert_ne!(Key::generate().unwrap(), Key::generate().unwrap());
}

#[test]
fn a_file_is_overwritten_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    std::fs::write(&path, "mine\n").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let key = Key::generate().unwrap();
    assert!(!write_key_file(&path, &key, false).unwrap());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine\n");
    assert!(write_key_file(&path, &key, true).unwrap());
    assert_eq!(
        (read_key_file(&path).unwrap().key, mode(&path)),
        (key, 0o600)
    );
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["secret.key"]);
}

#[test]
fn a_dangling_link_is_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (
        folder.path().join("secret.key"),
        folder.path().join("elsewhere"),
    );
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(!write_key_file(&link, &Key::generate().unwrap(), false).unwrap());
    assert!(!target.exists());
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no such folder/secret.key");
    for overwrite in [false, true] {
        let error = write_key_file(&path, &Key::generate().unwrap(), overwrite).unwrap_err();
        assert!(
            error.to_string().starts_with(&format!(
                "cannot write key file {}: No such file",
                path.display()
            )),
            "{error}"
        );
    }
}

#[test]
fn loose_permissions_are_a_warning_that_names_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    std::fs::write(&path, "s3cret").unwrap();
    for (bits, loose) in [
        (0o600, false),
        (0o400, false),
        (0o640, true),
        (0o604, true),
        (0o620, true),
    ] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(bits)).unwrap();
        let expected = if loose {
            vec![KeyWarning::OpenToOthers(path.clone(), bits)]
        } else {
            vec![]
        };
        assert_eq!(read_key_file(&path).unwrap().warnings, expected, "{bits:o}");
    }
    let text = KeyWarning::OpenToOthers("k".into(), 0o644).to_string();
    assert_eq!(
        text,
        "the file k is open to other users (mode 0644); run: chmod 600 k"
    );
}

#[test]
fn hex_is_the_key_and_other_text_is_hashed() {
    let hex = "00112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100";
    assert_eq!(Key::decode(hex).unwrap().to_hex(), hex.to_lowercase());
    // SHA-256 of `abc`, from FIPS 180-2.
    let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(Key::decode("abc").unwrap().to_hex(), of_abc);
    let no_hex = "g".repeat(64);
    assert_ne!(Key::decode(&no_hex).unwrap().to_hex(), no_hex);
    assert!(matches!(Key::decode(""), Err(KeyError::Empty)));
}

#[test]
fn only_the_first_line_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    for text in ["abc", "abc\n", "abc\r\n", "abc\nanother line\n"] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(
            read_key_file(&path).unwrap().key,
            Key::decode("abc").unwrap(),
            "{text:?}"
        );
    }
}

#[test]
fn what_nobody_sees_in_a_key_file_changes_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    let hex = Key::generate().unwrap().to_hex();
    for text in [
        format!("\u{feff}{hex}\r\n"),
        format!("  {hex} \n"),
        format!("\u{feff}{hex}\t"),
    ] {
        std::fs::write(&path, &text).unwrap();
        let loaded = read_key_file(&path).unwrap();
        assert_eq!(loaded.key.to_hex(), hex, "{text:?}");
        assert_eq!(loaded.passphrase, None);
    }
    // A passphrase is what it is.
    std::fs::write(&path, " two words ").unwrap();
    let key = read_key_file(&path).unwrap().key;
    assert_eq!(key, Key::decode(" two words ").unwrap());
}

#[test]
fn a_key_that_was_cut_off_is_a_passphrase_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    let hex = "0f".repeat(32);
    for (text, warned) in [
        (&hex[..63], true),
        (&format!("{hex}0"), true),
        (&hex, false),
        ("deadbeef", false),
        ("sixteen letters. and more of them", false),
    ] {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let warnings = read_key_file(&path).unwrap().warnings;
        let expected = warned.then(|| KeyWarning::NearlyKey(path.clone(), text.len()));
        assert_eq!(warnings, Vec::from_iter(expected), "{text}");
    }
}

#[test]
fn the_files_of_other_keys_are_refused_because_their_first_line_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("id");
    for text in [
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA",
        "-----BEGIN CERTIFICATE-----\n",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@here\n",
        "sk-ssh-ed25519@openssh.com AAAA me@here\n",
        "ecdsa-sha2-nistp256 AAAA me@here\n",
        "PuTTY-User-Key-File-3: ssh-ed25519\n",
    ] {
        std::fs::write(&path, text).unwrap();
        let error = read_key_file(&path).unwrap_err();
        assert!(matches!(error, KeyError::OtherKey(_)), "{text}: {error}");
        assert!(error.to_string().contains("easycluster -g"), "{error}");
    }
}

#[test]
fn files_that_hold_no_key_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    let missing = read_key_file(&path).unwrap_err();
    assert!(matches!(missing, KeyError::Read(..)), "{missing}");
    let long = vec![b'x'; 5000];
    type Expected = fn(&KeyError) -> bool;
    let cases: [(&[u8], Expected); 4] = [
        (b"", |error| matches!(error, KeyError::EmptyFile(_))),
        (b"\nabc\n", |error| matches!(error, KeyError::EmptyFile(_))),
        (b"\xff\xfe\n", |error| {
            matches!(error, KeyError::NoKeyFile(_))
        }),
        (&long, |error| matches!(error, KeyError::NoKeyFile(_))),
    ];
    for (content, expected) in cases {
        std::fs::write(&path, content).unwrap();
        let error = read_key_file(&path).unwrap_err();
        assert!(expected(&error), "{error}");
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
    }
}

#[test]
fn a_spec_loads_its_key_from_text_or_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    let key = Key::generate().unwrap();
    write_key_file(&path, &key, false).unwrap();
    let load = |spec: String| {
        spec.parse::<ConnectionSpec>()
            .unwrap()
            .key
            .unwrap()
            .load()
            .unwrap()
            .key
    };
    assert_eq!(load(format!("h:kf={}", path.display())), key);
    assert_eq!(load(format!("h:key={}", key.to_hex())), key);
}

#[test]
fn a_tilde_is_the_home_directory_only_at_the_beginning() {
    let home = std::env::home_dir().unwrap();
    assert_eq!(expand_home(Path::new("~/a/b")), home.join("a/b"));
    for same in ["/a/~/b", "~someone/a", "a~", "./~/a"] {
        assert_eq!(expand_home(Path::new(same)), Path::new(same));
    }
}

#[test]
fn debug_output_hides_the_key() {
    let key = Key::decode("abc").unwrap();
    assert_eq!(format!("{key:?}"), "Key(hidden)");
}
