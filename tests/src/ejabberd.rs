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

/// Who is to have an account.
const ACCOUNTS: &str = "accounts.terms";

/// What a server shall be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// Its domain; `.localhost` resolves nowhere.
    pub domain: &'a str,
    /// Further domains of accounts.
    pub domains: &'a [&'a str],
    /// Local parts, or with a further domain `LOCAL@DOMAIN`; everybody's password is [`PASSWORD`].
    pub accounts: &'a [&'a str],
    /// Domains of components; their secret is [`PASSWORD`].
    pub components: &'a [&'a str],
    /// Where it listens for other servers, at port 5269, with dialback.
    pub s2s: Option<&'a str>,
    /// Lines added to its configuration.
    pub lines: &'a str,
}

/// A running server.
pub struct Ejabberd {
    /// For clients that begin in clear text and may go on with STARTTLS.
    pub port: u16,
    /// For the component.
    pub component_port: u16,
    /// The trust anchor, PEM.
    pub ca: PathBuf,
    process: Process,
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
        let (port, component_port) = (free_port()?, free_port()?);
        let text = configuration(scratch.path(), settings, [port, component_port])?;
        std::fs::write(scratch.path().join("ejabberd.yml"), text)?;
        std::fs::write(scratch.path().join(ACCOUNTS), accounts(settings)?)?;
        let process = launch(scratch.path())?;
        Ok(Self { port, component_port, ca, process, scratch })
    }

    /// Kills it as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same ports, with what it had on disk.
    pub fn start_again(&mut self) -> Outcome<()> {
        self.process = launch(self.scratch.path())?;
        Ok(())
    }

    /// The address for clients in the form of the operator's file.
    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// As Erlang reads them.
fn accounts(settings: Settings<'_>) -> Outcome<String> {
    let mut text = String::new();
    for account in settings.accounts {
        let (account, domain) = account.split_once('@').unwrap_or((account, settings.domain));
        writeln!(text, "{{<<\"{account}\">>, <<\"{domain}\">>, <<\"{PASSWORD}\">>}}.")?;
    }
    Ok(text)
}

/// ejabberd's own starter insists on a system user and a node name; the program beneath it does not.
fn launch(directory: &Path) -> Outcome<Process> {
    find("ejabberdctl").ok_or("ejabberd is not installed; `cargo verify` installs it")?;
    let program = find("erl").ok_or("erl, which comes with ejabberd, is not installed")?;
    let accounts = directory.join(ACCOUNTS);
    let registering = format!(
        "{{ok, All}} = file:consult(\"{}\"), [ejabberd_auth:try_register(U, S, P) || {{U, S, P}} <- All], ",
        accounts.display()
    );
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

fn configuration(directory: &Path, settings: Settings<'_>, ports: [u16; 2]) -> Outcome<String> {
    let directory = directory.display();
    let [port, component_port] = ports;
    let domains = [settings.domain].into_iter().chain(settings.domains.iter().copied());
    let hosts: Vec<String> = domains.map(|domain| format!("\"{domain}\"")).collect();
    let mut text = format!(
        r#"hosts: [{}]
loglevel: info
log_rotate_size: infinity
certfiles: ["{directory}/both.pem"]
ca_file: "{directory}/ca.pem"
s2s_use_starttls: optional
acme: {{auto: false}}
listen:
  - {{port: {port}, ip: "127.0.0.1", module: ejabberd_c2s, starttls: true, access: all}}
"#,
        hosts.join(", ")
    );
    if !settings.components.is_empty() {
        let all = settings.components.iter().map(|domain| format!("\"{domain}\": {{password: \"{PASSWORD}\"}}"));
        let all = all.collect::<Vec<_>>().join(", ");
        writeln!(
            text,
            "  - {{port: {component_port}, ip: \"127.0.0.1\", module: ejabberd_service, access: all, global_routes: false, hosts: {{{all}}}}}"
        )?;
    }
    if let Some(address) = settings.s2s {
        writeln!(text, "  - {{port: 5269, ip: \"{address}\", module: ejabberd_s2s_in}}")?;
        writeln!(text, "outgoing_s2s_ipv4_address: \"{address}\"\noutgoing_s2s_families: [ipv4]\ns2s_dns_timeout: 1")?;
        // Otherwise it does not speak to a server that could not be reached for up to five minutes.
        text.push_str("s2s_max_retry_delay: 5\n");
    }
    writeln!(
        text,
        "modules: {{mod_disco: {{}}, mod_ping: {{}}, mod_roster: {{}}, mod_caps: {{}}, mod_offline: {{}}, mod_s2s_dialback: {{}}, mod_stream_mgmt: {{resume_timeout: 60}}, mod_pubsub: {{plugins: [flat, pep]}}, mod_muc: {{hosts: [\"rooms.@HOST@\"]}}}}"
    )?;
    text.push_str(settings.lines);
    Ok(text)
}
