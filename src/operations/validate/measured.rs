//! Counts verdicts and the time that they took.
//!
//! A verdict from memory takes about as long as looking two metrics up by their labels, so that is done once for each.

use std::sync::OnceLock;
use std::time::Duration;

use numbering_domain::lease::{Refusal, Verdict};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::{Answer, Layer};
use crate::telemetry::{Metrics, Validated, ValidatedBatch};

/// The quickest first.
const LAYERS: [Layer; 4] = [Layer::None, Layer::Process, Layer::Redis, Layer::Postgres];
const VERDICTS: [&str; 9] = [
    "VALID",
    "INVALID_IDENTIFIER",
    "NOT_REGISTERED",
    "NOT_LEASED",
    "LEASE_RECALLED",
    "LEASE_EXPIRED",
    "WRONG_TENANT",
    "TENANT_SUSPENDED",
    "LEASE_SUSPENDED",
];

/// The metrics of each layer and verdict, looked up when they are first needed.
#[derive(Debug, Default)]
pub(super) struct Measured {
    by_labels: [[OnceLock<(Counter, Histogram)>; VERDICTS.len()]; LAYERS.len()],
}

impl Measured {
    /// Counts an answer, and the time that it took.
    pub(super) fn record(&self, metrics: &Metrics, answer: &Answer, took: Duration) {
        let (counter, seconds) = self.of(metrics, layer_index(answer.layer), verdict_index(&answer.verdict));
        counter.inc();
        seconds.observe(took.as_secs_f64());
    }

    /// Counts the answers of one call, and the time that they took all together.
    pub(super) fn record_many(&self, metrics: &Metrics, answers: &[Answer], took: Duration) {
        let slowest = answers.iter().map(|answer| layer_index(answer.layer)).max().unwrap_or_default();
        let labels = ValidatedBatch { layer: LAYERS[slowest].as_str() };
        metrics.validation_batch_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        let mut counts = [[0_u64; VERDICTS.len()]; LAYERS.len()];
        for answer in answers {
            counts[layer_index(answer.layer)][verdict_index(&answer.verdict)] += 1;
        }
        for (layer, of_layer) in counts.iter().enumerate() {
            for (verdict, count) in of_layer.iter().enumerate().filter(|(_, count)| **count > 0) {
                self.of(metrics, layer, verdict).0.inc_by(*count);
            }
        }
    }

    fn of(&self, metrics: &Metrics, layer: usize, verdict: usize) -> &(Counter, Histogram) {
        self.by_labels[layer][verdict].get_or_init(|| {
            let labels = Validated { layer: LAYERS[layer].as_str(), verdict: VERDICTS[verdict] };
            let counter = metrics.validations.get_or_create_owned(&labels);
            (counter, metrics.validation_seconds.get_or_create_owned(&labels))
        })
    }
}

const fn layer_index(layer: Layer) -> usize {
    match layer {
        Layer::None => 0,
        Layer::Process => 1,
        Layer::Redis => 2,
        Layer::Postgres => 3,
    }
}

const fn verdict_index(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Valid { .. } => 0,
        Verdict::Refused(refusal) => match refusal {
            Refusal::InvalidIdentifier => 1,
            Refusal::NotRegistered => 2,
            Refusal::NotLeased => 3,
            Refusal::LeaseRecalled => 4,
            Refusal::LeaseExpired => 5,
            Refusal::WrongTenant => 6,
            Refusal::TenantSuspended => 7,
            Refusal::LeaseSuspended => 8,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_counts_by_its_layer_and_verdict_and_a_call_s_time_once_by_its_slowest() {
        let (metrics, measured) = (Metrics::default(), Measured::default());
        let wrong = Answer { verdict: Verdict::Refused(Refusal::WrongTenant), layer: Layer::Process };
        let absent = Answer { verdict: Verdict::Refused(Refusal::NotRegistered), layer: Layer::Postgres };
        for _ in 0..2 {
            measured.record_many(&metrics, &[wrong, absent, wrong], Duration::from_millis(1));
        }
        measured.record(&metrics, &wrong, Duration::from_millis(1));
        let text = metrics.encode();
        for line in [
            r#"numbering_validations_total{layer="process",verdict="WRONG_TENANT"} 5"#,
            r#"numbering_validations_total{layer="postgres",verdict="NOT_REGISTERED"} 2"#,
            r#"numbering_validation_duration_seconds_count{layer="process",verdict="WRONG_TENANT"} 1"#,
            r#"numbering_validation_batch_duration_seconds_count{layer="postgres"} 2"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("LEASE_SUSPENDED"), "what has not been does not show");
    }
}
