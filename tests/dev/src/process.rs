//! A child process whose output is kept line by line, that can be waited for with a limit and that does not outlive us.
//!
//! Owns starting, watching and ending. Never interprets what a child says. Two things end a child with its parent: `Drop`, and
//! `setpriv --pdeathsig` for the case that the parent is killed and drops nothing.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Outcome;

/// How long a child may take to end in order before it is killed.
const END_WITHIN: Duration = Duration::from_secs(10);
/// How often an ending child is looked at; std has no wait with a limit.
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    /// Streams that are still open.
    open: usize,
}

/// What a child has written so far, standard output and standard error together, in the order of arrival.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Seen>, Condvar)>);

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything so far.
    pub fn all(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// How many lines there are so far; a mark for [`Lines::wait_from`].
    pub fn count(&self) -> usize {
        self.lock().lines.len()
    }

    /// The first line at or after `mark` that fits; waits for it. None: the limit passed, or the child closed its output.
    pub fn wait_from(&self, mark: usize, limit: Duration, mut fits: impl FnMut(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + limit;
        let mut next = mark;
        let mut seen = self.lock();
        loop {
            while let Some(line) = seen.lines.get(next) {
                if fits(line) {
                    return Some(line.clone());
                }
                next += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || seen.open == 0 {
                return None;
            }
            seen = self.0.1.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn follow(&self, stream: impl Read + Send + 'static, each: impl Fn(&str) + Send + 'static) {
        self.lock().open += 1;
        let lines = self.clone();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut bytes = Vec::new();
            while stream.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
                let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                each(&line);
                lines.lock().lines.push(line);
                lines.0.1.notify_all();
                bytes.clear();
            }
            lines.lock().open -= 1;
            lines.0.1.notify_all();
        });
    }
}

/// A running child.
pub struct Process {
    name: String,
    child: Child,
    /// What it writes.
    pub lines: Lines,
    stdin: Option<ChildStdin>,
}

/// A command that is told to end when its parent dies.
pub fn bound(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// The program's path, also from the directories that only an administrator has in PATH.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(Into::into);
    std::env::split_paths(&path).chain(system).map(|directory| directory.join(program)).find(|file| file.is_file())
}

impl Process {
    /// Starts a command with all three streams piped. Make it with [`bound`], so that it cannot outlive us.
    pub fn start(name: &str, command: Command) -> Outcome<Self> {
        Self::start_with(name, command, |_| {})
    }

    /// The same, and hands each line over as it comes.
    pub fn start_with(name: &str, mut command: Command, each: impl Fn(&str) + Clone + Send + 'static) -> Outcome<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot start {name}: {error}"))?;
        let lines = Lines::default();
        if let Some(stream) = child.stdout.take() {
            lines.follow(stream, each.clone());
        }
        if let Some(stream) = child.stderr.take() {
            lines.follow(stream, each);
        }
        let stdin = child.stdin.take();
        Ok(Self { name: name.to_owned(), child, lines, stdin })
    }

    /// As it was started.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes one line to its standard input.
    pub fn write_line(&mut self, line: &str) -> Outcome<()> {
        let stdin = self.stdin.as_mut().ok_or_else(|| format!("the input of {} is closed", self.name))?;
        stdin.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdin.flush())?;
        Ok(())
    }

    /// Ends its input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// The first line so far or to come that contains `text`; an error quotes the end of the output.
    pub fn expect(&self, text: &str, limit: Duration) -> Outcome<String> {
        self.expect_from(0, text, limit)
    }

    /// The first line at or after `mark` that contains `text`.
    pub fn expect_from(&self, mark: usize, text: &str, limit: Duration) -> Outcome<String> {
        self.lines.wait_from(mark, limit, |line| line.contains(text)).ok_or_else(|| {
            let lines = self.lines.all();
            let tail = lines.iter().skip(lines.len().saturating_sub(30)).map(|line| format!("\n    {line}"));
            format!("{} did not say \"{text}\" within {limit:?}; it said:{}", self.name, tail.collect::<String>())
                .into()
        })
    }

    /// Sends a signal by name, as `TERM` or `HUP`.
    pub fn signal(&mut self, signal: &str) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = send_signal(signal, self.child.id());
        }
    }

    /// Waits for the end.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK_EVERY),
                _ => return None,
            }
        }
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it in order, by force if it does not.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.stdin = None;
        self.signal("TERM");
        let ended = self.wait(END_WITHIN);
        if ended.is_none() {
            self.kill();
        }
        ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends a signal to a process of ours. The shell's own `kill` is there even where procps is not.
