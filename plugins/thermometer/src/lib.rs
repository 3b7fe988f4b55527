//! A thermometer with a thermostat, behind a stream of text lines.
use tombolo_sdk::framing::Lines;
use tombolo_sdk::*;

const STREAM: Connection = 1;

/// The mapper.
pub struct Thermometer {
    lines: Lines,
}

impl Mapper for Thermometer {
    fn describe() -> Description {
        Description::new("thermometer", env!("CARGO_PKG_VERSION"), "lines of text", "A thermometer")
    }
    fn start(_input: StartInput) -> Result<(Self, Actions), String> {
        let mut out = Actions::new();
        out.open(STREAM, "device");
        Ok((Self { lines: Lines::new(100) }, out))
    }
    fn handle(&mut self, _now: Timestamp, event: Event, _out: &mut Actions) {
        if let Event::Data(data) = event {
            self.lines.push(&data.bytes)
        }
    }
    fn carry_over(&self) -> State {
        State { version: 1, bytes: self.lines.pending().to_vec() }
    }
    fn stop(&mut self, _now: Timestamp, _out: &mut Actions) {}
}
export!(Thermometer);
