//! What the world is told: every journal entry that is an event, in the form of CloudEvents, over JetStream. And what other
//! services tell this one, the same way.
//!
//! What must stay true: an event is the journal's entry and nothing else, so that nothing uncommitted is ever published
//! and everything committed is. An event that comes in has its effect once, or stands among the dead letters.

pub mod catalogue;
pub mod cloudevents;
pub mod consume;
mod held_back;
pub mod jetstream;
pub mod metrics;
pub mod payload;
pub mod relay;
pub mod republish;
#[cfg(test)]
mod tests;
mod wave;

pub use consume::{Consume, ConsumeMetrics, ConsumeSettings};
pub use metrics::RelayMetrics;
pub use relay::{Relay, RelaySettings};
