//! End to end: real Prosody, real Mosquitto, the real program, and slixmpp as a client that knows nothing of us.
//!
//! Every test has servers of its own on free loopback ports. What is claimed was seen from outside: on XMPP, at the broker, in the
//! log, in an exit code.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // a test may

#[path = "e2e/coaps.rs"]
mod coaps;
#[path = "e2e/commands.rs"]
mod commands;
#[path = "e2e/component.rs"]
mod component;
#[path = "e2e/conventions.rs"]
mod conventions;
#[path = "e2e/dialogues.rs"]
mod dialogues;
#[path = "e2e/doors.rs"]
mod doors;
#[path = "e2e/faults.rs"]
mod faults;
#[path = "e2e/federation.rs"]
mod federation;
#[path = "e2e/flood.rs"]
mod flood;
#[path = "e2e/foreign.rs"]
mod foreign;
#[path = "e2e/heard.rs"]
mod heard;
#[path = "e2e/hostile.rs"]
mod hostile;
#[path = "e2e/http.rs"]
mod http;
#[path = "e2e/killed.rs"]
mod killed;
#[path = "e2e/load.rs"]
mod load;
#[path = "e2e/local.rs"]
mod local;
#[path = "e2e/lwm2m.rs"]
mod lwm2m;
#[path = "e2e/malformed.rs"]
mod malformed;
#[path = "e2e/mirror.rs"]
mod mirror;
#[path = "e2e/outages.rs"]
mod outages;
#[path = "e2e/pairs.rs"]
mod pairs;
#[path = "e2e/people.rs"]
mod people;
#[path = "e2e/publish.rs"]
mod publish;
#[path = "e2e/queues.rs"]
mod queues;
#[path = "e2e/refusals.rs"]
mod refusals;
#[path = "e2e/reload.rs"]
mod reload;
#[path = "e2e/secrets.rs"]
mod secrets;
#[path = "e2e/swap.rs"]
mod swap;
#[path = "e2e/upnp.rs"]
mod upnp;
