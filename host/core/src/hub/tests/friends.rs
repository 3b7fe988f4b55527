//! Presence subscriptions, the roster, and who is online.

use super::world::*;
use crate::hub::{Contact, Output};
use crate::model::FullJid;

#[test]
fn a_new_session_says_that_we_are_here_with_capabilities() {
    let mut world = World::new();
    world.hub.session_offline(world.now);
    world.hub.session_online(FullJid::new(ME).unwrap(), world.now);
    let out = world.drain();
    assert_eq!(out.len(), 2);
    assert!(out[0].starts_with("- get :query"), "{out:?}");
    assert_eq!(out[1], "- presence available");
}

#[test]
fn a_subscription_is_approved_for_whom_a_rule_names_and_waits_otherwise() {
    let mut world = World::new();
    let ask = |who: &str| format!("<presence type='subscribe' from='{who}' to='{ME}'/>");
    assert_eq!(world.hear(&ask("alice@example.org")), ["alice presence subscribed", "alice presence subscribe"]);
    assert!(world.hear(&ask("eve@evil.example")).is_empty());
    assert_eq!(world.hub.waiting()[0].jid.as_str(), "eve@evil.example");
    world.hear("<presence type='unsubscribe' from='eve@evil.example' to='bridge@example.org'/>");
    assert!(world.hub.waiting().is_empty());
}

#[test]
fn a_friend_whose_presence_we_see_is_not_asked_again() {
    let mut world = World::new();
    let push = "<iq type='set' id='p'><query xmlns='jabber:iq:roster'><item jid='alice@example.org' subscription='to'/></query></iq>";
    assert_eq!(world.hear(push), ["- result -"]);
    let out = world.hear(&format!("<presence type='subscribe' from='alice@example.org' to='{ME}'/>"));
    assert_eq!(out, ["alice presence subscribed"]);
    let out = world.hear(&format!("<presence type='unsubscribe' from='alice@example.org' to='{ME}'/>"));
    assert_eq!(out, ["alice presence unsubscribed", "alice presence unsubscribe"]);
}

#[test]
fn a_contact_that_our_server_forgot_is_asked_again() {
    let mut world = World::new();
    world.hear("<iq type='set' id='p'><query xmlns='jabber:iq:roster'><item jid='alice@example.org' subscription='both'/></query></iq>");
    world.hub.session_offline(world.now);
    world.hub.session_online(FullJid::new(ME).unwrap(), world.now);
    let Some(Output::Stanza { stanza, .. }) = world.hub.poll_output() else { panic!("asks for its contacts") };
    world.drain();
    let id = stanza.attr("id").unwrap();
    world.hear(&format!("<iq type='result' to='{ME}' id='{id}'><query xmlns='jabber:iq:roster'/></iq>"));
    let out = world.hear(&format!("<presence type='subscribe' from='alice@example.org' to='{ME}'/>"));
    assert_eq!(out, ["alice presence subscribed", "alice presence subscribe"]);
}

#[test]
fn nobody_else_pushes_our_contact_list() {
    let push = format!(
        "<iq type='set' id='p' from='{EVE}'><query xmlns='jabber:iq:roster'><item jid='eve@evil.example' subscription='both'/></query></iq>"
    );
    assert_eq!(World::new().hear(&push), ["eve error cancel service-unavailable"]);
}

#[test]
fn who_declines_to_show_its_presence_keeps_its_subscriptions() {
    let mut world = World::warm();
    world.set(
        ALICE,
        "<subscribe xmlns='urn:nf:iot:events:1.0' id='s1' m='true'><nd id='kitchen/thermometer'/></subscribe>",
    );
    assert!(world.hear("<presence type='unsubscribed' from='alice@example.org' to='bridge@example.org'/>").is_empty());
    assert_eq!(world.temperature("1.0").len(), 1);
}

#[test]
fn answers_pings_versions_and_what_nobody_knows() {
    let mut world = World::new();
    assert_eq!(world.get(EVE, "<ping xmlns='urn:xmpp:ping'/>"), ["eve result -"]);
    assert!(world.get(EVE, "<query xmlns='jabber:iq:version'/>")[0].starts_with("eve result "));
    assert_eq!(world.get(EVE, "<odd xmlns='urn:odd'/>"), ["eve error cancel service-unavailable"]);
    assert_eq!(world.hear("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"), ["- result -"]);
}

#[test]
fn what_cannot_be_read_is_refused_and_answers_are_not_answered() {
    let mut world = World::new();
    assert!(
        world.hear(&format!("<iq type='get' from='{ALICE}' id='x'/>"))[0].starts_with("alice error modify bad-request")
    );
    for quiet in [
        "<iq type='result' id='x' from='a@b/c'/>",
        "<iq type='error' id='x' from='a@b/c'/>",
        "<message from='a@b/c'/>",
        "<odd />",
    ] {
        assert!(world.hear(quiet).is_empty(), "{quiet}");
    }
}

#[test]
fn our_own_account_needs_a_rule_like_everybody() {
    let read = "<req xmlns='urn:nf:iot:sd:1.0' id='r1'><nd id='lamp'/></req>";
    assert_eq!(World::new().hear(&format!("<iq type='get' id='q'>{read}</iq>")), ["- error cancel forbidden"]);
}

#[test]
fn an_answer_counts_only_from_whom_was_asked_and_only_in_time() {
    let mut world = World::new();
    world.hub.session_online(FullJid::new(ME).unwrap(), world.now);
    let Some(Output::Stanza { stanza, .. }) = world.hub.poll_output() else { panic!("asks for its contacts") };
    world.drain();
    let id = stanza.attr("id").unwrap().to_owned();
    let due = world.hub.poll_timeout().unwrap();
    let answer = |from: &str| {
        format!(
            "<iq type='result' from='{from}' to='{ME}' id='{id}'><query xmlns='jabber:iq:roster'>\
             <item jid='eve@evil.example' subscription='both'/></query></iq>"
        )
    };
    world.hear(&answer(EVE));
    assert_eq!(world.hub.poll_timeout(), Some(due), "still waits");
    world.now = due;
    world.hub.handle_timeout(world.now);
    assert_eq!(world.hub.poll_timeout(), None, "has given up");
    world.hear(&answer("bridge@example.org"));
    let eve = Contact { jid: "eve@evil.example".parse().unwrap(), at: None };
    assert!(!world.hub.friends.sees(&eve), "too late");
}
