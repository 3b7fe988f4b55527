//! A real XMPP server for a test: Prosody on free loopback ports, with accounts, a certificate of its own and stream management.
//!
//! Owns the server's configuration. Everything lies in a scratch directory; nothing of a Prosody that is installed as a service is read.

use std::fmt::Write;
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
        // Somebody else may take a port between our looking and its listening.
        Self::start_once(accounts).or_else(|_| Self::start_once(accounts)).or_else(|_| Self::start_once(accounts))
    }

    fn start_once(accounts: &[&str]) -> Outcome<Self> {
        let scratch = Scratch::new(&place::scratch()?, "prosody")?;
        let ca = certificate(scratch.path(), DOMAIN)?;
        for account in accounts {
            write_account(scratch.path(), account)?;
        }
        let (port, direct_port, component_port) = (free_port()?, free_port()?, free_port()?);
        let text = configuration(scratch.path(), [port, direct_port, component_port]);
        std::fs::write(scratch.path().join("prosody.cfg.lua"), text)?;
        let process = launch(scratch.path(), port)?;
        Ok(Self { port, direct_port, component_port, ca, process, scratch })
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
    // Both ports come up together; the one that everybody uses is told by number.
    process.expect(&format!("[127.0.0.1]:{port}"), UP_WITHIN)?;
    Ok(process)
}

fn configuration(directory: &Path, [port, direct_port, component_port]: [u16; 3]) -> String {
    let directory = directory.display();
    format!(
        r#"daemonize=false run_as_root=true pidfile="{directory}/prosody.pid" data_path="{directory}/data"
log={{{{levels={{min="info"}},to="console"}}}}
interfaces={{"127.0.0.1"}} c2s_ports={{{port}}} c2s_direct_tls_ports={{{direct_port}}} s2s_ports={{}} http_ports={{}} https_ports={{}} component_ports={{{component_port}}}
network_settings={{nagle=false}} limits={{}}
modules_enabled={{"disco","roster","saslauth","tls","smacks","ping","offline","posix","pep"}}
modules_disabled={{"s2s","s2s_auth_certs"}}
c2s_require_encryption=false allow_unencrypted_plain_auth=false authentication="internal_plain" storage="internal"
smacks_hibernation_time=60
ssl={{certificate="{directory}/server.pem",key="{directory}/server.key"}}
c2s_direct_tls_ssl={{certificate="{directory}/server.pem",key="{directory}/server.key"}}
VirtualHost "{DOMAIN}"
Component "{PUBSUB}" "pubsub"
admins={{"bridge@{DOMAIN}"}}
Component "{ROOMS}" "muc"
Component "{COMPONENT}"
 component_secret="{PASSWORD}"
"#
    )
}

/// As `internal_plain` keeps it; characters that are not alphanumeric are escaped in the domain's directory.
fn write_account(directory: &Path, account: &str) -> Outcome<()> {
    let mut domain = String::new();
    for character in DOMAIN.chars() {
        match character.is_ascii_alphanumeric() {
            true => domain.push(character),
            false => write!(domain, "%{:02x}", u32::from(character))?,
        }
    }
    let accounts = directory.join("data").join(domain).join("accounts");
    std::fs::create_dir_all(&accounts)?;
    std::fs::write(
        accounts.join(format!("{account}.dat")),
        format!("return {{ [\"password\"] = \"{PASSWORD}\"; }};\n"),
    )?;
    Ok(())
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
