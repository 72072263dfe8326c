//! Renews leases that are to renew themselves (US-NUM-005): every day, and each as soon as its window opens.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Job, JobError, Run};
use crate::operations::renewal::{Ended, Mandate, Renewals};
use crate::store::StoreError;

/// The job's name.
pub const NAME: &str = "renew_leases";

/// See the module.
#[derive(Debug)]
pub struct RenewLeases {
    renewals: Renewals,
    schedule: String,
}

impl RenewLeases {
    /// By this schedule at the latest.
    #[must_use]
    pub fn new(renewals: Renewals, schedule: &str) -> Self {
        Self { renewals, schedule: schedule.to_owned() }
    }
}

impl Job for RenewLeases {
    fn name(&self) -> &'static str {
        NAME
    }

    fn role(&self) -> &'static str {
        "job:renew_leases"
    }

    fn schedule(&self) -> &str {
        &self.schedule
    }

    async fn due_in(&self) -> Result<Option<Duration>, StoreError> {
        self.renewals.due_in().await
    }

    async fn run(&self, run: &Run) -> Result<Value, JobError> {
        let may_go_on = || run.may_go_on();
        let mandate = Mandate { role: run.role(), origin: run.origin(), may_go_on: &may_go_on };
        let (counts, ended) = self.renewals.renew_due(&mandate).await?;
        let mut so_far = json!(counts);
        match ended {
            Ended::Done => Ok(so_far),
            Ended::Interrupted => Err(JobError::Interrupted { so_far }),
            // Not a failure of the job: what waits is asked about again, by a clock of its own.
            Ended::BillingAway(outage) => {
                so_far["stopped"] = format!("billing is away: {outage}").into();
                Ok(so_far)
            }
        }
    }
}
