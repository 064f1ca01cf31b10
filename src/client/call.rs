//! One call in the making: arguments, options, and the future that runs it.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::object::{RemoteObject, receiving, sending};
use super::running;
use super::value::Value;
use crate::connection::request::{Answer, Request};
use crate::connection::{Completion, Connection};
use crate::error::{Error, RemoteError};
use crate::pickle::bytes::plain_bytes;
use crate::pickle::{Arguments, Document, NONE_PICKLE, TupleWriter};
use crate::session::{ChannelId, Payload, RequestKind, ThreadTarget};
use crate::wire::Segments;

/// Results above this many bytes are decoded on a thread of their own, because the runtime's
/// threads have other calls to serve meanwhile.
const LARGE: usize = 1 << 20;

/// A call that runs when it is awaited. `R` is what its result is decoded into.
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn f(client: easycluster::Client) -> Result<(), easycluster::Error> {
/// let size: u64 = client.call("os.path.getsize", ("/etc/passwd",)).timeout(Duration::from_secs(5)).await?;
/// # Ok(()) }
/// ```
#[must_use = "a call runs when it is awaited"]
pub struct Call<R> {
    connection: Connection,
    kind: RequestKind,
    payload: TupleWriter,
    // The handles that the call names: an argument given away must not be released before the call is sent.
    keeps: Vec<RemoteObject>,
    channels: Vec<ChannelId>,
    references: bool,
    thread: ThreadTarget,
    timeout: Option<Duration>,
    barrier: bool,
    plain: bool,
    error: Option<String>,
    result: PhantomData<fn() -> R>,
}

impl<R> Call<R> {
    pub(crate) fn new(connection: &Connection, kind: RequestKind) -> Call<R> {
        let thread = running::thread(connection);
        Call {
            connection: connection.clone(),
            kind,
            // Before the stub has said what it is, the protocol that all of them read.
            payload: TupleWriter::new(connection.hello().map_or(2, |hello| hello.pickle)),
            keeps: Vec::new(),
            channels: Vec::new(),
            references: false,
            thread: thread.unwrap_or(ThreadTarget::Id(0)),
            timeout: None,
            barrier: false,
            plain: false,
            error: thread.err().map(str::to_owned),
            result: PhantomData,
        }
    }

    /// Appends one part of the payload.
    pub(crate) fn push<T: Serialize + ?Sized>(&mut self, part: &T) {
        self.write(|payload| payload.push(part));
    }

    /// Appends positional arguments, and makes room for keyword arguments.
    pub(crate) fn push_call_arguments(&mut self, args: impl Arguments) {
        self.push(&args.into_tuple());
        self.payload.begin_dict();
    }

    /// Appends a number and bytes, which are not copied, as positional arguments.
    pub(crate) fn push_with_bytes(&mut self, number: u32, data: Bytes) {
        self.write(|payload| payload.push_with_bytes(number, data));
        self.payload.begin_dict();
    }

    pub(crate) fn keep(&mut self, object: RemoteObject) {
        self.keeps.push(object);
    }

    pub(crate) fn barrier(mut self) -> Self {
        self.barrier = true;
        self
    }

    /// Says that the call prints nothing, ends soon and returns little plain data (BS-10).
    pub(crate) fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Writes to the payload, and keeps the objects that are named there.
    fn write(&mut self, write: impl FnOnce(&mut TupleWriter) -> Result<(), crate::pickle::Error>) {
        let (written, named) = sending(&self.connection, || write(&mut self.payload));
        self.references |=
            named.functions || !named.channels.is_empty() || !named.objects.is_empty();
        self.keeps.extend(named.objects);
        self.channels.extend(named.channels);
        if let Err(error) = written {
            self.error.get_or_insert(error.to_string());
        }
    }

    /// Adds a keyword argument.
    pub fn kwarg<T: Serialize>(mut self, name: &str, value: T) -> Self {
        self.write(|payload| payload.entry(name, &value));
        self
    }

    /// Gives up after this long. The remote call is interrupted where Python allows it, and
    /// the error carries the remote stack if it comes within half a second more.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Runs on the server thread of this number, 0 or more, instead of Python's main thread
    /// (0). It is started if it does not exist. Calls of one thread run one after the other.
    pub fn thread(mut self, number: i32) -> Self {
        self.thread = ThreadTarget::Id(number);
        self
    }

    /// Runs on a server thread of its own, which ends with the call.
    pub fn one_shot(mut self) -> Self {
        self.thread = ThreadTarget::OneShot;
        self
    }

    fn take_request(&mut self) -> Result<(Request, Option<Duration>), Error> {
        if let Some(error) = self.error.take() {
            return Err(Error::Convert(format!(
                "{}: {error}",
                self.connection.host()
            )));
        }
        let empty = TupleWriter::new(0);
        let payload = Payload {
            pickle: std::mem::replace(&mut self.payload, empty).finish(),
            buffers: Vec::new(),
        };
        let mut request = Request::new(self.kind, self.thread, payload);
        request.references = self.references;
        request.keeps = self.keeps.iter().map(RemoteObject::oid).collect();
        request.channels = std::mem::take(&mut self.channels);
        request.barrier = self.barrier;
        request.plain = self.plain;
        request.deadline = self
            .timeout
            .and_then(|limit| Instant::now().checked_add(limit));
        Ok((request, self.timeout))
    }
}

impl<R> Call<R> {
    /// Runs it; its result as it came.
    async fn answer(mut self) -> Result<(Connection, Answer), Error> {
        let (request, limit) = self.take_request()?;
        let connection = self.connection.clone();
        let completion = connection.request(request).await;
        let host = connection.host();
        let stack = |answer: Option<Answer>| match answer {
            Some(answer) => error_of(host, answer).traceback().to_vec(),
            None => Vec::new(),
        };
        let host = || connection.host().to_owned();
        Err(match completion {
            Completion::Result(answer) => return Ok((connection, answer)),
            Completion::Sent => return Ok((connection, none())),
            Completion::Error(answer) => error_of(connection.host(), answer),
            Completion::Cancelled(_) => Error::Cancelled { host: host() },
            Completion::TimedOut(answer) => Error::Timeout {
                limit: limit.unwrap_or_default(),
                stack: stack(answer),
                host: host(),
            },
            Completion::TooLarge(limit) => Error::TooLarge {
                limit,
                host: host(),
            },
            Completion::Lost(failure) => failure.into_error(connection.host()),
            Completion::Refused(reason) => Error::Convert(format!("{}: {reason}", host())),
        })
    }
}

/// A call that is on its way.
pub(crate) type Pending<R> = Pin<Box<dyn Future<Output = Result<R, Error>> + Send>>;

impl<R: DeserializeOwned + Send + 'static> Call<R> {
    /// Sends it now, whether or not somebody waits for it yet.
    pub(crate) fn submitted(self) -> Pending<R> {
        begun(self.into_future())
    }
}

