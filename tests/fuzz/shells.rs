//! What lies in files: the operator's configuration, components, transcripts.

use std::sync::OnceLock;

use tombolo::config::Config;
use tombolo_mqtt::Mqtt;
use tombolo_runtime::Engine;
use tombolo_tests::native::program;
use tombolo_tests::transcript::check;

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap())
}

/// A complaint about the file never shows a secret of it.
pub(crate) fn config(bytes: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tombolo.toml");
    std::fs::write(&file, bytes).unwrap();
    if let Err(error) = Config::load(&file) {
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

pub(crate) fn component(bytes: &[u8]) {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| runtime().block_on(async { Engine::new(None).unwrap() }));
    if let Err(error) = runtime().block_on(engine.load(bytes.to_vec())) {
        assert!(!error.to_string().is_empty());
    }
}

pub(crate) fn transcript(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = runtime().block_on(check(&program::<Mqtt>("fuzz"), text));
}
