//! A gRPC client that costs little: on a machine of two cores what the client uses, the server lacks.
//!
//! It speaks HTTP/2 by itself, without tonic's layers, and does no more with an answer than look whether it is the expected one.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use numbering_proto::v1::{ValidateLeaseRequest, ValidateLeasesRequest};
use prost::Message;
use tokio::net::TcpStream;

use crate::load::Judged;

/// As much of an answer as a server may send before it must wait: no measurement is of windows.
const WINDOW_BYTES: u32 = 8 << 20;
/// What stands before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// What a valid answer begins with: field 1, a varint, true.
const VALID: [u8; 2] = [0x08, 0x01];

/// A method of the service.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    /// One pair.
    One,
    /// Many pairs.
    Many,
}

impl Ask {
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::One => "/numbering.v1.LeaseValidation/ValidateLease",
            Self::Many => "/numbering.v1.LeaseValidation/ValidateLeases",
        }
    }
}

/// A message as it goes over the wire.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.put(message.encode_to_vec().as_slice());
    bytes.freeze()
}

fn pair((identifier, tenant_id): (String, String)) -> ValidateLeaseRequest {
    ValidateLeaseRequest { identifier, tenant_id }
}

/// The question after one pair of identifier and tenant.
pub(crate) fn one(asked: (String, String)) -> Bytes {
    framed(&pair(asked))
}

/// The question after many pairs.
pub(crate) fn many(asked: impl IntoIterator<Item = (String, String)>) -> Bytes {
    framed(&ValidateLeasesRequest { items: asked.into_iter().map(pair).collect() })
}

/// Open connections to one server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Caller {
    connections: Vec<SendRequest<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    ask: Ask,
}

impl Caller {
    /// Opens `connections` to `server`, and bears `token`.
    pub(crate) async fn connect(server: SocketAddr, connections: usize, token: &str, ask: Ask) -> anyhow::Result<Self> {
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            let stream = TcpStream::connect(server).await.context("the measured server does not listen")?;
            stream.set_nodelay(true)?;
            let mut settings = h2::client::Builder::new();
            settings.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
            let (send, connection) = settings.handshake(stream).await.context("the server speaks no HTTP/2")?;
            tokio::spawn(connection);
            open.push(send);
        }
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        headers.insert("authorization", format!("Bearer {token}").parse()?);
        let uri = format!("http://{server}{}", ask.path()).parse()?;
        Ok(Self { connections: open, uri, headers, ask })
    }

    /// Makes the `number`th call, over one connection after the other.
    pub(crate) async fn call(&self, number: u64, question: Bytes) -> anyhow::Result<Judged> {
        let index = usize::try_from(number)? % self.connections.len();
        let mut send = self.connections[index].clone().ready().await?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let (response, mut body) = send.send_request(request, false)?;
        body.send_data(question, true)?;
        let response = response.await?;
        if let Some(refused) = refused(response.headers()) {
            return Ok(refused);
        }
        let mut body = response.into_body();
        let mut answer = BytesMut::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            answer.extend_from_slice(&chunk);
        }
        let trailers = body.trailers().await?.unwrap_or_default();
        Ok(refused(&trailers).unwrap_or_else(|| self.judge(&answer)))
    }

    fn judge(&self, answer: &[u8]) -> Judged {
        let good = is_valid(self.ask, answer);
        if good { Judged::Good } else { Judged::Refused("not valid".to_owned()) }
    }
}

/// Whether an answer, or the first of many, says that the lease is valid.
pub(crate) fn is_valid(ask: Ask, answer: &[u8]) -> bool {
    let message = answer.get(PREFIX_BYTES..).unwrap_or_default();
    match ask {
        Ask::One => message.starts_with(&VALID),
        // Field 1, with the length of the first answer, then that answer.
        Ask::Many => message.get(2..).is_some_and(|first| first.starts_with(&VALID)),
    }
}

/// What a `grpc-status` says, where it is not OK.
pub(crate) fn refusal(status: &[u8]) -> Option<&'static str> {
    match status {
        b"0" => None,
        b"4" => Some("DEADLINE_EXCEEDED"),
        b"8" => Some("RESOURCE_EXHAUSTED"),
        b"13" => Some("INTERNAL"),
        b"14" => Some("UNAVAILABLE"),
        b"16" => Some("UNAUTHENTICATED"),
        _ => Some("another status"),
    }
}

/// What the head says, where the status is not OK; without one in sight nothing is said yet.
fn refused(headers: &HeaderMap) -> Option<Judged> {
    let status = headers.get("grpc-status")?;
    refusal(status.as_bytes()).map(|name| Judged::Refused(name.to_owned()))
}
