//! `[[publish]]`: what is pushed without being asked for, as the hub wants it.
//!
//! Owns which keys belong to which way of publishing: a key that means nothing there is refused like one that does not exist.

use jid::{BareJid, Jid, ResourcePart};
use tombolo_core::hub::{How, Promise, PublishRule, RoomRule};
use tombolo_core::model::limits;
use tombolo_core::policy::Share;
use tombolo_core::wire::Dialect;
use tombolo_core::wire::pubsub::NodeConfig;

use super::document::{Field, Section};
use super::{secret, units};

/// The ways, as the operator names them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Message(Promise),
    Presence,
    Pep,
    Pubsub,
    Room,
    Queue,
}

const WAYS: [(&str, Way); 9] = [
    ("message", Way::Message(Promise::None)),
    ("receipts", Way::Message(Promise::Receipts)),
    ("acknowledged", Way::Message(Promise::Acknowledged)),
    ("assured", Way::Message(Promise::Assured)),
    ("presence", Way::Presence),
    ("pep", Way::Pep),
    ("pubsub", Way::Pubsub),
    ("room", Way::Room),
    ("queue", Way::Queue),
];

const DIALECTS: [(&str, Dialect); 4] =
    [("nf", Dialect::Nf), ("ieee", Dialect::Ieee), ("nfi", Dialect::Nfi), ("xmpp", Dialect::Xmpp)];

const ACCESS_MODELS: [(&str, &str); 5] = [
    ("open", "open"),
    ("presence", "presence"),
    ("roster", "roster"),
    ("authorize", "authorize"),
    ("whitelist", "whitelist"),
];

/// Reads all sections; what cannot be together is complained about at the later one.
pub(super) fn read(field: &Field<'_>, is_component: bool) -> Option<Vec<PublishRule>> {
    let sections = field.list()?;
    if sections.len() > limits::PUBLISH_RULES_MAX {
        field.complain(format!("there are more than {} sections", limits::PUBLISH_RULES_MAX));
    }
    let mut rules: Vec<PublishRule> = Vec::new();
    for section in &sections {
        let Some(rule) = section.section().and_then(|section| read_rule(section, is_component)) else { continue };
        if rules.iter().any(|earlier| disagrees(earlier, &rule)) {
            section.complain("an earlier section is in the same room with other words; both need the same nick, password, create, commands and config");
        }
        rules.push(rule);
    }
    Some(rules)
}

fn disagrees(one: &PublishRule, other: &PublishRule) -> bool {
    match (&one.how, &other.how) {
        (How::Room(one), How::Room(other)) => one.room == other.room && one != other,
        _ => false,
    }
}

fn read_rule(mut section: Section<'_>, is_component: bool) -> Option<PublishRule> {
    let nodes = section.require("nodes", "[\"BRIDGE/*\"]").and_then(|field| field.each(super::allow::nodes));
    let fields = section.take("fields").map_or_else(|| Some(vec!["*"]), |field| field.each(Field::text));
    let dialect = section.take("dialect").map_or(Some(Dialect::Nf), |field| field.choice(&DIALECTS));
    let interval = section.take("min_interval").map_or(Some(0), |field| field.parse(interval));
    let how = section.require("how", "\"pubsub\"");
    let way = how.as_ref().and_then(|field| field.choice(&WAYS));
    if let (Some(field), Some(Way::Pep), true) = (&how, way, is_component) {
        field.complain("a component has no account of its own; use \"pubsub\", or an account in [xmpp]");
    }
    let how = match way {
        Some(way) => read_way(&mut section, way, dialect.unwrap_or(Dialect::Nf)),
        // What belongs to no way that is known cannot be told from what is misspelt.
        None => return None,
    };
    section.finish();
    Some(PublishRule { share: Share::new(&nodes?, &fields?), how: how?, dialect: dialect?, interval_us_min: interval? })
}

fn read_way(section: &mut Section<'_>, way: Way, dialect: Dialect) -> Option<How> {
    match way {
        Way::Message(promise) => {
            let to = section.require("to", "\"alice@example.org\"").and_then(|field| field.parse(Jid::new))?;
            Some(How::Message { to, promise })
        }
        Way::Presence => Some(How::Presence),
        Way::Pep => {
            let node =
                section.take("node").map_or_else(|| Some(dialect.sensor_ns().to_owned()), |field| template(&field));
            read_node(section, None, node, "presence")
        }
        Way::Pubsub => {
            let service = section.require("to", "\"pubsub.example.org\"").and_then(|field| field.parse(Jid::new));
            let node = section.require("node", "\"readings/{bridge}/{node}\"").and_then(|field| template(&field));
            read_node(section, Some(service), node, "open")
        }
        Way::Room => read_room(section).map(How::Room),
        Way::Queue => {
            let queue = section.require("to", "\"readings\"");
            queue.and_then(|field| field.text()).map(|queue| How::Queue(queue.to_owned()))
        }
    }
}

fn read_node(
    section: &mut Section<'_>,
    service: Option<Option<Jid>>,
    node: Option<String>,
    access: &'static str,
) -> Option<How> {
    let access_model = section.take("access_model").map_or(Some(access), |field| field.choice(&ACCESS_MODELS));
    let max_items = section.take("max_items").map_or(Some(1), |field| field.number(1, 100_000));
    let create = section.take("create").map_or(Some(true), |field| field.truth());
    let config =
        NodeConfig { access_model: access_model?.to_owned(), max_items: u32::try_from(max_items?).unwrap_or(u32::MAX) };
    let service = match service {
        Some(service) => Some(service?),
        None => None,
    };
    Some(How::Node { service, node: node?, config, create: create? })
}

