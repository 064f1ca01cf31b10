//! Connection specs for Python: parsed once, changed by keywords, and shown as the parameters of `Client`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::spec::{
    ConnectionSpec, CustomOptions, Host, KeySource, OPTIONS, OptionValue, ParseOptions, Password,
    Sets, SpecOption, SshChoice, Step, Transport, transport_name,
};

use super::keys;

/// A connection spec. It does not change: what sets something gives a new one.
#[pyclass(frozen, module = "easycluster._native")]
#[derive(Clone)]
pub(super) struct Spec {
    pub(super) spec: ConnectionSpec,
}

#[pymethods]
impl Spec {
    /// Parses a spec. `custom` is None, True for any option of the program's own, or a list of their names.
    /// Raises ValueError with the place marked.
    #[staticmethod]
    #[pyo3(signature = (text, custom=None))]
    fn parse(text: &str, custom: Option<&Bound<'_, PyAny>>) -> PyResult<Spec> {
        let names: Vec<String>;
        let borrowed: Vec<&str>;
        let custom = match custom.map(|value| (value, value.cast::<PyBool>())) {
            None => CustomOptions::None,
            Some((_, Ok(any))) if any.is_true() => CustomOptions::Any,
            Some((_, Ok(_))) => CustomOptions::None,
            Some((list, Err(_))) => {
                names = list.extract()?;
                borrowed = names.iter().map(String::as_str).collect();
                CustomOptions::Names(&borrowed)
            }
        };
        let options = ParseOptions {
            custom,
            ..ParseOptions::default()
        };
        ConnectionSpec::parse_with(text, &options)
            .map(|spec| Spec { spec })
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// The spec of a host: a name or an address, an IPv6 address with or without brackets, `user@` in front or not.
    /// None is this machine.
    #[staticmethod]
    #[pyo3(signature = (host=None, port=None))]
    fn for_host(host: Option<&str>, port: Option<u16>) -> PyResult<Spec> {
        let mut spec = match host {
            None => ConnectionSpec::for_host(Host::Local),
            Some(text) => ConnectionSpec::for_head(text)
                .map_err(|reason| PyValueError::new_err(format!("host {text:?}: {reason}")))?,
        };
        spec.port = port;
        Ok(Spec { spec })
    }

    /// The same with this port.
    fn with_port(&self, port: u16) -> Spec {
        let mut spec = self.spec.clone();
        spec.port = Some(port);
        Spec { spec }
    }

    /// The same with one parameter of `Client` set, by its keyword, as in the dictionary of `parameters()`; None leaves it.
    /// Raises ValueError for a value that the option does not take, TypeError for a keyword that is not an option's.
    fn with_option(&self, keyword: &str, value: &Bound<'_, PyAny>) -> PyResult<Spec> {
        let mut spec = self.spec.clone();
        if value.is_none() {
            return Ok(Spec { spec });
        }
        let option = OPTIONS
            .iter()
            .find(|option| option.keyword() == keyword)
            .ok_or_else(|| PyTypeError::new_err(format!("{keyword}: not an option of a spec")))?;
        if option.sets == Sets::Key {
            let key: Vec<u8> = value.extract().map_err(|_| {
                PyTypeError::new_err(
                    "the key must be bytes, as read_key_file() and decode_key() return it",
                )
            })?;
            spec.key = Some(KeySource::Given(keys::key_from(&key)?));
            return Ok(Spec { spec });
        }
        if option.sets == Sets::Steps && !value.is_instance_of::<PyString>() {
            spec.then = steps(option, value)?;
            return Ok(Spec { spec });
        }
        let text = text_of(option, value)?;
        let mut spec = spec
            .with(option, &text)
            .map_err(|reason| PyValueError::new_err(format!("{keyword}: {reason}")))?;
        // `ssh` by its bare name is what True always meant.
        if spec.ssh == Some(SshChoice::Program(PathBuf::from("ssh"))) && text == "ssh" {
            spec.ssh = Some(SshChoice::Yes);
        }
        Ok(Spec { spec })
    }

    /// What the spec says as parameters of `Client`: `host`, `port` and `user` always, the rest where it is said. Reads the key file.
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let spec = &self.spec;
        let found = PyDict::new(py);
        found.set_item("host", self.host())?;
        found.set_item("port", spec.port)?;
        for option in OPTIONS.iter().filter(|option| option.sets != Sets::Key) {
            match (option.show)(spec) {
                Some(value) => found.set_item(option.keyword(), object(py, value)?)?,
                None if option.sets == Sets::User => found.set_item(option.keyword(), py.None())?,
                None => {}
            }
        }
        if let (Some(key), Some(option)) = (
            self.key(py)?,
            OPTIONS.iter().find(|option| option.sets == Sets::Key),
        ) {
            found.set_item(option.keyword(), key)?;
        }
        Ok(found)
    }

