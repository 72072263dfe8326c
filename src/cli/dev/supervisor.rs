//! Keeps servers running: what dies is started again on the same port after a while, with everything else going on.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::devstack::Server;

/// Servers that are kept running, in stages: a later stage needs the earlier ones, and is stopped first.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    stop: CancellationToken,
    servers: JoinSet<()>,
}

impl Supervisor {
    /// Keeps `servers` running, as one stage, until [`Supervisor::stop`]; what dies is started again after
    /// `restart_delay`.
    pub(super) fn keep(&mut self, servers: impl IntoIterator<Item = Server>, restart_delay: Duration) {
        let mut stage = Stage { stop: CancellationToken::new(), servers: JoinSet::new() };
        for server in servers {
            stage.servers.spawn(keep_running(server, restart_delay, stage.stop.clone()));
        }
        self.stages.push(stage);
    }

    /// Stops all servers in good order, the last stage first.
    pub(super) async fn stop(&mut self) {
        while let Some(stage) = self.stages.pop() {
            stage.stop.cancel();
            stage.servers.join_all().await;
        }
    }
}

async fn keep_running(mut server: Server, restart_delay: Duration, stop: CancellationToken) {
    loop {
        let ended = tokio::select! {
            ended = server.exited() => ended,
            () = stop.cancelled() => break,
        };
        if let Some(status) = ended {
            eprintln!("{} died ({status}); it is started again in {restart_delay:?}", server.name());
        }
        tokio::select! {
            () = sleep(restart_delay) => {}
            () = stop.cancelled() => break,
        }
        match server.launch().await {
            Ok(()) => eprintln!("{} is started again on port {}", server.name(), server.port()),
            Err(error) => eprintln!("{} could not be started: {error:#}", server.name()),
        }
    }
    server.stop().await;
}
