//! What devices and control points send: bytes to the UPnP mapper, natively.

use tombolo_sdk::events::{Datagram, Header, HttpAnswer, HttpCall, HttpDone, HttpIncoming, Peer, Thing};
use tombolo_sdk::testing::{Harness, fresh};
use tombolo_sdk::{Action, Constraint, Event, Field, FieldKinds, Granted, Node, Read, StartInput, ValueType};
use tombolo_upnp::Upnp;

const ALIVE: &str = "NOTIFY * HTTP/1.1\r\nLOCATION: http://192.0.2.7:80/d.xml\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\nUSN: uuid:1::upnp:rootdevice\r\n\r\n";
const DESCRIPTION: &str = "<root><device><UDN>uuid:1</UDN><friendlyName>x</friendlyName><serviceList><service><serviceType>urn:t</serviceType>\
    <serviceId>urn:x:serviceId:S</serviceId><SCPDURL>s</SCPDURL><controlURL>c</controlURL><eventSubURL>e</eventSubURL></service></serviceList></device></root>";
const SCPD: &str = "<scpd><actionList><action><name>GetV</name><argumentList><argument><name>r</name><direction>out</direction>\
    <relatedStateVariable>V</relatedStateVariable></argument></argumentList></action></actionList><serviceStateTable>\
    <stateVariable><name>V</name><dataType>number</dataType></stateVariable><stateVariable><name>LastChange</name><dataType>string</dataType></stateVariable>\
    </serviceStateTable></scpd>";

struct Network {
    harness: Harness<Upnp>,
    description: Vec<u8>,
    scpd: Vec<u8>,
    soap: Vec<u8>,
    callback: Option<String>,
    /// The node that was declared last.
    node: u32,
    /// Where our device is described.
    location: Option<String>,
}

impl Network {
    fn new() -> Self {
        let granted = |name: &str, url: Option<&str>| Granted { name: name.into(), url: url.map(Into::into) };
        let granted =
            vec![granted("ssdp", None), granted("devices", None), granted("serve", Some("http://192.0.2.1:5001"))];
        let harness = Harness::start(StartInput { granted, ..fresh("{}") }).expect("settings are fine");
        let mut network = Self {
            harness,
            description: DESCRIPTION.into(),
            scpd: SCPD.into(),
            soap: Vec::new(),
            callback: None,
            node: 0,
            location: None,
        };
        network.event(Event::Opened(1));
        network.event(Event::Opened(2));
        network
    }

    fn event(&mut self, event: Event) {
        self.harness.event(event);
        let mut turns = 0;
        while let Some(http) = self.next_http().filter(|_| turns < 100) {
            turns += 1;
            let answer = self.answer(&http.call);
            let before = std::mem::take(&mut self.harness.actions);
            self.harness.event(Event::HttpDone(HttpDone { id: http.id, outcome: Ok(answer) }));
            self.harness.actions.splice(0..0, before);
        }
        for action in std::mem::take(&mut self.harness.actions) {
            match action {
                Action::PutNode(node) => self.node = node.number,
                Action::Send(send) => {
                    let text = String::from_utf8_lossy(&send.bytes).into_owned();
                    let told = text.lines().find_map(|line| line.strip_prefix("LOCATION: http://192.0.2.1:5001"));
                    self.location = told.map(str::to_owned).or(self.location.take());
                }
                _ => {}
            }
        }
    }

    fn next_http(&mut self) -> Option<tombolo_sdk::actions::Http> {
        let at = self.harness.actions.iter().position(|action| matches!(action, Action::Http(_)))?;
        if let Action::Http(http) = self.harness.actions.remove(at) { Some(http) } else { None }
    }

    fn answer(&mut self, call: &HttpCall) -> HttpAnswer {
        let (headers, body) = match call.method.as_str() {
            "GET" if call.target.ends_with("/d.xml") => (Vec::new(), self.description.clone()),
            "GET" => (Vec::new(), self.scpd.clone()),
            "SUBSCRIBE" => {
                let callback = call.headers.iter().find(|(name, _)| name == "CALLBACK");
                let text = callback.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
                self.callback = text.or(self.callback.take());
                (vec![header("SID", "uuid:s")], Vec::new())
            }
            _ => (Vec::new(), self.soap.clone()),
        };
        HttpAnswer { status: 200, headers, body }
    }

    fn datagram(&mut self, bytes: &[u8]) {
        let peer = Peer { address: "192.0.2.7:1900".into(), identity: None };
        self.event(Event::Datagram(Datagram { connection: 1, peer, bytes: bytes.into() }));
    }

    fn request(&mut self, method: &str, target: &str, headers: Vec<Header>, body: &[u8]) {
        let headers = headers.into_iter().chain([header("Forwarded", "for=192.0.2.7")]).collect();
        let call = HttpCall { method: method.into(), target: target.into(), headers, body: body.into() };
        let peer = Peer { address: "192.0.2.7:40000".into(), identity: None };
        self.event(Event::HttpIncoming(HttpIncoming { id: 9, listener: 2, peer, call }));
    }

    /// Whatever came in, the next version can go on from it.
    fn end(mut self) {
        self.harness.advance(5_000);
        self.harness.swap(&[1, 2], &[]).expect("a state of its own can always be read");
    }
}

fn header(name: &str, value: &str) -> Header {
    (name.into(), value.as_bytes().into())
}

/// One datagram to a network with a device, and once more.
pub(crate) fn ssdp(bytes: &[u8]) {
    let mut network = Network::new();
    network.datagram(ALIVE.as_bytes());
    network.datagram(bytes);
    network.datagram(bytes);
    network.end();
}

/// A device's description.
pub(crate) fn description(bytes: &[u8]) {
    let mut network = Network { description: bytes.into(), ..Network::new() };
    network.datagram(ALIVE.as_bytes());
    network.end();
}

/// A service's description.
pub(crate) fn scpd(bytes: &[u8]) {
    let mut network = Network { scpd: bytes.into(), ..Network::new() };
    network.datagram(ALIVE.as_bytes());
    network.end();
}

/// The answer to an action.
pub(crate) fn soap(bytes: &[u8]) {
    let mut network = Network { soap: bytes.into(), ..Network::new() };
    network.datagram(ALIVE.as_bytes());
    let nodes = vec![network.node];
    network.event(Event::Read(Read {
        id: 1,
        nodes,
        fields: Vec::new(),
        kinds: FieldKinds::all(),
        since: None,
        until: None,
    }));
    network.end();
}

/// The body of a notification.
pub(crate) fn gena(bytes: &[u8]) {
    let mut network = Network::new();
    network.datagram(ALIVE.as_bytes());
    let callback = network.callback.clone().unwrap_or_default();
    let target = callback.trim_matches(['<', '>']).replace("http://192.0.2.1:5001", "");
    let headers = [("NT", "upnp:event"), ("NTS", "upnp:propchange"), ("SID", "uuid:s"), ("SEQ", "0")];
    let headers = headers.map(|(name, value)| header(name, value)).to_vec();
    network.request("NOTIFY", &target, headers, bytes);
    network.end();
}

/// An action of a control point on a lamp of ours.
pub(crate) fn control(bytes: &[u8]) {
    let mut network = Network::new();
    let on = Field::new("on", ValueType::Boolean).settable(Constraint::any());
    let thing = Thing { number: 4, address: "a@b/c/d".into(), node: Node::new(4, "a@b/c/d", "x", vec![on]) };
    network.event(Event::ThingAppeared(thing));
    let location = network.location.clone().unwrap_or_default();
    network.request("POST", &location.replace("desc.xml", "switch/control"), Vec::new(), bytes);
    network.end();
}
