//! Signed blocks of numbers from operators: importing them, and what became of them (US-NUM-001).

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::Timestamp;
use numbering_domain::{BlockId, OperatorId, SigningKeyId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::upload::{ImportForm, too_large, wrong};
use crate::http::AppState;
use crate::http::code::Code;
use crate::http::command::{Command, answer};
use crate::http::documented::problem_responses;
use crate::http::exports::neutral;
use crate::http::extract::{PathValue, QueryParameters};
use crate::http::guard::{Authorized, NumberingAdmin};
use crate::http::paging::{DEFAULT_LIMIT, Paging};
use crate::http::problem::ApiError;
use crate::http::shapes::Page;
use crate::jobs::capacity;
use crate::operations::blocks::reject::Reject;
use crate::operations::blocks::spool::SpoolError;
use crate::operations::blocks::{ImportError, ImportGuard, Imported, Purpose, RenderImported, Upload};
use crate::store::blocks::{Block, RejectedRow};
use crate::store::{Store, StoreError};

/// How many rejects are read at once while they are streamed as CSV.
const CSV_ROWS_AT_ONCE: i64 = 1_000;

/// Whether it is meant.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// Only say what the import would do.
    pub dry_run: Option<bool>,
}

/// The form of an import; its parts may come in any order.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its shape matters, for the document")]
pub struct ImportFormBody {
    /// The operator that the numbers come from.
    #[schema(example = "awcc")]
    operator_id: String,
    /// The key that it signed with; any of its valid keys where absent.
    key_id: Option<String>,
    /// Base64 of the detached signature over `numbering-block-v1\n<operatorId>\n<sha256 hex of the file>\n`.
    signature: String,
    /// UTF-8 CSV with a header: `msisdn`, and where wanted `validFrom`, `vanity`, `priceTier`.
    #[schema(format = Binary, content_media_type = "text/csv")]
    csv_file: String,
}

/// What an import did.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportBody {
    /// The new block; null after a dry run.
    #[schema(required)]
    pub block_id: Option<Uuid>,
    /// The operator.
    pub operator_id: String,
    /// The key whose signature verified.
    pub key_id: String,
    /// The file's SHA-256 in hexadecimal.
    pub file_sha256: String,
    /// New numbers, AVAILABLE now.
    pub inserted: i64,
    /// Rows whose number the inventory, or an earlier row, had already.
    pub duplicates: i64,
    /// Rows that were turned away.
    pub invalid: i64,
    /// True after a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// After a dry run the first 100 rows that would be turned away; those of a block are at `…/rejects`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejects: Option<Vec<RejectBody>>,
}

/// A row that was turned away.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RejectBody {
    /// The line of the file, its header being 1; of an inventory the item's place, from 0.
    pub line: i64,
    /// The value at fault, shortened.
    pub value: String,
    /// Why.
    #[schema(example = "WRONG_OPERATOR")]
    pub reason: String,
}

impl From<&Reject> for RejectBody {
    fn from(reject: &Reject) -> Self {
        Self {
            line: i64::try_from(reject.line).unwrap_or(i64::MAX),
            value: reject.value.clone(),
            reason: reject.reason.as_str().to_owned(),
        }
    }
}

impl From<RejectedRow> for RejectBody {
    fn from(row: RejectedRow) -> Self {
        Self { line: row.line, value: row.value, reason: row.reason }
    }
}

/// A block in the books.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockBody {
    /// Its id.
    pub block_id: Uuid,
    /// The operator; null for an inventory that an admin wrote.
    #[schema(required)]
    pub operator_id: Option<String>,
    /// The key that its file was signed with.
    #[schema(required)]
    pub key_id: Option<String>,
    /// Its file's SHA-256 in hexadecimal.
    #[schema(required)]
    pub file_sha256: Option<String>,
    /// New numbers.
    pub inserted: i64,
    /// Rows whose number the inventory, or an earlier row, had already.
    pub duplicates: i64,
    /// Rows that were turned away.
    pub invalid: i64,
    /// Who brought it in.
    pub imported_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub imported_at: Timestamp,
}

impl From<Block> for BlockBody {
    fn from(block: Block) -> Self {
        Self {
            block_id: block.block.0,
            operator_id: block.operator,
            key_id: block.key,
            file_sha256: block.file_sha256,
            inserted: block.inserted,
            duplicates: block.duplicates,
            invalid: block.invalid,
            imported_by: block.imported_by,
            imported_at: block.imported_at,
        }
    }
}

/// A page of a list.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The cursor of the page, from `nextPage`.
    pub page: Option<String>,
}

