//! Handles on objects that stay on their server.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::{Error as _, SerializeTuple};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Call, Value};
use crate::connection::Connection;
use crate::error::Error;
use crate::pickle::{Arguments, OBJECT_TAG, Object};
use crate::session::{ChannelId, RequestKind};

/// An object that lives on a server: call its methods, read and set its attributes, pass it
/// as an argument to calls on the same connection. Clones are the same handle; the server
/// forgets the object when the last one is dropped.
#[derive(Clone)]
pub struct RemoteObject {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    oid: u64,
    class: String,
    text: String,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.connection.release(self.oid, 1);
    }
}

impl RemoteObject {
    /// Calls a method.
    ///
    /// # Errors
    /// Those of [`Client::call`](crate::Client::call); the method's exception is [`Error::Remote`](crate::Error::Remote).
    pub fn call<R: DeserializeOwned + Send + 'static>(
        &self,
        method: &str,
        args: impl Arguments,
    ) -> Call<R> {
        let mut call = Call::new(&self.inner.connection, RequestKind::Method);
        call.push(&self.inner.oid);
        call.keep(self.clone());
        call.push(method);
        call.push_call_arguments(args);
        call
    }

    /// Reads an attribute.
    ///
    /// # Errors
    /// As [`call`](Self::call); `AttributeError` if there is none of that name.
    pub fn get<R: DeserializeOwned + Send + 'static>(&self, attribute: &str) -> Call<R> {
        self.builtin("getattr", (self.clone(), attribute.to_owned()))
    }

    /// Sets an attribute.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn set<V: Serialize + Send>(&self, attribute: &str, value: V) -> Call<()> {
        self.builtin("setattr", (self.clone(), attribute.to_owned(), value))
    }

    /// The next item of a remote iterator, such as a generator or a file; `None` at its end.
    ///
    /// ```no_run
    /// # async fn f(client: easycluster::Client) -> Result<(), easycluster::Error> {
    /// let lines: easycluster::RemoteObject = client.call("open", ("/etc/hosts",)).await?;
    /// while let Some(line) = lines.next::<String>().await? {
    ///     print!("{line}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`call`](Self::call); `TypeError` if the object is not an iterator.
    pub async fn next<R: DeserializeOwned + Send + 'static>(&self) -> Result<Option<R>, Error> {
        match self.builtin("next", (self.clone(),)).await {
            Ok(item) => Ok(Some(item)),
            Err(Error::Remote(error)) if error.type_name == "StopIteration" => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn builtin<R: DeserializeOwned + Send + 'static>(
        &self,
        name: &str,
        args: impl Arguments,
    ) -> Call<R> {
        let mut call = Call::new(&self.inner.connection, RequestKind::Call);
        call.push(name);
        call.push_call_arguments(args);
        call
    }

    /// The object's number on its connection.
    pub fn oid(&self) -> u64 {
        self.inner.oid
    }

    /// The name of its class on the server.
    pub fn class_name(&self) -> &str {
        &self.inner.class
    }

    /// The connection that it lives on.
    #[doc(hidden)]
    pub fn connection(&self) -> &Connection {
        &self.inner.connection
    }
}

impl Object for RemoteObject {
    /// Takes over a reference found in an answer; `None` outside the decoding of one.
    fn received(oid: i64, class: &str, text: &str) -> Option<RemoteObject> {
        let oid = u64::try_from(oid).ok()?;
        RECEIVING.with_borrow_mut(|scope| {
            let scope = scope.as_mut()?;
            let connection = &scope.connection;
            let object = scope.objects.entry(oid).or_insert_with(|| RemoteObject {
                inner: Arc::new(Inner {
                    connection: connection.clone(),
                    oid,
                    class: class.to_owned(),
                    text: text.to_owned(),
                }),
            });
            Some(object.clone())
        })
    }
}

impl<'de> Deserialize<'de> for RemoteObject {
    /// Takes over a reference; fails if the value is not one, or there is no connection.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Object(object) => Ok(object),
            _ => Err(D::Error::custom(
                "the result is plain data, not an object that stays on the server",
            )),
        }
    }
}

