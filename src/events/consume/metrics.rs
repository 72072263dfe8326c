//! What taking events in tells about itself.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It had its effect.
    Taken,
    /// It had it before.
    Repeated,
    /// It is for other services.
    LeftAlone,
    /// It stands among the dead letters.
    PutAside,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Repeated => "repeated",
            Self::LeftAlone => "left_alone",
            Self::PutAside => "dead_letter",
        }
    }
}

/// Labels of a message that came in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MessageLabels {
    /// The event's type; `other` for one that is not for this service.
    pub event_type: &'static str,
    /// `taken`, `repeated`, `left_alone` or `dead_letter`.
    pub outcome: &'static str,
}

/// Label of a stream that events come in on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StreamLabel {
    /// `COMPLIANCE` or `BILLING`.
    pub stream: &'static str,
}

/// The metrics of taking events in; cheap to clone, all clones count together.
#[derive(Clone, Debug, Default)]
pub struct ConsumeMetrics {
    /// Messages of other services, by what became of them.
    pub messages: Family<MessageLabels, Counter>,
    /// Messages that wait to be taken.
    pub waiting: Family<StreamLabel, Gauge>,
    /// Messages that were given out and are not acknowledged.
    pub unacknowledged: Family<StreamLabel, Gauge>,
    /// How many may be so, before the server gives out no more.
    pub unacknowledged_limit: Family<StreamLabel, Gauge>,
    /// How long nothing was acknowledged although something was there, in seconds.
    pub stalled_seconds: Family<StreamLabel, Gauge<f64, AtomicU64>>,
    /// Messages among the dead letters.
    pub dead_letters: Gauge,
}

impl ConsumeMetrics {
    pub(super) fn count(&self, event_type: &'static str, outcome: Outcome) {
        self.messages.get_or_create(&MessageLabels { event_type, outcome: outcome.as_str() }).inc();
    }

    /// Registers them all, under the names that the alert rules know.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "numbering_incoming_messages",
            "Messages of other services, by what became of them",
            self.messages.clone(),
        );
        registry.register(
            "numbering_incoming_waiting",
            "Messages of other services that wait to be taken",
            self.waiting.clone(),
        );
        registry.register(
            "numbering_incoming_unacknowledged",
            "Messages of other services that were given out and are not acknowledged",
            self.unacknowledged.clone(),
        );
        registry.register(
            "numbering_incoming_unacknowledged_limit",
            "How many messages may be unacknowledged before the server gives out no more",
            self.unacknowledged_limit.clone(),
        );
        registry.register(
            "numbering_incoming_stalled_seconds",
            "How long nothing was acknowledged although there were messages",
            self.stalled_seconds.clone(),
        );
        registry.register(
            "numbering_dead_letters",
            "Messages of other services that could not be taken and wait for people to see to them",
            self.dead_letters.clone(),
        );
    }
}
