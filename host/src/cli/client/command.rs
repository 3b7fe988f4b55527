//! `command`: which commands a node has, and having one carried out.
//!
//! A query's results are printed as they come; records as one line each, or as one JSON object each.

use std::collections::BTreeMap;

use tokio::time::{Duration, Instant};
use tombolo_core::model::NodeRef;
use tombolo_core::wire::concentrator::{
    Answer, Cell, Column, Command, CommandKind, NodeInfo, Operation, QueryItem, QueryProgress, Targets,
};
use tombolo_core::wire::form::{Form, FormField, FormKind};
use tombolo_core::wire::lexical;
use tombolo_core::wire::stanza::StanzaFault;

use super::super::{Exit, Login, note, say};
use super::text::tame;
use super::{Peer, about, assignment, node_ref};
use crate::client::ClientError;

/// The source in which bridges are nodes.
const UNION: &str = "MeteringTopology";

/// Commands by node.
pub(super) type Commands = BTreeMap<NodeRef, Vec<Command>>;

/// Has a node carry out a command.
pub(in super::super) async fn command(
    jid: &str,
    node: &str,
    name: &str,
    values: &[String],
    login: &Login,
) -> Result<(), Exit> {
    let node = if node.contains('/') { node_ref(node)? } else { NodeRef::new(node, UNION) };
    let pairs = values.iter().map(|pair| assignment(pair)).collect::<Result<Vec<_>, _>>()?;
    let mut peer = Peer::connect(jid, login).await?;
    let commands = peer.commands_of(&node).await?;
    let Some(known) = commands.iter().find(|command| command.id == name) else {
        return Err(Exit::Usage(match commands.as_slice() {
            [] => format!("{node} has no commands that you may give"),
            some => format!("{node} has no command `{name}`; it has {}", names(some)),
        }));
    };
    let form = filled(pairs);
    let of = Targets::One(node.clone());
    match known.kind {
        CommandKind::Simple if !form.fields.is_empty() => {
            return Err(Exit::Usage(format!("`{name}` wants to know nothing")));
        }
        CommandKind::Simple => {
            peer.carry_out(Operation::ExecuteCommand { of, command: name.into(), form: None }).await?
        }
        CommandKind::Parametrized => {
            peer.carry_out(Operation::ExecuteCommand { of, command: name.into(), form: Some(form) }).await?;
        }
        CommandKind::Query => {
            let query = peer.client.new_id();
            let operation =
                Operation::ExecuteQuery { of, command: name.into(), query: query.clone(), form: Some(form) };
            peer.carry_out(operation).await?;
            peer.follow(&query, login).await?;
        }
    }
    if known.kind != CommandKind::Query {
        match login.json {
            true => say(serde_json::json!({ "source": node.source, "node": node.id, "command": name, "done": true })),
            false => say(format_args!("{node}: {name} done")),
        }
    }
    peer.client.close().await;
    Ok(())
}

/// For people: what there is to choose from.
pub(super) fn names(commands: &[Command]) -> String {
    commands.iter().map(|command| tame(&command.id).into_owned()).collect::<Vec<_>>().join(", ")
}

fn filled(pairs: Vec<(String, String)>) -> Form {
    let fields = pairs.into_iter().map(|(var, text)| FormField { var, values: vec![text], ..FormField::default() });
    Form { kind: FormKind::Submit, fields: fields.collect(), ..Form::default() }
}

impl Peer {
    /// The commands of all nodes that have some.
    pub(super) async fn commands(&mut self, nodes: &[NodeInfo]) -> Result<Commands, Exit> {
        let mut found = Commands::new();
        for node in nodes.iter().filter(|node| node.has_commands) {
            found.insert(node.node.clone(), self.commands_of(&node.node).await?);
        }
        Ok(found)
    }

    async fn commands_of(&mut self, node: &NodeRef) -> Result<Vec<Command>, Exit> {
        match self.concentrator(Operation::GetCommands(Targets::One(node.clone()))).await? {
            Ok(Answer::Commands(commands)) => Ok(commands),
            Ok(_) => Ok(Vec::new()),
            Err(fault) => Err(self.no(fault)),
        }
    }

