//! How a handler takes its input: strict, bounded, and with an answer that says where the mistake is.

mod idempotency_key;
mod json;
mod path;
mod query;

pub use idempotency_key::IdempotencyKey;
pub use json::{JsonBody, OptionalJsonBody};
pub use path::{PathIdentifier, PathValue};
pub use query::QueryParameters;
