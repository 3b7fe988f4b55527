//! Bridges, their endpoints and settings, and the rules, as operators write them.

use super::*;
use tombolo_core::hub::MirrorWay;
use tombolo_core::policy::Glob;

fn component(server: &str, rest: &str) -> String {
    format!("[xmpp.component]\ndomain = \"iot.example.org\"\nserver = \"{server}\"\nsecret = \"x\"\n{rest}")
}

#[test]
fn a_component_speaks_in_clear_text_and_so_stays_on_this_machine() {
    let place = Place::new();
    assert!(matches!(place.load(&component("127.0.0.1:5347", "")).unwrap().xmpp, Xmpp::Component(_)));
    let complaints = place.complaints(&component("xmpp.example.org:5347", ""));
    assert!(complaints[0].starts_with("3: xmpp.component.server: components speak in clear text"), "{complaints:?}");
    assert!(place.load(&component("xmpp.example.org:5347", "insecure = true\n")).is_ok());
}

#[test]
fn a_bridge_of_a_component_has_a_name_that_can_stand_in_an_address() {
    let place = Place::new();
    let complaints = place.complaints(&component("127.0.0.1", "[bridges.Home]\nplugin = \"mqtt\"\n"));
    assert!(complaints[0].contains("write bridges.home"), "{complaints:?}");
}

#[test]
fn what_later_versions_do_is_refused_by_name() {
    let place = Place::new();
    let complaints = place.complaints("[xmpp]\njid = \"a@b\"\n[xmpp.local]\n[xmpp.component]\ndomain = \"a@b\"\n");
    assert!(complaints.iter().any(|it| it.contains("excludes jid, local in [xmpp]")), "{complaints:?}");
    assert!(complaints.iter().any(|it| it.starts_with("5: xmpp.component.domain:")), "{complaints:?}");
}

#[test]
fn names_and_limits_have_bounds() {
    let place = Place::new();
    for (text, what) in [
        ("[bridges.\"my home\"]\nplugin = \"x\"\n", "4: bridges.\"my home\": the name of a bridge has 1 to 64"),
        ("[bridges.MeteringTopology]\nplugin = \"x\"\n", "4: bridges.MeteringTopology: MeteringTopology is the union"),
        ("[bridges.home]\nplugin = \"../x\"\n", "5: bridges.home.plugin: write the plugin's file name"),
        (
            "[bridges.a]\nplugin = \"x\"\nlimits.memory = \"1 B\"\n",
            "6: bridges.a.limits.memory: \"1 B\" is out of bounds; write 1 MiB to 4 GiB",
        ),
        (
            "[bridges.a]\nplugin = \"x\"\nlimits.memory = \"5 GiB\"\n",
            "6: bridges.a.limits.memory: \"5 GiB\" is out of bounds",
        ),
        (
            "[bridges.a]\nplugin = \"x\"\nlimits.deadline = \"1 h\"\n",
            "6: bridges.a.limits.deadline: \"1 h\" is out of bounds; write 1 ms to 10 s",
        ),
        ("[admin]\nlisten = \"9464\"\n", "5: admin.listen: \"9464\" is no address and port"),
        ("[admin]\n", "4: admin: \"listen\" is missing"),
    ] {
        let complaint = place.complaint(text);
        assert!(complaint.starts_with(what), "{complaint}");
    }
}

#[test]
fn rules_that_can_never_fit_are_refused() {
    let place = Place::new();
    let rule =
        |who: &str, may: &str, nodes: &str| format!("[[allow]]\nwho = [{who}]\nmay = [{may}]\nnodes = [{nodes}]\n");
    for (text, what) in [
        (
            rule("\"a@b/phone\"", "", "\"*\""),
            "5: allow.who: \"a@b/phone\": rules name accounts, without a resource; write \"a@b\"",
        ),
        (rule("\"*@b/phone\"", "", "\"*\""), "5: allow.who: \"*@b/phone\": rules name accounts"),
        (rule("\"@\"", "", "\"*\""), "5: allow.who: \"@\" is no JID"),
        (
            rule("\"a@b\"", "\"raed\"", "\"*\""),
            "6: allow.may: \"raed\" is not known; write one of \"see\", \"read\", \"control\"; did you mean",
        ),
        (rule("\"a@b\"", "", "\"home\""), "7: allow.nodes: \"home\" fits no node; write BRIDGE/NODE, as in \"home/*\""),
        (
            "[[allow]]\nwho = \"a@b\"\nmay = []\nnodes = []\n".to_owned(),
            "5: allow.who: a text stands where a list in brackets belongs",
        ),
        ("[[allow]]\nwho = []\nmay = []\n".to_owned(), "4: allow: \"nodes\" is missing; write nodes = [\"BRIDGE/*\"]"),
        ("[allow]\n".to_owned(), "4: allow: a table stands where a list in brackets belongs"),
    ] {
        let complaint = place.complaint(&text);
        assert!(complaint.starts_with(what), "{complaint}");
    }
}

#[test]
fn rules_compare_jids_as_servers_write_them() {
    let config =
        good("[[allow]]\nwho = [\"Alice@Example.ORG\", \"*@OPS.example.org\"]\nmay = [\"see\"]\nnodes = [\"*\"]\n");
    let policy = Policy::new(config.allow);
    for jid in ["alice@example.org", "bob@ops.example.org"] {
        assert!(policy.knows(&jid::BareJid::new(jid).unwrap()), "{jid}");
    }
}

