//! `DIR/dev.env`: where a development installation is reached, and the tokens to reach it with. It exists while, and only
//! while, the installation serves.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::identity::Issuer;
use super::replica::Place;
use crate::devstack::{Billing, Stack, files};

/// A line: a name and its value.
type Variable = (&'static str, String);

/// Where the servers are that all replicas share.
pub(super) fn shared(stack: &Stack, billing: &Billing) -> [Variable; 4] {
    [
        ("NUMBERING_DATABASE_URL", stack.databases().app_url("numbering")),
        ("NUMBERING_REDIS_URL", stack.redis.url().to_owned()),
        ("NUMBERING_NATS_URL", stack.nats.url().to_owned()),
        ("NUMBERING_BILLING_URL", billing.url().to_owned()),
    ]
}

/// Writes it in one step.
pub(super) fn write(
    directory: &Path,
    replicas: &[Place],
    shared: [Variable; 4],
    issuer: &Issuer,
) -> anyhow::Result<()> {
    let all = |address: fn(Place) -> String| replicas.iter().copied().map(address).collect::<Vec<_>>().join(",");
    let own = [("NUMBERING_HTTP_URL", all(Place::http_url)), ("NUMBERING_GRPC_ADDR", all(Place::grpc_address))];
    let mut text = String::new();
    for (name, value) in own.into_iter().chain(shared).chain(issuer.tokens()?) {
        // Writing to a string cannot fail.
        writeln!(text, "{name}={value}").ok();
    }
    files::replace(&file(directory), text.as_bytes(), 0o600)
}

/// Removes it.
pub(super) fn remove(directory: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file(directory)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("cannot remove dev.env"),
        _ => Ok(()),
    }
}

/// Where it is.
pub(super) fn file(directory: &Path) -> PathBuf {
    directory.join("dev.env")
}
