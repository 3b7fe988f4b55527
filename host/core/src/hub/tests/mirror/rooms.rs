//! What others say in a room: who is believed, and what comes back of our own.

use super::stage::{ME, Stage};
use crate::hub::{How, Mirror, MirrorWay, PublishRule, RoomRule};
use crate::policy::{Glob, Share};
use crate::wire::Dialect;

const ROOM: &str = "plant@rooms.two.example";

fn room(from: &[&str]) -> Mirror {
    let from = from.iter().map(|who| Glob::new(*who)).collect();
    let way = MirrorWay::Room { nick: "ears".into(), password: None, from };
    Mirror { way, ..Mirror::parse(ROOM).unwrap() }
}

fn occupant(nick: &str, real: &str, more: &str) -> String {
    let jid = if real.is_empty() { String::new() } else { format!("jid='{real}'") };
    format!(
        "<presence from='{ROOM}/{nick}' to='{ME}' {more}><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='participant' {jid}/></x></presence>"
    )
}

fn entered(entries: Vec<Mirror>) -> Stage {
    let mut stage = Stage::with(entries);
    let (_, join) = stage.take("http://jabber.org/protocol/muc");
    assert!(join.contains(&format!("{ROOM}/ears")) && join.contains("maxstanzas"), "{join}");
    stage.hear(&format!(
        "<presence from='{ROOM}/ears' to='{ME}'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='participant' jid='{ME}'/><status code='110'/></x></presence>"
    ));
    stage
}

fn says(nick: &str, level: u8, more: &str) -> String {
    format!(
        "<message type='groupchat' from='{ROOM}/{nick}' to='{ME}'><resp xmlns='urn:nf:iot:sd:1.0' id='1'><nd id='lamp' src='office'><ts v='2025-03-01T10:00:00Z'><i n='level' v='{level}' m='true'/></ts></nd></resp>{more}</message>"
    )
}

#[test]
fn each_occupants_things_are_its_own_and_go_with_it() {
    let mut stage = entered(vec![room(&[])]);
    stage.hear(&occupant("b", "b@two.example/x", ""));
    stage.hear(&occupant("c", "c@two.example/x", ""));
    stage.hear(&says("b", 1, ""));
    stage.hear(&says("c", 2, ""));
    stage.hear(&says("b", 3, "<delay xmlns='urn:xmpp:delay' stamp='2025-01-01T00:00:00Z'/>"));
    assert_eq!(
        stage.take_told(),
        [
            "home +1 plant@rooms.two.example/b@two.example/office/lamp level",
            "home =1 0:1",
            "home +2 plant@rooms.two.example/c@two.example/office/lamp level",
            "home =2 0:2"
        ]
    );
    stage.hear(&occupant("b", "b@two.example/x", "type='unavailable'"));
    assert_eq!(stage.take_told(), ["home ~1 Offline level"]);
    stage.hear(&occupant("b2", "b@two.example/x", ""));
    assert_eq!(stage.take_told(), ["home ~1 Online level"]);
    assert_eq!(stage.hub.mirrored("home")[0].state, "present");
    stage.mirror(Vec::new());
    assert_eq!(stage.take_told(), ["home -1", "home -2"]);
    assert!(stage.take("type='unavailable'").1.contains(&format!("{ROOM}/ears")), "leaves the room");
}

#[test]
fn only_who_really_is_somebody_to_be_believed_is_believed() {
    let mut stage = entered(vec![room(&["*@two.example"])]);
    stage.hear(&occupant("b@two.example", "eve@evil.example/x", ""));
    stage.hear(&occupant("b", "b@two.example/x", ""));
    stage.hear(&says("b@two.example", 1, ""));
    assert!(stage.take_told().is_empty() && stage.refused.is_empty());
    stage.hear(&says("b", 1, ""));
    assert_eq!(stage.take_told().len(), 2);
    let private = says("b", 9, "").replace("type='groupchat'", "type='chat'");
    stage.hear(&private);
    assert!(stage.take_told().is_empty(), "said to us alone");
}

#[test]
fn in_a_room_that_hides_who_is_in_it_nobody_is_believed_where_that_matters_and_it_is_said_once() {
    let mut stage = entered(vec![room(&["*@two.example"])]);
    stage.hear(&occupant("b@two.example", "", ""));
    stage.hear(&says("b@two.example", 1, ""));
    stage.hear(&says("b@two.example", 2, ""));
    assert!(stage.take_told().is_empty());
    assert_eq!(stage.refused.len(), 1, "{:?}", stage.refused);
    assert_eq!(stage.hub.mirrored("home")[0].state, "anonymous");
    let mut stage = entered(vec![room(&[])]);
    stage.hear(&occupant("b", "", ""));
    stage.hear(&says("b", 1, ""));
    assert_eq!(stage.take_told()[0], "home +1 plant@rooms.two.example/b/office/lamp level");
}

#[test]
fn who_was_sent_away_comes_back_and_what_was_heard_is_offline_meanwhile() {
    let mut stage = entered(vec![room(&[])]);
    stage.hear(&occupant("b", "b@two.example/x", ""));
    stage.hear(&says("b", 1, ""));
    stage.take_told();
    stage.hear(&format!(
        "<presence type='unavailable' from='{ROOM}/ears' to='{ME}'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='none'/><status code='307'/><status code='110'/></x></presence>"
    ));
    assert_eq!(stage.take_told(), ["home ~1 Offline level"]);
    assert_eq!(stage.hub.mirrored("home")[0].state, "away");
    stage.pass_ms(crate::model::limits::REJOIN_DELAY_MS + 1);
    assert!(stage.take("http://jabber.org/protocol/muc").1.contains(&format!("{ROOM}/ears")));
}

#[test]
fn a_room_that_we_speak_in_is_entered_once_and_our_own_words_are_not_heard() {
    let rule = RoomRule {
        room: jid::BareJid::new(ROOM).unwrap(),
        nick: "ears".into(),
        password: None,
        create: true,
        config: Vec::new(),
        commands: false,
    };
    let mut stage = entered(vec![room(&[])]);
    let (share, dialect) = (Share::new(&["*"], &["*"]), Dialect::Nf);
    let rule = PublishRule { share, how: How::Room(rule), dialect, interval_us_min: 0 };
    stage.hub.publish_changed(vec![rule], stage.now);
    stage.drain();
    stage.hear(&says("ears", 1, ""));
    // Another resource of ours.
    stage.hear(&occupant("other", "a@one.example/phone", ""));
    stage.hear(&says("other", 1, ""));
    assert!(stage.take_told().is_empty());
}
