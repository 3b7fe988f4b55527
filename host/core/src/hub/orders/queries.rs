//! Queries under way: commands whose results come in messages, numbered without a gap, until their end (concentrator.md §8).
//!
//! A mapper answers an `invoke` of a query with reports that carry its number; each becomes a record in the table of its node. The caller sees
//! those fields that it may read. Queries are the business of whoever asked: nobody else can end one, and one that loses its right is ended.

use std::collections::{BTreeMap, BTreeSet};

use super::super::addresses::Peer;
use super::super::registry::{Entry, NodeKey};
use super::super::timers::Timer;
use super::super::{Asker, Hub, Owner};
use super::{Denied, Order};
use crate::model::{Event, Failure, Field, NodeRef, Reading, ReasonCode, Timestamp, Value, ValueType, limits};
use crate::policy::ReadPermit;
use crate::wire::concentrator::{
    self, Answer, Cell, Column, Head, MessageLevel, QueryItem, QueryMessageKind, QueryProgress, Targets,
};
use crate::wire::form::Form;
use crate::wire::{Condition, Dialect, FaultKind, StanzaFault};

/// Queries under way.
#[derive(Debug, Default)]
pub(in super::super) struct Queries {
    live: BTreeMap<u64, Query>,
    names: BTreeMap<(Peer, String), u64>,
}

#[derive(Debug)]
struct Query {
    caller: Peer,
    dialect: Dialect,
    id: String,
    command: String,
    /// As the caller named them; progress is told of the first.
    nodes: Vec<NodeRef>,
    /// Messages so far.
    sequence: u32,
    records: usize,
    /// By request: who was asked, and which node as the caller named it.
    pending: BTreeMap<u64, (String, NodeRef)>,
    /// Nodes with a table that is open.
    tables: BTreeSet<NodeKey>,
    /// A part failed.
    has_failed: bool,
    deadline: Timestamp,
}

impl Queries {
    pub(in super::super) fn len(&self) -> usize {
        self.live.len()
    }

    fn is_full_for(&self, caller: &Peer) -> bool {
        let own = self.live.values().filter(|query| query.caller.jid == caller.jid).count();
        self.len() >= limits::QUERIES_MAX || own >= limits::QUERIES_PER_CALLER_MAX
    }
}

impl Query {
    fn progress(&mut self, items: Vec<QueryItem>) -> QueryProgress {
        self.sequence += 1;
        let node = self.nodes.first().cloned().unwrap_or_default();
        QueryProgress { node, query: self.id.clone(), sequence: Some(self.sequence), items }
    }
}

impl Hub {
    /// Answers `executeNodeQuery`, for one node or several; what the query tells follows in messages.
    pub(in super::super) fn execute_query(
        &mut self,
        asker: &Asker,
        caller: Peer,
        head: &Head,
        (of, command, id): (&Targets, &str, String),
        form: Option<&Form>,
        now: Timestamp,
    ) {
        let orders = self.plan_command(&self.config.policy.of(&caller.bare()), (of, command), form, true);
        let orders = orders.and_then(|orders| self.check_query(&caller, &id).map(|()| orders).map_err(Denied::from));
        let orders = match orders {
            Ok(orders) => orders,
            Err(Denied::Fault(fault)) => return self.reply(asker, concentrator::refuse(head, fault)),
            Err(Denied::Form(form)) => return self.reply(asker, concentrator::refuse_form(head, &form)),
        };
        let number = self.number();
        let id = if id.is_empty() { format!("q{number:x}") } else { id };
        let answer = match of {
            Targets::One(_) => Answer::Querying(id.clone()),
            Targets::Common(nodes) => Answer::Executed(vec![Ok(()); nodes.len()]),
        };
        self.reply(asker, concentrator::answer(head, &answer));
        self.begin_query(number, (caller, head.dialect), id, command, orders, now);
    }

    fn check_query(&self, caller: &Peer, id: &str) -> Result<(), StanzaFault> {
        if self.queries.names.contains_key(&(caller.clone(), id.to_owned())) {
            let conflict = StanzaFault::new(FaultKind::Cancel, Condition::Conflict);
            return Err(conflict.with_text("Query with same ID already running."));
        }
        match self.queries.is_full_for(caller) {
            true => Err(StanzaFault::overload("Too many queries at once.")),
            false => Ok(()),
        }
    }

    fn begin_query(
        &mut self,
        number: u64,
        (caller, dialect): (Peer, Dialect),
        id: String,
        command: &str,
        orders: Vec<Order>,
        now: Timestamp,
    ) {
        let deadline = now.plus_ms(limits::QUERY_DEADLINE_MS);
        let nodes = orders.iter().map(|order| order.shown.clone()).collect();
        self.queries.names.insert((caller.clone(), id.clone()), number);
        let (pending, tables) = (BTreeMap::new(), BTreeSet::new());
        let mut query = Query {
            caller,
            dialect,
            id,
            command: command.to_owned(),
            nodes,
            sequence: 0,
            records: 0,
            pending,
            tables,
            has_failed: false,
            deadline,
        };
        for order in orders {
            let shown = order.shown.clone();
            if let Some((request, bridge)) = self.give(order, command, Owner::Query(number)) {
                query.pending.insert(request, (bridge, shown));
            }
        }
        self.timers.set(deadline, Timer::QueryDeadline(number));
        self.queries.live.insert(number, query);
        self.query_tells(number, vec![QueryItem::Started]);
    }

