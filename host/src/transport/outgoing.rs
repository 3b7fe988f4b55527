//! Bytes or datagrams that wait to leave on one connection, and the wish to end it.
//!
//! Owns the bound on what waits. The app pushes and never waits; the connection's task takes everything that waits at once, so
//! that many small sends become one write. A stream that runs over ends; of datagrams those go that do not fit, as they may on any network.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tombolo_core::model::{Failure, ReasonCode, limits};

/// How a connection is to go on. It only ever moves down this list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Course {
    /// Until something happens.
    #[default]
    On,
    /// Until what waits has left.
    Close,
    /// Not at all.
    Fail(Failure),
}

/// A datagram to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet {
    /// The peer's handle; none: the one peer, or the group.
    pub(super) to: Option<String>,
    /// All of it.
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<u8>,
    packets: Vec<Packet>,
    packet_bytes: usize,
    leaving: usize,
    was_long: bool,
}

impl Queue {
    fn bytes(&self) -> usize {
        self.waiting.len() + self.packet_bytes + self.leaving
    }
}

/// The queue of one connection.
#[derive(Debug)]
pub(super) struct Outgoing {
    takes: Takes,
    queue: Mutex<Queue>,
    work: Notify,
    course: watch::Sender<Course>,
}

/// What a connection takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Bytes,
    Datagrams,
    /// It only listens.
    Nothing,
}

impl Outgoing {
    pub(super) fn new(takes: Takes) -> Self {
        Self { takes, queue: Mutex::default(), work: Notify::new(), course: watch::Sender::new(Course::On) }
    }

    /// Adds bytes, or a datagram for the one peer or the group. A stream over the bound ends. A connection that is to end takes none. False:
    /// a datagram did not fit.
    pub(super) fn push(&self, bytes: &[u8]) -> bool {
        match self.takes {
            Takes::Bytes => self.push_bytes(bytes),
            Takes::Datagrams => return self.push_packet(Packet { to: None, bytes: bytes.to_vec() }),
            Takes::Nothing => tracing::debug!("something was sent to a listener"),
        }
        true
    }

    fn push_bytes(&self, bytes: &[u8]) {
        if !self.is_on() {
            return;
        }
        if !self.try_push(bytes) {
            let what = format!("more than {} bytes wait to be sent", limits::CONNECTION_QUEUE_BYTES_MAX);
            self.fail(Failure::new(ReasonCode::QuotaExceeded, what));
        }
        self.work.notify_one();
    }

    /// Adds a datagram; false if there is no room for it.
    pub(super) fn push_packet(&self, packet: Packet) -> bool {
        if self.takes != Takes::Datagrams || !self.is_on() {
            return true;
        }
        let mut queue = self.lock();
        let after = queue.bytes() + packet.bytes.len();
        if after > limits::CONNECTION_QUEUE_BYTES_MAX || queue.packets.len() >= limits::DATAGRAMS_WAITING_MAX {
            return false;
        }
        queue.packet_bytes += packet.bytes.len();
        queue.packets.push(packet);
        drop(queue);
        self.work.notify_one();
        true
    }

    fn try_push(&self, bytes: &[u8]) -> bool {
        let mut queue = self.lock();
        let after = queue.bytes() + bytes.len();
        if after > limits::CONNECTION_QUEUE_BYTES_MAX {
            return false;
        }
        queue.was_long |= after >= limits::CONNECTION_QUEUE_BYTES_LONG;
        queue.waiting.extend_from_slice(bytes);
        true
    }

    /// Ends the connection once what waits has left.
    pub(super) fn close(&self) {
        self.course.send_if_modified(|course| {
            let is_on = *course == Course::On;
            if is_on {
                *course = Course::Close;
            }
            is_on
        });
        self.work.notify_one();
    }

    /// Ends the connection now.
    pub(super) fn fail(&self, failure: Failure) {
        self.course.send_if_modified(|course| {
            let is_failed = matches!(course, Course::Fail(_));
            if !is_failed {
                *course = Course::Fail(failure);
            }
            !is_failed
        });
    }

    /// Takes everything that waits, as soon as there is something; none if the connection is to end and all has left. Only the
    /// connection's own task calls it.
    pub(super) async fn take(&self) -> Option<Vec<u8>> {
        loop {
            // The course is read first: whatever was pushed before it changed is found below.
            let is_on = *self.course.borrow() == Course::On;
            let taken = self.take_waiting();
            if !taken.is_empty() {
                return Some(taken);
            }
            if !is_on {
                return None;
            }
            self.work.notified().await;
        }
    }

    /// Takes every datagram that waits, as [`Outgoing::take`] does with bytes.
    pub(super) async fn take_packets(&self) -> Option<Vec<Packet>> {
        loop {
            let is_on = *self.course.borrow() == Course::On;
            let taken = {
                let mut queue = self.lock();
                queue.packet_bytes = 0;
                std::mem::take(&mut queue.packets)
            };
            if !taken.is_empty() {
                return Some(taken);
            }
            if !is_on {
                return None;
            }
            self.work.notified().await;
        }
    }

    fn take_waiting(&self) -> Vec<u8> {
        let mut queue = self.lock();
        let taken = std::mem::take(&mut queue.waiting);
        queue.leaving = taken.len();
        taken
    }

    /// What was taken has left; true if the queue had been long and is empty now.
    pub(super) fn left(&self) -> bool {
        let mut queue = self.lock();
        queue.leaving = 0;
        queue.waiting.is_empty() && std::mem::take(&mut queue.was_long)
    }

    /// Waits until the connection is to end, in order or not.
    pub(super) async fn turned(&self) -> Course {
        self.course_that(|course| *course != Course::On).await
    }

    /// Waits until the connection is to end at once.
    pub(super) async fn failed(&self) -> Course {
        self.course_that(|course| matches!(course, Course::Fail(_))).await
    }

    async fn course_that(&self, fits: impl FnMut(&Course) -> bool) -> Course {
        let mut receiver = self.course.subscribe();
        // The sender lives in `self`, so the channel cannot end before this does.
        receiver.wait_for(fits).await.map_or(Course::Close, |course| course.clone())
    }

    /// Whether nothing has ended it.
    pub(super) fn is_on(&self) -> bool {
        *self.course.borrow() == Course::On
    }

    /// Bytes that wait.
    pub(super) fn queued_bytes(&self) -> usize {
        self.lock().bytes()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Every change leaves the queue whole, so a panic elsewhere does not matter.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
