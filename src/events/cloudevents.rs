//! The envelope: CloudEvents 1.0 in JSON (contract, section 5).

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::payload::time;
use crate::store::outbox::OutboxEntry;

/// The media type of an encoded event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// An event in its envelope, its data as the journal has it.
#[derive(Debug, Serialize)]
pub struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    subject: &'a str,
    time: String,
    datacontenttype: &'static str,
    data: &'a RawValue,
}

impl<'a> CloudEvent<'a> {
    /// The event of a journal entry, told by `source`.
    #[must_use]
    pub fn new(entry: &'a OutboxEntry, source: &'a str) -> Self {
        Self {
            specversion: "1.0",
            id: entry.event_id.to_string(),
            source,
            event_type: &entry.event_type,
            subject: &entry.about,
            time: time(entry.at),
            datacontenttype: "application/json",
            data: &entry.data,
        }
    }

    /// The event as bytes to send.
    pub fn encode(&self) -> Result<Bytes, serde_json::Error> {
        serde_json::to_vec(self).map(Bytes::from)
    }
}
