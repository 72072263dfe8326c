//! Secrets made on the first start and kept under the data directory, readable by its owner only.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;

use super::files;

/// The content of the secret `file`, made by `make` when there is none yet.
pub fn keep(file: &Path, make: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<String> {
    match fs::read_to_string(file) {
        Ok(secret) => return Ok(secret),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
    if let Some(directory) = file.parent() {
        files::make_directory(directory, 0o700)?;
    }
    let secret = make()?;
    files::replace(file, secret.as_bytes(), 0o600)?;
    Ok(secret)
}

/// 32 random bytes in hex.
pub fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).context("the machine gives no random numbers")?;
    Ok(hex::encode(bytes))
}