fn read_room(section: &mut Section<'_>) -> Option<RoomRule> {
    let room = section.require("to", "\"plant@rooms.example.org\"").and_then(|field| field.parse(room));
    let nick = section.take("nick").map_or_else(|| Some("tombolo".to_owned()), |field| field.parse(nick));
    let password = section.take("password").map(|field| secret::read(&field));
    let create = section.take("create").map_or(Some(true), |field| field.truth());
    let commands = section.take("commands").map_or(Some(false), |field| field.truth());
    let config = section.take("config").map_or_else(|| Some(Vec::new()), |field| room_config(&field));
    let password = match password {
        Some(secret) => Some(secret?),
        None => None,
    };
    Some(RoomRule { room: room?, nick: nick?, password, create: create?, config: config?, commands: commands? })
}

/// Names as in `muc#roomconfig_NAME`, with a text, a number or true and false.
fn room_config(field: &Field<'_>) -> Option<Vec<(String, String)>> {
    let entry = |(name, field): (&str, Field<'_>)| {
        let value = field.plain()?;
        Some((name.to_owned(), value))
    };
    let entries: Vec<_> = field.section()?.entries().map(entry).collect();
    entries.into_iter().collect()
}

fn interval(text: &str) -> Result<u64, String> {
    let duration = units::duration(text).map_err(|error| format!("\"{text}\" is {error}"))?;
    u64::try_from(duration.as_micros()).map_err(|error| error.to_string())
}

fn template(field: &Field<'_>) -> Option<String> {
    field.parse(|text| {
        let rest = text.replace("{bridge}", "").replace("{node}", "");
        match rest.contains(['{', '}']) || text.is_empty() || text.len() > limits::NAME_BYTES_MAX {
            true => Err(format!("\"{text}\" is no name of a node; placeholders are {{bridge}} and {{node}}")),
            false => Ok(text.to_owned()),
        }
    })
}

pub(super) fn room(text: &str) -> Result<BareJid, String> {
    match BareJid::new(text) {
        Ok(room) if room.node().is_some() => Ok(room),
        Ok(_) => Err(format!("\"{text}\" is a service; write a room of it, as in \"plant@{text}\"")),
        Err(error) => Err(format!("\"{text}\" is no room ({error})")),
    }
}

pub(super) fn nick(text: &str) -> Result<String, String> {
    ResourcePart::new(text).map(|nick| nick.as_str().to_owned()).map_err(|error| format!("\"{text}\": {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Place, good};
    use super::*;

    fn only(text: &str) -> PublishRule {
        let mut rules = good(&format!("[[publish]]\nnodes = [\"home/*\"]\n{text}")).publish;
        assert_eq!(rules.len(), 1);
        rules.remove(0)
    }

    #[test]
    fn every_way_is_read_with_what_it_needs() {
        let to = Jid::new("alice@example.org").unwrap();
        for (how, promise) in [
            ("message", Promise::None),
            ("receipts", Promise::Receipts),
            ("acknowledged", Promise::Acknowledged),
            ("assured", Promise::Assured),
        ] {
            let rule = only(&format!("how = \"{how}\"\nto = \"alice@example.org\""));
            assert_eq!(rule.how, How::Message { to: to.clone(), promise });
        }
        assert_eq!(only("how = \"presence\"\nmin_interval = \"5 min\"").interval_us_min, 300_000_000);
        let pep = only("how = \"pep\"\ndialect = \"ieee\"");
        let config = NodeConfig { access_model: "presence".into(), max_items: 1 };
        assert_eq!(pep.how, How::Node { service: None, node: "urn:ieee:iot:sd:1.0".into(), config, create: true });
        let pubsub = only(
            "how = \"pubsub\"\nto = \"pubsub.example.org\"\nnode = \"r/{bridge}/{node}\"\naccess_model = \"whitelist\"\nmax_items = 20\ncreate = false",
        );
        let service = Some(Jid::new("pubsub.example.org").unwrap());
        let config = NodeConfig { access_model: "whitelist".into(), max_items: 20 };
        assert_eq!(pubsub.how, How::Node { service, node: "r/{bridge}/{node}".into(), config, create: false });
        let room = only(
            "how = \"room\"\nto = \"plant@rooms.example.org\"\nnick = \"bridge\"\npassword = \"hunter2\"\ncommands = true\nconfig = { persistentroom = true, whois = \"anyone\" }",
        );
        assert!(!format!("{room:?}").contains("hunter2"));
        let How::Room(room) = room.how else { panic!() };
        assert_eq!((room.nick.as_str(), room.commands, room.create), ("bridge", true, true));
        assert_eq!(room.config, [("persistentroom".into(), "1".into()), ("whois".into(), "anyone".into())]);
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line() {
        let complaint = |text: &str| Place::new().complaint(&format!("[[publish]]\nnodes = [\"home/*\"]\n{text}"));
        assert!(complaint("how = \"pubsbu\"").contains("did you mean \"pubsub\"?"));
        assert!(complaint("how = \"message\"").contains("\"to\" is missing"));
        assert!(complaint("how = \"presence\"\nto = \"a@b\"").starts_with("7: publish.to: unknown key"));
        assert!(complaint("how = \"pep\"\nnode = \"{device}\"").contains("{bridge} and {node}"));
        assert!(complaint("how = \"room\"\nto = \"rooms.example.org\"").contains("plant@rooms.example.org"));
        assert!(complaint("how = \"pep\"\nmax_items = 0").contains("whole number from 1"));
        assert!(complaint("how = \"pep\"\nmin_intervall = \"1 s\"").contains("did you mean \"min_interval\"?"));
        let room = "how = \"room\"\nto = \"a@b\"\n";
        let twice = format!("{room}[[publish]]\nnodes = [\"home/*\"]\n{room}nick = \"other\"\n");
        assert!(complaint(&twice).contains("same room"));
    }
}
