//! What the tests need around a session: servers in scratch directories, a proxy that breaks things, and patience with a limit.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jid::Jid;
use minidom::Element;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tombolo_core::model::account::{CertificateFiles, LocalServerSettings};
use tombolo_core::model::{Account, Secret, TlsMode};

use super::super::{Item, LocalServer, Session, SessionEvent, StanzaText, local, spawn};

const PATIENCE: Duration = Duration::from_secs(60);

/// A private server with an account `alice`, and the directory that it lives in.
pub(super) struct Place {
    pub(super) server: LocalServer,
    pub(super) directory: TempDir,
}

impl Place {
    pub(super) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start_with(directory, None, None).await
    }

    /// The same, with a server that keeps messages for accounts that are away, as others do.
    pub(super) async fn start_storing() -> Self {
        let place = Self::start().await;
        let more = "modules_disabled = { \"s2s\", \"s2s_auth_certs\" }\n";
        std::fs::write(place.directory.path().join("xmpp/more.cfg.lua"), more).unwrap();
        // It is started again at once.
        place.signal(rustix::process::Signal::KILL);
        place
    }

    /// The same, listening there and with that certificate.
    pub(super) async fn start_with(
        directory: TempDir,
        listen: Option<SocketAddr>,
        certificate: Option<CertificateFiles>,
    ) -> Self {
        let accounts = [("alice".to_owned(), Secret::new("wonder\"land\\"))].into();
        let domain = jid::BareJid::new("tombolo.localhost").unwrap();
        let settings = LocalServerSettings { domain, listen, certificate, accounts };
        let started = local::start(&directory.path().join("xmpp"), settings).await;
        let server = started.unwrap_or_else(|error| panic!("this test needs a Prosody: {error}"));
        Self { server, directory }
    }

    pub(super) fn alice(&self) -> Account {
        let jid = Jid::new("alice@tombolo.localhost/there").unwrap();
        Account { jid, password: Secret::new("wonder\"land\\"), ..self.server.account() }
    }

    /// Sends a signal to the server's process.
    pub(super) fn signal(&self, signal: rustix::process::Signal) {
        let file = self.directory.path().join("xmpp/prosody.pid");
        let pid = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
    }
}

/// A session and its events.
pub(super) struct Client {
    pub(super) session: Session,
    pub(super) events: mpsc::Receiver<SessionEvent>,
    /// What was acknowledged so far.
    pub(super) acknowledged: Vec<u64>,
    /// How often it came online, with and without resumption.
    pub(super) resumed: usize,
    pub(super) fresh: usize,
}

impl Client {
    pub(super) fn spawn(account: Account) -> Self {
        let (sender, events) = mpsc::channel(64);
        Self { session: spawn(account, sender), events, acknowledged: Vec::new(), resumed: 0, fresh: 0 }
    }

    /// Logs in and says that it is there.
    pub(super) async fn present(account: Account) -> Self {
        let mut client = Self::spawn(account);
        client.online().await;
        client.send(None, "<presence xmlns='jabber:client'/>");
        client
    }

    pub(super) async fn next(&mut self) -> SessionEvent {
        let event = timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("a live session");
        match &event {
            SessionEvent::Acknowledged(ids) => self.acknowledged.extend(ids),
            SessionEvent::Online { resumed: true, .. } => self.resumed += 1,
            SessionEvent::Online { resumed: false, .. } => self.fresh += 1,
            _ => {}
        }
        event
    }

    pub(super) async fn online(&mut self) -> String {
        loop {
            match self.next().await {
                SessionEvent::Online { me, .. } => return me.to_string(),
                SessionEvent::AuthenticationFailed { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
    }

    /// The next stanza of this name; a fresh session meanwhile says that it is there.
    pub(super) async fn stanza(&mut self, name: &str) -> Element {
        loop {
            match self.next().await {
                SessionEvent::Stanza(stanza) if stanza.name() == name => return stanza,
                SessionEvent::Online { resumed: false, .. } => self.send(None, "<presence xmlns='jabber:client'/>"),
                _ => {}
            }
        }
    }

    pub(super) async fn all_acknowledged(&mut self, count: usize) {
        while self.acknowledged.len() < count {
            self.next().await;
        }
    }

    pub(super) fn send(&self, id: Option<u64>, xml: &str) {
        self.session.send(Item { id, stanza: text(xml) }).unwrap();
    }
}

pub(super) fn text(xml: &str) -> StanzaText {
    StanzaText::of(&xml.parse().unwrap()).unwrap()
}

pub(super) fn numbered(to: &str, number: u64) -> String {
    format!("<message xmlns='jabber:client' to='{to}' type='chat' id='n{number}'><body>{number}</body></message>")
}

/// A proxy in front of a server: it can cut every connection with a TCP reset, and take a piece of text out of the server's bytes.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    cuts: watch::Sender<u32>,
}

impl Proxy {
    pub(super) async fn start(server: SocketAddr, without: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cuts, cut) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server, cut.clone(), without));
            }
        });
        Self { address, cuts }
    }

    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// The account by way of the proxy.
    pub(super) fn before(&self, account: Account) -> Account {
        Account { server: Some(self.address.into()), ..account }
    }
}

