//! Looks at the streams every few seconds, on every replica: metrics that tell when nothing is taken any more, and the alert
//! that stands for as long as there are dead letters.
//!
//! What must stay true: the alert follows what the stream of dead letters holds, not what this process remembers, so that it
//! comes and goes whoever put them there and whoever took them away.

use async_nats::jetstream::stream::Stream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::aside::{DEAD_LETTERS, ORIGINAL_SUBJECT, REASON};
use super::metrics::StreamLabel;
use super::{Consume, ConsumeError, DURABLE, INLETS, Inlet};
use crate::boot_clock::BootInstant;
use crate::events::jetstream;
use crate::operations::alerts::AlertKind;
use crate::store::commit::{Origin, TIME};

/// How far a stream's consumer has come, and since when it stands there.
#[derive(Clone, Copy, Debug)]
struct Floor {
    sequence: u64,
    since: BootInstant,
}

impl Consume {
    /// Looks until it is told to stop.
    pub(super) async fn watch(&self, stop: &CancellationToken) {
        let mut floors = INLETS.map(|_| Floor { sequence: 0, since: BootInstant::now() });
        while !stop.is_cancelled() {
            stop.run_until_cancelled(self.look(&mut floors)).await;
            tokio::select! {
                () = sleep(self.settings.check) => {}
                () = self.put_aside.notified() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn look(&self, floors: &mut [Floor; INLETS.len()]) {
        let connected = jetstream::is_connected(&self.client);
        for (inlet, floor) in INLETS.into_iter().zip(floors) {
            let measured = if connected { self.measure(inlet, floor).await } else { Err(ConsumeError::Disconnected) };
            if let Err(error) = measured {
                tracing::debug!(stream = inlet.stream, %error, "a stream could not be looked at");
                // What is not known here, other replicas tell; a stale figure would speak against them.
                floor.since = BootInstant::now();
                self.metrics.stalled_seconds.get_or_create(&StreamLabel { stream: inlet.stream }).set(0.0);
            }
        }
        if connected && let Err(error) = self.look_for_dead_letters().await {
            tracing::warn!(%error, "the dead letters could not be looked at");
        }
    }

    async fn measure(&self, inlet: Inlet, floor: &mut Floor) -> Result<(), ConsumeError> {
        let stream =
            self.jetstream.get_stream_no_info(inlet.stream).await.map_err(|e| ConsumeError::Server(e.into()))?;
        let info = stream.consumer_info(DURABLE).await.map_err(|error| ConsumeError::Server(error.into()))?;
        let unacknowledged = i64::try_from(info.num_ack_pending).unwrap_or(i64::MAX);
        let waiting = i64::try_from(info.num_pending).unwrap_or(i64::MAX);
        if info.ack_floor.stream_sequence != floor.sequence || (unacknowledged == 0 && waiting == 0) {
            *floor = Floor { sequence: info.ack_floor.stream_sequence, since: BootInstant::now() };
        }
        let label = StreamLabel { stream: inlet.stream };
        self.metrics.waiting.get_or_create(&label).set(waiting);
        self.metrics.unacknowledged.get_or_create(&label).set(unacknowledged);
        self.metrics.unacknowledged_limit.get_or_create(&label).set(info.config.max_ack_pending);
        self.metrics.stalled_seconds.get_or_create(&label).set(floor.since.elapsed().as_secs_f64());
        Ok(())
    }

    /// Raises the alert while there are dead letters, and resolves it when there are none.
    async fn look_for_dead_letters(&self) -> Result<(), ConsumeError> {
        let mut stream = self.ensure_dead_letters().await?;
        let info = stream.info().await.map_err(|error| ConsumeError::Server(error.into()))?;
        let (count, first) = (info.state.messages, info.state.first_sequence);
        self.metrics.dead_letters.set(i64::try_from(count).unwrap_or(i64::MAX));
        let origin = Origin { actor: TIME.to_owned(), request_id: "dead-letters".to_owned() };
        if count == 0 {
            self.alerts.resolve(AlertKind::DeadLetter, DEAD_LETTERS, &origin).await?;
        } else {
            let summary = summary(&stream, count, first).await;
            self.alerts.raise(AlertKind::DeadLetter, DEAD_LETTERS, &summary, &origin).await?;
        }
        Ok(())
    }
}

/// What is wrong, in a sentence, with the first dead letter as example.
async fn summary(stream: &Stream, count: u64, first: u64) -> String {
    let messages = if count == 1 { "message waits" } else { "messages wait" };
    let counted = format!("{count} {messages} in {DEAD_LETTERS} that could not be taken");
    let Ok(letter) = stream.get_raw_message(first).await else { return counted };
    let header = |name| letter.headers.get(name).map_or("unknown", |value| value.as_str());
    format!("{counted}; the first, on {}: {}", header(ORIGINAL_SUBJECT), header(REASON))
}
