//! Dialogues over a real server: the hub is one of its clients or its component, whoever speaks in the script is another.
//!
//! Owns the sessions of one dialogue: the hub's is the product's own, the peers' are a few lines over TCP, a service is a component. Never
//! waits for a while to see whether something comes: after each step a mark is sent the same way, and what was sent before a mark has arrived
//! when the mark has, since a server keeps the order between two addresses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use minidom::Element;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tombolo::xmpp::{self, Component, Item, SendError, Session, SessionEvent, StanzaText};
use tombolo_core::model::{Account, BareJid, Jid, Secret, Server, TlsMode};

use super::wire::Wire;
use super::{Names, Stage, is_component, parse, told_in, without_addresses};
use crate::client::Client;
use crate::prosody::PASSWORD;

/// For anything that a loaded server does.
const WITHIN: Duration = Duration::from_secs(60);
const EVENTS_MAX: usize = 1024;
/// Tells our marks from stanzas.
const MARK: &str = "urn:example:mark";
/// Where people's accounts are; everywhere else is a service.
pub const DOMAINS: [&str; 3] = ["example.org", "evil.example", "example.com"];

/// A server that has the accounts and components of [`accounts`] and [`components`].
#[derive(Clone, Debug)]
pub struct Place {
    /// For clients, in clear text.
    pub port: u16,
    /// For components.
    pub component_port: u16,
    /// The hub's sessions run there.
    pub runtime: Handle,
}

/// What a script's head says after `# not on prosody:` or `# not on ejabberd:`, and after `# not live:` for both.
pub fn excuse<'a>(script: &'a str, server: &str) -> Option<&'a str> {
    let begins = ["# not live: ".to_owned(), format!("# not on {server}: ")];
    script.lines().find_map(|line| begins.iter().find_map(|begin| line.strip_prefix(begin.as_str())))
}

/// Who has an account in a script, as `LOCAL@DOMAIN`.
pub fn accounts(script: &str, names: &Names) -> BTreeSet<String> {
    let own = (!is_component(script)).then(|| names.me());
    let bare = |jid: String| jid.split('/').next().unwrap_or_default().to_owned();
    let is_account = |jid: &String| DOMAINS.iter().any(|domain| jid.ends_with(&format!("@{domain}")));
    peers(script, names).into_iter().chain(own).map(bare).filter(is_account).collect()
}

/// Which domains are a component's in a script.
pub fn components(script: &str, names: &Names) -> BTreeSet<String> {
    let own = is_component(script).then(|| names.domain());
    let domain = |jid: String| jid.split('/').next().and_then(|bare| bare.split('@').next_back()).map(str::to_owned);
    let is_service = |domain: &String| !DOMAINS.contains(&domain.as_str());
    peers(script, names).into_iter().filter_map(domain).filter(is_service).chain(own).collect()
}

/// Everybody who speaks or is spoken to, except our own server.
fn peers(script: &str, names: &Names) -> BTreeSet<String> {
    let named = script.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("->" | "<-"), Some(who), _) => Some(who),
            (Some(who), Some("is"), Some("a")) => Some(who),
            _ => None,
        }
    });
    let all: BTreeSet<String> =
        named.filter(|who| *who != "server").map(|who| names.jid(&names.localize(who))).collect();
    let has_client = |jid: &str| all.iter().any(|other| other.starts_with(&format!("{jid}/")));
    let is_account = |jid: &str| DOMAINS.contains(&domain_of(jid));
    let full = |jid: &String| if jid.contains('/') || !is_account(jid) { jid.clone() } else { format!("{jid}/phone") };
    all.iter().filter(|jid| jid.contains('/') || !has_client(jid)).map(full).collect()
}

