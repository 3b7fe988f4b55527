//! Dialogues that read fields, in every generation.

use super::world::*;
use crate::hub::Downgrade;
use crate::model::{Action, Failure, ReasonCode, Value};

fn req(ns: &str, inner: &str) -> String {
    format!("<req xmlns='{ns}:sd:1.0' id='r1' {inner}</req>")
}

#[test]
fn answers_a_readout_in_every_generation_with_short_names() {
    for ns in SHORT {
        let mut world = World::warm();
        let out = world.get(ALICE, &req(ns, "m='true'><nd id='kitchen/thermometer' src='home'/>"));
        let generation = ns.trim_start_matches("urn:").trim_end_matches(":iot");
        assert_eq!(out[0], format!("alice result {generation}:accepted id=r1"));
        assert_eq!(out[1..], ["alice last r1: home|kitchen/thermometer temperature=23.40 °C"]);
    }
}

#[test]
fn answers_a_readout_with_long_names_and_without_nodes_with_all_that_is_readable() {
    let mut world = World::warm();
    world.report("office", 7, vec![sample(0, Value::Boolean(true))], None, None);
    let out = world.get(BOB, "<req xmlns='urn:xmpp:iot:sensordata' seqnr='7' all='true'/>");
    assert_eq!(out, ["bob result xmpp:accepted seqnr=7", "bob last 7: home|kitchen/thermometer temperature=23.40 °C",]);
}

#[test]
fn a_node_without_an_id_is_the_device_itself() {
    let mut world = World::warm();
    let out = world.get(BOB, "<req xmlns='urn:xmpp:iot:sensordata' seqnr='7' momentary='true'><node/></req>");
    assert_eq!(out.last().unwrap(), "bob last 7: home|kitchen/thermometer temperature=23.40 °C");
}

#[test]
fn a_concentrator_needs_nodes_with_short_names() {
    for ns in SHORT {
        let out = World::warm().get(ALICE, &req(ns, "m='true'>"));
        assert_eq!(out[1..], ["alice last r1: - !Node specification required for concentrators."]);
    }
}

#[test]
fn reading_a_group_with_long_names_reads_what_is_below_it() {
    let mut world = World::warm();
    let out =
        world.get(BOB, "<req xmlns='urn:xmpp:iot:sensordata' seqnr='7' momentary='true'><node nodeId='home'/></req>");
    assert_eq!(out.last().unwrap(), "bob last 7: home|kitchen/thermometer temperature=23.40 °C");
    let out = world.get(
        ALICE,
        "<req xmlns='urn:xmpp:iot:sensordata' seqnr='8' momentary='true'><node nodeId='home/kitchen' sourceId='MeteringTopology'/></req>",
    );
    assert!(out[1].starts_with("ask home read"), "{out:?}");
    let request = request_in(&out);
    assert_eq!(
        world.complete("home", request),
        ["alice last 8: MeteringTopology|home/kitchen/thermometer temperature=23.40 °C",]
    );
}

#[test]
fn a_group_is_not_readable_with_short_names() {
    let out = World::warm().get(ALICE, &req(NF, "m='true'><nd id='kitchen' src='home'/>"));
    assert_eq!(out[1..], ["alice last r1: home|kitchen !Node not readable."]);
    let out = World::warm().get(ALICE, &req(NF, "m='true'><nd id='home' src='MeteringTopology'/>"));
    assert_eq!(out[1..], ["alice last r1: MeteringTopology|home !Node not readable."]);
}

#[test]
fn nodes_are_found_in_their_source_in_the_union_and_by_bare_id() {
    for (id, source) in [
        ("kitchen/thermometer", "home"),
        ("home/kitchen/thermometer", "MeteringTopology"),
        ("kitchen/thermometer", "MeteringTopology"),
        ("kitchen/thermometer", ""),
        ("home/kitchen/thermometer", ""),
    ] {
        let out = World::warm().get(ALICE, &req(NF, &format!("m='true'><nd id='{id}' src='{source}'/>")));
        assert_eq!(out[1], format!("alice last r1: {source}|{id} temperature=23.40 °C"));
    }
}

