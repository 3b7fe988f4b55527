//! Ad-hoc commands (XEP-0050), for people whose client knows nothing of the IoT family: devices for everybody with a rule, the service for
//! admins.
//!
//! Order of evaluation for each step: the caller (no rule and no admin: forbidden), the command (not one of the caller's: not found), the
//! session (only its owner's), the action (one that the step allows), and then the command itself, which asks policy like everything else.
//! Rules that changed between two steps count at the second.

mod contacts;
mod devices;
mod service;
mod sessions;

use jid::{BareJid, Jid};

use super::addresses::Peer;
use super::errands::{Errand, Wish};
use super::lookup::{Readable, refusal};
use super::{Asker, Hub, Manage};
use crate::model::{NodeRef, Timestamp};
use crate::policy::{Access, May};
use crate::wire::command::{Action, Answer, Note, Reason, Request, Status, Tone};
use crate::wire::control::Parameter;
use crate::wire::discovery::{Identity, Info, Item};
use crate::wire::form::{Choice, Form, FormField, FormKind};
use crate::wire::{StanzaFault, ns};

pub(super) use devices::{everything_now, state_text};
pub(super) use sessions::Sessions;
use sessions::id_of;

/// What there is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    List,
    Read,
    Set,
    Status,
    Bridges,
    Reload,
    Release,
    Restart,
    Requests,
    Decisions,
}

/// Whom to answer, and in which session.
#[derive(Clone, Debug)]
pub(super) struct Step {
    asker: Asker,
    session: u64,
    command: Command,
}

/// What a session waits for.
#[derive(Clone, Debug, PartialEq)]
enum Stage {
    /// Something of ours.
    Busy,
    /// The only form of the command.
    Asked,
    /// The device whose parameters are to be set.
    Chosen,
    /// New values for the parameters of a device, of which these were shown.
    Values { node: NodeRef, shown: Vec<(String, String)> },
}

/// What a step leads to.
enum Outcome {
    /// The next form.
    Ask { stage: Stage, form: Form, notes: Vec<Note> },
    /// The end.
    Done { form: Option<Form>, notes: Vec<Note> },
    /// The app has to do something first.
    Wish(Wish),
    /// A node has to be read first.
    Read(Readable),
    /// Parameters have to be set first.
    Set { node: NodeRef, parameters: Vec<Parameter>, shown: Vec<(String, String)> },
}

impl Command {
    const ALL: [(Self, &'static str, &'static str); 10] = [
        (Self::List, "list", "List devices"),
        (Self::Read, "read", "Read a device"),
        (Self::Set, "set", "Control a device"),
        (Self::Status, "status", "Show the service's status"),
        (Self::Bridges, "bridges", "List bridges"),
        (Self::Reload, "reload", "Reload configuration and plugins"),
        (Self::Release, "release", "Release a bridge from quarantine"),
        (Self::Restart, "restart", "Restart a bridge"),
        (Self::Requests, "requests", "Allow or deny a waiting presence request"),
        (Self::Decisions, "decisions", "List or revoke decisions about presence"),
    ];

    fn of(node: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, name, _)| *name == node).map(|(command, ..)| command)
    }

    fn node(self) -> &'static str {
        Self::ALL.into_iter().find(|(command, ..)| *command == self).map_or("", |(_, node, _)| node)
    }
}

impl Stage {
    const fn is_last(&self) -> bool {
        !matches!(self, Self::Chosen)
    }

    const fn has_prev(&self) -> bool {
        matches!(self, Self::Values { .. })
    }
}

impl Outcome {
    fn note(tone: Tone, text: impl Into<String>) -> Self {
        Self::Done { form: None, notes: vec![Note::new(tone, text)] }
    }

    fn ask(form: Form) -> Self {
        Self::Ask { stage: Stage::Asked, form, notes: Vec::new() }
    }
}

impl Hub {
    /// Takes a step of a command.
    pub(super) fn command(&mut self, asker: Asker, caller: &Peer, request: &Request, now: Timestamp) {
        if let Err(fault) = self.take_step(&asker, caller, request, now) {
            self.refuse(&asker, &fault);
        }
    }

