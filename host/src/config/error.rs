//! Complaints about the operator's file.
//!
//! Owns their text: file, line, key, what is wrong, and what to write instead. Never shows a value that may be a secret.

use std::fmt;
use std::path::PathBuf;

/// One thing wrong with the file. Displays what follows the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1; none: the file as a whole.
    pub line: Option<usize>,
    /// As it would be written: `bridges.home.plugin`; empty: none in particular.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub what: String,
}

/// The file cannot be used; everything that is wrong with it, in order of lines. Displays one line for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The operator's file.
    pub file: PathBuf,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                out.write_str("\n")?;
            }
            write!(out, "{}:{problem}", self.file.display())?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(out, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(out, " {}:", self.key)?;
        }
        write!(out, " {}", self.what)
    }
}
