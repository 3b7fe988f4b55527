//! The mapper against scripted peers, natively: time passes when a test says so, and no socket is opened.

mod bench;
mod device;
mod discovery;
mod hostile;
mod lamp;
mod listeners;
mod reading;
mod subscriptions;
mod swap;
