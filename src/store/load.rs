//! Reads what a decision is taken on, in one round trip, with the database's own moment.

use jiff::Timestamp;
use numbering_domain::{Identifier, Number, Price, TenantId, TenantStanding};
use tokio_postgres::types::ToSql;

use super::rows::Reading;
use super::{Store, StoreError};

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

impl Store {
    /// Loads a number, and the standing of `tenant`; the vanity price where `vanity`.
    pub async fn load(
        &self,
        identifier: &Identifier,
        tenant: Option<&TenantId>,
        vanity: bool,
    ) -> Result<Loaded, StoreError> {
        let tenant = tenant.map(TenantId::as_str);
        let expected = self.clock().expected();
        let parameters: [&(dyn ToSql + Sync); 5] =
            [&identifier.key(), &tenant, &vanity, &expected.now, &expected.tolerance_seconds];
        let rows = self.query(include_str!("load.sql"), &parameters).await?;
        let reading = rows.first().map(|row| Reading::new(row, identifier.key()));
        let Some(reading) = reading else {
            return Err(StoreError::Impossible { subject: identifier.key().into(), what: "load gives one row" });
        };
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
