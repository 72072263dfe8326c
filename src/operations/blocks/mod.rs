//! Numbers come into the inventory here: in signed blocks from operators (US-NUM-001), and short codes and alphanumeric
//! sender IDs by an admin's hand.
//!
//! What must stay true: no byte of a file is looked at before its signature has verified; a file comes in whole or not at
//! all, and once begun it goes on to its end also when the client hangs up; a refused signature leaves its trace.

pub mod csv;
mod inventory;
pub mod reject;
mod rows;
pub mod spool;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use numbering_domain::{BlockId, IdentifierClass, NumberingPlan, OperatorId, SigningKeyId};
use serde_json::json;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::csv::CsvFault;
use self::reject::Reject;
use self::rows::{FirstRejects, RowRules, RowsError};
use self::spool::{Spool, SpoolError, SpooledFile};
use super::signature::{DetachedSignature, FileSha256, VerifyingKey, signed_message};
use crate::cache::Trust;
use crate::store::commit::Origin;
use crate::store::idempotency::{Answer, Claim};
use crate::store::import::{Counts, Ending, ImportFailure, NewBlock, SignedFile};
use crate::store::operators::{ImportFacts, SigningKey};
use crate::store::{Store, StoreError};
use crate::telemetry::{ImportRefused, ImportedRows, Metrics};

pub use self::inventory::{ITEMS_MOST, InventoryItem};

/// How many imports one replica takes at once, each of which holds a connection and a spooled file.
const IMPORTS_AT_ONCE: usize = 4;

/// What bounds an import.
#[derive(Clone, Debug)]
pub struct ImportSettings {
    /// The largest file, in bytes.
    pub max_file_bytes: u64,
    /// The longest line, in bytes.
    pub max_line_bytes: usize,
    /// How long an import may take, its upload and its commit each.
    pub timeout: Duration,
    /// Where uploads rest; the system's place for temporary files where absent.
    pub spool_dir: Option<PathBuf>,
}

/// Whether an import is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is.
    Import,
    /// Only what it would do is wanted.
    DryRun,
}

/// A file that somebody says an operator signed.
#[derive(Debug)]
pub struct Upload {
    /// The operator.
    pub operator: OperatorId,
    /// The key that it is said to be signed with; any key of the operator where absent.
    pub key: Option<SigningKeyId>,
    /// The detached signature, base64.
    pub signature: String,
    /// The file.
    pub file: SpooledFile,
}

/// What an import did, or would have done.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The block; `None` where nothing was kept.
    pub block: Option<BlockId>,
    /// The file, its operator and its key; `None` for the inventory.
    pub file: Option<SignedFile>,
    /// What came of the rows.
    pub counts: Counts,
    /// The first of the rows that were turned away; of the inventory all.
    pub rejects: Vec<Reject>,
}

/// How the answer to an import is written, so that it can be kept with the import's effect.
pub type RenderImported = Arc<dyn Fn(&Imported) -> Answer + Send + Sync>;

/// An idempotency claim that an import runs under.
#[derive(Clone)]
pub struct ImportGuard {
    /// The claim.
    pub claim: Claim,
    /// The answer.
    pub render: RenderImported,
}

impl fmt::Debug for ImportGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportGuard").field("claim", &self.claim).finish_non_exhaustive()
    }
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Nobody knows this operator.
    #[error("there is no operator {operator}")]
    UnknownOperator {
        /// Who was named.
        operator: OperatorId,
    },
    /// No key that counts made this signature of this file for this operator.
    #[error("no valid key of {operator} made this signature of this file")]
    SignatureInvalid {
        /// Who was said to have signed.
        operator: OperatorId,
    },
    /// The file is not of the form.
    #[error("line {line}: {detail}")]
    CsvInvalid {
        /// The line, the header being 1.
        line: u64,
        /// What is wrong there.
        detail: String,
    },
    /// The upload could not be kept.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// As many imports run as may.
    #[error("{IMPORTS_AT_ONCE} imports are running already")]
    Busy,
    /// It took longer than it may.
    #[error("the import took longer than {} s", .limit.as_secs())]
    TookTooLong {
        /// The limit.
        limit: Duration,
    },
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The spooled file could not be read back, or the task died.
    #[error("the import was interrupted: {0}")]
    Interrupted(String),
}

impl From<tokio::task::JoinError> for ImportError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Interrupted(error.to_string())
    }
}

