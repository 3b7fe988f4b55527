//! Stanzas: what arrives, sorted by what it asks, and what leaves. Owns stanza errors and the mending of what strict parsers refuse.
//!
//! [`read`] never fails: an iq that must be refused comes back as [`Kind::Unreadable`] with the error that answers it. [`mend`] is for the
//! shell: it makes any top-level stanza acceptable to strict parsers without losing it.

mod build;
mod fault;
mod mend;
mod namespace;
mod read;

use jid::Jid;
use minidom::Element;

pub use build::{
    Availability, chat, error, is_for, is_for_domain, kept, message, message_with, presence, received, request, result,
    sent_from, status,
};
pub use fault::{Condition, FaultKind, StanzaFault};
pub use mend::{beyond_bounds, mend};
pub use namespace::{of_client, of_component};
pub use read::{number_in, number_of, read, sent_message};

use super::{command, concentrator, control, discovery, http, muc, pubsub, qos, queue, roster, sensor, subscribe};

/// A stanza that arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// Who sent it; none: our own account or server.
    pub from: Option<Jid>,
    /// To whom it was sent.
    pub to: Option<Jid>,
    /// The sender's id; the answer carries it.
    pub id: Option<String>,
    /// `xml:lang` of the payload, else of the stanza.
    pub lang: Option<String>,
    /// The sender wants to be told that the message arrived (XEP-0184).
    pub wants_receipt: bool,
    /// What it is about.
    pub kind: Kind,
}

/// What a stanza is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// An iq get or set: owes an answer.
    Request(Request),
    /// An iq get or set that must be refused with this.
    Unreadable(StanzaFault),
    /// An iq result or error.
    Answer {
        /// Present in an iq error.
        error: Option<StanzaFault>,
        /// What stands beside it, or alone in a result.
        payload: Option<Element>,
    },
    /// A message.
    Message(Message),
    /// Presence.
    Presence(Presence),
    /// What happens in a room.
    Room(muc::Event),
    /// No stanza at all.
    Other,
}

/// What an iq asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// A readout, or its end.
    Sensor(sensor::Request),
    /// An event subscription, or its end.
    Subscribe(subscribe::Request),
    /// A control operation or its form.
    Control(control::Request),
    /// Sources and nodes.
    Concentrator(Box<concentrator::Request>),
    /// A step of an ad-hoc command.
    Command(command::Request),
    /// A message with a promise.
    Qos(qos::Request),
    /// Service discovery.
    Disco(discovery::Request),
    /// A roster push: the server tells of a change.
    Roster(Vec<roster::Item>),
    /// Something of a queue.
    Queue(queue::Request),
    /// An HTTP request.
    Http(Box<http::Request>),
    /// Owes an empty result.
    Ping,
    /// Software version.
    Version,
    /// Name and picture (XEP-0054).
    Card,
    /// Nothing that we know: service-unavailable.
    Unknown,
}

/// What a message brings.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Part of a readout or of a subscription.
    Sensor(sensor::Answer),
    /// What happened to a node of a data source that we subscribed to.
    Node(Box<concentrator::NodeEvent>),
    /// What a query that we gave tells.
    Query(concentrator::QueryProgress),
    /// Part of a long HTTP body, or the wish to hear no more of one.
    Http(http::Part),
    /// A control operation that nobody is told the outcome of.
    Control(control::Set),
    /// What a person says.
    Chat(Chat),
    /// The message of ours with this id arrived.
    Received(String),
    /// What happens in a node of a publish-subscribe service.
    Published(pubsub::Event),
    /// One of ours that could not be delivered.
    Bounce(StanzaFault),
    /// Anything else.
    Other,
}

/// What a person says to us now; never what was delayed, came from a room, or is an answer of a service like us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// The text.
    pub body: String,
    /// The conversation that it belongs to.
    pub thread: Option<String>,
    /// The text only says that there is another, which we cannot read.
    pub is_encrypted: bool,
}

/// What presence says.
#[derive(Clone, Debug, PartialEq)]
pub enum Presence {
    /// Online.
    Available {
        /// XEP-0115, if advertised.
        caps: Option<discovery::Caps>,
        /// Readings that it carries.
        answers: Vec<sensor::Answer>,
    },
    /// Gone.
    Unavailable,
    /// Wants to see ours.
    Subscribe,
    /// Lets us see theirs.
    Subscribed,
    /// Wants no longer.
    Unsubscribe,
    /// Lets us no longer.
    Unsubscribed,
    /// Its server wants to know ours now.
    Probe,
    /// Could not be delivered.
    Error,
    /// Anything else.
    Other,
}