/// Runs a script in one generation; `names` are nobody else's at this server.
pub fn run(place: &Place, script: &str, dialect: &str, names: &Names) -> Result<(), String> {
    let _inside = place.runtime.enter();
    let mut clients = BTreeMap::new();
    for jid in peers(script, names).into_iter().filter(|jid| DOMAINS.contains(&domain_of(jid))) {
        let client = Client::log_in(place.port, &jid, PASSWORD).map_err(|error| error.to_string())?;
        clients.insert(jid, (client, VecDeque::new()));
    }
    let own = is_component(script).then(|| names.domain());
    let mut services = BTreeMap::new();
    for domain in components(script, names).into_iter().filter(|domain| Some(domain) != own.as_ref()) {
        let line = Line::open(place, component(place, &domain)?)?;
        services.insert(domain, (line, VecDeque::new()));
    }
    let (place, names) = (place.clone(), names.clone());
    let live =
        Live { place, is_component: own.is_some(), names: names.clone(), line: None, clients, services, mark: 0 };
    Stage::new(own.is_some(), names, Box::new(live))?.play(&told_in(script, dialect))
}

fn domain_of(jid: &str) -> &str {
    let bare = jid.split('/').next().unwrap_or_default();
    bare.split('@').next_back().unwrap_or_default()
}

/// How we are connected.
enum Way {
    Client(Account),
    Component(Component),
}

fn component(place: &Place, domain: &str) -> Result<Way, String> {
    Ok(Way::Component(Component {
        domain: BareJid::new(domain).map_err(|error| error.to_string())?,
        server: address(place.component_port),
        secret: Secret::new(PASSWORD),
        anywhere: false,
    }))
}

fn client(place: &Place, jid: &str) -> Result<Way, String> {
    Ok(Way::Client(Account {
        jid: Jid::new(jid).map_err(|error| error.to_string())?,
        password: Secret::new(PASSWORD),
        server: Some(address(place.port)),
        tls: TlsMode::Insecure,
        ca: Vec::new(),
    }))
}

fn address(port: u16) -> Server {
    Server { host: "127.0.0.1".to_owned(), port: Some(port) }
}

/// A session of the product's.
struct Line {
    session: Session,
    events: mpsc::Receiver<SessionEvent>,
    runtime: Handle,
}

impl Line {
    fn open(place: &Place, way: Way) -> Result<Self, String> {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let session = match way {
            Way::Client(account) => xmpp::spawn(account, sender),
            Way::Component(component) => xmpp::component::spawn(component, sender),
        };
        let mut line = Self { session, events, runtime: place.runtime.clone() };
        while !matches!(line.next()?, SessionEvent::Online { .. }) {}
        Ok(line)
    }

    fn next(&mut self) -> Result<SessionEvent, String> {
        let next = self.runtime.block_on(async { timeout(WITHIN, self.events.recv()).await });
        match next {
            Ok(Some(SessionEvent::Offline { reason, .. } | SessionEvent::AuthenticationFailed { reason, .. })) => {
                Err(format!("the session ended: {reason}"))
            }
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err("the session is gone".to_owned()),
            Err(_) => Err("the server delivers nothing".to_owned()),
        }
    }

    fn send(&self, id: Option<u64>, stanza: Element) -> Result<(), String> {
        let mut item = Item { id, stanza: StanzaText::of(&stanza)? };
        loop {
            match self.session.send(item) {
                Ok(()) => return Ok(()),
                Err(SendError::Full(back)) => item = back,
                Err(other) => return Err(other.to_string()),
            }
            std::thread::yield_now();
        }
    }

    /// What arrives up to a mark.
    fn until(&mut self, mark: u64) -> Result<Vec<Element>, String> {
        let mut arrived = Vec::new();
        loop {
            let SessionEvent::Stanza(stanza) = self.next()? else { continue };
            match mark_of(&stanza) {
                Some(found) if found == mark => return Ok(arrived),
                Some(_) => {}
                None => arrived.push(stanza),
            }
        }
    }
}

struct Live {
    place: Place,
    is_component: bool,
    names: Names,
    /// The hub's.
    line: Option<Line>,
    clients: BTreeMap<String, (Client, VecDeque<Element>)>,
    services: BTreeMap<String, (Line, VecDeque<Element>)>,
    mark: u64,
}

