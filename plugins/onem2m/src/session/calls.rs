//! Requests to the CSE that wait and those under way. Owns their bounds and their numbers; what an answer means is decided by their purpose.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use tombolo_sdk::{Actions, NodeNumber, Request};

use crate::codec::request::{Primitive, Speaker};

/// Requests that wait at most; what is left out comes again with the next look at everything.
const WAITING_MAX: usize = 20_000;
/// Name of the endpoint.
pub(crate) const CSE: &str = "cse";

/// Why a request was made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// Our AE is looked at, changed or created.
    Look,
    Change,
    Register,
    Discover {
        root: usize,
        offset: u64,
    },
    /// What a discovered address is.
    Inspect(String),
    /// Our subscription is verified, or created.
    Verify(NodeNumber),
    Subscribe(NodeNumber),
    Renew(NodeNumber),
    Latest(NodeNumber),
    CatchUp {
        node: NodeNumber,
        offset: u64,
    },
    ReadLatest {
        read: Request,
        node: NodeNumber,
    },
    ReadPast {
        read: Request,
        node: NodeNumber,
    },
    Write(Request),
    Edit {
        request: Request,
        node: NodeNumber,
    },
    /// The first job of a mirrored thing, and which of all it is.
    Job {
        thing: u32,
        serial: u32,
    },
    /// Commands of a mirrored thing that no notification told.
    Commands(u32),
}

impl Purpose {
    /// Somebody waits for it who can be told that it failed.
    pub(crate) const fn request(&self) -> Option<Request> {
        match self {
            Self::ReadLatest { read, .. } | Self::ReadPast { read, .. } => Some(*read),
            Self::Write(request) | Self::Edit { request, .. } => Some(*request),
            _ => None,
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Calls {
    waiting: VecDeque<(Purpose, Primitive)>,
    flights: BTreeMap<Request, Purpose>,
    /// Of what waits: thousands may, and each is looked for.
    #[serde(skip)]
    purposes: BTreeSet<Purpose>,
    next: Request,
}

impl Calls {
    /// After they were read from a state.
    pub(crate) fn resume(&mut self) {
        self.purposes = self.waiting.iter().map(|(purpose, _)| purpose.clone()).collect();
    }

    /// Queues a request; somebody's wish goes before what is only to be looked after. False: there is no room, or it waits already.
    pub(crate) fn push(&mut self, purpose: Purpose, primitive: Primitive) -> bool {
        if self.waiting.len() >= WAITING_MAX {
            return false;
        }
        self.purposes.insert(purpose.clone());
        if purpose.request().is_some() {
            let behind = self.waiting.iter().take_while(|(other, _)| other.request().is_some()).count();
            self.waiting.insert(behind, (purpose, primitive));
        } else {
            self.waiting.push_back((purpose, primitive));
        }
        true
    }

    /// Whether such a request waits or is under way.
    pub(crate) fn has(&self, purpose: &Purpose) -> bool {
        self.purposes.contains(purpose) || self.flights.values().any(|other| other == purpose)
    }

    /// Whether a request waits or is under way that fits.
    pub(crate) fn any(&self, fits: impl Fn(&Purpose) -> bool) -> bool {
        self.flights.values().any(&fits) || self.purposes.iter().any(fits)
    }

    /// Sends without waiting its turn: registration, without which nothing else is of use.
    pub(crate) fn send(
        &mut self,
        purpose: Purpose,
        primitive: &Primitive,
        speaker: &Speaker<'_>,
        timeout_ms: u32,
        out: &mut Actions,
    ) {
        self.next += 1;
        out.http(self.next, CSE, primitive.call(speaker, self.next), timeout_ms);
        self.flights.insert(self.next, purpose);
    }

    /// Sends what waits, as far as `parallel` allows.
    pub(crate) fn flush(&mut self, parallel: usize, speaker: &Speaker<'_>, timeout_ms: u32, out: &mut Actions) {
        while self.flights.len() < parallel
            && let Some((purpose, primitive)) = self.waiting.pop_front()
        {
            self.purposes.remove(&purpose);
            self.send(purpose, &primitive, speaker, timeout_ms, out);
        }
    }

    /// An answer came. None: to nothing that is known.
    pub(crate) fn end(&mut self, id: Request) -> Option<Purpose> {
        self.flights.remove(&id)
    }

    /// The CSE is gone: nothing waits for it any more. Gives what did.
    pub(crate) fn drop_waiting(&mut self) -> Vec<Purpose> {
        self.purposes.clear();
        self.waiting.drain(..).map(|(purpose, _)| purpose).collect()
    }

    /// Nobody waits for this any more.
    pub(crate) fn cancel(&mut self, request: Request) {
        self.waiting.retain(|(purpose, _)| purpose.request() != Some(request));
        self.purposes.retain(|purpose| purpose.request() != Some(request));
    }

    /// What the next run needs: numbers that the CSE has not seen in these seconds.
    pub(crate) fn checkpoint(&self) -> Self {
        Self { next: self.next + 1000, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEAKER: Speaker<'static> = Speaker { origin: "C", release: "3" };

    #[test]
    fn so_many_are_under_way_and_wishes_go_first() {
        let (mut calls, mut out) = (Calls::default(), Actions::new());
        calls.push(Purpose::Latest(1), Primitive::retrieve("a"));
        calls.push(Purpose::Latest(2), Primitive::retrieve("b"));
        calls.push(Purpose::Write(7), Primitive::retrieve("c"));
        calls.flush(2, &SPEAKER, 1000, &mut out);
        assert_eq!(out.as_slice().len(), 2);
        assert_eq!(
            (calls.end(1), calls.end(2), calls.end(3)),
            (Some(Purpose::Write(7)), Some(Purpose::Latest(1)), None)
        );
        calls.flush(2, &SPEAKER, 1000, &mut out);
        assert!(calls.has(&Purpose::Latest(2)));
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut calls = Calls::default();
        let taken = (0..30_000).filter(|n| calls.push(Purpose::Latest(*n), Primitive::retrieve("a"))).count();
        assert_eq!((taken, calls.drop_waiting().len()), (WAITING_MAX, WAITING_MAX));
    }

    #[test]
    fn what_nobody_waits_for_is_not_sent() {
        let (mut calls, mut out) = (Calls::default(), Actions::new());
        calls.push(Purpose::Write(7), Primitive::retrieve("c"));
        calls.cancel(7);
        calls.flush(4, &SPEAKER, 1000, &mut out);
        assert!(out.as_slice().is_empty());
    }
}