    async fn carry_out(&mut self, operation: Operation) -> Result<(), Exit> {
        match self.concentrator(operation).await? {
            Ok(_) => Ok(()),
            Err(fault) => Err(self.no(fault)),
        }
    }

    /// A form that came back says more than its error.
    fn no(&self, fault: StanzaFault) -> Exit {
        let form = fault.application.as_ref().filter(|form| form.name() == "x").map(|form| Form::parse(form));
        let wrong = form.iter().flat_map(|form| &form.fields).filter(|field| !field.error.is_empty());
        let wrong: Vec<String> = wrong.map(|field| format!("{}: {}", tame(&field.var), tame(&field.error))).collect();
        match wrong.is_empty() {
            true => about(&self.jid, ClientError::Refused(Box::new(fault))),
            false => Exit::Usage(wrong.join("; ")),
        }
    }

    /// Prints what a query tells until its end.
    async fn follow(&mut self, query: &str, login: &Login) -> Result<(), Exit> {
        let mut tables: BTreeMap<String, Vec<Column>> = BTreeMap::new();
        loop {
            let within = Duration::from_secs(login.timeout);
            let Some((_, progress)) = self.client.progress(Instant::now() + within).await? else {
                return Err(about(&self.jid, ClientError::Silent(within)));
            };
            let QueryProgress { query: told, items, .. } = progress;
            for item in items.into_iter().filter(|_| told == query) {
                match item {
                    QueryItem::Done => return Ok(()),
                    QueryItem::Aborted => return Err(Exit::Unreachable("the query was aborted".into())),
                    QueryItem::NewTable { id, name, columns } => {
                        if !login.json {
                            note(tame(&name));
                        }
                        tables.insert(id, columns);
                    }
                    QueryItem::NewRecords { table, records } => {
                        let columns = tables.get(&table).map(Vec::as_slice).unwrap_or_default();
                        records.iter().for_each(|record| say(line(columns, record, login.json)));
                    }
                    QueryItem::Title(text) | QueryItem::Status(text) | QueryItem::BeginSection(text) => {
                        note(tame(&text))
                    }
                    QueryItem::Message { text, .. } => note(tame(&text)),
                    QueryItem::Started
                    | QueryItem::EndSection
                    | QueryItem::TableDone(_)
                    | QueryItem::NewObject { .. } => {}
                }
            }
        }
    }
}

fn line(columns: &[Column], cells: &[Cell], json: bool) -> String {
    let named = columns.iter().zip(cells).filter(|(_, cell)| **cell != Cell::Void);
    if json {
        let members = named.map(|(column, cell)| (column.id.clone(), serde_json::Value::String(text(cell))));
        return serde_json::Value::Object(members.collect()).to_string();
    }
    let named = named.map(|(column, cell)| match column.id.as_str() {
        "Timestamp" => text(cell),
        id => format!("{} = {}", tame(id), tame(&text(cell))),
    });
    named.collect::<Vec<_>>().join("  ")
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Void => String::new(),
        Cell::Value(value) => lexical::write(value),
        Cell::Colour(digits) => digits.clone(),
        Cell::Measured { value, unit, .. } => format!("{} {unit}", lexical::write(value)).trim_end().to_owned(),
        Cell::Object { content_type, .. } => format!("({content_type})"),
    }
}

#[cfg(test)]
mod tests {
    use tombolo_core::model::Value;

    use super::*;

    #[test]
    fn a_record_is_a_line_without_what_is_void() {
        let column = |id: &str| Column { id: id.into(), ..Column::default() };
        let columns = [column("Timestamp"), column("Power"), column("Level")];
        let cells = [Cell::Value(Value::Text("now".into())), Cell::Void, Cell::Value(Value::Int32(40))];
        assert_eq!(line(&columns, &cells, false), "now  Level = 40");
        assert_eq!(line(&columns, &cells, true), r#"{"Level":"40","Timestamp":"now"}"#);
    }
}
