//! Lease snapshots in Redis: `num:snapshot:{identifier}`, for `cache.snapshot_ttl` (US-NUM-002).
//!
//! What must stay true: an entry is written only over an older one, so that a slow fill never undoes a change that was told
//! meanwhile. An entry bears the moment that its facts are of, so that [`Trust`](super::Trust) can judge it: what is read here is
//! not yet believed. An entry that cannot be read is as good as none.

mod entry;

use std::slice;
use std::time::Duration;

use jiff::Timestamp;
use numbering_domain::lease::Snapshot;
use numbering_domain::{Identifier, Transition};
use redis::Pipeline;

use super::{Kept, LinkError, RedisLink};

/// So many writes go in one round trip.
const WRITES_AT_ONCE: usize = 500;

const PUT: &str = include_str!("put_snapshot.lua");

/// Lease snapshots in Redis.
#[derive(Clone, Debug)]
pub struct Snapshots {
    link: RedisLink,
    keep: Duration,
    write_limit: Duration,
    put_hash: String,
}

impl Snapshots {
    /// Entries are kept, and used, for `keep`. A round trip of writes may take `write_limit`, one of reads the link's limit.
    #[must_use]
    pub fn new(link: RedisLink, keep: Duration, write_limit: Duration) -> Self {
        Self { link, keep, write_limit, put_hash: redis::Script::new(PUT).get_hash().to_owned() }
    }

    /// The connection.
    #[must_use]
    pub const fn link(&self) -> &RedisLink {
        &self.link
    }

    /// The snapshot of a number, where there is one.
    pub async fn get(&self, identifier: &Identifier) -> Option<Kept> {
        self.get_many(slice::from_ref(identifier)).await.pop().flatten()
    }

    /// The snapshots of some numbers, in their order, where there are ones. One round trip.
    pub async fn get_many(&self, identifiers: &[Identifier]) -> Vec<Option<Kept>> {
        if identifiers.is_empty() {
            return Vec::new();
        }
        // MGET, for one key too: it gives nothing where a key has another type, and GET an error.
        let mut command = redis::cmd("MGET");
        for identifier in identifiers {
            command.arg(key(identifier));
        }
        let read: Result<Vec<Option<Vec<u8>>>, LinkError> = self.link.command(&command).await;
        let mut entries = read.unwrap_or_default();
        entries.resize(identifiers.len(), None);
        entries.into_iter().map(|entry| readable(&entry?)).collect()
    }

    /// Keeps the snapshot of a number, unless a newer one is there.
    ///
    /// # Errors
    /// When Redis is away or late.
    pub async fn put(&self, identifier: &Identifier, snapshot: &Snapshot, as_of: Timestamp) -> Result<(), LinkError> {
        self.put_many(&[(identifier, snapshot, as_of)]).await
    }

    /// Keeps some snapshots, each with the moment its facts are of, unless newer ones are there.
    ///
    /// # Errors
    /// When Redis is away or late; the rest is then not tried.
    pub async fn put_many(&self, snapshots: &[(&Identifier, &Snapshot, Timestamp)]) -> Result<(), LinkError> {
        for some in snapshots.chunks(WRITES_AT_ONCE) {
            let mut pipeline = Pipeline::with_capacity(some.len() + 1);
            // A restarted Redis knows no scripts; telling it each time is cheaper than asking.
            pipeline.cmd("SCRIPT").arg("LOAD").arg(PUT).ignore();
            for (identifier, snapshot, as_of) in some {
                let entry = Kept { snapshot: (*snapshot).clone(), as_of: *as_of }.encoded();
                pipeline.cmd("EVALSHA").arg(&self.put_hash).arg(1).arg(key(identifier)).arg(entry);
                pipeline.arg(self.keep.as_millis().to_string()).ignore();
            }
            self.link.pipeline::<()>(&pipeline, self.write_limit).await?;
        }
        Ok(())
    }

    /// Every change puts the number's new snapshot, whatever it is: that is how an older one ends.
    pub(super) async fn tell(&self, transitions: &[Transition], as_of: Timestamp) {
        let after: Vec<Snapshot> = transitions.iter().map(|transition| Snapshot::from(&transition.after)).collect();
        let puts: Vec<(&Identifier, &Snapshot, Timestamp)> = transitions
            .iter()
            .zip(&after)
            .map(|(transition, snapshot)| (&transition.after.identifier, snapshot, as_of))
            .collect();
        if let Err(error) = self.put_many(&puts).await {
            tracing::warn!(%error, changes = puts.len(), "the cached lease snapshots were not told of a change");
        }
    }
}

fn readable(bytes: &[u8]) -> Option<Kept> {
    Kept::decode(bytes)
        .inspect_err(|fault| tracing::warn!(%fault, "a cached lease snapshot cannot be read; it is ignored"))
        .ok()
}

fn key(identifier: &Identifier) -> String {
    format!("num:snapshot:{}", identifier.key())
}

#[cfg(test)]
mod tests;