pub fn send_signal(signal: &str, id: u32) -> std::io::Result<ExitStatus> {
    Command::new("sh").args(["-c", &format!("kill -{signal} {id}")]).stderr(Stdio::null()).status()
}

/// A process and everything that descends from it, children last.
pub fn family(id: u32) -> Vec<u32> {
    let mut members = vec![id];
    let mut next = 0;
    while let Some(parent) = members.get(next).copied() {
        members.extend(children(parent));
        next += 1;
    }
    members
}

fn children(parent: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Ports that servers of tests get: below those that the system gives to whoever asks for any, so that no outgoing connection and no
/// other test takes one between its being found free and its server's listening.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
/// How far apart two processes begin to look.
const PORTS_APART: u32 = 100;

/// A loopback port that is free now for TCP and UDP and that nobody of this process was given before.
pub fn free_port() -> Outcome<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (first, span) = (std::process::id().wrapping_mul(PORTS_APART), u32::from(PORTS.end - PORTS.start));
    for _ in PORTS {
        let step = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + u16::try_from(step % span)?;
        let address = ("127.0.0.1", port);
        if std::net::TcpListener::bind(address).is_ok() && std::net::UdpSocket::bind(address).is_ok() {
            return Ok(port);
        }
    }
    Err("every port for servers of tests is taken".into())
}

/// With this variable set, what a failed test had in its directory is kept, and said where.
pub const KEEP: &str = "TOMBOLO_KEEP";
/// Marks a directory that was kept on purpose.
const KEPT: &str = ".kept";

/// A directory that goes away with its value; when its process was killed, with the next one.
pub struct Scratch(std::path::PathBuf);

impl Scratch {
    /// A new empty directory below `parent`.
    pub fn new(parent: &Path, name: &str) -> Outcome<Self> {
        sweep(parent);
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
        let path = parent.join(format!("{name}-{}-{nanos:x}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path.canonicalize()?))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os(KEEP).is_some() {
            let _ = std::fs::write(self.0.join(KEPT), "");
            crate::say(&format!("kept for a look: {}", self.0.display()));
            return;
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Removes what processes left that were killed; what was kept on purpose stays.
fn sweep(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut parts = name.rsplit('-');
        let owner = parts.next().and_then(|_| parts.next()).and_then(|id| id.parse::<u32>().ok());
        let is_orphan = owner.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists());
        if is_orphan && !entry.path().join(KEPT).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Process {
        let mut command = bound("sh");
        command.args(["-c", script]);
        Process::start("shell", command).unwrap()
    }

    #[test]
    fn finds_lines_of_both_streams() {
        let process = shell("echo one; echo two >&2");
        assert_eq!(process.expect("one", SOON).unwrap(), "one");
        assert_eq!(process.expect("two", SOON).unwrap(), "two");
    }

    #[test]
    fn gives_up_when_the_child_is_silent_for_good() {
        let process = shell("echo one");
        let error = process.expect("never", SOON).unwrap_err().to_string();
        assert!(error.contains("did not say \"never\"") && error.contains("one"), "{error}");
    }

    #[test]
    fn ends_what_does_not_end_by_itself() {
        let mut process = shell("echo up; exec cat");
        process.expect("up", SOON).unwrap();
        process.stop();
        assert!(process.wait(SOON).is_some());
    }

    #[test]
    fn what_a_killed_process_left_goes_with_the_next_and_what_was_kept_stays() {
        let parent = Scratch::new(&crate::place::scratch().unwrap(), "sweep").unwrap();
        let [left, kept, alive] = ["site-4194304-1", "site-4194304-2", &format!("site-{}-1", std::process::id())]
            .map(|name| parent.path().join(name));
        for directory in [&left, &kept, &alive] {
            std::fs::create_dir(directory).unwrap();
        }
        std::fs::write(kept.join(KEPT), "").unwrap();
        let _next = Scratch::new(parent.path(), "next").unwrap();
        assert_eq!((left.exists(), kept.exists(), alive.exists()), (false, true, true));
    }

    #[test]
    fn knows_its_grandchildren() {
        let process = shell("tail -f /dev/null & echo started $!; wait");
        let line = process.expect("started", SOON).unwrap();
        let grandchild: u32 = line.trim_start_matches("started ").parse().unwrap();
        assert!(family(process.id()).contains(&grandchild));
        let _ = send_signal("KILL", grandchild);
    }
}
