//! Asks a server whether it would serve now.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::NoTls;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a kind of server shows that it is ready.
#[derive(Clone, Debug)]
pub enum Readiness {
    /// Lets the superuser in at this URL.
    Postgres(String),
    /// Answers PING.
    Redis,
    /// Greets with JetStream on.
    JetStream,
    /// Answers `GET /readyz` with 200.
    Http,
}

impl Readiness {
    /// Whether the server at `address` is ready now.
    pub(super) async fn holds(&self, address: SocketAddr) -> bool {
        let answer = async {
            match self {
                Self::Postgres(url) => lets_in(url).await,
                Self::Redis => answers(address, "PING\r\n", "+PONG").await,
                Self::JetStream => answers(address, "", "\"jetstream\":true").await,
                Self::Http => answers(address, "GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n", " 200 ").await,
            }
        };
        timeout(PATIENCE, answer).await.is_ok_and(|held| held)
    }
}

async fn lets_in(url: &str) -> bool {
    let Ok((client, connection)) = tokio_postgres::connect(url, NoTls).await else { return false };
    let connection = tokio::spawn(connection);
    let lets_in = client.check_connection().await.is_ok();
    connection.abort();
    lets_in
}

/// Whether the first line that comes back after `question` holds `wanted`.
async fn answers(address: SocketAddr, question: &str, wanted: &str) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(question.as_bytes()).await?;
        let mut line = Vec::new();
        let mut bytes = [0; 1024];
        while !line.contains(&b'\n') && line.len() < 8192 {
            match stream.read(&mut bytes).await? {
                0 => break,
                count => line.extend_from_slice(&bytes[..count]),
            }
        }
        std::io::Result::Ok(String::from_utf8_lossy(&line).lines().next().is_some_and(|line| line.contains(wanted)))
    };
    ask.await.unwrap_or(false)
}
