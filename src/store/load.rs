//! Reads what a decision is taken on, in one round trip, with the database's own moment.

use std::sync::Arc;

use jiff::Timestamp;
use numbering_domain::{Identifier, Number, Price, TenantId, TenantStanding};
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};

use super::rows::{Reading, one_for_each};
use super::{Store, StoreError};
use crate::batches::{Batches, Waiting};

/// A number, its tenant and the tenant's price as of one moment of the database's clock.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The database's `clock_timestamp()`, as far as the clock vouches for it.
    pub now: Timestamp,
    /// The number, where the inventory has it.
    pub number: Option<Number>,
    /// The tenant's standing, where a tenant was asked for and has been seen before.
    pub standing: Option<TenantStanding>,
    /// What the price list says then, for the tenant and the number.
    pub price: Option<Price>,
}

/// What a decision is to be taken on.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Which number.
    pub identifier: Identifier,
    /// Whose standing, and whose price.
    pub tenant: Option<TenantId>,
    /// Whether the vanity price is asked for.
    pub vanity: bool,
}

#[derive(Debug, Serialize)]
struct AskRow<'a> {
    identifier: &'a str,
    tenant_id: Option<&'a str>,
    vanity: bool,
}

impl<'a> AskRow<'a> {
    fn of(ask: &'a Ask) -> Self {
        let Ask { identifier, tenant, vanity } = ask;
        Self { identifier: identifier.key(), tenant_id: tenant.as_ref().map(TenantId::as_str), vanity: *vanity }
    }
}

/// Queries under way at once, more only while they are slow; what is asked meanwhile shares the next.
const QUERIES_AT_ONCE: usize = 2;

/// The most that one query answers.
const ASKS_AT_ONCE: usize = 128;

/// The way to load what one decision is taken on, with whatever others load at the same time.
#[derive(Debug)]
pub struct Loads {
    store: Store,
    batches: Batches<Ask, Result<Loaded, StoreError>>,
}

impl Loads {
    /// Starts to load. It ends when this is dropped.
    #[must_use]
    pub fn start(store: &Store) -> Self {
        let store = store.clone();
        let asked = store.clone();
        let batches = Batches::start(QUERIES_AT_ONCE, ASKS_AT_ONCE, |_| 1, move |asks| together(asked.clone(), asks));
        Self { store, batches }
    }

    /// Loads a number, and the standing of `tenant`; the vanity price where `vanity`. As of a moment after the call.
    ///
    /// # Errors
    /// When the store could not.
    pub async fn load(
        &self,
        identifier: &Identifier,
        tenant: Option<&TenantId>,
        vanity: bool,
    ) -> Result<Loaded, StoreError> {
        let ask = Ask { identifier: identifier.clone(), tenant: tenant.cloned(), vanity };
        self.store.asked(identifier.key(), self.batches.ask(ask)).await
    }
}

async fn together(store: Store, mut waiting: Vec<Waiting<Ask, Result<Loaded, StoreError>>>) {
    waiting.retain(|waiting| !waiting.is_left());
    if waiting.is_empty() {
        return;
    }
    let asks: Vec<&Ask> = waiting.iter().map(|waiting| &waiting.ask).collect();
    match store.load_each(&asks).await {
        Ok(loaded) => {
            for (waiting, loaded) in waiting.into_iter().zip(loaded) {
                waiting.answer(loaded);
            }
        }
        // Whoever asked for what PostgreSQL refuses is the one to hear of it.
        Err(error) if error.is_refusal() && waiting.len() > 1 => {
            for waiting in waiting {
                let loaded = store.load_ask(&waiting.ask).await;
                waiting.answer(loaded);
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for waiting in waiting {
                waiting.answer(Err(StoreError::Shared(Arc::clone(&error))));
            }
        }
    }
}

impl Store {
    /// Loads a number, and the standing of `tenant`; the vanity price where `vanity`.
    pub async fn load(
        &self,
        identifier: &Identifier,
        tenant: Option<&TenantId>,
        vanity: bool,
    ) -> Result<Loaded, StoreError> {
        let ask = Ask { identifier: identifier.clone(), tenant: tenant.cloned(), vanity };
        self.load_ask(&ask).await
    }

    async fn load_ask(&self, ask: &Ask) -> Result<Loaded, StoreError> {
        let nothing = || StoreError::Impossible { subject: ask.identifier.key().into(), what: "nothing was loaded" };
        self.load_each(&[ask]).await?.pop().ok_or_else(nothing)?
    }

    /// Loads several at one moment, in order. A row that cannot be is the error of the one that asked about it.
    async fn load_each(&self, asks: &[&Ask]) -> Result<Vec<Result<Loaded, StoreError>>, StoreError> {
        let input: Vec<AskRow<'_>> = asks.iter().map(|ask| AskRow::of(ask)).collect();
        let expected = self.clock().expected();
        let parameters: [&(dyn ToSql + Sync); 3] = [&Json(input), &expected.now, &expected.tolerance_seconds];
        let rows = self.query(include_str!("load.sql"), &parameters).await?;
        one_for_each(&rows, asks.len())?;
        let read = |(row, ask): (&Row, &&Ask)| self.loaded(&Reading::new(row, ask.identifier.key()));
        Ok(rows.iter().zip(asks).map(read).collect())
    }

    fn loaded(&self, reading: &Reading<'_>) -> Result<Loaded, StoreError> {
        let registered = reading.get::<Option<&str>>("identifier")?.is_some();
        let seen = reading.get::<Option<&str>>("standing_tenant")?.is_some();
        let priced = reading.get::<Option<&str>>("list_amount")?.is_some();
        Ok(Loaded {
            now: self.clock().vouched(reading.get("now")?),
            number: registered.then(|| reading.number()).transpose()?,
            standing: seen.then(|| reading.standing()).transpose()?,
            price: priced.then(|| reading.price("list_amount", "list_currency", "list_per")).transpose()?,
        })
    }

    /// The tenant's numbers whose claim or lease time has ended, at most `most`, each with the moment it was read at.
    pub async fn load_overdue_of_tenant(
        &self,
        tenant: &TenantId,
        most: i64,
    ) -> Result<Vec<(Timestamp, Number)>, StoreError> {
        let expected = self.clock().expected();
        let parameters: [&(dyn ToSql + Sync); 4] =
            [&tenant.as_str(), &most, &expected.now, &expected.tolerance_seconds];
        let rows = self.query(include_str!("load_overdue_of_tenant.sql"), &parameters).await?;
        rows.iter().map(|row| Reading::new(row, tenant.as_str()).dated_number()).collect()
    }

    /// The tenant's own numbers in these states, by identifier, after `after`, at most `most`.
    pub async fn numbers_of_tenant(
        &self,
        tenant: &TenantId,
        states: &[&str],
        after: &str,
        most: i64,
    ) -> Result<Vec<Number>, StoreError> {
        let sql = include_str!("numbers_of_tenant.sql");
        let expected = self.clock().expected();
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&tenant.as_str(), &after, &states, &most, &expected.now, &expected.tolerance_seconds];
        let rows = self.query(sql, &parameters).await?;
        rows.iter().map(|row| Reading::new(row, tenant.as_str()).number()).collect()
    }
}
