//! The demo mapper: a thermometer with a thermostat, which says and takes lines of text over TCP.
//!
//! Owns the whole way from lines to one node and back; never more than 120 lines, because people read it first.

use tombolo_sdk::framing::Lines;
use tombolo_sdk::{
    Actions, Connection, Constraint, Decimal, Description, EndpointNeed, Event, Failure, Field, Level, Mapper, Node,
    NodeNumber, NodeState, ReasonCode, Sample, StartInput, State, Timestamp, Why, Write,
};

const DEVICE: Connection = 1;
const THERMOMETER: NodeNumber = 1;
const FIELDS: [&str; 2] = ["temperature", "setpoint"];
const RETRY_TIMER: u64 = 1;
const RETRY_MS: u32 = 1_000;
const LINE_BYTES_MAX: usize = 200;
const STATE_VERSION: u32 = 1;

/// One thermometer. Its only state is whether the device is there and the line that has half arrived.
pub struct Thermometer {
    online: bool,
    lines: Lines,
}

impl Mapper for Thermometer {
    fn describe() -> Description {
        Description {
            endpoints: vec![EndpointNeed::required("device", &["tcp", "tls"], "the thermometer")],
            reads_state: vec![STATE_VERSION],
            ..Description::new("thermometer", env!("CARGO_PKG_VERSION"), "lines of text", "A thermostat")
        }
    }

    fn start(input: StartInput) -> Result<(Self, Actions), String> {
        let mut thermometer = Self { online: input.connections.contains(&DEVICE), lines: Lines::new(LINE_BYTES_MAX) };
        let mut out = Actions::new();
        out.put_node(thermometer.node());
        thermometer.lines.push(&input.state.map(|state| state.bytes).unwrap_or_default());
        // After a swap without a connection the retry timer of the version before is still running.
        if !thermometer.online && input.why != Why::Swapped {
            out.open(DEVICE, "device");
        }
        Ok((thermometer, out))
    }

    fn handle(&mut self, now: Timestamp, event: Event, out: &mut Actions) {
        match event {
            Event::Opened(DEVICE) => self.set_online(true, out),
            Event::Data(data) => {
                self.lines.push(&data.bytes);
                self.read_lines(now, out);
            }
            Event::Closed(_) => {
                self.set_online(false, out);
                out.set_timer(RETRY_TIMER, RETRY_MS);
            }
            Event::Timer(RETRY_TIMER) if !self.online => out.open(DEVICE, "device"),
            Event::Write(write) => self.write(&write, out),
            _ => {}
        }
    }

    fn carry_over(&self) -> State {
        State { version: STATE_VERSION, bytes: self.lines.pending().into() }
    }

    fn stop(&mut self, _now: Timestamp, out: &mut Actions) {
        out.close(DEVICE);
    }
}

impl Thermometer {
    fn node(&self) -> Node {
        let [temperature, setpoint] = FIELDS.map(|name| Field::quantity(name, "°C"));
        let fields = vec![temperature, setpoint.settable(Constraint::range(5.0, 30.0))];
        let state = if self.online { NodeState::Online } else { NodeState::Unknown };
        Node { state, label: "Thermometer".into(), ..Node::new(THERMOMETER, "thermometer", "demo.thermometer", fields) }
    }

    fn set_online(&mut self, online: bool, out: &mut Actions) {
        *self = Self { online, lines: Lines::new(LINE_BYTES_MAX) };
        out.node_state(THERMOMETER, if online { NodeState::Online } else { NodeState::Offline });
    }

    fn read_lines(&mut self, now: Timestamp, out: &mut Actions) {
        loop {
            match self.lines.next_line() {
                Ok(Some(line)) => match sample(line) {
                    Some(sample) => out.report(THERMOMETER, now, vec![sample]),
                    None => out.log(Level::Debug, "ignored a line that is no known name and number"),
                },
                Ok(None) => return,
                Err(_) => return out.close(DEVICE),
            }
        }
    }

    fn write(&self, write: &Write, out: &mut Actions) {
        if !self.online {
            return out.fail(write.id, Failure::new(ReasonCode::Unreachable, "the thermometer is not connected"));
        }
        for value in write.settings.iter().filter_map(|setting| setting.value.as_decimal()) {
            out.send(DEVICE, format!("setpoint {value}\n"));
        }
        out.complete(write.id);
    }
}

/// Reads `temperature 23.40`.
fn sample(line: &[u8]) -> Option<Sample> {
    let (name, number) = std::str::from_utf8(line).ok()?.trim().split_once(' ')?;
    let field = (0..).zip(FIELDS).find_map(|(field, known)| (known == name).then_some(field))?;
    Some(Sample::new(field, number.trim().parse::<Decimal>().ok()?))
}

tombolo_sdk::export!(Thermometer);

#[cfg(test)]
mod tests;
