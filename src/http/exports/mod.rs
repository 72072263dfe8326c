//! Lists as files: everything that a list has, in one answer that is written as it is read.
//!
//! What must stay true: an export is read page by page, and between two pages holds neither a connection to PostgreSQL nor more
//! than a page in memory, however slow its reader is. An export that is not complete does not look so: the connection breaks
//! before its end. There are so many at a time on a replica, one of each tenant's, and none holds its place for longer than
//! `export.timeout`, whatever its reader does.

pub mod audit;
pub mod leases;
pub mod numbers;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Duration, Instant};
use tokio_util::sync::{CancellationToken, DropGuard};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::code::Code;
use super::connection::Connection;
use super::problem::ApiError;
use crate::auth::{Caller, Permission};
use crate::operations::places::Place;
use crate::store::StoreError;

/// How many rows are read at once.
const ROWS_AT_ONCE: i64 = 1_000;
/// When to come again where as many exports run as may.
const BUSY_RETRY: Duration = Duration::from_secs(5);

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(numbers::export_numbers))
        .routes(routes!(leases::export_leases))
        .routes(routes!(audit::export_audit))
}

/// How a file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values with a header row. A text that a spreadsheet would take for a formula (it begins with `=`, `+`,
    /// `-` or `@`, as mobile numbers do) has an apostrophe before it; whoever reads the file by program takes that off.
    #[default]
    Csv,
    /// One JSON object a line, the same as the list's items.
    Jsonl,
}

impl Format {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Jsonl => "application/jsonl; charset=utf-8",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }
}

/// A list that can be exported.
trait Export: Send + Sync + 'static {
    /// What the file is called.
    const NAME: &'static str;
    /// The columns of its CSV: members of an item, or with a dot members of a member.
    const COLUMNS: &'static [&'static str];
    /// An item, as the list shows it.
    type Item: Serialize + Send;
    /// Where a page ends.
    type Place: Clone + Send;

    /// The items after `after`, or the first ones.
    fn page(&self, after: Option<Self::Place>) -> impl Future<Output = Result<Part<Self>, StoreError>> + Send;
}

/// A page of an export.
struct Part<E: Export + ?Sized> {
    items: Vec<E::Item>,
    /// Where to go on, unless these were the last.
    resume_after: Option<E::Place>,
}

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the export took longer than export.timeout of {} s", .0.as_secs())]
    TookTooLong(Duration),
    #[error("an item is not to be written: {0}")]
    Unwritable(#[from] serde_json::Error),
}

/// An export under way.
struct Running<E: Export> {
    export: E,
    format: Format,
    next: Next<E::Place>,
    deadline: Instant,
    limit: Duration,
    /// Given back when the answer ends, however it does.
    _place: Place,
}

/// Who reads an export.
struct Reader {
    who: String,
    connection: Connection,
}

impl Reader {
    /// A tenant's users have one place together; whoever sees more than one tenant's has its own.
    fn of(caller: &Caller, connection: Connection) -> Self {
        let sees_all = caller.may(Permission::NumberingAdmin) || caller.may(Permission::NumberingCompliance);
        let who = match &caller.tenant {
            Some(tenant) if !sees_all => format!("tenant {tenant}"),
            _ => format!("actor {}", caller.sub),
        };
        Self { who, connection }
    }

    /// Cuts the connection off at the deadline, unless the export has ended before. A reader that does not read does not have
    /// the server ask for the next page, so that nothing else would look at the time.
    fn cut_at(self, deadline: Instant, name: &'static str) -> DropGuard {
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => {
                    tracing::warn!(export = name, "an export was cut off: its reader took longer than export.timeout");
                    self.connection.cut();
                }
                () = ended.cancelled() => {}
            }
        });
        guard
    }
}

/// What is to be written next.
enum Next<P> {
    /// The first page, below the header.
    Beginning,
    After(P),
    End,
}

