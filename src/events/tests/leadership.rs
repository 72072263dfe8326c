//! One holder at a time, fenced by the term.

use super::*;
use crate::store::leadership::Leadership;

const ROLE: &str = "test";

async fn acquire(store: &Store, holder: &Replica, length: Duration) -> Option<Leadership> {
    store.acquire_leadership(ROLE, holder, length).await.unwrap()
}

#[tokio::test]
async fn a_role_has_one_holder_until_it_resigns_or_its_term_ends() {
    let servers = Servers::start().await;
    let store = servers.store();
    let [first, second] = [&Replica::new("first"), &Replica::new("second")];
    let long = Duration::from_mins(1);
    let short = Duration::from_millis(150);

    let held = acquire(&store, first, long).await.unwrap();
    assert!(held.until().remaining() <= long);
    assert_eq!(acquire(&store, second, long).await, None, "it is held");
    assert!(store.acquire_leadership("another", second, long).await.unwrap().is_some(), "roles are apart");
    store.resign_leadership(held.clone()).await.unwrap();
    assert_eq!(store.renew_leadership(&held, long).await.unwrap(), None, "who resigned is out");

    let next = acquire(&store, second, short).await.unwrap();
    assert!(next.term() > held.term());
    sleep(short).await;
    assert!(next.until().remaining().is_zero(), "the holder's own clock says so too");
    assert_eq!(store.renew_leadership(&next, long).await.unwrap(), None, "a term that is over is not prolonged");

    let again = acquire(&store, first, short).await.unwrap();
    let renewed = store.renew_leadership(&again, long).await.unwrap().unwrap();
    assert!(renewed.until() > again.until() && renewed.term() == again.term());
    store.resign_leadership(next).await.unwrap();
    assert_eq!(acquire(&store, second, long).await, None, "an old holder cannot resign for the new one");
    assert!(acquire(&store, first, long).await.unwrap().term() > renewed.term(), "asking again fences the older self");
    assert_eq!(store.renew_leadership(&renewed, long).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_ask_at_once_one_gets_the_role() {
    let servers = Servers::start().await;
    let store = servers.store();
    let mut previous = 0;
    for round in 0..10 {
        let asked = (0..16).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { acquire(&store, &Replica::new("one of many"), Duration::from_mins(1)).await })
        });
        let held: Vec<Leadership> =
            futures_util::future::join_all(asked).await.into_iter().filter_map(Result::unwrap).collect();
        let [held] = held.as_slice() else { panic!("{} holders in round {round}", held.len()) };
        assert!(held.term() > previous);
        previous = held.term();
        store.resign_leadership(held.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn a_term_that_was_written_by_a_clock_far_ahead_does_not_last_when_the_clock_is_back() {
    let servers = Servers::start().await;
    let (store, sql) = (servers.store(), servers.sql().await);
    let [first, second] = [Replica::new("first"), Replica::new("second")];
    let long = Duration::from_mins(1);
    let far_ahead = "UPDATE numbering.leaderships SET expires_at = clock_timestamp() + interval '91 days'";
    let mut held = acquire(&store, &first, long).await.unwrap();
    sql.execute(far_ahead, &[]).await.unwrap();
    held = store.next_outbox_wave(&held, long, 1, &[]).await.unwrap().unwrap().leadership;
    assert!(held.until().remaining() <= long, "its holder sets it right");
    assert_eq!(acquire(&store, &second, long).await, None, "and keeps it");
    sql.execute(far_ahead, &[]).await.unwrap();
    assert!(
        acquire(&store, &second, long).await.unwrap().term() > held.term(),
        "where its holder has gone, it is over"
    );
}
