//! `things`, `read`, `set` and `watch`: what a person at a terminal does with things behind a JID.

mod command;
mod login;
mod table;
mod text;
mod tree;
mod walk;

use std::str::FromStr;
use std::time::Duration;

use jid::{Jid, ResourcePart};
use tokio::time::Instant;
use tombolo_core::model::{FieldKinds, NodeReading, NodeRef, Timestamp, Tokens, ValueType};
use tombolo_core::wire::concentrator::{Answer, Operation, Request};
use tombolo_core::wire::control::{self, GetForm, Parameter, Refusal, Set, type_of};
use tombolo_core::wire::dialect::Dialect;
use tombolo_core::wire::discovery::Info;
use tombolo_core::wire::form::Form;
use tombolo_core::wire::sensor::{self, Progress};
use tombolo_core::wire::stanza::{Condition, StanzaFault};
use tombolo_core::wire::subscribe::{self, FieldRule, Subscribe};

use super::{Exit, Login, note, say};
use crate::client::{Client, ClientError};

pub(super) use command::command;

/// How often a watch renews its subscription: a bridge that was started again has forgotten it.
const RENEW: Duration = Duration::from_secs(60);
/// How long a watch waits, the first time, before it asks again somebody who did not answer; it doubles up to [`RENEW`].
const AGAIN: Duration = Duration::from_secs(1);

/// What a `read` asks for, as typed.
pub(super) struct Wanted {
    pub(super) nodes: Vec<String>,
    pub(super) kinds: Vec<String>,
    pub(super) fields: Vec<String>,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
}

/// A peer and how to speak to it.
struct Peer {
    client: Client,
    jid: Jid,
    dialect: Dialect,
    info: Info,
}

impl From<ClientError> for Exit {
    fn from(error: ClientError) -> Self {
        let text = error.to_string();
        match error {
            ClientError::Login(_) => Self::NotAllowed(text),
            ClientError::Refused(fault) => match fault.condition {
                Condition::Forbidden | Condition::NotAllowed | Condition::NotAuthorized => Self::NotAllowed(text),
                Condition::ItemNotFound | Condition::BadRequest | Condition::NotAcceptable => Self::Usage(text),
                _ => Self::Unreachable(text),
            },
            ClientError::Unreachable(_) | ClientError::Silent(_) => Self::Unreachable(text),
        }
    }
}

/// Lists the nodes behind a JID.
pub(super) async fn things(jid: &str, login: &Login) -> Result<(), Exit> {
    let mut peer = Peer::connect(jid, login).await?;
    if peer.stands_alone() {
        tree::print_thing(&peer.thing(), login.json);
        peer.client.close().await;
        return Ok(());
    }
    let sources = peer.sources().await?;
    for source in &sources {
        let nodes = peer.nodes(&source.id).await?;
        let commands = peer.commands(&nodes).await?;
        if login.json {
            nodes.iter().for_each(|node| say(tree::json(node, &commands)));
        } else {
            tree::print(source, &nodes, &commands);
        }
    }
    peer.client.close().await;
    Ok(())
}

/// Reads fields.
pub(super) async fn read(jid: &str, wanted: Wanted, login: &Login) -> Result<(), Exit> {
    let kinds = kinds(&wanted.kinds)?;
    let (from, to) = (instant(wanted.from.as_deref())?, instant(wanted.to.as_deref())?);
    let mut peer = Peer::connect(jid, login).await?;
    let nodes = peer.chosen(&wanted.nodes, |node| node.readable).await?;
    let mut readings = Vec::new();
    for nodes in walk::parts(nodes) {
        let (id, fields) = (peer.client.new_id(), wanted.fields.clone());
        let read = sensor::Read {
            dialect: peer.dialect,
            id,
            nodes,
            fields,
            kinds,
            from,
            to,
            when: None,
            tokens: Tokens::default(),
        };
        let mut found = peer.readout(&read, Duration::from_secs(login.timeout)).await?;
        read.retain_wanted(&mut found);
        readings.extend(found);
    }
    if login.json {
        readings.iter().for_each(|reading| table::json_lines(reading).for_each(say));
    } else {
        table::print(&readings);
    }
    peer.client.close().await;
    if readings.is_empty() {
        note("nothing of what was asked for has a value");
    }
    match readings.iter().any(|reading| !reading.fields.is_empty()) || readings.is_empty() {
        true => Ok(()),
        false => Err(Exit::Unreachable("no node answered with a value".into())),
    }
}

