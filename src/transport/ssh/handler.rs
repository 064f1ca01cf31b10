//! What the server sends, as russh hands it on: host key, banner, channel data, the end of the connection.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelId, ChannelOpenFailure};

use crate::error::{ConnectError, printable};
use crate::transport::ssh::channel::queue::{Inlet, Outlet, queue};
use crate::transport::ssh::describe;
use crate::transport::ssh::host_key::{HostKeyCheck, Trust};
use crate::transport::{COMMAND_REFUSED, ExitStatus, ReadEvent};

/// At most this much of a banner is kept for error messages, in bytes.
const BANNER_KEPT: usize = 4096;

/// A server that opens more channels than this, all of them refused, means no good.
const REFUSED_CHANNELS: u32 = 100;

/// So many announcements of host keys are taken.
const ANNOUNCEMENTS: u32 = 100;

/// The reason given if neither side gave one.
pub(crate) const ENDED: &str = "the connection ended";

/// Why a connection ended or could not be established.
#[derive(Debug)]
pub(crate) enum HandlerError {
    /// We refused the server's key; the error is ready for the user.
    HostKey(Box<ConnectError>),
    /// The server does what no well-meaning server does.
    Misbehaves(&'static str),
    /// russh's own error.
    Russh(russh::Error),
}

impl From<russh::Error> for HandlerError {
    fn from(error: russh::Error) -> Self {
        HandlerError::Russh(error)
    }
}

/// What the session task and the users of a connection share.
#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    channels: HashMap<ChannelId, Inlet>,
    /// The other ends of queues whose channel was confirmed and whose opener has not come for it yet.
    unclaimed: HashMap<ChannelId, Outlet>,
    /// Those among the channels that stand by: opened ahead of need, not used yet.
    standby: HashSet<ChannelId>,
    /// The server's words for refusing to open a channel, until the opener takes them.
    refusal: Option<String>,
    banner: String,
    ended: Option<String>,
    trust: Option<Trust>,
    negotiated: String,
}

impl Shared {
    /// Nothing in here can be left half done, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reading end of a channel's queue. The first of the two, the opener or the session, makes
    /// the queue: a server may send data right behind its confirmation.
    pub(crate) fn claim(&self, id: ChannelId) -> Outlet {
        let mut state = self.lock();
        if let Some(outlet) = state.unclaimed.remove(&id) {
            return outlet;
        }
        let (inlet, outlet) = queue();
        match &state.ended {
            Some(why) => inlet.end(Some(why)),
            None => {
                state.channels.insert(id, inlet);
            }
        }
        outlet
    }

    /// Stops routing a channel's events.
    pub(crate) fn forget(&self, id: ChannelId) {
        let mut state = self.lock();
        state.channels.remove(&id);
        state.unclaimed.remove(&id);
        state.standby.remove(&id);
    }

    /// Says whether an open channel stands by for a client that it will serve.
    pub(crate) fn set_standby(&self, id: ChannelId, waits: bool) {
        let mut state = self.lock();
        if waits {
            state.standby.insert(id);
        } else {
            state.standby.remove(&id);
        }
    }

    /// Ends a channel on which the server has not taken the command yet; whether it was one.
    pub(crate) fn end_unless_started(&self, id: ChannelId, why: &str) -> bool {
        let mut state = self.lock();
        let waits = state.channels.get(&id).is_some_and(|inlet| !inlet.started);
        if waits && let Some(inlet) = state.channels.remove(&id) {
            inlet.end(Some(why));
        }
        waits
    }

    /// How many channels serve a client.
    pub(crate) fn used_channels(&self) -> usize {
        let state = self.lock();
        let used = |id: &&ChannelId| !state.standby.contains(id);
        state.channels.keys().filter(used).count()
    }

    /// The server's words for its last refusal to open a channel.
    pub(crate) fn take_refusal(&self) -> Option<String> {
        self.lock().refusal.take()
    }

    /// What the server printed before authentication.
    pub(crate) fn banner(&self) -> String {
        self.lock().banner.clone()
    }

    /// Why the connection ended, if it has.
    pub(crate) fn ended(&self) -> Option<String> {
        self.lock().ended.clone()
    }

    /// How the host key check came out.
    pub(crate) fn trust(&self) -> Option<Trust> {
        self.lock().trust
    }

    /// The algorithms that the key exchange came to.
    pub(crate) fn negotiated(&self) -> String {
        self.lock().negotiated.clone()
    }

    /// Ends every channel, once.
    fn end(&self, why: &str) {
        let mut state = self.lock();
        if state.ended.is_none() {
            state.ended = Some(why.to_owned());
        }
        for (_, inlet) in state.channels.drain() {
            inlet.end(Some(why));
        }
    }
}

/// The callbacks of one connection.
pub(crate) struct ClientHandler {
    shared: Arc<Shared>,
    // A kilobyte, which the session's task would hold four times.
    check: Box<HostKeyCheck>,
    refused_channels: u32,
    /// How often it has announced its host keys.
    announcements: u32,
    /// The type of the host key that the first exchange was signed with.
    key_type: Option<String>,
}

impl ClientHandler {
    pub(crate) fn new(check: HostKeyCheck) -> (Self, Arc<Shared>) {
        let shared = Arc::new(Shared::default());
        (
            ClientHandler {
                shared: Arc::clone(&shared),
                check: Box::new(check),
                refused_channels: 0,
                announcements: 0,
                key_type: None,
            },
            shared,
        )
    }

