//! Events as an ordinary NATS client reads them.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::stream::Stream;
use async_nats::{ConnectOptions, ServerAddr, jetstream};
use futures_util::StreamExt;
use serde_json::Value;

/// How long the next event may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A published event.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The NATS subject.
    pub(crate) subject: String,
    /// `Nats-Msg-Id`.
    pub(crate) message_id: String,
    /// The `CloudEvent`.
    pub(crate) event: Value,
}

/// The client reads no credentials from a URL by itself, and each test has an account of its own.
pub(super) async fn connect(nats_url: &str) -> async_nats::Client {
    let address: ServerAddr = nats_url.parse().unwrap();
    let (user, password) = (address.username().unwrap(), address.password().unwrap());
    ConnectOptions::with_user_and_password(user.into(), password.into()).connect(address).await.unwrap()
}

/// The stream of events, once there is one: a service makes it when its relay first reaches NATS.
async fn stream(nats_url: &str) -> Stream {
    let jetstream = jetstream::new(connect(nats_url).await);
    let made = async {
        loop {
            match jetstream.get_stream("NUMBERING").await {
                Ok(stream) => return stream,
                Err(error) if is_absence(&error) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => panic!("the stream cannot be looked up: {error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, made).await.expect("a relay makes the stream")
}

fn is_absence(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(refused) if refused.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// How many events the stream holds.
pub(crate) async fn published(nats_url: &str) -> u64 {
    stream(nats_url).await.info().await.unwrap().state.messages
}

/// The first `count` events of the stream, in its order.
pub(crate) async fn first(nats_url: &str, count: usize) -> Vec<Received> {
    let stream = stream(nats_url).await;
    let settings = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
    let mut messages = stream.create_consumer(settings).await.unwrap().messages().await.unwrap();
    let mut received = Vec::with_capacity(count);
    while received.len() < count {
        let next = tokio::time::timeout(PATIENCE, messages.next()).await;
        let message =
            next.unwrap_or_else(|_| panic!("{count} events, got {}: {received:#?}", received.len())).unwrap().unwrap();
        received.push(Received {
            subject: message.subject.to_string(),
            message_id: message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().to_string(),
            event: serde_json::from_slice(&message.payload).unwrap(),
        });
    }
    received
}