/// Begins an export, and answers with it. The first page is read before that, so that what can be refused is.
async fn answer<E: Export>(state: &AppState, reader: Reader, export: E, format: Format) -> Result<Response, ApiError> {
    let busy = || {
        let detail = "as many exports run as may at a time, one of each tenant's; try again when one is done";
        ApiError::new(Code::Unavailable, detail).retry_after(BUSY_RETRY)
    };
    let place = state.limits.exports.take(&reader.who).ok_or_else(busy)?;
    let limit = state.config.export.timeout.duration();
    let mut running =
        Running { export, format, next: Next::Beginning, deadline: Instant::now() + limit, limit, _place: place };
    let first = running.page().await.map_err(ApiError::from)?;
    let headers = [
        (CONTENT_TYPE, format.media_type().to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{}.{}\"", E::NAME, format.extension())),
    ];
    let running = (reader.cut_at(running.deadline, E::NAME), running);
    let pages = stream::unfold((Some(first), Some(running)), |(first, running)| async {
        let (cut, mut running) = running?;
        if let Some(first) = first {
            return Some((Ok(first), (None, Some((cut, running)))));
        }
        if matches!(running.next, Next::End) {
            return None;
        }
        match running.page().await {
            Ok(page) => Some((Ok(page), (None, Some((cut, running))))),
            Err(error) => {
                tracing::warn!(%error, export = E::NAME, "an export broke off");
                Some((Err(error), (None, None)))
            }
        }
    });
    Ok((headers, Body::from_stream(pages)).into_response())
}

impl<E: Export> Running<E> {
    async fn page(&mut self) -> Result<Bytes, Broken> {
        let (after, begins) = match std::mem::replace(&mut self.next, Next::End) {
            Next::Beginning => (None, true),
            Next::After(place) => (Some(place), false),
            Next::End => return Ok(Bytes::new()),
        };
        let read = tokio::time::timeout_at(self.deadline, self.export.page(after)).await;
        let Part { items, resume_after } = read.map_err(|_| Broken::TookTooLong(self.limit))??;
        self.next = resume_after.map_or(Next::End, Next::After);
        match self.format {
            Format::Csv => csv_page(E::COLUMNS, begins, &items),
            Format::Jsonl => jsonl_page(&items),
        }
    }
}

fn csv_page<T: Serialize>(columns: &[&str], begins: bool, items: &[T]) -> Result<Bytes, Broken> {
    let mut text = csv::Writer::from_writer(Vec::new());
    if begins {
        // Writing to memory does not fail.
        let _ = text.write_record(columns);
    }
    for item in items {
        let item = serde_json::to_value(item)?;
        let _ = text.write_record(columns.iter().map(|column| cell(&item, column)));
    }
    Ok(text.into_inner().map(Bytes::from).unwrap_or_default())
}

fn jsonl_page<T: Serialize>(items: &[T]) -> Result<Bytes, Broken> {
    let mut text = Vec::new();
    for item in items {
        serde_json::to_writer(&mut text, item)?;
        text.push(b'\n');
    }
    Ok(Bytes::from(text))
}

fn cell(item: &Value, column: &str) -> String {
    let value = column.split('.').try_fold(item, |value, member| value.get(member));
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => neutral(text.clone()),
        Some(other) => other.to_string(),
    }
}

/// A cell that no spreadsheet takes for a formula.
pub(crate) fn neutral(value: String) -> String {
    if value.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{value}") } else { value }
}

impl From<Broken> for ApiError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Store(error) => error.into(),
            Broken::TookTooLong(_) => Self::unavailable("the export took too long; try again", broken),
            Broken::Unwritable(_) => Self::internal(broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (value, cell) in [
            ("=HYPERLINK(\"x\")", "'=HYPERLINK(\"x\")"),
            ("+93701234567", "'+93701234567"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            ("\tx", "'\tx"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(neutral(value.to_owned()), cell);
        }
    }

    #[test]
    fn items_become_rows_whatever_is_in_them() {
        let items = [
            json!({ "identifier": "+93701234567", "vanity": true, "price": { "amount": "2.50" }, "data": { "a": "b, c" } }),
            json!({ "identifier": "A \"B\"", "version": -1, "price": null }),
        ];
        let columns = ["identifier", "vanity", "version", "price.amount", "data"];
        let page = csv_page(&columns, true, &items).unwrap();
        let expected = "identifier,vanity,version,price.amount,data\n\
            '+93701234567,true,,2.50,\"{\"\"a\"\":\"\"b, c\"\"}\"\n\
            \"A \"\"B\"\"\",,-1,,\n";
        assert_eq!(String::from_utf8_lossy(&page), expected);
        assert_eq!(csv_page(&columns, false, &items[..0]).unwrap(), "");
        let lines = jsonl_page(&items).unwrap();
        let read: Vec<Value> =
            String::from_utf8_lossy(&lines).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, items);
    }
}
