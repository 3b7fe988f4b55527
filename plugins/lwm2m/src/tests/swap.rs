//! A newer version, a crash and a restart: registrations and observations outlive all three, connections the first two.

use tombolo_sdk::{Action, Event, NodeState};

use super::device::Bench;
use super::registration::read;
use crate::codec::Datum;
use crate::codec::message::{Kind, code, option};

impl Bench {
    fn again(
        mut self,
        swap: impl FnOnce(tombolo_sdk::testing::Harness<crate::Lwm2m>) -> tombolo_sdk::testing::Harness<crate::Lwm2m>,
    ) -> Self {
        self.harness = swap(self.harness);
        self.forget();
        self.actions = std::mem::take(&mut self.harness.actions);
        self
    }
}

fn observing() -> (Bench, String) {
    let mut bench = Bench::new("{}");
    let answer = bench.register("ep=a&lt=3600");
    bench.advance(200);
    bench.event(Event::Wanted(bench.number("a/3303/0")));
    (bench, answer.texts(option::LOCATION_PATH).join("/"))
}

fn number(text: &str) -> Datum {
    Datum::Number(text.parse().unwrap())
}

#[test]
fn a_swap_keeps_registration_observation_and_what_is_under_way() {
    let (mut bench, location) = observing();
    // A notification waits for its receipt, and a read for its answer.
    let id = bench.notify("/3303/0", "/3303/0/5700", number("20.25"), Kind::Confirmable);
    let receipt = bench.reports().pop().unwrap().receipt.unwrap();
    bench.device.is_mute = true;
    bench.event(Event::Read(read(5, bench.number("a/3306/0"))));
    let mut bench = bench.again(|harness| harness.swap(&[1], &[5]).unwrap());
    assert!(
        !bench.actions.iter().any(|action| matches!(action, Action::Open(_) | Action::Close(_) | Action::Complete(_)))
    );
    bench.device.is_mute = false;
    bench.event(Event::Stored(receipt));
    assert!(bench.is_acknowledged(id));
    bench.advance(5_000);
    assert_eq!(bench.ended(5), Some(Ok(())));
    assert_eq!(bench.asked, ["GET /3306/0"], "nothing is learned or observed again");
    bench.notify("/3303/0", "/3303/0/5700", number("20.5"), Kind::NonConfirmable);
    assert_eq!(bench.values("a/3303/0")[1], "Sensor Value=20.5°C");
    assert_eq!(bench.exchange(code::POST, &location, "").code, code::CHANGED);
}

#[test]
fn a_restart_keeps_registration_and_observation() {
    let (mut bench, location) = observing();
    bench.advance(2_000);
    let before = bench.node("a/3303/0");
    let mut bench = bench.again(|harness| harness.restart().unwrap());
    assert!(bench.actions.iter().any(|action| matches!(action, Action::Open(_))));
    bench.event(Event::Opened(1));
    let after = bench.node("a/3303/0");
    assert_eq!((after.number, &after.fields, after.state), (before.number, &before.fields, NodeState::Online));
    bench.notify("/3303/0", "/3303/0/5700", number("20.5"), Kind::NonConfirmable);
    assert_eq!(bench.values("a/3303/0")[1], "Sensor Value=20.5°C");
    // Told that somebody wants it, the device is asked under the same token whether it still knows.
    let token = bench.device.observers.clone();
    bench.event(Event::Wanted(after.number));
    assert_eq!((bench.asked.as_slice(), &bench.device.observers), (&["GET /3303/0 observe 0".to_owned()][..], &token));
    assert_eq!(bench.exchange(code::POST, &location, "").code, code::CHANGED);
}

#[test]
fn a_crash_fails_no_device() {
    let (mut bench, location) = observing();
    bench.advance(2_000);
    let mut bench = bench.again(|harness| harness.recover(&[1]).unwrap());
    assert!(!bench.actions.iter().any(|action| matches!(action, Action::Open(_))));
    bench.notify("/3303/0", "/3303/0/5700", number("20.5"), Kind::NonConfirmable);
    assert_eq!(bench.values("a/3303/0")[1], "Sensor Value=20.5°C");
    assert_eq!(bench.exchange(code::POST, &location, "").code, code::CHANGED);
}

#[test]
fn requests_that_a_newer_version_does_not_know_are_ended() {
    let (bench, _) = observing();
    let bench = bench.again(|harness| harness.swap(&[1, 77], &[9]).unwrap());
    assert!(bench.ended(9).unwrap().is_err());
    assert!(bench.actions.contains(&Action::Close(77)));
}

#[test]
fn state_that_cannot_be_read_ends_a_swap_and_not_a_restart() {
    let (bench, _) = observing();
    let mut harness = bench.harness;
    harness.checkpoint = Some(tombolo_sdk::State { version: 1, bytes: b"no".to_vec() });
    let input = tombolo_sdk::StartInput {
        state: harness.checkpoint.clone(),
        why: tombolo_sdk::Why::Swapped,
        ..tombolo_sdk::testing::fresh("{}")
    };
    assert!(<crate::Lwm2m as tombolo_sdk::Mapper>::start(input).unwrap_err().contains("cannot be read"));
    assert!(harness.restart().is_ok());
}

#[test]
fn what_changed_just_before_the_end_is_kept() {
    let (mut bench, _) = observing();
    bench.event(Event::Unwanted(bench.number("a/3303/0")));
    bench.event(Event::Wanted(bench.number("a/3303/0")));
    let last = bench.harness.stop().to_vec();
    assert!(last.iter().any(|action| matches!(action, Action::Checkpoint(_))), "{last:?}");
}