    fn take_step(
        &mut self,
        asker: &Asker,
        caller: &Peer,
        request: &Request,
        now: Timestamp,
    ) -> Result<(), StanzaFault> {
        let command = self.runnable(&caller.bare(), &request.node)?;
        let step = |session| Step { asker: asker.clone(), session, command };
        let Some(id) = &request.session else {
            if request.action != Action::Execute {
                return Err(Reason::BadAction.to_fault());
            }
            let number = self.item();
            self.sessions.begin(number, (caller, command), &mut self.timers, now)?;
            let outcome = self.begin(command, caller);
            self.proceed(step(number), caller, outcome, now);
            return Ok(());
        };
        let (number, stage) = self.sessions.find(id, caller, command)?;
        let stage = stage.clone();
        let outcome = match request.action {
            Action::Cancel => {
                self.sessions.end(number, &mut self.timers);
                self.answer_step(&step(number), Status::Canceled, None, Vec::new());
                return Ok(());
            }
            _ if stage == Stage::Busy => return Err(Reason::BadAction.to_fault()),
            Action::Prev if stage.has_prev() => self.begin(command, caller),
            Action::Prev => return Err(Reason::BadAction.to_fault()),
            Action::Next if stage.is_last() => return Err(Reason::BadAction.to_fault()),
            Action::Complete if !stage.is_last() => return Err(Reason::BadAction.to_fault()),
            Action::Execute | Action::Next | Action::Complete => {
                let form = request.form.as_ref().ok_or_else(|| Reason::BadPayload.to_fault())?;
                self.submit(command, caller, stage, form, now)?
            }
        };
        self.proceed(step(number), caller, outcome, now);
        Ok(())
    }

    fn begin(&self, command: Command, caller: &Peer) -> Outcome {
        let who = &caller.bare();
        match command {
            Command::List => self.list_devices(who),
            Command::Read => self.ask_what_to_read(who),
            Command::Set => self.ask_what_to_set(who),
            Command::Status | Command::Bridges | Command::Release | Command::Restart => Outcome::Wish(Wish::Status),
            Command::Reload => Outcome::Wish(Wish::Reload),
            Command::Requests => self.ask_about_requests(),
            Command::Decisions => self.ask_about_decisions(),
        }
    }

    fn submit(
        &mut self,
        command: Command,
        caller: &Peer,
        stage: Stage,
        form: &Form,
        now: Timestamp,
    ) -> Result<Outcome, StanzaFault> {
        match (command, stage) {
            (Command::Read, _) => self.read_chosen(&caller.bare(), form),
            (Command::Set, Stage::Values { node, shown }) => self.set_values(caller, node, shown, form),
            (Command::Set, _) => self.ask_for_values(caller, form),
            (Command::Release, _) => manage(form, Manage::Release),
            (Command::Restart, _) => manage(form, Manage::Restart),
            (Command::Requests, _) => self.decide_request(&caller.bare(), form, now),
            (Command::Decisions, _) => self.revoke_decisions(form),
            (Command::List | Command::Status | Command::Bridges | Command::Reload, _) => {
                Err(Reason::BadAction.to_fault())
            }
        }
    }

    fn proceed(&mut self, step: Step, caller: &Peer, outcome: Outcome, now: Timestamp) {
        let stage = match &outcome {
            Outcome::Ask { stage, .. } => stage.clone(),
            _ => Stage::Busy,
        };
        if !self.sessions.step(step.session, stage, &mut self.timers, now) {
            return self.answer_step(&step, Status::Canceled, None, Vec::new());
        }
        match outcome {
            Outcome::Ask { stage, form, notes } => {
                let status = Status::Executing { has_prev: stage.has_prev(), is_last: stage.is_last() };
                self.answer_step(&step, status, Some(form), notes);
            }
            Outcome::Done { form, notes } => {
                self.sessions.end(step.session, &mut self.timers);
                self.answer_step(&step, Status::Completed, form, notes);
            }
            Outcome::Wish(wish) => self.wish(Errand::Command(step), wish, now),
            Outcome::Read(node) => {
                self.read_for(Errand::Command(step), caller.clone(), node, everything_now(), now);
            }
            Outcome::Set { node, parameters, shown } => {
                let errand = Errand::Command(step.clone());
                if let Err(refusal) = self.set_for(errand, caller.clone(), &node, parameters, now) {
                    let outcome = self.ask_again(caller, node, shown, &refusal);
                    self.proceed(step, caller, outcome, now);
                }
            }
        }
    }

