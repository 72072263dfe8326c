//! Chooses free loopback ports and remembers them, so that addresses stay the same from one start to the next.
//!
//! Ports are taken from below the range that Linux hands to outgoing connections. From within it, a client that keeps
//! trying a dead server's port may be given that very port as its own, connect to itself, and keep the server out.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;

use super::files;

/// Below this, well-known servers may come and go.
const LOWEST: u16 = 10_240;

/// The ports of one data directory, kept in its `ports.json`.
#[derive(Debug)]
pub(super) struct Ports {
    file: PathBuf,
    by_name: Mutex<BTreeMap<String, u16>>,
}

impl Ports {
    pub(super) fn load(file: PathBuf) -> anyhow::Result<Self> {
        let by_name = match fs::read(&file) {
            Ok(json) => serde_json::from_slice(&json)
                .with_context(|| format!("{} is not a list of ports; delete it to choose new ones", file.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        Ok(Self { file, by_name: Mutex::new(by_name) })
    }

    /// The port that `name` had the last time if it is free now, else a free one, remembered from here on.
    pub(super) fn claim(&self, name: &str) -> anyhow::Result<u16> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&port) = by_name.get(name).filter(|port| is_free_on_loopback(**port)) {
            return Ok(port);
        }
        let port = choose(|port| is_free_on_loopback(port) && by_name.values().all(|taken| *taken != port))?;
        by_name.insert(name.to_owned(), port);
        let json = serde_json::to_vec_pretty(&*by_name)?;
        files::replace(&self.file, &json, 0o644)?;
        Ok(port)
    }
}

/// Whether a server could listen on `address` now.
#[must_use]
pub fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

fn is_free_on_loopback(port: u16) -> bool {
    is_free((Ipv4Addr::LOCALHOST, port).into())
}

fn choose(fits: impl Fn(u16) -> bool) -> anyhow::Result<u16> {
    let below = lowest_outgoing_port().max(LOWEST + 1_000);
    let span = u32::from(below - LOWEST);
    for _ in 0..200 {
        let mut random = [0; 4];
        aws_lc_rs::rand::fill(&mut random).context("the machine gives no random numbers")?;
        let offset = u16::try_from(u32::from_be_bytes(random) % span).unwrap_or_default();
        if fits(LOWEST + offset) {
            return Ok(LOWEST + offset);
        }
    }
    anyhow::bail!("found no free port between {LOWEST} and {below} in 200 tries")
}

fn lowest_outgoing_port() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32_768)
}
