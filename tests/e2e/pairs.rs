//! Every pair of the four protocols, both ways: a command in one switches a device of another, and that one's state shows in the first.
//!
//! One stage for all: twelve rows, then every plugin is replaced while its peers are connected, and some rows again. Whoever commands and
//! whoever is switched is foreign; what passes between them and the hosts is read off the wire.

#[path = "pairs/clients.rs"]
mod clients;
#[path = "pairs/devices.rs"]
mod devices;
#[path = "pairs/stage.rs"]
mod stage;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use stage::{Actors, Stage};
use tombolo_tests::network;
use tombolo_tests::prosody::DOMAIN;

/// For one hop, on a loaded machine.
const HOP: Duration = Duration::from_secs(30);

/// A protocol, and its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Island {
    Mqtt,
    Lwm2m,
    OneM2m,
    Upnp,
}

impl Island {
    const ALL: [Self; 4] = [Self::Mqtt, Self::Lwm2m, Self::OneM2m, Self::Upnp];

    /// The bridge at either host.
    const fn bridge(self) -> &'static str {
        match self {
            Self::Mqtt => "home",
            Self::Lwm2m => "field",
            Self::OneM2m => "plant",
            Self::Upnp => "house",
        }
    }

    /// As things of others are called, or how that begins.
    fn address(self) -> String {
        let node = match self {
            Self::Mqtt => "relay-5",
            Self::Lwm2m => "coap-node-test/3311/0",
            Self::OneM2m => "kettle/heater",
            Self::Upnp => "porch-light-",
        };
        format!("far@{DOMAIN}/{}/{node}", self.bridge())
    }

    /// What is switched of it.
    const fn field(self) -> &'static str {
        match self {
            Self::Mqtt => "relay/on",
            Self::Lwm2m => "On-Off",
            Self::OneM2m => "value",
            Self::Upnp => "SwitchPower/Status",
        }
    }

    /// For people.
    const fn label(self) -> &'static str {
        match self {
            Self::Mqtt => "Relay",
            Self::Lwm2m => "Light Control 0",
            Self::OneM2m => "kettle/heater",
            Self::Upnp => "Porch Light",
        }
    }
}

type Pair = (Island, Island);

/// Who commands, and who is switched.
fn pairs() -> Vec<Pair> {
    let all = Island::ALL.into_iter().flat_map(|from| Island::ALL.map(|to| (from, to)));
    all.filter(|(from, to)| from != to).collect()
}

/// One command, hop by hop.
fn switch(actors: &mut Actors, (from, to): Pair, on: bool) -> Result<(), String> {
    let device = Island::ALL.iter().position(|island| *island == to).unwrap();
    actors.devices[device].listens();
    let hop = |what: &'static str| move |error: Box<dyn std::error::Error + Send + Sync>| format!("{what}: {error}");
    actors.client(from).command(to, on).map_err(hop("the command was not taken"))?;
    actors.devices[device].is_switched(on).map_err(hop("the device was not told"))?;
    actors.client(from).hears_of_the_end(to, on).map_err(hop("the device did it, but its client was not told so"))?;
    actors.client(from).sees(to, on).map_err(hop("the device did it, but its state did not come back"))
}

/// On and off; nothing if it works.
fn row(actors: &mut Actors, pair: Pair) -> Option<String> {
    let begin = Instant::now();
    let outcome = [true, false].into_iter().try_for_each(|on| switch(actors, pair, on).map_err(|why| (on, why)));
    tombolo_dev::say(&format!("{:?} switches {:?}: {} ms", pair.0, pair.1, begin.elapsed().as_millis()));
    outcome
        .err()
        .map(|(on, why)| format!("{:?} switches {:?} {}: {why}", pair.0, pair.1, if on { "on" } else { "off" }))
}

fn all_pairs() {
    let begin = Instant::now();
    let said = |what: &str| tombolo_dev::say(&format!("{what} after {} ms", begin.elapsed().as_millis()));
    let (stage, mut actors) = Stage::new().unwrap();
    said("everything runs");
    for (from, to) in pairs() {
        actors.client(from).find(to).unwrap_or_else(|error| panic!("{to:?} is not shown in {from:?}: {error}"));
    }
    said("every device is shown in the other three");
    let failed: Vec<String> = pairs().into_iter().filter_map(|pair| row(&mut actors, pair)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    said("twelve pairs");
    swapped(&stage, &mut actors);
    said("swapped");
    nothing_goes_round(&stage);
}

/// Every plugin is replaced: nobody registers, observes or subscribes anew, and all of them hear of each other as before.
fn swapped(stage: &Stage, actors: &mut Actors) {
    let made = ["lwm2m register", "lwm2m observe", "onem2m create 2 ", "onem2m create 23 ", "upnp subscribe"];
    let before = stage.wire.lines.all();
    for word in made {
        assert!(before.iter().any(|line| line.starts_with(word)), "{word:?} would be seen: {before:#?}");
    }
    let at_the_broker = sessions(stage);
    assert!(at_the_broker.iter().any(|line| line.starts_with("bridge-far 1 ")), "{at_the_broker:#?}");
    [&stage.far, &stage.near].into_iter().for_each(|host| host.swap_all().unwrap());
    let ring = (0..4).map(|at| (Island::ALL[at], Island::ALL[(at + 1) % 4]));
    let failed: Vec<String> = ring.filter_map(|pair| row(actors, pair)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    actors.upnp.renews().unwrap();

    let since = stage.wire.lines.all().split_off(before.len());
    let again: Vec<_> = since.iter().filter(|line| made.iter().any(|word| line.starts_with(word))).collect();
    assert!(again.is_empty(), "{again:#?}");
    let told = |lines: &[String]| -> BTreeSet<String> {
        lines.iter().filter_map(|line| Some(line.strip_prefix("upnp notify ")?.to_owned())).collect()
    };
    assert!(
        !told(&since).is_empty() && told(&since).is_subset(&told(&before)),
        "events come by the subscriptions of before"
    );
    assert_eq!(sessions(stage), at_the_broker);
}

/// What the broker says of bridges: connections, subscriptions, ends.
fn sessions(stage: &Stage) -> Vec<String> {
    stage.broker.process.lines.all().into_iter().filter(|line| line.contains("bridge-")).collect()
}

/// What is shown in the network is never taken for a device of it.
fn nothing_goes_round(stage: &Stage) {
    let status = stage.near.site.command(&["status", "--json"], &[]).unwrap().out;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let nodes: Vec<_> = (0..4).map(|bridge| status["bridges"][bridge]["nodes"].clone()).collect();
    assert_eq!(nodes, [0, 0, 0, 0], "{status}");
    let far = stage.far.site.command(&["status", "--json"], &[]).unwrap().out;
    assert!(!far.contains("near@"), "{far}");
}

#[test]
fn a_command_in_each_protocol_switches_a_device_of_each_other_and_its_state_comes_back_also_over_swaps() {
    let name =
        "pairs::a_command_in_each_protocol_switches_a_device_of_each_other_and_its_state_comes_back_also_over_swaps";
    network::of_its_own(name, "", all_pairs).unwrap();
}
