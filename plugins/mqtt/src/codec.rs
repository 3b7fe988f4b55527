//! Bytes to packets and packets to bytes, for MQTT 3.1.1 and 5. Owns the wire; keeps no state and never panics on what a peer sends.
//!
//! Order of evaluation: [`split`] finds one whole frame and refuses one that is too large before its body is there; [`read`] looks
//! into it. Received packets borrow from the frame, because a busy bridge reads thousands of PUBLISH a second and needs none of
//! them a moment later. What is rare (CONNECT, CONNACK, SUBSCRIBE, properties) is left to mqtt-protocol-core.

use std::str;

use mqtt_protocol_core::mqtt::packet::{Properties, PropertiesParse, Property, Qos as WireQos};
use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, DisconnectReasonCode};
use serde::{Deserialize, Serialize};

mod write;

pub(crate) use write::{
    Connect, Message, Unwritable, connect, disconnect, subscribe, unsubscribe, write_ack, write_publish,
    write_unknown_pubcomp,
};

/// PINGREQ, the same in both versions.
pub(crate) const PINGREQ: [u8; 2] = [0xC0, 0];

/// Reasons of MQTT 5 that this side gives or looks for.
pub(crate) mod reason {
    pub(crate) const DISCONNECT_WITH_WILL: u8 = 0x04;
    pub(crate) const MALFORMED: u8 = 0x81;
    pub(crate) const PROTOCOL_ERROR: u8 = 0x82;
    pub(crate) const UNSUPPORTED_VERSION: u8 = 0x84;
    pub(crate) const BAD_CREDENTIALS: u8 = 0x86;
    pub(crate) const NOT_AUTHORIZED: u8 = 0x87;
    pub(crate) const KEEP_ALIVE_TIMEOUT: u8 = 0x8D;
    pub(crate) const PACKET_ID_NOT_FOUND: u8 = 0x92;
    pub(crate) const TOPIC_ALIAS_INVALID: u8 = 0x94;
    pub(crate) const PACKET_TOO_LARGE: u8 = 0x95;
    pub(crate) const QUOTA_EXCEEDED: u8 = 0x97;
}

/// Which generation of the protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Version {
    #[serde(rename = "3.1.1")]
    V3,
    #[serde(rename = "5")]
    V5,
}

/// Quality of service, by the standard's names.
#[allow(clippy::enum_variant_names)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub(crate) enum Qos {
    AtMostOnce,
    AtLeastOnce,
    ExactlyOnce,
}

impl TryFrom<u8> for Qos {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Ok(Self::ExactlyOnce),
            _ => Err("a quality of service is 0, 1 or 2"),
        }
    }
}

impl From<Qos> for u8 {
    fn from(qos: Qos) -> Self {
        match qos {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce => 1,
            Qos::ExactlyOnce => 2,
        }
    }
}

impl Qos {
    fn wire(self) -> WireQos {
        match self {
            Self::AtMostOnce => WireQos::AtMostOnce,
            Self::AtLeastOnce => WireQos::AtLeastOnce,
            Self::ExactlyOnce => WireQos::ExactlyOnce,
        }
    }
}

/// Why the peer's bytes are not taken. The connection ends with `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: u8,
    pub(crate) what: &'static str,
}

const fn malformed(what: &'static str) -> Refused {
    Refused { reason: reason::MALFORMED, what }
}

/// One whole packet, unread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) first: u8,
    pub(crate) body: &'a [u8],
}

/// What a broker says.
#[derive(Debug, PartialEq)]
pub(crate) enum Packet<'a> {
    Connack(Connack),
    Publish(Publish<'a>),
    Ack { kind: Ack, id: u16, reason: u8 },
    Suback { id: u16, reasons: &'a [u8] },
    Unsuback { id: u16 },
    Pong,
    Disconnect { reason: u8 },
}

/// The four answers that carry a packet id. The value is the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ack {
    Puback = 0x40,
    Pubrec = 0x50,
    Pubrel = 0x62,
    Pubcomp = 0x70,
}

/// A message on its way to us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Publish<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: Qos,
    /// 0 for [`Qos::AtMostOnce`] only.
    pub(crate) id: u16,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
}

