//! What tombolo decides: the harmonised model, how it is written on the wire, who may do what, and what happens next.
//!
//! This crate owns every decision and does no I/O: no sockets, no clock, no randomness, no tasks. Time, bytes and seeds are arguments.
//! Floors, each may use those below it and never its sibling: [`hub`] over [`wire`] and [`policy`] over [`model`].

pub mod hub;
pub mod model;
pub mod policy;
pub mod wire;
mod work;
