//! The price list: what a number costs, by class, tier, plan and operator, each price for a stretch of time.
//!
//! What must stay true: which price holds is said by one definition, `numbering.price_for`; of two prices for the same class,
//! tier, plan and operator one holds at a moment at most; a tier that has a general price has one from then on, so that no number
//! in the inventory is ever without; what has held stays on the list; each change has its entry in the journal, in the same
//! commit.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use numbering_domain::{IdentifierClass, OperatorId, Price};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::commit::Origin;
use super::idempotency::{Answer, Claim};
use super::rows::Reading;
use super::{Store, StoreError};

/// What a price is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricedFor {
    /// The class.
    pub class: IdentifierClass,
    /// The tier.
    pub tier: String,
    /// Tenants on this plan; `None` for all.
    pub plan: Option<String>,
    /// Numbers of this operator; `None` for all.
    pub operator: Option<OperatorId>,
}

/// A price on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPrice {
    /// Which.
    pub price_id: Uuid,
    /// For what.
    pub priced_for: PricedFor,
    /// How much.
    pub price: Price,
    /// From when it holds.
    pub valid_from: Timestamp,
    /// When it holds no longer; `None` for no end.
    pub valid_until: Option<Timestamp>,
}

/// A price about to be added.
#[derive(Clone, Debug)]
pub struct NewPrice {
    /// For what.
    pub priced_for: PricedFor,
    /// How much.
    pub price: Price,
    /// From when it is to hold; `None` for now.
    pub valid_from: Option<Timestamp>,
    /// Whether that was said as a day: of today's, it is to hold from now.
    pub from_a_day: bool,
    /// When it is to hold no longer; `None` for no end.
    pub valid_until: Option<Timestamp>,
    /// The price whose place it takes, which ends where this one begins.
    pub replaces: Option<Uuid>,
}

/// What became of a price that was to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PriceAdded {
    /// It stands.
    Stands(ListedPrice),
    /// There is no such plan.
    UnknownPlan,
    /// There is no such operator.
    UnknownOperator,
    /// It would hold at moments that are over.
    BeginsInThePast,
    /// It would end before it begins.
    NeverHolds,
    /// Its tier has no general price when it begins.
    NoGeneralPrice,
    /// What it is to replace does not hold when it begins, or is for something else.
    ReplacesNothing,
    /// Another price for the same holds at some of its time.
    Overlaps,
    /// From then on its tier would have no general price.
    LeavesNone {
        /// From when.
        from: Timestamp,
    },
}

/// What became of a price that was to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceEnded {
    /// It holds no longer, now or since before.
    Over,
    /// It is the general price of its tier, which goes on until another takes its place.
    General,
    /// There is no such price.
    Unknown,
}

/// What to list; filters combine.
#[derive(Clone, Debug, Default)]
pub struct PriceFilter {
    /// Only this class.
    pub class: Option<IdentifierClass>,
    /// Only this tier.
    pub tier: Option<String>,
    /// Only for this plan.
    pub plan: Option<String>,
    /// Only for this operator.
    pub operator: Option<OperatorId>,
    /// Only those that hold at this moment.
    pub at: Option<Timestamp>,
}

/// Where a price stands in the order of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricePlace {
    class: String,
    tier: String,
    plan: String,
    operator: String,
    valid_from: Timestamp,
}

/// An idempotency claim, and how the answer to keep under it is written.
type KeptAnswer<'a> = (&'a Claim, &'a (dyn Fn(&ListedPrice) -> Answer + Sync));

impl PricedFor {
    /// Whether it is for every plan and operator.
    #[must_use]
    pub const fn is_general(&self) -> bool {
        self.plan.is_none() && self.operator.is_none()
    }
}

impl ListedPrice {
    /// Its place in the order of the list.
    #[must_use]
    pub fn place(&self) -> PricePlace {
        let PricedFor { class, tier, plan, operator } = &self.priced_for;
        PricePlace {
            class: class.as_str().to_owned(),
            tier: tier.clone(),
            plan: plan.clone().unwrap_or_default(),
            operator: operator.as_ref().map_or_else(String::new, OperatorId::to_string),
            valid_from: self.valid_from,
        }
    }

    /// As the journal tells it.
    fn told(&self) -> Value {
        let PricedFor { class, tier, plan, operator } = &self.priced_for;
        json!({
            "priceId": self.price_id,
            "identifierClass": class.as_str(),
            "priceTier": tier,
            "plan": plan,
            "operatorId": operator.as_ref().map(OperatorId::as_str),
            "amount": self.price.amount.to_string(),
            "currency": self.price.currency,
            "per": self.price.per,
            "validFrom": self.valid_from,
            "validUntil": self.valid_until,
        })
    }
}