/// Runs it as far as it goes by itself.
fn begun<T: Send + 'static>(mut pending: Pending<T>) -> Pending<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match pending.as_mut().poll(&mut context) {
        std::task::Poll::Ready(answer) => Box::pin(std::future::ready(answer)),
        std::task::Poll::Pending => pending,
    }
}

impl Call<Value> {
    /// The same for a function that gives bytes, which are not copied; what Python 2 has for bytes arrives as text. `None` for
    /// all else.
    pub(crate) fn submitted_for_bytes(self) -> Pending<Option<Segments>> {
        begun(Box::pin(async move {
            let (connection, mut answer) = self.answer().await?;
            if let Some(found) = plain_bytes(&answer.pickle).filter(|it| !it.mutable) {
                answer.pickle.split_to(found.start);
                return Ok(Some(answer.pickle.split_to(found.length)));
            }
            Ok(match result_of(&connection, answer)? {
                Value::Bytes(bytes) => Some(bytes.into()),
                Value::Str(text) => {
                    let bytes = text.chars().map(|c| u8::try_from(c).ok());
                    bytes.collect::<Option<Vec<u8>>>().map(Segments::from)
                }
                _ => None,
            })
        }))
    }
}

impl<R: DeserializeOwned + Send + 'static> IntoFuture for Call<R> {
    type Output = Result<R, Error>;
    type IntoFuture = Pending<R>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (connection, answer) = self.answer().await?;
            if answer.pickle.len() > LARGE {
                return decode_aside(connection, answer).await;
            }
            result_of(&connection, answer)
        })
    }
}

/// The answer of a call that wanted none: Python's `None`.
fn none() -> Answer {
    Answer {
        pickle: Bytes::from_static(NONE_PICKLE).into(),
        buffers: Vec::new(),
        references: false,
        held: crate::session::Held::default(),
    }
}

fn result_of<R: DeserializeOwned>(connection: &Connection, answer: Answer) -> Result<R, Error> {
    decode(connection, &answer.pickle, answer.references, "result")
}

/// Decodes an item of a channel, which may hold references.
pub(super) fn decode_item<R: DeserializeOwned>(
    connection: &Connection,
    pickle: Segments,
) -> Result<R, Error> {
    decode(connection, &pickle, true, "item")
}

fn decode<R: DeserializeOwned>(
    connection: &Connection,
    pickle: &Segments,
    references: bool,
    what: &str,
) -> Result<R, Error> {
    let decode = || {
        let document = Document::read(pickle).map_err(|error| error.to_string())?;
        if references {
            // All references are taken over first, so that those which `R` ignores are released.
            let _all: Result<Value, _> = document.decode();
        }
        document.decode().map_err(|error| {
            format!(
                "the {what} is not a {}: {error}",
                std::any::type_name::<R>()
            )
        })
    };
    let decoded = if references {
        receiving(connection, decode)
    } else {
        decode()
    };
    decoded.map_err(|error: String| Error::Convert(format!("{}: {error}", connection.host())))
}

/// Decodes a large answer on a thread where it blocks no other call.
async fn decode_aside<R: DeserializeOwned + Send + 'static>(
    connection: Connection,
    answer: Answer,
) -> Result<R, Error> {
    let host = connection.host().to_owned();
    let decode = move || result_of(&connection, answer);
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime
            .spawn_blocking(decode)
            .await
            .unwrap_or_else(|error| {
                Err(Error::Convert(format!(
                    "{host}: decoding a result failed: {error}"
                )))
            }),
        // Awaited by another executor than tokio's, which has no such threads.
        Err(_) => decode(),
    }
}

fn error_of(host: &str, answer: Answer) -> Error {
    match RemoteError::decode(host, &answer.pickle) {
        Ok(error) => error.into(),
        Err(error) => Error::Protocol {
            host: host.to_owned(),
            message: format!("an ERROR that cannot be read: {error}"),
        },
    }
}
