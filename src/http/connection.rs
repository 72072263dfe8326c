//! The connection that a request came over, for whoever has to cut it off.
//!
//! What must stay true: the end of a connection that was cut looks to its reader like a transfer that broke.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio_util::sync::CancellationToken;

/// A connection. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Connection(CancellationToken);

impl Connection {
    /// Cuts it off, whatever its reader does.
    pub fn cut(&self) {
        self.0.cancel();
    }

    /// Waits until it is cut off.
    pub(super) async fn is_cut(&self) {
        self.0.cancelled().await;
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Connection {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
