//! Connection specs as dictionaries of `Client` parameters, and back.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyString};

use crate::spec::{
    ConfigChoice, ConnectionSpec, CustomOptions, Host, KeySource, ParseOptions, SpecErrorKind,
    SshChoice,
};

use super::keys;

/// Parses a spec: a dictionary of what it says, and one of the program's own options.
///
/// `custom` is None, True for any, or a list of names. `key` in the result is bytes; whether it stood in the spec itself
/// is under `key_in_spec`.
#[pyfunction]
pub(super) fn parse_spec<'py>(
    py: Python<'py>,
    text: &str,
    custom: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyDict>)> {
    let names: Vec<String>;
    let borrowed: Vec<&str>;
    let custom_options = if custom.is_none() {
        CustomOptions::None
    } else if let Ok(any) = custom.cast::<PyBool>() {
        if any.is_true() {
            CustomOptions::Any
        } else {
            CustomOptions::None
        }
    } else {
        names = custom.extract()?;
        borrowed = names.iter().map(String::as_str).collect();
        CustomOptions::Names(&borrowed)
    };
    let options = ParseOptions {
        custom: custom_options,
        ..ParseOptions::default()
    };
    let spec = ConnectionSpec::parse_with(text, &options)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let found = PyDict::new(py);
    found.set_item(
        "host",
        spec.host
            .to_string()
            .trim_start_matches('[')
            .trim_end_matches(']'),
    )?;
    found.set_item("port", spec.port)?;
    found.set_item("user", &spec.user)?;
    match &spec.ssh {
        None => {}
        Some(SshChoice::Yes) => found.set_item("ssh", true)?,
        Some(SshChoice::No) => found.set_item("ssh", false)?,
        // As text, which programs that look at it expect.
        Some(SshChoice::Program(path)) => found.set_item("ssh", path.as_os_str())?,
    }
    if let Some(source) = &spec.key {
        found.set_item("key_in_spec", matches!(source, KeySource::Text(_)))?;
        let key = match source {
            KeySource::File(path) => keys::read_key_file(py, crate::spec::expand_home(path))?,
            KeySource::Text(text) => keys::decode_key(py, text)?,
            KeySource::Given(key) => PyBytes::new(py, key.as_bytes()),
        };
        found.set_item("key", key)?;
    }
    if let Some(compress) = spec.compress {
        found.set_item("enable_compression", compress)?;
    }
    if !spec.extra.is_empty() {
        found.set_item("extra_args", &spec.extra)?;
    }
    if let Some(rpython) = &spec.rpython {
        found.set_item("rpython", rpython)?;
    }
    if let Some(limit) = spec.timeout {
        found.set_item("timeout", limit.as_secs_f64())?;
    }
    if let Some(path) = &spec.identity {
        found.set_item("identity", path)?;
    }
    if let Some(path) = &spec.known_hosts {
        found.set_item("known_hosts", path)?;
    }
    match &spec.config {
        None => {}
        Some(ConfigChoice::None) => found.set_item("config", "none")?,
        Some(ConfigChoice::File(path)) => found.set_item("config", path)?,
    }
    if let Some(policy) = spec.hostkey {
        found.set_item("hostkey", policy.as_str())?;
    }
    if let Some(batch) = spec.batch {
        found.set_item("batch", batch)?;
    }
    if let Some(hosts) = &spec.jump {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        found.set_item(
            "jump",
            if hosts.is_empty() {
                "none".to_owned()
            } else {
                hosts.join(",")
            },
        )?;
    }
    if !spec.allow.is_empty() {
        found.set_item("allow", &spec.allow)?;
    }
    if let Some(name) = &spec.name {
        found.set_item("name", name)?;
    }
    if let Some(count) = spec.ahead {
        found.set_item("ahead", count)?;
    }
    let own = PyDict::new(py);
    for (name, value) in &spec.custom {
        own.set_item(name, value)?;
    }
    Ok((found, own))
}

/// The value of a parameter, if it is there and not None.
fn given<'py, T>(parameters: &Bound<'py, PyDict>, name: &str) -> PyResult<Option<T>>
where
    T: for<'a> FromPyObject<'a, 'py>,
    for<'a> <T as FromPyObject<'a, 'py>>::Error: Into<PyErr>,
{
    match parameters.get_item(name)? {
        Some(value) if !value.is_none() => value.extract::<T>().map(Some).map_err(|error| {
            let error: PyErr = error.into();
            PyTypeError::new_err(format!("{name}: {error}"))
        }),
        _ => Ok(None),
    }
}

