//! What many callers ask at once, answered together: while a batch is worked on, what comes meanwhile gathers for the next.
//!
//! What must stay true: nobody waits for others to come, nor long for a batch that is stuck; what is asked is taken up by a batch
//! that began after it was asked; and the work goes on when who asked has gone, unless it looks ([`Waiting::is_left`]).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// How long a batch keeps its turn. One that takes longer, as over a connection that has gone silent, goes on beside the next.
const TURN: Duration = Duration::from_millis(500);

/// Something that was asked, and the way back to who did.
#[derive(Debug)]
pub(crate) struct Waiting<Ask, Answer> {
    pub(crate) ask: Ask,
    reply: oneshot::Sender<Answer>,
}

impl<Ask, Answer> Waiting<Ask, Answer> {
    /// With the other end of its way back.
    pub(crate) fn new(ask: Ask) -> (Self, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        (Self { ask, reply }, answer)
    }

    /// Answers who asked, and gives back what was asked.
    pub(crate) fn answer(self, answer: Answer) -> Ask {
        // Who has gone needs no answer.
        let _: Result<(), Answer> = self.reply.send(answer);
        self.ask
    }

    /// Whether who asked has gone.
    pub(crate) fn is_left(&self) -> bool {
        self.reply.is_closed()
    }
}

/// The way to ask. The work ends when it is dropped, and what was asked is answered.
#[derive(Debug)]
pub(crate) struct Batches<Ask, Answer> {
    asks: mpsc::UnboundedSender<Waiting<Ask, Answer>>,
}

