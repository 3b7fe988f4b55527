//! What was handed over, what was sent, what the server has. Owns the order of sending over lost sessions; sends nothing itself.
//!
//! An item is *waiting* or *under way*. It is let go only when acknowledged. After a lost session everything under way
//! waits again, before what waited already, so the order of the first sending is the order of the second.

use std::collections::VecDeque;

/// Items in order, with what the stream gave for each that is under way (`Token`).
#[derive(Debug)]
pub struct Outbox<Entry, Token> {
    waiting: VecDeque<Entry>,
    under_way: VecDeque<(Entry, Token)>,
    window: usize,
}

impl<Entry, Token> Outbox<Entry, Token> {
    /// An empty outbox that lets `window` items be unacknowledged at once.
    pub fn new(window: usize) -> Self {
        Self { waiting: VecDeque::new(), under_way: VecDeque::new(), window }
    }

    /// Whether one more item may be handed over: the window has room and nothing older waits.
    pub fn has_room(&self) -> bool {
        self.waiting.is_empty() && self.under_way.len() < self.window
    }

    /// Hands over an item.
    pub fn push(&mut self, entry: Entry) {
        self.waiting.push_back(entry);
    }

    /// The item to send now, if the window has room. It stays here until [`Self::sent`] is called.
    pub fn next(&self) -> Option<&Entry> {
        self.waiting.front().filter(|_| self.under_way.len() < self.window)
    }

    /// The item that [`Self::next`] gave is under way.
    pub fn sent(&mut self, token: Token) {
        if let Some(entry) = self.waiting.pop_front() {
            self.under_way.push_back((entry, token));
        }
    }

    /// Lets go of the item that [`Self::next`] gave, which cannot be sent.
    pub fn discard(&mut self) -> Option<Entry> {
        self.waiting.pop_front()
    }

    /// The oldest item under way.
    pub fn oldest(&mut self) -> Option<&mut (Entry, Token)> {
        self.under_way.front_mut()
    }

    /// Lets go of the oldest items under way as long as `done` holds.
    pub fn acknowledged(&mut self, done: impl Fn(&Token) -> bool) -> Vec<(Entry, Token)> {
        let count = self.under_way.iter().take_while(|(_, token)| done(token)).count();
        self.under_way.drain(..count).collect()
    }

    /// The session is lost: everything under way waits again, in order.
    pub fn session_lost(&mut self) {
        for (entry, _) in self.under_way.drain(..).rev() {
            self.waiting.push_front(entry);
        }
    }

    /// Items under way.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Whether nothing waits and nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send_all(outbox: &mut Outbox<u32, bool>) -> Vec<u32> {
        let mut sent = Vec::new();
        while let Some(item) = outbox.next().copied() {
            sent.push(item);
            outbox.sent(false);
        }
        sent
    }

    #[test]
    fn keeps_the_order_over_a_lost_session_and_sends_nothing_acknowledged_again() {
        let mut outbox = Outbox::new(10);
        (1..=5).for_each(|item| outbox.push(item));
        assert_eq!(send_all(&mut outbox), [1, 2, 3, 4, 5]);
        outbox.oldest().unwrap().1 = true;
        assert_eq!(outbox.acknowledged(|done| *done), [(1, true)]);
        outbox.session_lost();
        outbox.push(6);
        assert_eq!(send_all(&mut outbox), [2, 3, 4, 5, 6]);
    }

    #[test]
    fn lets_no_more_be_unacknowledged_than_the_window_says() {
        let mut outbox = Outbox::new(2);
        (1..=3).for_each(|item| outbox.push(item));
        assert_eq!(send_all(&mut outbox), [1, 2]);
        assert!(!outbox.has_room());
        assert_eq!(outbox.acknowledged(|_| true).len(), 2);
        assert_eq!(send_all(&mut outbox), [3]);
    }

    #[test]
    fn acknowledges_from_the_oldest_only() {
        let mut outbox = Outbox::new(10);
        (1..=2).for_each(|item| outbox.push(item));
        outbox.sent(false);
        outbox.sent(true);
        assert!(outbox.acknowledged(|done| *done).is_empty());
        assert_eq!(outbox.under_way(), 2);
        assert!(!outbox.is_empty());
    }
}