#[test]
fn gives_only_the_kinds_fields_and_times_that_were_asked_for() {
    let mut world = World::warm();
    let nd = "<nd id='kitchen/thermometer' src='home'/>";
    for (inner, expected) in [
        (format!("s='true'>{nd}"), "uptime=4711i, mode=auto"),
        (format!("all='true'>{nd}<f n='uptime'/>"), "uptime=4711i"),
        (format!(">{nd}"), "temperature=23.40 °C"),
    ] {
        let out = world.get(ALICE, &req(NF, &inner));
        assert_eq!(out[1], format!("alice last r1: home|kitchen/thermometer {expected}"));
    }
    for inner in ["all='true' from='2026-01-01T00:00:00Z'", "all='true' to='2024-01-01T00:00:00Z'", "p='true'"] {
        let out = world.get(ALICE, &req(NF, &format!("{inner}>{nd}")));
        assert_eq!(out[1..], ["alice done r1"], "{inner}");
    }
}

#[test]
fn values_of_several_instants_keep_theirs() {
    let mut world = World::warm();
    world.pass_ms(1000);
    world.report("home", 1, vec![sample(1, Value::Int32(4712))], None, None);
    let out = world.get(ALICE, &req(NF, "all='true'><nd id='kitchen/thermometer' src='home'/>"));
    assert_eq!(
        out[1],
        "alice last r1: home|kitchen/thermometer temperature=23.40 °C, mode=auto; \
                        home|kitchen/thermometer uptime=4712i"
    );
}

#[test]
fn an_older_report_does_not_replace_a_newer_value() {
    let mut world = World::warm();
    world.now = world.now.plus_ms(0);
    let before = world.now;
    world.now.0 -= 1_000_000;
    world.temperature("1.0");
    world.now = before;
    let out = world.get(ALICE, &req(NF, "m='true'><nd id='kitchen/thermometer' src='home'/>"));
    assert_eq!(out[1], "alice last r1: home|kitchen/thermometer temperature=23.40 °C");
}

#[test]
fn asks_the_mapper_where_values_are_read_on_request() {
    let mut world = World::new();
    let out = world.get(ALICE, &req(NF, "m='true'><nd id='kitchen/meter' src='home'/><f n='energy'/>"));
    assert_eq!(out[0], "alice result nf:accepted id=r1");
    let request = request_in(&out);
    assert_eq!(out[1], format!("ask home read {request} [2] [\"energy\"]"));
    assert!(world.report("home", 2, vec![sample(0, decimal("1.0"))], Some(request), None).is_empty());
    let out = world.report("home", 2, vec![sample(0, decimal("2.0")), sample(1, decimal("9"))], Some(request), None);
    assert_eq!(out, ["alice part r1: home|kitchen/meter energy=1.0 kWh"]);
    assert_eq!(world.complete("home", request), ["alice last r1: home|kitchen/meter energy=2.0 kWh"]);
    assert!(world.complete("home", request).is_empty(), "one answer only");
    assert_eq!(world.hub.poll_timeout(), None);
}

#[test]
fn a_mapper_is_not_asked_for_what_nobody_wants_or_may_read() {
    let mut world = World::new();
    let meter = "<nd id='kitchen/meter' src='home'/>";
    assert_eq!(world.get(ALICE, &req(NF, &format!("s='true'>{meter}")))[1..], ["alice done r1"]);
    assert_eq!(world.get(BOB, &req(NF, &format!("m='true'>{meter}")))[1..], ["bob done r1"]);
}

#[test]
fn one_readout_can_need_several_bridges_and_last_values() {
    let mut world = World::warm();
    let asked = crate::model::Node { readout: crate::model::Readout::OnRequest, ..lamp() };
    world.act("office", Action::PutNode(Box::new(asked)));
    let nodes =
        "<nd id='kitchen/thermometer' src='home'/><nd id='kitchen/meter' src='home'/><nd id='lamp' src='office'/>";
    let out = world.get(ALICE, &req(NF, &format!("m='true'>{nodes}")));
    let requests: Vec<u64> = out[1..].iter().map(|digest| request_in(std::slice::from_ref(digest))).collect();
    assert_eq!(requests.len(), 2);
    let out = world.report("office", 7, vec![sample(0, Value::Boolean(true))], Some(requests[1]), None);
    assert_eq!(out, ["alice part r1: home|kitchen/thermometer temperature=23.40 °C"]);
    assert!(world.complete("office", requests[1]).is_empty());
    assert_eq!(world.complete("home", requests[0]), ["alice last r1: office|lamp on=true"]);
}

