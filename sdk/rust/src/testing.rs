//! Drives a mapper natively, without wasm: events in, actions out, time as a value that a test pushes.
//! Owns what the host would own for it: the clock, the timers and the last checkpoint. Never judges an action.

use std::collections::BTreeMap;

use crate::{Action, Actions, Connection, Event, Granted, Mapper, Node, Report, StartInput, State, Timestamp, Why};

/// A mapper under test.
#[derive(Debug)]
pub struct Harness<M> {
    /// The mapper itself, to look into.
    pub mapper: M,
    /// What the last call asked for.
    pub actions: Vec<Action>,
    /// The host's clock, in microseconds.
    pub now: Timestamp,
    /// The newest checkpoint.
    pub checkpoint: Option<State>,
    settings: String,
    granted: Vec<Granted>,
    timers: BTreeMap<u64, Timestamp>,
}

/// A `start` input of a new bridge at a fixed time.
pub fn fresh(settings: &str) -> StartInput {
    StartInput {
        now: 1_700_000_000_000_000,
        why: Why::Fresh,
        settings: settings.into(),
        seed: 1,
        state: None,
        connections: Vec::new(),
        requests: Vec::new(),
        granted: Vec::new(),
    }
}

impl<M: Mapper> Harness<M> {
    /// A new bridge with these settings (JSON).
    pub fn fresh(settings: &str) -> Result<Self, String> {
        Self::start(fresh(settings))
    }

    /// Any start.
    pub fn start(input: StartInput) -> Result<Self, String> {
        let StartInput { now, settings, state, granted, .. } = input.clone();
        let (mapper, actions) = M::start(input)?;
        let (actions_before, timers) = (Vec::new(), BTreeMap::new());
        let mut harness = Self { mapper, actions: actions_before, now, checkpoint: state, settings, granted, timers };
        harness.keep(actions);
        Ok(harness)
    }

    /// One event.
    pub fn event(&mut self, event: Event) -> &[Action] {
        self.events([event])
    }

    /// Several events in one call.
    pub fn events(&mut self, events: impl IntoIterator<Item = Event>) -> &[Action] {
        let mut out = Actions::new();
        for event in events {
            self.mapper.handle(self.now, event, &mut out);
        }
        self.keep(out)
    }

    /// Bytes arrive.
    pub fn data(&mut self, connection: Connection, bytes: impl Into<Vec<u8>>) -> &[Action] {
        self.event(Event::Data(crate::events::Data { connection, bytes: bytes.into() }))
    }

    /// A connection ends without a reason.
    pub fn closed(&mut self, connection: Connection) -> &[Action] {
        self.event(Event::Closed(crate::events::Closed { connection, reason: None }))
    }

    /// Time passes; timers run out in their order, each in a call of its own. Gives the actions of all of them.
    pub fn advance(&mut self, by_ms: u32) -> &[Action] {
        let until = self.now + Timestamp::from(by_ms) * 1000;
        let mut all = Vec::new();
        while let Some((id, due)) = self.next_timer().filter(|(_, due)| *due <= until) {
            self.timers.remove(&id);
            self.now = due.max(self.now);
            all.extend_from_slice(self.event(Event::Timer(id)));
        }
        self.now = until;
        self.actions = all;
        &self.actions
    }

    /// The timer that runs out next, and when.
    pub fn next_timer(&self) -> Option<(u64, Timestamp)> {
        self.timers.iter().map(|(id, due)| (*id, *due)).min_by_key(|(id, due)| (*due, *id))
    }

    /// Replaces the mapper by one that carries on from its state in the same connections.
    pub fn swap(self, connections: &[Connection], requests: &[u64]) -> Result<Self, String> {
        let state = Some(self.mapper.carry_over());
        let (timers, checkpoint) = (self.timers.clone(), self.checkpoint.clone());
        let mut next = self.again(Why::Swapped, state, connections, requests, timers)?;
        next.checkpoint = next.checkpoint.take().or(checkpoint);
        Ok(next)
    }

    /// The instance is lost in a fault and another starts from the last checkpoint; `connections` are still open.
    pub fn recover(self, connections: &[Connection]) -> Result<Self, String> {
        let state = self.checkpoint.clone();
        self.again(Why::Recovered, state, connections, &[], BTreeMap::new())
    }

