//! Rooms (XEP-0045): entering, making and leaving one, and what happens in it.

use jid::{FullJid, Jid};
use minidom::Element;

use super::form::{Form, FormField, FormKind};
use super::stanza::StanzaFault;
use super::{control, ns, sensor, xml::Tag};

/// Something that happened in a room, ours or not.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Somebody is there.
    Present(Occupant),
    /// Somebody, perhaps we, left or was sent away.
    Gone(Occupant),
    /// We were not let in, or were thrown out by an error.
    Refused(StanzaFault),
    /// Said to all.
    Said(Said),
}

/// Somebody in a room.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Occupant {
    /// Who it really is; none: the room hides it.
    pub real: Option<Jid>,
    /// Member, admin or owner.
    pub is_member: bool,
    /// It is we.
    pub is_self: bool,
    /// The room was made by our coming, and waits to be configured.
    pub is_created: bool,
}

/// A message to all in a room.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The sender's id.
    pub id: String,
    /// From before we came.
    pub is_history: bool,
    /// Readings.
    pub answer: Option<sensor::Answer>,
    /// A control operation.
    pub set: Option<control::Set>,
}

/// What stands in the presence with which we enter; no history.
pub fn join(password: Option<&str>) -> Element {
    let password = password.map(|password| Tag::new("password", ns::MUC).text(password));
    Tag::new("x", ns::MUC).child(Tag::new("history", ns::MUC).attr("maxstanzas", "0")).children(password).build()
}

/// Opens a room that we made, with what is told and the room's own defaults.
pub fn open(settings: &[(String, String)]) -> Element {
    let field = |var: &str, value: &str| FormField {
        var: var.to_owned(),
        values: vec![value.to_owned()],
        ..FormField::default()
    };
    let mut fields: Vec<FormField> =
        settings.iter().map(|(name, value)| field(&format!("muc#roomconfig_{name}"), value)).collect();
    if !fields.is_empty() {
        fields.insert(0, field("FORM_TYPE", ns::MUC_ROOM_CONFIG));
    }
    let form = Form { kind: FormKind::Submit, fields, ..Form::default() };
    Tag::new("query", ns::MUC_OWNER).child(form.to_element("")).build()
}

/// Gives up a room that we made without wanting to.
pub fn cancel() -> Element {
    let form = Form { kind: FormKind::Cancel, ..Form::default() };
    Tag::new("query", ns::MUC_OWNER).child(form.to_element("")).build()
}

/// A message to all. The text is for people, and for services that drop messages without one.
pub fn say(room: &Jid, id: &str, payload: Element) -> Element {
    Tag::new("message", ns::CLIENT)
        .attr("type", "groupchat")
        .attr("to", room.as_str())
        .attr("id", id)
        .child(payload)
        .build()
}

impl Event {
    /// Reads a stanza; none: it has nothing to do with a room.
    pub fn parse(stanza: &Element) -> Option<Self> {
        match (stanza.name(), stanza.attr("type")) {
            ("presence", Some("error")) => {
                let error = stanza.get_child("error", ns::CLIENT)?;
                stanza.has_child("x", ns::MUC).then(|| Self::Refused(StanzaFault::from_element(error)))
            }
            ("presence", None) => Occupant::parse(stanza).map(Self::Present),
            ("presence", Some("unavailable")) => Occupant::parse(stanza).map(Self::Gone),
            ("message", Some("groupchat")) => Some(Self::Said(Said::parse(stanza))),
            _ => None,
        }
    }
}

impl Occupant {
    /// Whether the room says that it is this account.
    pub fn is_really(&self, account: &jid::BareJid) -> bool {
        self.real.as_ref().is_some_and(|real| real.to_bare() == *account)
    }

    fn parse(presence: &Element) -> Option<Self> {
        let x = presence.get_child("x", ns::MUC_USER)?;
        let item = x.get_child("item", ns::MUC_USER);
        let has = |code: &str| x.children().any(|child| child.name() == "status" && child.attr("code") == Some(code));
        let affiliation = item.and_then(|item| item.attr("affiliation"));
        Some(Self {
            real: item.and_then(|item| item.attr("jid")).and_then(|jid| Jid::new(jid).ok()),
            is_member: matches!(affiliation, Some("member" | "admin" | "owner")),
            is_self: has("110"),
            is_created: has("201"),
        })
    }
}

