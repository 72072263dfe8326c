//! A private Redis: a helper that may lose everything, so nothing of it is written to disk.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::{Home, Launch, Readiness, Server, programs};

/// Starts Redis in `home`. Notices of expired keys are not switched on here: that is the service's own doing.
pub async fn start(home: &Arc<Home>) -> anyhow::Result<Server> {
    let port = home.port("redis")?;
    let directory = home.path().join("redis");
    let settings: [(&str, OsString); 8] = [
        ("--bind", "127.0.0.1".into()),
        ("--port", port.to_string().into()),
        ("--dir", directory.into()),
        ("--save", "".into()),
        ("--appendonly", "no".into()),
        ("--databases", "512".into()),
        ("--daemonize", "no".into()),
        ("--logfile", "".into()),
    ];
    let arguments = settings.into_iter().flat_map(|(name, value)| [name.into(), value]).collect();
    let launch = Launch::new(programs::find("redis-server", "redis-server")?, arguments, Readiness::Redis);
    let mut server =
        Server::new(home, "redis", (Ipv4Addr::LOCALHOST, port).into(), format!("redis://127.0.0.1:{port}"), launch)?;
    server.start().await?;
    Ok(server)
}