fn mark_of(stanza: &Element) -> Option<u64> {
    stanza.get_child("mark", MARK)?.attr("n")?.parse().ok()
}

impl Live {
    fn line(&mut self) -> Result<&mut Line, String> {
        self.line.as_mut().ok_or_else(|| "the hub is not connected".to_owned())
    }

    /// Our address that everybody knows.
    fn me(&self) -> String {
        if self.is_component { self.names.domain() } else { self.names.me() }
    }

    fn next_mark(&mut self) -> (u64, String) {
        self.mark += 1;
        (self.mark, format!("<mark xmlns='{MARK}' n='{}'/>", self.mark))
    }

    /// What we sent up to now is where it goes: in the queues.
    fn flush(&mut self) -> Result<(), String> {
        let (mark, payload) = self.next_mark();
        let from = if self.is_component { format!("from='{}'", self.me()) } else { String::new() };
        let clients: Vec<String> = self.clients.keys().cloned().collect();
        let services: Vec<String> = self.services.keys().cloned().collect();
        for to in clients.iter().chain(&services) {
            let stanza = parse(&format!("<message>{payload}</message>"), &format!("{from} to='{to}'"))?;
            self.line()?.send(None, stanza)?;
        }
        let (ours, is_component) = (self.names.domain(), self.is_component);
        let me = self.names.me();
        let is_ours = |stanza: &Element| match stanza.attr("from") {
            Some(from) if is_component => domain_of(from) == ours,
            Some(from) => me.starts_with(from),
            None => false,
        };
        for (client, queue) in self.clients.values_mut() {
            let deadline = Instant::now() + WITHIN;
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                let next = client.next(left).map_err(|error| error.to_string())?;
                let stanza = next.ok_or_else(|| format!("nothing reaches {}", client.jid))?;
                if is_ours(&stanza) && mark_of(&stanza) == Some(mark) {
                    break;
                }
                queue.extend(Some(stanza).filter(is_ours));
            }
        }
        for (line, queue) in self.services.values_mut() {
            queue.extend(line.until(mark)?.into_iter().filter(is_ours));
        }
        Ok(())
    }

    /// The client of whom a script means; who is named without a resource has one.
    fn client(&mut self, who: &str) -> Option<&mut (Client, VecDeque<Element>)> {
        let is_theirs = |jid: &str| jid == who || jid.starts_with(&format!("{who}/"));
        self.clients.iter_mut().find(|(jid, _)| is_theirs(jid)).map(|(_, client)| client)
    }

    fn queue(&mut self, who: &str) -> Option<&mut VecDeque<Element>> {
        let is_client = self.client(who).is_some();
        match is_client {
            true => self.client(who).map(|(_, queue)| queue),
            false => self.services.get_mut(domain_of(who)).map(|(_, queue)| queue),
        }
    }
}

/// Servers tell by themselves, and ask, whether somebody is there.
fn is_presence(stanza: &Element) -> bool {
    stanza.name() == "presence" && matches!(stanza.attr("type"), None | Some("unavailable"))
}

impl Wire for Live {
    fn has_server(&self) -> bool {
        true
    }

    fn connect(&mut self) -> Result<(), String> {
        let way = match self.is_component {
            true => component(&self.place, &self.names.domain())?,
            false => client(&self.place, &self.names.me())?,
        };
        if let Some(line) = self.line.take() {
            self.place.runtime.block_on(line.session.close());
        }
        self.line = Some(Line::open(&self.place, way)?);
        Ok(())
    }

    fn roster(&mut self) -> Option<String> {
        None
    }

    fn hush(&mut self) {}

    fn hushed(&mut self) -> Result<Vec<Element>, String> {
        let arrived = self.settled()?;
        self.flush()?;
        self.clients.values_mut().for_each(|(_, queue)| queue.clear());
        self.services.values_mut().for_each(|(_, queue)| queue.clear());
        Ok(arrived)
    }

