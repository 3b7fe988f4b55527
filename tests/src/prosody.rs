//! A real XMPP server for a test: Prosody on free loopback ports, with accounts, a certificate of its own and stream management.
//!
//! Owns the server's configuration. Everything lies in a scratch directory; nothing of a Prosody that is installed as a service is read.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tombolo_dev::Outcome;
use tombolo_dev::place;
use tombolo_dev::process::{Process, Scratch, bound, find, free_port};

/// How long a server may take to listen.
const UP_WITHIN: Duration = Duration::from_secs(20);
/// The only domain; `.localhost` resolves nowhere.
pub const DOMAIN: &str = "test.localhost";
/// Publishes and subscribes; the bridge may make nodes.
pub const PUBSUB: &str = "pubsub.test.localhost";
/// Has rooms.
pub const ROOMS: &str = "rooms.test.localhost";
/// A domain that waits for a component; its secret is [`PASSWORD`].
pub const COMPONENT: &str = "iot.test.localhost";
/// Everybody's password: a test's accounts guard nothing.
pub const PASSWORD: &str = "correct-horse";

/// What a server shall be.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Its domain; what else it serves by default is below `test.localhost`.
    pub domain: &'a str,
    /// Further domains of accounts.
    pub domains: &'a [&'a str],
    /// Local parts, or with a further domain `LOCAL@DOMAIN`; everybody's password is [`PASSWORD`].
    pub accounts: &'a [&'a str],
    /// Further domains that wait for a component; their secret is [`PASSWORD`].
    pub components: &'a [&'a str],
    /// Whether clients may send their password in clear text.
    pub is_plain: bool,
    /// Where it listens for other servers, at port 5269; names of servers are then looked up in `/etc/hosts`.
    pub s2s: Option<&'a str>,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self { domain: DOMAIN, domains: &[], accounts: &[], components: &[], is_plain: false, s2s: None }
    }
}

/// A running server.
pub struct Prosody {
    /// For clients that begin in clear text and may go on with STARTTLS.
    pub port: u16,
    /// For clients that begin with TLS.
    pub direct_port: u16,
    /// For the component [`COMPONENT`].
    pub component_port: u16,
    /// The trust anchor, PEM.
    pub ca: PathBuf,
    process: Process,
    scratch: Scratch,
}

impl Prosody {
    /// Starts a server with these accounts.
    pub fn start(accounts: &[&str]) -> Outcome<Self> {
        Self::start_with(Settings { accounts, ..Settings::default() })
    }

    /// Starts a server.
    pub fn start_with(settings: Settings<'_>) -> Outcome<Self> {
        // Somebody else may take a port between our looking and its listening.
        Self::start_once(settings).or_else(|_| Self::start_once(settings)).or_else(|_| Self::start_once(settings))
    }

    fn start_once(settings: Settings<'_>) -> Outcome<Self> {
        let scratch = Scratch::new(&place::scratch()?, "prosody")?;
        let ca = certificate(scratch.path(), settings.domain)?;
        for account in settings.accounts {
            let (account, domain) = account.split_once('@').unwrap_or((account, settings.domain));
            write_account(scratch.path(), domain, account)?;
        }
        let (port, direct_port, component_port) = (free_port()?, free_port()?, free_port()?);
        let text = configuration(scratch.path(), settings, [port, direct_port, component_port]);
        std::fs::write(scratch.path().join("prosody.cfg.lua"), text)?;
        let process = launch(scratch.path(), port)?;
        Ok(Self { port, direct_port, component_port, ca, process, scratch })
    }

    /// Of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills it as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same ports.
    pub fn start_again(&mut self) -> Outcome<()> {
        self.process = launch(self.scratch.path(), self.port)?;
        Ok(())
    }

