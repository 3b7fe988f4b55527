//! One process of the private server: starting, knowing when it answers, stopping. When to start the next is not decided here.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::LocalError;

/// How long it may take until it answers; 65 ms are usual.
const STARTING: Duration = Duration::from_secs(20);
/// Between two attempts to reach it.
const PROBING: Duration = Duration::from_millis(20);
/// How long it may take to stop before it is killed; 6 ms are usual.
const STOPPING: Duration = Duration::from_secs(5);
/// Lines of its output that are kept for an error message.
const LINES_KEPT: usize = 6;

/// The process.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    said: Arc<Mutex<VecDeque<String>>>,
}

impl Server {
    /// Starts the process and waits until it answers for `domain` on `address`.
    pub(super) async fn start(configuration: &Path, address: SocketAddr, domain: &str) -> Result<Self, LocalError> {
        let mut server = Self::spawn(configuration)?;
        let until = Instant::now() + STARTING;
        while !answers(address, domain).await {
            let failure = match server.child.try_wait() {
                Ok(Some(status)) => Some(status.to_string()),
                Err(error) => Some(error.to_string()),
                Ok(None) if server.cannot_listen() => Some(format!("{address} is in use")),
                Ok(None) if Instant::now() >= until => Some(format!("it does not answer on {address}")),
                Ok(None) => None,
            };
            if let Some(failure) = failure {
                let said = server.last_words();
                server.stop().await;
                return Err(LocalError::NotStarted(format!("{failure}{said}")));
            }
            sleep(PROBING).await;
        }
        Ok(server)
    }

    fn spawn(configuration: &Path) -> Result<Self, LocalError> {
        let mut command = Command::new("prosody");
        command.arg("-F").arg("--config").arg(configuration);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        die_with_parent(&mut command);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => LocalError::NotInstalled,
            _ => LocalError::NotStarted(error.to_string()),
        })?;
        let said = Arc::default();
        if let Some(output) = child.stdout.take() {
            tokio::spawn(listen(output, Arc::clone(&said)));
        }
        if let Some(output) = child.stderr.take() {
            tokio::spawn(listen(output, Arc::clone(&said)));
        }
        Ok(Self { child, said })
    }

    /// Waits until the process ends by itself.
    pub(super) async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        format!(
            "{}{}",
            status.map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string()),
            self.last_words()
        )
    }

    /// Tells it to read its configuration and its certificates again.
    pub(super) fn reread(&self) {
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }

    /// Asks it to stop, and kills it if it does not.
    pub(super) async fn stop(&mut self) {
        self.signal(Signal::TERM);
        if timeout(STOPPING, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    /// Prosody runs on when its port is taken, and only says so.
    fn cannot_listen(&self) -> bool {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.iter().any(|line| line.contains("Failed to open server port"))
    }

    fn last_words(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.iter().map(|line| format!("; {line}")).collect()
    }
}

/// When we die, however we die, it gets SIGTERM. The signal comes when the *thread* that starts it ends: a worker of the
/// runtime, which lives as long as the service.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the parent-death signal must be set between fork and exec")]
fn die_with_parent(command: &mut Command) {
    let set = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?);
    // SAFETY: the closure makes one system call, allocates nothing and takes no lock.
    unsafe { command.pre_exec(set) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}

async fn listen(output: impl AsyncRead + Unpin, said: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::debug!(target: "prosody", "{line}");
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= LINES_KEPT {
            said.pop_front();
        }
        said.push_back(line);
    }
}

/// Whether a server for `domain` speaks XMPP there.
async fn answers(address: SocketAddr, domain: &str) -> bool {
    timeout(Duration::from_secs(2), greeting(address, domain)).await.is_ok_and(|answer| answer.unwrap_or(false))
}

async fn greeting(address: SocketAddr, domain: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let hello = format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='{domain}' version='1.0'>"
    );
    stream.write_all(hello.as_bytes()).await?;
    let mut answer = Vec::new();
    while !contains(&answer, b"</stream:features>") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Ok(false);
        }
    }
    stream.write_all(b"</stream:stream>").await?;
    Ok(contains(&answer, domain.as_bytes()))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