    fn send(&mut self, item: Option<u64>, stanza: Element) -> Result<(), String> {
        self.line()?.send(item, stanza)
    }

    fn say(&mut self, from: Option<&str>, to: &str, block: &str) -> Result<Vec<Element>, String> {
        let from = from.ok_or("only our own server says that")?;
        let is_about_presence = ["subscribe", "subscribed", "unsubscribe", "unsubscribed"]
            .iter()
            .any(|kind| block.starts_with("<presence") && block.contains(&format!("type='{kind}'")));
        let to = if is_about_presence { to.split('/').next().unwrap_or_default() } else { to };
        let (mark, payload) = self.next_mark();
        let me = self.me();
        if let Some((client, _)) = self.client(from) {
            let name_ends = block.find([' ', '/', '>']).ok_or("no stanza")?;
            let (name, rest) = block.split_at(name_ends);
            let text = format!("{name} to='{to}'{rest}<message to='{me}'>{payload}</message>");
            client.send(&text).map_err(|error| error.to_string())?;
        } else {
            let (line, _) = self.services.get_mut(domain_of(from)).ok_or("nobody of that name")?;
            line.send(None, parse(block, &format!("from='{from}' to='{to}'"))?)?;
            line.send(None, parse(&format!("<message>{payload}</message>"), &format!("from='{from}' to='{me}'"))?)?;
        }
        self.line()?.until(mark)
    }

    fn settled(&mut self) -> Result<Vec<Element>, String> {
        let (mark, payload) = self.next_mark();
        let me = self.me();
        let from = if self.is_component { format!("from='{me}'") } else { String::new() };
        let stanza = parse(&format!("<message>{payload}</message>"), &format!("{from} to='{me}'"))?;
        self.line()?.send(None, stanza)?;
        self.line()?.until(mark)
    }

    fn heard(&mut self, to: Option<&str>, from: Option<&str>, pattern: &Element) -> Result<Element, String> {
        let to = to.ok_or("only our own server hears that")?;
        self.flush()?;
        loop {
            let queue = self.queue(to).ok_or("nobody of that name")?;
            let mut found = queue.pop_front().ok_or("nothing was sent")?;
            let is_meant = found.name() == pattern.name() && found.attr("type") == pattern.attr("type");
            if is_presence(&found) && !is_meant {
                continue;
            }
            if from.is_some() && found.attr("from") != from {
                return Err(format!("came from {:?}: {}", found.attr("from"), String::from(&found)));
            }
            without_addresses(&mut found);
            without_additions(&mut found);
            return Ok(in_order_of(pattern, found));
        }
    }

    fn left(&mut self) -> Result<Option<String>, String> {
        self.flush()?;
        let queues =
            self.clients.values().map(|(_, queue)| queue).chain(self.services.values().map(|(_, queue)| queue));
        let mut left = queues.flatten().filter(|stanza| !is_presence(stanza));
        Ok(left.next().map(String::from))
    }
}

/// What our session and servers add to a stanza: the language of the stream, or none, and the usual priority of a presence.
fn without_additions(stanza: &mut Element) {
    without_language(stanza);
    if stanza.name() == "presence"
        && stanza.get_child("priority", "jabber:client").is_some_and(|child| child.text() == "0")
    {
        stanza.remove_child("priority", "jabber:client");
    }
}

fn without_language(element: &mut Element) {
    element.attrs_mut().retain(|namespace, name, _| namespace.is_none() || name.as_str() != "lang");
    element.children_mut().for_each(without_language);
}

/// Servers may write what stands beside each other in a stanza in another order.
fn in_order_of(pattern: &Element, mut stanza: Element) -> Element {
    let place =
        |child: &Element| pattern.children().position(|one| one.name() == child.name() && one.ns() == child.ns());
    let mut children: Vec<Element> = stanza.children().cloned().collect();
    children.sort_by_key(|child| place(child).unwrap_or(usize::MAX));
    stanza.take_nodes();
    children.into_iter().for_each(|child| _ = stanza.append_child(child));
    stanza
}
