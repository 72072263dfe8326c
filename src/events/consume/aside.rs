//! Dead letters: messages that cannot be taken, put aside for people to see to, so that those behind them go on.
//!
//! What must stay true: a message leaves its stream's consumer only after JetStream has acknowledged the dead letter. None is
//! dropped for want of room: a full stream of dead letters stops the consumer, which the metrics tell.

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::Message;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::stream::{Config as StreamConfig, DiscardPolicy, StorageType, Stream};
use bytes::Bytes;

use super::{Consume, ConsumeError, Inlet, Settled};
use crate::events::jetstream;

/// The stream of dead letters.
pub const DEAD_LETTERS: &str = "NUMBERING_DEAD_LETTERS";

/// The subjects that it keeps; the rest of each is the subject that the message came on.
pub const DEAD_LETTER_SUBJECTS: &str = "dead_letter.numbering.>";

const SUBJECT_BEFORE: &str = "dead_letter.numbering.";

/// The subject that a dead letter came on.
pub(super) const ORIGINAL_SUBJECT: &str = "Numbering-Original-Subject";
/// The stream that it came on.
const ORIGINAL_STREAM: &str = "Numbering-Original-Stream";
/// Its place in that stream.
const ORIGINAL_SEQUENCE: &str = "Numbering-Original-Sequence";
/// Why it could not be taken.
pub(super) const REASON: &str = "Numbering-Reason";
/// Set where the message is too large to be put aside with its payload, which stays where it was.
const PAYLOAD_LEFT_OUT: &str = "Numbering-Payload-Left-Out";

/// The most dead letters that are kept; beyond them nothing more is taken in.
const MOST_MESSAGES: i64 = 100_000;

/// The longest reason that is told, in characters.
const REASON_MOST_CHARS: usize = 500;

impl Consume {
    /// Makes the stream of dead letters where there is none.
    pub(super) async fn ensure_dead_letters(&self) -> Result<Stream, ConsumeError> {
        let config = StreamConfig {
            name: DEAD_LETTERS.to_owned(),
            subjects: vec![DEAD_LETTER_SUBJECTS.to_owned()],
            storage: StorageType::File,
            max_messages: MOST_MESSAGES,
            discard: DiscardPolicy::New,
            ..StreamConfig::default()
        };
        Ok(jetstream::make_stream(&self.jetstream, config).await?)
    }

    /// Puts a message among the dead letters, with the reason.
    pub(super) async fn put_aside(
        &self,
        inlet: Inlet,
        message: &Message,
        reason: &str,
    ) -> Result<Settled, ConsumeError> {
        let subject = message.subject.as_str();
        let sequence = message.info().map_err(ConsumeError::Server)?.stream_sequence;
        tracing::error!(subject, stream = inlet.stream, sequence, reason, "a message is put among the dead letters");
        let mut headers = HeaderMap::new();
        // The same each time that this message is put aside, should the first time not have been known to be enough.
        headers.insert(NATS_MESSAGE_ID, format!("{}-{sequence}", inlet.stream));
        headers.insert(ORIGINAL_SUBJECT, subject);
        headers.insert(ORIGINAL_STREAM, inlet.stream);
        headers.insert(ORIGINAL_SEQUENCE, sequence.to_string());
        headers.insert(REASON, one_line(reason));
        match self.publish_aside(subject, headers.clone(), message.payload.clone()).await {
            Err(error) if jetstream::is_refusal_of_the_event(&error) => {
                headers.insert(PAYLOAD_LEFT_OUT, "true");
                self.publish_aside(subject, headers, Bytes::new()).await?;
            }
            published => published?,
        }
        self.put_aside.notify_one();
        Ok(Settled::PutAside)
    }

    async fn publish_aside(&self, subject: &str, headers: HeaderMap, payload: Bytes) -> Result<(), PublishError> {
        let aside = format!("{SUBJECT_BEFORE}{subject}");
        self.jetstream.publish_with_headers(aside, headers, payload).await?.await.map(drop)
    }
}

/// A reason as a header may have it.
fn one_line(reason: &str) -> String {
    reason.chars().take(REASON_MOST_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_a_header() {
        assert_eq!(one_line("two\r\nlines\t\u{7f}"), "two  lines  ");
        assert_eq!(one_line(&"ä".repeat(600)).chars().count(), REASON_MOST_CHARS);
    }
}
