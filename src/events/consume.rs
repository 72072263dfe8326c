//! Events of other services: from their JetStream streams into PostgreSQL, each with one effect.
//!
//! What must stay true: a message is acknowledged only after its effect was committed, or after it stands among the dead
//! letters. One message of a stream is taken at a time over all replicas, in the stream's order; any replica takes over where
//! one died or froze, and the inbox keeps a message that comes twice from counting twice. PostgreSQL being away is no message's
//! fault: it is waited out, and the server is told meanwhile that work goes on.

mod aside;
mod message;
mod metrics;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::pull::{BatchError, Config as PullConfig};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::context::{CreateStreamError, PublishError};
use async_nats::jetstream::stream::{Config as StreamConfig, ConsumerError, StorageType};
use async_nats::jetstream::{AckKind, Context, Message};
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use aside::{DEAD_LETTER_SUBJECTS, DEAD_LETTERS};
#[cfg(test)]
pub(in crate::events) use message::parse;
pub use message::{CONSUMED_TYPES, Malformed, PLAN_CHANGED, TENANT_REINSTATED, TENANT_SUSPENDED};
pub use metrics::ConsumeMetrics;

use super::jetstream;
use crate::config::{Inbox, Nats};
use crate::operations::alerts::Alerts;
use crate::operations::told::{IncomingEvent, Tidings};
use crate::store::inbox::{Begun, EventKey};
use crate::store::told::Told;
use crate::store::{Store, StoreError};
use metrics::Outcome;

/// The durable consumer of this service on each of the streams.
const DURABLE: &str = "numbering";

/// How long one request for the next message stands at the server, so that it is made again soon after NATS was away.
const PULL: Duration = Duration::from_secs(2);

/// How much longer its answer may take.
const PULL_GRACE: Duration = Duration::from_secs(1);

/// How often it is looked whether NATS is back.
const LOOK_FOR_NATS: Duration = Duration::from_millis(100);

/// The first and the longest pause after something failed that is no message's fault.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Why an event is not taken that the stream got longer ago than events are remembered.
const TOO_OLD: &str = "it is older than what is remembered (inbox.keep): nobody can tell whether it was taken before";

/// Publishing what is put aside: one message at a time for each stream.
const IN_FLIGHT: usize = 2;

/// A stream that events come in on.
#[derive(Clone, Copy, Debug)]
struct Inlet {
    stream: &'static str,
    subjects: &'static str,
}

const INLETS: [Inlet; 2] =
    [Inlet { stream: "COMPLIANCE", subjects: "compliance.>" }, Inlet { stream: "BILLING", subjects: "billing.>" }];

/// How events are taken in.
#[derive(Clone, Debug)]
pub struct ConsumeSettings {
    /// How long a replica that fell silent keeps a message from the others.
    pub ack_wait: Duration,
    /// How often a message that fails is tried.
    pub attempts: u32,
    /// The pause after the first failure; each further one is twice as long.
    pub retry_pause: Duration,
    /// For how long events are remembered.
    pub keep: Duration,
    /// How often the streams are looked at, for the metrics and the alert.
    pub check: Duration,
    /// How long an answer of JetStream may take.
    pub ack_timeout: Duration,
}

impl ConsumeSettings {
    /// What the configuration says.
    #[must_use]
    pub fn new(inbox: &Inbox, nats: &Nats) -> Self {
        Self {
            ack_wait: inbox.ack_wait.duration(),
            attempts: inbox.attempts,
            retry_pause: inbox.retry_pause.duration(),
            keep: inbox.keep.duration(),
            check: inbox.check.duration(),
            ack_timeout: nats.ack_timeout.duration(),
        }
    }
}

