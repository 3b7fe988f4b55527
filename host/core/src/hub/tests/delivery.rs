//! What was promised reaches its account: readings of subscribers that are away or gone, and subscriptions over a restart.

use super::world::*;
use crate::hub::Output;
use crate::model::bridge::Report;
use crate::model::{Action, FullJid, Reading, Timestamp, Value, limits};
use crate::policy::Policy;
use crate::wire::stanza::{self, StanzaFault};

const ND: &str = "<nd id='kitchen/thermometer' src='home'/>";
const TABLET: &str = "alice@example.org/tablet";

fn wish(id: &str, inner: &str) -> String {
    format!("<subscribe xmlns='urn:nf:iot:events:1.0' id='{id}' m='true'>{inner}</subscribe>")
}

fn subscribed() -> World {
    let mut world = World::warm();
    world.set(ALICE, &wish("s1", ND));
    world
}

fn promised(world: &mut World, text: &str) -> Vec<String> {
    world.report("home", 1, vec![sample(0, decimal(text))], None, Some(1))
}

fn durable(world: &mut World) -> Vec<String> {
    for item in std::mem::take(&mut world.items) {
        world.hub.handle_durable(item, world.now);
    }
    world.drain()
}

fn presence(world: &mut World, who: &str, kind: &str) -> Vec<String> {
    world.hear(&format!("<presence {kind} from='{who}' to='{ME}'/>"))
}

