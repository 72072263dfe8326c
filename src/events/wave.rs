//! One wave of events on its way: side by side for different subjects, strictly one after another within each.
//!
//! What must stay true: an event is sent only while the gate is open, that is while this replica may believe itself the
//! relay; and after a failure nothing later of the same subject is sent before the failed one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishError;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::cloudevents::{CONTENT_TYPE, CloudEvent};
use super::jetstream;
use super::metrics::RelayMetrics;
use super::relay::RelayError;
use crate::boot_clock::BootInstant;
use crate::store::outbox::OutboxEntry;

/// Open while events may be sent.
#[derive(Debug)]
pub(super) struct Gate {
    until: Mutex<BootInstant>,
    closed: CancellationToken,
    reason: Mutex<Option<RelayError>>,
}

impl Gate {
    /// A gate that closes by itself at `until`.
    pub(super) fn open_until(until: BootInstant) -> Self {
        Self { until: Mutex::new(until), closed: CancellationToken::new(), reason: Mutex::new(None) }
    }

    /// Lets it stay open longer.
    pub(super) fn extend(&self, until: BootInstant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// How long it stays open at most.
    pub(super) fn remaining(&self) -> Duration {
        self.until.lock().unwrap_or_else(PoisonError::into_inner).remaining()
    }

    /// Closes it for good; the first reason stands.
    pub(super) fn close(&self, reason: RelayError) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.closed.cancel();
    }

    /// Why it was closed.
    pub(super) fn reason(self) -> Option<RelayError> {
        self.reason.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether events may be sent.
    pub(super) fn is_open(&self) -> bool {
        !self.closed.is_cancelled() && !self.remaining().is_zero()
    }
}

/// What became of a wave.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// What JetStream has acknowledged, as `(subject, seq)`.
    pub(super) acknowledged: Vec<(String, i64)>,
    /// The subjects whose next event it refuses.
    pub(super) refused: Vec<String>,
}

/// Sends events.
#[derive(Debug)]
pub(super) struct Sender<'a> {
    pub(super) jetstream: &'a Context,
    pub(super) source: &'a str,
    pub(super) in_flight: usize,
    pub(super) metrics: &'a RelayMetrics,
}

impl Sender<'_> {
    /// Sends what it can of the entries, which PostgreSQL gave at `read_at`, while the gate is open.
    pub(super) async fn send(&self, entries: Vec<OutboxEntry>, read_at: Timestamp, gate: &Gate) -> Published {
        let clock = Clock { read_at, since: BootInstant::now() };
        let mut published = Published::default();
        let mut chains = stream::iter(by_subject(entries))
            .map(|chain| self.send_chain(chain, clock, gate))
            .buffer_unordered(self.in_flight);
        while let Some(outcome) = chains.next().await {
            published.acknowledged.extend(outcome.acknowledged);
            published.refused.extend(outcome.refused);
        }
        published
    }

    /// Sends the entries of one subject in their order, up to the first that does not go.
    async fn send_chain(&self, chain: Vec<OutboxEntry>, clock: Clock, gate: &Gate) -> Published {
        let mut published = Published::default();
        for entry in chain {
            if !gate.is_open() {
                break;
            }
            let sent = tokio::select! {
                biased;
                sent = self.send_one(&entry) => sent,
                () = gate.closed.cancelled() => break,
            };
            match sent {
                Ok(()) => {
                    self.metrics.published.inc();
                    self.metrics.delay_seconds.observe(clock.seconds_since(entry.at));
                    published.acknowledged.push((entry.subject, entry.seq));
                }
                Err(SendError::Encoding(error)) => {
                    self.note_refusal(&entry, &error);
                    published.refused.push(entry.subject);
                    break;
                }
                Err(SendError::Publish(error)) if jetstream::is_refusal_of_the_event(&error) => {
                    self.note_refusal(&entry, &error);
                    published.refused.push(entry.subject);
                    break;
                }
                Err(SendError::Publish(error)) => {
                    self.metrics.failures.inc();
                    gate.close(RelayError::Publish(error));
                    break;
                }
            }
        }
        published
    }

    fn note_refusal(&self, entry: &OutboxEntry, error: &(dyn std::error::Error + 'static)) {
        self.metrics.failures.inc();
        let (event_id, event_type) = (entry.event_id, entry.event_type.as_str());
        tracing::error!(%event_id, event_type, error, "JetStream refuses an event; its subject waits");
    }

    async fn send_one(&self, entry: &OutboxEntry) -> Result<(), SendError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, entry.event_id.to_string());
        headers.insert("Content-Type", CONTENT_TYPE);
        let event = CloudEvent::new(entry, self.source).encode()?;
        self.jetstream.publish_with_headers(entry.event_type.clone(), headers, event).await?.await?;
        Ok(())
    }
}

/// Why one event did not go.
#[derive(Debug, thiserror::Error)]
enum SendError {
    /// It cannot be written as JSON.
    #[error("the event cannot be encoded: {0}")]
    Encoding(#[from] serde_json::Error),
    /// JetStream did not acknowledge it.
    #[error("{0}")]
    Publish(#[from] PublishError),
}

/// PostgreSQL's time, carried on by this machine since it was read.
#[derive(Clone, Copy, Debug)]
struct Clock {
    read_at: Timestamp,
    since: BootInstant,
}

impl Clock {
    fn seconds_since(self, moment: Timestamp) -> f64 {
        (self.read_at.duration_since(moment).as_secs_f64() + self.since.elapsed().as_secs_f64()).max(0.0)
    }
}

/// The entries of each subject in their order; subjects in the order of their first.
fn by_subject(entries: Vec<OutboxEntry>) -> Vec<Vec<OutboxEntry>> {
    let mut places: HashMap<String, usize> = HashMap::with_capacity(entries.len());
    let mut chains: Vec<Vec<OutboxEntry>> = Vec::with_capacity(entries.len());
    for entry in entries {
        if let Some(&place) = places.get(&entry.subject) {
            chains[place].push(entry);
        } else {
            places.insert(entry.subject.clone(), chains.len());
            chains.push(vec![entry]);
        }
    }
    chains
}
