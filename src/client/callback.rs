//! Callbacks: functions of this program that remote code calls, as long as it was handed them.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::de::value::UnitDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::ser::{Error as _, SerializeTuple};
use serde::{Serialize, Serializer};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::callback_error::CallbackError;
use super::object::{name_function, receiving};
use super::serving::serve;
use super::{Client, Value};
use crate::connection::{Asks, Connection};
use crate::error::Error;
use crate::pickle::{Document, encode};
use crate::wire::Segments;

/// What a function is called where it is an argument (ME-39).
const FUNCTION_TAG: &str = "\0easycluster.function";

/// A call of a function on its way: its value's pickle, or what it raised.
pub(super) type Work = Pin<Box<dyn Future<Output = Result<Vec<u8>, CallbackError>> + Send>>;
/// Calls a function with pickled arguments that came by a connection.
type Run = dyn Fn(Connection, Segments) -> Work + Send + Sync;

impl Client {
    /// A function of this program that remote code may call, to be named in calls: `client.call("f", (&callback,))`, also inside
    /// of lists and dicts. There it is a function, which gives what this one gives and raises what this one fails with.
    ///
    /// `A` is the tuple of its arguments, or a [`Value`]; keyword arguments are a `TypeError` there. An error of any type becomes an
    /// exception, by `?` as a `RuntimeError`; [`CallbackError`] says which. A panic is a `RuntimeError` there too.
    ///
    /// Remote code can call what it was given and nothing else, until the last clone of the [`Callback`] is dropped (then it gets a
    /// `LookupError`) or the connection ends. Calls run as tasks of the runtime in which this is called, at most 63 of them that the
    /// other side waits for at once; those of all callbacks of a client that wait here take at most 64 places and about 16 MiB, and
    /// further ones wait at the other side. A call's arguments take at most 8 MiB. When the connection ends, the futures of calls
    /// that run are dropped.
    ///
    /// The function may make calls, also on its own client: unless they name a thread they run in one of their own there, because
    /// the thread that has called the function waits. Callbacks that call each other without end get a `RecursionError`.
    ///
    /// ```no_run
    /// # async fn f(client: easycluster::Client) -> Result<(), easycluster::Error> {
    /// client.define("def copy_all(names, report):\n    for place, name in enumerate(names):\n        report(place + 1, name)\n").await?;
    /// let report = client.callback(|(done, name): (usize, String)| async move {
    ///     println!("{done} done, the last is {name}");
    ///     Ok(())
    /// })?;
    /// client.call::<()>("copy_all", (vec!["a", "b"], &report)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Lost`] where the connection has ended, [`Error::Convert`] outside of a tokio runtime.
    pub fn callback<A, R, F, Fut>(&self, function: F) -> Result<Callback, Error>
    where
        A: DeserializeOwned + Send + 'static,
        R: Serialize,
        F: Fn(A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, CallbackError>> + Send + 'static,
    {
        let function = Arc::new(function);
        let run = move |connection: Connection, content: Segments| -> Work {
            let function = Arc::clone(&function);
            Box::pin(async move {
                let arguments = arguments(&connection, &content)?;
                let protocol = connection.hello().map_or(2, |hello| hello.pickle);
                drop((connection, content));
                let value = function(arguments).await?;
                encode(&value, protocol)
                    .map_err(|error| CallbackError::new("TypeError", error.to_string()))
            })
        };
        Ok(self.opened()?.add(Arc::new(run), true))
    }

    /// The callbacks of this client, whose channel is opened with the first.
    fn opened(&self) -> Result<Arc<Callbacks>, Error> {
        let mut opened = self
            .callbacks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = &*opened {
            return Ok(Arc::clone(opened));
        }
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            let host = self.host();
            Error::Convert(format!("{host}: a callback is made within a tokio runtime"))
        })?;
        let asks = Asks::open(&self.connection)
            .map_err(|failure| failure.into_error(self.connection.host()))?;
        let functions = Arc::new(Functions::default());
        let task = runtime.spawn(serve(Arc::clone(&asks), Arc::clone(&functions)));
        let made = Arc::new(Callbacks {
            asks,
            functions,
            task: task.abort_handle(),
        });
        *opened = Some(Arc::clone(&made));
        Ok(made)
    }
}

type Keywords = HashMap<String, Value>;

