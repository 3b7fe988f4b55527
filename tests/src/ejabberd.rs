//! Another real XMPP server for a test: ejabberd on free loopback ports, with accounts, a certificate of its own and a component.
//!
//! Owns the server's configuration. Everything lies in a scratch directory; nothing of an ejabberd that is installed as a service is read,
//! and the Erlang machine runs without a node name, so that nothing else of Erlang is started beside it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tombolo_dev::Outcome;
use tombolo_dev::place;
use tombolo_dev::process::{Process, Scratch, bound, find, free_port};

use crate::prosody::{PASSWORD, certificate};

/// How long a server may take to listen; on a loaded machine it takes half a minute.
const UP_WITHIN: Duration = Duration::from_secs(120);

/// What a server shall be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// Its domain; `.localhost` resolves nowhere.
    pub domain: &'a str,
    /// Local parts; everybody's password is [`PASSWORD`].
    pub accounts: &'a [&'a str],
    /// A component's domain; its secret is [`PASSWORD`].
    pub component: Option<&'a str>,
    /// Whether it listens for other servers.
    pub s2s: bool,
    /// Lines added to its configuration.
    pub lines: &'a str,
}

/// A running server.
pub struct Ejabberd {
    /// For clients that begin in clear text and may go on with STARTTLS.
    pub port: u16,
    /// For the component.
    pub component_port: u16,
    /// For other servers.
    pub s2s_port: u16,
    /// The trust anchor, PEM.
    pub ca: PathBuf,
    process: Process,
    accounts: Vec<String>,
    domain: String,
    scratch: Scratch,
}

impl Ejabberd {
    /// Starts a server.
    pub fn start(settings: Settings<'_>) -> Outcome<Self> {
        let scratch = Scratch::new(&place::scratch()?, "ejabberd")?;
        let ca = certificate(scratch.path(), settings.domain)?;
        let both = ["server.pem", "server.key"].map(|file| std::fs::read_to_string(scratch.path().join(file)));
        let [certificate, key] = both;
        std::fs::write(scratch.path().join("both.pem"), certificate? + &key?)?;
        let (port, component_port, s2s_port) = (free_port()?, free_port()?, free_port()?);
        let text = configuration(scratch.path(), settings, [port, component_port, s2s_port])?;
        std::fs::write(scratch.path().join("ejabberd.yml"), text)?;
        let accounts: Vec<String> = settings.accounts.iter().map(|account| (*account).to_owned()).collect();
        let process = launch(scratch.path(), settings.domain, &accounts)?;
        let domain = settings.domain.to_owned();
        Ok(Self { port, component_port, s2s_port, ca, process, accounts, domain, scratch })
    }

    /// Kills it as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same ports, with what it had on disk.
    pub fn start_again(&mut self) -> Outcome<()> {
        self.process = launch(self.scratch.path(), &self.domain, &self.accounts)?;
        Ok(())
    }

    /// The address for clients in the form of the operator's file.
    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// ejabberd's own starter insists on a system user and a node name; the program beneath it does not.
fn launch(directory: &Path, domain: &str, accounts: &[String]) -> Outcome<Process> {
    find("ejabberdctl").ok_or("ejabberd is not installed; `cargo verify` installs it")?;
    let program = find("erl").ok_or("erl, which comes with ejabberd, is not installed")?;
    let mut registering = String::new();
    for account in accounts {
        write!(registering, "ejabberd_auth:try_register(<<\"{account}\">>,<<\"{domain}\">>,<<\"{PASSWORD}\">>),")?;
    }
    let mut command = bound(program);
    command.args(["-noinput", "-start_epmd", "false", "-mnesia", "dir"]);
    command.arg(format!("\"{}\"", directory.join("spool").display()));
    command.args(["-s", "ejabberd", "-eval", &format!("{registering}io:format(\"tombolo: ready~n\").")]);
    command.env("HOME", directory).env("ERL_CRASH_DUMP", directory.join("crash")).env("ERL_LIBS", libraries()?);
    command.env("EJABBERD_CONFIG_PATH", directory.join("ejabberd.yml"));
    command.env("EJABBERD_LOG_PATH", directory.join("ejabberd.log"));
    let process = Process::start("ejabberd", command)?;
    process.expect("tombolo: ready", UP_WITHIN)?;
    Ok(process)
}

/// Where Debian keeps ejabberd beside other Erlang libraries: `/usr/lib/ARCHITECTURE`.
fn libraries() -> Outcome<PathBuf> {
    let directories = std::fs::read_dir("/usr/lib")?.flatten().map(|entry| entry.path());
    let has_ejabberd = |directory: &PathBuf| {
        let mut entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.any(|entry| entry.file_name().to_string_lossy().starts_with("ejabberd-"))
    };
    directories.into_iter().find(has_ejabberd).ok_or_else(|| "ejabberd's libraries are not below /usr/lib".into())
}

fn configuration(directory: &Path, settings: Settings<'_>, ports: [u16; 3]) -> Outcome<String> {
    let directory = directory.display();
    let [port, component_port, s2s_port] = ports;
    let mut text = format!(
        r#"hosts: ["{}"]
loglevel: info
log_rotate_size: infinity
certfiles: ["{directory}/both.pem"]
ca_file: "{directory}/ca.pem"
s2s_use_starttls: optional
acme: {{auto: false}}
listen:
  - {{port: {port}, ip: "127.0.0.1", module: ejabberd_c2s, starttls: true, access: all}}
"#,
        settings.domain
    );
    if let Some(component) = settings.component {
        writeln!(
            text,
            "  - {{port: {component_port}, ip: \"127.0.0.1\", module: ejabberd_service, access: all, hosts: {{\"{component}\": {{password: \"{PASSWORD}\"}}}}}}"
        )?;
    }
    if settings.s2s {
        writeln!(text, "  - {{port: {s2s_port}, ip: \"127.0.0.1\", module: ejabberd_s2s_in}}")?;
    }
    writeln!(
        text,
        "modules: {{mod_disco: {{}}, mod_ping: {{}}, mod_roster: {{}}, mod_caps: {{}}, mod_offline: {{}}, mod_stream_mgmt: {{resume_timeout: 60}}, mod_pubsub: {{plugins: [flat, pep]}}, mod_muc: {{hosts: [\"rooms.@HOST@\"]}}}}"
    )?;
    text.push_str(settings.lines);
    Ok(text)
}
