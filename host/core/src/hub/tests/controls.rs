//! Dialogues that set parameters and ask for their form, in every generation.

use super::world::*;
use crate::model::{Action, Constraint, Failure, FieldKinds, Readout, ReasonCode, ValueType};

/// The generations' spellings of a set of `setpoint` on the thermometer.
const SETS: [(&str, &str); 4] = [
    (
        "xmpp",
        "<set xmlns='urn:xmpp:iot:control'><node nodeId='kitchen/thermometer'/><double name='setpoint' value='21.5'/></set>",
    ),
    ("ieee", "<set xmlns='urn:ieee:iot:ctr:1.0'><nd id='kitchen/thermometer'/><db n='setpoint' v='21.5'/></set>"),
    ("nf", "<set xmlns='urn:nf:iot:ctr:1.0'><nd id='kitchen/thermometer'/><db n='setpoint' v='21.5'/></set>"),
    ("nfi", "<set xmlns='urn:nfi:iot:ctr:1.0'><nd id='kitchen/thermometer'/><db n='setpoint' v='21.5'/></set>"),
];

fn set_nf(inner: &str) -> String {
    format!("<set xmlns='urn:nf:iot:ctr:1.0'>{inner}</set>")
}

const ND: &str = "<nd id='kitchen/thermometer' src='home'/>";

#[test]
fn sets_a_parameter_in_every_generation_and_answers_when_it_is_done() {
    for (generation, set) in SETS {
        let mut world = World::new();
        let out = world.set(ALICE, set);
        let request = request_in(&out);
        assert_eq!(out, [format!("ask home write {request} 1: 2=21.5")], "nothing is claimed yet");
        let answer = match generation {
            "xmpp" => "alice result xmpp:setResponse responseCode=OK".to_owned(),
            other => format!("alice result {other}:resp"),
        };
        assert_eq!(world.complete("home", request), [answer]);
        assert_eq!((world.hub.things().controls, world.hub.poll_timeout()), (0, None));
    }
}

#[test]
fn a_failure_is_told_as_what_it_is() {
    for (code, refusal) in [
        (ReasonCode::InvalidArgument, "modify bad-request"),
        (ReasonCode::NotSupported, "cancel feature-not-implemented"),
        (ReasonCode::AccessDenied, "cancel forbidden"),
        (ReasonCode::Unreachable, "wait remote-server-timeout"),
        (ReasonCode::Timeout, "wait remote-server-timeout"),
        (ReasonCode::Busy, "wait resource-constraint"),
        (ReasonCode::Internal, "cancel internal-server-error"),
    ] {
        for (generation, set) in SETS {
            let mut world = World::new();
            let id = request_in(&world.set(ALICE, set));
            let out = world.act("home", Action::Complete { id, outcome: Err(Failure::new(code, "No.")) });
            assert!(out[0].starts_with(&format!("alice error {refusal}")), "{out:?}");
            assert_eq!(out[0].contains("beside xmpp:setResponse"), generation == "xmpp", "{out:?}");
        }
    }
}

#[test]
fn a_device_that_does_not_answer_is_a_timeout() {
    let mut world = World::new();
    let id = request_in(&world.set(ALICE, SETS[2].1));
    assert!(world.pass_ms(29_999).is_empty());
    let out = world.pass_ms(1);
    assert_eq!(out[0], format!("cancelled home {id}"));
    assert!(out[1].starts_with("alice error wait remote-server-timeout"), "{out:?}");
    assert!(world.complete("home", id).is_empty(), "one answer only");
}

#[test]
fn parameters_are_written_in_document_order() {
    let mut world = World::new();
    let out = world.set(ALICE, &set_nf(&format!("{ND}<e n='mode' v='off' t='Mode'/><db n='setpoint' v='5'/>")));
    assert!(out[0].ends_with(" 1: 3=off 2=5"), "{out:?}");
}

#[test]
fn every_parameter_is_set_on_every_node_and_all_must_succeed() {
    let mut world = World::new();
    let mut second = thermometer();
    (second.number, second.id) = (3, "hall/thermometer".into());
    world.act("home", Action::PutNode(Box::new(second)));
    let nodes = format!("{ND}<nd id='hall/thermometer' src='home'/>");
    let out = world.set(ALICE, &set_nf(&format!("{nodes}<db n='setpoint' v='20'/>")));
    let ids: Vec<u64> = out.iter().map(|digest| request_in(std::slice::from_ref(digest))).collect();
    assert_eq!(ids.len(), 2);
    assert!(world.complete("home", ids[1]).is_empty());
    let failure = Err(Failure::new(ReasonCode::Unreachable, "Gone."));
    let out = world.act("home", Action::Complete { id: ids[0], outcome: failure });
    assert!(out[0].starts_with("alice error wait remote-server-timeout"), "{out:?}");
}