#[test]
fn failures_come_last_in_a_message_of_their_own_with_long_names() {
    let mut world = World::warm();
    let nodes = "<node nodeId='kitchen/meter'/><node nodeId='kitchen/thermometer'/>";
    let out =
        world.get(ALICE, &format!("<req xmlns='urn:xmpp:iot:sensordata' seqnr='7' momentary='true'>{nodes}</req>"));
    let request = request_in(&out);
    let failure = Failure::new(ReasonCode::Unreachable, "No reply.");
    assert!(world.act("home", Action::NodeFailed { id: request, node: 2, failure }).is_empty());
    assert_eq!(
        world.complete("home", request),
        ["alice part 7: |kitchen/thermometer temperature=23.40 °C", "alice last 7: |kitchen/meter !No reply.",]
    );
}

#[test]
fn a_failed_read_fails_the_nodes_that_were_not_answered() {
    let mut world = World::new();
    let out = world.get(ALICE, &req(NF, "m='true'><nd id='kitchen/meter' src='home'/>"));
    let id = request_in(&out);
    let out = world.act("home", Action::Complete { id, outcome: Err(Failure::new(ReasonCode::Busy, "Busy.")) });
    assert_eq!(out, ["alice last r1: home|kitchen/meter !Busy."]);
}

#[test]
fn a_mapper_that_does_not_answer_in_time_is_not_waited_for() {
    let mut world = World::warm();
    let nodes = "<nd id='kitchen/meter' src='home'/><nd id='kitchen/thermometer' src='home'/>";
    let request = request_in(&world.get(ALICE, &req(NF, &format!("m='true'>{nodes}"))));
    assert!(world.pass_ms(29_999).is_empty());
    assert_eq!(
        world.pass_ms(1),
        [
            format!("cancelled home {request}"),
            "alice last r1: home|kitchen/thermometer temperature=23.40 °C; \
         home|kitchen/meter !The device did not answer in time."
                .to_owned(),
        ]
    );
    assert!(world.report("home", 2, vec![sample(0, decimal("1.0"))], Some(request), None).is_empty());
    assert!(world.complete("home", request).is_empty());
}

#[test]
fn a_cancelled_readout_says_nothing_more() {
    for (ns, cancel, answer) in [
        ("urn:nf:iot:sd:1.0", "id", "alice result -"),
        ("urn:nfi:iot:sd:1.0", "id", "alice result -"),
        ("urn:ieee:iot:sd:1.0", "id", "alice result -"),
        ("urn:xmpp:iot:sensordata", "seqnr", "alice result xmpp:cancelled seqnr=7"),
    ] {
        let mut world = World::new();
        let nd = if cancel == "id" { "<nd id='kitchen/meter'/>" } else { "<node nodeId='kitchen/meter'/>" };
        let out = world.get(ALICE, &format!("<req xmlns='{ns}' {cancel}='7'>{nd}</req>"));
        let request = request_in(&out);
        let out = world.set(ALICE, &format!("<cancel xmlns='{ns}' {cancel}='7'/>"));
        assert_eq!(out, [format!("cancelled home {request}"), answer.to_owned()]);
        assert!(world.complete("home", request).is_empty());
        assert_eq!(world.get(ALICE, &format!("<cancel xmlns='{ns}' {cancel}='99'/>")).len(), 1, "unknown is fine");
        assert_eq!(world.hub.things().readouts, 0);
    }
}

#[test]
fn nobody_cancels_the_readout_of_another() {
    let mut world = World::new();
    let request = request_in(&world.get(ALICE, &req(NF, "m='true'><nd id='kitchen/meter'/>")));
    world.set("alice@example.org/other", "<cancel xmlns='urn:nf:iot:sd:1.0' id='r1'/>");
    assert_eq!(world.complete("home", request), ["alice done r1"]);
}

#[test]
fn the_same_id_again_replaces_the_readout() {
    let mut world = World::new();
    let first = request_in(&world.get(ALICE, &req(NF, "m='true'><nd id='kitchen/meter'/>")));
    let out = world.get(ALICE, &req(NF, "m='true'><nd id='kitchen/meter'/>"));
    assert_eq!(out[0], format!("cancelled home {first}"));
    let second = request_in(&out);
    assert!(world.complete("home", first).is_empty());
    assert_eq!(world.complete("home", second), ["alice done r1"]);
}

#[test]
fn a_readout_for_later_is_queued_and_told_when_it_starts() {
    for ns in SHORT {
        let mut world = World::warm();
        let when = world.now.plus_ms(5000);
        let out = world.get(ALICE, &req(ns, &format!("m='true' when='{when}'><nd id='kitchen/thermometer'/>")));
        assert_eq!(out.len(), 1);
        assert!(out[0].ends_with(":accepted id=r1 queued=true"), "{out:?}");
        assert_eq!(world.hub.poll_timeout(), Some(when));
        assert_eq!(
            world.pass_ms(5000),
            ["alice started r1", "alice last r1: |kitchen/thermometer temperature=23.40 °C"]
        );
    }
}

