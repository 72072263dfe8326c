//! Compares every tenant's counters with what it has, and tells where they differ (US-NUM-011).
//!
//! What must stay true: it locks nothing and corrects nothing. A counter that is wrong means that something wrote past the
//! commit; who that was has to be found by a person, who then corrects it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Job, JobError, Run};
use crate::operations::alerts::{AlertKind, Alerts};
use crate::store::usage::UsageDifference;
use crate::store::{Store, StoreError};

/// The job's name.
pub const NAME: &str = "reconcile_usage";

/// What the alert is about.
const SUBJECT: &str = "tenants";
/// So many tenants are read in one statement: each may have as many numbers as the largest plan allows.
const TENANTS_AT_ONCE: i64 = 10;
/// So many differences are named in the alert.
const NAMED_MOST: usize = 8;

/// See the module.
#[derive(Debug)]
pub struct ReconcileUsage {
    store: Store,
    alerts: Alerts,
    schedule: String,
}

impl ReconcileUsage {
    /// By this schedule, and when it is asked for.
    #[must_use]
    pub fn new(store: Store, alerts: Alerts, schedule: &str) -> Self {
        Self { store, alerts, schedule: schedule.to_owned() }
    }
}

impl Job for ReconcileUsage {
    fn name(&self) -> &'static str {
        NAME
    }

    fn role(&self) -> &'static str {
        "job:reconcile_usage"
    }

    fn schedule(&self) -> &str {
        &self.schedule
    }

    fn rests_on_time(&self) -> bool {
        false
    }

    async fn due_in(&self) -> Result<Option<Duration>, StoreError> {
        Ok(None)
    }

    async fn run(&self, run: &Run) -> Result<Value, JobError> {
        let mut found = Found::default();
        let mut after = String::new();
        loop {
            if !run.may_go_on() {
                return Err(JobError::Interrupted { so_far: found.result() });
            }
            let page = self.store.usage_differences(&after, TENANTS_AT_ONCE).await?;
            page.differences.into_iter().for_each(|difference| found.take(difference));
            let Some(last) = page.last else { break };
            after = last;
        }
        if found.differences == 0 {
            self.alerts.resolve(AlertKind::UsageMismatch, SUBJECT, &run.origin()).await?;
        } else {
            self.alerts.raise(AlertKind::UsageMismatch, SUBJECT, &found.summary(), &run.origin()).await?;
        }
        Ok(found.result())
    }
}

/// What a run has found.
#[derive(Debug, Default)]
struct Found {
    tenants: BTreeSet<String>,
    differences: usize,
    named: Vec<String>,
}

impl Found {
    fn take(&mut self, difference: UsageDifference) {
        let UsageDifference { tenant, counter, counted, found } = difference;
        self.differences += 1;
        if self.named.len() < NAMED_MOST {
            self.named.push(format!("{tenant} {} counts {counted} and has {found}", counter.as_str()));
        }
        self.tenants.insert(tenant);
    }

    fn result(&self) -> Value {
        json!({ "tenants": self.tenants.len(), "differences": self.differences })
    }

    fn summary(&self) -> String {
        let more = self.differences - self.named.len();
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        format!("Counters of {} tenants differ from their rows: {}{more}.", self.tenants.len(), self.named.join("; "))
    }
}
