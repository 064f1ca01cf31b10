//! Servers that name what they were not asked for: nothing of it is written, and what is good in between is.

use std::path::Path;
use std::time::Duration;

use easycluster::{Client, ConnectOptions, Copied, CopyOptions, Error, OutputSink};

use crate::connection::hostile::server;
use crate::support::within;

/// What all of them have in common: requests as they come, and answers to the functions that copy files.
const FILES: &str = r#"
import zlib
def row(index, kind, name, size=0, mode=0o644, target=b''):
    return struct.pack('>IcIQqIHH', index, kind, mode, size, 1000000000, 0, len(name), len(target)) + name + target
def content(data):
    return b'\0' + struct.pack('>III', zlib.crc32(data), 1, 0) + struct.pack('>I', len(data)) + data
def answer(request, data):
    data = pickle.dumps(data, 4)
    out(b''.join(frame(0x42 if at == 0 else 0x10, data[at:at + 65536], int(at + 65536 < len(data)), request)
                 for at in range(0, len(data), 65536)))
def serve():
    parts = {}
    while True:
        magic, kind, flags, size, request, thread = struct.unpack('>HBBIIi', exactly(16))
        data = exactly(size)
        if kind == 0x10 or 1 < kind < 8:
            parts[request] = parts.get(request, b'') + data
            if not flags & 1:
                name, args, kwargs = pickle.loads(parts.pop(request))
                function = name.split('.')[-1]
                if function == 'walk':
                    answer(request, b''.join(rows))
                elif function == 'read':
                    asked, place = args[1], 0
                    answers = []
                    while place < len(asked):
                        follow, length, offset, count = struct.unpack_from('>BHQI', asked, place)
                        path = asked[place + 15:place + 15 + length]
                        place += 15 + length
                        answers.append(read(path, offset, count))
                    answer(request, b''.join(answers))
                else:
                    answer(request, b'')
def read(path, offset, count):
    return content(b'x' * count)
rows = [row(0, b'd', b'')]
"#;

/// What comes of fetching `/srv/top` to `folder/dest` from a server with this body.
async fn fetched(folder: &Path, body: &str, options: &CopyOptions) -> Result<Copied, Error> {
    let spec = server(folder, &format!("{FILES}\n{body}\ngreet()\nserve()"));
    let connect = ConnectOptions::default().with_output(OutputSink::discard());
    let client = within(Client::connect(&spec.parse().unwrap(), connect))
        .await
        .unwrap();
    within(client.get("/srv/top", folder.join("dest"), options)).await
}

/// Every path beneath, but for the server's own program.
fn paths(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(inner) = waiting.pop() {
        for entry in std::fs::read_dir(inner).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                waiting.push(path.clone());
            }
            found.push(
                path.strip_prefix(folder)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned(),
            );
        }
    }
    found.retain(|path| path != "server");
    found.sort();
    found
}

const GOOD: [&str; 3] = ["dest", "dest/top", "dest/top/good"];

#[tokio::test]
async fn no_name_leads_out_of_the_destination() {
    for name in [
        "b'../evil'",
        "b'/tmp/easycluster-evil'",
        "b'..'",
        "b'a/../../evil'",
        "b'x\\0y'",
        "b'./evil'",
        "b'a//b'",
        "b'e' * 256",
        "b'no/folder'",
        "b'd/' * 200 + b'x'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let body = format!("rows += [row(0, b'f', {name}, 5), row(0, b'f', b'good', 3)]");
        let error = fetched(folder.path(), &body, &CopyOptions::default())
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::Files { problems, .. } if problems.len() == 1),
            "{name}: {error}"
        );
        assert_eq!(paths(folder.path()), GOOD, "{name}");
        let written = std::fs::read_to_string(folder.path().join("dest/top/good")).unwrap();
        assert_eq!(written, "xxx");
    }
    assert!(!Path::new("/tmp/easycluster-evil").exists());
}

