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
    look_every: Duration,
}

/// How often it looks for renewals that came into sight since it looked last. Each look reads all leases in their window.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// The same where terms may be seconds.
const LOOK_EVERY_FOR_SHORT_TERMS: Duration = Duration::from_secs(1);

impl RenewLeases {
    /// By this schedule at the latest; `short_terms` as in the policy.
    #[must_use]
    pub fn new(renewals: Renewals, short_terms: bool, schedule: &str) -> Self {
        let look_every = if short_terms { LOOK_EVERY_FOR_SHORT_TERMS } else { LOOK_EVERY };
        Self { renewals, schedule: schedule.to_owned(), look_every }
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

    fn look_every(&self) -> Duration {
        self.look_every
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