/// Sets parameters.
pub(super) async fn set(jid: &str, words: &[String], login: &Login) -> Result<(), Exit> {
    let (node, values) = addressed(words)?;
    let pairs = values.iter().map(|pair| assignment(pair)).collect::<Result<Vec<_>, _>>()?;
    let mut peer = Peer::connect(jid, login).await?;
    let form = peer.form(node.as_ref()).await?;
    let parameters =
        pairs.iter().map(|(name, text)| typed(&form, name, text, peer.dialect)).collect::<Result<Vec<_>, _>>()?;
    let nodes = node.iter().cloned().collect();
    let set = control::Request::Set(Set { dialect: peer.dialect, nodes, parameters, tokens: Tokens::default() });
    peer.ask(true, set.to_element()).await?;
    for (name, text) in pairs {
        match login.json {
            true => {
                let (source, id) = node.as_ref().map_or(("", ""), |node| (&node.source, &node.id));
                say(serde_json::json!({ "source": source, "node": id, "parameter": name, "value": text }))
            }
            false => match &node {
                Some(node) => say(format_args!("{node}: {name} = {text}")),
                None => say(format_args!("{jid}: {name} = {text}")),
            },
        }
    }
    peer.client.close().await;
    Ok(())
}

/// Shows readings as they come.
pub(super) async fn watch(jid: &str, nodes: Vec<String>, count: Option<u64>, login: &Login) -> Result<(), Exit> {
    let mut peer = Peer::connect(jid, login).await?;
    let nodes = peer.chosen(&nodes, |node| node.readable).await?;
    let mut wishes = Vec::new();
    for nodes in walk::parts(nodes) {
        wishes.push(wish(peer.dialect, peer.client.new_id(), nodes));
    }
    let mut seen = 0;
    let ended = tokio::select! {
        ended = show(&mut peer, wishes.clone(), count, &mut seen, login.json) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    if ended.is_ok() {
        leave(&mut peer, &wishes, count.map_or(u64::MAX, |count| count.saturating_sub(seen)), login.json).await;
    }
    peer.client.close().await;
    ended
}

/// Ends the subscriptions, and shows what came until that was agreed on: it was handed to us, and nobody else gets it.
async fn leave(peer: &mut Peer, wishes: &[Subscribe], wanted: u64, json: bool) {
    for wish in wishes {
        let leave = subscribe::Request::Unsubscribe { dialect: peer.dialect, id: wish.id.clone() };
        let _ = peer.ask(true, leave.to_element()).await;
    }
    let mut left = wanted;
    while left > 0
        && let Ok(Some((_, answer))) = peer.client.reading(Instant::now()).await
    {
        left -= print(&answer, wishes, left, json);
    }
}

/// Shows the readings of these wishes, at most so many; gives how many.
fn print(answer: &sensor::Answer, wishes: &[Subscribe], wanted: u64, json: bool) -> u64 {
    let Progress::Data { readings, .. } = &answer.progress else { return 0 };
    let is_ours = wishes.iter().any(|wish| wish.id == answer.id);
    let mut shown = 0;
    for reading in readings.iter().filter(|_| is_ours) {
        if shown == wanted {
            break;
        }
        match json {
            true => table::json_lines(reading).for_each(say),
            false => say(table::line(reading)),
        }
        shown += 1;
    }
    shown
}

/// Everything of these nodes, beginning with what is known.
fn wish(dialect: Dialect, id: String, nodes: Vec<NodeRef>) -> Subscribe {
    Subscribe {
        dialect,
        id,
        nodes,
        fields: Vec::<FieldRule>::new(),
        kinds: FieldKinds::all(),
        age_us_max: None,
        interval_us_min: None,
        interval_us_max: None,
        read_now: true,
        tokens: Tokens::default(),
    }
}

async fn show(
    peer: &mut Peer,
    mut wishes: Vec<Subscribe>,
    count: Option<u64>,
    seen: &mut u64,
    json: bool,
) -> Result<(), Exit> {
    let nodes: usize = wishes.iter().map(|wish| wish.nodes.len()).sum();
    note(format_args!("watching {nodes} {} of {}; Ctrl-C ends", if nodes == 1 { "node" } else { "nodes" }, peer.jid));
    let (mut is_first, mut patience) = (true, AGAIN);
    loop {
        match subscribe_all(peer, &mut wishes).await {
            Ok(()) => (is_first, patience) = (false, AGAIN),
            Err(exit @ Exit::NotAllowed(_)) => return Err(exit),
            Err(exit) if is_first => return Err(exit),
            // It worked before: the bridge, its server or ours is away for a while.
            Err(exit) => {
                note(format_args!("{exit}; trying again in {} s", patience.as_secs()));
                peer.client.rest(patience).await?;
                patience = RENEW.min(patience * 2);
                continue;
            }
        }
        let renew = Instant::now() + RENEW;
        while let Some((_, answer)) = peer.client.reading(renew).await? {
            *seen += print(&answer, &wishes, count.map_or(u64::MAX, |count| count - *seen), json);
            if count.is_some_and(|count| *seen >= count) {
                return Ok(());
            }
        }
        // A new session: what came in between is gone, but not what is known now.
        let is_early = Instant::now() < renew;
        wishes.iter_mut().for_each(|wish| wish.read_now = is_early);
    }
}

async fn subscribe_all(peer: &mut Peer, wishes: &mut [Subscribe]) -> Result<(), Exit> {
    for wish in wishes {
        peer.ask(true, subscribe::Request::Subscribe(wish.clone()).to_element()).await?;
        wish.read_now = false;
    }
    Ok(())
}

impl Peer {
    async fn connect(jid: &str, login: &Login) -> Result<Self, Exit> {
        let jid = Jid::from_str(jid).map_err(|error| Exit::Usage(format!("{jid} is no JID: {error}")))?;
        // A thing without a resource cannot be asked (RFC 6120 §8.5.2.1: its server would answer); ours is always the same.
        let jid = match jid.try_into_full() {
            Ok(full) => Jid::from(full),
            Err(bare) if bare.node().is_some() => {
                let resource = ResourcePart::new("tombolo").map_err(|error| Exit::Internal(error.to_string()))?;
                Jid::from(bare.with_resource(&resource))
            }
            Err(domain) => Jid::from(domain),
        };
        let account = login::account(login).await?;
        let mut client = Client::connect(account, Duration::from_secs(login.timeout)).await?;
        let info = client.info_of(&jid).await.map_err(|error| about(&jid, error))?;
        let dialect = Dialect::choose(info.features.iter().map(String::as_str)).unwrap_or(Dialect::Nf);
        Ok(Self { client, jid, dialect, info })
    }

    /// Whether it says that it can do this; one that says nothing of the family may be anything.
    fn can(&self, what: impl Fn(Dialect) -> &'static str) -> bool {
        Dialect::ALL.into_iter().any(|dialect| self.info.features.iter().any(|feature| feature == what(dialect)))
    }

    /// Whether it is one thing that has no nodes.
    fn stands_alone(&self) -> bool {
        let is_thing = self.can(Dialect::sensor_ns) || self.can(Dialect::control_ns);
        is_thing && !self.can(Dialect::concentrator_ns)
    }

    async fn ask(&mut self, set: bool, payload: minidom::Element) -> Result<Option<minidom::Element>, Exit> {
        self.client.ask(&self.jid.clone(), set, payload).await.map_err(|error| about(&self.jid, error))
    }

    async fn concentrator(&mut self, operation: Operation) -> Result<Result<Answer, StanzaFault>, Exit> {
        let set = operation.changes();
        let request = Request::new(self.dialect, operation);
        match self.client.ask(&self.jid.clone(), set, request.to_element()).await {
            Ok(payload) => Ok(Answer::parse(payload.as_ref())),
            Err(ClientError::Refused(fault)) => Ok(Err(*fault)),
            Err(error) => Err(about(&self.jid, error)),
        }
    }

    async fn readout(&mut self, read: &sensor::Read, within: Duration) -> Result<Vec<NodeReading>, Exit> {
        let accepted = self.ask(false, sensor::Request::Read(read.clone()).to_element()).await?;
        let mut found = Vec::new();
        let deadline = Instant::now() + within;
        let mut step = accepted.as_ref().and_then(sensor::Answer::parse);
        loop {
            match step.map(|answer| answer.progress) {
                Some(Progress::Data { readings, last }) => {
                    found.extend(readings);
                    if last {
                        return Ok(found);
                    }
                }
                Some(Progress::Done | Progress::Cancelled) => return Ok(found),
                Some(Progress::Accepted { .. } | Progress::Started) | None => {}
            }
            step = match self.client.reading(deadline).await? {
                Some((_, answer)) => Some(answer).filter(|answer| answer.id == read.id),
                None if found.is_empty() => return Err(about(&self.jid, ClientError::Silent(within))),
                None => {
                    note("the readout did not end in time; this is what came");
                    return Ok(found);
                }
            };
        }
    }

    async fn form(&mut self, node: Option<&NodeRef>) -> Result<Form, Exit> {
        let nodes = node.into_iter().cloned().collect();
        let get = GetForm { dialect: self.dialect, nodes, lang: None, tokens: Tokens::default() };
        let answer = self.ask(false, control::Request::GetForm(get).to_element()).await?;
        Ok(answer.as_ref().map(Form::parse).unwrap_or_default())
    }
}

fn about(jid: &Jid, error: ClientError) -> Exit {
    match Exit::from(error) {
        Exit::NotAllowed(text) => Exit::NotAllowed(format!("{jid}: {text}")),
        Exit::Usage(text) => Exit::Usage(format!("{jid}: {text}")),
        Exit::Unreachable(text) => Exit::Unreachable(format!("{jid}: {text}")),
        other => other,
    }
}

fn typed(form: &Form, name: &str, text: &str, dialect: Dialect) -> Result<Parameter, Exit> {
    let Some(field) = form.fields.iter().find(|field| field.var == name) else {
        let known: Vec<&str> = form.fields.iter().map(|field| field.var.as_str()).collect();
        return Err(Exit::Usage(match known.is_empty() {
            true => "the node has no parameters that you may set".into(),
            false => format!("the node has no parameter `{name}`; it has {}", known.join(", ")),
        }));
    };
    let given = match type_of(field) {
        ValueType::Boolean => text::boolean(text),
        _ => text,
    };
    control::typed(field, given, dialect).map_err(|refusal| {
        Exit::Usage(match refusal {
            Refusal::NotImplemented => format!("{name}: this kind of parameter cannot be set from here"),
            _ => format!("{name}: it does not take `{text}`, it takes {}", control::takes(field)),
        })
    })
}

/// The node, if one is named, and the assignments. A thing that stands alone has no nodes to name.
fn addressed(words: &[String]) -> Result<(Option<NodeRef>, &[String]), Exit> {
    match words.split_first() {
        Some((first, rest)) if !first.split('=').next().is_some_and(|name| name != first && !name.contains('/')) => {
            if rest.is_empty() {
                return Err(Exit::Usage(format!("what is to be set at `{first}`? Write NAME=VALUE after it")));
            }
            Ok((Some(node_ref(first)?), rest))
        }
        _ => Ok((None, words)),
    }
}

fn assignment(pair: &str) -> Result<(String, String), Exit> {
    let (name, value) = pair.split_once('=').ok_or_else(|| Exit::Usage(format!("`{pair}` is not NAME=VALUE")))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn node_ref(text: &str) -> Result<NodeRef, Exit> {
    match text.split_once('/') {
        Some((source, id)) if !source.is_empty() && !id.is_empty() => Ok(NodeRef::new(id, source)),
        _ => Err(Exit::Usage(format!("`{text}` is no node; write SOURCE/ID as `tombolo things` prints it"))),
    }
}

fn kinds(names: &[String]) -> Result<FieldKinds, Exit> {
    names.iter().try_fold(FieldKinds::empty(), |kinds, name| match name.as_str() {
        "all" => Ok(FieldKinds::all()),
        name => FieldKinds::from_name(&name.to_uppercase()).map(|kind| kinds | kind).ok_or_else(|| {
            Exit::Usage(format!(
                "`{name}` is no kind of field; there are momentary, identity, status, computed, peak, historical, all"
            ))
        }),
    })
}

fn instant(text: Option<&str>) -> Result<Option<Timestamp>, Exit> {
    let parse = |text: &str| {
        Timestamp::parse(text).ok_or_else(|| Exit::Usage(format!("`{text}` is no instant; write 2026-01-31T12:00:00Z")))
    };
    text.map(parse).transpose()
}