problem_responses! {
    /// Refusals of an import.
    ImportProblems = [SignatureInvalid, UnknownOperator, CsvInvalid];
}

/// Brings a signed block of mobile numbers into the inventory: all that are new and good, or on any failure none.
#[utoipa::path(
    post,
    path = "/v1/admin/numbering/blocks/import",
    tag = "admin",
    params(ImportQuery),
    request_body(content = ImportFormBody, content_type = "multipart/form-data"),
    responses((status = 200, description = "What the import did", body = ImportBody), ImportProblems),
)]
pub async fn import_block(
    State(state): State<AppState>,
    command: Command<NumberingAdmin>,
    QueryParameters(query): QueryParameters<ImportQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    let slot = state.blocks.slot()?;
    let form = ImportForm::read(request, &state.blocks).await?;
    let purpose = if query.dry_run == Some(true) { Purpose::DryRun } else { Purpose::Import };
    let asked = digest(&form, purpose);
    let upload = upload(form)?;
    let origin = command.origin();
    command
        .once(&state, &asked, async |claim| {
            let render: RenderImported = Arc::new(move |imported| import_answer(imported, purpose));
            let guard = claim.map(|claim| ImportGuard { claim, render });
            let imported = state.blocks.import(slot, upload, purpose, origin, guard).await?;
            state.wakes.wake(capacity::NAME);
            Ok(import_answer(&imported, purpose))
        })
        .await
}

fn upload(form: ImportForm) -> Result<Upload, ApiError> {
    let operator = OperatorId::parse(&form.operator).map_err(|invalid| wrong("operatorId", &invalid.to_string()))?;
    let key = form.key.as_deref().map(SigningKeyId::parse).transpose();
    let key = key.map_err(|invalid| wrong("keyId", &invalid.to_string()))?;
    Ok(Upload { operator, key, signature: form.signature, file: form.file })
}

/// What the request asks for, whatever the form's boundaries are: the same again is the same request.
fn digest(form: &ImportForm, purpose: Purpose) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let purpose = match purpose {
        Purpose::Import => "import",
        Purpose::DryRun => "dry run",
    };
    let key = form.key.as_ref().map_or_else(|| "any".to_owned(), |key| format!("key {key}"));
    for part in [form.operator.as_str(), &key, &form.signature, &form.file.sha256.to_string(), purpose] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

fn import_answer(imported: &Imported, purpose: Purpose) -> crate::store::idempotency::Answer {
    let dry = purpose == Purpose::DryRun;
    let file = imported.file.as_ref();
    let body = ImportBody {
        block_id: imported.block.map(|block| block.0),
        operator_id: file.map(|file| file.operator.to_string()).unwrap_or_default(),
        key_id: file.map(|file| file.key.to_string()).unwrap_or_default(),
        file_sha256: file.map(|file| file.sha256.clone()).unwrap_or_default(),
        inserted: imported.counts.inserted,
        duplicates: imported.counts.duplicates,
        invalid: imported.counts.invalid,
        dry_run: dry.then_some(true),
        rejects: dry.then(|| imported.rejects.iter().map(RejectBody::from).collect()),
    };
    answer(StatusCode::OK, &body)
}

impl From<ImportError> for ApiError {
    fn from(error: ImportError) -> Self {
        let said = error.to_string();
        match error {
            ImportError::UnknownOperator { operator } => {
                Self::new(Code::UnknownOperator, said).with("operatorId", operator.as_str())
            }
            ImportError::SignatureInvalid { operator } => {
                Self::new(Code::SignatureInvalid, said).with("operatorId", operator.as_str())
            }
            ImportError::CsvInvalid { line, detail } => Self::new(Code::CsvInvalid, detail).with("line", line),
            ImportError::Spool(SpoolError::TooLarge { most_bytes }) => too_large(most_bytes),
            ImportError::Spool(SpoolError::Io(_)) => Self::unavailable("the upload could not be kept; try again", said),
            ImportError::Busy => Self::unavailable("other imports are running; try again when they are done", said),
            ImportError::TookTooLong { .. } => Self::unavailable(
                "the import took too long; repeat it with the same Idempotency-Key, or look whether the block is there",
                said,
            ),
            ImportError::Store(error) => error.into(),
            ImportError::Interrupted(_) => Self::internal(said),
        }
    }
}

