//! Idempotency keys: the same key and body has one effect and one answer, also when the reply to the first was lost.
//!
//! A request claims its key, and its effect commits together with its answer, only while the claim is still its own; a
//! claim whose owner died lapses.

use std::time::Duration;

use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Store, StoreError};

/// A claimed key.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The tenant, or the actor where there is none.
    pub scope: String,
    /// Method and path.
    pub route: String,
    /// The client's key.
    pub key: String,
    /// This attempt.
    pub owner: Uuid,
}

/// An answer as it is kept and replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body.
    pub body: String,
}

/// What became of an attempt to claim a key.
#[derive(Clone, Debug)]
pub enum Claimed {
    /// It is ours: go on.
    Ours(Claim),
    /// The request ran before: this was the answer.
    Answered(Answer),
    /// The key was used for another request.
    Reused,
    /// The request is still running.
    InFlight,
}

impl Store {
    /// Claims `claim.key` for a request with this hash, for at most `hold`; a claim older than `keep` is forgotten first.
    pub async fn claim_idempotency_key(
        &self,
        claim: Claim,
        request_hash: &[u8],
        hold: Duration,
        keep: Duration,
    ) -> Result<Claimed, StoreError> {
        let expected = self.clock().expected();
        let claimed = self
            .query(
                include_str!("idempotency_claim.sql"),
                &[
                    &claim.scope,
                    &claim.route,
                    &claim.key,
                    &request_hash,
                    &claim.owner,
                    &hold.as_secs_f64(),
                    &keep.as_secs_f64(),
                    &expected.now,
                    &expected.tolerance_seconds,
                ],
            )
            .await;
        match claimed {
            Ok(rows) if rows.is_empty() => {}
            Ok(_) => return Ok(Claimed::Ours(claim)),
            // Another claims it just now and does not come to its end.
            Err(error) if error.is_lock_timeout() => return Ok(Claimed::InFlight),
            Err(error) => return Err(error),
        }
        let row =
            self.query_opt(include_str!("idempotency_read.sql"), &[&claim.scope, &claim.route, &claim.key]).await?;
        // Gone between the two statements: its owner gave it up, and the client may come again.
        let Some(row) = row else { return Ok(Claimed::InFlight) };
        let (hash, status, body): (Vec<u8>, Option<i32>, Option<String>) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if hash != request_hash {
            return Ok(Claimed::Reused);
        }
        Ok(match (status.and_then(|status| u16::try_from(status).ok()), body) {
            (Some(status), Some(body)) => Claimed::Answered(Answer { status, body }),
            _ => Claimed::InFlight,
        })
    }

    /// Keeps an answer that had no effect to commit with, such as a refusal.
    pub async fn keep_answer(&self, claim: &Claim, answer: &Answer) -> Result<(), StoreError> {
        let status = i32::from(answer.status);
        self.query(
            include_str!("idempotency_answer.sql"),
            &[&claim.scope, &claim.route, &claim.key, &claim.owner, &status, &answer.body],
        )
        .await
        .map(drop)
    }

    /// Gives a claim up, so that the client may try again at once.
    pub async fn give_up_claim(&self, claim: &Claim) -> Result<(), StoreError> {
        self.query(include_str!("idempotency_give_up.sql"), &[&claim.scope, &claim.route, &claim.key, &claim.owner])
            .await
            .map(drop)
    }

    /// Deletes keys older than `keep`, at most `most`; gives how many.
    pub async fn forget_old_idempotency_keys(&self, keep: Duration, most: i64) -> Result<usize, StoreError> {
        let expected = self.clock().expected();
        let parameters: [&(dyn ToSql + Sync); 4] =
            [&keep.as_secs_f64(), &most, &expected.now, &expected.tolerance_seconds];
        let rows = self.query(include_str!("idempotency_forget.sql"), &parameters).await?;
        Ok(rows.len())
    }
}

impl Claim {
    /// Locks the claim for the rest of the transaction, so that nobody takes it over however long the effect takes.
    pub(super) async fn hold(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let held = transaction
            .query_opt(include_str!("idempotency_hold.sql"), &[&self.scope, &self.route, &self.key, &self.owner])
            .await?;
        held.map(drop).ok_or(StoreError::Contended { attempts: 1 })
    }

    /// Keeps the answer in the commit of the effect, which must not happen where the claim is no longer ours.
    pub(super) async fn keep(&self, transaction: &Transaction<'_>, answer: &Answer) -> Result<(), StoreError> {
        let status = i32::from(answer.status);
        let kept = transaction
            .execute(
                include_str!("idempotency_answer.sql"),
                &[&self.scope, &self.route, &self.key, &self.owner, &status, &answer.body],
            )
            .await?;
        if kept == 1 { Ok(()) } else { Err(StoreError::Contended { attempts: 1 }) }
    }
}
