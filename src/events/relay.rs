//! The relay: from the outbox to JetStream, at least once, in order for each number.
//!
//! What must stay true: one replica relays at a time, and a pointer leaves the outbox only after JetStream has
//! acknowledged its event. A relay that was frozen stops by itself when it thaws: it goes by a clock that counts the time
//! it was away. What it had on the wire may still arrive late and twice; `id` and `data.version` tell consumers so.
//! With NATS away nobody relays and nothing is lost: the outbox keeps it all.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::{CreateStreamError, PublishError};
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::held_back::HeldBack;
use super::jetstream;
use super::metrics::RelayMetrics;
use super::wave::{Gate, Published, Sender};
use crate::config::{Nats, Outbox};
use crate::store::leadership::{Leadership, Replica};
use crate::store::outbox::OutboxWave;
use crate::store::{Store, StoreError};

/// The role in `numbering.leaderships`.
pub const ROLE: &str = "relay";

/// How often a relay looks whether it may go on while a wave is on its way.
const WATCH: Duration = Duration::from_millis(50);

/// The rest after a wave that took all there was, so that commits that come close together share the next.
const REST: Duration = Duration::from_millis(25);

/// The longest pause after something failed.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How often the backlog is measured.
const MEASURE: Duration = Duration::from_secs(5);

/// How long a stopping relay waits for PostgreSQL to hear that it resigns; else its term runs out.
const RESIGN: Duration = Duration::from_secs(1);

/// How the relay works.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// How often to look without being woken.
    pub poll: Duration,
    /// The most entries of one wave.
    pub batch: u32,
    /// The most events published and not yet acknowledged.
    pub in_flight: usize,
    /// How long a relay that fell silent stays the one.
    pub leadership: Duration,
    /// How long an acknowledgement may take.
    pub ack_timeout: Duration,
    /// The events' `source`.
    pub source: String,
}

impl RelaySettings {
    /// What the configuration says.
    #[must_use]
    pub fn new(outbox: &Outbox, nats: &Nats) -> Self {
        Self {
            poll: outbox.poll.duration(),
            batch: outbox.batch,
            in_flight: outbox.in_flight,
            leadership: outbox.leadership_ttl.duration(),
            ack_timeout: nats.ack_timeout.duration(),
            source: "/numbering".to_owned(),
        }
    }
}