    /// The end of a step that had to wait; its session may be gone by now.
    fn end_step(&mut self, step: &Step, form: Option<Form>, notes: Vec<Note>) {
        match self.sessions.end(step.session, &mut self.timers) {
            Some(_) => self.answer_step(step, Status::Completed, form, notes),
            None => self.answer_step(step, Status::Canceled, None, Vec::new()),
        }
    }

    fn answer_step(&mut self, step: &Step, status: Status, form: Option<Form>, notes: Vec<Note>) {
        let (node, session) = (step.command.node().to_owned(), id_of(step.session));
        let answer = Answer { node, session, status, form, notes };
        self.answer(&step.asker, Some(answer.to_element()));
    }

    /// The command that a caller means, if it may run it.
    fn runnable(&self, who: &BareJid, node: &str) -> Result<Command, StanzaFault> {
        let access = self.config.policy.of(who);
        if !self.config.policy.is_admin(who) {
            access.check().map_err(refusal)?;
        }
        let command = Command::of(node).filter(|command| self.may_run(*command, who, &access));
        command.ok_or_else(|| StanzaFault::not_found("There is no such command."))
    }

    fn may_run(&self, command: Command, who: &BareJid, access: &Access<'_>) -> bool {
        match command {
            Command::List => access.may_anywhere(May::SEE),
            Command::Read => access.may_anywhere(May::READ),
            Command::Set => access.may_anywhere(May::CONTROL),
            Command::Status
            | Command::Bridges
            | Command::Reload
            | Command::Release
            | Command::Restart
            | Command::Requests
            | Command::Decisions => self.config.policy.is_admin(who),
        }
    }

    /// The commands that a caller may run, as items.
    pub(super) fn command_items(&self, who: &BareJid, me: &Jid) -> Result<Vec<Item>, StanzaFault> {
        let access = self.config.policy.of(who);
        if !self.config.policy.is_admin(who) {
            access.check().map_err(refusal)?;
        }
        let own = Command::ALL.into_iter().filter(|(command, ..)| self.may_run(*command, who, &access));
        Ok(own.map(|(_, node, name)| Item { jid: me.clone(), node: node.to_owned(), name: name.to_owned() }).collect())
    }

    /// What discovery says of the list of commands, or of a command of the caller's; none: it is something else.
    pub(super) fn command_info(&self, caller: &Peer, node: &str) -> Option<Info> {
        let (kind, name) = match node {
            ns::COMMANDS => ("command-list", "Commands"),
            node => {
                let command = self.runnable(&caller.bare(), node).ok()?;
                let (.., name) = Command::ALL.into_iter().find(|(listed, ..)| *listed == command)?;
                ("command-node", name)
            }
        };
        let identity =
            Identity { category: "automation".to_owned(), identity_type: kind.to_owned(), name: name.to_owned() };
        let features = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::COMMANDS, ns::DATA].map(str::to_owned).to_vec();
        Some(Info { identities: vec![identity], features, ..Info::default() })
    }

    /// A session was left alone for too long.
    pub(super) fn session_over(&mut self, number: u64) {
        self.sessions.expire(number);
    }
}

/// What the form says to do to a bridge.
fn manage(form: &Form, what: Manage) -> Result<Outcome, StanzaFault> {
    Ok(Outcome::Wish(Wish::Manage { bridge: chosen(form, "bridge")?.to_owned(), what }))
}

/// The value of a field that had to be filled in.
fn chosen<'a>(form: &'a Form, var: &str) -> Result<&'a str, StanzaFault> {
    let value = form.field(var).and_then(|field| field.values.first()).filter(|value| !value.is_empty());
    value.map(String::as_str).ok_or_else(|| Reason::BadPayload.to_fault())
}

/// A form with a title and fields.
fn form(kind: FormKind, title: &str, fields: Vec<FormField>) -> Form {
    Form { kind, title: title.to_owned(), fields, ..Form::default() }
}

/// A field in which one of several values has to be chosen.
fn choice(var: &str, label: &str, options: Vec<Choice>) -> FormField {
    FormField {
        var: var.to_owned(),
        field_type: "list-single".to_owned(),
        label: label.to_owned(),
        options,
        required: true,
        ..FormField::default()
    }
}

/// A field that is only to be shown.
fn shown(var: &str, label: &str, lines: Vec<String>) -> FormField {
    let field_type = if lines.len() == 1 { "text-single" } else { "text-multi" };
    FormField {
        var: var.to_owned(),
        field_type: field_type.to_owned(),
        label: label.to_owned(),
        values: lines,
        ..FormField::default()
    }
}
