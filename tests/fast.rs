//! Fast tests over everything that needs no server: the tree's own rules, recorded dialogues, conformance scripts, corpora.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // a test may

mod conformance;
mod fuzz;
mod tidy;
mod transcripts;