/// Brings numbers in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Blocks {
    store: Store,
    trust: Arc<Trust>,
    plan: Arc<NumberingPlan>,
    settings: Arc<ImportSettings>,
    metrics: Arc<Metrics>,
    committed: Arc<Notify>,
    slots: Arc<Semaphore>,
    begun: TaskTracker,
}

/// The right to run one import, from the first byte of its upload on.
#[derive(Debug)]
pub struct ImportSlot {
    _permit: OwnedSemaphorePermit,
}

impl Blocks {
    /// `committed` is woken after each commit, for the relay of events; `begun` tracks what runs on without its caller.
    #[must_use]
    pub fn new(
        store: Store,
        trust: Arc<Trust>,
        plan: Arc<NumberingPlan>,
        settings: ImportSettings,
        metrics: Arc<Metrics>,
        committed: Arc<Notify>,
        begun: TaskTracker,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(IMPORTS_AT_ONCE));
        Self { store, trust, plan, settings: Arc::new(settings), metrics, committed, slots, begun }
    }

    /// What bounds an import.
    #[must_use]
    pub fn settings(&self) -> &ImportSettings {
        &self.settings
    }

    /// A place among the imports that run.
    ///
    /// # Errors
    /// [`ImportError::Busy`] where there is none.
    pub fn slot(&self) -> Result<ImportSlot, ImportError> {
        let permit = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| ImportError::Busy)?;
        Ok(ImportSlot { _permit: permit })
    }

    /// A place for an upload to rest.
    pub async fn spool(&self) -> Result<Spool, ImportError> {
        Ok(Spool::create(self.settings.spool_dir.as_deref(), self.settings.max_file_bytes).await?)
    }

    /// Verifies the upload's signature, and brings its numbers in: all that are new and good, or on any failure none.
    pub async fn import(
        &self,
        slot: ImportSlot,
        upload: Upload,
        purpose: Purpose,
        origin: Origin,
        guard: Option<ImportGuard>,
    ) -> Result<Imported, ImportError> {
        let blocks = self.clone();
        let work = async move {
            let started = Instant::now();
            let limit = blocks.settings.timeout;
            let running = blocks.verify_and_insert(upload, purpose, origin, guard.as_ref());
            let done = tokio::time::timeout(limit, running).await.unwrap_or(Err(ImportError::TookTooLong { limit }));
            drop(slot);
            blocks.count(&done, purpose, started.elapsed());
            done
        };
        self.begun.spawn(work).await?
    }

    async fn verify_and_insert(
        &self,
        upload: Upload,
        purpose: Purpose,
        origin: Origin,
        guard: Option<&ImportGuard>,
    ) -> Result<Imported, ImportError> {
        let Upload { operator, key: wanted, signature, file: SpooledFile { file, sha256 } } = upload;
        let Some(facts) = self.store.import_facts(&operator).await? else {
            return Err(ImportError::UnknownOperator { operator });
        };
        let Some(key) = verified(&operator, wanted.as_ref(), &signature, sha256, &facts.keys) else {
            return Err(self.refused(operator, wanted.as_ref(), sha256, &origin).await);
        };
        let signed = SignedFile { operator: operator.clone(), key, sha256: sha256.to_string() };
        let block = NewBlock { block: BlockId(Uuid::now_v7()), file: Some(signed), origin };
        let rejects = FirstRejects::default();
        let rules = self.rules(operator.clone(), facts);
        let rows = rows::staged(file, self.settings.max_line_bytes, rules, rejects.clone());
        let outcome = |counts| Imported {
            block: (purpose == Purpose::Import).then_some(block.block),
            file: block.file.clone(),
            counts,
            rejects: rejects.so_far(),
        };
        let render = guard.map(|guard| (&guard.claim, move |counts: Counts| (guard.render)(&outcome(counts))));
        let ending = match purpose {
            Purpose::DryRun => Ending::RollBack,
            Purpose::Import => Ending::Commit(render.as_ref().map(|(claim, render)| (*claim, render as _))),
        };
        match self.store.import_block(&block, rows, self.settings.timeout, ending).await {
            Ok(counts) => self.done(outcome(counts), purpose, guard).await,
            Err(ImportFailure::KeyRevoked) => Err(self.refused(operator, wanted.as_ref(), sha256, &block.origin).await),
            Err(ImportFailure::Rows(RowsError::Csv(CsvFault::Invalid { line, detail }))) => {
                Err(ImportError::CsvInvalid { line, detail })
            }
            Err(ImportFailure::Rows(error)) => Err(ImportError::Interrupted(error.to_string())),
            Err(ImportFailure::Store(error)) => Err(error.into()),
        }
    }

    async fn done(
        &self,
        imported: Imported,
        purpose: Purpose,
        guard: Option<&ImportGuard>,
    ) -> Result<Imported, ImportError> {
        match (purpose, guard) {
            (Purpose::Import, _) => self.tell(),
            // Nothing was committed that the answer could have been kept with.
            (Purpose::DryRun, Some(guard)) => {
                self.store.keep_answer(&guard.claim, &(guard.render)(&imported)).await?;
            }
            (Purpose::DryRun, None) => {}
        }
        Ok(imported)
    }

    /// What follows a commit: the caches hear of it, and the relay is woken.
    fn tell(&self) {
        self.trust.inventory_grew();
        self.committed.notify_one();
    }

    fn rules(&self, operator: OperatorId, facts: ImportFacts) -> RowRules {
        let of_msisdns = |(class, tier)| (class == IdentifierClass::Msisdn).then_some(tier);
        let price_tiers = facts.price_tiers.into_iter().filter_map(of_msisdns).collect();
        RowRules::new(Arc::clone(&self.plan), operator, facts.prefixes, price_tiers)
    }

    /// A refused signature is audited and published by itself, as there is no import to do it with.
    async fn refused(
        &self,
        operator: OperatorId,
        key: Option<&SigningKeyId>,
        sha256: FileSha256,
        origin: &Origin,
    ) -> ImportError {
        let mut data = json!({
            "operatorId": operator.as_str(),
            "reason": "SIGNATURE_INVALID",
            "fileSha256": sha256.to_string(),
        });
        if let Some(key) = key {
            data["keyId"] = json!(key.as_str());
        }
        match self.store.record_refused_import(&operator, &data, origin).await {
            Ok(()) => {
                self.committed.notify_one();
                ImportError::SignatureInvalid { operator }
            }
            Err(error) => error.into(),
        }
    }

    fn count(&self, done: &Result<Imported, ImportError>, purpose: Purpose, took: Duration) {
        match done {
            Ok(imported) if purpose == Purpose::Import => {
                self.metrics.import_seconds.observe(took.as_secs_f64());
                self.count_rows(imported.counts);
            }
            Ok(_) => {}
            Err(error) => {
                self.metrics.imports_refused.get_or_create(&ImportRefused { reason: error.label() }).inc();
            }
        }
    }

    fn count_rows(&self, counts: Counts) {
        for (outcome, rows) in
            [("inserted", counts.inserted), ("duplicate", counts.duplicates), ("invalid", counts.invalid)]
        {
            self.metrics
                .imported_rows
                .get_or_create(&ImportedRows { outcome })
                .inc_by(u64::try_from(rows).unwrap_or(0));
        }
    }
}

