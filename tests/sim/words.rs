//! What peers say, in the words of their generation. Written out by hand: the product's own writers would hide its mistakes.

use minidom::Element;

use crate::dice::Dice;

/// Our address.
pub(crate) const ME: &str = "bridge@example.org/tombolo";

/// Which names a peer uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    Long,
    Ieee,
    Nf,
    Nfi,
}

impl Generation {
    pub(crate) const ALL: [Self; 4] = [Self::Long, Self::Ieee, Self::Nf, Self::Nfi];

    fn urn(self) -> &'static str {
        match self {
            Self::Long => "xmpp",
            Self::Ieee => "ieee",
            Self::Nf => "nf",
            Self::Nfi => "nfi",
        }
    }

    fn nodes(self, nodes: &[&str]) -> String {
        let named = nodes.iter().filter_map(|node| node.split_once('/'));
        match self {
            Self::Long => named.map(|(source, id)| format!("<node nodeId='{id}' sourceId='{source}'/>")).collect(),
            _ => named.map(|(source, id)| format!("<nd id='{id}' src='{source}'/>")).collect(),
        }
    }

    /// A readout.
    pub(crate) fn read(self, number: u64, nodes: &[&str]) -> (&'static str, String) {
        let nodes = self.nodes(nodes);
        let payload = match self {
            Self::Long => format!("<req xmlns='urn:xmpp:iot:sensordata' seqnr='{number}' all='true'>{nodes}</req>"),
            _ => format!("<req xmlns='urn:{}:iot:sd:1.0' id='{number}' all='true'>{nodes}</req>", self.urn()),
        };
        ("get", payload)
    }

    pub(crate) fn cancel(self, number: u64) -> (&'static str, String) {
        match self {
            Self::Long => ("get", format!("<cancel xmlns='urn:xmpp:iot:sensordata' seqnr='{number}'/>")),
            _ => ("set", format!("<cancel xmlns='urn:{}:iot:sd:1.0' id='{number}'/>", self.urn())),
        }
    }

    /// A wish for every reading of these nodes, or for some changes of them.
    pub(crate) fn subscribe(self, number: u64, nodes: &[&str], is_for_all: bool) -> (&'static str, String) {
        let nodes = self.nodes(nodes);
        match self {
            Self::Long => {
                let rule = if is_for_all { "" } else { "<field name='Count' changedBy='2'/>" };
                let attributes = format!("seqnr='{number}' momentary='true'");
                ("get", format!("<subscribe xmlns='urn:xmpp:iot:events' {attributes}>{nodes}{rule}</subscribe>"))
            }
            _ => {
                let rule = if is_for_all { "" } else { "<f n='Count' by='2'/>" };
                let ns = format!("urn:{}:iot:events:1.0", self.urn());
                ("set", format!("<subscribe xmlns='{ns}' id='{number}' m='true'>{nodes}{rule}</subscribe>"))
            }
        }
    }

    pub(crate) fn unsubscribe(self, number: u64) -> (&'static str, String) {
        match self {
            Self::Long => ("get", format!("<unsubscribe xmlns='urn:xmpp:iot:events' seqnr='{number}'/>")),
            _ => ("set", format!("<unsubscribe xmlns='urn:{}:iot:events:1.0' id='{number}'/>", self.urn())),
        }
    }

    /// Sets a number.
    pub(crate) fn set(self, node: &str, name: &str, value: u64) -> (&'static str, String) {
        let nodes = self.nodes(&[node]);
        let payload = match self {
            Self::Long => {
                format!("<set xmlns='urn:xmpp:iot:control'>{nodes}<numeric name='{name}' value='{value}'/></set>")
            }
            _ => format!("<set xmlns='urn:{}:iot:ctr:1.0'>{nodes}<q n='{name}' v='{value}'/></set>", self.urn()),
        };
        ("set", payload)
    }

    /// What there is: forms, sources, children, features; and what makes no sense.
    pub(crate) fn look(self, node: &str, dice: &mut Dice) -> (&'static str, String) {
        let (source, id) = node.split_once('/').unwrap_or_default();
        let (nodes, urn) = (self.nodes(&[node]), self.urn());
        let (control, concentrator) = match self {
            Self::Long => ("urn:xmpp:iot:control".to_owned(), "urn:xmpp:iot:concentrators".to_owned()),
            _ => (format!("urn:{urn}:iot:ctr:1.0"), format!("urn:{urn}:iot:concentrator:1.0")),
        };
        let payload = match dice.below(8) {
            0 => format!("<getForm xmlns='{control}'>{nodes}</getForm>"),
            1 => format!("<getAllDataSources xmlns='{concentrator}'/>"),
            2 if self == Self::Long => {
                format!("<getAllNodes xmlns='{concentrator}' sourceId='{source}' parameters='true'/>")
            }
            2 => format!("<getAllNodes xmlns='{concentrator}' src='{source}' parameters='true'/>"),
            3 if self == Self::Long => {
                format!("<getChildNodes xmlns='{concentrator}' sourceId='{source}' nodeId='{id}'/>")
            }
            3 => format!("<getChildNodes xmlns='{concentrator}' src='{source}' id='{id}'/>"),
            4 => "<query xmlns='http://jabber.org/protocol/disco#info'/>".to_owned(),
            5 => "<ping xmlns='urn:xmpp:ping'/>".to_owned(),
            6 => "<query xmlns='jabber:iq:version'/>".to_owned(),
            _ => format!("<what xmlns='urn:example:what' id='{id}'/>"),
        };
        ("get", payload)
    }
}

/// An iq of a peer's to us.
pub(crate) fn iq(from: &str, id: &str, (kind, payload): &(&str, String)) -> Result<Element, String> {
    let text = format!("<iq xmlns='jabber:client' type='{kind}' from='{from}' to='{ME}' id='{id}'>{payload}</iq>");
    text.parse().map_err(|error| format!("{error}: {text}"))
}

/// Presence of a peer, as its server tells us.
pub(crate) fn presence(from: &str, is_here: bool, is_slixmpp: bool) -> Element {
    let node = if is_slixmpp { "http://slixmpp.com/ver/1.8" } else { "https://example.org/client" };
    let text = match is_here {
        true => format!(
            "<presence xmlns='jabber:client' from='{from}' to='{ME}'><c xmlns='http://jabber.org/protocol/caps' \
             node='{node}' ver='x' hash='sha-1'/></presence>"
        ),
        false => format!("<presence xmlns='jabber:client' type='unavailable' from='{from}' to='{ME}'/>"),
    };
    text.parse().expect("a presence as a server writes it")
}

/// What the server sends back of a stanza that nobody takes.
pub(crate) fn bounce(stanza: &Element, condition: &str) -> Element {
    let name = stanza.name();
    let (to, from) = (stanza.attr("to").unwrap_or_default(), stanza.attr("from").unwrap_or(ME));
    let id = stanza.attr("id").unwrap_or_default();
    let text = format!(
        "<{name} xmlns='jabber:client' type='error' from='{to}' to='{from}' id='{id}'><error type='cancel'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></{name}>"
    );
    text.parse().expect("an error as a server writes it")
}
