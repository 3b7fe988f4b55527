//! Ad-hoc commands (XEP-0050): what a client wants of a command, and how it is answered.
//!
//! nbxmpp (Gajim) demands `node` and `status` always, `sessionid` once there is one, and `<actions>` that are not empty; so that is written.

use minidom::Element;

use super::form::{Form, FormKind};
use super::ns;
use super::stanza::{Condition, FaultKind, StanzaFault};
use super::xml::Tag;
use crate::model::limits;

/// What a client wants of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Which command.
    pub node: String,
    /// None: a new session.
    pub session: Option<String>,
    /// What to do.
    pub action: Action,
    /// What was filled in.
    pub form: Option<Form>,
}

/// What to do with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin; within a session whatever is the default.
    Execute,
    /// One step on.
    Next,
    /// One step back.
    Prev,
    /// The last step.
    Complete,
    /// No more of it.
    Cancel,
}

/// The answer to a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Which command.
    pub node: String,
    /// Names the session.
    pub session: String,
    /// How far it is.
    pub status: Status,
    /// To be filled in, or to be shown.
    pub form: Option<Form>,
    /// For people.
    pub notes: Vec<Note>,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Waits for the next step.
    Executing {
        /// There is a step to go back to.
        has_prev: bool,
        /// The next step is the last.
        is_last: bool,
    },
    /// Done, well or badly.
    Completed,
    /// Given up by the client.
    Canceled,
}

/// How a note is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Tone {
    Info,
    Warn,
    Error,
}

/// Something to be told to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How it is meant.
    pub tone: Tone,
    /// The text.
    pub text: String,
}

/// Why a step is refused, as far as the specification has an element for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reason {
    MalformedAction,
    BadAction,
    BadPayload,
    BadSession,
    SessionExpired,
}

impl Reason {
    /// The stanza error.
    pub fn to_fault(self) -> StanzaFault {
        let (name, text) = match self {
            Self::MalformedAction => ("malformed-action", "There is no such action."),
            Self::BadAction => ("bad-action", "This action cannot be taken at this step."),
            Self::BadPayload => ("bad-payload", "The form is not what was asked for."),
            Self::BadSession => ("bad-sessionid", "There is no such session."),
            Self::SessionExpired => ("session-expired", "The session was left alone for too long."),
        };
        let (kind, condition) = match self {
            Self::SessionExpired => (FaultKind::Cancel, Condition::NotAllowed),
            _ => (FaultKind::Modify, Condition::BadRequest),
        };
        StanzaFault::new(kind, condition).with_text(text).with_application(Element::bare(name, ns::COMMANDS))
    }
}

impl Action {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Execute, "execute"),
        (Self::Next, "next"),
        (Self::Prev, "prev"),
        (Self::Complete, "complete"),
        (Self::Cancel, "cancel"),
    ];
}

impl Note {
    /// A note.
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { tone, text: text.into() }
    }
}

impl Request {
    /// Reads `<command>`. COMPAT: a form without type counts as filled in.
    pub fn parse(command: &Element) -> Result<Self, StanzaFault> {
        let node = command.attr("node").filter(|node| !node.is_empty() && node.len() <= limits::NAME_BYTES_MAX);
        let node = node.ok_or_else(|| StanzaFault::bad_request("A command has a node."))?.to_owned();
        let wanted = command.attr("action").unwrap_or("execute");
        let known = Action::ALL.into_iter().find(|(_, name)| *name == wanted);
        let (action, _) = known.ok_or_else(|| Reason::MalformedAction.to_fault())?;
        let form = command.get_child("x", ns::DATA).map(Form::parse);
        let action = match form.as_ref().map(|form| form.kind) {
            Some(FormKind::Result) => return Err(Reason::BadPayload.to_fault()),
            Some(FormKind::Cancel) => Action::Cancel,
            Some(FormKind::Form | FormKind::Submit) | None => action,
        };
        Ok(Self { node, session: command.attr("sessionid").map(str::to_owned), action, form })
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        let action = Action::ALL.into_iter().find(|(action, _)| *action == self.action);
        Tag::new("command", ns::COMMANDS)
            .attr("node", &self.node)
            .maybe("sessionid", self.session.as_ref())
            .maybe("action", action.map(|(_, name)| name))
            .children(self.form.as_ref().map(|form| form.to_element("")))
            .build()
    }
}

