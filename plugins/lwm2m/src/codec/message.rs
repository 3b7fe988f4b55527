//! CoAP messages (RFC 7252 §3) as the session wants them. The bytes are coap-lite's business; owned here is which options are read,
//! which unknown ones forbid going on, and the numbers of codes.

use coap_lite::{CoapOption, MessageClass, MessageType, Packet};
use serde::{Deserialize, Serialize};

/// Codes: class times 32 plus detail.
pub(crate) mod code {
    pub(crate) const EMPTY: u8 = 0;
    pub(crate) const GET: u8 = 1;
    pub(crate) const POST: u8 = 2;
    pub(crate) const PUT: u8 = 3;
    pub(crate) const DELETE: u8 = 4;
    pub(crate) const FETCH: u8 = 5;
    pub(crate) const IPATCH: u8 = 7;
    pub(crate) const CREATED: u8 = 0x41;
    pub(crate) const DELETED: u8 = 0x42;
    pub(crate) const CHANGED: u8 = 0x44;
    pub(crate) const CONTENT: u8 = 0x45;
    pub(crate) const CONTINUE: u8 = 0x5f;
    pub(crate) const BAD_REQUEST: u8 = 0x80;
    pub(crate) const UNAUTHORIZED: u8 = 0x81;
    pub(crate) const BAD_OPTION: u8 = 0x82;
    pub(crate) const FORBIDDEN: u8 = 0x83;
    pub(crate) const NOT_FOUND: u8 = 0x84;
    pub(crate) const NOT_ALLOWED: u8 = 0x85;
    pub(crate) const NOT_ACCEPTABLE: u8 = 0x86;
    pub(crate) const INCOMPLETE: u8 = 0x88;
    pub(crate) const PRECONDITION_FAILED: u8 = 0x8c;
    pub(crate) const TOO_LARGE: u8 = 0x8d;
    pub(crate) const UNSUPPORTED_FORMAT: u8 = 0x8f;
    pub(crate) const INTERNAL: u8 = 0xa0;
    pub(crate) const NOT_IMPLEMENTED: u8 = 0xa1;
    pub(crate) const UNAVAILABLE: u8 = 0xa3;
    pub(crate) const GATEWAY_TIMEOUT: u8 = 0xa4;
    pub(crate) const NO_PROXY: u8 = 0xa5;

    pub(crate) fn is_request(code: u8) -> bool {
        (1..32).contains(&code)
    }

    pub(crate) fn is_success(code: u8) -> bool {
        code >> 5 == 2
    }

    /// `4.04`.
    pub(crate) fn text(code: u8) -> String {
        format!("{}.{:02}", code >> 5, code & 0x1f)
    }
}

/// Option numbers.
pub(crate) mod option {
    pub(crate) const ETAG: u16 = 4;
    pub(crate) const OBSERVE: u16 = 6;
    pub(crate) const LOCATION_PATH: u16 = 8;
    pub(crate) const URI_PATH: u16 = 11;
    pub(crate) const CONTENT_FORMAT: u16 = 12;
    pub(crate) const MAX_AGE: u16 = 14;
    pub(crate) const URI_QUERY: u16 = 15;
    pub(crate) const ACCEPT: u16 = 17;
    pub(crate) const BLOCK2: u16 = 23;
    pub(crate) const BLOCK1: u16 = 27;
    pub(crate) const SIZE1: u16 = 60;
    pub(crate) const PROXY_URI: u16 = 35;
    pub(crate) const PROXY_SCHEME: u16 = 39;
}

/// Critical options that are understood, or may be passed over without harm by whoever is no proxy.
const UNDERSTOOD: &[u16] = &[3, 7, option::URI_PATH, option::URI_QUERY, option::ACCEPT, option::BLOCK2, option::BLOCK1];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Confirmable,
    NonConfirmable,
    Acknowledgement,
    Reset,
}

/// A block of a body (RFC 7959 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    pub(crate) number: u32,
    pub(crate) is_more: bool,
    /// Size as an exponent: 16 bytes times two to this, 0 to 6.
    pub(crate) exponent: u8,
}

impl Block {
    /// 1024 bytes.
    pub(crate) const EXPONENT_MAX: u8 = 6;

    pub(crate) fn size(self) -> usize {
        16 << self.exponent
    }

    pub(crate) fn offset(self) -> usize {
        usize::try_from(self.number).unwrap_or(usize::MAX).saturating_mul(self.size())
    }

    /// An error is the code that says so: of what is too long RFC 7252 §5.4.3, of the exponent that is reserved RFC 7959 §2.2.
    fn read(value: &[u8]) -> Result<Self, u8> {
        let word = uint(value).filter(|_| value.len() <= 3).ok_or(code::BAD_OPTION)?;
        let exponent = (word & 7) as u8;
        match exponent <= Self::EXPONENT_MAX {
            true => Ok(Self { number: word >> 4, is_more: word & 8 != 0, exponent }),
            false => Err(code::BAD_REQUEST),
        }
    }

    fn word(self) -> u32 {
        self.number << 4 | u32::from(self.is_more) << 3 | u32::from(self.exponent)
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) code: u8,
    pub(crate) id: u16,
    pub(crate) token: Vec<u8>,
    /// By number; those of one number in their order.
    pub(crate) options: Vec<(u16, Vec<u8>)>,
    pub(crate) payload: Vec<u8>,
}