impl PartialEq for RemoteObject {
    /// Whether both are the same object of the same connection.
    fn eq(&self, other: &Self) -> bool {
        self.inner.oid == other.inner.oid && self.inner.connection == other.inner.connection
    }
}

impl fmt::Debug for RemoteObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            connection,
            oid,
            class,
            text,
        } = &*self.inner;
        write!(
            f,
            "<remote {} {oid} on {}: {}>",
            crate::error::one_line(class),
            connection.peer(),
            crate::error::printable(text)
        )
    }
}

impl Serialize for RemoteObject {
    /// Serializes as a reference; only as an argument of a call on the object's own connection.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SENDING.with_borrow_mut(|scope| match scope {
            None => Err(S::Error::custom(
                "a remote object can only be an argument of a call",
            )),
            Some(scope) if scope.connection != self.inner.connection => Err(S::Error::custom(
                "the remote object belongs to another connection",
            )),
            Some(scope) => {
                scope.named.objects.push(self.clone());
                Ok(())
            }
        })?;
        let mut tuple = serializer.serialize_tuple(2)?;
        tuple.serialize_element(OBJECT_TAG)?;
        tuple.serialize_element(&self.inner.oid)?;
        tuple.end()
    }
}

struct Sending {
    connection: Connection,
    named: Named,
}

struct Receiving {
    connection: Connection,
    /// One handle for each object in the answer: an answer counts as one receipt of each (ME-8).
    objects: HashMap<u64, RemoteObject>,
}

// Serde passes no context to the types inside a value, so the connection that they belong to waits here.
thread_local! {
    static SENDING: RefCell<Option<Sending>> = const { RefCell::new(None) };
    static RECEIVING: RefCell<Option<Receiving>> = const { RefCell::new(None) };
}

/// What serialized arguments name.
#[derive(Default)]
pub(crate) struct Named {
    pub(crate) objects: Vec<RemoteObject>,
    pub(crate) channels: Vec<ChannelId>,
    /// Whether functions of this side are among them. Their channel does not end with the call.
    pub(crate) functions: bool,
}

/// Serializes arguments for `connection`; gives what they name beside the result.
pub(crate) fn sending<T>(connection: &Connection, serialize: impl FnOnce() -> T) -> (T, Named) {
    let before = SENDING.replace(Some(Sending {
        connection: connection.clone(),
        named: Named::default(),
    }));
    let result = serialize();
    let scope = SENDING.replace(before);
    let named = scope.map(|scope| scope.named);
    (result, named.unwrap_or_default())
}

/// Notes that arguments that are being serialized name a channel of this connection.
pub(super) fn name_channel(connection: &Connection, id: ChannelId) -> Result<(), &'static str> {
    SENDING.with_borrow_mut(|scope| match scope {
        None => Err("a channel can only be an argument of a call"),
        Some(scope) if scope.connection != *connection => {
            Err("the channel belongs to another connection")
        }
        Some(scope) => {
            scope.named.channels.push(id);
            Ok(())
        }
    })
}

/// Notes that arguments that are being serialized name a function of this connection.
pub(super) fn name_function(connection: &Connection) -> Result<(), &'static str> {
    SENDING.with_borrow_mut(|scope| match scope {
        None => Err("a callback can only be an argument of a call"),
        Some(scope) if scope.connection != *connection => {
            Err("the callback belongs to another connection")
        }
        Some(scope) => {
            scope.named.functions = true;
            Ok(())
        }
    })
}

/// Decodes an answer of `connection` that holds references.
pub(crate) fn receiving<T>(connection: &Connection, decode: impl FnOnce() -> T) -> T {
    let before = RECEIVING.replace(Some(Receiving {
        connection: connection.clone(),
        objects: HashMap::new(),
    }));
    let result = decode();
    let scope = RECEIVING.replace(before);
    // Dropped outside the borrow: giving up the last handle goes back into the connection.
    drop(scope);
    result
}
