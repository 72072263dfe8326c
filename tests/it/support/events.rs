//! Events as an ordinary NATS client reads them.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
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
async fn connect(nats_url: &str) -> async_nats::Client {
    let address: ServerAddr = nats_url.parse().unwrap();
    let (user, password) = (address.username().unwrap(), address.password().unwrap());
    ConnectOptions::with_user_and_password(user.into(), password.into()).connect(address).await.unwrap()
}

/// How many events the stream holds.
pub(crate) async fn published(nats_url: &str) -> u64 {
    let mut stream = jetstream::new(connect(nats_url).await).get_stream("NUMBERING").await.unwrap();
    stream.info().await.unwrap().state.messages
}

/// The first `count` events of the stream, in its order.
pub(crate) async fn first(nats_url: &str, count: usize) -> Vec<Received> {
    let client = connect(nats_url).await;
    let jetstream = jetstream::new(client);
    let stream = jetstream.get_stream("NUMBERING").await.unwrap();
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