impl ImportError {
    /// For the metrics: a few words, never from outside.
    const fn label(&self) -> &'static str {
        match self {
            Self::UnknownOperator { .. } => "unknown_operator",
            Self::SignatureInvalid { .. } => "signature_invalid",
            Self::CsvInvalid { .. } => "csv_invalid",
            Self::Spool(_) => "spool",
            Self::Busy => "busy",
            Self::TookTooLong { .. } => "took_too_long",
            Self::Store(_) => "store",
            Self::Interrupted(_) => "interrupted",
        }
    }
}

/// The key that made this signature of this file, among those that count now.
fn verified(
    operator: &OperatorId,
    wanted: Option<&SigningKeyId>,
    signature: &str,
    sha256: FileSha256,
    keys: &[SigningKey],
) -> Option<SigningKeyId> {
    let signature = DetachedSignature::from_base64(signature).ok()?;
    let message = signed_message(operator, sha256);
    keys.iter()
        .filter(|key| wanted.is_none_or(|wanted| *wanted == key.key))
        .find(|key| {
            // Checked when it was added; one that no longer reads verifies nothing.
            VerifyingKey::from_pem(key.algorithm, &key.public_key).is_ok_and(|key| key.verifies(&message, &signature))
        })
        .map(|key| key.key.clone())
}
