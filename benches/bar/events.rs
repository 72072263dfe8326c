//! What JetStream has of the service's events: when each was stored, and the moment that its commit tells.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::Stream;
use async_nats::{ConnectOptions, ServerAddr};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

/// How long the next event, or the stream itself, may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// An event in its stream.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) event_type: String,
    pub(crate) subject: String,
    /// When its change was made, just before the commit, by PostgreSQL's clock.
    pub(crate) made_at: Timestamp,
    /// When JetStream stored it.
    pub(crate) stored_at: Timestamp,
}

impl Published {
    /// From the change to JetStream, in seconds.
    pub(crate) fn delay(&self) -> f64 {
        (self.stored_at - self.made_at).total(jiff::Unit::Second).unwrap_or(f64::NAN)
    }
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    event_type: String,
    subject: String,
    time: Timestamp,
}

/// The way into a site's JetStream.
pub(crate) async fn jetstream(nats_url: &str) -> anyhow::Result<jetstream::Context> {
    let address: ServerAddr = nats_url.parse().context("the address of NATS cannot be read")?;
    let (user, password) = address.username().zip(address.password()).context("the site has no NATS account")?;
    let client = ConnectOptions::with_user_and_password(user.into(), password.into()).connect(address).await;
    Ok(jetstream::new(client.context("NATS lets nobody in")?))
}

/// A stream, once the service has made it.
pub(crate) async fn stream(nats_url: &str, name: &str) -> anyhow::Result<Stream> {
    let jetstream = jetstream(nats_url).await?;
    let made = async {
        loop {
            if let Ok(stream) = jetstream.get_stream(name).await {
                return stream;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, made).await.with_context(|| format!("nobody makes the stream {name}"))
}

/// How many events are stored.
pub(crate) async fn count(stream: &mut Stream) -> anyhow::Result<u64> {
    Ok(stream.info().await.context("JetStream does not tell of its stream")?.state.messages)
}

/// Waits until so many are stored.
pub(crate) async fn until(stream: &mut Stream, wanted: u64, within: Duration) -> anyhow::Result<()> {
    let stored = async {
        while count(stream).await? < wanted {
            sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    timeout(within, stored).await.with_context(|| format!("not all of {wanted} events were published in time"))?
}

/// The events after the first `passed`, up to the `last`.
pub(crate) async fn stored(stream: &Stream, passed: u64, last: u64) -> anyhow::Result<Vec<Published>> {
    let deliver_policy = async_nats::jetstream::consumer::DeliverPolicy::ByStartSequence { start_sequence: passed + 1 };
    let settings = pull::Config { ack_policy: AckPolicy::None, deliver_policy, ..pull::Config::default() };
    let consumer = stream.create_consumer(settings).await.context("JetStream gives no consumer")?;
    let mut messages = consumer.messages().await.context("JetStream gives no messages")?;
    let mut stored = Vec::new();
    for _ in passed..last {
        let message = timeout(PATIENCE, messages.next()).await.context("JetStream gives no further message")?;
        let message = message.context("the consumer has ended")?.context("a message broke off")?;
        let info = message.info().map_err(|error| anyhow::anyhow!("a message without its place: {error}"))?;
        let stored_at = Timestamp::from_nanosecond(info.published.unix_timestamp_nanos())?;
        let Envelope { event_type, subject, time } = serde_json::from_slice(&message.payload)?;
        stored.push(Published { event_type, subject, made_at: time, stored_at });
    }
    Ok(stored)
}

/// The value that this share of the values does not exceed.
pub(crate) fn quantile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or(f64::NAN)
}
