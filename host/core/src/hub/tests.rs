//! Dialogues with the hub: stanzas and actions in, stanzas and events out, with nothing in between.
//!
//! What leaves is compared as a digest of one line, read with the client's side of the wire, so that a dialogue reads as one.

mod actions;
mod bounds;
mod chat;
mod commands;
mod concentrator;
mod controls;
mod custody;
mod delivery;
mod discover;
mod friends;
mod http;
mod large;
mod mirror;
mod operator;
mod orders;
mod passages;
mod publish;
mod queues;
mod readouts;
mod rules;
mod subscriptions;
mod world;
