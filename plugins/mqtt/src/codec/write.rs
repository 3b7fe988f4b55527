//! Packets to bytes. Owns what leaves; checks nothing that the protocol leaves to the session.

use mqtt_protocol_core::mqtt::packet::{
    MaximumPacketSize, Property, ReceiveMaximum, RetainHandling, SessionExpiryInterval, SubEntry, SubOpts, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{DisconnectReasonCode, MqttError};
use serde::{Deserialize, Serialize};

use super::{Ack, Qos, Version, reason};

/// A message that the broker publishes for us when we vanish, or that we publish ourselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
}

/// What CONNECT says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connect<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) username: Option<&'a str>,
    pub(crate) password: Option<&'a str>,
    pub(crate) keep_alive_s: u16,
    pub(crate) clean_start: bool,
    pub(crate) session_expiry_s: u32,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_bytes_max: u32,
    pub(crate) will: Option<&'a Message>,
}

/// What is too long or not allowed for the wire, found while writing.
pub(crate) type Unwritable = MqttError;

/// CONNECT.
pub(crate) fn connect(connect: &Connect<'_>, version: Version) -> Result<Vec<u8>, Unwritable> {
    match version {
        Version::V3 => connect_v3(connect),
        Version::V5 => connect_v5(connect),
    }
}

fn connect_v3(connect: &Connect<'_>) -> Result<Vec<u8>, Unwritable> {
    let mut builder = v3_1_1::Connect::builder()
        .clean_session(connect.clean_start)
        .client_id(connect.client_id)?
        .keep_alive(connect.keep_alive_s);
    if let Some(will) = connect.will {
        builder = builder.will_message(&*will.topic, will.payload.clone(), will.qos.wire(), will.retain)?;
    }
    if let Some(name) = connect.username {
        builder = builder.user_name(name)?;
    }
    if let Some(password) = connect.password {
        builder = builder.password(password.as_bytes().to_vec())?;
    }
    Ok(builder.build()?.to_continuous_buffer())
}

fn connect_v5(connect: &Connect<'_>) -> Result<Vec<u8>, Unwritable> {
    let mut builder = v5_0::Connect::builder()
        .clean_start(connect.clean_start)
        .client_id(connect.client_id)?
        .keep_alive(connect.keep_alive_s)
        .props(vec![
            Property::SessionExpiryInterval(SessionExpiryInterval::new(connect.session_expiry_s)?),
            Property::ReceiveMaximum(ReceiveMaximum::new(connect.receive_maximum)?),
            Property::MaximumPacketSize(MaximumPacketSize::new(connect.packet_bytes_max)?),
        ]);
    if let Some(will) = connect.will {
        builder = builder.will_message(&*will.topic, will.payload.clone(), will.qos.wire(), will.retain)?;
    }
    if let Some(name) = connect.username {
        builder = builder.user_name(name)?;
    }
    if let Some(password) = connect.password {
        builder = builder.password(password.as_bytes().to_vec())?;
    }
    Ok(builder.build()?.to_continuous_buffer())
}

/// PUBLISH; `id` is 0 for [`Qos::AtMostOnce`].
pub(crate) fn write_publish(message: &Message, id: u16, dup: bool, version: Version) -> Result<Vec<u8>, Unwritable> {
    let id = (message.qos != Qos::AtMostOnce).then_some(id);
    match version {
        Version::V3 => {
            let builder = v3_1_1::Publish::builder().topic_name(&*message.topic)?.qos(message.qos.wire());
            let builder = builder.dup(dup).retain(message.retain).payload(message.payload.clone());
            let builder = if let Some(id) = id { builder.packet_id(id) } else { builder };
            Ok(builder.build()?.to_continuous_buffer())
        }
        Version::V5 => {
            let builder = v5_0::Publish::builder().topic_name(&*message.topic)?.qos(message.qos.wire());
            let builder = builder.dup(dup).retain(message.retain).payload(message.payload.clone());
            let builder = if let Some(id) = id { builder.packet_id(id) } else { builder };
            Ok(builder.build()?.to_continuous_buffer())
        }
    }
}

/// SUBSCRIBE. In both versions the retain flag then says that a message is not news: it was there before we asked.
pub(crate) fn subscribe(id: u16, filters: &[(&str, Qos)], version: Version) -> Result<Vec<u8>, Unwritable> {
    let entry = |(filter, qos): &(&str, Qos)| {
        let options = SubOpts::new().set_qos(qos.wire());
        let options = match version {
            Version::V3 => options,
            Version::V5 => options.set_rap(false).set_rh(RetainHandling::SendRetained),
        };
        SubEntry::new(*filter, options)
    };
    let entries = filters.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    match version {
        Version::V3 => Ok(v3_1_1::Subscribe::builder().packet_id(id).entries(entries).build()?.to_continuous_buffer()),
        Version::V5 => Ok(v5_0::Subscribe::builder().packet_id(id).entries(entries).build()?.to_continuous_buffer()),
    }
}

/// UNSUBSCRIBE.
pub(crate) fn unsubscribe(id: u16, filters: &[&str], version: Version) -> Result<Vec<u8>, Unwritable> {
    match version {
        Version::V3 => Ok(v3_1_1::Unsubscribe::builder()
            .packet_id(id)
            .entries(filters.iter().copied())?
            .build()?
            .to_continuous_buffer()),
        Version::V5 => Ok(v5_0::Unsubscribe::builder()
            .packet_id(id)
            .entries(filters.iter().copied())?
            .build()?
            .to_continuous_buffer()),
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP; success takes the same four bytes in both versions.
pub(crate) fn write_ack(kind: Ack, id: u16, out: &mut Vec<u8>) {
    let [high, low] = id.to_be_bytes();
    out.extend_from_slice(&[kind as u8, 2, high, low]);
}

/// PUBCOMP for an id that we do not know.
pub(crate) fn write_unknown_pubcomp(id: u16, version: Version, out: &mut Vec<u8>) {
    let [high, low] = id.to_be_bytes();
    match version {
        Version::V3 => write_ack(Ack::Pubcomp, id, out),
        Version::V5 => out.extend_from_slice(&[Ack::Pubcomp as u8, 3, high, low, reason::PACKET_ID_NOT_FOUND]),
    }
}

/// DISCONNECT; 3.1.1 has no reasons.
pub(crate) fn disconnect(reason: u8, version: Version) -> Vec<u8> {
    match (version, DisconnectReasonCode::try_from(reason)) {
        (Version::V5, Ok(code)) if reason != 0 => {
            let packet = v5_0::Disconnect::builder().reason_code(code).build();
            packet.map_or_else(|_| vec![0xE0, 0], |packet| packet.to_continuous_buffer())
        }
        _ => vec![0xE0, 0],
    }
}
