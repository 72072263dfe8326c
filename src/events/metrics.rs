//! What the relay tells about itself.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// The relay's metrics; cheap to clone, all clones count together.
#[derive(Clone, Debug)]
pub struct RelayMetrics {
    /// Journal entries that JetStream has not acknowledged yet, up to a million.
    pub outbox_entries: Gauge,
    /// How long ago the first of them was committed, in seconds; after a republish, the age of the oldest entry that is
    /// published again.
    pub outbox_oldest_seconds: Gauge<f64, AtomicU64>,
    /// Events that JetStream has acknowledged.
    pub published: Counter,
    /// Attempts to publish an event that failed.
    pub failures: Counter,
    /// From the commit to JetStream's acknowledgement, in seconds.
    pub delay_seconds: Histogram,
    /// 1 where this replica is the relay, else 0.
    pub leads: Gauge,
}

impl Default for RelayMetrics {
    fn default() -> Self {
        Self {
            outbox_entries: Gauge::default(),
            outbox_oldest_seconds: Gauge::default(),
            published: Counter::default(),
            failures: Counter::default(),
            delay_seconds: Histogram::new([
                0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
            ]),
            leads: Gauge::default(),
        }
    }
}

impl RelayMetrics {
    /// Registers them all, under the names that the alert rules know.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "numbering_outbox_entries",
            "Journal entries that JetStream has not acknowledged yet, up to a million",
            self.outbox_entries.clone(),
        );
        registry.register(
            "numbering_outbox_oldest_age_seconds",
            "How long ago the first entry of the outbox was committed",
            self.outbox_oldest_seconds.clone(),
        );
        registry.register(
            "numbering_events_published",
            "Events that JetStream has acknowledged",
            self.published.clone(),
        );
        registry.register(
            "numbering_event_publish_failures",
            "Attempts to publish an event that failed",
            self.failures.clone(),
        );
        registry.register(
            "numbering_event_delay_seconds",
            "From the commit of an event to its acknowledgement by JetStream",
            self.delay_seconds.clone(),
        );
        registry.register("numbering_relay_leads", "Whether this replica is the relay", self.leads.clone());
    }
}
