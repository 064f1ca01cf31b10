//! The values that stand in an instruction of a pickle.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyNone, PyString};

use super::{Decoder, refuse};
use crate::pickle::Literal;

impl<'py> Decoder<'py, '_> {
    pub(super) fn decoded(
        &self,
        bytes: &[u8],
        encoding: &str,
        errors: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        PyBytes::new(self.py, bytes)
            .call_method1(pyo3::intern!(self.py, "decode"), (encoding, errors))
    }

    pub(super) fn literal(&mut self, literal: Literal) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        Ok(match literal {
            Literal::None => PyNone::get(py).to_owned().into_any(),
            Literal::True => PyBool::new(py, true).to_owned().into_any(),
            Literal::False => PyBool::new(py, false).to_owned().into_any(),
            Literal::Int => {
                let number = self.reader.number();
                // Four bytes have a sign; fewer are below 2**31.
                let number = self.read(number)? as u32 as i32;
                number.into_pyobject(py)?.into_any()
            }
            Literal::Float => {
                let number = self.reader.number();
                PyFloat::new(py, f64::from_bits(self.read(number)?.swap_bytes())).into_any()
            }
            _ => {
                let bytes = self.reader.bytes();
                let bytes = self.read(bytes)?.joined();
                self.data(literal, &bytes)?
            }
        })
    }

    /// The value of an instruction that has data, or a line.
    fn data(&self, literal: Literal, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        Ok(match literal {
            Literal::Bytes => PyBytes::new(py, bytes).into_any(),
            Literal::ByteArray => PyByteArray::new(py, bytes).into_any(),
            Literal::Text => match std::str::from_utf8(bytes) {
                Ok(text) => PyString::new(py, text).into_any(),
                Err(_) => self.decoded(bytes, "utf-8", "surrogatepass")?,
            },
            Literal::ByteString => self.decoded(bytes, "utf-8", self.errors)?,
            Literal::WrittenText => self.decoded(bytes, "raw-unicode-escape", "strict")?,
            Literal::WrittenFloat => {
                let text = String::from_utf8_lossy(bytes);
                py.get_type::<PyFloat>().call1((text.trim(),))?
            }
            Literal::WrittenInt => match bytes {
                b"00" => PyBool::new(py, false).to_owned().into_any(),
                b"01" => PyBool::new(py, true).to_owned().into_any(),
                _ => {
                    let text = String::from_utf8_lossy(bytes);
                    let digits = text.trim().trim_end_matches('L');
                    py.get_type::<PyInt>().call1((digits, 10))?
                }
            },
            Literal::WrittenByteString => {
                let quoted = bytes.trim_ascii();
                let inner = quoted
                    .strip_prefix(b"'")
                    .and_then(|rest| rest.strip_suffix(b"'"))
                    .or_else(|| {
                        let rest = quoted.strip_prefix(b"\"");
                        rest.and_then(|rest| rest.strip_suffix(b"\""))
                    })
                    .ok_or_else(|| refuse(py, "has a string without quotes"))?;
                let unescaped = py
                    .import("codecs")?
                    .call_method1("escape_decode", (PyBytes::new(py, inner),))?
                    .get_item(0)?;
                unescaped.call_method1("decode", ("utf-8", self.errors))?
            }
            // Two's complement, the least significant byte first.
            _ => match bytes.len() {
                0 => 0i64.into_pyobject(py)?.into_any(),
                length @ 1..=8 => {
                    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
                    let mut all = [if negative { 0xff } else { 0 }; 8];
                    all.split_at_mut(length).0.copy_from_slice(bytes);
                    i64::from_le_bytes(all).into_pyobject(py)?.into_any()
                }
                _ => {
                    let signed = PyDict::new(py);
                    signed.set_item("signed", true)?;
                    let number = (PyBytes::new(py, bytes), "little");
                    py.get_type::<PyInt>()
                        .call_method("from_bytes", number, Some(&signed))?
                }
            },
        })
    }
}