impl Answer {
    /// Writes `<command>`.
    pub fn to_element(&self) -> Element {
        let status = match self.status {
            Status::Executing { .. } => "executing",
            Status::Completed => "completed",
            Status::Canceled => "canceled",
        };
        Tag::new("command", ns::COMMANDS)
            .attr("node", &self.node)
            .attr("sessionid", &self.session)
            .attr("status", status)
            .children(self.status.actions())
            .children(self.form.as_ref().map(|form| form.to_element("")))
            .children(self.notes.iter().map(Note::to_tag))
            .build()
    }
}

impl Status {
    fn actions(self) -> Option<Tag> {
        let Self::Executing { has_prev, is_last } = self else { return None };
        let onwards = if is_last { "complete" } else { "next" };
        let allowed = has_prev.then_some("prev").into_iter().chain([onwards]);
        let actions = Tag::new("actions", ns::COMMANDS).attr("execute", onwards);
        Some(actions.children(allowed.map(|name| Tag::new(name, ns::COMMANDS))))
    }
}

impl Note {
    fn to_tag(&self) -> Tag {
        let tone = match self.tone {
            Tone::Info => "info",
            Tone::Warn => "warn",
            Tone::Error => "error",
        };
        Tag::new("note", ns::COMMANDS).attr("type", tone).text(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(xml: &str) -> Result<Request, StanzaFault> {
        Request::parse(&xml.parse().unwrap())
    }

    #[test]
    fn every_step_is_read_as_it_was_written() {
        for (action, _) in Action::ALL {
            let form = Some(Form { kind: FormKind::Submit, ..Form::default() });
            for (session, form) in [(None, None), (Some("c1".to_owned()), form)] {
                let request = Request { node: "read".to_owned(), session, action, form };
                assert_eq!(parse(&String::from(&request.to_element())), Ok(request));
            }
        }
    }

    #[test]
    fn refuses_what_is_no_step() {
        let ns = "xmlns='http://jabber.org/protocol/commands'";
        let reason = |xml: String| {
            let fault = parse(&xml).unwrap_err();
            (fault.condition, fault.application.map(|reason| reason.name().to_owned()))
        };
        assert_eq!(reason(format!("<command {ns}/>")), (Condition::BadRequest, None));
        let malformed = (Condition::BadRequest, Some("malformed-action".to_owned()));
        assert_eq!(reason(format!("<command {ns} node='a' action='go'/>")), malformed);
        let bad = (Condition::BadRequest, Some("bad-payload".to_owned()));
        assert_eq!(reason(format!("<command {ns} node='a'><x xmlns='jabber:x:data' type='result'/></command>")), bad);
    }

    #[test]
    fn a_form_that_was_cancelled_cancels() {
        let xml = "<command xmlns='http://jabber.org/protocol/commands' node='a' sessionid='1' action='next'>\
                   <x xmlns='jabber:x:data' type='cancel'/></command>";
        assert_eq!(parse(xml).unwrap().action, Action::Cancel);
        let xml = xml.replace(" type='cancel'", "").replace(" action='next'", "");
        assert_eq!(parse(&xml).unwrap().action, Action::Execute);
    }

    #[test]
    fn an_answer_has_what_gajim_demands() {
        let answer = |status| Answer {
            node: "read".to_owned(),
            session: "c1".to_owned(),
            status,
            form: None,
            notes: vec![Note::new(Tone::Warn, "Hot & cold")],
        };
        let written = answer(Status::Executing { has_prev: true, is_last: true }).to_element();
        let actions = written.get_child("actions", ns::COMMANDS).unwrap();
        assert_eq!(actions.attr("execute"), Some("complete"));
        assert_eq!(actions.children().map(|child| child.name().to_owned()).collect::<Vec<_>>(), ["prev", "complete"]);
        let written = answer(Status::Completed).to_element();
        assert_eq!((written.attr("status"), written.attr("sessionid")), (Some("completed"), Some("c1")));
        assert!(written.get_child("actions", ns::COMMANDS).is_none());
        assert_eq!(written.get_child("note", ns::COMMANDS).unwrap().text(), "Hot & cold");
    }
}
