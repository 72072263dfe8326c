//! A service for one test, and what a test needs to talk to it.

mod answer;
mod app;
pub(crate) mod billing;
pub(crate) mod blocks;
mod events;
pub(crate) mod incoming;
pub(crate) mod pager;
pub(crate) mod prices;
pub(crate) mod tokens;
mod wait;

pub(crate) use answer::Answer;
pub(crate) use app::{Client, Replica, TestApp};
pub(crate) use wait::{PATIENCE, until};
