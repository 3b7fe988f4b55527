//! What LwM2M devices and servers send: datagrams to the mapper, natively, and content inside datagrams that are well made.

use tombolo_lwm2m::Lwm2m;
use tombolo_sdk::events::{Datagram, Peer};
use tombolo_sdk::testing::{Harness, fresh};
use tombolo_sdk::{Action, Event, Granted, Mapper, StartInput};

const PEER: &str = "udp:1";
const POST: u8 = 2;

fn bench() -> Harness<Lwm2m> {
    let granted = vec![Granted { name: "server".into(), url: None }];
    Harness::start(StartInput { granted, ..fresh("{}") }).expect("the settings are empty")
}

/// Hands a datagram over; gives the requests and answers that leave.
fn send(harness: &mut Harness<Lwm2m>, bytes: Vec<u8>) -> Vec<Vec<u8>> {
    let peer = Peer { address: PEER.into(), identity: None };
    sent(harness.event(Event::Datagram(Datagram { connection: 1, peer, bytes })))
}

fn sent(actions: &[Action]) -> Vec<Vec<u8>> {
    let datagrams = actions.iter().filter_map(|action| match action {
        Action::SendTo(sent) => Some(sent.bytes.clone()),
        _ => None,
    });
    datagrams.collect()
}

/// A confirmable POST to one segment, with a query of one part.
fn post(id: u16, path: &str, query: &str, format: Option<u8>, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![0x41, POST, (id >> 8) as u8, id as u8, 7];
    message.push(0xb0 | path.len() as u8);
    message.extend(path.bytes());
    if let Some(format) = format {
        message.extend([0x11, format]);
    }
    if !query.is_empty() {
        message.push(if format.is_some() { 0x30 } else { 0x40 } | query.len() as u8);
        message.extend(query.bytes());
    }
    message.push(0xff);
    message.extend(payload);
    message
}

/// Each line a datagram, after a registration; whatever is asked is answered with the next.
pub(crate) fn coap(bytes: &[u8]) {
    let mut harness = bench();
    send(&mut harness, post(1, "rd", "ep=a", None, b"</3/0>,</3303/0>"));
    for datagram in bytes.split(|byte| *byte == b'\n').take(64) {
        send(&mut harness, datagram.to_vec());
    }
    harness.advance(200);
    let _ = harness.mapper.carry_over();
}

/// The body of a registration.
pub(crate) fn link(bytes: &[u8]) {
    let mut harness = bench();
    send(&mut harness, post(1, "rd", "ep=a", None, bytes));
    harness.advance(200);
    let state = harness.mapper.carry_over();
    let again = harness.swap(&[1], &[]).expect("a state of its own can always be read");
    assert_eq!(again.mapper.carry_over().version, state.version);
}

/// What a device sends of its own accord, as SenML in JSON and in CBOR.
pub(crate) fn senml(bytes: &[u8]) {
    let mut harness = bench();
    send(&mut harness, post(1, "rd", "ep=a", None, b"</3/0>,</3303/0>"));
    for (id, format) in [(2, 110), (3, 112)] {
        send(&mut harness, post(id, "dp", "", Some(format), bytes));
    }
    let _ = harness.mapper.carry_over();
}

/// What a device answers to whatever it is asked: TLV, then without a format.
pub(crate) fn tlv(bytes: &[u8]) {
    for format in [&[0xc2, 0x2d, 0x16][..], &[]] {
        let mut harness = bench();
        send(&mut harness, post(1, "rd", "ep=a", None, b"</3/0>,</3303/0>"));
        let mut asked = sent(harness.advance(200));
        for _ in 0..8 {
            let Some(request) = asked.pop().filter(|request| request.len() >= 12) else { break };
            // An acknowledgement with content, under the id and the token of the request.
            let mut answer = vec![0x68, 0x45];
            answer.extend(&request[2..12]);
            answer.extend(format);
            answer.push(0xff);
            answer.extend(bytes);
            asked = send(&mut harness, answer);
        }
        let _ = harness.mapper.carry_over();
    }
}