impl Said {
    fn parse(message: &Element) -> Self {
        let set = message.children().find_map(|child| {
            let dialect = super::Dialect::from_control_ns(&child.ns())?;
            match control::Request::parse(child, dialect) {
                Ok(control::Request::Set(set)) => Some(set),
                Ok(control::Request::GetForm(_)) | Err(_) => None,
            }
        });
        Self {
            id: message.attr("id").unwrap_or_default().to_owned(),
            is_history: message.has_child("delay", ns::DELAY),
            answer: message.children().find_map(sensor::Answer::parse),
            set,
        }
    }
}

/// The occupant address of a nickname; none where the nickname cannot stand in one.
pub fn occupant(room: &jid::BareJid, nick: &str) -> Option<FullJid> {
    room.with_resource_str(nick).ok()
}

#[cfg(test)]
mod tests {
    use super::super::stanza::Condition;
    use super::*;

    fn event(xml: &str) -> Option<Event> {
        let name = if xml.starts_with("<m") { "<message" } else { "<presence" };
        Event::parse(&xml.replacen(name, &format!("{name} xmlns='jabber:client'"), 1).parse().unwrap())
    }

    #[test]
    fn presence_tells_who_is_there_and_who_we_are() {
        let xml = "<presence from='r@s/n'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner' role='moderator' jid='a@b/c'/><status code='110'/><status code='201'/></x></presence>";
        let Some(Event::Present(occupant)) = event(xml) else { panic!() };
        assert_eq!(occupant.real, Some(Jid::new("a@b/c").unwrap()));
        assert!(occupant.is_self && occupant.is_created && occupant.is_member);
        let xml = "<presence type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none'/></x></presence>";
        assert_eq!(event(xml), Some(Event::Gone(Occupant::default())));
        assert_eq!(event("<presence/>"), None);
    }

    #[test]
    fn refusals_are_those_of_rooms_only() {
        let error =
            String::from(&StanzaFault::new(super::super::FaultKind::Auth, Condition::NotAuthorized).to_element());
        let xml = format!("<presence type='error'><x xmlns='http://jabber.org/protocol/muc'/>{error}</presence>");
        assert!(matches!(event(&xml), Some(Event::Refused(fault)) if fault.condition == Condition::NotAuthorized));
        assert_eq!(event(&format!("<presence type='error'>{error}</presence>")), None);
    }

    #[test]
    fn what_is_said_brings_readings_or_commands_and_says_whether_it_is_old() {
        let xml = "<message type='groupchat' id='7'><done xmlns='urn:nf:iot:sd:1.0' id='1'/><delay xmlns='urn:xmpp:delay' stamp='2025-01-01T00:00:00Z'/></message>";
        let Some(Event::Said(said)) = event(xml) else { panic!() };
        assert!(said.is_history && said.answer.is_some() && said.set.is_none());
        let xml = "<message type='groupchat'><set xmlns='urn:nf:iot:ctr:1.0'><b n='Power' v='true'/></set></message>";
        let Some(Event::Said(said)) = event(xml) else { panic!() };
        assert!(!said.is_history && said.set.is_some());
        assert_eq!(event("<message type='chat'/>"), None);
    }

    #[test]
    fn a_room_is_opened_at_once_or_as_told() {
        let instant = open(&[]);
        assert!(Form::parse(instant.get_child("x", ns::DATA).unwrap()).fields.is_empty());
        let told = open(&[("persistentroom".to_owned(), "1".to_owned())]);
        let form = Form::parse(told.get_child("x", ns::DATA).unwrap());
        assert_eq!(form.field("muc#roomconfig_persistentroom").unwrap().text(), "1");
        assert_eq!(form.field("FORM_TYPE").unwrap().text(), ns::MUC_ROOM_CONFIG);
    }
}
