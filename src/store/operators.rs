//! Operators, the prefixes they own, and the keys they sign blocks with.
//!
//! What must stay true: a prefix has one owner; a key, once revoked, stays revoked; each change has its entry in the
//! journal, in the same commit.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use numbering_domain::{IdentifierClass, OperatorId, SigningKeyId};
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use super::commit::Origin;
use super::idempotency::{Answer, Claim};
use super::{Store, StoreError};
use crate::operations::signature::SignatureAlgorithm;

/// An operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its id.
    pub operator: OperatorId,
    /// What people call it.
    pub name: String,
    /// The prefixes it owns, such as `+9370`, sorted.
    pub prefixes: Vec<String>,
    /// Its keys, the oldest first.
    pub keys: Vec<SigningKey>,
}

/// A key that an operator signs blocks with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    /// Its id, unique for the operator.
    pub key: SigningKeyId,
    /// How it signs.
    pub algorithm: SignatureAlgorithm,
    /// PEM.
    pub public_key: String,
    /// From when it counts.
    pub valid_from: Timestamp,
    /// Until when it counts.
    pub valid_until: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// A key about to be added.
#[derive(Clone, Debug)]
pub struct NewSigningKey {
    /// Its id.
    pub key: SigningKeyId,
    /// How it signs.
    pub algorithm: SignatureAlgorithm,
    /// PEM, written in the one canonical way.
    pub public_key: String,
    /// From when it counts; `None` for now.
    pub valid_from: Option<Timestamp>,
    /// Until when it counts.
    pub valid_until: Option<Timestamp>,
}

/// What became of a key that was to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAdded {
    /// It stands, now or since it was first added with the same content.
    Stands(SigningKey),
    /// A key of this id stands with other content, or is revoked.
    Differs,
    /// It would end before it begins.
    NeverValid,
    /// The operator has as many keys as it may.
    TooMany,
    /// There is no such operator.
    UnknownOperator,
}

/// What the signature of a file and its rows are checked against.
#[derive(Clone, Debug)]
pub struct ImportFacts {
    /// The operator's keys that are valid now by the database's clock, and not revoked.
    pub keys: Vec<SigningKey>,
    /// Who owns which prefix, such as `+9370`.
    pub prefixes: Vec<(String, OperatorId)>,
    /// Every class and tier that a number may have.
    pub price_tiers: Vec<(IdentifierClass, String)>,
}

/// The most keys of one operator, so that trying them all stays cheap.
pub const KEYS_MOST: i64 = 64;

/// An idempotency claim, and how the answer to keep under it is written.
type KeptAnswer<'a> = (&'a Claim, &'a (dyn Fn(&SigningKey) -> Answer + Sync));

impl Store {
    /// An operator with its prefixes and keys.
    pub async fn operator(&self, operator: &OperatorId) -> Result<Option<Operator>, StoreError> {
        let row = self.query_opt(include_str!("operator_read.sql"), &[&operator.as_str()]).await?;
        let Some(row) = row else { return Ok(None) };
        let keys = self.query(include_str!("operator_keys.sql"), &[&operator.as_str()]).await?;
        Ok(Some(Operator {
            operator: operator.clone(),
            name: row.try_get("name")?,
            prefixes: row.try_get("prefixes")?,
            keys: keys.iter().map(signing_key).collect::<Result<_, _>>()?,
        }))
    }

