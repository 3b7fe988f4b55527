//! The sandbox from outside: one binary, because each links the whole engine.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

mod cache;
mod journal;
mod sandbox;
mod supervisor;
mod support;
mod thermometer;
