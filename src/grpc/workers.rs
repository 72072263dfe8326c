//! The threads that serve gRPC: each runs its connections alone, so that a call that is answered from memory crosses no thread.
//!
//! What must stay true: a connection stays with its thread from its acceptance to its end; a new one goes to the thread that has
//! the fewest. Nothing on these threads blocks: what waits for a server waits elsewhere.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime;
use tokio::sync::mpsc;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One thread with its runtime.
struct Worker {
    work: mpsc::UnboundedSender<Work>,
    open: Arc<AtomicUsize>,
}

/// The threads. When they are dropped, each ends once its work has.
pub(super) struct Workers {
    workers: Vec<Worker>,
}

impl Workers {
    /// Starts `count` threads; one for each core where that is 0.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        let count = if count == 0 { thread::available_parallelism()?.get() } else { count };
        Ok(Self { workers: (0..count).map(Worker::start).collect::<Result<_, _>>()? })
    }

    /// Gives work to the thread that has the least.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let alive = self.workers.iter().filter(|worker| !worker.work.is_closed());
        if let Some(worker) = alive.min_by_key(|worker| worker.open.load(Ordering::Relaxed)) {
            worker.spawn(work);
        } else {
            tracing::error!("no thread serves gRPC any more");
        }
    }
}

/// Counts work for as long as it lives, a panic included.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (work, mut given) = mpsc::unbounded_channel::<Work>();
        thread::Builder::new().name(format!("grpc-{number}")).spawn(move || {
            runtime.block_on(async move {
                let mut under_way = tokio::task::JoinSet::new();
                while let Some(work) = given.recv().await {
                    under_way.spawn(work);
                    while under_way.try_join_next().is_some() {}
                }
                while under_way.join_next().await.is_some() {}
            });
        })?;
        Ok(Self { work, open: Arc::default() })
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let counted = Counted::new(&self.open);
        let work = async move {
            work.await;
            drop(counted);
        };
        if self.work.send(Box::pin(work)).is_err() {
            tracing::error!("a connection was lost with the thread that was to serve it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_goes_to_the_thread_that_has_the_least_and_ends_though_nobody_gives_any_more() {
        let workers = Workers::start(2).unwrap();
        let (name, mut names) = mpsc::unbounded_channel();
        let (end, ended) = tokio::sync::watch::channel(false);
        for _ in 0..4 {
            let (name, mut ended) = (name.clone(), ended.clone());
            workers.spawn(async move {
                name.send(thread::current().name().map(str::to_owned)).unwrap();
                ended.wait_for(|ended| *ended).await.unwrap();
                name.send(None).unwrap();
            });
        }
        let mut served = Vec::new();
        for _ in 0..4 {
            served.push(names.recv().await.unwrap().unwrap());
        }
        served.sort();
        assert_eq!(served, ["grpc-0", "grpc-0", "grpc-1", "grpc-1"]);
        drop(workers);
        end.send(true).unwrap();
        for _ in 0..4 {
            assert_eq!(names.recv().await.unwrap(), None);
        }
    }
}
