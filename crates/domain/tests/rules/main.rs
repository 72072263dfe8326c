//! The rules of the numbering inventory, seen from outside the crate: every state × command, the order of refusals, the
//! stories' criteria, and random histories that must keep the invariants.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the finding, in what they share too")]

mod criteria;
mod given;
mod histories;
mod precedence;
mod replay;
mod state_table;
mod sweep;
mod world;
