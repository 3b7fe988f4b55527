//! The whole plugin against a scripted broker: bytes in, bytes and actions out, time as a value.

mod broker;
mod declared;
mod discovered;
mod mangled;
mod session;
mod swap;
mod things;
