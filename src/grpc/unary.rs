//! Calls of one message and one answer, read and written by hand: what is asked for every SMS (US-NUM-002) goes without the layers
//! that a server for any service needs. They cost a fifth of `ValidateLease`.
//!
//! What must stay true: on the wire it is what the generated service does, status for status, but that what follows the one message is
//! not looked at; a call that is not plain (compressed, or of another encoding than protobuf) is left to that.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response};
use prost::Message;
use tonic::Status;
use tonic::body::Body;

/// A message's prefix: whether it is compressed, and its length in four bytes.
const PREFIX_BYTES: usize = 5;

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
static GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
static GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
static OK: HeaderValue = HeaderValue::from_static("0");

/// Whether a call is plain: protobuf, and not compressed.
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    let content = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    matches!(content, Some(b"application/grpc" | b"application/grpc+proto")) && !headers.contains_key(&GRPC_ENCODING)
}

/// The bytes of the message of a call, which is read to its end.
pub(super) async fn asked(request: Request<Incoming>, most_bytes: usize) -> Result<Bytes, Status> {
    let mut body = request.into_body();
    let mut read = Bytes::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|error| Status::cancelled(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if read.is_empty() {
            read = data;
        } else {
            let mut longer = BytesMut::from(read);
            longer.put(data);
            read = longer.freeze();
        }
        // What comes behind one message is not looked at, but for how much it is.
        if read.len() > PREFIX_BYTES + most_bytes {
            return Err(too_large(read.len() - PREFIX_BYTES, most_bytes));
        }
    }
    message(read, most_bytes)
}

/// A message of its bytes.
pub(super) fn decoded<M: Message + Default>(bytes: Bytes) -> Result<M, Status> {
    M::decode(bytes).map_err(|error| Status::internal(error.to_string()))
}

/// The first message of what was read.
fn message(mut read: Bytes, most_bytes: usize) -> Result<Bytes, Status> {
    if read.is_empty() {
        return Err(Status::internal("Missing request message."));
    }
    if read.len() < PREFIX_BYTES {
        return Err(Status::internal("Unexpected EOF decoding stream."));
    }
    match read.get_u8() {
        0 => {}
        1 => return Err(Status::internal("a message is compressed, and grpc-encoding does not say how")),
        flag => {
            return Err(Status::internal(format!(
                "{flag} says neither that a message is compressed nor that it is not"
            )));
        }
    }
    let length = usize::try_from(read.get_u32()).unwrap_or(usize::MAX);
    if length > most_bytes {
        return Err(too_large(length, most_bytes));
    }
    if read.len() < length {
        return Err(Status::internal("Unexpected EOF decoding stream."));
    }
    Ok(read.split_to(length))
}

fn too_large(found: usize, most: usize) -> Status {
    Status::out_of_range(format!("a message of {found} bytes, where {most} is the most"))
}

/// The answer to a call.
pub(super) fn answer(response: &impl Message) -> Response<Body> {
    let length = response.encoded_len();
    let mut message = BytesMut::with_capacity(PREFIX_BYTES + length);
    message.put_u8(0);
    message.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // It has room for it.
    response.encode_raw(&mut message);
    let mut answer = Response::new(Body::new(Answer { message: Some(message.freeze()), is_over: false }));
    answer.headers_mut().insert(CONTENT_TYPE, GRPC.clone());
    answer
}

/// One message, and that all went well.
struct Answer {
    message: Option<Bytes>,
    is_over: bool,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        self.is_over = true;
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(GRPC_STATUS.clone(), OK.clone());
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn framed(flag: u8, length: u32, bytes: &[u8]) -> Bytes {
        [&[flag], length.to_be_bytes().as_slice(), bytes].concat().into()
    }

    #[test]
    fn one_message_is_taken_out_of_its_frame() {
        assert_eq!(message(framed(0, 3, b"abc"), 10).unwrap(), "abc");
        assert_eq!(message(framed(0, 0, b""), 10).unwrap(), "");
        assert_eq!(message(framed(0, 3, b"abcdef"), 10).unwrap(), "abc", "what is behind it is another's");
        for (read, code) in [
            (Bytes::new(), Code::Internal),
            (Bytes::from_static(b"\0\0"), Code::Internal),
            (framed(0, 4, b"abc"), Code::Internal),
            (framed(1, 3, b"abc"), Code::Internal),
            (framed(7, 3, b"abc"), Code::Internal),
            (framed(0, 11, b"abcdefghijk"), Code::OutOfRange),
            (framed(0, u32::MAX, b"abc"), Code::OutOfRange),
        ] {
            assert_eq!(message(read.clone(), 10).unwrap_err().code(), code, "{read:?}");
        }
    }

    #[test]
    fn only_protobuf_that_is_not_compressed_is_plain() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value)))
                .collect()
        };
        assert!(is_plain(&headers(&[("content-type", "application/grpc")])));
        assert!(is_plain(&headers(&[("content-type", "application/grpc+proto"), ("grpc-accept-encoding", "gzip")])));
        assert!(!is_plain(&headers(&[("content-type", "application/grpc+json")])));
        assert!(!is_plain(&headers(&[("content-type", "application/grpc"), ("grpc-encoding", "gzip")])));
        assert!(!is_plain(&headers(&[])));
    }
}