impl<Ask: Send + 'static, Answer: Send + 'static> Batches<Ask, Answer> {
    /// Has `work` done for batches that are full once what is asked weighs `most`, at most `at_once` of them at once but for those
    /// that take long. How many may wait is for the callers to bound.
    pub(crate) fn start<Done: Future<Output = ()> + Send + 'static>(
        at_once: usize,
        most: usize,
        weigh: impl Fn(&Ask) -> usize + Send + 'static,
        work: impl Fn(Vec<Waiting<Ask, Answer>>) -> Done + Send + 'static,
    ) -> Self {
        let (asks, mut waiting) = mpsc::unbounded_channel::<Waiting<Ask, Answer>>();
        tokio::spawn(async move {
            let turns = Arc::new(Semaphore::new(at_once));
            // The turn comes first: what arrives while all are busy gathers in the channel.
            while let Ok(turn) = Arc::clone(&turns).acquire_owned().await {
                let Some(first) = waiting.recv().await else { return };
                let mut weight = weigh(&first.ask);
                let mut batch = vec![first];
                while weight < most
                    && let Ok(next) = waiting.try_recv()
                {
                    weight += weigh(&next.ask);
                    batch.push(next);
                }
                let done = work(batch);
                tokio::spawn(async move {
                    let mut done = pin!(done);
                    let in_time = timeout(TURN, &mut done).await.is_ok();
                    drop(turn);
                    if !in_time {
                        done.await;
                    }
                });
            }
        });
        Self { asks }
    }

    /// The answer; `None` where the work ended without one.
    pub(crate) async fn ask(&self, ask: Ask) -> Option<Answer> {
        let (waiting, answer) = Waiting::new(ask);
        self.asks.send(waiting).ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Mutex;

    use super::*;

    /// Batches that tell how large they are, and go on when they may.
    fn told(at_once: usize, most: usize) -> (Arc<Batches<u32, usize>>, Arc<Semaphore>) {
        let may_go_on = Arc::new(Semaphore::new(0));
        let batches = Batches::start(at_once, most, |_| 1, {
            let may_go_on = Arc::clone(&may_go_on);
            move |batch: Vec<Waiting<u32, usize>>| {
                let may_go_on = Arc::clone(&may_go_on);
                async move {
                    may_go_on.acquire().await.unwrap().forget();
                    let size = batch.len();
                    for waiting in batch {
                        waiting.answer(size);
                    }
                }
            }
        });
        (Arc::new(batches), may_go_on)
    }

    async fn asked(batches: &Arc<Batches<u32, usize>>, asks: u32) -> Vec<tokio::task::JoinHandle<Option<usize>>> {
        let mut answers = Vec::new();
        for ask in 0..asks {
            let batches = Arc::clone(batches);
            answers.push(tokio::spawn(async move { batches.ask(ask).await }));
            tokio::task::yield_now().await;
        }
        answers
    }

    /// How large the batches were that each was in.
    async fn sizes(answers: Vec<tokio::task::JoinHandle<Option<usize>>>) -> Vec<usize> {
        let mut sizes = Vec::new();
        for answer in answers {
            sizes.push(answer.await.unwrap().unwrap());
        }
        sizes
    }

    #[tokio::test]
    async fn what_comes_while_a_batch_is_worked_on_goes_in_the_next() {
        let (batches, may_go_on) = told(1, 4);
        let answers = asked(&batches, 6).await;
        may_go_on.add_permits(6);
        let sizes = sizes(answers).await;
        assert_eq!(sizes, [1, 4, 4, 4, 4, 1]);
    }

    #[tokio::test]
    async fn what_weighs_much_fills_a_batch_sooner() {
        let (tell, mut told) = mpsc::unbounded_channel();
        let may_go_on = Arc::new(Semaphore::new(0));
        let weigh = |weight: &usize| *weight;
        let batches = Batches::<usize, ()>::start(1, 10, weigh, {
            let may_go_on = Arc::clone(&may_go_on);
            move |batch| {
                let (tell, may_go_on) = (tell.clone(), Arc::clone(&may_go_on));
                async move {
                    may_go_on.acquire().await.unwrap().forget();
                    tell.send(batch.iter().map(|waiting| waiting.ask).collect::<Vec<usize>>()).unwrap();
                }
            }
        });
        for weight in [1, 4, 5, 9, 9, 100, 1] {
            assert!(timeout(Duration::ZERO, batches.ask(weight)).await.is_err(), "nothing answers yet");
            tokio::task::yield_now().await;
        }
        may_go_on.add_permits(7);
        for expected in [vec![1], vec![4, 5, 9], vec![9, 100], vec![1]] {
            assert_eq!(timeout(TURN, told.recv()).await, Ok(Some(expected)));
        }
    }

    #[tokio::test]
    async fn a_batch_takes_as_many_as_it_may() {
        let (batches, may_go_on) = told(1, 1_000);
        let answers = asked(&batches, 1_001).await;
        may_go_on.add_permits(2);
        let sizes = sizes(answers).await;
        assert_eq!((sizes[0], sizes[1], sizes[1_000]), (1, 1_000, 1_000));
    }

    #[tokio::test]
    async fn no_more_batches_than_may_are_worked_on_at_once() {
        let (batches, may_go_on) = told(2, 4);
        let answers = asked(&batches, 4).await;
        may_go_on.add_permits(4);
        let sizes = sizes(answers).await;
        assert_eq!(sizes, [1, 1, 2, 2]);
    }

    #[tokio::test]
    async fn a_batch_that_is_stuck_holds_nobody_up_for_long() {
        let stuck = Arc::new(Semaphore::new(0));
        let batches = Arc::new(Batches::<bool, ()>::start(1, 4, |_| 1, {
            let stuck = Arc::clone(&stuck);
            move |batch: Vec<Waiting<bool, ()>>| {
                let stuck = Arc::clone(&stuck);
                async move {
                    if batch.iter().any(|waiting| waiting.ask) {
                        stuck.acquire().await.unwrap().forget();
                    }
                    for waiting in batch {
                        waiting.answer(());
                    }
                }
            }
        }));
        let first = tokio::spawn({
            let batches = Arc::clone(&batches);
            async move { batches.ask(true).await }
        });
        tokio::task::yield_now().await;
        let others = async {
            for _ in 0..3 {
                assert_eq!(batches.ask(false).await, Some(()));
            }
        };
        timeout(TURN * 10, others).await.expect("the first is stuck");
        assert!(!first.is_finished());
        stuck.add_permits(1);
        assert_eq!(first.await.unwrap(), Some(()), "it goes on to its end");
    }

    #[tokio::test]
    async fn a_batch_that_panics_takes_nobody_else_with_it() {
        let batches = Batches::<bool, ()>::start(
            1,
            4,
            |_| 1,
            |batch: Vec<Waiting<bool, ()>>| async move {
                for waiting in batch {
                    assert!(!waiting.ask, "as it is told to");
                    waiting.answer(());
                }
            },
        );
        assert_eq!(batches.ask(true).await, None);
        assert_eq!(batches.ask(false).await, Some(()));
    }

    #[tokio::test]
    async fn who_asks_work_that_ended_without_an_answer_is_told() {
        let seen = Arc::new(Mutex::new(0));
        let batches = Batches::<u32, usize>::start(1, 4, |_| 1, {
            let seen = Arc::clone(&seen);
            move |batch| {
                let seen = Arc::clone(&seen);
                async move { *seen.lock().await += batch.len() }
            }
        });
        assert_eq!(batches.ask(1).await, None);
        assert_eq!(batches.ask(2).await, None);
        assert_eq!(*seen.lock().await, 2);
    }

    #[tokio::test]
    async fn the_work_can_tell_that_who_asked_has_gone() {
        let (tell, mut told) = mpsc::unbounded_channel();
        let may_look = Arc::new(Semaphore::new(0));
        let batches = Batches::<u32, usize>::start(1, 4, |_| 1, {
            let may_look = Arc::clone(&may_look);
            move |batch| {
                let (tell, may_look) = (tell.clone(), Arc::clone(&may_look));
                async move {
                    may_look.acquire().await.unwrap().forget();
                    for waiting in batch {
                        tell.send(waiting.is_left()).unwrap();
                    }
                }
            }
        });
        assert!(timeout(Duration::ZERO, batches.ask(1)).await.is_err(), "nothing answers yet");
        may_look.add_permits(1);
        assert_eq!(told.recv().await, Some(true));
    }
}
