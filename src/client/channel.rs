//! Channels: streams of items or bytes to and from a remote function, beside its call.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::ser::{Error as _, SerializeTuple};
use serde::{Serialize, Serializer};

use super::Client;
use super::call::decode_item;
use super::object::name_channel;
use crate::connection::{Channel as Core, ChannelError};
use crate::error::Error;
use crate::pickle::encode;
use crate::session::CHANNEL_WINDOW;
use crate::wire::Segments;

/// What a channel is called where it is an argument (ME-33).
const CHANNEL_TAG: &str = "\0easycluster.channel";

impl Client {
    /// A channel of bytes, to be named in one call: `client.call("store", ("/tmp/file", &channel))`. The function gets a file
    /// that is read and written. Takes no round trip.
    ///
    /// `window` is how many bytes may be on their way or unread in each direction, 1 MiB where nothing is said; over a long
    /// distance more is faster.
    ///
    /// ```no_run
    /// # async fn f(client: easycluster::Client) -> Result<(), easycluster::Error> {
    /// client.define("def store(path, channel):\n    with open(path, 'wb') as file:\n        for piece in channel:\n            file.write(piece)\n").await?;
    /// let channel = client.byte_channel(None)?;
    /// let call = client.call::<()>("store", ("/tmp/file", &channel));
    /// let (mut sender, _) = channel.split();
    /// let sending = async move {
    ///     sender.send("some bytes").await?;
    ///     sender.end().await
    /// };
    /// let (sent, stored) = tokio::join!(sending, std::future::IntoFuture::into_future(call));
    /// sent.and(stored)
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Lost`] where the connection has ended.
    pub fn byte_channel(&self, window: Option<u32>) -> Result<ByteChannel, Error> {
        let core = self.open_channel(window)?;
        Ok(ByteChannel {
            sender: ByteSender(Half::new(&core)),
            receiver: ByteReceiver(Half::new(&core)),
        })
    }

    /// A channel of items: values of `S` go there, of `R` come from there. The function gets an object with `send()` and
    /// `receive()`, which is an iterator too. All else is as of [`byte_channel`](Self::byte_channel).
    ///
    /// # Errors
    /// As [`byte_channel`](Self::byte_channel).
    pub fn channel<S, R>(&self, window: Option<u32>) -> Result<Channel<S, R>, Error> {
        let core = self.open_channel(window)?;
        Ok(Channel {
            sender: Sender(Half::new(&core), PhantomData),
            receiver: Receiver(Half::new(&core), PhantomData),
        })
    }

    fn open_channel(&self, window: Option<u32>) -> Result<Arc<Core>, Error> {
        let opened = self
            .connection
            .open_channel(window.unwrap_or(CHANNEL_WINDOW));
        opened
            .map(Arc::new)
            .map_err(|failure| failure.into_error(self.host()))
    }
}

/// A direction of a channel on this side.
#[derive(Debug)]
struct Half(Arc<Core>);

impl Half {
    fn new(core: &Arc<Core>) -> Half {
        Half(Arc::clone(core))
    }

    fn fail(&self, error: ChannelError) -> Error {
        error.into_error(self.0.connection().host())
    }

    async fn send(&self, payload: impl Into<Segments>) -> Result<(), Error> {
        self.0.room().await.map_err(|error| self.fail(error))?;
        self.0.send(payload).map_err(|error| self.fail(error))
    }

    async fn end(&self) -> Result<(), Error> {
        self.0.room().await.map_err(|error| self.fail(error))?;
        self.0.end(None);
        Ok(())
    }

    fn break_off(&self) {
        self.0.end(Some("the other end has dropped the channel"));
    }

    fn name<S: Serializer>(&self, serializer: S, is_raw: bool) -> Result<S::Ok, S::Error> {
        name_channel(self.0.connection(), self.0.id()).map_err(S::Error::custom)?;
        let mut tuple = serializer.serialize_tuple(3)?;
        tuple.serialize_element(CHANNEL_TAG)?;
        tuple.serialize_element(&self.0.number())?;
        tuple.serialize_element(&is_raw)?;
        tuple.end()
    }
}

/// A channel of bytes; see [`Client::byte_channel`].
#[derive(Debug)]
pub struct ByteChannel {
    sender: ByteSender,
    receiver: ByteReceiver,
}

impl ByteChannel {
    /// Its two directions. A function that is to get the channel is called before, with `&channel` among the arguments.
    pub fn split(self) -> (ByteSender, ByteReceiver) {
        (self.sender, self.receiver)
    }
}

impl Serialize for ByteChannel {
    /// Serializes as its name; only as an argument of a call on its own connection.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.sender.0.name(serializer, true)
    }
}

/// Sends the bytes of a channel. Dropped without [`end`](Self::end), it breaks off: what is read at the other end raises.
#[derive(Debug)]
pub struct ByteSender(Half);

impl ByteSender {
    /// Sends bytes, any number of them, which are not copied; waits until those before are on their way.
    ///
    /// # Errors
    /// [`Error::Channel`] where the other end reads no more, [`Error::Lost`].
    pub async fn send(&mut self, data: impl Into<Bytes>) -> Result<(), Error> {
        self.0.send(data.into()).await
    }

    /// Sends nothing more: the other end comes to its end behind all that was sent.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn end(self) -> Result<(), Error> {
        self.0.end().await
    }

    /// Breaks off, for a reason that the other end is told.
    pub fn fail(self, reason: &str) {
        self.0.0.end(Some(reason));
    }
}

impl Drop for ByteSender {
    fn drop(&mut self) {
        self.0.break_off();
    }
}

/// Takes the bytes of a channel. Once it is dropped, sending fails at the other end.
#[derive(Debug)]
pub struct ByteReceiver(Half);

impl ByteReceiver {
    /// The next bytes, as many as came at once and never none; `None` at the end. May be dropped while it waits.
    ///
    /// # Errors
    /// [`Error::Channel`] where the other end broke off, [`Error::Lost`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let came = poll_fn(|context| self.0.0.poll_bytes(context)).await;
        let came = came.transpose().map_err(|error| self.0.fail(error))?;
        Ok(came.map(Segments::into_bytes))
    }
}

impl Drop for ByteReceiver {
    fn drop(&mut self) {
        self.0.0.stop();
    }
}

/// A channel of items; see [`Client::channel`].
#[derive(Debug)]
pub struct Channel<S, R> {
    sender: Sender<S>,
    receiver: Receiver<R>,
}

impl<S, R> Channel<S, R> {
    /// Its two directions. A function that is to get the channel is called before, with `&channel` among the arguments.
    pub fn split(self) -> (Sender<S>, Receiver<R>) {
        (self.sender, self.receiver)
    }
}

impl<Sent, R> Serialize for Channel<Sent, R> {
    /// Serializes as its name; only as an argument of a call on its own connection.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.sender.0.name(serializer, false)
    }
}

/// Sends the items of a channel. Dropped without [`end`](Self::end), it breaks off: what is read at the other end raises.
#[derive(Debug)]
pub struct Sender<S>(Half, PhantomData<fn(S)>);

impl<S: Serialize> Sender<S> {
    /// Sends an item; waits until those before are on their way.
    ///
    /// # Errors
    /// [`Error::Channel`] where the other end reads no more, [`Error::Convert`], [`Error::Lost`].
    pub async fn send(&mut self, item: &S) -> Result<(), Error> {
        let connection = self.0.0.connection();
        let protocol = connection.hello().map_or(2, |hello| hello.pickle);
        let data = encode(item, protocol)
            .map_err(|error| Error::Convert(format!("{}: {error}", connection.host())))?;
        self.0.send(data).await
    }
}

impl<S> Sender<S> {
    /// Sends nothing more: the other end comes to its end behind all that was sent.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn end(self) -> Result<(), Error> {
        self.0.end().await
    }

    /// Breaks off, for a reason that the other end is told.
    pub fn fail(self, reason: &str) {
        self.0.0.end(Some(reason));
    }
}

impl<S> Drop for Sender<S> {
    fn drop(&mut self) {
        self.0.break_off();
    }
}

/// Takes the items of a channel. Once it is dropped, sending fails at the other end.
#[derive(Debug)]
pub struct Receiver<R>(Half, PhantomData<fn() -> R>);

impl<R: DeserializeOwned> Receiver<R> {
    /// The next item; `None` at the end. May be dropped while it waits.
    ///
    /// # Errors
    /// [`Error::Channel`] where the other end broke off, [`Error::Convert`], [`Error::TooLarge`], [`Error::Lost`].
    pub async fn next(&mut self) -> Result<Option<R>, Error> {
        let core = &self.0.0;
        let limit = core.connection().max_result();
        let came = poll_fn(|context| core.poll_item(context, limit)).await;
        let came = came.transpose().map_err(|error| self.0.fail(error))?;
        came.map(|item| decode_item(core.connection(), item))
            .transpose()
    }
}

impl<R> Drop for Receiver<R> {
    fn drop(&mut self) {
        self.0.0.stop();
    }
}
