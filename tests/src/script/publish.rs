//! What a script says of publishing: the operator's `[[publish]]` sections.

use tombolo_core::hub::{How, Promise, PublishRule, RoomRule};
use tombolo_core::model::Jid;
use tombolo_core::policy::Share;
use tombolo_core::wire::Dialect;
use tombolo_core::wire::pubsub::NodeConfig;

use super::jid;

/// A section that pushes what is in the kitchen: the way, then to whom.
pub(super) fn section(how: &[&str]) -> Result<PublishRule, String> {
    let to = |to: &str| Jid::new(&jid(to)).map_err(|error| error.to_string());
    let message = |who: &str, promise| Ok::<_, String>(How::Message { to: to(who)?, promise });
    let config = |access: &str| NodeConfig { access_model: access.to_owned(), max_items: 1 };
    let how = match how {
        ["message", who] => message(who, Promise::None)?,
        ["receipts", who] => message(who, Promise::Receipts)?,
        ["acknowledged", who] => message(who, Promise::Acknowledged)?,
        ["assured", who] => message(who, Promise::Assured)?,
        ["presence"] => How::Presence,
        ["pep"] => {
            How::Node { service: None, node: "urn:nf:iot:sd:1.0".to_owned(), config: config("presence"), create: true }
        }
        ["pubsub", service, node] => {
            How::Node { service: Some(to(service)?), node: (*node).to_owned(), config: config("open"), create: true }
        }
        ["room", room, commands @ ..] => How::Room(RoomRule {
            room: to(room)?.into_bare(),
            nick: "tombolo".to_owned(),
            password: None,
            create: true,
            config: Vec::new(),
            commands: commands == ["commands"],
        }),
        _ => return Err("no such way to publish".to_owned()),
    };
    Ok(PublishRule { share: Share::new(&["home/*"], &["*"]), how, dialect: Dialect::Nf, interval_us_min: 0 })
}
