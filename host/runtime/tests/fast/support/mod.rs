//! What the tests of this crate share: guests written in WAT, native programs made of closures, and a listener to a bridge.
//!
//! A guest is a core module in text with the contract's names and layouts, made a component by wit-component: small enough to be hostile
//! in exactly one way, and needs no toolchain.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio::time::Instant;
use tombolo_core::model::bridge::{Description, StartInput, State};
use tombolo_core::model::{Action, Event, Timestamp};
use tombolo_runtime::{
    Bridge, BridgeOutput, BridgeSettings, Clock, Fault, InstanceLimits, Native, NativeInstance, Output, Program, spawn,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Bodies of a guest's functions, in WAT. Each leaves the address of its answer.
pub struct Wat {
    pub describe: &'static str,
    pub start: &'static str,
    pub handle: &'static str,
    pub carry_over: &'static str,
    pub stop: &'static str,
    /// Further functions and imports.
    pub more: &'static str,
    pub pages: u32,
    pub schema: &'static str,
    /// WIT that the world takes in beside the contract: a package, and a line of the world.
    pub imports: Option<(&'static str, &'static str)>,
}

/// Address of an empty list of actions.
pub const NO_ACTIONS: &str = "(i32.const 256)";

impl Default for Wat {
    fn default() -> Self {
        Self {
            describe: "(i32.const 512)",
            start: "(i32.const 272)",
            handle: NO_ACTIONS,
            carry_over: "(i32.const 304)",
            stop: NO_ACTIONS,
            more: "",
            pages: 2,
            schema: "{}",
            imports: None,
        }
    }
}

impl Wat {
    pub fn component(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).expect("WAT");
        let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/v0.1");
        let mut resolve = Resolve::default();
        let (mut package, _) = resolve.push_dir(contract).expect("the contract");
        let mut world = "mapper";
        if let Some((source, line)) = self.imports {
            resolve.push_str("imports.wit", source).expect("imported package");
            let both = format!("package test:both;\nworld both {{ include tombolo:mapper/mapper@0.1.0; {line} }}");
            package = resolve.push_str("both.wit", &both).expect("world");
            world = "both";
        }
        let world = resolve.select_world(&[package], Some(world)).expect("world");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
        ComponentEncoder::default().module(&module).expect("module").encode().expect("component")
    }

    fn text(&self) -> String {
        let Self { describe, start, handle, carry_over, stop, more, pages, schema, .. } = self;
        // Record `description`: eight pairs of address and length.
        let pairs =
            [(1024, 3), (1024, 3), (1024, 3), (1024, 3), (1100, schema.len() as u32), (0, 0), (1040, 1), (0, 0)];
        let description: String = pairs.iter().map(|(at, length)| format!("{}{}", word(*at), word(*length))).collect();
        let state = [7, 1024, 3].map(word).concat();
        let schema = schema.replace('"', "\\22");
        format!(
            r#"(module
            {more}
            (memory (export "memory") {pages})
            (global $top (mut i32) (i32.const 8192))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
              (local $at i32)
              (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
              (global.set $top (i32.add (local.get $at) (local.get 3)))
              (local.get $at))
            (func (export "tombolo:mapper/guest@0.1.0#describe") (result i32) {describe})
            (func (export "tombolo:mapper/guest@0.1.0#start")
              (param i64 i32 i32 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {start})
            (func (export "tombolo:mapper/guest@0.1.0#handle") (param i64 i32 i32) (result i32) {handle})
            (func (export "tombolo:mapper/guest@0.1.0#carry-over") (result i32) {carry_over})
            (func (export "tombolo:mapper/guest@0.1.0#stop") (param i64) (result i32) {stop})
            (data (i32.const 304) "{state}")
            (data (i32.const 512) "{description}")
            (data (i32.const 1024) "wat")
            (data (i32.const 1040) "\07\00\00\00")
            (data (i32.const 1100) "{schema}"))"#
        )
    }
}

/// Little-endian, as a WAT string.
fn word(word: u32) -> String {
    word.to_le_bytes().iter().map(|byte| format!("\\{byte:02x}")).collect()
}

/// What an instance was told, by any instance of a program.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Start(StartInput),
    Events(Vec<Event>),
    Stop,
}

type React = Arc<dyn Fn(&Event) -> Result<Vec<Action>, Fault> + Send + Sync>;
type Begin = Arc<dyn Fn(&StartInput) -> Result<Vec<Action>, Fault> + Send + Sync>;

/// A native program made of closures.
#[derive(Clone)]
pub struct Script {
    pub version: &'static str,
    pub reads_state: Vec<u32>,
    pub carries: Result<State, Fault>,
    pub begin: Begin,
    pub react: React,
    pub told: Arc<Mutex<Vec<Told>>>,
}

