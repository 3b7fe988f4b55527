//! What a hostile or broken component can do: end its own instance, with a reason, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{NO_ACTIONS, Wat, clock, settings};
use tombolo_core::model::bridge::{Granted, StartInput, State, Why};
use tombolo_core::model::{Event, Timestamp, limits};
use tombolo_runtime::{
    BridgeSettings, Engine, Fault, Instance, InstanceLimits, Output, Package, PackageError, Program, spawn,
};

const NOW: Timestamp = Timestamp(1);

async fn load(wat: Wat) -> Result<Package, PackageError> {
    Engine::new(None).unwrap().load(wat.component()).await
}

/// An instance of this guest that has been started.
async fn started(wat: Wat) -> Box<dyn Instance> {
    let package = load(wat).await.unwrap();
    let mut instance = package.instantiate(InstanceLimits::default()).await.unwrap();
    assert_eq!(instance.start(input()).await, Ok(Vec::new()));
    instance
}

/// What comes of one event.
async fn fault_of(handle: &'static str, more: &'static str) -> Fault {
    let mut instance = started(Wat { handle, more, pages: 16, ..Wat::default() }).await;
    instance.handle(vec![Event::Timer(1)], NOW).await.unwrap_err()
}

fn input() -> StartInput {
    StartInput {
        now: NOW,
        why: Why::Fresh,
        settings: "{}".into(),
        seed: 1,
        state: None,
        connections: vec![1, 2],
        requests: vec![3],
        granted: vec![Granted { name: "device".into(), url: None }],
    }
}

#[tokio::test]
async fn runs_a_component_through_all_its_calls() {
    let package = load(Wat::default()).await.unwrap();
    assert_eq!((&*package.description.name, &*package.contract), ("wat", "0.1.0"));
    assert_eq!((package.description.reads_state.as_slice(), &*package.imports), (&[7][..], &[][..]));
    assert_eq!(package.hash.len(), 64);
    let mut instance = package.instantiate(InstanceLimits::default()).await.unwrap();
    assert_eq!(instance.start(input()).await, Ok(Vec::new()));
    assert_eq!(instance.handle(vec![Event::Timer(1); 64], NOW).await, Ok(Vec::new()));
    assert_eq!(instance.carry_over().await, Ok(State { version: 7, bytes: b"wat".to_vec() }));
    assert_eq!(instance.stop(NOW).await, Ok(Vec::new()));
}

#[tokio::test]
async fn refuses_files_that_are_no_components() {
    let engine = Engine::new(None).unwrap();
    let core = wat::parse_str("(module)").unwrap();
    for (bytes, reason) in [
        (b"".to_vec(), "empty"),
        (b"#!/bin/sh".to_vec(), "not WebAssembly"),
        (core, "core module"),
        (b"\0asm".to_vec(), "cut short"),
    ] {
        let refusal = engine.load(bytes).await.unwrap_err();
        assert!(matches!(&refusal, PackageError::NotComponent(text) if text.contains(reason)), "{refusal}");
    }
}

#[tokio::test]
async fn refuses_a_file_that_is_only_half_there() {
    let engine = Engine::new(None).unwrap();
    let whole = Wat::default().component();
    for length in [8, 9, whole.len() / 2, whole.len() - 1] {
        let refusal = engine.load(whole[..length].to_vec()).await.unwrap_err();
        assert!(matches!(refusal, PackageError::Invalid(_) | PackageError::Contract(_)), "{length}: {refusal}");
    }
}

#[tokio::test]
async fn refuses_foreign_imports_by_name() {
    let foreign = r#"(component
        (import "wasi:cli/exit@0.2.0" (instance (export "exit" (func))))
        (import "example:net/sockets@1.0.0" (instance (export "open" (func)))))"#;
    let refusal = Engine::new(None).unwrap().load(wat::parse_str(foreign).unwrap()).await.unwrap_err();
    assert_eq!(refusal, PackageError::ForeignImports(vec!["example:net/sockets@1.0.0".into()]));
    assert!(refusal.to_string().contains("example:net/sockets@1.0.0"));
}

