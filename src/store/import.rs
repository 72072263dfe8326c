//! How numbers come into the inventory: staged by binary COPY, then inserted by one statement, in one transaction with
//! the block, its rejects, its journal entry and its event (US-NUM-001).
//!
//! What must stay true: all of it commits or none; memory does not grow with the file; and numbers are inserted here alone,
//! by one transaction at a time for each [`Source`], so that what the inventory lacks at its look it still lacks at its
//! insert. (`ON CONFLICT DO NOTHING` would do without that lock, and costs an eighth more: each row is looked up, inserted
//! speculatively, and confirmed.)

use std::pin::pin;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use deadpool_postgres::Object;
use futures_util::{SinkExt as _, Stream, StreamExt as _};
use jiff::Timestamp;
use numbering_domain::{BlockId, IdentifierClass, OperatorId, RegisteredIdentifier, SigningKeyId};
use serde_json::{Value, json};
use tokio_postgres::CopyInSink;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::commit::Origin;
use super::idempotency::{Answer, Claim};
use super::{Store, StoreError};

/// A number as it enters the inventory, AVAILABLE.
#[derive(Clone, Copy, Debug)]
pub struct NewNumber<'a> {
    /// The identifier.
    pub registered: &'a RegisteredIdentifier,
    /// Whether it may be leased as vanity.
    pub vanity_eligible: bool,
    /// Its tier on the price list.
    pub price_tier: &'a str,
    /// From when it may be used.
    pub valid_from: Option<Timestamp>,
}

/// The tier of a number that names none; the default of the table, too.
pub const DEFAULT_PRICE_TIER: &str = "standard";

/// Rows on their way to the staging table, in the format of binary COPY.
#[derive(Debug, Default)]
pub struct StagedRows {
    buffer: BytesMut,
    rejected: i64,
    range: Range,
}

/// Rows that go to the database together.
#[derive(Clone, Debug)]
pub struct StagedChunk {
    bytes: Bytes,
    rejected: i64,
    range: Range,
}

/// The first and last of some identifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Range(Option<(String, String)>);

impl Range {
    fn include(&mut self, identifier: &str) {
        match &mut self.0 {
            None => self.0 = Some((identifier.to_owned(), identifier.to_owned())),
            Some((first, last)) => {
                if identifier < first.as_str() {
                    identifier.clone_into(first);
                } else if identifier > last.as_str() {
                    identifier.clone_into(last);
                }
            }
        }
    }

    fn include_all(&mut self, other: &Self) {
        if let Some((first, last)) = &other.0 {
            self.include(first);
            self.include(last);
        }
    }
}

const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_TRAILER: &[u8] = &(-1_i16).to_be_bytes();
/// The columns of `import_stage.sql`.
const COLUMNS: i16 = 9;
/// PostgreSQL counts microseconds from 2000-01-01T00:00:00Z.
const POSTGRES_EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;

impl StagedRows {
    /// With room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { buffer: BytesMut::with_capacity(bytes), ..Self::default() }
    }

    /// Adds a number that is to come in. Of equal identifiers the one with the smallest line does.
    pub fn number(&mut self, line: u64, number: &NewNumber<'_>) {
        let identifier = &number.registered.identifier;
        self.range.include(identifier.key());
        self.begin(line);
        self.text(identifier.key());
        // What most rows have alike is NULL in the staging table, and filled in by the insert.
        self.text_or_null((identifier.class() != IdentifierClass::Msisdn).then_some(identifier.class().as_str()));
        self.text_or_null((identifier.class() == IdentifierClass::Alpha).then_some(&number.registered.shown));
        if number.vanity_eligible {
            self.field(&[1]);
        } else {
            self.null();
        }
        self.text_or_null(Some(number.price_tier).filter(|tier| *tier != DEFAULT_PRICE_TIER));
        match number.valid_from {
            Some(at) => self.field(&(at.as_microsecond() - POSTGRES_EPOCH_MICROSECONDS).to_be_bytes()),
            None => self.null(),
        }
        self.null();
        self.null();
    }

    /// Adds a row that is turned away.
    pub fn reject(&mut self, line: u64, value: &str, reason: &str) {
        self.rejected += 1;
        self.begin(line);
        for _ in 0..6 {
            self.null();
        }
        self.text(value);
        self.text(reason);
    }

    /// How many bytes are waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether no row is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Takes what is waiting.
    #[must_use]
    pub fn take(&mut self) -> StagedChunk {
        StagedChunk {
            bytes: self.buffer.split().freeze(),
            rejected: std::mem::take(&mut self.rejected),
            range: std::mem::take(&mut self.range),
        }
    }

    fn begin(&mut self, line: u64) {
        self.buffer.put_i16(COLUMNS);
        self.field(&line.to_be_bytes());
    }

    fn text_or_null(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    fn text(&mut self, text: &str) {
        self.field(text.as_bytes());
    }

    fn field(&mut self, bytes: &[u8]) {
        let length = i32::try_from(bytes.len()).expect("lines, and so fields, are bounded far below 2 GiB");
        self.buffer.put_i32(length);
        self.buffer.put_slice(bytes);
    }

    fn null(&mut self) {
        self.buffer.put_i32(-1);
    }
}

