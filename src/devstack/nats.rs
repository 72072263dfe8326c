//! A private NATS server with JetStream, its streams kept under the data directory.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::{Home, Launch, Readiness, Server, files, programs};

/// The user, and password, of the account beside those for tests.
const DEFAULT_USER: &str = "numbering";

/// Starts NATS in `home`, with `accounts` further accounts that have a JetStream each of their own.
///
/// Tests that run side by side use one account each, because the stream names are fixed. With them nobody gets in without
/// credentials: a client that drops its own is to be noticed, not to land among another's events.
pub async fn start(home: &Arc<Home>, accounts: u16) -> anyhow::Result<Server> {
    let port = home.port("nats")?;
    let directory = home.path().join("nats");
    files::make_directory(&directory, 0o711)?;
    let file = directory.join("nats.conf");
    let store = serde_json::to_string(&directory.join("jetstream"))?;
    files::replace(&file, configuration(port, &store, accounts).as_bytes(), 0o600)?;
    let program = programs::find("nats-server", "nats-server")?;
    let launch = Launch::new(program, vec!["--config".into(), file.into()], Readiness::JetStream);
    let url = if accounts == 0 { format!("nats://127.0.0.1:{port}") } else { account_url(DEFAULT_USER, port) };
    let mut server = Server::new(home, "nats", (Ipv4Addr::LOCALHOST, port).into(), url, launch)?;
    server.start().await?;
    Ok(server)
}

/// The `number`th further account of the server on `port`.
pub(super) fn test_account_url(number: u16, port: u16) -> String {
    account_url(&test_user(number), port)
}

fn test_user(number: u16) -> String {
    format!("t{number}")
}

fn account_url(user: &str, port: u16) -> String {
    format!("nats://{user}:{user}@127.0.0.1:{port}")
}

fn configuration(port: u16, store: &str, accounts: u16) -> String {
    let mut text = format!(
        "listen: \"127.0.0.1:{port}\"\n\
         server_name: \"numbering-dev\"\n\
         jetstream {{ store_dir: {store}, max_memory_store: 256MB, max_file_store: 16GB }}\n"
    );
    if accounts > 0 {
        let users = (0..accounts).map(test_user);
        text.push_str("accounts {\n");
        for user in std::iter::once(DEFAULT_USER.to_owned()).chain(users) {
            // Writing to a string cannot fail.
            writeln!(text, "  {user}: {{ jetstream: enabled, users: [{{ user: {user}, password: {user} }}] }}").ok();
        }
        text.push_str("}\n");
    }
    text
}