    /// Makes an operator, or sets its name and prefixes. Gives the prefixes that belong to others; with any, nothing is
    /// changed.
    pub async fn put_operator(
        &self,
        operator: &OperatorId,
        name: &str,
        prefixes: &[String],
        origin: &Origin,
    ) -> Result<Vec<String>, StoreError> {
        self.transaction(async |transaction| {
            let id = operator.as_str();
            // One at a time: two that swap prefixes must not wait for each other in a circle.
            transaction.batch_execute(include_str!("operator_prefixes_lock.sql")).await?;
            let rows = transaction.query(include_str!("operator_prefixes_taken.sql"), &[&id, &prefixes]).await?;
            if !rows.is_empty() {
                return Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?);
            }
            transaction.execute(include_str!("operator_put.sql"), &[&id, &name]).await?;
            transaction.execute(include_str!("operator_prefixes_drop.sql"), &[&id, &prefixes]).await?;
            transaction.execute(include_str!("operator_prefixes_add.sql"), &[&id, &prefixes]).await?;
            let data = json!({ "operatorId": id, "name": name, "prefixes": prefixes });
            journal(&transaction, operator, "numbering.operator.updated", &data, origin).await?;
            transaction.commit().await?;
            Ok(Vec::new())
        })
        .await
    }

    /// Adds a signing key. The same key again changes nothing. With an idempotency claim the answer is kept in the same
    /// commit.
    pub async fn add_signing_key(
        &self,
        operator: &OperatorId,
        new: &NewSigningKey,
        origin: &Origin,
        kept: Option<KeptAnswer<'_>>,
    ) -> Result<KeyAdded, StoreError> {
        self.transaction(async |transaction| {
            let id = operator.as_str();
            if transaction.query_opt(include_str!("operator_lock.sql"), &[&id]).await?.is_none() {
                return Ok(KeyAdded::UnknownOperator);
            }
            let standing = transaction.query_opt(include_str!("operator_key.sql"), &[&id, &new.key.as_str()]).await?;
            let stands = match standing {
                Some(row) => {
                    let standing = signing_key(&row)?;
                    if !new.is(&standing) {
                        return Ok(KeyAdded::Differs);
                    }
                    standing
                }
                None => match insert_key(&transaction, operator, new, origin).await? {
                    KeyAdded::Stands(added) => added,
                    refused => return Ok(refused),
                },
            };
            if let Some((claim, render)) = kept {
                claim.keep(&transaction, &render(&stands)).await?;
            }
            transaction.commit().await?;
            Ok(KeyAdded::Stands(stands))
        })
        .await
    }

    /// Revokes a key from now on; `false` where there is no such key. To revoke it again changes nothing.
    pub async fn revoke_signing_key(
        &self,
        operator: &OperatorId,
        key: &SigningKeyId,
        origin: &Origin,
    ) -> Result<bool, StoreError> {
        self.transaction(async |transaction| {
            let ids = (operator.as_str(), key.as_str());
            let revoked = transaction.execute(include_str!("operator_key_revoke.sql"), &[&ids.0, &ids.1]).await?;
            if revoked == 0 {
                return Ok(transaction.query_opt(include_str!("operator_key.sql"), &[&ids.0, &ids.1]).await?.is_some());
            }
            let data = json!({ "operatorId": ids.0, "keyId": ids.1 });
            journal(&transaction, operator, "numbering.operator.key_revoked", &data, origin).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// What an import of this operator is checked against; `None` where there is no such operator.
    pub async fn import_facts(&self, operator: &OperatorId) -> Result<Option<ImportFacts>, StoreError> {
        if self.query_opt(include_str!("operator_read.sql"), &[&operator.as_str()]).await?.is_none() {
            return Ok(None);
        }
        let keys = self.query(include_str!("operator_keys_valid.sql"), &[&operator.as_str()]).await?;
        let prefixes = self.query(include_str!("operator_prefixes_all.sql"), &[]).await?;
        let prefixes = prefixes.iter().map(owned_prefix).collect::<Result<_, _>>()?;
        let keys = keys.iter().map(signing_key).collect::<Result<_, _>>()?;
        Ok(Some(ImportFacts { keys, prefixes, price_tiers: self.price_tiers().await? }))
    }
}

impl NewSigningKey {
    /// Whether it is what stands already, and still counts.
    fn is(&self, standing: &SigningKey) -> bool {
        standing.revoked_at.is_none()
            && standing.algorithm == self.algorithm
            && standing.public_key == self.public_key
            && self.valid_from.is_none_or(|from| from == standing.valid_from)
            && standing.valid_until == self.valid_until
    }
}

/// Inserts a key that the operator, whose row is locked, does not have yet.
async fn insert_key(
    transaction: &Transaction<'_>,
    operator: &OperatorId,
    new: &NewSigningKey,
    origin: &Origin,
) -> Result<KeyAdded, StoreError> {
    let id = operator.as_str();
    let count: i64 = transaction.query_one(include_str!("operator_keys_count.sql"), &[&id]).await?.try_get(0)?;
    if count >= KEYS_MOST {
        return Ok(KeyAdded::TooMany);
    }
    let added = transaction
        .query_opt(
            include_str!("operator_key_add.sql"),
            &[&id, &new.key.as_str(), &new.algorithm.as_str(), &new.public_key, &new.valid_from, &new.valid_until],
        )
        .await?;
    let Some(row) = added else { return Ok(KeyAdded::NeverValid) };
    let added = signing_key(&row)?;
    let data = json!({
        "operatorId": id,
        "keyId": added.key.as_str(),
        "algorithm": added.algorithm.as_str(),
        "publicKey": added.public_key,
        "validFrom": added.valid_from,
        "validUntil": added.valid_until,
    });
    journal(transaction, operator, "numbering.operator.key_added", &data, origin).await?;
    Ok(KeyAdded::Stands(added))
}

fn owned_prefix(row: &Row) -> Result<(String, OperatorId), StoreError> {
    let prefix: String = row.try_get("prefix")?;
    match OperatorId::parse(row.try_get("operator_id")?) {
        Ok(operator) => Ok((prefix, operator)),
        Err(_) => Err(StoreError::Impossible { subject: prefix, what: "operator_id" }),
    }
}

fn signing_key(row: &Row) -> Result<SigningKey, StoreError> {
    let id: &str = row.try_get("key_id")?;
    let impossible = |what| StoreError::Impossible { subject: id.to_owned(), what };
    Ok(SigningKey {
        key: SigningKeyId::parse(id).map_err(|_| impossible("key_id"))?,
        algorithm: SignatureAlgorithm::parse(row.try_get("algorithm")?).ok_or_else(|| impossible("algorithm"))?,
        public_key: row.try_get("public_key")?,
        valid_from: row.try_get("valid_from")?,
        valid_until: row.try_get("valid_until")?,
        revoked_at: row.try_get("revoked_at")?,
        created_at: row.try_get("created_at")?,
    })
}

async fn journal(
    transaction: &Transaction<'_>,
    operator: &OperatorId,
    entry: &str,
    data: &Value,
    origin: &Origin,
) -> Result<(), StoreError> {
    let id = operator.as_str();
    transaction
        .execute(
            include_str!("operator_journal.sql"),
            &[&id, &Uuid::now_v7(), &entry, data, &origin.actor, &origin.request_id],
        )
        .await?;
    Ok(())
}