#[test]
fn nothing_is_sent_unless_everything_is_right() {
    for (inner, refusal) in [
        (
            format!("{ND}<db n='setpoint' v='20'/><db n='nothing' v='1'/>"),
            "modify item-not-found [paramError nothing: Parameter not found.]",
        ),
        (
            format!("{ND}<db n='setpoint' v='20'/><db n='temperature' v='1'/>"),
            "modify item-not-found [paramError temperature: Parameter not found.]",
        ),
        (
            format!("{ND}<db n='setpoint' v='4.9'/>"),
            "modify bad-request [paramError setpoint: Value not valid; it takes a number from 5 to 30.]",
        ),
        (
            format!("{ND}<db n='setpoint' v='30.1'/>"),
            "modify bad-request [paramError setpoint: Value not valid; it takes a number from 5 to 30.]",
        ),
        (
            format!("{ND}<e n='mode' v='boost' t=''/>"),
            "modify bad-request [paramError mode: Value not valid; it takes one of auto, off.]",
        ),
        (
            format!("{ND}<b n='setpoint' v='true'/>"),
            "modify bad-request [paramError setpoint: Invalid parameter type.]",
        ),
        (format!("{ND}<db n='setpoint' v='warm'/>"), "modify bad-request [paramError setpoint: Syntax error.]"),
        (format!("{ND}<nd id='nothing'/><db n='setpoint' v='20'/>"), "cancel item-not-found"),
        ("<nd id='kitchen/meter'/><db n='x' v='20'/>".to_owned(), "modify item-not-found"),
        ("<nd id='home' src='MeteringTopology'/><db n='x' v='20'/>".to_owned(), "modify item-not-found"),
        (format!("{ND}<odd n='setpoint' v='20'/>"), "modify bad-request"),
    ] {
        let out = World::new().set(ALICE, &set_nf(&inner));
        assert_eq!(out, [format!("alice error {refusal}")], "{inner}");
    }
}

#[test]
fn who_may_not_learns_no_more_than_it_may_know() {
    for (who, node, refusal) in [
        (EVE, "kitchen/thermometer", "cancel forbidden"),
        (EVE, "nothing", "cancel forbidden"),
        (CAROL, "kitchen/thermometer", "cancel forbidden"),
        (CAROL, "lamp", "cancel item-not-found"),
        (BOB, "lamp", "cancel item-not-found"),
        (BOB, "kitchen/thermometer", "modify item-not-found"),
    ] {
        for (generation, set) in SETS {
            let out = World::new().set(who, &set.replace("kitchen/thermometer", node));
            assert!(out[0].contains(&format!("error {refusal}")), "{who} {node}: {out:?}");
            assert_eq!((out.len(), out[0].contains("beside xmpp:setResponse")), (1, generation == "xmpp"));
        }
    }
}

#[test]
fn slixmpp_learns_a_code_from_beside_the_error() {
    let set = SETS[0].1.replace("setpoint", "nothing");
    let out = World::new().set(ALICE, &set);
    assert!(out[0].contains("beside xmpp:setResponse responseCode=NotFound"), "{out:?}");
    let out = World::new().set(CAROL, SETS[0].1);
    assert!(out[0].contains("beside xmpp:setResponse responseCode=InsufficientPrivileges"), "{out:?}");
}

#[test]
fn a_message_sets_too_and_is_never_answered() {
    for (_, set) in SETS {
        let mut world = World::new();
        let out = world.hear(&format!("<message from='{ALICE}' to='{ME}'>{set}</message>"));
        let id = request_in(&out);
        assert_eq!(out.len(), 1);
        assert!(world.complete("home", id).is_empty());
        assert!(world.hear(&format!("<message from='{EVE}' to='{ME}'>{set}</message>")).is_empty());
    }
}

#[test]
fn smack_sets_without_a_node_where_only_one_can_be_meant() {
    let set = "<set xmlns='urn:xmpp:iot:control'><bool name='on' value='true'/></set>";
    let mut world = World::new();
    let out = world.set(ALICE, set);
    assert!(out[0].ends_with(" 7: 0=true"), "{out:?}");
    let mut second = lamp();
    (second.number, second.id) = (8, "lamp2".into());
    world.act("office", Action::PutNode(Box::new(second)));
    assert!(world.set(ALICE, set)[0].starts_with("alice error modify bad-request"));
    assert!(world.set(BOB, set)[0].starts_with("bob error modify item-not-found"));
}

