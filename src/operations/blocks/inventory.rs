//! Short codes and alphanumeric sender IDs, which no operator signs for: an admin writes them into the inventory.

use std::collections::HashSet;
use std::convert::Infallible;

use futures_util::stream;
use numbering_domain::{BlockId, IdentifierClass, RegisteredIdentifier};
use uuid::Uuid;

use super::reject::{Reject, RejectReason, parse_valid_from};
use super::{Blocks, ImportError, ImportGuard, Imported};
use crate::store::StoreError;
use crate::store::commit::Origin;
use crate::store::import::{Counts, DEFAULT_PRICE_TIER, Ending, ImportFailure, NewBlock, NewNumber, StagedRows};

/// The most items at once.
pub const ITEMS_MOST: usize = 10_000;

/// One of them, as asked for.
#[derive(Clone, Debug, Default)]
pub struct InventoryItem {
    /// The short code or sender ID.
    pub identifier: String,
    /// Whether it may be leased as vanity.
    pub vanity_eligible: bool,
    /// Its tier on the price list; the standard one where absent.
    pub price_tier: Option<String>,
    /// From when it may be used, an RFC 3339 date or time.
    pub valid_from: Option<String>,
}

impl Blocks {
    /// Brings items into the inventory as one block: all that are new and good.
    pub async fn add_inventory(
        &self,
        items: Vec<InventoryItem>,
        origin: Origin,
        guard: Option<ImportGuard>,
    ) -> Result<Imported, ImportError> {
        let slot = self.slot()?;
        let blocks = self.clone();
        let work = async move {
            let limit = blocks.settings.timeout;
            let running = blocks.judge_and_insert(&items, origin, guard.as_ref());
            let done = tokio::time::timeout(limit, running).await.unwrap_or(Err(ImportError::TookTooLong { limit }));
            drop(slot);
            done
        };
        self.begun.spawn(work).await?
    }

    async fn judge_and_insert(
        &self,
        items: &[InventoryItem],
        origin: Origin,
        guard: Option<&ImportGuard>,
    ) -> Result<Imported, ImportError> {
        let price_tiers: HashSet<(IdentifierClass, String)> = self.store.price_tiers().await?.into_iter().collect();
        let mut staged = StagedRows::default();
        let mut rejects = Vec::new();
        for (index, item) in (0..).zip(items) {
            match self.judge(item, &price_tiers) {
                Ok((registered, valid_from)) => {
                    let price_tier = item.price_tier.as_deref().unwrap_or(DEFAULT_PRICE_TIER);
                    let number = NewNumber {
                        registered: &registered,
                        vanity_eligible: item.vanity_eligible,
                        price_tier,
                        valid_from,
                    };
                    staged.number(index, &number);
                }
                Err((reason, value)) => {
                    let reject = Reject::new(index, value, reason);
                    staged.reject(index, &reject.value, reason.as_str());
                    rejects.push(reject);
                }
            }
        }
        let block = NewBlock { block: BlockId(Uuid::now_v7()), file: None, origin };
        let outcome = |counts| Imported { block: Some(block.block), file: None, counts, rejects: rejects.clone() };
        let render = guard.map(|guard| (&guard.claim, move |counts: Counts| (guard.render)(&outcome(counts))));
        let ending = Ending::Commit(render.as_ref().map(|(claim, render)| (*claim, render as _)));
        let rows = stream::iter([Ok::<_, Infallible>(staged.take())]);
        let done = self.store.import_block(&block, rows, self.settings.timeout, ending).await;
        let counts = match done {
            Ok(counts) => counts,
            Err(ImportFailure::Store(error)) => return Err(error.into()),
            Err(ImportFailure::KeyRevoked) => {
                let what = "a block that nobody signed has no key";
                return Err(StoreError::Impossible { subject: block.block.to_string(), what }.into());
            }
            Err(ImportFailure::Rows(never)) => match never {},
        };
        self.tell();
        self.count_rows(counts);
        Ok(outcome(counts))
    }

    fn judge<'a>(
        &self,
        item: &'a InventoryItem,
        price_tiers: &HashSet<(IdentifierClass, String)>,
    ) -> Result<(RegisteredIdentifier, Option<jiff::Timestamp>), (RejectReason, &'a str)> {
        let registered = self.plan.parse(&item.identifier).map_err(|why| (why.into(), item.identifier.as_str()))?;
        let class = registered.identifier.class();
        if class == IdentifierClass::Msisdn {
            return Err((RejectReason::MsisdnNeedsBlock, &item.identifier));
        }
        let valid_from = match item.valid_from.as_deref() {
            None => None,
            Some(text) => Some(parse_valid_from(text).ok_or((RejectReason::InvalidValidFrom, text))?),
        };
        let price_tier = item.price_tier.as_deref().unwrap_or(DEFAULT_PRICE_TIER);
        if !price_tiers.contains(&(class, price_tier.to_owned())) {
            return Err((RejectReason::UnknownPriceTier, price_tier));
        }
        Ok((registered, valid_from))
    }
}