    /// The host was started again: only the checkpoint is left.
    pub fn restart(self) -> Result<Self, String> {
        let state = self.checkpoint.clone();
        self.again(Why::Restarted, state, &[], &[], BTreeMap::new())
    }

    /// The bridge is taken away.
    pub fn stop(&mut self) -> &[Action] {
        let mut out = Actions::new();
        self.mapper.stop(self.now, &mut out);
        self.keep(out)
    }

    /// The last call's bytes for one connection, joined.
    pub fn sent(&self, connection: Connection) -> Vec<u8> {
        let bytes = self.actions.iter().filter_map(|action| match action {
            Action::Send(send) if send.connection == connection => Some(send.bytes.as_slice()),
            _ => None,
        });
        bytes.flatten().copied().collect()
    }

    /// The last call's reports.
    pub fn reports(&self) -> Vec<&Report> {
        self.actions
            .iter()
            .filter_map(|action| if let Action::Report(report) = action { Some(report) } else { None })
            .collect()
    }

    /// The last call's declared nodes.
    pub fn nodes(&self) -> Vec<&Node> {
        self.actions
            .iter()
            .filter_map(|action| if let Action::PutNode(node) = action { Some(node) } else { None })
            .collect()
    }

    fn again(
        self,
        why: Why,
        state: Option<State>,
        connections: &[Connection],
        requests: &[u64],
        timers: BTreeMap<u64, Timestamp>,
    ) -> Result<Self, String> {
        let input = StartInput {
            now: self.now,
            why,
            state,
            connections: connections.into(),
            requests: requests.into(),
            granted: self.granted.clone(),
            ..fresh(&self.settings)
        };
        let (mapper, actions) = M::start(input)?;
        let mut next = Self { mapper, timers, ..self };
        next.keep(actions);
        Ok(next)
    }

    fn keep(&mut self, actions: Actions) -> &[Action] {
        self.actions = actions.into_vec();
        for action in &self.actions {
            match action {
                Action::SetTimer(timer) => {
                    self.timers.insert(timer.id, self.now + Timestamp::from(timer.after_ms) * 1000);
                }
                Action::CancelTimer(id) => {
                    self.timers.remove(id);
                }
                Action::Checkpoint(state) => self.checkpoint = Some(state.clone()),
                _ => {}
            }
        }
        &self.actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Description;

    /// Sets timer 1 for each event that is no timer, keeps what it started from, tells timers by closing them.
    struct Echo(Why);

    impl Mapper for Echo {
        fn describe() -> Description {
            Description::new("echo", "1", "none", "Echoes.")
        }

        fn start(input: StartInput) -> Result<(Self, Actions), String> {
            Ok((Self(input.why), Actions::new()))
        }

        fn handle(&mut self, _now: Timestamp, event: Event, out: &mut Actions) {
            match event {
                Event::Timer(id) => out.close(id),
                _ => {
                    out.set_timer(2, 20);
                    out.set_timer(1, 10);
                    out.checkpoint(1, *b"kept");
                }
            }
        }

        fn carry_over(&self) -> State {
            State { version: 1, bytes: Vec::new() }
        }

        fn stop(&mut self, _now: Timestamp, _out: &mut Actions) {}
    }

    #[test]
    fn timers_run_out_in_the_order_of_their_time() {
        let mut harness = Harness::<Echo>::fresh("{}").unwrap();
        harness.event(Event::Opened(1));
        assert!(harness.advance(9).is_empty());
        assert_eq!(harness.advance(100), [Action::Close(1), Action::Close(2)]);
        assert!(harness.advance(100).is_empty());
    }

    #[test]
    fn timers_go_on_over_a_swap_but_not_over_a_restart() {
        let mut harness = Harness::<Echo>::fresh("{}").unwrap();
        harness.event(Event::Opened(1));
        let harness = harness.swap(&[1], &[]).unwrap();
        assert_eq!((harness.mapper.0, harness.next_timer().map(|(id, _)| id)), (Why::Swapped, Some(1)));
        let harness = harness.restart().unwrap();
        assert_eq!((harness.mapper.0, harness.next_timer()), (Why::Restarted, None));
        assert_eq!(harness.checkpoint.unwrap().bytes, b"kept");
    }
}