#[tokio::test]
async fn refuses_what_does_not_speak_the_contract() {
    let engine = Engine::new(None).unwrap();
    let silent = wat::parse_str("(component)").unwrap();
    let refusal = engine.load(silent).await.unwrap_err();
    assert!(refusal.to_string().contains("does not export tombolo:mapper/guest@0.1.0"), "{refusal}");
    let later = r#"(component (instance $i) (export "tombolo:mapper/guest@7.0.0" (instance $i)))"#;
    let refusal = engine.load(wat::parse_str(later).unwrap()).await.unwrap_err();
    assert!(refusal.to_string().contains("tombolo:mapper 7.0.0; this host knows 0.1.0"), "{refusal}");
    let hollow = r#"(component (instance $i) (export "tombolo:mapper/guest@0.1.0" (instance $i)))"#;
    assert!(matches!(engine.load(wat::parse_str(hollow).unwrap()).await, Err(PackageError::Contract(_))));
}

#[tokio::test]
async fn loads_a_component_with_wasi_imports_and_ends_it_when_it_calls_one() {
    let wat = Wat {
        more: r#"(import "wasi:cli/exit@0.2.0" "leave" (func $leave))"#,
        imports: Some(("package wasi:cli@0.2.0; interface exit { leave: func(); }", "import wasi:cli/exit@0.2.0;")),
        handle: "(call $leave) (i32.const 256)",
        ..Wat::default()
    };
    let package = load(wat).await.unwrap();
    assert_eq!(&*package.imports, ["wasi:cli/exit@0.2.0"]);
    let mut instance = package.instantiate(InstanceLimits::default()).await.unwrap();
    let fault = instance.handle(Vec::new(), NOW).await.unwrap_err();
    assert!(matches!(&fault, Fault::Trap(text) if text.contains("wasi:cli/exit@0.2.0#leave")), "{fault}");
}

#[tokio::test]
async fn refuses_a_component_whose_description_is_of_no_use() {
    let endless = load(Wat { describe: "(loop (br 0)) (unreachable)", ..Wat::default() }).await.unwrap_err();
    assert!(matches!(endless, PackageError::Describe(Fault::Deadline(_))), "{endless}");
    let no_json = load(Wat { schema: "{", ..Wat::default() }).await.unwrap_err();
    assert!(no_json.to_string().contains("settings-schema is no JSON object"), "{no_json}");
    let greedy = load(Wat { pages: 2000, ..Wat::default() }).await.unwrap_err();
    assert!(matches!(greedy, PackageError::Describe(Fault::Memory { .. })), "{greedy}");
}

#[tokio::test]
async fn an_endless_loop_meets_its_deadline() {
    let deadline = Duration::from_millis(limits::CALL_DEADLINE_MS);
    assert_eq!(fault_of("(loop (br 0)) (unreachable)", "").await, Fault::Deadline(deadline));
}

#[tokio::test]
async fn endless_recursion_is_a_stack_overflow() {
    let again = "(func $again (param i32) (result i32) (i32.add (call $again (local.get 0)) (i32.const 1)))";
    assert_eq!(fault_of("(call $again (i32.const 0))", again).await, Fault::Stack);
}

#[tokio::test]
async fn a_panic_is_a_trap_with_its_reason() {
    let fault = fault_of("unreachable", "").await;
    assert!(matches!(&fault, Fault::Trap(text) if text.contains("unreachable")), "{fault}");
}

#[tokio::test]
async fn more_memory_than_allowed_ends_the_instance() {
    let limit = limits::INSTANCE_MEMORY_BYTES;
    let fault = fault_of("(drop (memory.grow (i32.const 1024))) (i32.const 256)", "").await;
    assert_eq!(fault, Fault::Memory { wanted: limit + 16 * 65536, limit });
}

#[tokio::test]
async fn several_memories_and_tables_share_one_limit() {
    let table = "(table 6000000 funcref)";
    let fault = fault_of("(drop (memory.grow (i32.const 400))) (i32.const 256)", table).await;
    assert!(matches!(fault, Fault::Memory { .. }), "{fault}");
}

#[tokio::test]
async fn a_pointer_out_of_memory_ends_the_instance() {
    let fault = fault_of(
        "(i32.store (i32.const 320) (i32.const 1000000000)) (i32.store (i32.const 324) (i32.const 9)) (i32.const 320)",
        "",
    )
    .await;
    assert!(matches!(&fault, Fault::Trap(_)), "{fault}");
}