    /// The address in the form of the operator's file.
    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn launch(directory: &Path, port: u16) -> Outcome<Process> {
    let program = find("prosody").ok_or("prosody is not installed; `cargo verify` installs it")?;
    let mut command = bound(program);
    command.arg("-F").arg("--config").arg(directory.join("prosody.cfg.lua"));
    let process = Process::start("prosody", command)?;
    // Its ports come up together; the one that everybody uses is told by name and number.
    process.expect(&format!("Activated service 'c2s' on [127.0.0.1]:{port}"), UP_WITHIN)?;
    Ok(process)
}

fn configuration(directory: &Path, settings: Settings<'_>, [port, direct_port, component_port]: [u16; 3]) -> String {
    let (directory, domain, federation) = (directory.display(), settings.domain, federation(settings.s2s));
    let is_plain = settings.is_plain;
    let hosts: String = settings.domains.iter().map(|domain| format!("VirtualHost \"{domain}\"\n")).collect();
    let secret = format!("\n component_secret=\"{PASSWORD}\"\n");
    let components: String =
        settings.components.iter().map(|domain| format!("Component \"{domain}\"{secret}")).collect();
    let dialback = settings.s2s.map_or("", |_| r#","dialback""#);
    format!(
        r#"daemonize=false run_as_root=true pidfile="{directory}/prosody.pid" data_path="{directory}/data"
log={{{{levels={{min="info"}},to="console"}}}}
interfaces={{"127.0.0.1"}} c2s_ports={{{port}}} c2s_direct_tls_ports={{{direct_port}}} http_ports={{}} https_ports={{}} component_ports={{{component_port}}}
network_settings={{nagle=false}} limits={{}}
modules_enabled={{"disco","roster","saslauth","tls","smacks","ping","offline","posix","pep"{dialback}}}
{federation}
c2s_require_encryption=false allow_unencrypted_plain_auth={is_plain} authentication="internal_plain" storage="internal"
smacks_hibernation_time=60
ssl={{certificate="{directory}/server.pem",key="{directory}/server.key"}}
c2s_direct_tls_ssl={{certificate="{directory}/server.pem",key="{directory}/server.key"}}
VirtualHost "{domain}"
{hosts}{components}Component "{PUBSUB}" "pubsub"
admins={{"bridge@{DOMAIN}"}}
Component "{ROOMS}" "muc"
Component "{COMPONENT}"
 component_secret="{PASSWORD}"
"#
    )
}

/// Between servers: TLS with whatever certificate, and dialback to be sure of the name.
fn federation(address: Option<&str>) -> String {
    let Some(address) = address else {
        return r#"s2s_ports={} modules_disabled={"s2s","s2s_auth_certs"}"#.to_owned();
    };
    format!(
        r#"s2s_ports={{5269}} s2s_interfaces={{"{address}"}}
s2s_require_encryption=true s2s_secure_auth=false unbound={{resolvconf=false,hoststxt="/etc/hosts",forward="127.0.0.99"}}"#
    )
}

/// As `internal_plain` keeps it.
fn write_account(directory: &Path, domain: &str, account: &str) -> Outcome<()> {
    let accounts = directory.join("data").join(escaped(domain)).join("accounts");
    std::fs::create_dir_all(&accounts)?;
    let text = format!("return {{ [\"password\"] = \"{PASSWORD}\"; }};\n");
    Ok(std::fs::write(accounts.join(format!("{}.dat", escaped(account))), text)?)
}

/// In the names of its files and directories characters that are not alphanumeric are escaped.
fn escaped(name: &str) -> String {
    let escape = |character: char| match character.is_ascii_alphanumeric() {
        true => character.to_string(),
        false => format!("%{:02x}", u32::from(character)),
    };
    name.chars().map(escape).collect()
}

/// An authority `ca.pem` and a certificate that it signed, `server.pem` with `server.key`; gives the authority's file.
pub fn certificate(directory: &Path, domain: &str) -> Outcome<PathBuf> {
    std::fs::write(
        directory.join("server.ext"),
        format!("subjectAltName=DNS:{domain}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"),
    )?;
    openssl(
        directory,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=tests -keyout ca.key -out ca.pem",
    )?;
    openssl(
        directory,
        &format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={domain} -keyout server.key -out server.csr"
        ),
    )?;
    openssl(
        directory,
        "x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile server.ext -out server.pem",
    )?;
    Ok(directory.join("ca.pem"))
}

fn openssl(directory: &Path, arguments: &str) -> Outcome<()> {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(directory).stdin(Stdio::null());
    let output = command.output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
