//! Which cached snapshots may be believed, and what time it is: by the journal, which every replica follows (US-NUM-004).
//!
//! What must stay true: nothing cached is believed while the journal was last read [`TRUSTED_FOR`] ago or longer. That moment
//! is taken before the question is sent, on a clock that counts the time a process was frozen, and counts only once what the
//! answer told has been heeded: so a change reaches every answer of every replica within that time, on PostgreSQL's word
//! alone, whatever Redis and NATS do and whoever dies after a commit.
//!
//! A snapshot is believed that is of a moment since the journal has been followed without a gap, that is not older than it may
//! be kept, and of whose number no newer version is known. A tenant's suspension is told apart and is looked at with every answer.

use std::collections::HashSet;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use jiff::{SignedDuration, Timestamp};
use numbering_domain::{Identifier, TenantId, Transition};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::local::{Found, Inventory, Kept, Local};
use super::recent::Recent;
use crate::boot_clock::BootInstant;
use crate::store::journal_tail::{News, Place};
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

/// How often the journal is read.
const READ_EVERY: Duration = Duration::from_millis(200);

/// For how long its word is trusted: with the reading itself, well within the second of US-NUM-004.
pub const TRUSTED_FOR: Duration = Duration::from_millis(700);

/// How long an answer may take.
const READ_LIMIT: Duration = Duration::from_millis(400);

/// The most entries that are read at once. Where there are more, it is cheaper to believe nothing that was cached before.
const NEWS_MOST: i64 = 50_000;

/// By how much a version is remembered for longer than a snapshot is kept: a moment of the database's clock may be off by some
/// of it, and the journal is heard of later than it happened.
const REMEMBERED_LONGER: Duration = Duration::from_secs(15);

/// By how much a moment may be later than now: what two replicas and the database make of the time differs a little.
const AHEAD_MOST: SignedDuration = SignedDuration::from_secs(5);

/// After so many answers in a row that came too late, the journal is followed from its end on: there may be too much to read.
const LATE_IN_A_ROW: u32 = 2;

/// What the journal said last.
#[derive(Debug, Default)]
struct Told {
    /// When it was asked; `None` before the first time.
    asked_at: Option<BootInstant>,
    /// The database's clock then.
    now: Timestamp,
    /// Since when it has been followed without a gap.
    since: Timestamp,
    suspended: HashSet<TenantId>,
}

/// The journal, as far as it was read not long ago. To be taken before what it is to judge is looked at, and not held across
/// an `await`.
#[derive(Debug)]
pub struct Trusted {
    told: Guard<Arc<Told>>,
    now: Timestamp,
    /// It stays with its thread, so that the compiler sees to the latter.
    stays: PhantomData<*const ()>,
}

impl Trusted {
    /// What time it is by the database's clock. Never early, and late by no more than the reading took: a lease is over no
    /// later than by the database itself.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether a tenant is suspended.
    #[must_use]
    pub fn is_suspended(&self, tenant: &TenantId) -> bool {
        !self.told.suspended.is_empty() && self.told.suspended.contains(tenant)
    }

    /// Whether facts of this moment are covered by the journal, and not older than `keep`; nor of a future that the database's
    /// clock has gone back from.
    pub(super) fn vouches_for(&self, as_of: Timestamp, keep: SignedDuration) -> bool {
        let age = self.now.duration_since(as_of);
        as_of > self.told.since && age < keep && age > -AHEAD_MOST
    }
}

/// What this replica knows of the journal, and its own memory of snapshots, which it keeps honest.
#[derive(Debug)]
pub struct Trust {
    told: ArcSwap<Told>,
    recent: Recent,
    local: Local,
    keep: SignedDuration,
    metrics: Arc<Metrics>,
}

impl Trust {
    /// Nothing is trusted until the journal has been read. Snapshots of `most` numbers are remembered in this process, and
    /// used for `keep`.
    #[must_use]
    pub fn new(most: usize, keep: Duration, metrics: &Arc<Metrics>) -> Self {
        let used_for = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
        Self {
            told: ArcSwap::default(),
            recent: Recent::new(keep.saturating_add(REMEMBERED_LONGER)),
            local: Local::new(most, used_for),
            keep: used_for,
            metrics: Arc::clone(metrics),
        }
    }

    /// The journal's word, where it is fresh enough.
    #[must_use]
    pub fn trusted(&self) -> Option<Trusted> {
        let told = self.told.load();
        let age = told.asked_at?.elapsed();
        if age >= TRUSTED_FOR {
            return None;
        }
        // The database read its clock after it was asked, so that this is not early.
        let now = told.now.checked_add(SignedDuration::try_from(age).ok()?).ok()?;
        Some(Trusted { told, now, stays: PhantomData })
    }