/// The positional arguments that a function is called with; there are to be no others.
fn arguments<A: DeserializeOwned>(
    connection: &Connection,
    content: &Segments,
) -> Result<A, CallbackError> {
    let host = connection.host();
    let decoded = receiving(connection, || {
        let document = Document::read(content)?;
        // All references are taken over first, so that those which `A` ignores are released.
        let all: Result<(Vec<Value>, Keywords), _> = document.decode();
        document.decode::<(A, Keywords)>().or_else(|error| {
            // Serde has no empty tuple but `()`, which is Python's None.
            let none: UnitDeserializer<serde::de::value::Error> = ().into_deserializer();
            match (all, A::deserialize(none)) {
                (Ok((given, keywords)), Ok(unit)) if given.is_empty() => Ok((unit, keywords)),
                _ => Err(error),
            }
        })
    });
    match decoded {
        Ok((arguments, keywords)) if keywords.is_empty() => Ok(arguments),
        Ok(_) => Err(CallbackError::new(
            "TypeError",
            format!("{host}: a callback takes no keyword arguments"),
        )),
        Err(error) => Err(CallbackError::new(
            "TypeError",
            format!(
                "{host}: a callback of {} was called otherwise: {error}",
                std::any::type_name::<A>()
            ),
        )),
    }
}

/// A function of this program that remote code may call; see [`Client::callback`]. Clones are the same function.
#[derive(Clone)]
pub struct Callback {
    handed: Arc<Handed>,
    timeout: Option<Duration>,
}

impl Callback {
    /// The same function for remote code that goes on at once, and gets `None`. Such calls run one after the other, in the order in
    /// which they were made; nobody hears of what they fail with, and they cannot make calls on their own client.
    pub fn without_answer(&self) -> Callback {
        let Handed {
            callbacks, entry, ..
        } = &*self.handed;
        callbacks.add(Arc::clone(&entry.run), false)
    }

    /// The same function for remote code that waits no longer than this, and then gets an `OSError` (`ETIMEDOUT`), which is a
    /// `TimeoutError` from Python 3.3 on. The function itself goes on.
    pub fn timeout(mut self, limit: Duration) -> Callback {
        self.timeout = Some(limit);
        self
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connection = self.handed.callbacks.asks.channel().connection();
        write!(f, "<callback {} of {connection:?}>", self.handed.number)
    }
}

impl Serialize for Callback {
    /// Serializes as its name; only as an argument of a call on its own connection.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Handed {
            number,
            entry,
            callbacks,
        } = &*self.handed;
        let channel = callbacks.asks.channel();
        name_function(channel.connection()).map_err(S::Error::custom)?;
        let mut tuple = serializer.serialize_tuple(5)?;
        tuple.serialize_element(FUNCTION_TAG)?;
        tuple.serialize_element(number)?;
        tuple.serialize_element(&channel.number())?;
        tuple.serialize_element(&entry.wait)?;
        tuple.serialize_element(&self.timeout.map(|limit| limit.as_secs_f64()))?;
        tuple.end()
    }
}

/// A function under the number by which it is handed over.
struct Handed {
    number: u32,
    entry: Arc<Entry>,
    callbacks: Arc<Callbacks>,
}

impl Drop for Handed {
    fn drop(&mut self) {
        self.callbacks.functions.lock().remove(&self.number);
    }
}

/// A function, and how it is called.
pub(super) struct Entry {
    run: Arc<Run>,
    wait: bool,
    /// What the last call that nobody waits for ends.
    last: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Entry {
    /// Calls it; one that nobody waits for, behind those before.
    pub(super) fn call(&self, connection: Connection, content: Segments) -> Work {
        let work = (self.run)(connection, content);
        if self.wait {
            return work;
        }
        let (done, following) = oneshot::channel();
        let before = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(following);
        Box::pin(async move {
            if let Some(before) = before {
                // Also over where that one has panicked.
                let _ = before.await;
            }
            let result = work.await;
            drop(done);
            result
        })
    }
}

/// The functions of one connection. What holds a function is its handle, so that a client that it keeps is no cycle.
#[derive(Default)]
pub(super) struct Functions(Mutex<HashMap<u32, Weak<Entry>>>);

impl Functions {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Weak<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The function of a number, if it is called in the way in which it was handed over.
    pub(super) fn find(&self, number: u32, waited_for: bool) -> Option<Arc<Entry>> {
        let entry = self.lock().get(&number)?.upgrade()?;
        (entry.wait == waited_for).then_some(entry)
    }
}

/// The callbacks of a client and what serves them, until the last of its clones and handles is dropped.
pub(super) struct Callbacks {
    asks: Arc<Asks>,
    functions: Arc<Functions>,
    task: AbortHandle,
}

impl Callbacks {
    fn add(self: &Arc<Self>, run: Arc<Run>, wait: bool) -> Callback {
        let entry = Arc::new(Entry {
            run,
            wait,
            last: Mutex::default(),
        });
        let number = {
            let mut functions = self.functions.lock();
            let number = self.asks.number();
            functions.insert(number, Arc::downgrade(&entry));
            number
        };
        Callback {
            handed: Arc::new(Handed {
                number,
                entry,
                callbacks: Arc::clone(self),
            }),
            timeout: None,
        }
    }
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        // With the task go the functions that run, and its handle on the connection.
        self.task.abort();
        self.asks.stop();
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callbacks({})", self.functions.lock().len())
    }
}