fn bounce(world: &mut World, from: &str, id: &str, kind: &str, condition: &str) -> Vec<String> {
    world.hear(&format!(
        "<message type='error' from='{from}' to='{ME}' id='{id}'><error type='{kind}'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    ))
}

/// The stanza of an item comes back: first the bounce, then what the outbox remembers.
fn returned(world: &mut World, from: &str, item: u64, text: &str) -> Vec<String> {
    let mut out = bounce(world, from, &format!("t{item:x}"), "cancel", "recipient-unavailable");
    assert_eq!(out.pop().unwrap(), format!("recall {item}"));
    let payload = format!(
        "<resp xmlns='urn:nf:iot:sd:1.0' id='s1'>{}<ts v='2025-03-01T10:00:00Z'><q n='temperature' v='{text}' u='°C' m='true'/></ts></nd></resp>",
        ND.replace("/>", ">")
    );
    let to = ALICE.parse().unwrap();
    let sent = stanza::message(Some(&to), "t1", payload.parse().unwrap());
    world.hub.handle_returned(&from.parse().unwrap(), &sent, "home", world.now);
    out.extend(world.drain());
    out
}

fn news(id: &str, text: &str) -> String {
    format!("alice last {id}: home|kitchen/thermometer temperature={text} °C")
}

/// The process ends and begins again; its mappers declare their nodes after the wishes were restored.
fn restarted(before: World) -> World {
    let config =
        crate::hub::HubConfig { policy: rules(), first_item: 1 << 40, kept: before.kept.clone(), ..Default::default() };
    let mut world = World { hub: crate::hub::Hub::new(config), items: Vec::new(), ..before };
    world.hub.bridge_added("home", "My home", world.now);
    world.hub.restore(world.now);
    assert!(world.drain().is_empty());
    world
}

fn declare(world: &mut World) -> Vec<String> {
    world.act("home", Action::PutNode(Box::new(thermometer())))
}

/// A new session begins, in which these are the contacts.
fn online(world: &mut World, contacts: &str) -> Vec<String> {
    world.hub.session_online(FullJid::new(ME).unwrap(), world.now);
    let asked = std::iter::from_fn(|| world.hub.poll_output()).find_map(|output| match output {
        Output::Stanza { stanza, .. } if stanza.name() == "iq" => stanza.attr("id").map(str::to_owned),
        _ => None,
    });
    world.drain();
    let id = asked.unwrap();
    world.hear(&format!("<iq type='result' id='{id}'><query xmlns='jabber:iq:roster'>{contacts}</query></iq>"))
}

const FRIEND: &str = "<item jid='alice@example.org' subscription='both'/>";

#[test]
fn what_a_server_sends_back_for_want_of_room_is_sent_again_after_a_while_and_not_at_once() {
    let mut world = subscribed();
    assert_eq!(promised(&mut world, "1.0"), [news("s1", "1.0")]);
    let item = *world.items.last().unwrap();
    bounce(&mut world, ALICE, &format!("t{item:x}"), "wait", "resource-constraint");
    let payload = format!(
        "<resp xmlns='urn:nf:iot:sd:1.0' id='s1'>{}<ts v='2025-03-01T10:00:00Z'><q n='temperature' v='1.0' u='°C' m='true'/></ts></nd></resp>",
        ND.replace("/>", ">")
    );
    let sent = stanza::message(Some(&ALICE.parse().unwrap()), "t1", payload.parse().unwrap());
    world.hub.handle_returned(&ALICE.parse().unwrap(), &sent, "home", world.now);
    assert_eq!(world.drain(), [format!("hold {}", news("s1", "1.0"))]);
    world.now = world.now.plus_ms(limits::RETURNED_WAIT_MS);
    world.hub.handle_timeout(world.now);
    assert_eq!(world.drain()[..1], [news("s1", "1.0")]);
    assert_eq!(world.hub.things().held, 0);
}

#[test]
fn a_promised_reading_for_who_is_away_is_stored_and_given_when_it_is_back() {
    let mut world = subscribed();
    presence(&mut world, ALICE, "type='unavailable'");
    assert_eq!(promised(&mut world, "1.0"), [format!("hold {}", news("s1", "1.0"))]);
    assert_eq!(durable(&mut world), ["stored home 1"], "it survives a crash");
    promised(&mut world, "2.0");
    assert_eq!(presence(&mut world, ALICE, ""), [news("s1", "1.0"), news("s1", "2.0"), "let go 2".into()]);
    assert_eq!(world.hub.things().held, 0);
    assert_eq!(world.hub.things().receipts, 1, "the second is not durable yet");
}

/// What the hub wants done, as it stands.
fn outputs(world: &mut World) -> Vec<Output> {
    std::iter::from_fn(|| world.hub.poll_output()).collect()
}

fn promise(world: &mut World, text: &str, receipt: u64) -> Vec<Output> {
    let reading = Reading { node: 1, at: world.now, samples: vec![sample(0, decimal(text))] };
    let report = Report { reading, answers: None, receipt: Some(receipt) };
    world.hub.handle_bridge("home", Action::Report(report), world.now);
    outputs(world)
}

#[test]
fn what_is_given_late_or_again_has_the_id_under_which_it_was_promised() {
    let mut world = subscribed();
    presence(&mut world, ALICE, "type='unavailable'");
    let Some(Output::Hold { item: held, stanza }) = promise(&mut world, "1.0", 1).pop() else { panic!("it is held") };
    let id = stanza.attr("id").unwrap().to_owned();
    assert_eq!(stanza::number_of(&id), Some(held.number));
    let here = format!("<presence xmlns='jabber:client' from='{ALICE}' to='{ME}'/>").parse().unwrap();
    world.hub.handle_stanza(&here, world.now);
    let given = outputs(&mut world).into_iter().find_map(|output| match output {
        Output::Stanza { item: Some(item), stanza } => Some((item, stanza)),
        _ => None,
    });
    let (given, stanza) = given.unwrap();
    assert_eq!(stanza.attr("id"), Some(id.as_str()));
    assert!(given.number > held.number, "its custody is another one");
    // It comes back, and is given again.
    bounce(&mut world, ALICE, &id, "cancel", "recipient-unavailable");
    world.hub.handle_returned(&ALICE.parse().unwrap(), &stanza, "home", world.now);
    let [Output::Hold { item, stanza }] = &outputs(&mut world)[..] else { panic!("it is held again") };
    assert_eq!(stanza.attr("id"), Some(id.as_str()));
    assert!(item.number > given.number);
}

#[test]
fn receipts_that_are_names_are_kept_behind_their_items_and_told_to_the_next_run() {
    const NAME: u64 = limits::RECEIPT_NAMES_FROM + 5;
    let mut world = subscribed();
    let mut kept = std::collections::BTreeMap::new();
    for (round, receipt) in [7, NAME, NAME + 1].into_iter().enumerate() {
        let outputs = promise(&mut world, &format!("{round}.0"), receipt);
        assert!(matches!(outputs.first(), Some(Output::Stanza { item: Some(_), .. })));
        for output in &outputs[1..] {
            let Output::Keep { item: None, name, bytes: Some(bytes) } = output else { panic!("{output:?}") };
            kept.insert(name.clone(), bytes.clone());
        }
        assert_eq!(outputs.len(), if receipt == 7 { 1 } else { 2 });
    }
    // Nobody is to receive these: there is nothing that could come twice.
    let tell = Action::Report(Report {
        reading: Reading { node: 2, at: world.now, samples: Vec::new() },
        answers: None,
        receipt: Some(NAME + 2),
    });
    world.act("home", tell);
    let config = crate::hub::HubConfig { policy: rules(), kept, ..Default::default() };
    let mut next = crate::hub::Hub::new(config.clone());
    next.bridge_added("home", "My home", world.now);
    next.restore(world.now);
    assert_eq!(next.stored_receipts("home"), [NAME, NAME + 1]);
    let mut without = crate::hub::Hub::new(config);
    without.restore(world.now);
    assert_eq!(without.poll_output(), Some(Output::Keep { item: None, name: "stored/home/00".into(), bytes: None }));
}

#[test]
fn a_receipt_whose_item_the_store_had_no_room_for_is_not_kept() {
    const NAME: u64 = limits::RECEIPT_NAMES_FROM;
    let mut world = subscribed();
    let reading = Reading { node: 1, at: world.now, samples: vec![sample(0, decimal("1.0"))] };
    let report = Report { reading, answers: None, receipt: Some(NAME) };
    world.hub.handle_bridge("home", Action::Report(report), world.now);
    let Some(Output::Stanza { item: Some(item), .. }) = world.hub.poll_output() else { panic!("it is sent") };
    world.hub.handle_unstored(item.number);
    outputs(&mut world);
    assert!(world.hub.stored_receipts("home").is_empty());
}

#[test]
fn another_client_of_the_account_gets_what_the_first_did_not() {
    let mut world = subscribed();
    presence(&mut world, ALICE, "type='unavailable'");
    promised(&mut world, "1.0");
    let out = world.set(TABLET, &wish("s9", ND));
    assert_eq!(out, ["alice result nf:accepted id=s9".to_owned(), news("s9", "1.0"), "let go 1".into()]);
    assert_eq!(promised(&mut world, "2.0"), [news("s9", "2.0")], "and the first is not owed it as well");
}

#[test]
fn nobody_elses_client_gets_them() {
    let mut world = subscribed();
    presence(&mut world, ALICE, "type='unavailable'");
    promised(&mut world, "1.0");
    assert_eq!(world.set(BOB, &wish("s2", ND)), ["bob result nf:accepted id=s2"]);
    assert_eq!(world.hub.things().held, 1);
}

#[test]
fn what_the_server_sends_back_goes_to_another_client_of_the_account() {
    let mut world = subscribed();
    promised(&mut world, "1.0");
    let item = world.items[0];
    world.set(TABLET, &wish("s9", ND));
    assert_eq!(returned(&mut world, ALICE, item, "1.0")[1..], [news("s9", "1.0"), "let go 1".into()]);
}

#[test]
fn what_the_server_sends_back_waits_for_a_client_of_the_account() {
    let mut world = subscribed();
    promised(&mut world, "1.0");
    let item = world.items[0];
    assert_eq!(returned(&mut world, ALICE, item, "1.0"), [format!("hold {}", news("s1", "1.0"))]);
    assert!(world.temperature("1.5").is_empty(), "it is away now");
    assert_eq!(world.set(TABLET, &wish("s9", ND))[1..], [news("s9", "1.0"), "let go 1".into()]);
}

#[test]
fn who_sends_back_what_others_were_sent_is_not_believed() {
    let mut world = subscribed();
    world.set(BOB, &wish("s2", ND));
    promised(&mut world, "1.0");
    let item = world.items[0];
    assert!(returned(&mut world, BOB, item, "1.0").is_empty());
    assert_eq!(world.hub.things().held, 0);
}

#[test]
fn readings_that_nobody_comes_for_are_given_up_and_counted() {
    let mut world = subscribed();
    presence(&mut world, ALICE, "type='unavailable'");
    promised(&mut world, "1.0");
    promised(&mut world, "2.0");
    let out = world.pass_ms(600_000);
    assert_eq!(out, ["unwanted home 1", "given up 2: nobody came for them in time", "let go 2"]);
    assert_eq!((world.hub.things().held, world.hub.poll_timeout()), (0, None));
}

#[test]
fn what_is_held_is_bounded_and_what_is_too_much_is_counted_once() {
    let mut world = subscribed();
    presence(&mut world, ALICE, "type='unavailable'");
    for number in 0..crate::model::limits::HELD_READINGS_PER_ACCOUNT_MAX + 3 {
        promised(&mut world, &format!("{number}.0"));
    }
    assert_eq!(world.hub.things().held, crate::model::limits::HELD_READINGS_PER_ACCOUNT_MAX);
    assert_eq!(world.pass_ms(5_000), ["given up 3: too many were held"]);
}

#[test]
fn who_refuses_is_left_alone_and_who_is_not_there_is_away() {
    for (kind, condition, subscriptions) in
        [("wait", "resource-constraint", 1), ("cancel", "service-unavailable", 1), ("auth", "forbidden", 0)]
    {
        let mut world = subscribed();
        bounce(&mut world, ALICE, "x", kind, condition);
        assert_eq!(world.hub.things().subscriptions, subscriptions, "{condition}");
        assert_eq!(world.temperature("1.0").len(), usize::from(kind == "wait"));
    }
}

#[test]
fn a_subscription_survives_a_restart_and_nothing_promised_is_lost_before_its_subscriber_is_seen() {
    let mut world = restarted(subscribed());
    assert_eq!(declare(&mut world), ["wanted home 1"]);
    assert_eq!(promised(&mut world, "1.0"), [format!("hold {}", news("s1", "1.0"))]);
    online(&mut world, FRIEND);
    assert_eq!(world.hub.things().held, 1, "her presence will be told");
    assert_eq!(presence(&mut world, ALICE, ""), [news("s1", "1.0"), "let go 1".into()]);
    assert_eq!(world.temperature("2.0"), [news("s1", "2.0")]);
    world.set(ALICE, "<unsubscribe xmlns='urn:nf:iot:events:1.0' id='s1'/>");
    assert!(world.kept.is_empty());
}

#[test]
fn whose_presence_nobody_tells_is_sent_what_there_is_after_a_restart() {
    let mut world = restarted(subscribed());
    online(&mut world, "");
    declare(&mut world);
    assert_eq!(promised(&mut world, "1.0"), [news("s1", "1.0")]);
    let item = world.items[0];
    assert_eq!(returned(&mut world, ALICE, item, "1.0"), [format!("hold {}", news("s1", "1.0"))], "now it is away");
    assert!(world.pass_ms(600_000).contains(&"unwanted home 1".to_owned()));
    assert!(world.kept.is_empty());
}

#[test]
fn a_friend_that_does_not_come_back_after_a_restart_is_forgotten() {
    let mut world = restarted(subscribed());
    declare(&mut world);
    world.pass_ms(3_600_000);
    assert_eq!(world.hub.things().subscriptions, 1, "without a session nobody can come");
    online(&mut world, FRIEND);
    assert_eq!(world.pass_ms(600_000), ["unwanted home 1"]);
    assert!(world.kept.is_empty());
}

#[test]
fn a_wish_with_long_names_gets_everything_below_again() {
    let mut world = World::warm();
    let everything =
        "<subscribe xmlns='urn:xmpp:iot:events' seqnr='7' momentary='true'><node nodeId='home'/></subscribe>";
    world.get(ALICE, everything);
    let mut world = restarted(world);
    assert_eq!(declare(&mut world), ["wanted home 1"]);
    assert_eq!(world.act("home", Action::PutNode(Box::new(meter()))), ["wanted home 2"]);
}

#[test]
fn the_newer_wish_of_a_subscriber_is_the_newer_after_a_restart_too() {
    let mut world = subscribed();
    world.set(ALICE, &wish("s2", &format!("{ND}<nd id='kitchen/meter' src='home'/>")));
    assert_eq!(world.kept.len(), 1, "the first has no nodes left");
    world.set(ALICE, &wish("s3", ND));
    let mut world = restarted(world);
    online(&mut world, "");
    declare(&mut world);
    assert_eq!(world.temperature("1.0"), [news("s3", "1.0")]);
}

#[test]
fn what_is_no_wish_or_not_allowed_any_more_is_not_restored() {
    let mut world = subscribed();
    let eve = String::from_utf8(world.kept.values().last().unwrap().clone()).unwrap().replace(ALICE, EVE);
    for (name, bytes) in [("wish/1", "<odd/>"), ("wish/2", "no xml"), ("wish/x", "<odd/>"), ("wish/3", &eve)] {
        world.kept.insert(name.into(), bytes.into());
    }
    let world = restarted(world);
    assert_eq!(world.kept.len(), 1);
}

#[test]
fn a_new_session_takes_friends_for_away_until_they_are_seen() {
    let mut world = subscribed();
    world.hear(&format!("<iq type='set' id='p'><query xmlns='jabber:iq:roster'>{FRIEND}</query></iq>"));
    online(&mut world, FRIEND);
    assert_eq!(promised(&mut world, "1.0"), [format!("hold {}", news("s1", "1.0"))]);
    assert_eq!(presence(&mut world, ALICE, ""), [news("s1", "1.0"), "let go 1".into()]);
}

#[test]
fn who_loses_its_rule_is_told_once_and_keeps_nothing() {
    let mut world = subscribed();
    assert_eq!(
        world.rule(Policy::default()),
        ["alice last s1: home|kitchen/thermometer !Access denied.", "unwanted home 1"]
    );
    assert!(world.kept.is_empty());
    assert!(world.rule(Policy::default()).is_empty());
}

#[test]
fn ten_thousand_subscriptions_of_one_client_are_bounded_and_each_is_answered() {
    let mut world = World::crowded(300);
    let mut refused = 0;
    for number in 0..10_000 {
        let out =
            world.set(ALICE, &wish(&format!("s{number}"), &format!("<nd id='{:04}' src='office'/>", number % 300)));
        refused += usize::from(out == ["alice error wait resource-constraint"]);
        assert!(out.iter().any(|line| line.starts_with("alice ")), "{out:?}");
    }
    let alive = world.hub.things().subscriptions;
    assert!(alive <= crate::model::limits::SUBSCRIPTIONS_PER_CALLER_MAX && refused > 0, "{alive} {refused}");
    assert_eq!(world.kept.len(), alive);
}

#[test]
fn a_message_that_never_needed_to_be_durable_and_comes_back_is_asked_for_and_no_more() {
    let mut world = subscribed();
    let fault = StanzaFault::service_unavailable();
    assert_eq!(bounce(&mut world, ALICE, "t7f", "cancel", fault.condition.as_str()), ["recall 127"]);
    assert!(!matches!(world.hub.poll_output(), Some(Output::Hold { .. })));
}

#[test]
fn a_client_that_wants_some_changes_only_does_not_have_what_another_of_the_account_is_owed() {
    let mut world = subscribed();
    let rule = format!("{ND}<f n='uptime' by='1'/>");
    world.set(TABLET, &wish("s2", &rule));
    presence(&mut world, ALICE, "type='unavailable'");
    let both = vec![sample(0, decimal("25.00")), sample(1, Value::Int32(5000))];
    let out = world.report("home", 1, both, None, Some(1));
    assert!(
        out.iter().any(|one| one.starts_with("hold ")),
        "the temperature is not among what the tablet gets: {out:?}"
    );
}

#[test]
fn a_wish_that_was_replaced_after_a_restart_does_not_begin_again_when_its_node_is_declared_anew() {
    let mut world = restarted(subscribed());
    online(&mut world, "");
    declare(&mut world);
    world.set(ALICE, &wish("s2", ND));
    world.set(ALICE, "<unsubscribe xmlns='urn:nf:iot:events:1.0' id='s2'/>");
    declare(&mut world);
    assert!(world.temperature("26.00").is_empty());
    assert_eq!(world.hub.things().subscriptions, 0);
}

#[test]
fn a_clock_that_is_set_back_hides_no_newer_value() {
    let mut world = World::warm();
    world.temperature("25.00");
    world.hub.clock_set(-3_600_000_000);
    let reading =
        Reading { node: 1, at: Timestamp(world.now.0 - 3_599_000_000), samples: vec![sample(0, decimal("26.00"))] };
    world.act("home", Action::Report(Report { reading, answers: None, receipt: None }));
    let read = format!("<req xmlns='urn:nf:iot:sd:1.0' id='r' m='true'>{ND}</req>");
    let out = world.get(ALICE, &read);
    assert!(out.iter().any(|one| one.contains("temperature=26.00")), "{out:?}");
}
