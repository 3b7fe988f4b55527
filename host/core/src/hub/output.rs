//! What a hub wants done. Owns the list; what does it is the app.

use jid::Jid;
use minidom::Element;

use super::Wish;
use crate::model::Event;
use crate::model::bridge::{HttpAnswer, HttpCall};
use crate::model::custody::{End, Item};
use crate::policy::ConnectPermit;

/// What a hub wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// To be sent. With an item: take it into custody until the server has it, and call [`super::Hub::handle_durable`] with its number as soon as
    /// it would survive a crash. Without: send it, no more.
    Stanza {
        /// Names it for [`super::Hub::handle_durable`].
        item: Option<Item>,
        /// What to send.
        stanza: Element,
    },
    /// To be sent when what has this number is durable, and before every message that follows it here.
    After {
        /// The number that [`Output::Keep`] told.
        item: u64,
        /// What to send.
        stanza: Element,
    },
    /// To be kept over a restart, and handed to the next hub in [`super::HubConfig::kept`]. With an item: call [`super::Hub::handle_durable`] with it
    /// as soon as the record would survive a crash.
    Keep {
        /// Names it for [`super::Hub::handle_durable`].
        item: Option<u64>,
        /// Names it: what it belongs to, a slash, and which. A later record of the same name replaces it.
        name: String,
        /// Its content; none: let go of it.
        bytes: Option<Vec<u8>>,
    },
    /// Like [`Output::Keep`], of an item: from now on it is in custody, until [`Output::End`] of the same name.
    Take {
        /// Its number is told durable.
        item: Item,
        /// As in [`Output::Keep`].
        name: String,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// The custody of a record ends; it goes.
    End {
        /// As in [`Output::Take`].
        name: String,
        /// How.
        end: End,
    },
    /// For the operator: publications do not come through. Told once until they do.
    Trouble {
        /// Where: a JID, a node, a room.
        about: String,
        /// Why; none: they do again.
        reason: Option<String>,
    },
    /// To be kept like a durable stanza and answered by [`super::Hub::handle_durable`], but not sent in this run: who is to have it cannot be
    /// reached. A run that finds it left over sends it.
    Hold {
        /// As in [`Output::Stanza`].
        item: Item,
        /// What it would be.
        stanza: Element,
    },
    /// The custody of items that were held ends.
    LetGo {
        /// Their numbers.
        items: Vec<u64>,
        /// How.
        end: End,
    },
    /// This stanza came back: to be handed to [`super::Hub::handle_returned`], if it is remembered.
    Recall {
        /// The number in its id.
        number: u64,
        /// Who sent it back.
        from: Jid,
    },
    /// For the log: promised readings that nobody could be given in time.
    GivenUp {
        /// How many.
        readings: usize,
        /// Why.
        reason: &'static str,
    },
    /// For a bridge's mapper.
    Event {
        /// The bridge.
        bridge: String,
        /// What happened.
        event: Event,
    },
    /// Only the app can do it; answered by [`super::Hub::handle_granted`].
    Wish {
        /// Comes back in the answer.
        id: u64,
        /// What.
        wish: Wish,
    },
    /// An HTTP request to be carried out; tell [`super::Hub::handle_http_done`] what became of it.
    Http {
        /// Names it for [`super::Hub::handle_http_done`].
        id: u64,
        /// The only connection that may be used.
        target: ConnectPermit,
        /// Whom to trust there beside whom the system trusts, as PEM.
        ca: Option<std::sync::Arc<[u8]>>,
        /// The request; its target is path and query.
        call: HttpCall,
        /// How long it may take in all, in milliseconds.
        timeout_ms: u64,
    },
    /// The answer to a [`super::Hub::handle_knock`].
    HttpReply {
        /// As it was there.
        id: u64,
        /// What to answer.
        answer: HttpAnswer,
    },
    /// For the log: something that a bridge's mapper asked for was not done, because it breaks the contract or a bound.
    Refused {
        /// The bridge.
        bridge: String,
        /// What, and why not.
        reason: String,
    },
}
