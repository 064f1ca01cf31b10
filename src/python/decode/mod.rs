//! Makes the value of a server's pickle: plain data here, everything else by the constructors that the package gives for a name.
//!
//! The unpicklers of CPython call whatever was looked up and let a pickle change whatever is on their stack. Here a name is one
//! of the package's `Name` objects, which checks its arguments, and only what a pickle has made itself takes parts or a state.

mod checks;
mod literals;

pub(super) use checks::spend_work;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyFrozenSet, PyList, PySet, PyString, PyTuple};

use crate::pickle::{Action, Budget, Container, Pieces, Reader, Refused, Stack};

/// What constructors may be given, all in all, for each byte that was received, and in addition. Each value of a pickle is
/// given to one of them once; only one that gives the same part to many takes more.
const GIVEN_FACTOR: usize = 16;
const GIVEN_FREE: usize = 1 << 20;
static REFUSED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static MADE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static NAME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static CHECK_KEY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// What stands in one place of the stack.
#[derive(Clone)]
enum Slot<'py> {
    /// A value that stays as it is.
    Value(Bound<'py, PyAny>),
    /// A list, dict or set of this pickle.
    Holder(Bound<'py, PyAny>),
    /// One of the package's `Name` objects.
    Name(Bound<'py, PyAny>),
    /// What a constructor made, by its place in `Decoder::objects`.
    Object(usize),
}

/// What a constructor made and may still be completed.
struct Object<'py> {
    value: Bound<'py, PyAny>,
    /// The package's `Made`, which knows how.
    made: Bound<'py, PyAny>,
    /// Its state makes another value of it: 1, or it is none before it has its state: 2.
    waits: u8,
    /// Something holds it already.
    seen: bool,
    built: bool,
}

/// The value of a pickle that a scan has passed.
#[pyfunction]
pub(super) fn decode_pickle<'py>(
    py: Python<'py>,
    pickle: &Bound<'py, PyBytes>,
    buffers: &Bound<'py, PyAny>,
    find: &Bound<'py, PyAny>,
    load: &Bound<'py, PyAny>,
    python2: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let data = pickle.as_bytes();
    let mut received = data.len();
    for buffer in buffers.try_iter()? {
        received = received.saturating_add(buffer?.len()?);
    }
    checks::begin_work(received);
    let mut decoder = Decoder {
        py,
        reader: Reader::new(Pieces::from(data), Budget::PYTHON),
        stack: Stack::new(),
        objects: Vec::new(),
        buffers: buffers.try_iter()?.into_any(),
        find,
        load,
        errors: if python2 { "surrogateescape" } else { "strict" },
        left: received
            .saturating_mul(GIVEN_FACTOR)
            .saturating_add(GIVEN_FREE),
        check_key: CHECK_KEY.import(py, "easycluster._pickling.keys", "check_key")?,
        made: MADE.import(py, "easycluster._pickling.made", "Made")?,
        name: NAME.import(py, "easycluster._pickling.made", "Name")?,
    };
    loop {
        if let Some(value) = decoder.step()? {
            return Ok(value);
        }
    }
}

struct Decoder<'py, 'a> {
    py: Python<'py>,
    reader: Reader<'a>,
    stack: Stack<Slot<'py>>,
    objects: Vec<Object<'py>>,
    buffers: Bound<'py, PyAny>,
    find: &'a Bound<'py, PyAny>,
    load: &'a Bound<'py, PyAny>,
    /// How the `str` of Python 2 is decoded where it is not UTF-8.
    errors: &'static str,
    /// How much constructors may still be given.
    left: usize,
    check_key: &'a Bound<'py, PyAny>,
    made: &'a Bound<'py, PyAny>,
    name: &'a Bound<'py, PyAny>,
}

fn refuse(py: Python<'_>, why: &str) -> PyErr {
    let made = REFUSED
        .import(py, "easycluster._errors", "Refused")
        .and_then(|class| class.call1((format!("a server sent a pickle that {why}"),)));
    made.map_or_else(|error| error, PyErr::from_value)
}