#[tokio::test]
async fn many_actions_that_share_one_long_text_do_not_fill_the_host() {
    // 4,000 times `log` (72 bytes each, from 65536 on) of the same half megabyte.
    let fault = fault_of(
        "(local $at i32) (local.set $at (i32.const 65536))
         (loop $next
           (i32.store (local.get $at) (i32.const 17))
           (i32.store (i32.add (local.get $at) (i32.const 8)) (i32.const 0))
           (i32.store (i32.add (local.get $at) (i32.const 12)) (i32.const 400000))
           (i32.store (i32.add (local.get $at) (i32.const 16)) (i32.const 500000))
           (local.set $at (i32.add (local.get $at) (i32.const 72)))
           (br_if $next (i32.lt_u (local.get $at) (i32.const 353536))))
         (i32.store (i32.const 320) (i32.const 65536)) (i32.store (i32.const 324) (i32.const 4000)) (i32.const 320)",
        "",
    )
    .await;
    assert!(matches!(&fault, Fault::Trap(text) if text.contains("fuel")), "{fault}");
}

#[tokio::test]
async fn values_that_the_contract_forbids_are_faults_with_a_reason() {
    // One action at 400: `cancel-timer` of 2^53.
    let forbidden = fault_of(
        "(i32.store8 (i32.const 400) (i32.const 7)) (i64.store (i32.const 408) (i64.const 9007199254740992))
         (i32.store (i32.const 320) (i32.const 400)) (i32.store (i32.const 324) (i32.const 1)) (i32.const 320)",
        "",
    )
    .await;
    assert_eq!(forbidden, Fault::Contract("cancel-timer is 9007199254740992, must be below 9007199254740992".into()));
    // Zeros: 5,000 times `open` of an empty name.
    let many = fault_of(
        "(i32.store (i32.const 320) (i32.const 65536)) (i32.store (i32.const 324) (i32.const 5000)) (i32.const 320)",
        "",
    )
    .await;
    assert_eq!(many, Fault::Contract("5000 actions of one call, at most 4096 are allowed".into()));
}

#[tokio::test(flavor = "current_thread")]
async fn a_looping_guest_does_not_starve_its_neighbours() {
    let mut looping = started(Wat { handle: "(loop (br 0)) (unreachable)", ..Wat::default() }).await;
    let mut neighbour = started(Wat::default()).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let beside = tokio::spawn(async move {
        loop {
            neighbour.handle(vec![Event::Timer(1)], NOW).await.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    assert!(matches!(looping.handle(Vec::new(), NOW).await, Err(Fault::Deadline(_))));
    beside.abort();
    let ticks = (limits::CALL_DEADLINE_MS / limits::EPOCH_TICK_MS) as usize;
    assert!(calls.load(Ordering::Relaxed) >= ticks / 2, "{calls:?} calls beside {ticks} ticks");
}

#[tokio::test]
async fn a_bridge_that_faults_again_and_again_disturbs_no_other() {
    let engine = Engine::new(None).unwrap();
    let bad = engine.load(Wat { handle: "unreachable", ..Wat::default() }.component()).await.unwrap();
    let good =
        engine.load(Wat { start: "(i32.const 272)", handle: NO_ACTIONS, ..Wat::default() }.component()).await.unwrap();
    let (out, mut heard) = tokio::sync::mpsc::channel(64);
    let named = |name: &str| BridgeSettings { name: name.into(), ..settings() };
    let bad = spawn(named("bad"), Arc::new(bad), out.clone(), clock());
    let good = spawn(named("good"), Arc::new(good), out.clone(), clock());
    let mut restarts = 0;
    loop {
        let output = heard.recv().await.unwrap();
        match (&*output.bridge, output.what) {
            ("bad", Output::Started { .. }) => {
                bad.mailbox().send(Event::Timer(1)).await.unwrap();
                good.mailbox().send(Event::Timer(1)).await.unwrap();
            }
            ("bad", Output::Failed { reason, .. }) => {
                assert!(reason.contains("trap"), "{reason}");
                restarts += 1;
            }
            ("bad", Output::Quarantined { .. }) => break,
            ("good", Output::Started { .. }) => (),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(restarts, limits::RESTARTS_MAX - 1);
    good.stop();
    let last = heard.recv().await.unwrap();
    assert_eq!((&*last.bridge, last.what), ("good", Output::Stopped));
    assert_ne!(bad.name(), good.name());
}