async fn relay(mut client: TcpStream, server: SocketAddr, mut cut: watch::Receiver<u32>, without: &'static str) {
    let mut server = TcpStream::connect(server).await.unwrap();
    server.set_nodelay(true).unwrap();
    client.set_nodelay(true).unwrap();
    cut.mark_unchanged();
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            _ = cut.changed() => {
                let _ = client.set_zero_linger();
                let _ = server.set_zero_linger();
                return;
            }
            read = client.read(&mut up) => match read {
                Ok(count) if count > 0 => server.write_all(&up[..count]).await.unwrap_or_default(),
                _ => return,
            },
            read = server.read(&mut down) => match read {
                Ok(count) if count > 0 => {
                    let text = String::from_utf8_lossy(&down[..count]).replace(without, "");
                    client.write_all(text.as_bytes()).await.unwrap_or_default();
                }
                _ => return,
            },
        }
    }
}

/// A Prosody with a configuration of the test's own; killed at the end.
pub(super) struct Custom {
    pub(super) port: u16,
    pub(super) direct_port: u16,
    pub(super) directory: TempDir,
    _child: Child,
}

impl Custom {
    /// `{D}` in the configuration is the directory; `prepare` may put files there before the start.
    pub(super) async fn start(prepare: impl FnOnce(&Path), configuration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let (port, direct_port) = (free_port().await, free_port().await);
        let accounts = directory.path().join("data/tls%2etest/accounts");
        std::fs::create_dir_all(&accounts).unwrap();
        std::fs::write(accounts.join("me.dat"), "return { [\"password\"] = \"secret\" };").unwrap();
        let text = format!(
            "daemonize=false run_as_root=true pidfile=\"{{D}}/pid\" data_path=\"{{D}}/data\" certificates=\"{{D}}/none\"\n\
            log={{{{levels={{min=\"warn\"}},to=\"console\"}}}} interfaces={{\"127.0.0.1\"}} c2s_ports={{{port}}} s2s_ports={{}} http_ports={{}} https_ports={{}}\n\
            modules_disabled={{\"s2s\",\"s2s_auth_certs\"}} authentication=\"internal_plain\"\n{configuration}\nVirtualHost \"tls.test\"\n"
        );
        let text =
            text.replace("{D}", directory.path().to_str().unwrap()).replace("{DIRECT}", &direct_port.to_string());
        std::fs::write(directory.path().join("prosody.cfg.lua"), text).unwrap();
        let mut command = Command::new("prosody");
        command.arg("-F").arg("--config").arg(directory.path().join("prosody.cfg.lua")).kill_on_drop(true);
        command.stdout(std::process::Stdio::null());
        let child =
            command.spawn().unwrap_or_else(|error| panic!("this test needs a Prosody (apt install prosody): {error}"));
        Self { port, direct_port, directory, _child: child }
    }

    pub(super) fn account(&self, tls: TlsMode, ca: &[&str]) -> Account {
        let port = if tls == TlsMode::Direct { self.direct_port } else { self.port };
        Account {
            jid: Jid::new("me@tls.test/here").unwrap(),
            password: Secret::new("secret"),
            server: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()),
            tls,
            ca: ca.iter().map(|file| self.directory.path().join(file)).collect(),
        }
    }
}

pub(super) async fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port()
}

/// A CA and a certificate of `tls.test` and `tombolo.localhost` signed by it: `ca.pem`, `cert.pem`, `key.pem`.
pub(super) fn make_certificates(directory: &Path) {
    let run = |arguments: &str| {
        let output = std::process::Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output();
        let output = output.unwrap_or_else(|error| panic!("this test needs openssl (apt install openssl): {error}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=Test");
    run("req -newkey rsa:2048 -nodes -keyout key.pem -out cert.csr -subj /CN=tls.test");
    std::fs::write(
        directory.join("ext"),
        "subjectAltName=DNS:tls.test,DNS:tombolo.localhost\nbasicConstraints=CA:FALSE\n",
    )
    .unwrap();
    run("x509 -req -in cert.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile ext");
}

/// How often each number arrived, and the order of first arrivals.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) counts: BTreeMap<u64, usize>,
    pub(super) order: Vec<u64>,
}

impl Tally {
    pub(super) fn add(&mut self, message: &Element) {
        let number = message.get_child("body", "jabber:client").unwrap().text().parse().unwrap();
        let count = self.counts.entry(number).or_default();
        *count += 1;
        if *count == 1 {
            self.order.push(number);
        }
    }

    pub(super) fn is_complete(&self, count: u64) -> bool {
        self.counts.len() as u64 == count
    }

    pub(super) fn assert_in_order(&self) {
        let sorted: Vec<u64> = self.counts.keys().copied().collect();
        assert_eq!(self.order, sorted, "first arrivals are in the order of sending");
    }

    pub(super) fn doubled(&self) -> Vec<u64> {
        self.counts.iter().filter(|(_, count)| **count > 1).map(|(number, _)| *number).collect()
    }
}

/// Shared by tests that send while they receive.
pub(super) fn shared(client: Client) -> (Arc<Session>, Receiving) {
    let Client { session, events, acknowledged, resumed, fresh } = client;
    (Arc::new(session), Receiving { events, acknowledged, resumed, fresh })
}

/// The receiving half of a client.
pub(super) struct Receiving {
    pub(super) events: mpsc::Receiver<SessionEvent>,
    pub(super) acknowledged: Vec<u64>,
    pub(super) resumed: usize,
    pub(super) fresh: usize,
}