impl Script {
    pub fn new(react: impl Fn(&Event) -> Result<Vec<Action>, Fault> + Send + Sync + 'static) -> Self {
        Self {
            version: "1.0.0",
            reads_state: vec![1],
            carries: Ok(State { version: 1, bytes: b"carried".to_vec() }),
            begin: Arc::new(|_| Ok(Vec::new())),
            react: Arc::new(react),
            told: Arc::default(),
        }
    }

    pub fn quiet() -> Self {
        Self::new(|_| Ok(Vec::new()))
    }

    pub fn begin(mut self, begin: impl Fn(&StartInput) -> Result<Vec<Action>, Fault> + Send + Sync + 'static) -> Self {
        self.begin = Arc::new(begin);
        self
    }

    pub fn program(&self) -> Arc<dyn Program> {
        let script = self.clone();
        let description =
            Description { version: self.version.into(), reads_state: self.reads_state.clone(), ..description() };
        Arc::new(Native::new(description, format!("hash of {}", self.version), move || script.clone()))
    }

    pub fn starts(&self) -> Vec<StartInput> {
        let told = self.told.lock().unwrap();
        told.iter().filter_map(|told| if let Told::Start(input) = told { Some(input.clone()) } else { None }).collect()
    }

    pub fn batches(&self) -> Vec<Vec<Event>> {
        let told = self.told.lock().unwrap();
        told.iter()
            .filter_map(|told| if let Told::Events(events) = told { Some(events.clone()) } else { None })
            .collect()
    }
}

impl NativeInstance for Script {
    fn start(&mut self, input: StartInput) -> Result<Vec<Action>, Fault> {
        let answer = (self.begin)(&input);
        self.told.lock().unwrap().push(Told::Start(input));
        answer
    }

    fn handle(&mut self, events: Vec<Event>, _now: Timestamp) -> Result<Vec<Action>, Fault> {
        let answers: Result<Vec<Vec<Action>>, Fault> = events.iter().map(|event| (self.react)(event)).collect();
        self.told.lock().unwrap().push(Told::Events(events));
        Ok(answers?.concat())
    }

    fn carry_over(&mut self) -> Result<State, Fault> {
        self.carries.clone()
    }

    fn stop(&mut self, _now: Timestamp) -> Result<Vec<Action>, Fault> {
        self.told.lock().unwrap().push(Told::Stop);
        Ok(vec![Action::RemoveNode(9)])
    }
}

pub fn description() -> Description {
    Description {
        name: "script".into(),
        version: "1.0.0".into(),
        protocol: "none".into(),
        summary: "Does what the test says.".into(),
        settings_schema: "{}".into(),
        endpoints: Vec::new(),
        reads_state: vec![1],
        extras: Vec::new(),
    }
}

pub fn settings() -> BridgeSettings {
    BridgeSettings {
        name: "home".into(),
        settings_json: "{}".into(),
        granted: Vec::new(),
        limits: InstanceLimits::default(),
        seed: 1,
        secrets: Vec::new(),
        journal: None,
        checkpoint: None,
        stored: Vec::new(),
    }
}

/// A bridge and what it says.
pub struct Heard {
    pub bridge: Bridge,
    pub mailbox: mpsc::Sender<Event>,
    out: mpsc::Receiver<BridgeOutput>,
}

impl Heard {
    pub fn new(settings: BridgeSettings, program: Arc<dyn Program>) -> Self {
        let (out, heard) = mpsc::channel(64);
        let bridge = spawn(settings, program, out, clock());
        Self { mailbox: bridge.mailbox(), bridge, out: heard }
    }

    /// A bridge that has started.
    pub async fn started(script: &Script) -> Self {
        let mut heard = Self::new(settings(), script.program());
        assert!(matches!(heard.next().await, Output::Started { .. }));
        heard
    }

    pub async fn send(&self, event: Event) {
        self.mailbox.send(event).await.expect("the bridge runs");
    }

    pub async fn next(&mut self) -> Output {
        let output = self.out.recv().await.expect("the bridge says something");
        assert_eq!(&*output.bridge, "home");
        output.what
    }

    pub async fn actions(&mut self) -> Vec<Action> {
        match self.next().await {
            Output::Actions(actions) => actions,
            other => panic!("expected actions, got {other:?}"),
        }
    }

    pub async fn is_over(&mut self) -> bool {
        self.out.recv().await.is_none()
    }
}

/// Tokio's time, so that tests can push it.
pub fn clock() -> Clock {
    let began = Instant::now();
    Arc::new(move || Timestamp(began.elapsed().as_micros() as i64))
}
