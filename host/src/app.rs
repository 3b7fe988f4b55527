//! The service: one loop that owns the hub and hands things from shell to shell.
//!
//! Owns the wiring and the order in which things are looked at; alone sees two shells at once. Never decides: what a stanza or an action
//! means is the hub's business, what may be reached is policy's. Never waits for a bridge, a socket or the server: it tries, and what
//! does not fit waits in [`outbox`] or [`bridges`], or is refused there.
//!
//! In each turn: one input, then everything that the hub wants done, then what waits is tried again. XMPP and the disk come before
//! bridges, so that a flooding bridge cannot keep acknowledgements from being seen; bridges are not asked at all while the outbox is full.

mod account;
mod actions;
mod bridges;
mod catalog;
mod changes;
mod clock;
mod http;
mod load;
mod operator;
mod outbox;
mod report;
mod suits;
mod wishes;

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tombolo_core::hub::{Hub, HubConfig, Output, Wish};
use tombolo_core::model::bridge::State;
use tombolo_core::model::custody::End;
use tombolo_core::model::{Event, Failure, ReasonCode};
use tombolo_runtime::{BridgeOutput, Engine};

use crate::admin::{self, Order, Status, XmppStatus};
use crate::config::{Config, ConfigError, Xmpp};
use crate::reload::{self, Change, WatchError};
use crate::store::{Contents, Store, StoreError, StoreEvent};
use crate::transport::{Knock, PeerKey, TlsError, Transport};
use crate::xmpp::{self, LocalError, LocalServer, Session, SessionEvent};

use account::Way;
use bridges::Bridges;
use catalog::{Catalog, Loaded};
use changes::Reloaded;
use clock::now;
use http::{Doors, Fetched};
use operator::Exhumed;
use outbox::Outbox;
pub(crate) use suits::{complaints, endpoint_example, trial, unlikely};

