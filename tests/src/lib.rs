//! The kit of all tests above the crates: real servers, a foreign client, the program as its operator runs it, recorded dialogues.
//!
//! Owns what several tests need to set up and to observe. Never asserts: a fixture that cannot be set up is an error, what is seen is
//! the test's business.
// A JSON value is indexed by name: what is missing is null, nothing panics.
#![allow(clippy::missing_errors_doc, clippy::indexing_slicing)]

pub mod acme;
pub mod client;
pub mod ejabberd;
pub mod native;
pub mod network;
pub mod pattern;
pub mod peer;
pub mod prosody;
pub mod script;
pub mod service;
pub mod transcript;
pub mod world;
