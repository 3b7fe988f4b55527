//! HTTP requests of ours: those under way and those that wait. Owns how many there are at once, in all and to one host, and what each is for.
//!
//! Requests survive a swap of the plugin: their answers come to the next version, which finds here what they were for.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use tombolo_sdk::events::{Header, HttpCall};
use tombolo_sdk::{Actions, Request, Timestamp};

use crate::bridge::Purpose;
use crate::chance::Chance;
use crate::codec::url::Url;

/// The endpoint that covers all devices.
pub(crate) const ENDPOINT: &str = "devices";
/// Under way at once: a few slow devices must not keep the others waiting.
const RUNNING_MAX: usize = 16;
/// Under way at one host: small devices serve one or two at a time.
const RUNNING_PER_HOST_MAX: usize = 2;
/// Waiting.
const WAITING_MAX: usize = 2048;
/// A device on the same network that takes longer is not there.
const TIMEOUT_MS: u32 = 10_000;

/// What the parts may use in one call.
pub(crate) struct Way<'a> {
    pub(crate) now: Timestamp,
    pub(crate) calls: &'a mut Calls<Purpose>,
    pub(crate) chance: &'a mut Chance,
    pub(crate) out: &'a mut Actions,
}

/// A request for `P`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call<P> {
    pub(crate) purpose: P,
    pub(crate) method: String,
    pub(crate) url: Url,
    pub(crate) headers: Vec<Header>,
    /// Text, because everything that is sent is XML or nothing.
    pub(crate) body: String,
}

impl<P> Call<P> {
    /// A request without body.
    pub(crate) fn new(purpose: P, method: &str, url: &Url, headers: Vec<Header>) -> Self {
        Self { purpose, method: method.into(), url: url.clone(), headers, body: String::new() }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Running<P> {
    purpose: P,
    host: String,
}

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Calls<P> {
    last: Request,
    running: BTreeMap<Request, Running<P>>,
    waiting: VecDeque<Call<P>>,
}

impl<P> Default for Calls<P> {
    fn default() -> Self {
        Self { last: 0, running: BTreeMap::new(), waiting: VecDeque::new() }
    }
}

impl<P> Calls<P> {
    /// Adds a request behind those that wait; gives it back if there are too many.
    pub(crate) fn push(&mut self, call: Call<P>) -> Result<(), Box<Call<P>>> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(Box::new(call));
        }
        self.waiting.push_back(call);
        Ok(())
    }

    /// The same before those that wait: somebody is waiting for it.
    pub(crate) fn push_urgent(&mut self, call: Call<P>) -> Result<(), Box<Call<P>>> {
        self.push(call)?;
        self.waiting.rotate_right(1);
        Ok(())
    }

    /// What a request was for that came to its end. None: of nobody.
    pub(crate) fn done(&mut self, id: Request) -> Option<P> {
        self.running.remove(&id).map(|running| running.purpose)
    }

    /// The instance before failed: none of its requests will be answered.
    pub(crate) fn forget_running(&mut self) {
        self.running.clear();
        self.waiting.clear();
    }

    /// Starts what may start.
    pub(crate) fn flush(&mut self, out: &mut Actions) {
        let mut at = 0;
        while self.running.len() < RUNNING_MAX
            && let Some(call) = self.waiting.get(at)
        {
            let host = call.url.authority().to_owned();
            let is_busy = self.running.values().filter(|running| running.host == host).count() >= RUNNING_PER_HOST_MAX;
            match if is_busy { None } else { self.waiting.remove(at) } {
                Some(call) => self.start(call, host, out),
                None => at += 1,
            }
        }
    }

    fn start(&mut self, call: Call<P>, host: String, out: &mut Actions) {
        self.last += 1;
        let Call { purpose, method, url, headers, body } = call;
        self.running.insert(self.last, Running { purpose, host });
        let call = HttpCall { method, target: url.to_string(), headers, body: body.into_bytes() };
        out.http(self.last, ENDPOINT, call, TIMEOUT_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_sdk::Action;

    fn call(number: u32, host: &str) -> Call<u32> {
        Call::new(number, "GET", &Url::parse(&format!("http://{host}/")).unwrap(), Vec::new())
    }

    fn started(calls: &mut Calls<u32>) -> Vec<Request> {
        let mut out = Actions::new();
        calls.flush(&mut out);
        out.into_iter().map(|action| if let Action::Http(http) = action { http.id } else { panic!() }).collect()
    }

    #[test]
    fn one_host_does_not_keep_others_waiting() {
        let mut calls = Calls::default();
        for (number, host) in [(1, "a"), (2, "a"), (3, "a"), (4, "b")] {
            calls.push(call(number, host)).unwrap();
        }
        let first = started(&mut calls);
        assert_eq!(first.iter().map(|id| calls.running[id].purpose).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!((calls.done(first[0]), calls.done(first[0])), (Some(1), None));
        assert_eq!(started(&mut calls).len(), 1);
    }

    #[test]
    fn what_is_urgent_goes_first_and_the_queue_has_an_end() {
        let mut calls = Calls::default();
        calls.push(call(1, "a")).unwrap();
        calls.push_urgent(call(2, "a")).unwrap();
        assert_eq!(calls.waiting.iter().map(|call| call.purpose).collect::<Vec<_>>(), [2, 1]);
        for number in 0..WAITING_MAX - 2 {
            calls.push(call(number as u32, &format!("h{number}"))).unwrap();
        }
        assert_eq!(calls.push(call(9, "z")).unwrap_err().purpose, 9);
        assert_eq!(started(&mut calls).len(), RUNNING_MAX);
    }
}
