//! Steps on the transports without SSH: a child process and a standalone server.

use easycluster::spec::KeySource;
use easycluster::{ConnectionSpec, Stage, Value};

use super::{failure, options};
use crate::server::harness::{KEY, loopback, start};

/// Goes through `env`, whose input is held back, and fails where the step does.
async fn goes(spec: &ConnectionSpec) {
    let with = |then: &str| spec.clone().with_option("then", then).unwrap();
    for then in [
        "run/env STEP=1",
        "run/env A=1,run/env STEP=1",
        "run/env 'STEP=1' sh -c 'exec \"$@\"' \"it's\"",
    ] {
        let client = easycluster::Client::connect(&with(then), options())
            .await
            .unwrap();
        let value: String = client
            .eval("__import__('os').environ['STEP']")
            .await
            .unwrap();
        assert_eq!(value, "1", "{then}");
        let length: usize = client
            .call("len", (Value::Bytes(vec![7; 1 << 20]),))
            .await
            .unwrap();
        assert_eq!(length, 1 << 20);
    }
    for (then, message) in [
        ("run/false", "Python did not start behind run/false: "),
        ("incus/box", "the machine has no incus"),
        ("lxc/a,run/env", "the machine has no lxc"),
    ] {
        let error = failure(&with(then), options()).await;
        assert_eq!(error.stage, Stage::Escalation, "{error}");
        assert!(error.message.starts_with(message), "{error}");
        assert!(error.host.ends_with(&format!("({then})")), "{error}");
    }
    // Behind the steps it is the interpreter's stage again.
    let error = failure(
        &with("run/env")
            .with_option("rpython", "no-such-python")
            .unwrap(),
        options(),
    )
    .await;
    assert_eq!(error.stage, Stage::Interpreter, "{error}");
}

#[tokio::test]
async fn a_child_process() {
    goes(&":local".parse().unwrap()).await;
}

#[tokio::test]
async fn a_standalone_server() {
    let server = start(loopback());
    let mut spec: ConnectionSpec = format!("127.0.0.1:{}", server.port).parse().unwrap();
    spec.key = Some(KeySource::Given(KEY.into()));
    goes(&spec).await;
    server.stop().await;
}