#[test]
fn a_queued_readout_can_be_cancelled() {
    let mut world = World::warm();
    let when = world.now.plus_ms(5000);
    world.get(ALICE, &req(NF, &format!("m='true' when='{when}'><nd id='kitchen/thermometer'/>")));
    world.set(ALICE, "<cancel xmlns='urn:nf:iot:sd:1.0' id='r1'/>");
    assert_eq!(world.hub.poll_timeout(), None);
    assert!(world.pass_ms(6000).is_empty());
}

#[test]
fn refusals_tell_a_stranger_forbidden_and_others_what_they_may_know() {
    for (ns, id, nd) in [
        ("urn:xmpp:iot:sensordata", "seqnr", "node nodeId"),
        ("urn:ieee:iot:sd:1.0", "id", "nd id"),
        ("urn:nf:iot:sd:1.0", "id", "nd id"),
        ("urn:nfi:iot:sd:1.0", "id", "nd id"),
    ] {
        let beside = if id == "seqnr" { " beside xmpp:rejected seqnr=7" } else { "" };
        for (who, node, refusal) in [
            (EVE, "kitchen/thermometer", "cancel forbidden"),
            (EVE, "nothing/of/that/name", "cancel forbidden"),
            (BOB, "lamp", "cancel item-not-found"),
            (BOB, "nothing/of/that/name", "cancel item-not-found"),
            (CAROL, "kitchen/thermometer", "cancel forbidden"),
            (CAROL, "lamp", "cancel item-not-found"),
        ] {
            let out = World::warm().get(who, &format!("<req xmlns='{ns}' {id}='7'><{nd}='{node}'/></req>"));
            let name = who.split('@').next().unwrap();
            assert_eq!(out, [format!("{name} error {refusal}{beside}")], "{who} {node}");
        }
    }
}

#[test]
fn one_node_that_may_not_be_read_refuses_the_whole_readout() {
    let nodes = "<nd id='kitchen/thermometer' src='home'/><nd id='lamp' src='office'/>";
    let out = World::warm().get(BOB, &req(NF, &format!("m='true'>{nodes}")));
    assert_eq!(out, ["bob error cancel item-not-found"]);
}

#[test]
fn a_partition_or_source_that_there_is_not_is_not_found() {
    for nd in ["<nd id='lamp' src='home'/>", "<nd id='lamp' src='cellar'/>", "<nd id='lamp' src='office' pt='x'/>"] {
        assert_eq!(
            World::warm().get(ALICE, &req(NF, &format!("m='true'>{nd}"))),
            ["alice error cancel item-not-found"]
        );
    }
}

#[test]
fn nonsense_is_a_bad_request() {
    let nd = "<nd id='kitchen/thermometer'/>";
    for inner in ["from='yesterday'", "to='x'", "when='soon'", "from='2025-01-02T00:00:00Z' to='2025-01-01T00:00:00Z'"]
    {
        assert_eq!(
            World::warm().get(ALICE, &req(NF, &format!("{inner}>{nd}"))),
            ["alice error modify bad-request"],
            "{inner}"
        );
    }
}

#[test]
fn slixmpp_gets_the_types_it_knows() {
    let presence = format!(
        "<presence from='{ALICE}' to='{ME}'><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://slixmpp.com/ver/1.17.0' ver='x'/></presence>"
    );
    let read =
        "<req xmlns='urn:xmpp:iot:sensordata' seqnr='1' status='true'><node nodeId='kitchen/thermometer'/></req>";
    let mut world = World::warm();
    assert_eq!(world.get(ALICE, read)[1], "alice last 1: |kitchen/thermometer uptime=4711i, mode=auto");
    world.hear(&presence);
    assert_eq!(world.get(ALICE, read)[1], "alice last 1: |kitchen/thermometer uptime=4711, mode=auto");
    let out = world.get(ALICE, "<req xmlns='urn:nf:iot:sd:1.0' id='1' s='true'><nd id='kitchen/thermometer'/></req>");
    assert_eq!(out[1], "alice last 1: |kitchen/thermometer uptime=4711i, mode=auto");
}