#[test]
fn settings_keep_their_types_and_know_their_lines() {
    let config = good(
        r#"[bridges.home]
plugin = "mqtt"
[bridges.home.settings]
hex = 0xff
ratio = 1.5
when = 1979-05-27
on = true
[[bridges.home.settings.devices]]
"a/b" = "x"
"#,
    );
    let settings = &config.bridges["home"].settings;
    let wanted = serde_json::json!({
        "hex": 255, "ratio": 1.5, "when": "1979-05-27", "on": true, "devices": [{ "a/b": "x" }]
    });
    assert_eq!(settings.expose(), &wanted);
    let line = |pointer| settings.line(pointer).map(|line| line.0);
    assert_eq!(
        [line(""), line("/hex"), line("/devices/0/a~1b"), line("/on/deeper")],
        [Some(6), Some(7), Some(12), Some(10)]
    );
    assert!(Place::new().complaint("[bridges.a]\nplugin = \"x\"\nsettings.x = inf\n").contains("out of range"));
}

#[test]
fn things_may_be_heard_where_they_are_published() {
    let entries = r#"[
  { pep = "sensor@example.org/home/*", generations = ["ieee"], stale = "1 h" },
  { presence = "meter@example.org" },
  { pubsub = "pubsub.example.org", node = "readings/*", poll = "10 s" },
  { room = "plant@rooms.example.org", nick = "ears", password = "hunter2", from = ["*@Example.org"] },
]"#;
    let config = Place::new().load(&format!("{XMPP}[bridges.home]\nplugin = \"mqtt\"\nmirror = {entries}\n")).unwrap();
    let [pep, presence, service, room] = config.bridges["home"].mirror.as_slice() else { panic!() };
    assert_eq!(pep.way, MirrorWay::Pep(vec!["urn:ieee:iot:sd:1.0".into()]));
    assert_eq!((pep.nodes.to_string().as_str(), pep.stale_ms), ("home/*", Some(3_600_000)));
    assert_eq!((presence.way.clone(), presence.jid.as_str()), (MirrorWay::Presence, "meter@example.org"));
    assert_eq!((service.way.clone(), service.poll_ms), (MirrorWay::Service(Glob::new("readings/*")), 10_000));
    let MirrorWay::Room { nick, from, .. } = &room.way else { panic!() };
    assert_eq!((nick.as_str(), from.as_slice()), ("ears", [Glob::new("*@example.org")].as_slice()));
    assert!(!format!("{room:?}").contains("hunter2"));
}

#[test]
fn mirrors_are_read_and_what_makes_no_sense_is_explained() {
    let bridge = |mirror: &str| format!("[bridges.home]\nplugin = \"mqtt\"\nmirror = {mirror}\n");
    let with_account = |text: &str| format!("{XMPP}{text}");
    let place = Place::new();
    let config = place
        .load(&with_account(&bridge(
            r#"["plant@example.com/home/*", { things = "meter@example.org", generations = ["xmpp"], poll = "10 s", controls = ["relay"] }]"#,
        )))
        .unwrap();
    let mirror = &config.bridges["home"].mirror;
    assert_eq!((mirror[0].jid.as_str(), mirror[0].nodes.to_string().as_str()), ("plant@example.com", "home/*"));
    assert_eq!((mirror[1].poll_ms, mirror[1].generations.len(), mirror[1].controls.len()), (10_000, 1, 1));
    for (text, what) in [
        ("\"plant@example.com\"", "6: bridges.home.mirror: a text stands where a list"),
        ("[\"*@example.com/x\"]", "6: bridges.home.mirror: \"*@example.com/x\": a thing has one JID"),
        ("[{ things = \"a@b\", generations = [\"g1\"] }]", "6: bridges.home.mirror.generations: \"g1\" is not known"),
        ("[{ things = \"a@b\", poll = \"1 ms\" }]", "6: bridges.home.mirror.poll: \"1 ms\" is out of bounds"),
        ("[{ jid = \"a@b\" }]", "6: bridges.home.mirror: \"things\" is missing"),
        ("[{ pubsub = \"pubsub.b\" }]", "6: bridges.home.mirror: \"node\" is missing"),
        (
            "[{ pubsub = \"pubsub.b/x\", node = \"n\" }]",
            "6: bridges.home.mirror.pubsub: \"pubsub.b/x\": a service has a JID",
        ),
        ("[{ pep = \"a@b\", stale = \"1 ms\" }]", "6: bridges.home.mirror.stale: \"1 ms\" is out of bounds"),
        ("[{ pep = \"a@b\", things = \"a@b\" }]", "6: bridges.home.mirror.things: unknown key"),
        ("[{ presence = \"a@b\", poll = \"1 s\" }]", "6: bridges.home.mirror.poll: unknown key"),
        ("[{ room = \"rooms.b\" }]", "6: bridges.home.mirror.room: \"rooms.b\" is a service; write a room of it"),
        ("[{ room = \"r@b\", from = [\"a@b/x\"] }]", "6: bridges.home.mirror.from: \"a@b/x\": rules name accounts"),
    ] {
        let complaints = place.complaints(&with_account(&bridge(text)));
        assert!(complaints.iter().any(|complaint| complaint.starts_with(what)), "{complaints:?}");
    }
}
