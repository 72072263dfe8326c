//! What tenants may have, in Redis: `num:quota:{tenant}`, for `cache.quota_ttl` (US-NUM-011). For showing; no grant rests on it.
//!
//! What must stay true: an entry tells the limits of one revision of the tenant, which never change, as every change of them makes
//! a new revision. It is used only together with what the tenant has, read from PostgreSQL at that same revision, so that an old
//! entry has no effect, whether or not it was removed. What a tenant has is not kept here. An entry that cannot be read is as
//! good as none.

use std::time::Duration;

use numbering_domain::{PerCounter, TenantId, TenantStanding};
use redis::Pipeline;
use serde::{Deserialize, Serialize};

use super::{LinkError, RedisLink};

/// A tenant's plan and limits, as of one of its revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantLimits {
    /// The revision.
    pub revision: i64,
    /// The plan's name.
    pub plan: String,
    /// The most of each that the tenant may have.
    pub limits: PerCounter<i32>,
}

impl From<&TenantStanding> for TenantLimits {
    fn from(standing: &TenantStanding) -> Self {
        Self { revision: standing.revision, plan: standing.plan.clone(), limits: standing.limits }
    }
}

/// An entry as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    revision: i64,
    plan: String,
    msisdn: i32,
    short_code: i32,
    alpha: i32,
    reservations: i32,
    holds: i32,
}

/// Limits of tenants in Redis.
#[derive(Clone, Debug)]
pub struct Limits {
    link: RedisLink,
    keep: Duration,
    write_limit: Duration,
}

impl Limits {
    /// Entries are kept for `keep`. A write may take `write_limit`, a read the link's limit.
    #[must_use]
    pub fn new(link: RedisLink, keep: Duration, write_limit: Duration) -> Self {
        Self { link, keep, write_limit }
    }

    /// A tenant's limits as they were at some revision, where they are kept.
    pub async fn get(&self, tenant: &TenantId) -> Option<TenantLimits> {
        // MGET gives nothing where a key has another type, and GET an error.
        let read: Result<(Option<Vec<u8>>,), LinkError> = self.link.command(redis::cmd("MGET").arg(key(tenant))).await;
        let (entry,) = read.ok()?;
        match serde_json::from_slice::<Entry>(&entry?) {
            Ok(Entry { revision, plan, msisdn, short_code, alpha, reservations, holds }) => {
                let limits = PerCounter { msisdn, short_code, alpha, reservations, holds };
                Some(TenantLimits { revision, plan, limits })
            }
            Err(fault) => {
                tracing::warn!(%fault, "cached limits of a tenant cannot be read; they are ignored");
                None
            }
        }
    }

    /// Keeps a tenant's limits. While Redis is away they are read from PostgreSQL again.
    pub async fn put(&self, tenant: &TenantId, kept: &TenantLimits) {
        let TenantLimits { revision, plan, limits } = kept;
        let PerCounter { msisdn, short_code, alpha, reservations, holds } = *limits;
        let entry = Entry { revision: *revision, plan: plan.clone(), msisdn, short_code, alpha, reservations, holds };
        let entry = serde_json::to_string(&entry).unwrap_or_default();
        let keep = u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX);
        let mut pipeline = Pipeline::new();
        pipeline.cmd("SET").arg(key(tenant)).arg(entry).arg("PX").arg(keep).ignore();
        if let Err(error) = self.link.pipeline::<()>(&pipeline, self.write_limit).await {
            tracing::debug!(%error, "a tenant's limits were not cached");
        }
    }

    /// Removes what is kept of a tenant whose plan, quotas or status changed. To be awaited after the commit.
    pub async fn forget(&self, tenant: &TenantId) {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("DEL").arg(key(tenant)).ignore();
        if let Err(error) = self.link.pipeline::<()>(&pipeline, self.write_limit).await {
            tracing::debug!(%error, "a tenant's cached limits were not removed; they are of an old revision, and not used");
        }
    }
}

fn key(tenant: &TenantId) -> String {
    format!("num:quota:{tenant}")
}
