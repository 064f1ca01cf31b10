//! What a CI job has in place of files: a private key in a variable, and the fingerprint of the host key.

use data_encoding::BASE64;

use crate::cli::scene::{Scene, program, said};

#[tokio::test]
async fn a_key_in_a_variable_logs_in() {
    let scene = Scene::new().await;
    let key = std::fs::read_to_string(scene.key()).expect("key");
    let spec = scene
        .spec("web1")
        .replace(&scene.key().display().to_string(), "env:DEPLOY_KEY");
    assert!(
        spec.contains(":identity=env:DEPLOY_KEY:known_hosts="),
        "{spec}"
    );
    for kept in [
        key.clone(),
        key.trim().replace('\n', "\\n"),
        key.replace('\n', "\r\n"),
        BASE64.encode(key.as_bytes()),
    ] {
        let mut command = program(&[
            "run",
            &spec,
            "-c",
            "import os; print(os.environ.get('DEPLOY_KEY'))",
        ]);
        command.env("DEPLOY_KEY", &kept);
        let said = said(command.spawn().expect("starts")).await;
        assert_eq!(
            (said.code, said.stdout.as_str()),
            (Some(0), "web1 | None\n"),
            "{}",
            said.stderr
        );
    }
    // Not set, and no key: both are said with what to do, and the value is shown nowhere.
    for (value, expected) in [
        (None, "the environment variable DEPLOY_KEY is not set"),
        (
            Some("s3cret"),
            "the environment variable DEPLOY_KEY holds no private key",
        ),
    ] {
        let mut command = program(&["run", &spec, "-c", "1"]);
        command.envs(value.map(|value| ("DEPLOY_KEY", value)));
        let said = said(command.spawn().expect("starts")).await;
        assert_eq!(said.code, Some(255), "{}", said.stderr);
        assert!(said.stderr.contains(expected), "{}", said.stderr);
        assert!(
            said.stderr
                .contains("identity=env:NAME takes a private key"),
            "{}",
            said.stderr
        );
        assert!(!said.stderr.contains("s3cret"), "{}", said.stderr);
    }
    scene.end().await;
}

#[tokio::test]
async fn the_hint_about_an_unknown_host_key_can_be_typed() {
    let scene = Scene::new().await;
    let empty = scene.file("empty", "");
    let known_hosts = scene
        .folder
        .path()
        .join("known_hosts")
        .display()
        .to_string();
    let spec = scene
        .spec("web1")
        .replace(&known_hosts, &empty.display().to_string());
    let key = std::fs::read_to_string(scene.key()).expect("key");
    let run = |spec: String| {
        let mut command = program(&["run", &spec, "-i", "env:KEY", "-c", "print(7)"]);
        command.env("KEY", &key);
        said(command.spawn().expect("starts"))
    };
    let refused = run(spec.clone()).await;
    assert_eq!(refused.code, Some(255), "{}", refused.stderr);
    let words: Vec<&str> = refused.stderr.split([' ', ',', ';', '\n']).collect();
    let pin = words
        .iter()
        .find(|word| word.starts_with("hostkey=SHA256:"))
        .expect(&refused.stderr);
    assert!(words.contains(&"hostkey=accept-new"), "{}", refused.stderr);
    for word in [pin, &"hostkey=accept-new"] {
        let said = run(format!("{spec}:{word}")).await;
        assert_eq!(
            (said.code, said.stdout.as_str()),
            (Some(0), "web1 | 7\n"),
            "{word}: {}",
            said.stderr
        );
    }
    scene.end().await;
}
