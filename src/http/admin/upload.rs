//! The multipart form of an import: its text fields, and its file, streamed to a spool while it is hashed.
//!
//! What must stay true: nothing of a form is held in memory beyond its short fields and the chunk under way; every field is
//! known, given once, and bounded.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use futures_util::{Stream, StreamExt as _};

use crate::http::code::Code;
use crate::http::problem::{ApiError, Invalid};
use crate::operations::blocks::Blocks;
use crate::operations::blocks::spool::SpooledFile;

/// Room for the text fields and the form's own lines, in bytes.
const FORM_BYTES: u64 = 64 * 1024;
/// The longest text field, in bytes.
const TEXT_MOST_BYTES: usize = 8 * 1024;
/// How much of a body may wait in memory to be made sense of, in bytes: a part's head is small.
const WAITING_MOST_BYTES: u64 = 2 * 1024 * 1024;
/// How much is taken from the connection in one go, in bytes.
const BURST_BYTES: usize = 256 * 1024;

/// The form, read whole.
#[derive(Debug)]
pub(super) struct ImportForm {
    pub(super) operator: String,
    pub(super) key: Option<String>,
    pub(super) signature: String,
    pub(super) file: SpooledFile,
}

#[derive(Debug, Default)]
struct Fields {
    operator: Option<String>,
    key: Option<String>,
    signature: Option<String>,
    file: Option<SpooledFile>,
}

impl ImportForm {
    /// Reads the form. No upload takes longer than an import may.
    pub(super) async fn read(request: Request, blocks: &Blocks) -> Result<Self, ApiError> {
        let limit = blocks.settings().timeout;
        let reading = Self::read_all(request, blocks);
        tokio::time::timeout(limit, reading).await.unwrap_or_else(|_| {
            Err(ApiError::malformed(format!("the upload did not end within {} s", limit.as_secs())))
        })
    }

    async fn read_all(request: Request, blocks: &Blocks) -> Result<Self, ApiError> {
        let most_bytes = blocks.settings().max_file_bytes;
        let (mut form, understood) = multipart(request, most_bytes).await?;
        let mut fields = Fields::default();
        while let Some(field) = form.next_field().await.map_err(|error| refused(&error, most_bytes))? {
            fields.take(field, blocks, &understood).await?;
        }
        fields.complete()
    }
}

/// The body as a form, and the count of its bytes that were made sense of.
async fn multipart(request: Request, most_bytes: u64) -> Result<(Multipart, Arc<AtomicU64>), ApiError> {
    let headers = request.headers();
    if headers.contains_key(CONTENT_ENCODING) {
        let detail = "an import is taken as it is, without Content-Encoding";
        return Err(ApiError::new(Code::UnsupportedMediaType, detail));
    }
    let most_of_all = most_bytes.saturating_add(FORM_BYTES);
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most_of_all) {
        return Err(too_large(most_bytes));
    }
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !media_type.to_ascii_lowercase().starts_with("multipart/form-data") {
        let detail = "an import is a form: send Content-Type: multipart/form-data";
        return Err(ApiError::new(Code::UnsupportedMediaType, detail));
    }
    let understood = Arc::new(AtomicU64::new(0));
    let mut request = request.map(|body| Body::from_stream(Measured::new(body, Arc::clone(&understood))));
    DefaultBodyLimit::max(usize::try_from(most_of_all).unwrap_or(usize::MAX)).apply(&mut request);
    let form = Multipart::from_request(request, &()).await.map_err(|error| ApiError::malformed(error.body_text()))?;
    Ok((form, understood))
}

impl Fields {
    async fn take(&mut self, field: Field<'_>, blocks: &Blocks, understood: &AtomicU64) -> Result<(), ApiError> {
        let name = field.name().unwrap_or_default().to_owned();
        let text = match name.as_str() {
            "operatorId" => &mut self.operator,
            "keyId" => &mut self.key,
            "signature" => &mut self.signature,
            "csvFile" if self.file.is_none() => {
                self.file = Some(spooled(field, blocks, understood).await?);
                return Ok(());
            }
            "csvFile" => return Err(wrong("csvFile", "is given twice")),
            other => {
                let other: String = other.chars().take(64).collect();
                return Err(wrong(&other, "is not known here, expected one of operatorId, keyId, signature, csvFile"));
            }
        };
        if text.is_some() {
            return Err(wrong(&name, "is given twice"));
        }
        *text = Some(short_text(&name, field, blocks.settings().max_file_bytes, understood).await?);
        Ok(())
    }

