//! What a bridge does around its mapper: batches, timers, faults, quarantine, swaps, the end.

use std::time::Duration;

use crate::support::{Heard, Script, settings};
use tokio::time::Instant;
use tombolo_core::model::bridge::{Peer, Read, State, Why};
use tombolo_core::model::{Action, Event, Failure, FieldKinds, ReasonCode, limits};
use tombolo_runtime::{BridgeSettings, Fault, Output};

fn read(id: u64) -> Event {
    Event::Read(Read { id, nodes: vec![1], fields: Vec::new(), kinds: FieldKinds::all(), since: None, until: None })
}

fn trap() -> Fault {
    Fault::Trap("unreachable".into())
}

fn open(connection: u64) -> Action {
    Action::Open { connection, endpoint: "device".into(), target: None }
}

fn failed(id: u64, reason: &str) -> Action {
    Action::Complete { id, outcome: Err(Failure::new(ReasonCode::Internal, reason)) }
}

fn state(version: u32, bytes: &[u8]) -> State {
    State { version, bytes: bytes.to_vec() }
}

/// Traps on `Timer(0)`; answers others with a mark.
fn fragile() -> Script {
    Script::new(|event| match event {
        Event::Timer(0) => Err(trap()),
        Event::Timer(id) => Ok(vec![Action::RemoveNode(*id as u32)]),
        _ => Ok(Vec::new()),
    })
}