#[test]
fn a_set_of_nothing_is_done_at_once() {
    assert_eq!(World::new().set(ALICE, &set_nf(ND)), ["alice result nf:resp"]);
}

#[test]
fn a_form_sets_what_was_edited() {
    let mut world = World::new();
    let form = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>x</value></field>\
                <field var='mode'><value>off</value></field></x>";
    let out = world.set(ALICE, &set_nf(&format!("{ND}{form}")));
    assert!(out[0].ends_with(" 1: 3=off"), "{out:?}");
}

fn form_of(world: &mut World, who: &str, inner: &str) -> Result<crate::wire::form::Form, String> {
    let stanza = format!(
        "<iq xmlns='jabber:client' type='get' from='{who}' id='f'><getForm xmlns='urn:nf:iot:ctr:1.0'>{inner}</getForm></iq>"
    );
    world.hub.handle_stanza(&stanza.parse().unwrap(), world.now);
    match world.hub.poll_output().unwrap() {
        crate::hub::Output::Stanza { stanza, .. } if stanza.attr("type") == Some("result") => {
            Ok(crate::wire::form::Form::parse(stanza.children().next().unwrap()))
        }
        other => Err(digest(&other)),
    }
}

#[test]
fn the_form_shows_what_can_be_set_and_its_last_value() {
    let form = form_of(&mut World::warm(), ALICE, ND).unwrap();
    let fields: Vec<_> = form.fields.iter().map(|field| (field.var.as_str(), field.values.concat())).collect();
    assert_eq!(fields, [("setpoint", String::new()), ("mode", "auto".to_owned())]);
    assert_eq!(form.title, "kitchen/thermometer");
}

#[test]
fn the_form_of_several_nodes_has_what_they_have_in_common() {
    let mut world = World::warm();
    let mut second = thermometer();
    (second.number, second.id) = (3, "hall/thermometer".into());
    second.fields[2].control.as_mut().unwrap().maximum = Some(25.0);
    world.act("home", Action::PutNode(Box::new(second)));
    let form = form_of(&mut world, ALICE, &format!("{ND}<nd id='hall/thermometer'/>")).unwrap();
    let fields: Vec<_> = form.fields.iter().map(|field| (field.var.as_str(), field.values.concat())).collect();
    assert_eq!(fields, [("mode", String::new())], "no value: the nodes do not agree on one");
    assert_eq!(form.title, "2 nodes");
}

#[test]
fn the_form_is_refused_like_the_set() {
    for (who, inner, refusal) in [
        (EVE, ND, "eve error cancel forbidden"),
        (CAROL, ND, "carol error cancel forbidden"),
        (BOB, ND, "bob error cancel forbidden"),
        (BOB, "<nd id='lamp'/>", "bob error cancel item-not-found"),
        (ALICE, "<nd id='kitchen/meter'/>", "alice error modify item-not-found"),
        (ALICE, "<nd id='nothing'/>", "alice error cancel item-not-found"),
    ] {
        assert_eq!(form_of(&mut World::new(), who, inner).unwrap_err(), refusal, "{who} {inner}");
    }
}

#[test]
fn a_bridge_that_goes_fails_what_it_was_asked() {
    let mut world = World::new();
    world.set(ALICE, SETS[2].1);
    world.hub.bridge_removed("home", world.now);
    let out = world.drain();
    assert!(out[0].starts_with("alice error wait remote-server-timeout"), "{out:?}");
    assert_eq!((world.hub.things().controls, world.hub.poll_timeout()), (0, None));
}

#[test]
fn a_pattern_holds_back_what_does_not_fit_it() {
    let mut world = World::new();
    let constraint = Constraint { pattern: Some("[a-z]+".into()), ..Constraint::default() };
    let text = controllable(field("name", ValueType::Text, "", FieldKinds::IDENTITY), constraint);
    world.act("home", Action::PutNode(Box::new(node(5, "sign", None, Readout::Reported, vec![text]))));
    let set = |value: &str| set_nf(&format!("<nd id='sign'/><s n='name' v='{value}'/>"));
    assert!(world.set(ALICE, &set("exit"))[0].ends_with("0=exit"));
    assert_eq!(
        world.set(ALICE, &set("EXIT")),
        ["alice error modify bad-request [paramError name: Value not valid; it takes a text like [a-z]+.]"]
    );
}
