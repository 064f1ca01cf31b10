//! References given up: counted, held back while a request names the object, sent many in a frame (ME-8).

use std::collections::HashMap;

use bytes::{BufMut, BytesMut};

use crate::wire::{Frame, Kind, MAX_PAYLOAD, RELEASE_ENTRY};

#[derive(Debug, Default)]
pub(super) struct Releases {
    // Receipts to give up now.
    due: HashMap<u64, u32>,
    // By object: how many unanswered requests name it, and the receipts that wait for them.
    kept: HashMap<u64, Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    requests: usize,
    receipts: u32,
}

impl Releases {
    /// A request names these objects.
    pub(super) fn keep(&mut self, objects: &[u64]) {
        for oid in objects {
            self.kept.entry(*oid).or_default().requests += 1;
        }
    }

    /// That request is answered or will never be sent.
    pub(super) fn unkeep(&mut self, objects: &[u64]) {
        for oid in objects {
            let Some(kept) = self.kept.get_mut(oid) else {
                continue;
            };
            kept.requests = kept.requests.saturating_sub(1);
            if kept.requests == 0 {
                let receipts = kept.receipts;
                self.kept.remove(oid);
                self.add_due(*oid, receipts);
            }
        }
    }

    /// Gives up receipts, now or once nothing names the object.
    pub(super) fn release(&mut self, oid: u64, times: u32) {
        match self.kept.get_mut(&oid) {
            Some(kept) => kept.receipts = kept.receipts.saturating_add(times),
            None => self.add_due(oid, times),
        }
    }

    /// Whether there is anything to send.
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Appends the frames for all that is due.
    pub(super) fn encode(&mut self, out: &mut BytesMut) {
        while !self.due.is_empty() {
            let mut entries = BytesMut::new();
            let most = MAX_PAYLOAD / RELEASE_ENTRY;
            if self.due.len() <= most {
                for (oid, times) in self.due.drain() {
                    entries.put_u64(oid);
                    entries.put_u32(times);
                }
            } else {
                let oids: Vec<u64> = self.due.keys().copied().take(most).collect();
                for oid in oids {
                    entries.put_u64(oid);
                    entries.put_u32(self.due.remove(&oid).unwrap_or_default());
                }
            }
            Frame::control(Kind::Release, entries.freeze()).encode(out);
        }
    }

    fn add_due(&mut self, oid: u64, times: u32) {
        if times > 0 {
            let due = self.due.entry(oid).or_default();
            *due = due.saturating_add(times);
        }
    }
}