#[tokio::test(start_paused = true)]
async fn hands_over_what_waits_in_batches_and_in_order() {
    let script = Script::new(|event| match event {
        Event::Stored(199) => Ok(vec![Action::RemoveNode(1)]),
        _ => Ok(Vec::new()),
    });
    let mut heard = Heard::started(&script).await;
    for receipt in 0..200 {
        heard.mailbox.try_send(Event::Stored(receipt)).unwrap();
    }
    assert_eq!(heard.actions().await, [Action::RemoveNode(1)]);
    let batches = script.batches();
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 64, 8]);
    assert_eq!(batches.concat(), (0..200).map(Event::Stored).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn timers_run_out_after_their_time_and_in_order() {
    let script = Script::new(|event| match event {
        Event::Timer(id) => Ok(vec![Action::RemoveNode(*id as u32)]),
        _ => Ok(Vec::new()),
    })
    .begin(|_| {
        let timer = |id, after_ms| Action::SetTimer { id, after_ms };
        Ok(vec![timer(1, 5000), timer(2, 1000), timer(3, 2000), timer(1, 500), Action::CancelTimer(3)])
    });
    let mut heard = Heard::started(&script).await;
    let began = Instant::now();
    assert_eq!(heard.actions().await, [Action::RemoveNode(1)]);
    assert_eq!(began.elapsed().as_millis(), 500);
    assert_eq!(heard.actions().await, [Action::RemoveNode(2)]);
    assert_eq!(began.elapsed().as_millis(), 1000);
    heard.bridge.stop();
    assert_eq!(heard.actions().await, [Action::RemoveNode(9)]);
}

#[tokio::test(start_paused = true)]
async fn timers_that_are_always_due_do_not_keep_events_away() {
    let script = Script::new(|event| match event {
        Event::Timer(id) => Ok(vec![Action::SetTimer { id: *id, after_ms: 0 }]),
        _ => Ok(vec![Action::RemoveNode(1)]),
    })
    .begin(|_| Ok((0..500).map(|id| Action::SetTimer { id, after_ms: 0 }).collect()));
    let mut heard = Heard::started(&script).await;
    heard.send(Event::Stored(1)).await;
    assert_eq!(heard.actions().await, [Action::RemoveNode(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_answers_who_waits_and_starts_again_from_the_checkpoint() {
    let script = Script::new(|event| match event {
        Event::Timer(0) => Err(trap()),
        Event::Timer(_) => Ok(vec![Action::Checkpoint(state(1, b"kept")), open(5), open(6)]),
        _ => Ok(Vec::new()),
    });
    let mut heard = Heard::started(&script).await;
    heard.send(Event::Timer(1)).await;
    assert_eq!(heard.actions().await, [Action::Checkpoint(state(1, b"kept")), open(5), open(6)]);
    heard.send(Event::Closed { connection: 6, reason: None }).await;
    let peer = Peer { address: "p".into(), identity: None };
    heard.send(Event::Accepted { listener: 5, connection: 1 << 52, peer }).await;
    heard.send(read(7)).await;
    heard.send(read(8)).await;
    heard.send(Event::Cancelled(8)).await;
    heard.send(Event::Timer(0)).await;
    assert_eq!(heard.actions().await, [failed(7, "the plugin failed: trap: unreachable")]);
    let reason = "trap: unreachable".to_string();
    assert_eq!(heard.next().await, Output::Failed { reason, restarts: 1, restart_in_ms: limits::RESTART_DELAY_MS });
    assert!(matches!(heard.next().await, Output::Started { why: Why::Recovered, .. }));
    let again = script.starts().pop().unwrap();
    assert_eq!((again.why, again.state), (Why::Recovered, Some(state(1, b"kept"))));
    assert_eq!((again.connections, again.requests), (vec![5, 1 << 52], vec![]));
    assert_ne!(again.seed, script.starts()[0].seed);
}

#[tokio::test(start_paused = true)]
async fn waits_longer_before_each_restart_and_then_quarantines() {
    let script = Script::new(|event| match event {
        Event::Stored(1) => Ok(vec![open(5)]),
        _ => Err(trap()),
    });
    let mut heard = Heard::started(&script).await;
    heard.send(Event::Stored(1)).await;
    assert_eq!(heard.actions().await, [open(5)]);
    for fault in 1..limits::RESTARTS_MAX {
        heard.send(Event::Timer(0)).await;
        let began = Instant::now();
        let restart_in_ms = limits::RESTART_DELAY_MS << (fault - 1);
        let reason = "trap: unreachable".to_string();
        assert_eq!(heard.next().await, Output::Failed { reason, restarts: fault, restart_in_ms });
        assert!(matches!(heard.next().await, Output::Started { .. }));
        assert_eq!(began.elapsed(), Duration::from_millis(restart_in_ms));
    }
    heard.send(Event::Timer(0)).await;
    assert_eq!(heard.actions().await, [Action::Close(5)]);
    assert_eq!(heard.next().await, Output::Quarantined { reason: "5 faults, the last: trap: unreachable".into() });
}

#[tokio::test(start_paused = true)]
async fn in_quarantine_requests_are_refused_and_a_release_starts_again() {
    let script = Script::quiet().begin(|input| match input.why {
        Why::Fresh if input.seed == 1 => Err(Fault::Refused("settings: no such topic".into())),
        _ => Ok(Vec::new()),
    });
    let mut heard = Heard::new(settings(), script.program());
    let reason = "refused to start: settings: no such topic".to_string();
    assert_eq!(heard.next().await, Output::Quarantined { reason });
    heard.send(read(7)).await;
    assert_eq!(heard.actions().await, [failed(7, "the plugin is quarantined after repeated faults")]);
    heard.send(Event::Opened(4)).await;
    assert_eq!(heard.actions().await, [Action::Close(4)]);
    heard.bridge.release().unwrap();
    assert!(matches!(heard.next().await, Output::Started { why: Why::Fresh, .. }));
}

#[tokio::test(start_paused = true)]
async fn in_quarantine_a_new_program_starts_with_a_clean_slate() {
    let broken = Script::new(|_| Err(trap()));
    let mut heard = Heard::started(&broken).await;
    for _ in 1..limits::RESTARTS_MAX {
        heard.send(Event::Timer(0)).await;
        assert!(matches!(heard.next().await, Output::Failed { .. }));
        assert!(matches!(heard.next().await, Output::Started { .. }));
    }
    heard.send(Event::Timer(0)).await;
    assert!(matches!(heard.next().await, Output::Quarantined { .. }));
    let mended = Script { version: "1.0.1", ..fragile() };
    heard.bridge.swap(mended.program()).unwrap();
    let started = Output::Started { version: "1.0.1".into(), hash: "hash of 1.0.1".into(), why: Why::Recovered };
    assert_eq!(heard.next().await, started);
    heard.send(Event::Timer(0)).await;
    assert!(matches!(heard.next().await, Output::Failed { restarts: 1, .. }));
}

#[tokio::test(start_paused = true)]
async fn while_waiting_for_a_restart_events_wait_too() {
    let script = fragile();
    let mut heard = Heard::started(&script).await;
    heard.send(Event::Timer(0)).await;
    assert!(matches!(heard.next().await, Output::Failed { .. }));
    let accepted = (0..).take_while(|_| heard.mailbox.try_send(Event::Timer(1)).is_ok()).count();
    assert_eq!(accepted, limits::MAILBOX_EVENTS_MAX);
    assert!(matches!(heard.next().await, Output::Started { .. }));
    let mut handled = 0;
    while handled < accepted {
        handled += heard.actions().await.len();
    }
}

#[tokio::test(start_paused = true)]
async fn a_swap_hands_over_state_connections_requests_and_timers() {
    let old = Script::quiet().begin(|_| Ok(vec![open(3), Action::SetTimer { id: 4, after_ms: 1000 }]));
    let mut heard = Heard::started(&old).await;
    assert_eq!(heard.actions().await, [open(3)]);
    heard.send(read(7)).await;
    while old.batches().is_empty() {
        tokio::task::yield_now().await;
    }
    let new = Script { version: "2.0.0", ..fragile() };
    heard.bridge.swap(new.program()).unwrap();
    let Output::Swapped { version, hash, .. } = heard.next().await else { panic!("not swapped") };
    assert_eq!((&*version, &*hash), ("2.0.0", "hash of 2.0.0"));
    let start = new.starts().pop().unwrap();
    assert_eq!((start.why, start.state), (Why::Swapped, Some(state(1, b"carried"))));
    assert_eq!((start.connections, start.requests), (vec![3], vec![7]));
    assert_eq!(heard.actions().await, [Action::RemoveNode(4)]);
}

#[tokio::test(start_paused = true)]
async fn a_new_version_that_does_not_start_leaves_the_old_one_running() {
    let old = fragile();
    let mut heard = Heard::started(&old).await;
    let stranger = Script { reads_state: vec![2, 3], ..Script::quiet() };
    heard.bridge.swap(stranger.program()).unwrap();
    let Output::SwapFailed { reason } = heard.next().await else { panic!("swapped") };
    assert!(reason.contains("state of version 1") && reason.contains("reads [2, 3]"), "{reason}");
    let unwilling = Script::quiet().begin(|_| Err(trap()));
    heard.bridge.swap(unwilling.program()).unwrap();
    assert_eq!(heard.next().await, Output::SwapFailed { reason: "trap: unreachable".into() });
    let greedy = Script::quiet().begin(|_| {
        Ok((0..limits::ACTIONS_PER_CALL_MAX as u64 + 1).map(|id| Action::SetTimer { id, after_ms: 1 }).collect())
    });
    heard.bridge.swap(greedy.program()).unwrap();
    assert!(matches!(heard.next().await, Output::SwapFailed { reason } if reason.contains("contract violated")));
    heard.send(Event::Timer(1)).await;
    assert_eq!(heard.actions().await, [Action::RemoveNode(1)]);
}

#[tokio::test(start_paused = true)]
async fn an_old_version_that_cannot_carry_over_gives_way_all_the_same() {
    let old = Script { carries: Err(trap()), ..Script::quiet() };
    let mut heard = Heard::started(&old).await;
    let new = Script { version: "2.0.0", ..Script::quiet() };
    heard.bridge.swap(new.program()).unwrap();
    assert!(matches!(heard.next().await, Output::Failed { .. }));
    let started = Output::Started { version: "2.0.0".into(), hash: "hash of 2.0.0".into(), why: Why::Recovered };
    assert_eq!(heard.next().await, started);
}

#[tokio::test(start_paused = true)]
async fn starts_from_what_the_store_kept_if_the_program_reads_it() {
    for (version, expected) in [(1, Some(state(1, b"kept"))), (9, None)] {
        let script = Script::quiet();
        let settings = BridgeSettings { checkpoint: Some(state(version, b"kept")), ..settings() };
        let mut heard = Heard::new(settings, script.program());
        assert!(matches!(heard.next().await, Output::Started { why: Why::Restarted, .. }));
        assert_eq!(script.starts()[0].state, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_violation_of_the_contract_is_a_fault_of_the_instance() {
    let script = Script::new(|_| Ok(vec![open(1 << 52)]));
    let mut heard = Heard::started(&script).await;
    heard.send(Event::Timer(1)).await;
    let Output::Failed { reason, .. } = heard.next().await else { panic!("not failed") };
    assert_eq!(reason, "contract violated: open.connection is 4503599627370496, must be below 4503599627370496");
}

#[tokio::test(start_paused = true)]
async fn at_the_end_come_last_words_then_answers_then_nothing() {
    let script = Script::quiet().begin(|_| Ok(vec![open(3)]));
    let mut heard = Heard::started(&script).await;
    assert_eq!(heard.actions().await, [open(3)]);
    heard.send(read(7)).await;
    while script.batches().is_empty() {
        tokio::task::yield_now().await;
    }
    heard.bridge.stop();
    assert_eq!(heard.actions().await, [Action::RemoveNode(9)]);
    assert_eq!(heard.actions().await, [failed(7, "the bridge was taken away"), Action::Close(3)]);
    assert_eq!(heard.next().await, Output::Stopped);
    assert!(heard.is_over().await);
    assert!(heard.bridge.swap(script.program()).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_nobody_holds_any_more_stops() {
    let script = Script::quiet();
    let Heard { bridge, mailbox, .. } = Heard::started(&script).await;
    drop(bridge);
    mailbox.closed().await;
}
