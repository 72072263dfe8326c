//! The service as its users meet it, on real PostgreSQL, Redis and JetStream. Each test has a database, two Redis databases
//! and a NATS account of its own; `script/test` starts the servers around them.

#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod support;

mod development;
mod lifecycle;