/// The file that a block came in, and who vouched for it.
#[derive(Clone, Debug)]
pub struct SignedFile {
    /// The operator.
    pub operator: OperatorId,
    /// The key that verified.
    pub key: SigningKeyId,
    /// The file's SHA-256 in hexadecimal.
    pub sha256: String,
}

/// What numbers come from. The two never bring the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Mobile numbers, from the files of operators.
    Files = 1,
    /// Short codes and alphanumeric sender IDs, from an admin's hand.
    Inventory = 2,
}

/// A block about to come in.
#[derive(Clone, Debug)]
pub struct NewBlock {
    /// Its id.
    pub block: BlockId,
    /// Its file; `None` for the inventory that an admin writes by hand.
    pub file: Option<SignedFile>,
    /// Who brings it in.
    pub origin: Origin,
}

/// What came of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// New numbers.
    pub inserted: i64,
    /// Numbers that the inventory, or an earlier row, had already.
    pub duplicates: i64,
    /// Rows turned away.
    pub invalid: i64,
}

/// How an import ends.
pub enum Ending<'a> {
    /// It is kept; with an idempotency claim, so is the answer, in the same commit.
    Commit(Option<(&'a Claim, &'a (dyn Fn(Counts) -> Answer + Sync))>),
    /// It was only to see what would happen.
    RollBack,
}

/// Why an import did not happen. `E` is what its rows may fail with.
#[derive(Debug)]
pub enum ImportFailure<E> {
    /// The rows could not be produced.
    Rows(E),
    /// The key was revoked while the import ran.
    KeyRevoked,
    /// The store could not do it.
    Store(StoreError),
}

impl<E, S: Into<StoreError>> From<S> for ImportFailure<E> {
    fn from(error: S) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Brings a block in: all of it or, on any failure, nothing. No statement of it runs longer than `timeout`, nor on when
    /// this is dropped.
    pub async fn import_block<E>(
        &self,
        block: &NewBlock,
        rows: impl Stream<Item = Result<StagedChunk, E>>,
        timeout: Duration,
        ending: Ending<'_>,
    ) -> Result<Counts, ImportFailure<E>> {
        let mut connection = self.lent().await?;
        let done = import_on(&mut connection, block, rows, timeout, ending).await;
        // Also the end of rows that were no good is an end; of a connection that failed nothing is known.
        if !matches!(done, Err(ImportFailure::Store(_))) {
            connection.give_back();
        }
        done
    }

    /// Records that a file was refused before any of it was read: the journal entry and its event.
    pub async fn record_refused_import(
        &self,
        operator: &OperatorId,
        data: &Value,
        origin: &Origin,
    ) -> Result<(), StoreError> {
        self.query(
            include_str!("import_refused.sql"),
            &[&operator.as_str(), &Uuid::now_v7(), data, &origin.actor, &origin.request_id],
        )
        .await
        .map(drop)
    }
}

/// Brings a block in over this connection.
async fn import_on<E>(
    connection: &mut Object,
    block: &NewBlock,
    rows: impl Stream<Item = Result<StagedChunk, E>>,
    timeout: Duration,
    ending: Ending<'_>,
) -> Result<Counts, ImportFailure<E>> {
    let transaction = connection.transaction().await?;
    let milliseconds = timeout.as_millis().to_string();
    transaction.query(include_str!("import_settings.sql"), &[&milliseconds]).await?;
    if let Ending::Commit(Some((claim, _))) = &ending {
        claim.hold(&transaction).await?;
    }
    let source = if block.file.is_some() { Source::Files } else { Source::Inventory };
    transaction.query(include_str!("import_lock.sql"), &[&(source as i32)]).await?;
    transaction.batch_execute(include_str!("import_stage.sql")).await?;
    let sink = transaction.copy_in(include_str!("import_copy.sql")).await?;
    let Staged { rows, rejected: invalid, range } = stage(sink, rows).await?;
    let operator = block.file.as_ref().map(|file| file.operator.as_str());
    let inserted = match &range {
        Range(None) => 0,
        Range(Some((first, last))) => transaction
            .execute(include_str!("import_numbers.sql"), &[&operator, &block.block.0, first, last])
            .await
            .map(signed)?,
    };
    let counts = Counts { inserted, duplicates: rows - invalid - inserted, invalid };
    if !record(&transaction, block, counts).await? {
        return Err(ImportFailure::KeyRevoked);
    }
    match &range {
        Range(Some((first, last))) if counts.duplicates > 0 => {
            let parameters: [&(dyn ToSql + Sync); 4] = [&block.block.0, &operator, first, last];
            transaction.execute(include_str!("import_heads_of_block.sql"), &parameters).await?;
        }
        Range(_) => {
            transaction.execute(include_str!("import_heads.sql"), &[&block.block.0, &operator]).await?;
        }
    }
    if invalid > 0 {
        transaction.execute(include_str!("import_rejects.sql"), &[&block.block.0]).await?;
    }
    match ending {
        Ending::Commit(kept) => {
            if let Some((claim, render)) = kept {
                claim.keep(&transaction, &render(counts)).await?;
            }
            transaction.commit().await?;
        }
        Ending::RollBack => transaction.rollback().await?,
    }
    Ok(counts)
}

