//! The bridge that somebody writes by hand who needs no sandbox and no store: MQTT by rumqttc, XMPP by tokio-xmpp, one message for
//! one message, and the acknowledgement at the broker only after the XMPP server's (XEP-0198).
//!
//! `direct-bridge MQTT_PORT XMPP_PORT JID PASSWORD TO`. A contender of `bench-peers`, nothing for production.
#![allow(clippy::print_stderr)]

use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

use futures::StreamExt;
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, Publish, QoS};

use sasl::common::ChannelBinding;
use tokio::io::BufStream;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_xmpp::connect::ServerConnector;
use tokio_xmpp::stanzastream::{Event as XmppEvent, StanzaStage, StanzaStream, StanzaToken, StreamEvent};
use tokio_xmpp::xmlstream::{PendingFeaturesRecv, StreamHeader, Timeouts, initiate_stream};
use xmpp_parsers::jid::Jid;
use xmpp_parsers::message::{Lang, Message, MessageType};

/// As many as the server shall be behind.
const WINDOW: usize = 500;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mqtt_port, xmpp_port, jid, password, to] = arguments.as_slice() else {
        return Err("direct-bridge MQTT_PORT XMPP_PORT JID PASSWORD TO".into());
    };
    let (mut stream, to) = (xmpp(xmpp_port, jid, password)?, Jid::new(to)?);
    await_session(&mut stream).await?;
    let (client, mut published) = mqtt(mqtt_port.parse()?).await?;
    let mut waiting: VecDeque<(StanzaToken, Publish)> = VecDeque::new();
    loop {
        tokio::select! {
            publish = published.recv(), if waiting.len() < WINDOW => {
                let publish = publish.ok_or("the broker is gone")?;
                let message = message(&to, &publish);
                waiting.push_back((stream.send(Box::new(message.into())).await, publish));
            }
            outcome = acknowledged(&mut waiting) => {
                let publish = outcome.ok_or("a stanza was dropped")?;
                client.ack(&publish).await?;
            }
            event = stream.next() => {
                event.ok_or("the server is gone")?;
            }
        }
    }
}

/// The oldest, once the server has it.
async fn acknowledged(waiting: &mut VecDeque<(StanzaToken, Publish)>) -> Option<Publish> {
    let Some((token, _)) = waiting.front_mut() else { return std::future::pending().await };
    token.wait_for(StanzaStage::Acked).await?;
    waiting.pop_front().map(|(_, publish)| publish)
}

fn xmpp(port: &str, jid: &str, password: &str) -> Result<StanzaStream, Box<dyn Error>> {
    Ok(StanzaStream::new_c2s(Loopback(port.parse()?), Jid::new(jid)?, password.to_owned(), Timeouts::default(), 1024))
}

/// TCP without TLS, to a server on this machine.
#[derive(Clone, Debug)]
struct Loopback(u16);

impl ServerConnector for Loopback {
    type Stream = BufStream<TcpStream>;

    async fn connect(
        &self,
        jid: &Jid,
        ns: &'static str,
        timeouts: Timeouts,
    ) -> Result<(PendingFeaturesRecv<Self::Stream>, ChannelBinding), tokio_xmpp::Error> {
        let socket = TcpStream::connect(("127.0.0.1", self.0)).await?;
        socket.set_nodelay(true)?;
        let header = StreamHeader { to: Some(jid.domain().as_str().into()), from: None, id: None };
        Ok((initiate_stream(BufStream::new(socket), ns, header, timeouts).await?, ChannelBinding::None))
    }
}

async fn await_session(stream: &mut StanzaStream) -> Result<(), Box<dyn Error>> {
    while let Some(event) = stream.next().await {
        if let XmppEvent::Stream(StreamEvent::Reset { .. }) = event {
            return Ok(());
        }
    }
    Err("there is no session".into())
}

fn message(to: &Jid, publish: &Publish) -> Message {
    let mut message = Message::new(Some(to.clone()));
    message.type_ = MessageType::Chat;
    message.bodies.insert(Lang::default(), String::from_utf8_lossy(&publish.payload).into_owned());
    message
}

/// A session that the broker keeps; its messages are acknowledged by hand. The loop of its own never waits for XMPP, because the
/// acknowledgements leave through it.
async fn mqtt(port: u16) -> Result<(AsyncClient, mpsc::UnboundedReceiver<Publish>), Box<dyn Error>> {
    let mut options = MqttOptions::new("direct-bridge", "127.0.0.1", port);
    options.set_clean_session(false).set_manual_acks(true).set_inflight(100).set_keep_alive(Duration::from_secs(30));
    let (client, mut events) = AsyncClient::new(options, 1024);
    client.subscribe("bench/+", QoS::AtLeastOnce).await?;
    // What the broker sends without an acknowledgement is bounded by itself.
    let (sender, published) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Incoming::Publish(publish))) => drop(sender.send(publish)),
                Ok(_) => {}
                Err(error) => {
                    eprintln!("direct-bridge: {error}");
                    return;
                }
            }
        }
    });
    Ok((client, published))
}
