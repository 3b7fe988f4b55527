//! Fast tests over everything that needs no server: the tree's own rules, recorded dialogues, conformance scripts, corpora.
#![allow(missing_docs)]

mod conformance;
mod fuzz;
mod tidy;
mod transcripts;
