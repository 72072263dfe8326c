//! Reminds tenants whose vanity lease was not renewed that its grace runs out (US-NUM-012): at its beginning, then every
//! `policy.reminder_interval`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use numbering_domain::{Acting, Command, Number, Policy, Transition, decide};
use serde_json::{Value, json};

use super::{Job, JobError, Run};
use crate::operations::numbers::Numbers;
use crate::store::renewals::After;
use crate::store::{Store, StoreError};

/// The job's name.
pub const NAME: &str = "grace_reminders";

/// The most leases that are loaded, decided and committed at once.
const BATCH: i64 = 1_000;

/// See the module.
#[derive(Debug)]
pub struct GraceReminders {
    store: Store,
    numbers: Arc<Numbers>,
    policy: Policy,
    schedule: String,
}

impl GraceReminders {
    /// By this schedule at the latest.
    #[must_use]
    pub fn new(store: Store, numbers: Arc<Numbers>, policy: Policy, schedule: &str) -> Self {
        Self { store, numbers, policy, schedule: schedule.to_owned() }
    }

    fn reminder(&self, now: Timestamp, number: &Number) -> Option<(Timestamp, Transition)> {
        let command = Command::RemindOfGrace { lease_id: number.state.lease()?.lease_id };
        let decided = decide(number, Acting::Authority, &command, &self.policy, now);
        decided.ok().map(|transition| (now, transition))
    }
}

impl Job for GraceReminders {
    fn name(&self) -> &'static str {
        NAME
    }

    fn role(&self) -> &'static str {
        "job:grace_reminders"
    }

    fn schedule(&self) -> &str {
        &self.schedule
    }

    async fn due_in(&self) -> Result<Option<Duration>, StoreError> {
        self.store.next_reminder(self.policy.reminder_interval).await
    }

    async fn run(&self, run: &Run) -> Result<Value, JobError> {
        let mut reminded = 0;
        let mut after: Option<After> = None;
        while run.may_go_on() {
            let due = self.store.reminders_due(self.policy.reminder_interval, after.as_ref(), BATCH).await?;
            let last = due
                .last()
                .and_then(|(_, number)| Some((number.state.lease()?.effective_until, number.identifier.clone())));
            let reminders = due.iter().filter_map(|(now, number)| self.reminder(*now, number)).collect();
            reminded += self.numbers.commit_batch(&run.role(), reminders, &run.origin()).await?;
            if due.len() < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                return Ok(json!({ "reminded": reminded }));
            }
            after = last;
        }
        Err(JobError::Interrupted { so_far: json!({ "reminded": reminded }) })
    }
}
