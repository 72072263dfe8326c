//! The way to NATS: one connection that comes and goes by itself, and the stream that keeps the events.

use std::error::Error as _;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::{ContextBuilder, CreateStreamError, PublishError, PublishErrorKind};
use async_nats::jetstream::stream::{Config as StreamConfig, StorageType, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use async_nats::{Client, ConnectError, ConnectOptions, Event, ServerAddr};
use percent_encoding::percent_decode_str;

/// The stream that keeps every event.
pub const STREAM: &str = "NUMBERING";

/// The subjects it keeps.
const SUBJECTS: &str = "numbering.>";

/// For how long the stream drops an event that it has already, known by `Nats-Msg-Id`.
const DEDUPLICATION_WINDOW: Duration = Duration::from_mins(2);

/// The longest pause between two attempts to reach NATS again.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How often the connection is tried when nothing else goes over it, so that a dead peer is noticed.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// Connects to NATS in the background: that it is away is no reason not to start.
///
/// # Errors
/// [`ConnectError`] where the URL is not usable.
pub async fn connect(url: &str) -> Result<Client, ConnectError> {
    credentials(url)
        .name("numbering")
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            let doublings = u32::try_from(attempts).unwrap_or(u32::MAX).min(8);
            Duration::from_millis(10 << doublings).min(RECONNECT_PAUSE_MAX)
        })
        .ping_interval(PING_INTERVAL)
        .event_callback(|event| async move {
            match event {
                Event::Connected => tracing::info!("connected to NATS"),
                Event::Disconnected => tracing::warn!("NATS is away; events wait in the outbox, and none come in"),
                other => tracing::info!(event = %other, "NATS"),
            }
        })
        .connect(url)
        .await
}

/// Options with the credentials of the URL, which the client does not read from it: user and password, or a token.
#[must_use]
pub fn credentials(url: &str) -> ConnectOptions {
    // What is no URL is refused when it is connected to.
    let Ok(address) = url.parse::<ServerAddr>() else { return ConnectOptions::new() };
    let user = address.username().map(percent_decoded);
    let password = address.password().map(percent_decoded);
    match (user, password) {
        (Some(user), Some(password)) => ConnectOptions::with_user_and_password(user, password),
        (Some(token), None) => ConnectOptions::with_token(token),
        (None, _) => ConnectOptions::new(),
    }
}

/// A part of a URL as it is meant; what is not percent-encoded UTF-8 is meant as it stands.
fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().map_or_else(|_| text.to_owned(), Into::into)
}

/// Acknowledgements that are given up on keep their place until they time out. There is room for those of so many waves,
/// so that events need not wait for them when NATS is back.
const ABANDONED_WAVES: usize = 16;

/// Publishing over `client`, by callers that keep to `in_flight` events not yet acknowledged, each given `ack_timeout`.
pub(super) fn context(client: Client, in_flight: usize, ack_timeout: Duration) -> Context {
    ContextBuilder::new()
        .timeout(ack_timeout)
        .ack_timeout(ack_timeout)
        .max_ack_inflight(in_flight.saturating_mul(ABANDONED_WAVES))
        .build(client)
}

/// Whether NATS can be reached right now.
pub(super) fn is_connected(client: &Client) -> bool {
    client.connection_state() == State::Connected
}

/// Makes the stream of events where there is none.
pub(super) async fn ensure_stream(context: &Context) -> Result<(), CreateStreamError> {
    let config = StreamConfig {
        name: STREAM.to_owned(),
        subjects: vec![SUBJECTS.to_owned()],
        storage: StorageType::File,
        ..StreamConfig::default()
    };
    make_stream(context, config).await.map(drop)
}

/// Makes a stream where there is none. One that is there stays as its operator made it: in production, replicated three
/// times, because JetStream acknowledges before it syncs.
pub(super) async fn make_stream(context: &Context, config: StreamConfig) -> Result<Stream, CreateStreamError> {
    context.get_or_create_stream(StreamConfig { duplicate_window: DEDUPLICATION_WINDOW, ..config }).await
}

/// Whether it is this one event that JetStream will not have, so that others may still go.
pub(super) fn is_refusal_of_the_event(error: &PublishError) -> bool {
    if error.kind() == PublishErrorKind::MaxPayloadExceeded {
        return true;
    }
    error
        .source()
        .and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>())
        .is_some_and(|refused| refused.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_as_they_are_meant() {
        for (written, meant) in
            [("plain", "plain"), ("p%40ss%2Fword", "p@ss/word"), ("100%", "100%"), ("%ff", "%ff"), ("a%2", "a%2")]
        {
            assert_eq!(percent_decoded(written), meant);
        }
    }
}