impl<'py> Decoder<'py, '_> {
    fn malformed(&self, refused: Refused) -> PyErr {
        let text = format!("is not decoded: {refused}");
        refuse(self.py, &text)
    }

    fn read<T>(&self, read: Result<T, Refused>) -> PyResult<T> {
        read.map_err(|refused| self.malformed(refused))
    }

    fn pop(&mut self) -> PyResult<Slot<'py>> {
        let slot = self.stack.pop();
        self.read(slot)
    }

    fn pop_value(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let slot = self.pop()?;
        self.value(slot)
    }

    /// What a slot is to those that hold it. From then on it is not replaced.
    fn value(&mut self, slot: Slot<'py>) -> PyResult<Bound<'py, PyAny>> {
        match slot {
            Slot::Value(value) | Slot::Holder(value) => Ok(value),
            Slot::Name(name) => name.getattr(pyo3::intern!(self.py, "value")),
            Slot::Object(place) => {
                let py = self.py;
                let object = self.object(place)?;
                if object.waits > 1 && !object.built {
                    return Err(refuse(py, "uses a value before it is complete"));
                }
                object.seen = true;
                Ok(object.value.clone())
            }
        }
    }

    fn object(&mut self, place: usize) -> PyResult<&mut Object<'py>> {
        let py = self.py;
        self.objects
            .get_mut(place)
            .ok_or_else(|| refuse(py, "names a value that is not there"))
    }

    fn pop_marked(&mut self) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let slots = self.pop_marked_slots()?;
        slots.into_iter().map(|slot| self.value(slot)).collect()
    }

    fn pop_marked_slots(&mut self) -> PyResult<Vec<Slot<'py>>> {
        let mark = self.stack.pop_mark();
        let mark = self.read(mark)?;
        let slots = self.stack.above(mark).to_vec();
        self.stack.truncate(mark);
        Ok(slots)
    }

    fn pop_values(&mut self, count: u8) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let mut values = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            values.push(self.pop_value()?);
        }
        values.reverse();
        Ok(values)
    }

    fn push_value(&mut self, value: Bound<'py, PyAny>) {
        self.stack.push(Slot::Value(value));
    }

    fn gather(&mut self, container: Container, items: Vec<Bound<'py, PyAny>>) -> PyResult<()> {
        let py = self.py;
        self.check_keys(container, &items)?;
        self.stack.push(match container {
            Container::Tuple => Slot::Value(PyTuple::new(py, items)?.into_any()),
            Container::FrozenSet => Slot::Value(PyFrozenSet::new(py, items)?.into_any()),
            Container::List => Slot::Holder(PyList::new(py, items)?.into_any()),
            Container::Set => Slot::Holder(PySet::new(py, items)?.into_any()),
            Container::Dict => {
                let dict = PyDict::new(py);
                set_pairs(&dict, &items)?;
                Slot::Holder(dict.into_any())
            }
        });
        Ok(())
    }

    /// Adds to what is on top, which this pickle has made.
    fn grow(&mut self, container: Container, items: Vec<Bound<'py, PyAny>>) -> PyResult<()> {
        let py = self.py;
        self.check_keys(container, &items)?;
        let top = self.stack.top().cloned();
        match self.read(top)? {
            Slot::Holder(holder) => {
                if let (Container::List, Ok(list)) = (container, holder.cast_exact::<PyList>()) {
                    return items.iter().try_for_each(|item| list.append(item));
                }
                if let (Container::Dict, Ok(dict)) = (container, holder.cast_exact::<PyDict>()) {
                    return set_pairs(dict, &items);
                }
                if let (Container::Set, Ok(set)) = (container, holder.cast_exact::<PySet>()) {
                    return items.iter().try_for_each(|item| set.add(item));
                }
            }
            Slot::Object(place) => {
                let name = match container {
                    Container::Dict => pyo3::intern!(py, "put"),
                    _ => pyo3::intern!(py, "add"),
                };
                let object = self.object(place)?;
                let grow = object.made.getattr(name)?;
                if object.waits == 0 && !grow.is_none() {
                    return grow
                        .call1((&object.value, PyList::new(py, items)?))
                        .map(drop);
                }
            }
            Slot::Value(_) | Slot::Name(_) => {}
        }
        Err(refuse(py, "adds to a value that takes no parts"))
    }

    /// Pushes what a constructor gave.
    fn push_made(&mut self, result: Bound<'py, PyAny>) -> PyResult<()> {
        let py = self.py;
        if result.get_type().is(self.name) {
            // A method of a class that a pickle may call, which was asked for by getattr().
            self.stack.push(Slot::Name(result));
            return Ok(());
        }
        if !result.get_type().is(self.made) {
            self.push_value(result);
            return Ok(());
        }
        self.objects.push(Object {
            value: result.getattr(pyo3::intern!(py, "value"))?,
            waits: result.getattr(pyo3::intern!(py, "waits"))?.extract()?,
            made: result,
            seen: false,
            built: false,
        });
        self.stack.push(Slot::Object(self.objects.len() - 1));
        Ok(())
    }

    fn call(&mut self, callee: Slot<'py>, arguments: Bound<'py, PyTuple>) -> PyResult<()> {
        let Slot::Name(name) = callee else {
            return Err(refuse(
                self.py,
                "calls something that it has not looked up by name",
            ));
        };
        self.charge(arguments.as_any())?;
        let made = name.call_method1(pyo3::intern!(self.py, "call"), (arguments,))?;
        self.push_made(made)
    }

    fn make(&mut self, arguments: Bound<'py, PyAny>, keywords: Bound<'py, PyAny>) -> PyResult<()> {
        let Slot::Name(name) = self.pop()? else {
            return Err(refuse(
                self.py,
                "makes an instance of what it has not looked up by name",
            ));
        };
        let arguments = self.tuple(arguments)?;
        self.charge(arguments.as_any())?;
        let made = name.call_method1(pyo3::intern!(self.py, "new"), (arguments, keywords))?;
        self.push_made(made)
    }

    fn tuple(&self, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
        value
            .cast_into_exact::<PyTuple>()
            .map_err(|_| refuse(self.py, "has arguments that are not a tuple"))
    }

    fn build(&mut self) -> PyResult<()> {
        let py = self.py;
        let state = self.pop_value()?;
        self.charge(&state)?;
        let top = self.stack.top().cloned();
        let Slot::Object(place) = self.read(top)? else {
            return Err(refuse(py, "changes a value that takes no state"));
        };
        let object = self.object(place)?;
        if object.built {
            return Err(refuse(py, "sets the state of a value twice"));
        }
        if object.waits > 0 && object.seen {
            return Err(refuse(py, "changes a value that is in use"));
        }
        object.built = true;
        let (made, value) = (object.made.clone(), object.value.clone());
        let build = made.getattr(pyo3::intern!(py, "build"))?;
        if build.is_none() {
            return Err(refuse(py, "changes a value that takes no state"));
        }
        let value = build.call1((value, state))?;
        let object = self.object(place)?;
        if object.waits > 0 {
            object.value = value;
        }
        Ok(())
    }

    fn look_up(&mut self, module: Bound<'py, PyAny>, name: Bound<'py, PyAny>) -> PyResult<()> {
        if !module.is_exact_instance_of::<PyString>() || !name.is_exact_instance_of::<PyString>() {
            return Err(refuse(self.py, "has a name that is not text"));
        }
        let found = self.find.call1((module, name))?;
        self.stack.push(Slot::Name(found));
        Ok(())
    }

    /// The name in the instruction's lines.
    fn look_up_line(&mut self) -> PyResult<()> {
        let mut lines = [None, None];
        for line in &mut lines {
            let bytes = self.reader.bytes();
            let bytes = self.read(bytes)?.joined();
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| refuse(self.py, "has a name that is not text"))?;
            *line = Some(PyString::new(self.py, text).into_any());
        }
        match lines {
            [Some(module), Some(name)] => self.look_up(module, name),
            _ => Ok(()),
        }
    }

    fn reference(&mut self, pid: Bound<'py, PyAny>) -> PyResult<()> {
        let value = self.load.call1((pid,))?;
        self.push_value(value);
        Ok(())
    }

    /// One instruction. The value after the last one.
    fn step(&mut self) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = self.py;
        let action = self.reader.next();
        match self.read(action)? {
            Action::Push(literal) => {
                let value = self.literal(literal)?;
                self.push_value(value);
            }
            Action::Memoize => {
                let noted = self.stack.memoize();
                self.read(noted)?;
            }
            Action::Put => {
                let place = self.reader.number();
                let noted = self.read(place)?;
                let noted = self.stack.remember(noted);
                self.read(noted)?;
            }
            Action::Get => {
                let place = self.reader.number();
                let place = self.read(place)?;
                let recalled = self.stack.recall(place).map(drop);
                self.read(recalled)?;
            }
            Action::Mark => self.stack.mark(),
            Action::Empty(container) => self.gather(container, Vec::new())?,
            Action::Tuple(count) => {
                let items = self.pop_values(count)?;
                self.gather(Container::Tuple, items)?;
            }
            Action::Gather(container) => {
                let items = self.pop_marked()?;
                self.gather(container, items)?;
            }
            Action::Add(container, count) => {
                let items = self.pop_values(count)?;
                self.grow(container, items)?;
            }
            Action::AddMarked(container) => {
                let items = self.pop_marked()?;
                self.grow(container, items)?;
            }
            Action::Nothing => {}
            Action::Stop => return self.pop_value().map(Some),
            Action::Pop => {
                let popped = self.stack.pop_any();
                self.read(popped)?;
            }
            Action::PopMark => drop(self.pop_marked_slots()?),
            Action::Duplicate => {
                let top = self.stack.top().cloned();
                let top = self.read(top)?;
                self.stack.push(top);
            }
            Action::Reference => {
                let pid = self.reader.bytes();
                let pid = self.read(pid)?.joined();
                let pid = self.decoded(&pid, "utf-8", "replace")?;
                self.reference(pid)?;
            }
            Action::StackReference => {
                let pid = self.pop_value()?;
                self.reference(pid)?;
            }
            Action::Global => self.look_up_line()?,
            Action::StackGlobal => {
                let name = self.pop_value()?;
                let module = self.pop_value()?;
                self.look_up(module, name)?;
            }
            Action::Instance => {
                let arguments = self.pop_marked()?;
                self.look_up_line()?;
                let class = self.pop()?;
                self.call(class, PyTuple::new(py, arguments)?)?;
            }
            Action::Object => {
                let mut slots = self.pop_marked_slots()?.into_iter();
                let class = slots.next().ok_or_else(|| refuse(py, "calls nothing"))?;
                let arguments: Vec<_> = slots
                    .map(|slot| self.value(slot))
                    .collect::<PyResult<_>>()?;
                self.call(class, PyTuple::new(py, arguments)?)?;
            }
            Action::Reduce => {
                let arguments = self.pop_value()?;
                let arguments = self.tuple(arguments)?;
                let callee = self.pop()?;
                self.call(callee, arguments)?;
            }
            Action::New => {
                let arguments = self.pop_value()?;
                self.make(arguments, PyDict::new(py).into_any())?;
            }
            Action::NewWithKeywords => {
                let keywords = self.pop_value()?;
                let arguments = self.pop_value()?;
                if !keywords.is_exact_instance_of::<PyDict>() {
                    return Err(refuse(py, "has arguments that are not a dict"));
                }
                self.make(arguments, keywords)?;
            }
            Action::Build => self.build()?,
            Action::Extension => return Err(refuse(py, "uses an extension code")),
            Action::NextBuffer => {
                let buffer = self.buffers.call_method0(pyo3::intern!(py, "__next__"));
                let buffer =
                    buffer.map_err(|_| refuse(py, "uses more buffers than came with it"))?;
                self.push_value(buffer);
            }
            Action::ReadOnlyBuffer => {
                let buffer = self.pop_value()?;
                let view = pyo3::types::PyMemoryView::from(&buffer)?;
                let view = view.call_method0(pyo3::intern!(py, "toreadonly"))?;
                self.push_value(view);
            }
        }
        Ok(None)
    }
}

fn set_pairs<'py>(dict: &Bound<'py, PyDict>, items: &[Bound<'py, PyAny>]) -> PyResult<()> {
    for pair in items.chunks_exact(2) {
        if let [key, value] = pair {
            dict.set_item(key, value)?;
        }
    }
    Ok(())
}
