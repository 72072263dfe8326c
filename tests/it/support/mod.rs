//! A service for one test, and what a test needs to talk to it.

mod answer;
mod app;
mod events;
mod tokens;

pub(crate) use app::{Client, TestApp};
