//! `[xmpp.local]`: who has no XMPP server gets a private one, and it ends with the service.

use tombolo_dev::broker::Broker;
use tombolo_dev::place;
use tombolo_dev::process::{Process, family};
use tombolo_tests::peer::{Login, Peer};
use tombolo_tests::service::{SOON, Site};

const SERVICE: &str = "bridge@tombolo.localhost";

fn start() -> (Broker, Site, Process) {
    let broker = Broker::start(&place::scratch().unwrap(), "").unwrap();
    let site = Site::new(&format!(
        "[xmpp.local]\naccounts = {{ alice = \"wonderland\" }}\n\n[bridges.home]\nplugin = \"mqtt\"\n\
         endpoints = {{ broker = {{ connect = \"mqtt://127.0.0.1:{}\" }} }}\n\
         [[bridges.home.settings.devices]]\nnode = \"lamp\"\nfields = [{{ name = \"Level\", topic = \"lamp/level\", type = \"int32\" }}]\n\n\
         [[allow]]\nwho = [\"alice@tombolo.localhost\"]\nmay = [\"see\", \"read\", \"control\"]\nnodes = [\"home/*\"]\n",
        broker.port
    ))
    .unwrap();
    site.install("mqtt").unwrap();
    let service = site.run_ready().unwrap();
    (broker, site, service)
}

/// Where the private server listens, as the service tells.
fn port(service: &Process) -> u16 {
    let line = service.expect("private XMPP server started", SOON).unwrap();
    let address = line.split_once("address=127.0.0.1:").unwrap().1;
    address.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[test]
fn the_first_account_is_who_the_commands_log_in_as() {
    let (broker, site, _service) = start();
    broker.publish("lamp/level", "40", true).unwrap();
    site.await_status(|status| status["bridges"][0]["nodes"] == 1).unwrap();
    let read = site.command(&["read", SERVICE, "home/lamp"], &[]).unwrap();
    assert_eq!(read.code, Some(0), "{}", read.err);
    assert!(read.out.contains("40"), "{}", read.out);
}

#[test]
fn a_foreign_client_logs_in_to_it() {
    let (_broker, _site, service) = start();
    let login = Login { jid: "alice@tombolo.localhost/phone", password: "wonderland", port: port(&service), ca: None };
    let alice = Peer::log_in(&login).unwrap();
    let answer = alice.ask("ping", serde_json::json!({"to": format!("{SERVICE}/tombolo")})).unwrap();
    assert!(answer["seconds"].is_number(), "{answer}");
}

#[test]
fn an_account_that_is_added_while_it_runs_can_log_in() {
    let (_broker, site, service) = start();
    let text = std::fs::read_to_string(site.path().join("tombolo.toml")).unwrap();
    let mark = service.lines.count();
    site.write("tombolo.toml", text.replace("{ alice =", "{ bob = \"builder\", alice =").as_bytes()).unwrap();
    service.expect_from(mark, "configuration adopted", SOON).unwrap();
    let login = Login { jid: "bob@tombolo.localhost/phone", password: "builder", port: port(&service), ca: None };
    Peer::log_in(&login).unwrap();
    let asked_for_a_restart = service.lines.all().iter().any(|line| line.contains("started again"));
    assert!(!asked_for_a_restart, "accounts need no restart");
}

#[test]
fn its_server_ends_with_it_even_if_it_is_killed() {
    let (_broker, _site, mut service) = start();
    let members = family(service.id());
    assert!(members.len() > 1, "the private server is a child");
    service.kill();
    let deadline = std::time::Instant::now() + SOON;
    let is_alive = |id: &u32| std::fs::read_link(format!("/proc/{id}/exe")).is_ok();
    while members.iter().any(is_alive) {
        assert!(std::time::Instant::now() < deadline, "{members:?}");
        std::thread::yield_now();
    }
}