/// What is in the staging table.
struct Staged {
    rows: i64,
    rejected: i64,
    range: Range,
}

/// Sends the rows to the staging table.
async fn stage<E>(
    sink: CopyInSink<Bytes>,
    rows: impl Stream<Item = Result<StagedChunk, E>>,
) -> Result<Staged, ImportFailure<E>> {
    let mut sink = pin!(sink);
    let mut rows = pin!(rows);
    let mut staged = Staged { rows: 0, rejected: 0, range: Range::default() };
    sink.feed(Bytes::from_static(COPY_HEADER)).await?;
    while let Some(chunk) = rows.next().await {
        let chunk = chunk.map_err(ImportFailure::Rows)?;
        staged.rejected += chunk.rejected;
        staged.range.include_all(&chunk.range);
        sink.send(chunk.bytes).await?;
    }
    sink.send(Bytes::from_static(COPY_TRAILER)).await?;
    staged.rows = signed(sink.finish().await?);
    Ok(staged)
}

/// Writes the block, its journal entry and its event; `false` where its key has been revoked meanwhile.
async fn record(
    transaction: &deadpool_postgres::Transaction<'_>,
    block: &NewBlock,
    counts: Counts,
) -> Result<bool, StoreError> {
    let file = block.file.as_ref();
    let operator = file.map(|file| file.operator.as_str());
    let key = file.map(|file| file.key.as_str());
    let sha256 = file.map(|file| file.sha256.as_str());
    let data = json!({
        "blockId": block.block.0,
        "operatorId": operator,
        "count": counts.inserted,
        "inserted": counts.inserted,
        "duplicates": counts.duplicates,
        "invalid": counts.invalid,
        "fileSha256": sha256,
        "keyId": key,
    });
    let recorded = transaction
        .query_opt(
            include_str!("import_record.sql"),
            &[
                &block.block.0,
                &operator,
                &key,
                &sha256,
                &counts.inserted,
                &counts.duplicates,
                &counts.invalid,
                &block.origin.actor,
                &block.origin.request_id,
                &Uuid::now_v7(),
                &data,
            ],
        )
        .await?;
    Ok(recorded.is_some())
}

fn signed(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use numbering_domain::Identifier;

    use super::*;

    #[test]
    fn a_range_spans_all_that_it_includes() {
        let mut range = Range::default();
        for identifier in ["+93705", "+93701", "+93709", "+93704"] {
            range.include(identifier);
        }
        let mut all = Range::default();
        all.include_all(&Range::default());
        all.include_all(&range);
        assert_eq!(all, Range(Some(("+93701".into(), "+93709".into()))));
    }

    #[test]
    fn rows_are_written_as_binary_copy_wants_them() {
        let registered = RegisteredIdentifier {
            identifier: Identifier::from_canonical(IdentifierClass::Alpha, "MYBANK"),
            shown: "MyBank".into(),
        };
        let mut rows = StagedRows::default();
        rows.number(
            2,
            &NewNumber {
                registered: &registered,
                vanity_eligible: true,
                price_tier: "gold",
                valid_from: Some("2000-01-01T00:00:01Z".parse().unwrap()),
            },
        );
        rows.reject(3, "x", "WHY");
        let chunk = rows.take();
        let mut wanted = Vec::new();
        let mut field = |bytes: Option<&[u8]>| {
            let length = bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap());
            wanted.extend(length.to_be_bytes());
            wanted.extend(bytes.unwrap_or_default());
        };
        let fields: [Option<&[u8]>; 18] = [
            Some(&2_i64.to_be_bytes()),
            Some(b"MYBANK"),
            Some(b"ALPHA"),
            Some(b"MyBank"),
            Some(&[1]),
            Some(b"gold"),
            Some(&1_000_000_i64.to_be_bytes()),
            None,
            None,
            Some(&3_i64.to_be_bytes()),
            None,
            None,
            None,
            None,
            None,
            None,
            Some(b"x"),
            Some(b"WHY"),
        ];
        for bytes in fields {
            field(bytes);
        }
        let second_row = wanted.len() - (4 + 8 + 6 * 4 + 4 + 1 + 4 + 3);
        for at in [second_row, 0] {
            wanted.splice(at..at, COLUMNS.to_be_bytes());
        }
        assert_eq!((chunk.bytes.as_ref(), chunk.rejected), (wanted.as_slice(), 1));
        assert_eq!(chunk.range, Range(Some(("MYBANK".into(), "MYBANK".into()))));
        assert!(rows.is_empty() && rows.take().rejected == 0);
    }
}