    fn query_tells(&mut self, number: u64, items: Vec<QueryItem>) {
        let Some(query) = self.queries.live.get_mut(&number) else { return };
        let progress = query.progress(items);
        let (to, dialect) = (query.caller.clone(), query.dialect);
        self.message(&to, progress.to_element(dialect));
    }

    /// A mapper's report that is a result of a query.
    pub(in super::super) fn query_reported(&mut self, request: u64, key: NodeKey, reading: &Reading) {
        let Some(Owner::Query(number)) = self.owner_of(request) else { return };
        let (Some(query), Some(entry)) = (self.queries.live.get_mut(&number), self.registry.get(key)) else { return };
        let Ok(permit) = self.config.policy.of(&query.caller.bare()).read(&entry.name) else { return };
        if query.records >= limits::QUERY_RECORDS_MAX {
            let text = format!("More than {} records.", limits::QUERY_RECORDS_MAX);
            return self.end_query(number, Some(&Failure::new(ReasonCode::QuotaExceeded, text)));
        }
        query.records += 1;
        let table = entry.name.id.clone();
        let mut items = Vec::new();
        if query.tables.insert(key) {
            let columns = columns(entry, &permit);
            items.push(QueryItem::NewTable { id: table.clone(), name: entry.label().to_owned(), columns });
        }
        items.push(QueryItem::NewRecords { table, records: vec![record(entry, &permit, reading)] });
        self.query_tells(number, items);
    }

    /// A mapper cannot ask one of the nodes.
    pub(in super::super) fn query_failed(&mut self, request: u64, key: NodeKey, failure: &Failure) {
        let Some(Owner::Query(number)) = self.owner_of(request) else { return };
        let label = self.registry.get(key).map(|entry| entry.label().to_owned()).unwrap_or_default();
        self.query_tells(number, vec![error(&format!("{label}: {}", failure.message))]);
    }

    /// A mapper is done with its part.
    pub(in super::super) fn query_completed(&mut self, number: u64, request: u64, outcome: Result<(), Failure>) {
        let Some(query) = self.queries.live.get_mut(&number) else { return };
        let Some((_, shown)) = query.pending.remove(&request) else { return };
        let (is_over, is_one) = (query.pending.is_empty(), query.nodes.len() == 1);
        query.has_failed |= outcome.is_err();
        let has_failed = query.has_failed;
        if let Err(failure) = outcome {
            let text = if is_one { failure.message } else { format!("{}: {}", shown.id, failure.message) };
            self.query_tells(number, vec![error(&text)]);
        }
        match (is_over, has_failed) {
            (true, true) => self.close_query(number, QueryItem::Aborted),
            (true, false) => self.close_query(number, QueryItem::Done),
            (false, _) => {}
        }
    }

    /// The mappers had their time.
    pub(in super::super) fn query_overdue(&mut self, number: u64) {
        self.end_query(number, Some(&Failure::new(ReasonCode::Timeout, "The query took too long.")));
    }

    /// Answers `abortNodeQuery`.
    pub(in super::super) fn abort_query(
        &mut self,
        asker: &Asker,
        caller: &Peer,
        head: &Head,
        (of, command, id): (&Targets, &str, &str),
    ) {
        let number = self.queries.names.get(&(caller.clone(), id.to_owned())).copied();
        let is_meant = |query: &Query| {
            of.nodes().iter().all(|node| query.nodes.contains(node)) && (command.is_empty() || query.command == command)
        };
        let number = number.filter(|number| self.queries.live.get(number).is_some_and(is_meant));
        match number {
            Some(number) => {
                self.conclude_with(asker, head, Ok(Answer::Done));
                self.end_query(number, None);
            }
            None => self.conclude_with(asker, head, Err(StanzaFault::not_found("Query not found."))),
        }
    }

    /// Ends a query early; its mappers are told.
    fn end_query(&mut self, number: u64, why: Option<&Failure>) {
        let Some(query) = self.queries.live.get_mut(&number) else { return };
        for (request, (bridge, _)) in std::mem::take(&mut query.pending) {
            self.requests.remove(&request);
            self.outputs.push_back(super::super::Output::Event { bridge, event: Event::Cancelled(request) });
        }
        if let Some(failure) = why {
            self.query_tells(number, vec![error(&failure.message)]);
        }
        self.close_query(number, QueryItem::Aborted);
    }

