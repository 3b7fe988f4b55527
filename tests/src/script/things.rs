//! What a script says of things of others: `mirror` entries, and what the bridge is told because of them.

use std::collections::BTreeMap;

use tombolo_core::hub::{Mirror, MirrorWay};
use tombolo_core::model::Event;
use tombolo_core::policy::Glob;
use tombolo_core::wire::lexical;

/// Names of the fields of each thing that the bridge was shown.
pub(super) type Shown = BTreeMap<u32, Vec<String>>;

/// An entry: the way, then what belongs to it.
pub(super) fn entry(words: &[&str]) -> Result<Mirror, String> {
    let of = |jid: &str, way: MirrorWay| Ok::<_, String>(Mirror { way, ..Mirror::parse(jid)? });
    match words {
        ["ask", things] => Mirror::parse(things),
        ["pep", things] => of(things, MirrorWay::Pep(vec!["urn:nf:iot:sd:1.0".to_owned()])),
        ["presence", things] => of(things, MirrorWay::Presence),
        ["pubsub", service, node] => of(service, MirrorWay::Service(Glob::new(*node))),
        ["room", room, from @ ..] => {
            let from = from.iter().map(|who| Glob::new(*who)).collect();
            of(room, MirrorWay::Room { nick: "tombolo".to_owned(), password: None, from })
        }
        _ => Err("no such way to mirror".to_owned()),
    }
}

/// What the bridge is told of a thing, as a script writes it; none: it is about something else.
pub(super) fn digest(event: &Event, shown: &mut Shown) -> Option<String> {
    Some(match event {
        Event::ThingAppeared(thing) => {
            let fields = &thing.node.fields;
            shown.insert(thing.number, fields.iter().map(|field| field.name.clone()).collect());
            let names =
                fields.iter().map(|field| format!("{}{}", field.name, if field.control.is_some() { "!" } else { "" }));
            format!("is shown {} {} {}", thing.number, thing.address, names.collect::<Vec<_>>().join(" "))
        }
        Event::ThingChanged(thing) => format!("sees {} {:?}", thing.number, thing.node.state).to_lowercase(),
        Event::ThingVanished(number) => format!("sees {number} no more"),
        Event::ThingReported { number, samples, .. } => {
            let names = shown.get(number);
            let texts = samples.iter().map(|sample| {
                let name = names.and_then(|names| names.get(usize::from(sample.field))).map_or("?", String::as_str);
                format!("{name}={}", lexical::write(&sample.value))
            });
            format!("hears of {number} {}", texts.collect::<Vec<_>>().join(" "))
        }
        _ => return None,
    })
}
