//! Takes from suspended tenants what they have (US-NUM-004): recalls leases under the suspension's ticket, and releases
//! reservations and holds, until none is left.
//!
//! What must stay true: how far it has come is told by the tenant's claims, so that whoever takes it over goes on from there
//! and recalls no lease twice; and nothing is taken from a tenant that is in good standing again, because what is decided
//! commits only at the revision that the tenant was suspended at. A cascade that waits to be confirmed has an open alert.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Job, JobError, Run};
use crate::operations::alerts::{AlertKind, Alerts};
use crate::operations::numbers::{Numbers, Suspended};
use crate::operations::told::COMPLIANCE;
use crate::store::cascades::{Cascade, CascadeState};
use crate::store::commit::Origin;
use crate::store::{Store, StoreError};

/// The job's name.
pub const NAME: &str = "cascade_recalls";

/// The most numbers that are loaded, decided and committed at once.
const BATCH: i64 = 1_000;
/// The most cascades that are walked side by side, a batch of each in turn.
const SIDE_BY_SIDE: i64 = 100;
/// The most open alerts, and cascades that wait, that are looked at in one run.
const WAITING_MOST: i64 = 1_000;
/// After so many rounds in a row in which nothing moved, the run fails: others keep changing the same rows.
const STUCK_AFTER: u32 = 3;

/// See the module.
#[derive(Debug)]
pub struct CascadeRecalls {
    store: Store,
    numbers: Arc<Numbers>,
    alerts: Alerts,
    schedule: String,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    taken: usize,
    finished: usize,
}

/// How far a run has come with one cascade since it last began at its beginning.
#[derive(Debug, Default)]
struct Walk {
    /// The last identifier that was looked at.
    after: String,
    /// How many were taken.
    taken: usize,
}

impl Done {
    fn counts(self) -> Value {
        json!({ "taken": self.taken, "finished": self.finished })
    }
}

impl CascadeRecalls {
    /// By this schedule at the latest.
    #[must_use]
    pub fn new(store: Store, numbers: Arc<Numbers>, alerts: Alerts, schedule: &str) -> Self {
        Self { store, numbers, alerts, schedule: schedule.to_owned() }
    }

    /// A batch of one cascade; `true` where that changed something.
    async fn walk(&self, run: &Run, cascade: &Cascade, walk: &mut Walk, done: &mut Done) -> Result<bool, StoreError> {
        let Some(batch) = self.store.cascade_batch(cascade, &walk.after, BATCH).await? else {
            if !walk.after.is_empty() {
                // What moved while it was walked by is found from the beginning.
                return Ok(std::mem::take(walk).taken > 0);
            }
            let finished = self.store.finish_cascade(cascade).await?;
            done.finished += usize::from(finished);
            return Ok(finished);
        };
        if let Some((_, last)) = batch.numbers.last() {
            last.identifier.key().clone_into(&mut walk.after);
        }
        let suspended = Suspended { tenant: &cascade.tenant, revision: batch.revision, ticket: &cascade.ticket };
        let origin = Origin { actor: COMPLIANCE.to_owned(), request_id: cascade.event_id.clone() };
        let taken = self.numbers.take_back(&run.role(), suspended, &batch.numbers, &origin).await?;
        done.taken += taken;
        walk.taken += taken;
        Ok(taken > 0)
    }

    /// Raises the alert of each cascade that waits, and resolves it for each that does not.
    async fn tell_of_those_that_wait(&self, run: &Run) -> Result<(), StoreError> {
        let kind = AlertKind::CascadeWaiting;
        // In this order: an alert that is open by now is of a cascade that was there before.
        let open = self.store.alerts(Some(true), None, WAITING_MOST).await?;
        let waiting = self.store.unfinished_cascades(CascadeState::AwaitingConfirmation, WAITING_MOST).await?;
        let ids: HashSet<String> = waiting.iter().map(|cascade| cascade.cascade_id.to_string()).collect();
        for cascade in &waiting {
            let summary = format!(
                "the recall of {} leases of the suspended tenant {} under {} waits to be confirmed",
                cascade.leases, cascade.tenant, cascade.ticket,
            );
            self.alerts.raise(kind, &cascade.cascade_id.to_string(), &summary, &run.origin()).await?;
        }
        for alert in open.iter().filter(|alert| alert.name == kind.name() && !ids.contains(&alert.subject)) {
            self.alerts.resolve(kind, &alert.subject, &run.origin()).await?;
        }
        Ok(())
    }
}

impl Job for CascadeRecalls {
    fn name(&self) -> &'static str {
        NAME
    }

    fn role(&self) -> &'static str {
        "job:cascade_recalls"
    }

    fn schedule(&self) -> &str {
        &self.schedule
    }

    /// A recall is for now, whatever time it is; what it sets by the clock, the store vouches for.
    fn rests_on_time(&self) -> bool {
        false
    }

    async fn due_in(&self) -> Result<Option<Duration>, StoreError> {
        let due = self.store.cascades_are_due(AlertKind::CascadeWaiting.name()).await?;
        Ok(due.then_some(Duration::ZERO))
    }

    async fn run(&self, run: &Run) -> Result<Value, JobError> {
        let (mut done, mut stuck) = (Done::default(), 0);
        let mut walks: HashMap<Uuid, Walk> = HashMap::new();
        self.tell_of_those_that_wait(run).await?;
        while run.may_go_on() {
            let running = self.store.unfinished_cascades(CascadeState::Running, SIDE_BY_SIDE).await?;
            if running.is_empty() {
                return Ok(done.counts());
            }
            let mut moved = false;
            for cascade in &running {
                if run.may_go_on() {
                    let walk = walks.entry(cascade.cascade_id).or_default();
                    moved |= self.walk(run, cascade, walk, &mut done).await?;
                }
            }
            stuck = if moved { 0 } else { stuck + 1 };
            if stuck == STUCK_AFTER && run.may_go_on() {
                let what = format!("{} cascades run and nothing moves", running.len());
                return Err(JobError::Failed { what, so_far: done.counts() });
            }
        }
        Err(JobError::Interrupted { so_far: done.counts() })
    }
}