#[tokio::test]
async fn no_link_of_the_server_is_written_through_or_leads_out() {
    let cases = [
        // A link, and then a file in it.
        "row(0, b'l', b'link', target=b'/tmp'), row(0, b'f', b'link/evil', 5)",
        "row(0, b'l', b'link', target=b'..'), row(0, b'f', b'link/evil', 5)",
        "row(0, b'l', b'link', target=b'.'), row(0, b'd', b'link'), row(0, b'f', b'link/evil', 5)",
        "row(0, b'l', b'link', target=b'../../evil')",
        "row(0, b'l', b'link', target=b'/etc/passwd')",
        "row(0, b'l', b'link', target=b'')",
        "row(0, b'l', b'a', target=b'b/../../..')",
    ];
    for case in cases {
        let folder = tempfile::tempdir().unwrap();
        let body = format!("rows += [{case}, row(0, b'f', b'good', 3)]");
        let error = fetched(folder.path(), &body, &CopyOptions::default())
            .await
            .unwrap_err();
        assert!(matches!(&error, Error::Files { .. }), "{case}: {error}");
        let mut there = paths(folder.path());
        // The link that leads to its own folder is a good one.
        there.retain(|path| path != "dest/top/link");
        assert_eq!(there, GOOD, "{case}");
    }
}

#[tokio::test]
async fn what_is_here_already_is_not_a_way_out() {
    // A link that the user, or an earlier copy, has made where the server names a folder.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("dest/top")).unwrap();
    std::fs::create_dir(folder.path().join("outside")).unwrap();
    std::os::unix::fs::symlink(
        folder.path().join("outside"),
        folder.path().join("dest/top/sub"),
    )
    .unwrap();
    let body =
        "rows += [row(0, b'd', b'sub'), row(0, b'f', b'sub/evil', 5), row(0, b'f', b'good', 3)]";
    let error = fetched(folder.path(), body, &CopyOptions::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("remove it first"), "{error}");
    assert_eq!(paths(&folder.path().join("outside")), [""; 0]);
    assert!(folder.path().join("dest/top/good").exists());
}

#[tokio::test]
async fn devices_are_not_made_and_rights_not_given() {
    let folder = tempfile::tempdir().unwrap();
    let body = "rows += [row(0, b'o', b'device'), row(0, b'f', b'good', 3, 0o106777)]";
    let error = fetched(folder.path(), body, &CopyOptions::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("device"), "{error}");
    assert_eq!(paths(folder.path()), GOOD);
    let mode = std::fs::metadata(folder.path().join("dest/top/good")).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o7000,
        0
    );
}

#[tokio::test]
async fn limits_hold_whatever_it_names() {
    let mut options = CopyOptions::default();
    options.max_bytes = Some(1000);
    options.max_files = 10;
    for (body, said) in [
        (
            "rows += [row(0, b'f', b'a', 600), row(0, b'f', b'b', 600)]",
            "max_bytes",
        ),
        ("rows += [row(0, b'f', b'a', (1 << 63) - 1)]", "max_bytes"),
        (
            "rows += [row(0, b'f', b'%d' % n) for n in range(20)]",
            "max_files",
        ),
        (
            "rows += [row(0, b'f', b'../%d' % n) for n in range(20)]",
            "max_files",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = fetched(folder.path(), body, &options).await.unwrap_err();
        assert!(error.to_string().contains(said), "{body}: {error}");
        assert_eq!(paths(folder.path()), [""; 0], "{body}");
    }
}

#[tokio::test]
async fn sizes_that_no_number_holds_are_only_shown() {
    let folder = tempfile::tempdir().unwrap();
    let body = "rows += [row(0, b'f', b'%d' % n, (1 << 63) - 1) for n in range(3)]\n\
                def read(path, offset, count):\n    return b'\\1' + struct.pack('>H', 2) + b'no'";
    let told = std::sync::Arc::new(std::sync::Mutex::new(0));
    let mut options = CopyOptions::default();
    let sink = std::sync::Arc::clone(&told);
    options.progress = Some(std::sync::Arc::new(move |progress| {
        *sink.lock().unwrap() = progress.all_bytes;
    }));
    let error = fetched(folder.path(), body, &options).await.unwrap_err();
    assert!(
        matches!(&error, Error::Files { problems, .. } if problems.len() == 3),
        "{error}"
    );
    assert_eq!(*told.lock().unwrap(), u64::MAX);
}

#[tokio::test]
async fn a_large_file_whose_rest_cannot_be_read_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let body = "rows += [row(0, b'f', b'large', 3000000)]\n\
                def read(path, offset, count):\n    \
                return content(b'x' * count) if offset < 1 << 20 else b'\\1' + struct.pack('>H', 2) + b'no'";
    let error = fetched(folder.path(), body, &CopyOptions::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Files { problems, .. } if problems.len() == 1),
        "{error}"
    );
    assert_eq!(paths(folder.path()), ["dest", "dest/top"]);
}

