//! Streams and configurations that are mangled by a seed: nothing panics.

use tombolo_sdk::Event;

use super::broker::Bench;

/// Splitmix64, so that a failure repeats.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        usize::try_from((mixed ^ (mixed >> 27)) >> 33).unwrap() % bound.max(1)
    }

    fn mangle(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), u8::try_from(self.below(256)).unwrap()),
                _ if bytes.is_empty() => {}
                2 => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                _ => bytes[at] ^= 1 << self.below(8),
            }
        }
    }
}

const SETTINGS: &str = r#"{"devices": [{"node": "{n}", "fields": [
    {"name": "{f}", "topic": "x/{n}/{f}", "template": "{{ value_json.v | round(1) }}"},
    {"name": "at", "topic": "y/{n}", "pointer": "/at", "type": "instant"}]}]}"#;

#[test]
fn mangled_streams_end_a_connection_at_worst() {
    let mut chance = Chance(1);
    for _ in 0..400 {
        let mut bench = Bench::online(SETTINGS);
        let mut bytes = [
            bench.publish_bytes("x/a/t", r#"{"v": 21.46}"#, 1, 1, false),
            bench.publish_bytes("y/a", r#"{"at": "2023-11-14T22:13:20.5+01:00"}"#, 2, 2, false),
            vec![0x90, 5, 0, 1, 0, 1, 0x80, 0x62, 2, 0, 2, 0x40, 2, 0, 9, 0xD0, 0, 0xE0, 0],
        ]
        .concat();
        chance.mangle(&mut bytes);
        let cut = chance.below(bytes.len());
        bench.harness.data(bench.connection, &bytes[..cut]);
        bench.harness.data(bench.connection, &bytes[cut..]);
        (0..4).for_each(|receipt| _ = bench.harness.event(Event::Stored(receipt)));
        bench.harness.advance(1_000);
    }
}

#[test]
fn mangled_payloads_and_configurations_are_survived() {
    let mut chance = Chance(2);
    let mut bench = Bench::online(SETTINGS);
    let config = r#"{"~":"z","stat_t":"~/s","cmd_t":"~/c","val_tpl":"{{ value_json['a'] | float | round(2) }}","name":"N","dev":{"ids":["i"],"name":"D"},"avty":[{"t":"~/a"}],"ops":["x"],"schema":"json"}"#;
    for round in 0..600 {
        let component = ["sensor", "switch", "light", "select", "number", "climate", "device"][round % 7];
        for (topic, text) in [
            (format!("homeassistant/{component}/o/config"), config),
            ("x/a/t".to_owned(), r#"{"v": -0.1e5, "w": ["\u00e4", {}]}"#),
            ("y/a".to_owned(), r#"{"at": "2023-11-14T22:13:20.5+01:00"}"#),
        ] {
            let mut payload = text.as_bytes().to_vec();
            chance.mangle(&mut payload);
            let bytes = bench.publish_bytes(&topic, &String::from_utf8_lossy(&payload), 0, 0, false);
            bench.harness.data(bench.connection, bytes);
        }
        assert!(!bench.is_closed());
    }
}