/// Inputs of one kind that may wait for the loop; then their senders wait.
const WAITING_INPUTS_MAX: usize = 256;
/// How long what did not fit waits before it is tried again, if nothing else happens first.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(5);
/// How long ending may take on SIGTERM, all in all.
const END_WITHIN: Duration = Duration::from_secs(5);
/// How much of that is left for closing connections and stopping the private server.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum AppError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Watch(#[from] WatchError),
    #[error("{0}")]
    Local(#[from] LocalError),
    #[error("the sandbox does not start: {0}")]
    Engine(#[from] tombolo_runtime::EngineError),
    #[error("TLS does not work here: {0}")]
    Tls(#[from] TlsError),
    #[error("cannot listen for `tombolo status` and probes: {0}")]
    Admin(std::io::Error),
}

/// The service.
struct App {
    config: Config,
    hub: Hub,
    store: Store,
    outbox: Outbox,
    transport: Arc<Transport>,
    bridges: Bridges,
    catalog: Catalog,
    watcher: reload::Watcher,
    /// What the hub wants done that takes more than a moment.
    wishes: VecDeque<(u64, Wish)>,
    session: Session,
    local: Option<LocalServer>,
    xmpp: XmppStatus,
    started: Instant,
    /// How far the clock is ahead of the hub's time, as the hub was told.
    ahead_us: i64,
    /// How often the configuration was read again, where such readings are told, and why the last one was refused.
    reloads: u64,
    reloaded: mpsc::Sender<Reloaded>,
    /// Where answers of HTTP endpoints are told.
    fetched: mpsc::Sender<Fetched>,
    /// Where what was set aside is told, read again; and what of it was replayed or dropped lately.
    exhumed: mpsc::Sender<Exhumed>,
    unburied: BTreeSet<u64>,
    /// Where HTTP clients of the island come in.
    doors: Doors,
    load: load::Load,
    /// Wishes that are granted once the configuration was read.
    reload_wishes: Vec<u64>,
    refused_configuration: Option<String>,
    /// Bridges that have stopped are not started again.
    is_ending: bool,
}

/// Where inputs come from.
struct Inputs {
    xmpp: mpsc::Receiver<SessionEvent>,
    stored: mpsc::Receiver<StoreEvent>,
    bridges: mpsc::Receiver<BridgeOutput>,
    changes: mpsc::Receiver<Change>,
    loaded: mpsc::Receiver<Loaded>,
    reloaded: mpsc::Receiver<Reloaded>,
    fetched: mpsc::Receiver<Fetched>,
    knocks: mpsc::Receiver<Knock>,
    asked: mpsc::Receiver<oneshot::Sender<Status>>,
    orders: mpsc::Receiver<Order>,
    exhumed: mpsc::Receiver<Exhumed>,
}

/// Runs the service until it is told to end.
pub async fn run(file: PathBuf, journal: Option<PathBuf>) -> Result<(), AppError> {
    let loading = file.clone();
    let config = blocking(move || Config::load(&loading)).await?;
    let (stored_sender, stored) = mpsc::channel(WAITING_INPUTS_MAX);
    let state = config.state.clone();
    let (store, contents) = blocking(move || Store::open(&state, stored_sender)).await?;
    let engine = Engine::new(Some(config.state.join("components")))?;
    let (loaded_sender, loaded) = mpsc::channel(WAITING_INPUTS_MAX);
    let (reloaded_sender, reloaded) = mpsc::channel(WAITING_INPUTS_MAX);
    let (fetched_sender, fetched) = mpsc::channel(WAITING_INPUTS_MAX);
    let (knocks_sender, knocks) = mpsc::channel(WAITING_INPUTS_MAX);
    let (bridges_sender, bridges) = mpsc::channel(WAITING_INPUTS_MAX);
    let (changes_sender, changes) = mpsc::channel(WAITING_INPUTS_MAX);
    let watcher = reload::watch(&config.plugins, &config.file, changes_sender)?;
    let (ask, asked) = mpsc::channel(16);
    let (order, orders) = mpsc::channel(16);
    let (exhumed_sender, exhumed) = mpsc::channel(16);
    admin::serve_unix(&config.state, ask.clone(), order).map_err(AppError::Admin)?;
    if let Some(admin) = &config.admin {
        let address = admin::serve_tcp(admin.listen, ask).await.map_err(AppError::Admin)?;
        tracing::info!(%address, "admin listener");
    }
    let key_file = config.state.join("peers.key");
    let transport = Arc::new(blocking(move || Transport::new(PeerKey::kept(&key_file))).await?);
    let (xmpp_sender, xmpp) = mpsc::channel(WAITING_INPUTS_MAX);
    let (local, way) = connect(&config).await?;
    let server = local.as_ref().map(|local| local.address().to_string());
    let jid = way.address().to_string();
    let xmpp_status = XmppStatus { jid, server, state: "connecting".into(), ..XmppStatus::default() };
    let Contents { items, checkpoints, records, next_item, .. } = contents;
    let mut app = App {
        hub: Hub::new(HubConfig {
            name: "tombolo".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            policy: config.policy(),
            queues: config.queues.clone(),
            http: config.http.clone(),
            inline_answers: config.inline_answers,
            // The clock makes ids that no earlier run used, unless it was set back.
            first_item: next_item.max(u64::try_from(now().0).unwrap_or(0)),
            publish: config.publish.clone(),
            kept: records,
            component: way.domain(),
            ..HubConfig::default()
        }),
        outbox: Outbox::new(store.clone(), items),
        store,
        bridges: Bridges::new(bridges_sender, journal, Arc::clone(&transport)),
        transport,
        catalog: Catalog::new(engine, loaded_sender),
        watcher,
        wishes: VecDeque::new(),
        session: way.spawn(xmpp_sender),
        local,
        xmpp: xmpp_status,
        started: Instant::now(),
        ahead_us: 0,
        reloads: 0,
        reloaded: reloaded_sender,
        fetched: fetched_sender,
        exhumed: exhumed_sender,
        unburied: BTreeSet::new(),
        doors: Doors::new(knocks_sender),
        load: load::Load::default(),
        reload_wishes: Vec::new(),
        refused_configuration: None,
        is_ending: false,
        config,
    };
    app.add_bridges(checkpoints);
    app.hub.restore(now());
    app.keep_doors();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), bridges = app.config.bridges.len(), "started");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let mut inputs =
        Inputs { xmpp, stored, bridges, changes, loaded, reloaded, fetched, knocks, asked, orders, exhumed };
    app.serve(&mut inputs).await;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    app.drain(&mut inputs).await;
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

async fn connect(config: &Config) -> Result<(Option<LocalServer>, Way), AppError> {
    match &config.xmpp {
        Xmpp::Client(client) => Ok((None, Way::Client(client.clone()))),
        Xmpp::Local(local) => {
            let server = xmpp::local::start(&config.state.join("xmpp"), local.clone()).await?;
            let account = server.account();
            Ok((Some(server), Way::Client(account)))
        }
        Xmpp::Component(component) => Ok((None, Way::Component(account::of_component(component)))),
    }
}

impl App {
    fn add_bridges(&mut self, mut checkpoints: std::collections::BTreeMap<String, State>) {
        for (name, bridge) in &self.config.bridges {
            self.hub.bridge_added(name, name, now());
            self.hub.mirror(name, bridge.mirror.clone(), now());
            self.bridges.add(name, bridge.clone(), checkpoints.remove(name));
        }
        for gone in checkpoints.keys() {
            self.store.forget(gone);
        }
    }

    async fn serve(&mut self, inputs: &mut Inputs) {
        let mut signals = Signals::new();
        loop {
            if let Some(ahead_us) = clock::ahead_us(self.ahead_us) {
                self.ahead_us = ahead_us;
                self.hub.clock_set(ahead_us);
            }
            let waits = self.settle();
            if let Some((id, wish)) = self.wishes.pop_front() {
                self.grant(id, wish);
                continue;
            }
            let hub_due = self.due_in(waits);
            tokio::select! {
                biased;
                signal = signals.next() => match signal {
                    Signal::Reload => self.reload(),
                    Signal::End => return,
                },
                // Before anything that can flood: a probe that is not answered ends the service.
                Some(answer) = inputs.asked.recv() => { let _ = answer.send(self.status()); }
                Some(event) = inputs.xmpp.recv() => self.handle_session(event),
                Some(event) = inputs.stored.recv() => self.handle_store(event),
                Some(change) = inputs.changes.recv() => self.handle_change(change),
                Some(reloaded) = inputs.reloaded.recv() => self.handle_reloaded(reloaded),
                Some(fetched) = inputs.fetched.recv() => self.handle_fetched(fetched),
                Some(loaded) = inputs.loaded.recv() => self.handle_loaded(loaded),
                Some(knock) = inputs.knocks.recv() => self.handle_knock(knock),
                Some(order) = inputs.orders.recv() => self.handle_order(order),
                Some(exhumed) = inputs.exhumed.recv() => self.handle_exhumed(exhumed),
                Some(output) = inputs.bridges.recv(), if !self.outbox.is_full() => self.handle_bridge(output),
                () = tokio::time::sleep(hub_due) => self.hub.handle_timeout(now()),
            }
        }
    }

    /// How long nothing has to be done by itself.
    fn due_in(&self, waits: bool) -> Duration {
        let due = self
            .hub
            .poll_timeout()
            .map_or(Duration::from_secs(3600), |due| Duration::from_micros(due.micros_since(now())));
        if waits { due.min(TRY_AGAIN_AFTER) } else { due }
    }

    /// Does what the hub wants done. Whether something did not fit and has to be tried again.
    fn settle(&mut self) -> bool {
        // What one call of the hub's comes to is one transaction, so that a receipt is remembered with its items or not at all.
        let gathering = self.store.gather();
        loop {
            let Some(output) = self.hub.poll_output() else { break };
            match output {
                Output::Stanza { item, stanza } => {
                    let refused = self.outbox.put(item, &stanza);
                    refused.iter().for_each(|item| self.hub.handle_unstored(*item));
                }
                Output::After { item, stanza } => self.outbox.put_after(item, &stanza),
                Output::Hold { item, stanza } => {
                    let refused = self.outbox.hold(item, &stanza);
                    refused.iter().for_each(|item| self.hub.handle_unstored(*item));
                }
                Output::LetGo { items, end } => self.store.remove(&items, &end),
                Output::Take { item, name, bytes } => self.store.take(&name, bytes, item),
                Output::End { name, end } => self.store.end(&name, end),
                Output::Recall { number, from } => self.recall(number, &from),
                Output::GivenUp { readings, reason } => tracing::warn!(readings, reason, "readings given up"),
                Output::Event { bridge, event } => self.tell(&bridge, event),
                Output::Keep { item, name, bytes } => self.store.record(&name, bytes, item),
                // Bounded: the hub has no more than so many open.
                Output::Wish { id, wish } => self.wishes.push_back((id, wish)),
                Output::Trouble { about, reason: Some(reason) } => tracing::warn!(about, reason, "publication waits"),
                Output::Trouble { about, reason: None } => tracing::info!(about, "publication works again"),
                Output::Http { id, target, ca, call, timeout_ms } => self.fetch(id, (target, ca), call, timeout_ms),
                Output::HttpReply { id, answer } => self.reply(id, answer),
                Output::Refused { bridge, reason } => tracing::warn!(bridge, reason, "action refused"),
            }
        }
        drop(gathering);
        let has_more = self.outbox.pump(&self.session);
        if !self.outbox.handed().is_empty() {
            let now = now();
            self.outbox.handed().iter().for_each(|item| self.hub.handle_handed(*item, now));
        }
        self.tell_load();
        let waits = self.bridges.flush() || has_more;
        // Who missed something of what is mirrored, and has room again, is told everything anew.
        for bridge in self.bridges.take_unsure() {
            self.hub.mapper_started(&bridge, now());
        }
        waits
    }

    /// A stanza came back. One that needed not be durable is not remembered, nor one that the server has had for long.
    fn recall(&mut self, number: u64, from: &jid::Jid) {
        let Some((stanza, route)) = self.outbox.remembered(number) else {
            return tracing::debug!(number, "a stanza came back that is not remembered");
        };
        if self.hub.handle_returned(from, &stanza, route.bridge(), now()) {
            self.outbox.forget(number);
        }
    }

    /// Hands an event to a bridge. What is refused and somebody waits for is answered here.
    fn tell(&mut self, bridge: &str, event: Event) {
        let Some(refused) = self.bridges.offer(bridge, event) else { return };
        let id = match refused {
            Event::Read(read) => read.id,
            Event::Write { id, .. } | Event::Invoke { id, .. } => id,
            _ => return,
        };
        let failure = match self.bridges.get(bridge).is_some_and(|slot| slot.running.is_some()) {
            true => Failure::new(ReasonCode::Busy, "the bridge has too much to do"),
            false => Failure::new(ReasonCode::Unreachable, "the bridge does not run"),
        };
        self.hub.handle_bridge(bridge, tombolo_core::model::Action::Complete { id, outcome: Err(failure) }, now());
    }

    fn handle_session(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Stanza(stanza) => {
                self.xmpp.received += 1;
                self.hub.handle_stanza(&stanza, now());
            }
            SessionEvent::Acknowledged(items) => {
                self.xmpp.acknowledged += items.len() as u64;
                self.outbox.acknowledged(&items);
                self.hub.handle_ended(&items, &End::Delivered, now());
            }
            SessionEvent::Online { me, resumed } => {
                tracing::info!(resumed, "xmpp online");
                self.xmpp.jid = me.to_string();
                self.xmpp_is("online", None);
                if !resumed {
                    match me.try_into_full() {
                        Ok(me) => self.hub.session_online(me, now()),
                        Err(_) => self.hub.component_online(now()),
                    }
                }
            }
            SessionEvent::Offline { reason, retry_in } => {
                tracing::warn!(reason, retry_in_ms = millis(retry_in), "xmpp offline");
                self.xmpp.disconnects += 1;
                self.xmpp_is("connecting", Some(reason));
            }
            SessionEvent::AuthenticationFailed { reason, retry_in } => {
                tracing::error!(reason, retry_in_ms = millis(retry_in), "xmpp login refused");
                self.xmpp_is("refused", Some(reason));
            }
            SessionEvent::Throttled { unacknowledged, waiting } => {
                tracing::warn!(
                    unacknowledged,
                    waiting_ms = millis(waiting),
                    "the server takes stanzas slowly; it may limit our rate"
                );
            }
            SessionEvent::Flowing { slow_for } => {
                tracing::info!(slow_for_ms = millis(slow_for), "the server takes stanzas as they come again");
            }
            SessionEvent::Unsendable { id, reason } => {
                tracing::error!(reason, "a stanza cannot be written and is set aside");
                self.outbox.unsendable(id, reason);
            }
        }
    }

    fn xmpp_is(&mut self, state: &str, reason: Option<String>) {
        self.xmpp.state = state.to_owned();
        self.xmpp.reason = reason;
    }

    fn handle_store(&mut self, event: StoreEvent) {
        match event {
            StoreEvent::Durable(items) => {
                self.outbox.durable(&items);
                items.into_iter().for_each(|item| self.hub.handle_durable(item, now()));
            }
            StoreEvent::Failed { reason } => {
                tracing::error!(reason, "the state directory cannot be written; devices wait")
            }
            StoreEvent::Recovered => tracing::info!("the state directory can be written again"),
        }
    }

    /// Last words of the bridges, then what still waits, then the connections.
    async fn drain(mut self, inputs: &mut Inputs) {
        tracing::info!("stopping");
        self.is_ending = true;
        self.hub.component_leaving();
        for name in self.config.bridges.keys().cloned().collect::<Vec<_>>() {
            self.stop_bridge(&name);
        }
        let end = tokio::time::Instant::now() + END_WITHIN;
        loop {
            let waits = self.settle();
            let connections: usize = self.transport.counts().values().map(|counts| counts.open).sum();
            let is_offline = self.xmpp.state != "online";
            if !waits && connections == 0 && (self.outbox.len() == 0 || is_offline) && self.bridges.all_stopped() {
                break;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(end - CLOSE_WITHIN) => {
                    tracing::warn!(outbox = self.outbox.len(), "did not drain in time; what was durable is kept");
                    break;
                }
                Some(event) = inputs.xmpp.recv() => self.handle_session(event),
                Some(event) = inputs.stored.recv() => self.handle_store(event),
                Some(output) = inputs.bridges.recv() => self.handle_bridge(output),
                () = tokio::time::sleep(TRY_AGAIN_AFTER) => {}
            }
        }
        // Whoever still sends us something must not keep the session from closing.
        inputs.xmpp.close();
        while inputs.xmpp.try_recv().is_ok() {}
        // What does not end in time is cut off: a server that takes nothing must not keep us. The private one is killed then.
        let _ = tokio::time::timeout_at(end - CLOSE_WITHIN / 2, self.session.close()).await;
        if let Some(local) = self.local {
            let _ = tokio::time::timeout_at(end, local.stop()).await;
        }
        let store = self.store;
        blocking(move || store.close()).await;
        let _ = std::fs::remove_file(admin::socket_path(&self.config.state));
        tracing::info!("stopped");
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

enum Signal {
    Reload,
    End,
}

/// SIGHUP, SIGTERM and SIGINT.
struct Signals([Option<tokio::signal::unix::Signal>; 3]);

impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::hangup(), SignalKind::terminate(), SignalKind::interrupt()];
        Self(kinds.map(|kind| signal(kind).ok()))
    }

    async fn next(&mut self) -> Signal {
        async fn one(signal: &mut Option<tokio::signal::unix::Signal>) {
            if let Some(signal) = signal
                && signal.recv().await.is_some()
            {
                return;
            }
            std::future::pending().await
        }
        let [hangup, terminate, interrupt] = &mut self.0;
        tokio::select! {
            () = one(hangup) => Signal::Reload,
            () = one(terminate) => Signal::End,
            () = one(interrupt) => Signal::End,
        }
    }
}