#[tokio::test]
async fn a_list_of_what_is_to_be_removed_there_ends_by_the_limit() {
    // Whatever is asked of what is there, the answer is more of it.
    let body = "count = 0\n\
                def answer(request, data, real=answer):\n    \
                    global count\n    \
                    count += 1\n    \
                    if count == 1:\n        \
                        data = row(0, b'd', b'')[4:] * 2\n    \
                    else:\n        \
                        data = b''.join(row(0, b'f', b'%d.%d' % (count, n)) for n in range(5000))\n    \
                    real(request, data)";
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let spec = server(folder.path(), &format!("{FILES}\n{body}\ngreet()\nserve()"));
    let connect = ConnectOptions::default().with_output(OutputSink::discard());
    let client = within(Client::connect(&spec.parse().unwrap(), connect))
        .await
        .unwrap();
    let mut options = CopyOptions::default();
    options.max_files = 100_000;
    let compared = within(client.compare(&source, "/srv", &options)).await;
    let error = compared.unwrap_err().to_string();
    assert!(error.contains("max_files"), "{error}");
    options.delete = true;
    let copied = within(client.put(&source, "/srv", &options)).await;
    assert!(copied.is_err());
}

#[tokio::test]
async fn an_endless_list_ends_by_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = CopyOptions::default();
    options.max_files = 100_000;
    // Whatever is asked, the answer is more rows.
    let body = "count = 0\nclass Rows(list):\n    def __iter__(self):\n        global count\n        count += 1\n        \
                yield row(0, b'd', b'') if count == 1 else b''\n        \
                for n in range(5000): yield row(0, b'f', b'%d.%d' % (count, n))\nrows = Rows()\n\
                real = answer\ndef answer(request, data):\n    real(request, data or b''.join(rows))";
    let error = fetched(folder.path(), body, &options).await.unwrap_err();
    assert!(error.to_string().contains("max_files"), "{error}");
}

#[tokio::test]
async fn content_is_what_was_announced_or_no_file() {
    for (read, said) in [
        // Longer than it was to be.
        ("return content(b'x' * (count + 1))", "makes no sense"),
        ("return content(b'x' * count) + b'more'", "makes no sense"),
        // Damaged.
        ("return content(b'x' * count)[:-1] + b'y'", "damaged"),
        (
            "return b'\\0' + struct.pack('>III', 0, 1, 1 << 31) + struct.pack('>I', 0)",
            "makes no sense",
        ),
        ("return b'\\1' + struct.pack('>H', 4) + b'oh\\x1b['", "oh"),
        ("return b''", "makes no sense"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let body = format!(
            "rows += [row(0, b'f', b'bad', 5)]\ndef read(path, offset, count):\n    {read}"
        );
        let error = fetched(folder.path(), &body, &CopyOptions::default())
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(said) && !text.contains('\x1b'),
            "{read}: {text}"
        );
        assert_eq!(paths(folder.path()), ["dest", "dest/top"], "{read}");
    }
}

#[tokio::test]
async fn rows_that_make_no_sense_end_it() {
    for body in [
        "rows = [row(0, b'f', b'', 5)[:-1]]",
        "rows = [row(0, b'z', b'')]",
        "rows = [row(5, b'd', b'')]",
        "rows = [row(0, b'd', b''), row(0, b'd', b'')]",
        "rows = [row(0, b'f', b'x')]",
        "rows = [b'\\xff' * 100]",
        "real = answer\ndef answer(request, data):\n    real(request, 7)",
        "real = answer\ndef answer(request, data):\n    real(request, '\\u1234')",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let outcome = fetched(folder.path(), body, &CopyOptions::default()).await;
        assert!(outcome.is_err(), "{body}: {outcome:?}");
        assert!(paths(folder.path()).len() <= 1, "{body}");
    }
}

#[tokio::test]
async fn a_server_that_stands_still_is_given_up_by_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let body = "def answer(request, data):\n    pass";
    let spec = server(folder.path(), &format!("{FILES}\n{body}\ngreet()\nserve()"));
    let connect = ConnectOptions::default().with_output(OutputSink::discard());
    let client = within(Client::connect(&spec.parse().unwrap(), connect))
        .await
        .unwrap();
    let options = CopyOptions::default();
    let copy = client.get("/srv/top", folder.path().join("dest"), &options);
    let given_up = tokio::time::timeout(Duration::from_millis(300), copy).await;
    assert!(given_up.is_err());
    within(client.close()).await;
}