    /// The shared key, if there is one. Reads the key file, and raises OSError where it cannot.
    fn key<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.spec
            .key
            .as_ref()
            .map(|source| match source {
                KeySource::File(path) => keys::read_key_file(py, crate::spec::expand_home(path)),
                KeySource::Text(text) => keys::decode_key(py, text),
                KeySource::Given(key) => Ok(PyBytes::new(py, key.as_bytes())),
            })
            .transpose()
    }

    /// What may be unpickled beside plain data.
    #[getter]
    fn allow(&self) -> Vec<String> {
        self.spec.allow.clone()
    }

    #[getter]
    fn forward(&self) -> Vec<String> {
        self.spec.forward.clone()
    }

    /// Whether what crosses is compressed.
    #[getter]
    fn compress(&self) -> bool {
        self.spec.compress.unwrap_or(false)
    }

    /// What the connection is to be called, where that is said.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.spec.name.as_deref()
    }

    /// Whether it goes by SSH: True or False, or the ssh program to go by.
    #[getter]
    fn ssh(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let value = match self.spec.transport() {
            Transport::Ssh => OptionValue::Switch(true),
            Transport::OpenSsh(path) => OptionValue::Program(path),
            _ => OptionValue::Switch(false),
        };
        object(py, value)
    }

    /// The program's own options, as a dictionary of texts.
    #[getter]
    fn custom<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let own = PyDict::new(py);
        for (name, value) in &self.spec.custom {
            own.set_item(name, value)?;
        }
        Ok(own)
    }

    /// The host without brackets; `:local` for this machine.
    #[getter]
    fn host(&self) -> String {
        match &self.spec.host {
            Host::Local => Host::Local.to_string(),
            host => host.to_plain(),
        }
    }

    /// The port, where one is said.
    #[getter]
    fn port(&self) -> Option<u16> {
        self.spec.port
    }

    /// How it is connected: `ssh`, `openssh`, `tcp` or `local`.
    #[getter]
    fn transport(&self) -> &'static str {
        transport_name(&self.spec.transport())
    }

    /// What messages call the connection.
    #[getter]
    fn label(&self) -> String {
        self.spec.label()
    }

    /// The steps with commas between, where there are any.
    #[getter]
    fn steps(&self) -> Option<String> {
        self.spec.steps_text()
    }

    /// Whether there is a shared key.
    #[getter]
    fn has_key(&self) -> bool {
        self.spec.key.is_some()
    }

    /// Whether the shared key stands in the spec itself, for others to see.
    #[getter]
    fn key_in_spec(&self) -> bool {
        matches!(self.spec.key, Some(KeySource::Text(_)))
    }

    /// The spec with its key hidden.
    fn __str__(&self) -> String {
        self.spec.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<Spec {}>", self.spec)
    }
}

/// A password that the user is asked for, once an account for all clients that have this object in their steps, and only where a
/// machine wants one.
#[pyclass(frozen, module = "easycluster._native")]
pub(super) struct AskedPassword(Password);

#[pymethods]
impl AskedPassword {
    #[new]
    fn new() -> Self {
        AskedPassword(Password::asked())
    }
}

/// Steps as Python has them: a list of texts and of objects with a text and a password, or one such object.
fn steps(option: &SpecOption, value: &Bound<'_, PyAny>) -> PyResult<Vec<Step>> {
    let one = |item: &Bound<'_, PyAny>| -> PyResult<Step> {
        let wrong = |reason| PyValueError::new_err(format!("{}: {reason}", option.keyword()));
        if item.is_instance_of::<PyString>() {
            return item.extract::<String>()?.parse().map_err(wrong);
        }
        let expected = || {
            PyTypeError::new_err(format!(
                "{}: expected text such as 'sudo/root', or steps such as Sudo('root') in a list",
                option.keyword()
            ))
        };
        let text: String = item.getattr("text").map_err(|_| expected())?.extract()?;
        let step: Step = text.parse().map_err(wrong)?;
        let password = item.getattr("password").map_err(|_| expected())?;
        if password.is_none() {
            return Ok(step);
        }
        if let Ok(asked) = password.cast::<AskedPassword>() {
            return Ok(step.with_password(asked.get().0.clone()));
        }
        // What was given stands in no error.
        let given: String = password
            .extract()
            .map_err(|_| PyTypeError::new_err("a step's password is text or an AskedPassword()"))?;
        Ok(step.with_password(Password::given(given)))
    };
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        return value.try_iter()?.map(|item| one(&item?)).collect();
    }
    Ok(vec![one(value)?])
}

/// The text that a value of Python stands for.
fn text_of(option: &SpecOption, value: &Bound<'_, PyAny>) -> PyResult<OsString> {
    if let Ok(switch) = value.cast::<PyBool>() {
        return Ok(OptionValue::Switch(switch.is_true()).to_string().into());
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(value.str()?.to_string().into());
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        // Without an exponent, and with no more digits than a spec may have.
        let digits = format!("{:.9}", number.value());
        return Ok(digits.into());
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let parts: Vec<String> = value.extract()?;
        return Ok(option.joined(parts).into());
    }
    if value.is_instance_of::<PyString>() {
        // A file name that is not UTF-8 has its bytes as lone surrogates.
        return value.extract();
    }
    let path: PathBuf = value.extract().map_err(|_| {
        let found = value.get_type().name().map(|name| name.to_string());
        PyTypeError::new_err(format!(
            "{}: expected text, a path, a number, a list, True or False, not {}",
            option.keyword(),
            found.unwrap_or_default()
        ))
    })?;
    Ok(path.into_os_string())
}

/// An option's value as programs of Python know it.
fn object(py: Python<'_>, value: OptionValue) -> PyResult<Py<PyAny>> {
    Ok(match value {
        OptionValue::Switch(value) => PyBool::new(py, value).to_owned().into_any().unbind(),
        OptionValue::Text(text) => text.into_pyobject(py)?.into_any().unbind(),
        OptionValue::Path(path) => path.into_pyobject(py)?.into_any().unbind(),
        // As text, which programs that look at it expect.
        OptionValue::Program(path) => program(&path).into_pyobject(py)?.into_any().unbind(),
        OptionValue::Words(list) | OptionValue::Names(list) => {
            list.into_pyobject(py)?.into_any().unbind()
        }
        OptionValue::Seconds(time) => time.as_secs_f64().into_pyobject(py)?.into_any().unbind(),
        OptionValue::Size(bytes) => bytes.into_pyobject(py)?.into_any().unbind(),
        OptionValue::Count(count) => count.into_pyobject(py)?.into_any().unbind(),
    })
}

fn program(path: &Path) -> &OsStr {
    path.as_os_str()
}
