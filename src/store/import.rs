//! How numbers come into the inventory: staged by binary COPY, then inserted by one statement, in one transaction with
//! the block, its rejects, its journal entry and its event (US-NUM-001).
//!
//! What must stay true: all of it commits or none; numbers are inserted in the order of their identifiers, so that two
//! imports of the same numbers wait for each other and never deadlock; memory does not grow with the file.

use std::pin::pin;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{SinkExt as _, Stream, StreamExt as _};
use jiff::Timestamp;
use numbering_domain::{BlockId, IdentifierClass, OperatorId, RegisteredIdentifier, SigningKeyId};
use serde_json::{Value, json};
use tokio_postgres::CopyInSink;
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

/// Rows on their way to the staging table, in the format of binary COPY.
#[derive(Debug, Default)]
pub struct StagedRows {
    buffer: BytesMut,
    rejected: i64,
}

/// Rows that go to the database together.
#[derive(Clone, Debug)]
pub struct StagedChunk {
    bytes: Bytes,
    rejected: i64,
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
        Self { buffer: BytesMut::with_capacity(bytes), rejected: 0 }
    }

    /// Adds a number that is to come in. Of equal identifiers the one with the smallest line does.
    pub fn number(&mut self, line: u64, number: &NewNumber<'_>) {
        let identifier = &number.registered.identifier;
        self.begin(line);
        self.text(identifier.key());
        self.text(identifier.class().as_str());
        if identifier.class() == IdentifierClass::Alpha {
            self.text(&number.registered.shown);
        } else {
            self.null();
        }
        self.field(&[u8::from(number.vanity_eligible)]);
        self.text(number.price_tier);
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
        StagedChunk { bytes: self.buffer.split().freeze(), rejected: std::mem::take(&mut self.rejected) }
    }

    fn begin(&mut self, line: u64) {
        self.buffer.put_i16(COLUMNS);
        self.field(&line.to_be_bytes());
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
    /// Brings a block in: all of it or, on any failure, nothing. No statement of it runs longer than `timeout`.
    pub async fn import_block<E>(
        &self,
        block: &NewBlock,
        rows: impl Stream<Item = Result<StagedChunk, E>>,
        timeout: Duration,
        ending: Ending<'_>,
    ) -> Result<Counts, ImportFailure<E>> {
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await?;
        let milliseconds = timeout.as_millis().to_string();
        transaction.query(include_str!("import_settings.sql"), &[&milliseconds]).await?;
        if let Ending::Commit(Some((claim, _))) = &ending {
            claim.hold(&transaction).await?;
        }
        transaction.batch_execute(include_str!("import_stage.sql")).await?;
        let sink = transaction.copy_in(include_str!("import_copy.sql")).await?;
        let (staged, invalid) = stage(sink, rows).await?;
        let operator = block.file.as_ref().map(|file| file.operator.as_str());
        let inserted =
            transaction.execute(include_str!("import_numbers.sql"), &[&operator, &block.block.0]).await.map(signed)?;
        let counts = Counts { inserted, duplicates: signed(staged) - invalid - inserted, invalid };
        if !record(&transaction, block, counts).await? {
            return Err(ImportFailure::KeyRevoked);
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

/// Sends the rows to the staging table; gives how many there were, and how many of them are rejects.
async fn stage<E>(
    sink: CopyInSink<Bytes>,
    rows: impl Stream<Item = Result<StagedChunk, E>>,
) -> Result<(u64, i64), ImportFailure<E>> {
    let mut sink = pin!(sink);
    let mut rows = pin!(rows);
    let mut rejected = 0;
    sink.feed(Bytes::from_static(COPY_HEADER)).await?;
    while let Some(chunk) = rows.next().await {
        let chunk = chunk.map_err(ImportFailure::Rows)?;
        rejected += chunk.rejected;
        sink.send(chunk.bytes).await?;
    }
    sink.send(Bytes::from_static(COPY_TRAILER)).await?;
    Ok((sink.finish().await?, rejected))
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
        assert!(rows.is_empty() && rows.take().rejected == 0);
    }
}