/// The answer to CONNECT; what a 3.1.1 broker cannot say has the value that the protocol assumes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Connack {
    pub(crate) session_present: bool,
    /// A reason of MQTT 5, whichever version the broker spoke.
    pub(crate) reason: u8,
    pub(crate) limits: Limits,
    pub(crate) assigned_client_id: Option<String>,
    pub(crate) server_keep_alive_s: Option<u16>,
    pub(crate) explanation: Option<String>,
}

/// What the broker takes from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) receive_maximum: u16,
    pub(crate) packet_bytes_max: u32,
    pub(crate) qos_max: Qos,
    pub(crate) retain: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { receive_maximum: u16::MAX, packet_bytes_max: u32::MAX, qos_max: Qos::ExactlyOnce, retain: true }
    }
}

/// The first frame in `bytes` and its length. None: more bytes are needed.
pub(crate) fn split(bytes: &[u8], packet_bytes_max: usize) -> Result<Option<(Frame<'_>, usize)>, Refused> {
    let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((length, width)) = remaining_length(rest)? else { return Ok(None) };
    let total = 1 + width + length;
    if total > packet_bytes_max {
        return Err(Refused { reason: reason::PACKET_TOO_LARGE, what: "a packet larger than max_packet_bytes" });
    }
    Ok(rest.get(width..width + length).map(|body| (Frame { first: *first, body }, total)))
}

fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Refused> {
    let mut length = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((length, at + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(malformed("a length of more than four bytes")) }
}

/// What the frame says.
pub(crate) fn read(frame: Frame<'_>, version: Version) -> Result<Packet<'_>, Refused> {
    let body = frame.body;
    match (frame.first >> 4, frame.first & 0x0F) {
        (2, 0) => connack(body, version).map(Packet::Connack),
        (3, flags) => publish(flags, body, version).map(Packet::Publish),
        (4, 0) => ack(Ack::Puback, body),
        (5, 0) => ack(Ack::Pubrec, body),
        (6, 2) => ack(Ack::Pubrel, body),
        (7, 0) => ack(Ack::Pubcomp, body),
        (9, 0) => acknowledged(body, version).map(|(id, reasons)| Packet::Suback { id, reasons }),
        (11, 0) => acknowledged(body, version).map(|(id, _)| Packet::Unsuback { id }),
        (13, 0) => Ok(Packet::Pong),
        (14, 0) if version == Version::V5 => Ok(Packet::Disconnect { reason: body.first().copied().unwrap_or(0) }),
        (1 | 8 | 10 | 12 | 14 | 15, _) => {
            Err(Refused { reason: reason::PROTOCOL_ERROR, what: "a packet that a broker does not send" })
        }
        _ => Err(malformed("an unknown packet type or reserved flags")),
    }
}

fn publish(flags: u8, body: &[u8], version: Version) -> Result<Publish<'_>, Refused> {
    let qos = Qos::try_from((flags >> 1) & 3).map_err(malformed)?;
    let (length, rest) = u16_first(body).ok_or(malformed("a PUBLISH without topic"))?;
    let (topic, rest) = rest.split_at_checked(usize::from(length)).ok_or(malformed("a PUBLISH with half a topic"))?;
    let topic = str::from_utf8(topic).map_err(|_| malformed("a topic that is not UTF-8"))?;
    if topic.bytes().any(|byte| matches!(byte, 0 | b'+' | b'#')) {
        return Err(malformed("a topic with a wildcard or a null"));
    }
    let (id, rest) = match qos {
        Qos::AtMostOnce => (0, rest),
        Qos::AtLeastOnce | Qos::ExactlyOnce => packet_id(rest)?,
    };
    let payload = if version == Version::V5 { after_publish_properties(rest)? } else { rest };
    if topic.is_empty() {
        // The alias maximum that we announce is 0.
        return Err(Refused { reason: reason::TOPIC_ALIAS_INVALID, what: "a PUBLISH with an empty topic" });
    }
    Ok(Publish { topic, payload, qos, id, dup: flags & 8 != 0, retain: flags & 1 != 0 })
}

fn after_publish_properties(bytes: &[u8]) -> Result<&[u8], Refused> {
    if let Some((0, payload)) = bytes.split_first() {
        return Ok(payload);
    }
    let (properties, payload) = properties(bytes)?;
    if properties.iter().any(|property| matches!(property, Property::TopicAlias(_))) {
        return Err(Refused { reason: reason::TOPIC_ALIAS_INVALID, what: "a topic alias that was not offered" });
    }
    Ok(payload)
}

fn properties(bytes: &[u8]) -> Result<(Properties, &[u8]), Refused> {
    let (properties, length) = Properties::parse(bytes).map_err(|_| malformed("properties that cannot be read"))?;
    Ok((properties, bytes.get(length..).unwrap_or_default()))
}

fn ack(kind: Ack, body: &[u8]) -> Result<Packet<'_>, Refused> {
    let (id, rest) = packet_id(body)?;
    Ok(Packet::Ack { kind, id, reason: rest.first().copied().unwrap_or(0) })
}

