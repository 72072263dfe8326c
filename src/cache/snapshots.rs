//! Lease snapshots in Redis: `num:snapshot:{identifier}`, for `cache.snapshot_ttl` (US-NUM-002).
//!
//! What must stay true: an entry is written only over an older one, so that a slow fill never undoes a change that was told
//! meanwhile; and it is used only while it is younger than the time it is kept, by the moment its facts are of, so that a
//! fill that was on its way for longer than that is of no effect. A replica that could not tell of a change believes no entry
//! that may be of before it. An entry that cannot be read is as good as none.

mod entry;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use numbering_domain::lease::Snapshot;
use numbering_domain::{Identifier, Transition};
use redis::Pipeline;

use super::{LinkError, RedisLink};
use entry::Entry;

/// So many writes go in one round trip.
const WRITES_AT_ONCE: usize = 500;

/// How long a change may take from its decision to its commit, and some more.
const COMMITTED_WITHIN: SignedDuration = SignedDuration::from_secs(15);

const PUT: &str = include_str!("put_snapshot.lua");

/// Lease snapshots in Redis.
#[derive(Clone, Debug)]
pub struct Snapshots {
    link: RedisLink,
    keep: Duration,
    write_limit: Duration,
    put_hash: String,
    /// Entries of facts up to then, in microseconds of the database's clock, are not believed: a change was not told.
    not_told_until: Arc<AtomicI64>,
}

impl Snapshots {
    /// Entries are kept, and used, for `keep`. A round trip of writes may take `write_limit`, one of reads the link's limit.
    #[must_use]
    pub fn new(link: RedisLink, keep: Duration, write_limit: Duration) -> Self {
        Self {
            link,
            keep,
            write_limit,
            put_hash: redis::Script::new(PUT).get_hash().to_owned(),
            not_told_until: Arc::new(AtomicI64::new(i64::MIN)),
        }
    }

    /// The connection.
    #[must_use]
    pub const fn link(&self) -> &RedisLink {
        &self.link
    }

    /// The snapshot of a number, where there is one that may be used at `now`.
    pub async fn get(&self, identifier: &Identifier, now: Timestamp) -> Option<Snapshot> {
        self.get_many(&[identifier], now).await.pop().flatten()
    }

    /// The snapshots of some numbers, in their order, where there are ones that may be used at `now`. One round trip.
    pub async fn get_many(&self, identifiers: &[&Identifier], now: Timestamp) -> Vec<Option<Snapshot>> {
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
        entries.into_iter().map(|entry| self.usable(&entry?, now)).collect()
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
                let entry = Entry { snapshot: (*snapshot).clone(), as_of: *as_of }.encoded();
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
            let until = as_of.checked_add(COMMITTED_WITHIN).unwrap_or(Timestamp::MAX);
            self.not_told_until.fetch_max(until.as_microsecond(), Ordering::Relaxed);
            tracing::warn!(%error, changes = puts.len(), "the cached lease snapshots were not told of a change");
        }
    }

    fn usable(&self, bytes: &[u8], now: Timestamp) -> Option<Snapshot> {
        match Entry::decode(bytes) {
            Ok(entry) => {
                let age = now.duration_since(entry.as_of);
                let keep = SignedDuration::try_from(self.keep).unwrap_or(SignedDuration::MAX);
                // Neither too old, nor of a future that the database's clock has gone back from.
                let told = entry.as_of.as_microsecond() > self.not_told_until.load(Ordering::Relaxed);
                (told && age.abs() < keep).then_some(entry.snapshot)
            }
            Err(fault) => {
                tracing::warn!(%fault, "a cached lease snapshot cannot be read; it is ignored");
                None
            }
        }
    }
}

fn key(identifier: &Identifier) -> String {
    format!("num:snapshot:{}", identifier.key())
}

#[cfg(test)]
mod tests;