    /// Closes what is open, and tells the end.
    fn close_query(&mut self, number: u64, end: QueryItem) {
        let Some(query) = self.queries.live.get_mut(&number) else { return };
        let tables = std::mem::take(&mut query.tables);
        let tables = tables.into_iter().filter_map(|key| self.registry.get(key));
        let closing: Vec<QueryItem> = tables.map(|entry| QueryItem::TableDone(entry.name.id.clone())).collect();
        self.query_tells(number, closing.into_iter().chain([end]).collect());
        self.forget_query(number);
    }

    fn forget_query(&mut self, number: u64) -> Option<Query> {
        let query = self.queries.live.remove(&number)?;
        self.queries.names.remove(&(query.caller.clone(), query.id.clone()));
        self.timers.cancel(query.deadline, Timer::QueryDeadline(number));
        Some(query)
    }

    /// Callers who cannot be reached any more: their queries end in silence.
    pub(in super::super) fn drop_queries(&mut self, is_gone: impl Fn(&Peer) -> bool) {
        let live = self.queries.live.iter().filter(|(_, query)| is_gone(&query.caller));
        for number in live.map(|(number, _)| *number).collect::<Vec<_>>() {
            let Some(query) = self.forget_query(number) else { continue };
            for (request, (bridge, _)) in query.pending {
                self.requests.remove(&request);
                self.tell(&bridge, Event::Cancelled(request));
            }
        }
    }

    /// Rules changed: whoever may not give the command any more gets no more of it.
    pub(in super::super) fn recheck_queries(&mut self) {
        let may = |query: &Query| {
            let access = self.config.policy.of(&query.caller.bare());
            let permit = |node| match self.place(node) {
                Some(super::Place::Node(key)) => {
                    self.registry.get(key).and_then(|entry| access.control(&entry.name).ok())
                }
                Some(super::Place::Bridge(_)) | None => None,
            };
            query.nodes.iter().all(|node| permit(node).is_some_and(|permit| permit.covers(&query.command)))
        };
        let lost: Vec<u64> =
            self.queries.live.iter().filter(|(_, query)| !may(query)).map(|(number, _)| *number).collect();
        for number in lost {
            self.end_query(number, None);
        }
    }

    /// A bridge is gone: nobody answers its requests any more.
    pub(in super::super) fn queries_lose_bridge(&mut self, bridge: &str) {
        let of = |(number, query): (&u64, &Query)| {
            let requests = query.pending.iter().filter(|(_, (name, _))| name == bridge);
            requests.map(|(request, _)| (*number, *request)).collect::<Vec<_>>()
        };
        let lost: Vec<(u64, u64)> = self.queries.live.iter().flat_map(of).collect();
        for (number, request) in lost {
            self.requests.remove(&request);
            self.query_completed(number, request, Err(Failure::new(ReasonCode::Closed, "The bridge is gone.")));
        }
    }
}

fn error(text: &str) -> QueryItem {
    QueryItem::Message { kind: QueryMessageKind::Error, level: MessageLevel::Major, text: text.to_owned() }
}

/// The fields that the caller may read, in their order.
fn readable<'a>(entry: &'a Entry, permit: &ReadPermit) -> impl Iterator<Item = (usize, &'a Field)> {
    entry.node.fields.iter().enumerate().filter(|(_, field)| permit.covers(&field.name))
}

/// When, and a column for each field.
fn columns(entry: &Entry, permit: &ReadPermit) -> Vec<Column> {
    let time = Column { id: "Timestamp".to_owned(), header: "Timestamp".to_owned(), ..Column::default() };
    let fields = readable(entry, permit).map(|(_, field)| {
        let name = if field.label.is_empty() { &field.name } else { &field.label };
        let header = if field.unit.is_empty() { name.clone() } else { format!("{name} ({})", field.unit) };
        let is_number = matches!(field.value_type, ValueType::Int32 | ValueType::Int64 | ValueType::Quantity);
        let alignment = if is_number { "Right".to_owned() } else { String::new() };
        Column { id: field.name.clone(), header, alignment, ..Column::default() }
    });
    std::iter::once(time).chain(fields).collect()
}

fn record(entry: &Entry, permit: &ReadPermit, reading: &Reading) -> Vec<Cell> {
    let cells = readable(entry, permit).map(|(index, field)| {
        let sample = reading.samples.iter().find(|sample| usize::from(sample.field) == index);
        sample.map_or(Cell::Void, |sample| cell(field, &sample.value))
    });
    std::iter::once(Cell::Value(Value::Instant(reading.at))).chain(cells).collect()
}

fn cell(field: &Field, value: &Value) -> Cell {
    match (value, field.value_type) {
        (Value::Text(digits), ValueType::Colour) => Cell::Colour(digits.clone()),
        (Value::Decimal(_) | Value::Double(_), _) if !field.unit.is_empty() => {
            Cell::Measured { value: value.clone(), unit: field.unit.clone(), error: None }
        }
        _ => Cell::Value(value.clone()),
    }
}