fn acknowledged(body: &[u8], version: Version) -> Result<(u16, &[u8]), Refused> {
    let (id, rest) = packet_id(body)?;
    let reasons = if version == Version::V5 { properties(rest)?.1 } else { rest };
    Ok((id, reasons))
}

fn packet_id(bytes: &[u8]) -> Result<(u16, &[u8]), Refused> {
    let (id, rest) = u16_first(bytes).ok_or(malformed("a packet without its id"))?;
    if id == 0 { Err(malformed("the packet id 0")) } else { Ok((id, rest)) }
}

fn u16_first(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (first, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*first), rest))
}

fn connack(body: &[u8], version: Version) -> Result<Connack, Refused> {
    let [flags, code, rest @ ..] = body else { return Err(malformed("a CONNACK without reason")) };
    let mut connack = Connack {
        session_present: flags & 1 != 0,
        reason: *code,
        limits: Limits::default(),
        assigned_client_id: None,
        server_keep_alive_s: None,
        explanation: None,
    };
    // A broker that knows only 3.1.1 refuses a CONNECT of MQTT 5 in its own language.
    if version == Version::V3 || rest.is_empty() {
        connack.reason = reason_of_return_code(*code);
        return Ok(connack);
    }
    for property in properties(rest)?.0 {
        take_connack_property(&mut connack, property)?;
    }
    Ok(connack)
}

fn take_connack_property(connack: &mut Connack, property: Property) -> Result<(), Refused> {
    let limits = &mut connack.limits;
    match property {
        Property::ReceiveMaximum(value) => limits.receive_maximum = value.val(),
        Property::MaximumPacketSize(value) => limits.packet_bytes_max = value.val(),
        Property::MaximumQos(value) => limits.qos_max = Qos::try_from(value.val()).map_err(malformed)?,
        Property::RetainAvailable(value) => limits.retain = value.val() != 0,
        Property::AssignedClientIdentifier(value) => connack.assigned_client_id = Some(value.val().to_owned()),
        Property::ServerKeepAlive(value) => connack.server_keep_alive_s = Some(value.val()),
        Property::ReasonString(value) => connack.explanation = Some(value.val().to_owned()),
        _ => {}
    }
    Ok(())
}

fn reason_of_return_code(code: u8) -> u8 {
    match code {
        0 => 0,
        1 => reason::UNSUPPORTED_VERSION,
        2 => 0x85,
        3 => 0x88,
        4 => reason::BAD_CREDENTIALS,
        5 => reason::NOT_AUTHORIZED,
        _ => 0x80,
    }
}

/// A reason of MQTT 5 in words, for logs.
pub(crate) fn reason_text(reason: u8) -> String {
    match (DisconnectReasonCode::try_from(reason), ConnectReasonCode::try_from(reason)) {
        (Ok(name), _) => format!("{name:?} (0x{reason:02x})"),
        (Err(_), Ok(name)) => format!("{name:?} (0x{reason:02x})"),
        (Err(_), Err(_)) => format!("reason 0x{reason:02x}"),
    }
}

#[cfg(test)]
mod tests;