impl Store {
    /// A page of the price list, with what held before and what is to come, after `after`, at most `most`.
    pub async fn prices(
        &self,
        filter: &PriceFilter,
        after: Option<&PricePlace>,
        most: i64,
    ) -> Result<Vec<ListedPrice>, StoreError> {
        let class = filter.class.map(IdentifierClass::as_str);
        let operator = filter.operator.as_ref().map(OperatorId::as_str);
        let after = (
            after.map(|place| place.class.as_str()),
            after.map(|place| place.tier.as_str()),
            after.map(|place| place.plan.as_str()),
            after.map(|place| place.operator.as_str()),
            after.map(|place| place.valid_from),
        );
        let parameters: [&(dyn ToSql + Sync); 11] = [
            &class,
            &filter.tier,
            &filter.plan,
            &operator,
            &filter.at,
            &after.0,
            &after.1,
            &after.2,
            &after.3,
            &after.4,
            &most,
        ];
        self.query(include_str!("prices_read.sql"), &parameters).await?.iter().map(listed).collect()
    }

    /// Every class and tier that a number may have: those with a general price now.
    pub async fn price_tiers(&self) -> Result<Vec<(IdentifierClass, String)>, StoreError> {
        let expected = self.clock().expected();
        let rows = self.query(include_str!("price_tiers.sql"), &[&expected.now, &expected.tolerance_seconds]).await?;
        rows.iter()
            .map(|row| {
                let reading = Reading::new(row, "a price");
                Ok((reading.class()?, reading.get("price_tier")?))
            })
            .collect()
    }

    /// Adds a price, and ends the one whose place it takes. With an idempotency claim the answer is kept in the same commit.
    pub async fn add_price(
        &self,
        new: &NewPrice,
        origin: &Origin,
        kept: Option<KeptAnswer<'_>>,
    ) -> Result<PriceAdded, StoreError> {
        self.transaction(async |transaction| {
            transaction.batch_execute(include_str!("price_lock.sql")).await?;
            let (valid_from, valid_until) = match self.checked(&transaction, new).await? {
                Ok(stretch) => stretch,
                Err(refused) => return Ok(refused),
            };
            if let Some(replaced) = new.replaces
                && !replace(&transaction, replaced, &new.priced_for, valid_from, origin).await?
            {
                return Ok(PriceAdded::ReplacesNothing);
            }
            let Some(added) = insert(&transaction, new, valid_from, valid_until).await? else {
                return Ok(PriceAdded::Overlaps);
            };
            if let Some(from) = gap(&transaction, &new.priced_for).await? {
                return Ok(PriceAdded::LeavesNone { from });
            }
            journal(&transaction, &added, "numbering.price.added", origin).await?;
            if let Some((claim, render)) = kept {
                claim.keep(&transaction, &render(&added)).await?;
            }
            transaction.commit().await?;
            Ok(PriceAdded::Stands(added))
        })
        .await
    }

    /// Ends a price: one that holds is over from now on, one that is to come is removed, and the general price before it goes on
    /// in its stead. To end it again changes nothing.
    pub async fn end_price(&self, price_id: Uuid, origin: &Origin) -> Result<PriceEnded, StoreError> {
        self.transaction(async |transaction| {
            transaction.batch_execute(include_str!("price_lock.sql")).await?;
            let expected = self.clock().expected();
            let parameters: [&(dyn ToSql + Sync); 3] = [&price_id, &expected.now, &expected.tolerance_seconds];
            let Some(row) = transaction.query_opt(include_str!("price_read.sql"), &parameters).await? else {
                return Ok(PriceEnded::Unknown);
            };
            let standing = listed(&row)?;
            if row.try_get("has_ended")? {
                return Ok(PriceEnded::Over);
            }
            if !row.try_get::<_, bool>("has_begun")? {
                remove(&transaction, &standing, origin).await?;
            } else if standing.priced_for.is_general() {
                return Ok(PriceEnded::General);
            } else {
                let now: Timestamp = row.try_get("now")?;
                let ended = transaction.query_one(include_str!("price_end.sql"), &[&price_id, &now]).await?;
                journal(&transaction, &listed(&ended)?, "numbering.price.ended", origin).await?;
            }
            transaction.commit().await?;
            Ok(PriceEnded::Over)
        })
        .await
    }