/// Why a relay stopped relaying for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum RelayError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the stream could not be made: {0}")]
    Stream(#[from] CreateStreamError),
    #[error("an event was not acknowledged: {0}")]
    Publish(#[from] PublishError),
    #[error("NATS is away")]
    Disconnected,
    #[error("another replica has become the relay, or the term ran out")]
    TermOver,
}

/// The relay of one replica.
#[derive(Debug)]
pub struct Relay {
    store: Store,
    client: Client,
    jetstream: Context,
    settings: RelaySettings,
    metrics: RelayMetrics,
    committed: Arc<Notify>,
    replica: Replica,
}

impl Relay {
    /// A relay that `committed` wakes after each commit of this process.
    #[must_use]
    pub fn new(
        store: Store,
        client: Client,
        settings: RelaySettings,
        metrics: RelayMetrics,
        committed: Arc<Notify>,
        replica: Replica,
    ) -> Self {
        let jetstream = jetstream::context(client.clone(), settings.in_flight, settings.ack_timeout);
        Self { store, client, jetstream, settings, metrics, committed, replica }
    }

    /// Relays until it is told to stop, then finishes the wave under way and lets its role go.
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(self.relay(&stop), self.measure(&stop));
    }

    async fn relay(&self, stop: &CancellationToken) {
        let mut pauses = self.pauses();
        while !stop.is_cancelled() {
            let term = self.serve_a_term(stop, &mut pauses).await;
            self.metrics.leads.set(0);
            if let Err(error) = term {
                tracing::warn!(%error, "the relay of events pauses");
                let pause = pauses.next().unwrap_or(PAUSE_MAX);
                tokio::select! { () = sleep(pause) => {}, () = stop.cancelled() => {} }
            }
        }
    }

    fn pauses(&self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(self.settings.poll.min(PAUSE_MAX))
            .with_max_delay(PAUSE_MAX)
            .without_max_times()
            .with_jitter()
            .build()
    }

    /// Waits to become the relay, and relays until something ends that; `Ok` when it was told to stop.
    async fn serve_a_term(&self, stop: &CancellationToken, pauses: &mut ExponentialBackoff) -> Result<(), RelayError> {
        let Some(mut leadership) = self.become_the_relay(stop).await? else { return Ok(()) };
        self.metrics.leads.set(1);
        let outcome = self.relay_waves(&mut leadership, stop, pauses).await;
        if !matches!(outcome, Err(RelayError::TermOver)) {
            self.resign(leadership).await;
        }
        outcome
    }

    /// Asks for the role until it has it; `None` when told to stop. Without NATS it would be of no use to anyone.
    async fn become_the_relay(&self, stop: &CancellationToken) -> Result<Option<Leadership>, RelayError> {
        loop {
            if jetstream::is_connected(&self.client) {
                let asked = self.store.acquire_leadership(ROLE, &self.replica, self.settings.leadership);
                let acquired =
                    tokio::select! { acquired = asked => acquired?, () = stop.cancelled() => return Ok(None) };
                if acquired.is_some() {
                    return Ok(acquired);
                }
            }
            tokio::select! { () = sleep(self.settings.poll) => {}, () = stop.cancelled() => return Ok(None) }
        }
    }

    async fn relay_waves(
        &self,
        leadership: &mut Leadership,
        stop: &CancellationToken,
        pauses: &mut ExponentialBackoff,
    ) -> Result<(), RelayError> {
        self.ensure_stream(leadership).await?;
        let mut held_back = HeldBack::default();
        while !stop.is_cancelled() {
            if !jetstream::is_connected(&self.client) {
                return Err(RelayError::Disconnected);
            }
            let waiting = held_back.at(Instant::now());
            let next = self.store.next_outbox_wave(leadership, self.settings.leadership, self.settings.batch, &waiting);
            let wave = tokio::select! { wave = next => wave?, () = stop.cancelled() => return Ok(()) };
            let Some(wave) = wave else { return Err(RelayError::TermOver) };
            *leadership = wave.leadership.clone();
            let waited = wave.entries.len();
            if waited > 0 {
                self.publish(leadership, wave, &mut held_back).await?;
                // Something went through: what failed before is over.
                *pauses = self.pauses();
            }
            if waited < self.settings.batch as usize {
                self.idle(waited > 0, stop).await;
            }
        }
        Ok(())
    }

    async fn ensure_stream(&self, leadership: &Leadership) -> Result<(), RelayError> {
        let made = timeout(leadership.until().remaining(), jetstream::ensure_stream(&self.jetstream));
        Ok(made.await.map_err(|_| RelayError::TermOver)??)
    }

    /// A short rest while there is traffic; else waits for the next commit of this replica, or to look for those of
    /// others.
    async fn idle(&self, traffic: bool, stop: &CancellationToken) {
        let woken = async {
            if traffic {
                return sleep(REST).await;
            }
            tokio::select! { () = self.committed.notified() => {}, () = sleep(self.settings.poll) => {} }
        };
        tokio::select! { () = woken => {}, () = stop.cancelled() => {} }
    }

    /// Publishes a wave, and takes out of the outbox what was acknowledged.
    async fn publish(
        &self,
        leadership: &mut Leadership,
        wave: OutboxWave,
        held_back: &mut HeldBack,
    ) -> Result<(), RelayError> {
        let gate = Gate::open_until(leadership.until());
        let sender = Sender {
            jetstream: &self.jetstream,
            source: &self.settings.source,
            in_flight: self.settings.in_flight,
            metrics: &self.metrics,
        };
        let published = tokio::select! {
            published = sender.send(wave.entries, wave.read_at, &gate) => published,
            never = self.keep_watch(leadership, &gate) => match never {},
        };
        let settled = self.settle(leadership, &published, held_back).await;
        match gate.reason() {
            Some(reason) => Err(reason),
            None => settled,
        }
    }

    /// Prolongs the leadership while a wave is on its way, and closes the gate when it ends or NATS goes.
    async fn keep_watch(&self, leadership: &mut Leadership, gate: &Gate) -> std::convert::Infallible {
        let whole = self.settings.leadership;
        while let Some(remaining) = self.may_go_on(gate) {
            sleep(WATCH).await;
            if remaining > whole * 2 / 3 {
                continue;
            }
            // While PostgreSQL does not answer, the term runs on to its end.
            match timeout(remaining, self.store.renew_leadership(leadership, whole)).await {
                Ok(Ok(Some(renewed))) => {
                    gate.extend(renewed.until());
                    *leadership = renewed;
                }
                Ok(Ok(None)) | Err(_) => gate.close(RelayError::TermOver),
                Ok(Err(error)) => tracing::warn!(%error, "the relay's leadership could not be prolonged"),
            }
        }
        // The wave sees the gate and ends by itself.
        std::future::pending().await
    }

    /// How long the wave may go on as things stand; closes the gate where it may not.
    fn may_go_on(&self, gate: &Gate) -> Option<Duration> {
        let remaining = gate.remaining();
        if remaining.is_zero() {
            gate.close(RelayError::TermOver);
        }
        if !jetstream::is_connected(&self.client) {
            gate.close(RelayError::Disconnected);
        }
        gate.is_open().then_some(remaining)
    }

    async fn settle(
        &self,
        leadership: &Leadership,
        published: &Published,
        held_back: &mut HeldBack,
    ) -> Result<(), RelayError> {
        for (subject, _) in &published.acknowledged {
            held_back.published(subject);
        }
        let now = Instant::now();
        for subject in &published.refused {
            held_back.refused(subject, now);
        }
        if !published.acknowledged.is_empty() {
            let settled = self.store.settle_published(leadership, &published.acknowledged);
            timeout(self.settings.leadership, settled).await.map_err(|_| RelayError::TermOver)??;
        }
        Ok(())
    }

    async fn resign(&self, leadership: Leadership) {
        match timeout(RESIGN, self.store.resign_leadership(leadership)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the relay could not resign; its term runs out by itself"),
            Err(_) => tracing::warn!("the relay could not resign in time; its term runs out by itself"),
        }
    }

    /// Measures the backlog, whether or not this replica is the relay: someone must tell when nobody is.
    async fn measure(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let measured = tokio::select! {
                measured = self.store.outbox_backlog() => measured,
                () = stop.cancelled() => return,
            };
            match measured {
                Ok(backlog) => {
                    self.metrics.outbox_entries.set(backlog.entries);
                    self.metrics.outbox_oldest_seconds.set(backlog.oldest_age_seconds);
                }
                Err(error) => tracing::warn!(%error, "the outbox could not be measured"),
            }
            tokio::select! { () = sleep(MEASURE) => {}, () = stop.cancelled() => return }
        }
    }
}