/// Why a replica stopped taking events in for now.
#[derive(Debug, thiserror::Error)]
enum ConsumeError {
    #[error("NATS is away")]
    Disconnected,
    #[error("a stream could not be made: {0}")]
    Stream(#[from] CreateStreamError),
    #[error("the consumer could not be made: {0}")]
    Consumer(#[from] ConsumerError),
    #[error("the next message could not be asked for: {0}")]
    Pull(#[from] BatchError),
    #[error("JetStream: {0}")]
    Server(async_nats::Error),
    #[error("a message could not be put among the dead letters: {0}")]
    PutAside(#[from] PublishError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is to become of a message at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    /// It is done with.
    Taken,
    /// It stands among the dead letters.
    PutAside,
    /// Another replica is to have it: this one stops.
    GivenBack,
}

/// Takes events in, on one replica.
#[derive(Debug)]
pub struct Consume {
    client: Client,
    jetstream: Context,
    store: Store,
    tidings: Tidings,
    alerts: Alerts,
    settings: ConsumeSettings,
    metrics: ConsumeMetrics,
    put_aside: Arc<Notify>,
}

impl Consume {
    /// For this replica.
    #[must_use]
    pub fn new(
        client: Client,
        store: Store,
        tidings: Tidings,
        alerts: Alerts,
        settings: ConsumeSettings,
        metrics: ConsumeMetrics,
    ) -> Self {
        let jetstream = jetstream::context(client.clone(), IN_FLIGHT, settings.ack_timeout);
        Self { client, jetstream, store, tidings, alerts, settings, metrics, put_aside: Arc::default() }
    }

    /// Takes events in until it is told to stop, then brings those under way to their end or gives them back.
    pub async fn run(self, stop: CancellationToken) {
        let [compliance, billing] = INLETS;
        tokio::join!(self.take_in(compliance, &stop), self.take_in(billing, &stop), self.watch(&stop));
    }

    async fn take_in(&self, inlet: Inlet, stop: &CancellationToken) {
        let mut pauses = pauses();
        while !stop.is_cancelled() {
            if let Err(error) = self.serve(inlet, stop, &mut pauses).await {
                tracing::warn!(stream = inlet.stream, %error, "taking events in pauses");
                pause(pauses.next().unwrap_or(PAUSES.1), stop).await;
            }
        }
    }

    /// Takes messages one after another until something ends that; `Ok` when it was told to stop.
    async fn serve(
        &self,
        inlet: Inlet,
        stop: &CancellationToken,
        pauses: &mut ExponentialBackoff,
    ) -> Result<(), ConsumeError> {
        while !jetstream::is_connected(&self.client) {
            pause(LOOK_FOR_NATS, stop).await;
            if stop.is_cancelled() {
                return Ok(());
            }
        }
        let consumer = self.ensure(inlet).await?;
        while !stop.is_cancelled() {
            if !jetstream::is_connected(&self.client) {
                return Err(ConsumeError::Disconnected);
            }
            let next = tokio::select! { next = next(&consumer) => next?, () = stop.cancelled() => return Ok(()) };
            if let Some(message) = next {
                // An operator may have given the consumer another.
                let ack_wait = consumer.cached_info().config.ack_wait.min(self.settings.ack_wait);
                self.handle(inlet, &message, ack_wait, stop).await?;
                // One went through: what failed before is over.
                *pauses = self::pauses();
            }
        }
        Ok(())
    }

    /// Makes what is absent at the server; what is there stays as its operator made it.
    async fn ensure(&self, inlet: Inlet) -> Result<Consumer<PullConfig>, ConsumeError> {
        self.ensure_dead_letters().await?;
        let stream = jetstream::make_stream(
            &self.jetstream,
            StreamConfig {
                name: inlet.stream.to_owned(),
                subjects: vec![inlet.subjects.to_owned()],
                storage: StorageType::File,
                ..StreamConfig::default()
            },
        )
        .await?;
        let consumer = PullConfig {
            durable_name: Some(DURABLE.to_owned()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.settings.ack_wait,
            max_ack_pending: 1,
            // How often a message is tried is counted in the inbox: a server that gives up on one would lose it.
            max_deliver: -1,
            ..PullConfig::default()
        };
        Ok(stream.get_or_create_consumer(DURABLE, consumer).await?)
    }

    /// Brings one message to its end, and tells the server.
    async fn handle(
        &self,
        inlet: Inlet,
        message: &Message,
        ack_wait: Duration,
        stop: &CancellationToken,
    ) -> Result<(), ConsumeError> {
        let settled = tokio::select! {
            settled = self.settle(inlet, message, stop) => settled?,
            never = keep(message, ack_wait / 3) => match never {},
        };
        let told = match settled {
            Settled::Taken => message.double_ack().await,
            Settled::PutAside => message.double_ack_with(AckKind::Term).await,
            Settled::GivenBack => message.ack_with(AckKind::Nak(None)).await,
        };
        told.map_err(ConsumeError::Server)
    }

    async fn settle(&self, inlet: Inlet, message: &Message, stop: &CancellationToken) -> Result<Settled, ConsumeError> {
        let subject = message.subject.as_str();
        if !message::is_consumed(subject) {
            self.metrics.count("other", Outcome::LeftAlone);
            return Ok(Settled::Taken);
        }
        let settled = match message::parse(subject, &message.payload) {
            Ok(event) => self.take_up(inlet, message, &event, stop).await?,
            Err(malformed) => self.put_aside(inlet, message, &malformed.to_string()).await?,
        };
        if settled == Settled::PutAside {
            self.metrics.count(message::known(subject), Outcome::PutAside);
        }
        Ok(settled)
    }

    /// Gives an event its effect, or puts it aside.
    async fn take_up(
        &self,
        inlet: Inlet,
        message: &Message,
        event: &IncomingEvent,
        stop: &CancellationToken,
    ) -> Result<Settled, ConsumeError> {
        let reason = match self.try_and_try_again(event, published_at(message)?, stop).await {
            Attempted::Done(outcome) => {
                self.metrics.count(message::known(&event.key.event_type), outcome);
                return Ok(Settled::Taken);
            }
            Attempted::GivenUp => return Ok(Settled::GivenBack),
            Attempted::Refused(reason) | Attempted::Failed(reason) => reason,
        };
        let settled = self.put_aside(inlet, message, &reason).await?;
        // Sent again by people, it is tried as if it were new.
        self.store.drop_event(&event.key).await?;
        Ok(settled)
    }

    /// Attempts an event until it has its effect, or has failed for good.
    async fn try_and_try_again(
        &self,
        event: &IncomingEvent,
        published: Timestamp,
        stop: &CancellationToken,
    ) -> Attempted {
        let mut pauses = self.retries();
        loop {
            let Some(begun) = self.begin(&event.key, published, stop).await else { return Attempted::GivenUp };
            let attempt = match begun {
                Begun::DoneBefore => return Attempted::Done(Outcome::Repeated),
                Begun::TooOld => return Attempted::Refused(TOO_OLD.to_owned()),
                Begun::Attempt(attempt) if attempt > self.settings.attempts => {
                    let reason = format!("it was begun {} times and never came to its end", attempt - 1);
                    return Attempted::Refused(reason);
                }
                Begun::Attempt(attempt) => attempt,
            };
            let reason = match self.attempt(event, stop).await {
                Attempted::Failed(reason) => reason,
                ended => return ended,
            };
            let (event_id, event_type) = (&event.key.id, &event.key.event_type);
            tracing::error!(event_id, event_type, attempt, reason, "an event could not be taken");
            if attempt == self.settings.attempts {
                return Attempted::Failed(format!("it failed {attempt} times: {reason}"));
            }
            pause(pauses.next().unwrap_or(self.settings.retry_pause), stop).await;
            if stop.is_cancelled() {
                return Attempted::GivenUp;
            }
        }
    }

    /// Notes that an event is begun, however long PostgreSQL takes; `None` when told to stop.
    async fn begin(&self, event: &EventKey, published: Timestamp, stop: &CancellationToken) -> Option<Begun> {
        let mut pauses = pauses();
        loop {
            match self.store.begin_event(event, published, self.settings.keep).await {
                Ok(begun) => return Some(begun),
                Err(error) => tracing::warn!(%error, "an event waits for PostgreSQL"),
            }
            pause(pauses.next().unwrap_or(PAUSES.1), stop).await;
            if stop.is_cancelled() {
                return None;
            }
        }
    }

    /// One attempt at an event, which lasts for as long as PostgreSQL is away.
    async fn attempt(&self, event: &IncomingEvent, stop: &CancellationToken) -> Attempted {
        let mut pauses = pauses();
        loop {
            let (tidings, heard) = (self.tidings.clone(), event.clone());
            // In a task of its own, so that a panic is this event's failure and nothing else's.
            match tokio::spawn(async move { tidings.hear(&heard).await }).await {
                Ok(Ok(Told::Now)) => return Attempted::Done(Outcome::Taken),
                Ok(Ok(Told::Before)) => return Attempted::Done(Outcome::Repeated),
                Ok(Ok(Told::UnknownPlan)) => {
                    return Attempted::Refused("its data.plan is no plan that there is".into());
                }
                Ok(Err(error)) if error.is_unavailable() => {
                    tracing::warn!(%error, "an event waits for PostgreSQL");
                }
                Ok(Err(error)) => return Attempted::Failed(error.to_string()),
                Err(panic) => return Attempted::Failed(panic.to_string()),
            }
            pause(pauses.next().unwrap_or(PAUSES.1), stop).await;
            if stop.is_cancelled() {
                return Attempted::GivenUp;
            }
        }
    }

    fn retries(&self) -> ExponentialBackoff {
        let longest = self.settings.retry_pause.saturating_mul(1 << self.settings.attempts.min(10));
        ExponentialBuilder::new()
            .with_min_delay(self.settings.retry_pause)
            .with_max_delay(longest)
            .without_max_times()
            .build()
    }
}

/// What came of an attempt at an event.
#[derive(Debug)]
enum Attempted {
    /// It has its effect.
    Done(Outcome),
    /// It can have none, and another attempt would not change that.
    Refused(String),
    /// It failed.
    Failed(String),
    /// This replica stops.
    GivenUp,
}

/// Asks for the next message; `None` where there is none for a while.
async fn next(consumer: &Consumer<PullConfig>) -> Result<Option<Message>, ConsumeError> {
    let mut batch = consumer.batch().max_messages(1).expires(PULL).messages().await?;
    match timeout(PULL + PULL_GRACE, batch.next()).await {
        Ok(Some(message)) => message.map(Some).map_err(ConsumeError::Server),
        Ok(None) | Err(_) => Ok(None),
    }
}

/// Tells the server over and over that a message is being worked on.
async fn keep(message: &Message, every: Duration) -> std::convert::Infallible {
    loop {
        sleep(every).await;
        // With NATS away it does not hear it, and gives the message to another replica: the inbox tells them apart.
        if let Err(error) = message.ack_with(AckKind::Progress).await {
            tracing::debug!(%error, "the server could not be told that a message is being worked on");
        }
    }
}

/// When the stream got a message, by its server's clock.
fn published_at(message: &Message) -> Result<Timestamp, ConsumeError> {
    let nanoseconds = message.info().map_err(ConsumeError::Server)?.published.unix_timestamp_nanos();
    Timestamp::from_nanosecond(nanoseconds).map_err(|error| ConsumeError::Server(error.into()))
}

fn pauses() -> ExponentialBackoff {
    let (first, longest) = PAUSES;
    ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest).without_max_times().with_jitter().build()
}

async fn pause(length: Duration, stop: &CancellationToken) {
    tokio::select! { () = sleep(length) => {}, () = stop.cancelled() => {} }
}