    /// What is remembered here of the number with this key and may be believed.
    #[must_use]
    pub fn recall(&self, key: &str, trusted: &Trusted) -> Option<Found> {
        self.local.get(key, trusted)
    }

    /// Whether a snapshot that another cache had may be believed.
    #[must_use]
    pub fn believes(&self, identifier: &Identifier, kept: &Kept, trusted: &Trusted) -> bool {
        trusted.vouches_for(kept.as_of, self.keep)
            && self.recent.is_newest(identifier.key(), kept.snapshot.version)
            // Else what was known of versions may have been forgotten before it was asked for.
            && self.told.load().since == trusted.told.since
    }

    /// Remembers a snapshot that is to be believed.
    pub fn remember(&self, identifier: &Identifier, kept: Kept) {
        let (key, version) = (identifier.key(), kept.snapshot.version);
        // A newer version is learnt of before the put, which is then refused, or after it, and then what was put is taken out.
        self.recent.if_newest(key, version, || {
            if !self.local.has_newer(key, version) {
                self.local.put(identifier, kept);
            }
        });
    }

    /// What to look numbers up under, before they are looked up, for [`Trust::remember_absent`].
    #[must_use]
    pub fn inventory(&self) -> Inventory {
        self.local.inventory()
    }

    /// Remembers that a number is not in the inventory, which it was looked up in when it was this one.
    pub fn remember_absent(&self, identifier: &Identifier, as_of: Timestamp, inventory: Inventory) {
        self.local.put_absent(identifier, as_of, inventory);
    }

    /// This replica has committed changes: it need not wait for the journal to tell it.
    pub(super) fn committed(&self, transitions: &[Transition]) {
        for transition in transitions {
            self.changed(transition.after.identifier.key(), transition.after.version);
        }
    }

    /// This replica has brought numbers into the inventory.
    pub fn inventory_grew(&self) {
        self.local.inventory_grew();
    }

    /// Reads the journal over and over, until told to stop. `store` should have a connection for this alone: whoever waits for
    /// one here loses trust.
    pub async fn follow(&self, store: &Store, stop: &CancellationToken) {
        stop.run_until_cancelled(self.read(store)).await;
    }

    async fn read(&self, store: &Store) {
        let mut ticks = interval(READ_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut place: Option<Place> = None;
        let mut answering = true;
        let mut late = 0;
        let _at_the_end = Untrusted(&self.metrics);
        loop {
            ticks.tick().await;
            let asked_at = BootInstant::now();
            let news = store.journal_news(place.as_ref(), NEWS_MOST, READ_LIMIT).await;
            late = if matches!(news, Err(StoreError::Late(_))) { late + 1 } else { 0 };
            // What failed otherwise may come back as another server, or as one that has lost its last transactions.
            if late >= LATE_IN_A_ROW || (late == 0 && news.is_err()) {
                place = None;
            }
            if news.is_ok() != answering {
                answering = news.is_ok();
                match &news {
                    Ok(_) => tracing::info!("cached lease snapshots are trusted again"),
                    Err(error) => tracing::warn!(%error, "cached lease snapshots are not trusted while this lasts"),
                }
            }
            if let Ok(news) = news {
                place = Some(news.place.clone());
                self.learn(asked_at, news);
            }
            self.metrics.cache_trusted.set(i64::from(self.trusted().is_some()));
            self.metrics.local_snapshots.set(i64::try_from(self.local.len()).unwrap_or(i64::MAX));
        }
    }

    /// Heeds the news, and only then counts them as known.
    fn learn(&self, asked_at: BootInstant, news: News) {
        let mut complete = news.complete;
        for (key, version) in &news.changed {
            complete &= self.changed(key, *version);
        }
        if news.inventory_grew {
            self.local.inventory_grew();
        }
        self.recent.grow_old();
        let since = if complete { self.told.load().since } else { news.now };
        self.told.store(Arc::new(Told { asked_at: Some(asked_at), now: news.now, since, suspended: news.suspended }));
        if !complete {
            // Nothing of it is believed any more; it is only in the way.
            self.metrics.cache_restarts.inc();
            self.recent.forget();
            self.local.forget();
        }
    }

    /// A number has this version now. Gives whether there was room to remember it.
    fn changed(&self, key: &str, version: i64) -> bool {
        let remembered = self.recent.learn(key, version);
        self.local.forget_before(key, version);
        remembered
    }
}

/// Says that nothing is trusted once the journal is not followed any more, however that came about.
struct Untrusted<'a>(&'a Metrics);

impl Drop for Untrusted<'_> {
    fn drop(&mut self) {
        self.0.cache_trusted.set(0);
    }
}

#[cfg(test)]
mod tests;