/// The blocks that came in, the newest first.
#[utoipa::path(
    get,
    path = "/v1/admin/numbering/blocks",
    tag = "admin",
    params(PageQuery),
    responses((status = 200, description = "A page of blocks", body = Page<BlockBody>)),
)]
pub async fn list_blocks(
    State(state): State<AppState>,
    _authorized: Authorized<NumberingAdmin>,
    QueryParameters(query): QueryParameters<PageQuery>,
) -> Result<Json<Page<BlockBody>>, ApiError> {
    let bound_to = ["", "blocks"];
    let paging = Paging::of(&state.cursors, &bound_to, query.page.as_deref(), query.limit, DEFAULT_LIMIT)?;
    let before = paging.last.as_deref().and_then(|last| last.parse().ok()).map(BlockId);
    let blocks = state.store.blocks(before, paging.rows_to_read()).await?;
    Ok(Json(paging.page(blocks, |block| block.block.to_string()).map(BlockBody::from)))
}

/// One block.
#[utoipa::path(
    get,
    path = "/v1/admin/numbering/blocks/{blockId}",
    tag = "admin",
    params(("blockId" = Uuid, Path, description = "The block")),
    responses((status = 200, description = "The block", body = BlockBody)),
)]
pub async fn read_block(
    State(state): State<AppState>,
    _authorized: Authorized<NumberingAdmin>,
    PathValue(block): PathValue<Uuid>,
) -> Result<Json<BlockBody>, ApiError> {
    Ok(Json(existing(&state.store, BlockId(block)).await?.into()))
}

async fn existing(store: &Store, block: BlockId) -> Result<Block, ApiError> {
    store.block(block).await?.ok_or_else(|| ApiError::not_found("there is no such block"))
}

/// The rows of a block that were turned away, by line: a page of JSON or, with `Accept: text/csv`, all of them as CSV.
#[utoipa::path(
    get,
    path = "/v1/admin/numbering/blocks/{blockId}/rejects",
    tag = "admin",
    params(("blockId" = Uuid, Path, description = "The block"), PageQuery),
    responses((status = 200, description = "The rejects", content(
        (Page<RejectBody> = "application/json"),
        (String = "text/csv"),
    ))),
)]
pub async fn list_rejects(
    State(state): State<AppState>,
    _authorized: Authorized<NumberingAdmin>,
    PathValue(block): PathValue<Uuid>,
    QueryParameters(query): QueryParameters<PageQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let block = existing(&state.store, BlockId(block)).await?.block;
    if wants_csv(&headers) {
        return Ok(csv_response(state.store, block));
    }
    let id = block.to_string();
    let bound_to = ["", "rejects", &id];
    let paging = Paging::of(&state.cursors, &bound_to, query.page.as_deref(), query.limit, DEFAULT_LIMIT)?;
    let after = paging.last.as_deref().and_then(|last| last.parse().ok()).unwrap_or(-1);
    let rows = state.store.block_rejects(block, after, paging.rows_to_read()).await?;
    Ok(Json(paging.page(rows, |row| row.line.to_string()).map(RejectBody::from)).into_response())
}

fn wants_csv(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| range.trim().eq_ignore_ascii_case("text/csv"))
}

fn csv_response(store: Store, block: BlockId) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"block-{block}-rejects.csv\"")),
    ];
    // Read page by page, so that a slow reader holds no connection to the database.
    let pages = stream::unfold(Some(None), move |after| {
        let store = store.clone();
        async move {
            let page = csv_page(&store, block, after?).await;
            Some(match page {
                Ok((text, more)) => (Ok(text), more.map(Some)),
                Err(error) => (Err(error), None),
            })
        }
    });
    (headers, Body::from_stream(pages)).into_response()
}

/// The rows after `after`, with the header where that is the beginning; and the last line, if there may be more.
async fn csv_page(store: &Store, block: BlockId, after: Option<i64>) -> Result<(Bytes, Option<i64>), StoreError> {
    let rows = store.block_rejects(block, after.unwrap_or(-1), CSV_ROWS_AT_ONCE).await?;
    let more = rows.last().map(|row| row.line).filter(|_| rows.len() as u64 == CSV_ROWS_AT_ONCE.unsigned_abs());
    let mut text = csv::Writer::from_writer(Vec::new());
    let header = after.is_none().then_some(["line", "value", "reason"].map(str::to_owned));
    let records = rows.into_iter().map(|row| [row.line.to_string(), neutral(row.value), row.reason]);
    for record in header.into_iter().chain(records) {
        // Writing to memory does not fail.
        let _ = text.write_record(&record);
    }
    Ok((text.into_inner().map(Bytes::from).unwrap_or_default(), more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_answered_only_where_it_is_asked_for() {
        for (accept, csv) in [
            ("text/csv", true),
            ("application/json, text/csv;q=0.9", true),
            ("TEXT/CSV", true),
            ("*/*", false),
            ("text/*", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(wants_csv(&headers), csv, "{accept}");
        }
    }
}
