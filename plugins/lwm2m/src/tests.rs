//! The whole plugin natively: a scripted device at its server, a scripted server at its client.

mod client;
mod device;
mod hostile;
mod observing;
mod operations;
mod registration;
mod swap;
mod upstream;
