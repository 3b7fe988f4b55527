//! Publications into rooms: said to all, and confirmed when the room gives them back.

use jid::{BareJid, Jid};

use super::channel::{Channel, Parcel};
use super::{Hub, NotNow};
use crate::model::Timestamp;
use crate::wire::muc;

impl Hub {
    pub(super) fn send_to_room(&mut self, room: &BareJid, number: u64, parcel: Parcel) -> Result<Option<Jid>, NotNow> {
        if !self.is_in_room(room) {
            return Err(NotNow);
        }
        let to = Jid::from(room.clone());
        self.send_as_us(muc::say(&to, &format!("p{number:x}"), parcel.payload));
        Ok(Some(to))
    }

    /// We are inside.
    pub(in crate::hub) fn room_is_open(&mut self, name: &BareJid, now: Timestamp) {
        self.renew_channels(|channel| *channel == Channel::Room(name.clone()), now);
    }

    /// We are not inside any more.
    pub(in crate::hub) fn room_is_closed(&mut self, name: &BareJid) {
        for lane in self.publisher.lanes_where(|channel| *channel == Channel::Room(name.clone())) {
            if let Some(lane) = self.publisher.lanes.get_mut(&lane) {
                lane.ground();
            }
            self.arm(lane);
        }
    }

    /// The room gave back what we said. COMPAT: some give it another id; then it is the oldest, since rooms keep the order.
    pub(in crate::hub) fn said_by_us(&mut self, name: &BareJid, said: &muc::Said, now: Timestamp) {
        let lane = self.publisher.channels.get(&Channel::Room(name.clone()));
        let Some(lane) = lane.and_then(|lane| self.publisher.lanes.get(lane)) else { return };
        let named = said.id.strip_prefix('p').and_then(|id| u64::from_str_radix(id, 16).ok());
        let number = named.filter(|number| lane.flight(*number).is_some()).or_else(|| lane.oldest_flight());
        if let Some(number) = number {
            self.confirmed(number, now);
        }
    }
}
