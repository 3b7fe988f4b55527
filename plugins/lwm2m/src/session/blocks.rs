//! Bodies of others that come in blocks (RFC 7959 §2.5). Owns what was put together so far, for few peers at a time and up to a bound.

use serde::{Deserialize, Serialize};
use tombolo_sdk::Timestamp;

use super::{Address, Answer, BODY_BYTES_MAX, Incoming, RECEIVED_US, Session, UPLOADS_MAX};
use crate::codec::message::{Block, Kind, Message, code, option};

/// A body that is not whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Upload {
    peer: Address,
    code: u8,
    path: Vec<String>,
    query: Vec<String>,
    body: Vec<u8>,
    at: Timestamp,
}

impl Upload {
    fn is_of(&self, incoming: &Incoming) -> bool {
        self.peer == incoming.peer
            && self.code == incoming.code
            && self.path == incoming.path
            && self.query == incoming.query
    }
}

impl Session {
    /// Adds a block; true: `incoming` has the whole body now.
    pub(super) fn add_block(
        &mut self,
        now: Timestamp,
        incoming: &mut Incoming,
        block: Block,
        payload: &[u8],
    ) -> Result<bool, Answer> {
        self.state.uploads.retain(|upload| upload.at + RECEIVED_US > now);
        let known = self.state.uploads.iter().position(|upload| upload.is_of(incoming));
        let mut body = known.map(|at| self.state.uploads.swap_remove(at).body).unwrap_or_default();
        // A first block begins anew; any other has to follow what is there.
        if block.number == 0 {
            body.clear();
        }
        incoming.block1 = Some(block);
        if block.offset() != body.len() || (block.is_more && payload.len() != block.size()) {
            return Err(Answer::refused(code::INCOMPLETE, "blocks that do not follow each other"));
        }
        if body.len() + payload.len() > BODY_BYTES_MAX {
            return Err(Answer::refused(code::TOO_LARGE, &format!("more than {BODY_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(payload);
        if !block.is_more {
            incoming.body = body;
            return Ok(true);
        }
        if self.state.uploads.len() >= UPLOADS_MAX {
            self.state.uploads.remove(0);
        }
        self.state.uploads.push(Upload {
            peer: incoming.peer.clone(),
            code: incoming.code,
            path: incoming.path.clone(),
            query: incoming.query.clone(),
            body,
            at: now,
        });
        self.go_on_sending(incoming);
        Ok(false)
    }

    /// 2.31 Continue.
    fn go_on_sending(&mut self, incoming: &Incoming) {
        let kind = if incoming.is_confirmable { Kind::Acknowledgement } else { Kind::NonConfirmable };
        let id = if incoming.is_confirmable { incoming.id } else { self.next_id() };
        let mut message = Message::new(kind, code::CONTINUE, id, incoming.token.clone());
        incoming.block1.into_iter().for_each(|block| message.push_block(option::BLOCK1, block));
        let bytes = message.write();
        self.remember_reply(&incoming.peer, incoming.id, &bytes);
        self.datagrams.push((incoming.peer.clone(), bytes));
    }
}
