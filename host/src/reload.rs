//! Notices what the operator changes: plugin files and the configuration file.
//!
//! Owns the watch, the waiting for quiet and the comparison by content. Never judges a file: it offers whole files, and whoever
//! receives them decides what they are good for.

mod scan;
mod watch;

use std::path::PathBuf;

pub use scan::plugin_files;
pub use watch::{Watcher, watch};

/// Something is different from what was told before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A plugin file is new or has other content.
    Plugin {
        /// The file's name without `.wasm`.
        name: String,
        /// All of it.
        bytes: Vec<u8>,
        /// SHA-256, in hexadecimal digits.
        hash: String,
    },
    /// A plugin file is there and cannot be taken.
    PluginUnreadable {
        /// The file's name without `.wasm`.
        name: String,
        /// For the operator.
        reason: String,
    },
    /// A plugin file is gone.
    PluginGone {
        /// The file's name without `.wasm`.
        name: String,
    },
    /// The configuration file has other content, or is gone.
    Config,
    /// Everything that was there at the start has been told.
    Ready,
}

/// The directories cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {}: {what}", path.display())]
pub struct WatchError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub what: String,
}