    fn complete(self) -> Result<ImportForm, ApiError> {
        let missing = [
            ("operatorId", self.operator.is_none()),
            ("signature", self.signature.is_none()),
            ("csvFile", self.file.is_none()),
        ];
        let missing = missing.into_iter().filter(|(_, missing)| *missing);
        let errors: Vec<Invalid> =
            missing.map(|(name, _)| Invalid { pointer: format!("/{name}"), detail: "is missing".to_owned() }).collect();
        match (self.operator, self.signature, self.file) {
            (Some(operator), Some(signature), Some(file)) => {
                Ok(ImportForm { operator, key: self.key, signature, file })
            }
            _ => Err(ApiError::invalid(errors)),
        }
    }
}

async fn short_text(
    name: &str,
    mut field: Field<'_>,
    most_bytes: u64,
    understood: &AtomicU64,
) -> Result<String, ApiError> {
    let mut text = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| refused(&error, most_bytes))? {
        understood.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        if text.len() + chunk.len() > TEXT_MOST_BYTES {
            return Err(wrong(name, &format!("may have {TEXT_MOST_BYTES} bytes at most")));
        }
        text.extend_from_slice(&chunk);
    }
    match String::from_utf8(text) {
        Ok(text) if !text.contains('\0') => Ok(text),
        Ok(_) | Err(_) => Err(wrong(name, "must be UTF-8 without NUL")),
    }
}

async fn spooled(mut field: Field<'_>, blocks: &Blocks, understood: &AtomicU64) -> Result<SpooledFile, ApiError> {
    if field.headers().contains_key(CONTENT_ENCODING) {
        let detail = "the file is taken as it is, without Content-Encoding";
        return Err(ApiError::new(Code::UnsupportedMediaType, detail));
    }
    let mut spool = blocks.spool().await?;
    while let Some(chunk) = field.chunk().await.map_err(|error| refused(&error, blocks.settings().max_file_bytes))? {
        understood.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        spool.write(&chunk).await.map_err(crate::operations::blocks::ImportError::from)?;
    }
    Ok(spool.finish().await.map_err(crate::operations::blocks::ImportError::from)?)
}

pub(super) fn wrong(field: &str, detail: &str) -> ApiError {
    ApiError::invalid(vec![Invalid { pointer: format!("/{field}"), detail: detail.to_owned() }])
}

pub(super) fn too_large(most_bytes: u64) -> ApiError {
    ApiError::new(Code::PayloadTooLarge, format!("the file may have {most_bytes} bytes at most"))
}

fn refused(error: &MultipartError, most_bytes: u64) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        too_large(most_bytes)
    } else {
        ApiError::malformed(format!("the form cannot be read: {}", error.body_text()))
    }
}

/// A body that comes in small helpings, and fails where too much of it waits without having been made sense of: a part
/// whose head never ends would otherwise be collected in memory.
struct Measured {
    body: BodyDataStream,
    taken: u64,
    understood: Arc<AtomicU64>,
    burst: usize,
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a part of the form has a head without an end")]
struct EndlessHead;

impl Measured {
    fn new(body: Body, understood: Arc<AtomicU64>) -> Self {
        Self { body: body.into_data_stream(), taken: 0, understood, burst: 0 }
    }
}

impl Stream for Measured {
    type Item = Result<Bytes, axum::BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.burst >= BURST_BYTES {
            // Whoever reads goes on as long as there is something: give it the time to deal with what it has.
            self.burst = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.body.poll_next_unpin(context) {
            Poll::Ready(Some(Ok(chunk))) => {
                self.burst += chunk.len();
                self.taken += chunk.len() as u64;
                if self.taken.saturating_sub(self.understood.load(Ordering::Relaxed)) > WAITING_MOST_BYTES {
                    return Poll::Ready(Some(Err(EndlessHead.into())));
                }
                Poll::Ready(Some(Ok(chunk)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                self.burst = 0;
                Poll::Pending
            }
        }
    }
}
