//! A session as plain data: what a newer build continues with in the same connection. Owns its shape; decides nothing.

use serde::{Deserialize, Serialize};

use super::Options;
use super::filters::Filters;
use super::inbound::Inbound;
use super::outbound::Outbound;
use crate::codec::{Limits, Version};

/// Everything that is not settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) client_id: String,
    /// Spoken now, or tried next.
    pub(crate) version: Version,
    /// A broker accepted it before.
    pub(crate) settled: bool,
    pub(crate) attempts: u32,
    pub(crate) next_connection: u64,
    pub(crate) next_packet_id: u16,
    pub(crate) seed: u64,
    pub(crate) limits: Limits,
    pub(crate) link: Option<Link>,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    pub(crate) filters: Filters,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// The host opens the stream.
    Opening,
    /// CONNECT left.
    Connecting,
    /// CONNACK came.
    Online,
}

/// One connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) connection: u64,
    pub(crate) phase: Phase,
    /// The beginning of a packet.
    #[serde(with = "hexadecimal")]
    pub(crate) partial: Vec<u8>,
    pub(crate) keep_alive_s: u16,
    /// Since the last tick of the keep-alive timer.
    pub(crate) sent: bool,
    pub(crate) received: bool,
    pub(crate) awaiting_pong: bool,
}

impl Link {
    pub(crate) fn new(connection: u64) -> Self {
        let phase = Phase::Opening;
        Self {
            connection,
            phase,
            partial: Vec::new(),
            keep_alive_s: 0,
            sent: false,
            received: false,
            awaiting_pong: false,
        }
    }
}

impl State {
    pub(crate) fn new(options: &Options, seed: u64) -> Self {
        let mut state = Self {
            client_id: String::new(),
            version: options.version.unwrap_or(Version::V5),
            settled: false,
            attempts: 0,
            next_connection: 1,
            next_packet_id: 0,
            seed,
            limits: Limits::default(),
            link: None,
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            filters: Filters::default(),
        };
        let random = state.random();
        state.client_id = options.client_id.clone().unwrap_or_else(|| format!("tombolo-{random:016x}"));
        // The broker may still hold ids of an instance that was lost: beginning anywhere makes meeting them unlikely.
        state.next_packet_id = u16::try_from(state.random() >> 48).unwrap_or_default();
        state
    }

    /// What is left of it after a crash or a restart: the identity, and what was subscribed. Ids and receipts of an older moment
    /// would do harm: a message with a reused id would be taken for a duplicate.
    pub(crate) fn checkpoint(&self) -> Self {
        Self { link: None, inbound: Inbound::default(), outbound: Outbound::default(), attempts: 0, ..self.clone() }
    }

    /// Splitmix64: enough for jitter and names, and the same for the same seed.
    pub(crate) fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// Bytes as text: half a packet as a list of numbers would be twice as long.
pub(crate) mod hexadecimal {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |value: u8| DIGITS.get(usize::from(value)).copied().map_or('0', char::from);
        let text: String = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        out.serialize_str(&text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        });
        pairs.collect::<Option<Vec<u8>>>().ok_or_else(|| D::Error::custom("not hexadecimal"))
    }
}