#[test]
fn slixmpp_is_known_by_its_ids_where_it_is_no_contact() {
    let read = |id: &str| {
        let payload =
            "<req xmlns='urn:xmpp:iot:sensordata' seqnr='1' status='true'><node nodeId='kitchen/thermometer'/></req>";
        format!("<iq type='get' from='{ALICE}' to='{ME}' id='{id}'>{payload}</iq>")
    };
    let mut world = World::warm();
    assert_eq!(world.hear(&read("1"))[1], "alice last 1: |kitchen/thermometer uptime=4711, mode=auto");
    assert_eq!(world.hear(&read("x-1"))[1], "alice last 1: |kitchen/thermometer uptime=4711i, mode=auto");
}

#[test]
fn the_operator_decides_about_downgrading_too() {
    let read =
        "<req xmlns='urn:xmpp:iot:sensordata' seqnr='1' status='true'><node nodeId='kitchen/thermometer'/></req>";
    let mut world = World::with(Downgrade::Always);
    world.report("home", 1, vec![sample(1, Value::Int32(1))], None, None);
    assert_eq!(world.get(ALICE, read)[1], "alice last 1: |kitchen/thermometer uptime=1");
}

#[test]
fn a_node_that_goes_while_it_is_read_is_trouble_and_not_silence() {
    let mut world = World::new();
    let request = request_in(&world.get(ALICE, &req(NF, "m='true'><nd id='kitchen/meter'/>")));
    world.act("home", Action::RemoveNode(2));
    assert_eq!(world.complete("home", request), ["alice last r1: |kitchen/meter !The node is gone."]);
}

#[test]
fn a_bridge_that_goes_while_it_is_read_ends_the_readout() {
    let mut world = World::new();
    world.get(ALICE, &req(NF, "m='true'><nd id='kitchen/meter'/>"));
    world.hub.bridge_removed("home", world.now);
    assert_eq!(world.drain(), ["alice last r1: |kitchen/meter !The bridge is gone."]);
    assert_eq!((world.hub.things().readouts, world.hub.poll_timeout()), (0, None));
}

#[test]
fn a_caller_that_cannot_be_reached_is_not_answered_any_more() {
    let mut world = World::new();
    let request = request_in(&world.get(ALICE, &req(NF, "m='true'><nd id='kitchen/meter'/>")));
    let out = world.hear(&format!("<presence type='unavailable' from='{ALICE}' to='{ME}'/>"));
    assert_eq!(out, [format!("cancelled home {request}")]);
    assert!(world.complete("home", request).is_empty());
}

#[test]
fn known_readings_are_the_answer_itself_where_the_operator_wants_that() {
    let mut world = World::warm();
    world.hub.answer_inline(true);
    let req = |node: &str| format!("<req xmlns='{NF}:sd:1.0' id='r1' m='true'><nd id='{node}' src='home'/></req>");
    let told = world.get(ALICE, &req("kitchen/thermometer"));
    assert!(told.len() == 1 && told[0].starts_with("alice result nf:resp"), "{told:?}");
    // Of what has to be asked first, and of nothing, readings follow.
    let told = world.get(ALICE, &req("kitchen/meter"));
    assert!(told[0].starts_with("alice result nf:accepted"), "{told:?}");
    let none = format!("<req xmlns='{NF}:sd:1.0' id='r2' p='true'><nd id='kitchen/thermometer' src='home'/></req>");
    let told = world.get(ALICE, &none);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("alice result nf:accepted"), "{told:?}");
    let old = "<req xmlns='urn:xmpp:iot:sensordata' seqnr='7' momentary='true'><node nodeId='kitchen/thermometer' sourceId='home'/></req>";
    let told = world.get(ALICE, old);
    assert!(told.len() == 2 && told[0].contains("accepted"), "{told:?}");
}

#[test]
fn a_long_answer_begins_in_the_result_and_goes_on_in_messages() {
    let mut world = World::crowded(400);
    for number in 0..400 {
        world.report("office", number, vec![sample(0, decimal("1.5"))], None, None);
    }
    world.hub.answer_inline(true);
    let nodes: String = (0..400).map(|number| format!("<nd id='{number:04}' src='office'/>")).collect();
    let told = world.get(ALICE, &format!("<req xmlns='{NF}:sd:1.0' id='r1' m='true'>{nodes}</req>"));
    assert!(told[0].starts_with("alice result nf:resp") && told[0].contains("more=true"), "{}", told[0]);
    assert!(told.len() > 1 && told[1..].iter().all(|line| !line.contains(" result ")), "{told:?}");
}
