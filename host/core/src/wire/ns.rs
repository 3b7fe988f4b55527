//! Namespaces that belong to no generation of the IoT family; those that do are in [`super::dialect`].

/// Stanzas between a client and its server.
pub const CLIENT: &str = "jabber:client";
/// Stanzas between a component and its server (XEP-0114).
pub const COMPONENT: &str = "jabber:component:accept";
/// Defined conditions of stanza errors (RFC 6120 §8.3).
pub const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// `xml:lang`.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Ours, within this process: what an iq that cannot be read is replaced by.
pub const UNREADABLE: &str = "urn:tombolo:unreadable";
/// Ours, in our own store: a wish that outlives a restart.
pub const KEPT: &str = "urn:tombolo:kept";
/// Contact list (RFC 6121 §2).
pub const ROSTER: &str = "jabber:iq:roster";
/// Service discovery, what somebody is and can do (XEP-0030).
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// Service discovery, what somebody has (XEP-0030).
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// Parts of long lists (XEP-0059).
pub const RESULT_SET: &str = "http://jabber.org/protocol/rsm";
/// Capabilities in presence (XEP-0115).
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// Who somebody is, for people (XEP-0054).
pub const VCARD: &str = "vcard-temp";
/// Ping (XEP-0199).
pub const PING: &str = "urn:xmpp:ping";
/// Software version (XEP-0092).
pub const VERSION: &str = "jabber:iq:version";
/// Ad-hoc commands (XEP-0050).
pub const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// When a message was really sent (XEP-0203).
pub const DELAY: &str = "urn:xmpp:delay";
/// How a message is encrypted (XEP-0380).
pub const ENCRYPTION: &str = "urn:xmpp:eme:0";
/// Ours: marks an answer to a person, so that no service like us answers it.
pub const CHAT_ANSWER: &str = "urn:tombolo:chat:0";
/// Data forms (XEP-0004).
pub const DATA: &str = "jabber:x:data";
/// Validation of form fields (XEP-0122).
pub const DATA_VALIDATE: &str = "http://jabber.org/protocol/xdata-validate";
/// Layout of forms (XEP-0141).
pub const DATA_LAYOUT: &str = "http://jabber.org/protocol/xdata-layout";
/// Dynamic forms (XEP-0336).
pub const DATA_DYNAMIC: &str = "urn:xmpp:xdata:dynamic";
/// Colour data types (XEP-0331).
pub const DATA_COLOUR: &str = "urn:xmpp:xdata:color";
/// Queues over publish-subscribe; ours (host/docs/queues.md).
pub const QUEUE: &str = "urn:tombolo:queue:0";
/// Where a published thing lives; ours (host/docs/origins.md).
pub const ORIGIN: &str = "urn:tombolo:origin:0";
/// Publish and subscribe (XEP-0060).
pub const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
/// What a publish-subscribe service tells subscribers.
pub const PUBSUB_EVENT: &str = "http://jabber.org/protocol/pubsub#event";
/// Details of its errors.
pub const PUBSUB_ERRORS: &str = "http://jabber.org/protocol/pubsub#errors";
/// Receipts of messages (XEP-0184).
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// What only the owner of a node does (XEP-0060).
pub const PUBSUB_OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
/// The form that configures a node (XEP-0060).
pub const PUBSUB_NODE_CONFIG: &str = "http://jabber.org/protocol/pubsub#node_config";
/// The form that says what a node must be (XEP-0060).
pub const PUBSUB_PUBLISH_OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";
/// Rooms (XEP-0045).
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// Who is in a room (XEP-0045).
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// What only the owner of a room does (XEP-0045).
pub const MUC_OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// The form that configures a room (XEP-0045).
pub const MUC_ROOM_CONFIG: &str = "http://jabber.org/protocol/muc#roomconfig";
/// HTTP requests and answers (XEP-0332).
pub const HTTP: &str = "urn:xmpp:http";
/// Headers (XEP-0131).
pub const SHIM: &str = "http://jabber.org/protocol/shim";
