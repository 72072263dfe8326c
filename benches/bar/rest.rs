//! A REST client that costs little: one connection, one request at a time.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// An open connection whose user bears one token.
pub(crate) struct Rest {
    send: SendRequest<Full<Bytes>>,
    host: String,
    authorization: String,
}

impl Rest {
    pub(crate) async fn connect(server: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server).await.context("the measured server does not listen")?;
        stream.set_nodelay(true)?;
        let (send, connection) = handshake(TokioIo::new(stream)).await.context("the server speaks no HTTP")?;
        tokio::spawn(connection);
        Ok(Self { send, host: server.to_string(), authorization: format!("Bearer {token}") })
    }

    /// The answer's body, where it is a success.
    pub(crate) async fn post(&mut self, path: &str, body: &'static str) -> anyhow::Result<Bytes> {
        self.send(Method::POST, path, Bytes::from_static(body.as_bytes())).await
    }

    /// The answer's body, where it is a success.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Bytes> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Puts or posts something for the administration.
    pub(crate) async fn give(&mut self, method: Method, path: &str, body: &Value) -> anyhow::Result<Bytes> {
        self.send(method, path, Bytes::from(body.to_string())).await
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let mut request = Request::builder().method(&method).uri(path).header("host", &self.host);
        request = request.header("authorization", &self.authorization);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.send.ready().await?;
        let response: Response<_> = self.send.send_request(request.body(Full::new(body))?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::ensure!(status.is_success(), "{method} {path} answered {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}
