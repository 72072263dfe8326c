//! The service as its users meet it, on real PostgreSQL, Redis and JetStream. Each test has a database, two Redis databases
//! and a NATS account of its own; `script/test` starts the servers around them.

mod support;

mod import;
mod import_atomicity;
mod inventory;
mod lifecycle;
mod operators;