    fn push(&self, id: ChannelId, event: ReadEvent) {
        let mut state = self.shared.lock();
        if let Some(inlet) = state.channels.get_mut(&id) {
            // Not every server says so by itself.
            inlet.started = true;
            if !inlet.push(event) {
                state.channels.remove(&id);
            }
        }
    }

    fn over(&self, id: ChannelId, why: Option<&str>) {
        if let Some(inlet) = self.shared.lock().channels.remove(&id) {
            inlet.end(why);
        }
    }
}

impl ClientHandler {
    /// Refuses a channel that the server opens; one that goes on opening them is cut off.
    async fn refuse_channel(&mut self, reply: ChannelOpenHandle) -> Result<(), HandlerError> {
        reply
            .reject(ChannelOpenFailure::AdministrativelyProhibited)
            .await;
        self.refused_channels += 1;
        if self.refused_channels > REFUSED_CHANNELS {
            return Err(HandlerError::Misbehaves(
                "it opens channels that were not asked for",
            ));
        }
        Ok(())
    }
}

impl Drop for ClientHandler {
    fn drop(&mut self) {
        // Also when the session's task is gone without a word, such as at the end of its runtime.
        self.shared.end(ENDED);
    }
}

impl Handler for ClientHandler {
    type Error = HandlerError;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        match self.check.check(shown).await {
            Ok(trust) => {
                self.shared.lock().trust = Some(trust);
                Ok(true)
            }
            Err(error) => Err(HandlerError::HostKey(Box::new(error))),
        }
    }

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        names: &russh::Names,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        // Of the key that a renewal is signed with, russh tells no more than its type (docs/upstream-russh.md).
        let key_type = names.key.to_string();
        if *self.key_type.get_or_insert_with(|| key_type.clone()) != key_type {
            return Err(HandlerError::Misbehaves(
                "it shows a host key of another type where keys are renewed",
            ));
        }
        let (kex, cipher) = (names.kex.as_ref(), names.cipher.as_ref());
        self.shared.lock().negotiated = format!("{kex}, {key_type}, {cipher}");
        Ok(())
    }

    async fn openssh_ext_host_keys_announced(
        &mut self,
        _: Vec<russh::keys::PublicKey>,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        // Once is usual, and each costs the parsing of all of its keys.
        self.announcements += 1;
        if self.announcements > ANNOUNCEMENTS {
            return Err(HandlerError::Misbehaves("it goes on announcing host keys"));
        }
        Ok(())
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), Self::Error> {
        let mut state = self.shared.lock();
        if state.banner.len() < BANNER_KEPT {
            state
                .banner
                .extend(printable(banner).chars().take(BANNER_KEPT));
        }
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.push(channel, ReadEvent::Stdout(Bytes::copy_from_slice(data)));
        Ok(())
    }

    async fn extended_data(
        &mut self,
        channel: ChannelId,
        _: u32,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.push(channel, ReadEvent::Stderr(Bytes::copy_from_slice(data)));
        Ok(())
    }

    async fn exit_status(
        &mut self,
        channel: ChannelId,
        status: u32,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let code = i32::try_from(status).unwrap_or(i32::MAX);
        self.push(channel, ReadEvent::Exit(ExitStatus::Code(code)));
        Ok(())
    }

    async fn exit_signal(
        &mut self,
        channel: ChannelId,
        signal: russh::Sig,
        _: bool,
        _: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let name = describe::signal(&signal);
        self.push(channel, ReadEvent::Exit(ExitStatus::Signal(name)));
        Ok(())
    }

    async fn channel_success(
        &mut self,
        channel: ChannelId,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(inlet) = self.shared.lock().channels.get_mut(&channel) {
            inlet.started = true;
        }
        Ok(())
    }

    async fn channel_failure(
        &mut self,
        channel: ChannelId,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        // The only request that asks for an answer is the one that starts the command.
        if let Some(inlet) = self.shared.lock().channels.remove(&channel) {
            inlet.end(Some(COMMAND_REFUSED));
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.push(channel, ReadEvent::OutputEnd);
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.over(channel, None);
        Ok(())
    }

    async fn channel_open_confirmation(
        &mut self,
        channel: ChannelId,
        _: u32,
        _: u32,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let mut state = self.shared.lock();
        if let Entry::Vacant(place) = state.channels.entry(channel) {
            let (inlet, outlet) = queue();
            place.insert(inlet);
            state.unclaimed.insert(channel, outlet);
        }
        Ok(())
    }

    // We ask for no forwarding, so a server has no channel to open. Without these answers russh accepts them all.

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse_channel(reply).await
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse_channel(reply).await
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse_channel(reply).await
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse_channel(reply).await
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse_channel(reply).await
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse_channel(reply).await
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse_channel(reply).await
    }

    async fn channel_open_failure(
        &mut self,
        channel: ChannelId,
        _: ChannelOpenFailure,
        description: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let why = printable(description);
        // One that was open before has gone from russh's table, too.
        self.over(channel, Some(&why));
        self.shared.lock().refusal = Some(why);
        Ok(())
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<Self::Error>,
    ) -> Result<(), Self::Error> {
        let why = match &reason {
            DisconnectReason::ReceivedDisconnect(info) => describe::disconnect(&info.message),
            DisconnectReason::Error(HandlerError::Russh(error)) => describe::describe(error),
            DisconnectReason::Error(HandlerError::Misbehaves(what)) => describe::misbehaves(what),
            DisconnectReason::Error(HandlerError::HostKey(error)) => error.message.clone(),
        };
        self.shared.end(&why);
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(error) => Err(error),
        }
    }
}