/// Why bytes are no message: whether whoever sent them is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoMessage {
    /// Passed over in silence (RFC 7252 §3).
    Silent,
    /// A confirmable message with this id that cannot be processed is rejected (RFC 7252 §4.2).
    Reset(u16),
}

impl Message {
    pub(crate) fn new(kind: Kind, code: u8, id: u16, token: Vec<u8>) -> Self {
        Self { kind, code, id, token, options: Vec::new(), payload: Vec::new() }
    }

    /// An acknowledgement or a reset, with nothing in it.
    pub(crate) fn empty(kind: Kind, id: u16) -> Self {
        Self::new(kind, code::EMPTY, id, Vec::new())
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, NoMessage> {
        let [first, code, high, low, ..] = bytes else { return Err(NoMessage::Silent) };
        let is_confirmable = first & 0x30 == 0;
        let id = u16::from_be_bytes([*high, *low]);
        let refusal = if is_confirmable { NoMessage::Reset(id) } else { NoMessage::Silent };
        if first >> 6 != 1 {
            return Err(NoMessage::Silent);
        }
        let is_sane = (*code == code::EMPTY && bytes.len() == 4) || matches!(code >> 5, 0 | 2..=5) && *code != 0;
        if !is_sane {
            return Err(refusal);
        }
        let packet = Packet::from_bytes(bytes).map_err(|_| refusal)?;
        if packet.payload.is_empty() && ends_with_a_marker(bytes) {
            return Err(refusal);
        }
        let options = packet.options().flat_map(|(number, values)| values.iter().map(|value| (*number, value.clone())));
        Ok(Self {
            kind: match packet.header.get_type() {
                MessageType::Confirmable => Kind::Confirmable,
                MessageType::NonConfirmable => Kind::NonConfirmable,
                MessageType::Acknowledgement => Kind::Acknowledgement,
                MessageType::Reset => Kind::Reset,
            },
            code: *code,
            id,
            token: packet.get_token().to_vec(),
            options: options.collect(),
            payload: packet.payload,
        })
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut packet = Packet::new();
        packet.header.set_version(1);
        packet.header.set_type(match self.kind {
            Kind::Confirmable => MessageType::Confirmable,
            Kind::NonConfirmable => MessageType::NonConfirmable,
            Kind::Acknowledgement => MessageType::Acknowledgement,
            Kind::Reset => MessageType::Reset,
        });
        packet.header.code = MessageClass::from(self.code);
        packet.header.message_id = self.id;
        packet.set_token(self.token.iter().take(8).copied().collect());
        for (number, value) in &self.options {
            packet.add_option(CoapOption::from(*number), value.clone());
        }
        packet.payload.clone_from(&self.payload);
        // Without a limit of size there is nothing that could fail.
        packet.to_bytes_unlimited().unwrap_or_default()
    }

    /// The first option of a number.
    pub(crate) fn option(&self, number: u16) -> Option<&[u8]> {
        self.options.iter().find(|(own, _)| *own == number).map(|(_, value)| value.as_slice())
    }

    /// A number in as few bytes as it needs.
    pub(crate) fn number(&self, number: u16) -> Option<u32> {
        uint(self.option(number)?)
    }

    /// Segments of a path, or parts of a query. What is not UTF-8 matches nothing.
    pub(crate) fn texts(&self, number: u16) -> Vec<String> {
        let own = self.options.iter().filter(|(own, _)| *own == number);
        own.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    pub(crate) fn format(&self) -> Option<u16> {
        u16::try_from(self.number(option::CONTENT_FORMAT)?).ok()
    }

    /// A block; an error is the code that says what is wrong with it.
    pub(crate) fn block(&self, number: u16) -> Option<Result<Block, u8>> {
        self.option(number).map(Block::read)
    }

    /// Adds an option.
    pub(crate) fn push(&mut self, number: u16, value: impl Into<Vec<u8>>) {
        self.options.push((number, value.into()));
    }

    pub(crate) fn push_number(&mut self, number: u16, value: u32) {
        self.push(number, write_uint(value));
    }

    pub(crate) fn push_texts(&mut self, number: u16, texts: &[String]) {
        texts.iter().for_each(|text| self.push(number, text.as_bytes()));
    }

    pub(crate) fn push_block(&mut self, number: u16, block: Block) {
        self.push_number(number, block.word());
    }

    /// The number of a critical option that is not understood (RFC 7252 §5.4.1).
    pub(crate) fn unknown_critical(&self) -> Option<u16> {
        self.options.iter().map(|(number, _)| *number).find(|number| number % 2 == 1 && !UNDERSTOOD.contains(number))
    }
}

/// Whether the marker stands before a payload that is none (RFC 7252 §3): whatever else ends with this byte is cut short without it.
fn ends_with_a_marker(bytes: &[u8]) -> bool {
    matches!(bytes, [rest @ .., 0xff] if Packet::from_bytes(rest).is_ok())
}

fn uint(value: &[u8]) -> Option<u32> {
    (value.len() <= 4).then(|| value.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

fn write_uint(value: u32) -> Vec<u8> {
    value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()
}
