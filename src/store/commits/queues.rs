//! Who waits for what others have locked: one queue for each number and each tenant, and one statement at a time for each queue.
//!
//! What must stay true: a queue takes one connection however many wait in it, and all queues together leave half of the pool to those
//! who wait for nobody; who comes while its number or tenant is waited for joins the queue; a queue ends when it is empty.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use numbering_domain::TenantId;
use tokio::sync::Semaphore;

use super::{CHANGES_AT_ONCE, Want, commit};
use crate::store::Store;
use crate::store::commit::Locks;

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// The number with this key.
    Number(String),
    /// This tenant's row.
    Tenant(TenantId),
}

/// The queues.
#[derive(Debug)]
pub(super) struct Queues {
    waiting: Mutex<HashMap<Reason, Vec<Want>>>,
    pub(super) turns: Semaphore,
}

/// A queue that is served. Should that end before the queue does, the queue ends with it, and who waits in it is told.
struct Served<'a> {
    queues: &'a Queues,
    reason: Reason,
    is_over: bool,
}

impl Queues {
    pub(super) fn new(store: &Store) -> Self {
        let turns = (store.pool.status().max_size / 2).max(1);
        Self { waiting: Mutex::default(), turns: Semaphore::new(turns) }
    }

    /// Sends those whose number or tenant is waited for already to its queue, and gives the others.
    pub(super) fn join(&self, wants: Vec<Want>) -> Vec<Want> {
        let mut waiting = self.waiting();
        if waiting.is_empty() {
            return wants;
        }
        let mut others = Vec::with_capacity(wants.len());
        for want in wants {
            let number = Reason::Number(want.ask.key().to_owned());
            let tenant = want.ask.tenant().cloned().map(Reason::Tenant);
            let reason = [Some(number), tenant].into_iter().flatten().find(|reason| waiting.contains_key(reason));
            match reason.and_then(|reason| waiting.get_mut(&reason)) {
                Some(queue) => queue.push(want),
                None => others.push(want),
            }
        }
        others
    }

    /// Has these wait, behind those who wait for the same already.
    pub(super) fn wait(self: &Arc<Self>, store: &Store, reason: Reason, wants: Vec<Want>) {
        let mut waiting = self.waiting();
        if let Some(queue) = waiting.get_mut(&reason) {
            queue.extend(wants);
            return;
        }
        waiting.insert(reason.clone(), wants);
        tokio::spawn(Arc::clone(self).serve(store.clone(), reason));
    }

    async fn serve(self: Arc<Self>, store: Store, reason: Reason) {
        // Who waits for a tenant waits for no number: that has a queue of its own.
        let locks = match reason {
            Reason::Number(_) => Locks::Awaited,
            Reason::Tenant(_) => Locks::TenantsAwaited,
        };
        let mut served = Served { queues: &self, reason, is_over: false };
        while !served.ends() {
            // Nobody closes the semaphore.
            let Ok(_turn) = self.turns.acquire().await else { return };
            let wants = served.next();
            commit(&store, &self, wants, locks).await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Reason, Vec<Want>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Served<'_> {
    /// Whether nobody waits any more; then the queue is no more.
    fn ends(&mut self) -> bool {
        let mut waiting = self.queues.waiting();
        if waiting.get(&self.reason).is_none_or(Vec::is_empty) {
            waiting.remove(&self.reason);
            self.is_over = true;
        }
        self.is_over
    }

    /// The next in the queue, as many as share a statement.
    fn next(&self) -> Vec<Want> {
        let mut waiting = self.queues.waiting();
        let Some(queue) = waiting.get_mut(&self.reason) else { return Vec::new() };
        let some = queue.len().min(CHANGES_AT_ONCE);
        queue.drain(..some).collect()
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.queues.waiting().remove(&self.reason);
        }
    }
}