    /// From when until when a new price is to hold, or why it is not.
    async fn checked(
        &self,
        transaction: &Transaction<'_>,
        new: &NewPrice,
    ) -> Result<Result<(Timestamp, Option<Timestamp>), PriceAdded>, StoreError> {
        let PricedFor { class, tier, plan, operator } = &new.priced_for;
        let operator = operator.as_ref().map(OperatorId::as_str);
        let expected = self.clock().expected();
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &class.as_str(),
            tier,
            plan,
            &operator,
            &new.valid_from,
            &new.valid_until,
            &expected.now,
            &expected.tolerance_seconds,
            &new.from_a_day,
        ];
        let row = transaction.query_one(include_str!("price_check.sql"), &parameters).await?;
        let is = |column: &str| row.try_get::<_, bool>(column);
        Ok(if !is("plan_known")? {
            Err(PriceAdded::UnknownPlan)
        } else if !is("operator_known")? {
            Err(PriceAdded::UnknownOperator)
        } else if is("begins_in_the_past")? {
            Err(PriceAdded::BeginsInThePast)
        } else if is("never_holds")? {
            Err(PriceAdded::NeverHolds)
        } else if !new.priced_for.is_general() && !is("has_general")? {
            Err(PriceAdded::NoGeneralPrice)
        } else {
            Ok((row.try_get("valid_from")?, row.try_get("valid_until")?))
        })
    }
}

/// Ends the price whose place another takes at `from`; `false` where it is not one that can be replaced so.
async fn replace(
    transaction: &Transaction<'_>,
    replaced: Uuid,
    by: &PricedFor,
    from: Timestamp,
    origin: &Origin,
) -> Result<bool, StoreError> {
    let operator = by.operator.as_ref().map(OperatorId::as_str);
    let parameters: [&(dyn ToSql + Sync); 6] = [&replaced, &by.class.as_str(), &by.tier, &by.plan, &operator, &from];
    let Some(row) = transaction.query_opt(include_str!("price_replace.sql"), &parameters).await? else {
        return Ok(false);
    };
    journal(transaction, &listed(&row)?, "numbering.price.ended", origin).await?;
    Ok(true)
}

/// Inserts a price; `None` where another for the same holds at some of its time.
async fn insert(
    transaction: &Transaction<'_>,
    new: &NewPrice,
    valid_from: Timestamp,
    valid_until: Option<Timestamp>,
) -> Result<Option<ListedPrice>, StoreError> {
    let PricedFor { class, tier, plan, operator } = &new.priced_for;
    let Price { amount, currency, per } = &new.price;
    let operator = operator.as_ref().map(OperatorId::as_str);
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &Uuid::now_v7(),
        &class.as_str(),
        tier,
        plan,
        &operator,
        &amount.to_string(),
        currency,
        per,
        &valid_from,
        &valid_until,
    ];
    match transaction.query_one(include_str!("price_add.sql"), &parameters).await {
        Ok(row) => listed(&row).map(Some),
        Err(error) if error.code() == Some(&SqlState::EXCLUSION_VIOLATION) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// From when on a tier that had a general price has none.
async fn gap(transaction: &Transaction<'_>, of: &PricedFor) -> Result<Option<Timestamp>, StoreError> {
    if !of.is_general() {
        return Ok(None);
    }
    let row = transaction.query_opt(include_str!("price_gap.sql"), &[&of.class.as_str(), &of.tier]).await?;
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}

/// Removes a price that has not begun; the general one before it goes on.
async fn remove(transaction: &Transaction<'_>, standing: &ListedPrice, origin: &Origin) -> Result<(), StoreError> {
    let before = transaction.query_opt(include_str!("price_remove.sql"), &[&standing.price_id]).await?;
    journal(transaction, standing, "numbering.price.removed", origin).await?;
    if let Some(row) = before {
        let (before, until): (Uuid, Option<Timestamp>) = (row.try_get("before")?, row.try_get("valid_until")?);
        let prolonged = transaction.query_one(include_str!("price_prolong.sql"), &[&before, &until]).await?;
        journal(transaction, &listed(&prolonged)?, "numbering.price.prolonged", origin).await?;
    }
    Ok(())
}

fn listed(row: &Row) -> Result<ListedPrice, StoreError> {
    let reading = Reading::new(row, "a price");
    Ok(ListedPrice {
        price_id: reading.needed("price_id")?,
        priced_for: PricedFor {
            class: reading.class()?,
            tier: reading.needed("price_tier")?,
            plan: reading.get("plan")?,
            operator: reading.operator("operator_id")?,
        },
        price: reading.price("amount", "currency", "per")?,
        valid_from: reading.needed("valid_from")?,
        valid_until: reading.get("valid_until")?,
    })
}

async fn journal(
    transaction: &Transaction<'_>,
    price: &ListedPrice,
    entry: &str,
    origin: &Origin,
) -> Result<(), StoreError> {
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&price.price_id.to_string(), &Uuid::now_v7(), &entry, &price.told(), &origin.actor, &origin.request_id];
    transaction.execute(include_str!("price_journal.sql"), &parameters).await?;
    Ok(())
}
