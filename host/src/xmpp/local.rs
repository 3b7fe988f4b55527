//! The private server: a Prosody as a child process, configured, started, watched and stopped by us.
//!
//! Owns its directory (configuration, data, our own account's password) and the process. It never touches a Prosody that
//! the system runs, and listens beyond loopback only with a certificate, and then with TLS only. Needs the `prosody` package installed.

mod child;
mod files;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jid::Jid;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tombolo_core::model::account::{LocalServerSettings, reached_at};
use tombolo_core::model::{Account, Secret, TlsMode};

use super::backoff::Backoff;
use child::Server;
use files::Files;

/// The name of tombolo's own account.
pub const OWN_NAME: &str = "bridge";
/// The resource that it asks for.
const OWN_RESOURCE: &str = "tombolo";
/// A process that lived so long was a good one: the next failure is a new one.
const LASTING: Duration = Duration::from_secs(60);
/// How often a port that was free and then was not is replaced by another one.
const PORTS_TRIED: usize = 3;

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
    #[error(
        "prosody is not installed; [xmpp.local] needs it: apt install prosody (Debian, Ubuntu), dnf install prosody (Fedora)"
    )]
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
    files: Files,
    address: SocketAddr,
    state: watch::Receiver<LocalState>,
    orders: mpsc::Sender<Order>,
    task: tokio::task::JoinHandle<()>,
}

/// Writes the configuration into a directory (made if missing), starts the child and waits until it answers.
pub async fn start(directory: &Path, settings: LocalServerSettings) -> Result<LocalServer, LocalError> {
    if let Some(listen) = settings.listen.filter(|listen| !listen.ip().is_loopback() && settings.certificate.is_none())
    {
        let reason = "clients beyond this machine need TLS; give it a certificate and its key";
        return Err(LocalError::Settings(format!("listen = \"{listen}\" is no loopback address: {reason}")));
    }
    let files = Files::prepare(directory, settings)?;
    let (server, address) = first_start(&files).await?;
    let (state_sender, state) = watch::channel(LocalState::Running);
    let (orders, ordered) = mpsc::channel(1);
    let watcher = Watcher { files: files.clone(), address, state: state_sender };
    let task = tokio::spawn(watcher.run(server, ordered));
    tracing::info!(%address, domain = files.domain, "private XMPP server started");
    Ok(LocalServer { files, address, state, orders, task })
}

/// A free port may be taken by somebody between looking and using.
async fn first_start(files: &Files) -> Result<(Server, SocketAddr), LocalError> {
    let mut attempt = 1;
    loop {
        let listen = files.settings.listen;
        let address = match listen {
            Some(address) => address,
            None => files.free_address()?,
        };
        let configuration = files.write_configuration(address)?;
        match Server::start(&configuration, reached_at(address), &files.domain).await {
            Ok(server) => return Ok((server, address)),
            Err(LocalError::NotStarted(_)) if listen.is_none() && attempt < PORTS_TRIED => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

impl LocalServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Our own account on it, ready for [`super::session::spawn`].
    pub fn account(&self) -> Account {
        let jid = self.files.own_jid.with_resource_str(OWN_RESOURCE).map(Jid::from);
        let jid = jid.unwrap_or_else(|_| self.files.own_jid.clone().into());
        let password = self.files.own_password.clone();
        way_to(&self.files.settings, self.address, jid, password)
    }

    /// What the child is doing, as it changes.
    pub fn state(&self) -> watch::Receiver<LocalState> {
        self.state.clone()
    }

    /// People's accounts may have changed, or the files of the certificate: they take effect at the next login, without a restart.
    pub fn reload(&self, accounts: &BTreeMap<String, Secret>) -> Result<(), LocalError> {
        self.files.write_accounts(accounts)?;
        // Full: it is told already.
        let _ = self.orders.try_send(Order::Reread);
        Ok(())
    }

    /// Stops the child and waits until it is gone.
    pub async fn stop(self) {
        drop(self.orders);
        let _ = self.task.await;
    }
}

/// How an account of the private server logs in, on this machine.
pub fn way_to(settings: &LocalServerSettings, address: SocketAddr, jid: Jid, password: Secret) -> Account {
    let server = Some(reached_at(address).into());
    let (tls, ca) = match &settings.certificate {
        Some(files) => (TlsMode::Required, vec![files.certificate.clone()]),
        None => (TlsMode::Insecure, Vec::new()),
    };
    Account { jid, password, server, tls, ca }
}

/// What the child's watcher is told; that the channel is closed means: stop.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// Its files have changed.
    Reread,
}

/// Starts the child again whenever it dies, until told to stop.
struct Watcher {
    files: Files,
    address: SocketAddr,
    state: watch::Sender<LocalState>,
}

impl Watcher {
    async fn run(self, server: Server, mut orders: mpsc::Receiver<Order>) {
        let mut backoff = Backoff::default();
        let (mut server, mut since) = (server, Instant::now());
        loop {
            let reason = tokio::select! {
                reason = server.ended() => reason,
                order = orders.recv() => match order {
                    Some(Order::Reread) => {
                        server.reread();
                        continue;
                    }
                    None => {
                        server.stop().await;
                        break;
                    }
                }
            };
            if since.elapsed() >= LASTING {
                backoff.reset();
            }
            server = tokio::select! {
                server = self.start_again(reason, &mut backoff) => server,
                () = closed(&mut orders) => break,
            };
            since = Instant::now();
        }
        self.state.send_replace(LocalState::Stopped);
    }

    async fn start_again(&self, mut reason: String, backoff: &mut Backoff) -> Server {
        loop {
            let retry_in = backoff.next(rand::random());
            backoff.attempted();
            tracing::warn!(reason, ?retry_in, "private XMPP server ended, starting it again");
            self.state.send_replace(LocalState::Restarting { reason, retry_in });
            sleep(retry_in).await;
            let started = match self.files.write_configuration(self.address) {
                Ok(configuration) => Server::start(&configuration, reached_at(self.address), &self.files.domain).await,
                Err(error) => Err(error),
            };
            match started {
                Ok(server) => {
                    self.state.send_replace(LocalState::Running);
                    return server;
                }
                Err(error) => reason = error.to_string(),
            }
        }
    }
}

/// Waits for the order to stop; what is started anew reads its files anyhow.
async fn closed(orders: &mut mpsc::Receiver<Order>) {
    while orders.recv().await.is_some() {}
}
