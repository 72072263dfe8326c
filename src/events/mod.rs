//! What the world is told: every journal entry that is an event, in the form of CloudEvents, over JetStream.
//!
//! What must stay true: an event is the journal's entry and nothing else, so that nothing uncommitted is ever published
//! and everything committed is.

pub mod catalogue;
pub mod cloudevents;
mod held_back;
pub mod jetstream;
pub mod metrics;
pub mod payload;
pub mod relay;
pub mod republish;
#[cfg(test)]
mod tests;
mod wave;

pub use metrics::RelayMetrics;
pub use relay::{Relay, RelaySettings};
