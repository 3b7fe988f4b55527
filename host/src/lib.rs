#![doc = include_str!("../ARCHITECTURE.md")]

pub mod admin;
pub mod app;
pub mod check;
pub mod cli;
pub mod client;
pub mod config;
pub mod reload;
pub mod store;
pub mod transport;
pub mod xmpp;