/// A value of the spec's grammar, checked by the parser of specs.
fn parsed(option: &str, value: &str) -> PyResult<ConnectionSpec> {
    let escaped: String = value
        .chars()
        .flat_map(|c| if c == ':' { vec!['\\', ':'] } else { vec![c] })
        .collect();
    ConnectionSpec::parse(&format!("user@host:{option}={escaped}"))
        .or_else(|error| match error.kind() {
            // Some values hold colons in brackets, which need no escape.
            SpecErrorKind::Malformed => {
                ConnectionSpec::parse(&format!("user@host:{option}={value}"))
            }
            _ => Err(error),
        })
        .map_err(|error| PyValueError::new_err(format!("{option}: {}", error.reason())))
}

/// The spec that `Client` parameters stand for. Host None is this machine.
pub(super) fn spec_from(parameters: &Bound<'_, PyDict>) -> PyResult<ConnectionSpec> {
    let host = match given::<String>(parameters, "host")? {
        None => Host::Local,
        Some(name) => host(&name)?,
    };
    let mut spec = ConnectionSpec::for_host(host);
    spec.user = given(parameters, "user")?;
    spec.port = given::<u16>(parameters, "port")?;
    if let Some(choice) = parameters.get_item("ssh")?.filter(|value| !value.is_none()) {
        spec.ssh = Some(if let Ok(switch) = choice.cast::<PyBool>() {
            if switch.is_true() {
                SshChoice::Yes
            } else {
                SshChoice::No
            }
        } else if choice.is_instance_of::<PyString>() {
            // `ssh` by its bare name is what `ssh=True` always meant.
            match choice.extract::<String>()?.as_str() {
                "ssh" | "yes" | "1" | "on" => SshChoice::Yes,
                "" | "no" | "0" | "off" => SshChoice::No,
                path => SshChoice::Program(PathBuf::from(path)),
            }
        } else {
            SshChoice::Program(choice.extract()?)
        });
    }
    if let Some(key) = given::<Vec<u8>>(parameters, "key")? {
        spec.key = Some(KeySource::Given(keys::key_from(&key)?));
    }
    spec.compress = given(parameters, "enable_compression")?;
    spec.extra = given(parameters, "extra_args")?.unwrap_or_default();
    spec.rpython = given(parameters, "rpython")?;
    spec.timeout = given::<f64>(parameters, "timeout")?
        .map(|seconds| {
            Duration::try_from_secs_f64(seconds)
                .map_err(|_| PyValueError::new_err("timeout: a number of seconds more than 0"))
        })
        .transpose()?;
    spec.identity = given(parameters, "identity")?;
    spec.known_hosts = given(parameters, "known_hosts")?;
    spec.config = given::<PathBuf>(parameters, "config")?.map(|path| {
        if path.as_os_str() == "none" {
            ConfigChoice::None
        } else {
            ConfigChoice::File(path)
        }
    });
    if let Some(policy) = given::<String>(parameters, "hostkey")? {
        spec.hostkey = parsed("hostkey", &policy)?.hostkey;
    }
    spec.batch = given(parameters, "batch")?;
    if let Some(hosts) = given::<String>(parameters, "jump")? {
        spec.jump = parsed("jump", &hosts)?.jump;
    }
    spec.name = given(parameters, "name")?;
    if let Some(count) = given::<i64>(parameters, "ahead")? {
        spec.ahead = parsed("ahead", &count.to_string())?.ahead;
    }
    Ok(spec)
}

/// A host as `Client` takes it: a name or an address, an IPv6 address with or without brackets.
fn host(name: &str) -> PyResult<Host> {
    let bracketed = if name.contains(':') && !name.starts_with('[') {
        format!("[{name}]")
    } else {
        name.to_owned()
    };
    ConnectionSpec::parse(&bracketed)
        .map(|spec| spec.host)
        .map_err(|error| PyValueError::new_err(format!("host {name:?}: {}", error.reason())))
}
