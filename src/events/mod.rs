//! What the world is told: every journal entry, as a CloudEvent, over JetStream.
//!
//! What must stay true: an event is the journal's entry and nothing else, so that nothing uncommitted is ever published
//! and everything committed is.

pub mod payload;
