//! Blocks that came in, and the rows that were turned away.

use jiff::Timestamp;
use numbering_domain::BlockId;
use tokio_postgres::Row;

use super::{Store, StoreError};

/// A block in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its id; ids ascend with time.
    pub block: BlockId,
    /// The operator; `None` for the inventory that an admin wrote by hand.
    pub operator: Option<String>,
    /// The key that its file was signed with.
    pub key: Option<String>,
    /// Its file's SHA-256 in hexadecimal.
    pub file_sha256: Option<String>,
    /// New numbers.
    pub inserted: i64,
    /// Numbers that the inventory, or an earlier row, had already.
    pub duplicates: i64,
    /// Rows turned away.
    pub invalid: i64,
    /// Who brought it in.
    pub imported_by: String,
    /// When.
    pub imported_at: Timestamp,
}

/// A row that was turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// The line of its file, or the place of its item.
    pub line: i64,
    /// The value at fault, shortened.
    pub value: String,
    /// Why, as `RejectReason` names it.
    pub reason: String,
}

impl Store {
    /// Blocks, the newest first, those older than `before`, at most `most`.
    pub async fn blocks(&self, before: Option<BlockId>, most: i64) -> Result<Vec<Block>, StoreError> {
        let before = before.map(|block| block.0);
        let rows = self.query(include_str!("blocks_read.sql"), &[&before, &most]).await?;
        rows.iter().map(block).collect()
    }

    /// One block.
    pub async fn block(&self, id: BlockId) -> Result<Option<Block>, StoreError> {
        let row = self.query_opt(include_str!("block_read.sql"), &[&id.0]).await?;
        row.as_ref().map(block).transpose()
    }

    /// A block's rejects by line, those after `after`, at most `most`.
    pub async fn block_rejects(&self, id: BlockId, after: i64, most: i64) -> Result<Vec<RejectedRow>, StoreError> {
        let rows = self.query(include_str!("block_rejects_read.sql"), &[&id.0, &after, &most]).await?;
        rows.iter()
            .map(|row| {
                Ok(RejectedRow {
                    line: row.try_get("line")?,
                    value: row.try_get("value")?,
                    reason: row.try_get("reason")?,
                })
            })
            .collect()
    }
}

fn block(row: &Row) -> Result<Block, StoreError> {
    Ok(Block {
        block: BlockId(row.try_get("block_id")?),
        operator: row.try_get("operator_id")?,
        key: row.try_get("key_id")?,
        file_sha256: row.try_get("file_sha256")?,
        inserted: row.try_get("inserted")?,
        duplicates: row.try_get("duplicates")?,
        invalid: row.try_get("invalid")?,
        imported_by: row.try_get("imported_by")?,
        imported_at: row.try_get("imported_at")?,
    })
}
