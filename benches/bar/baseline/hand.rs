//! A gRPC server written by hand for one method: hyper's HTTP/2, the two messages, and nothing else.

use std::convert::Infallible;
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use anyhow::Context as _;
use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use numbering_proto::v1::ValidateLeaseRequest;
use prost::Message as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::constant;
use crate::caller::framed;

/// What stands before a message.
const PREFIX_BYTES: usize = 5;

/// Accepts, and hands the connections out to the threads in turn.
pub(super) async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let threads = thread::available_parallelism().context("the machine does not tell its cores")?.get();
    let workers = (0..threads).map(|_| worker()).collect::<anyhow::Result<Vec<_>>>()?;
    for worker in workers.iter().cycle() {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        worker.send(stream.into_std()?).ok().context("a thread of the baseline has ended")?;
    }
    Ok(())
}

fn worker() -> anyhow::Result<UnboundedSender<TcpStream>> {
    let (sender, streams) = unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || runtime.block_on(work(streams)));
    Ok(sender)
}

async fn work(mut streams: UnboundedReceiver<TcpStream>) {
    while let Some(stream) = streams.recv().await {
        let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { return };
        tokio::spawn(async move {
            let connection = http2::Builder::new(TokioExecutor::new());
            // That a client goes is no fault.
            connection.serve_connection(TokioIo::new(stream), service_fn(answer)).await.ok();
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let whole = request.into_body().collect().await.map(http_body_util::Collected::aggregate);
    let asked = whole.ok().filter(|whole| whole.remaining() >= PREFIX_BYTES).and_then(|mut whole| {
        whole.advance(PREFIX_BYTES);
        ValidateLeaseRequest::decode(whole).ok()
    });
    let status = if asked.is_some() { "0" } else { "3" };
    let mut response = Response::new(Answer { message: Some(framed(&constant())), status: Some(status) });
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}

/// A message, then its status.
struct Answer {
    message: Option<Bytes>,
    status: Option<&'static str>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        Poll::Ready(self.status.take().map(|status| {
            let mut trailers = HeaderMap::with_capacity(1);
            trailers.insert("grpc-status", HeaderValue::from_static(status));
            Ok(Frame::trailers(trailers))
        }))
    }
}
