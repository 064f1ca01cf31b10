//! Files behind steps: they are written and read as the user that the steps become.

use easycluster::{Client, CopyOptions, Error};

use crate::support::within;

use super::{SESAME, machine, options, spec, with_password};

#[tokio::test]
async fn files_belong_to_the_user_that_the_steps_become() {
    let Some(machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("secret");
    std::fs::write(&here, vec![b'x'; 300_000]).unwrap();
    let copy = CopyOptions::default();
    for (user, then, password, owner, dest) in [
        ("nopass", "sudo", false, "root", "/root/new/"),
        ("lect", "sudo", true, "root", "/root/lect/"),
        ("alice", "sudo,sudo/bob", true, "bob", "/home/bob/new/"),
    ] {
        let mut spec = spec(&machine, user, then);
        if password {
            spec = with_password(spec, SESAME);
        }
        let client = within(Client::connect(&spec, options())).await.unwrap();
        let copied = within(client.put(&here, dest, &copy)).await.unwrap();
        assert_eq!((copied.files, copied.bytes), (1, 300_000), "{then}");
        let who = format!(
            "__import__('pwd').getpwuid(__import__('os').stat('{dest}secret').st_uid).pw_name"
        );
        assert_eq!(client.eval::<String>(&who).await.unwrap(), owner);
        let back = folder.path().join(format!("back-{user}"));
        within(client.get(&format!("{dest}secret"), &back, &copy))
            .await
            .unwrap();
        assert_eq!(back.metadata().unwrap().len(), 300_000);
        within(client.close()).await;
    }
    // Without the step it may not, and says so.
    let plain = machine.spec("nopass", "batch=yes").parse().unwrap();
    let client = within(Client::connect(&plain, options())).await.unwrap();
    let error = within(client.put(&here, "/root/new/other", &copy))
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::Files { .. }), "{error}");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("become=root")),
        "{error}"
    );
    within(client.close()).await;
    machine.idle().await;
}
