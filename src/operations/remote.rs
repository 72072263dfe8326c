//! What the services that this one calls over HTTP have in common.

use std::time::Duration;

use reqwest::header::{HeaderValue, InvalidHeaderValue};
use reqwest::{Client, Url, redirect};

use crate::config::Secret;

/// What stands in `Authorization`; nothing where there is no token.
pub(super) fn bearer(token: Option<&Secret>) -> Result<Option<HeaderValue>, InvalidHeaderValue> {
    let value = |token: &Secret| {
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.as_str()))?;
        value.set_sensitive(true);
        Ok(value)
    };
    token.map(value).transpose()
}

/// A client for what is at this address, which follows no redirections and waits no longer than `timeout` for an answer.
pub(super) fn client(address: &Url, timeout: Duration) -> reqwest::Result<Client> {
    // A second call in one process finds it installed, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = Client::builder().timeout(timeout).redirect(redirect::Policy::none());
    // Without TLS no certificates are needed, and a bare container has none.
    let client = if address.scheme() == "https" { client } else { client.tls_certs_only([]) };
    client.build()
}
