//! The one wasmtime engine: its settings, its ticker, and compilation. Owns no instance; knows nothing of bridges.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tombolo_core::model::limits;
use wasmtime::component::Component;

use crate::cache::{Cache, Key};
use crate::package::{Package, PackageError};

/// Stack that is left for the host's own frames beneath a guest's.
const HOST_STACK_BYTES: usize = 512 * 1024;

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// This machine or build cannot run what we need.
    #[error("WebAssembly engine: {0}")]
    Settings(String),
    /// The directory for compiled components cannot be used.
    #[error("{}: {reason}", .path.display())]
    CacheDirectory {
        /// Where.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
}

/// Compiles and runs components. Cheap to clone; one is enough for a process.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    wasmtime: wasmtime::Engine,
    cache: Option<Cache>,
    /// One compilation at a time: each may take hundreds of megabytes.
    compiling: Semaphore,
}

impl Engine {
    /// `cache` is a directory for compiled components that nobody else writes to: what lies there is run as machine code.
    /// Without one every load compiles. It must not be the directory that plugins are dropped into.
    pub fn new(cache: Option<PathBuf>) -> Result<Self, EngineError> {
        let settings = |error: wasmtime::Error| EngineError::Settings(format!("{error:#}"));
        let wasmtime = wasmtime::Engine::new(&config()).map_err(settings)?;
        let cache = cache.map(Cache::open).transpose()?;
        start_ticker(&wasmtime).map_err(|error| EngineError::Settings(format!("ticker thread: {error}")))?;
        Ok(Self { inner: Arc::new(Inner { wasmtime, cache, compiling: Semaphore::new(1) }) })
    }

    /// Audits, compiles (or takes from the cache) and asks for the description. Does not block the caller's thread.
    pub async fn load(&self, bytes: Vec<u8>) -> Result<Package, PackageError> {
        Package::load(self, bytes).await
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner.wasmtime
    }

    /// The compiled form of `bytes`, from the cache where it has one.
    pub(crate) async fn component(&self, bytes: Vec<u8>, hash: &str) -> Result<Component, PackageError> {
        let _turn = self.inner.compiling.acquire().await;
        let inner = Arc::clone(&self.inner);
        let key = Key::new(hash, &inner.wasmtime);
        let compiled = tokio::task::spawn_blocking(move || inner.cached_or_compiled(&bytes, &key)).await;
        compiled.map_err(|error| PackageError::Invalid(format!("compiler: {error}")))?
    }
}

impl Inner {
    fn cached_or_compiled(&self, bytes: &[u8], key: &Key) -> Result<Component, PackageError> {
        if let Some(component) = self.cache.as_ref().and_then(|cache| cache.get(&self.wasmtime, key)) {
            return Ok(component);
        }
        let component = Component::from_binary(&self.wasmtime, bytes)
            .map_err(|error| PackageError::Invalid(format!("{error:#}")))?;
        if let Some(cache) = &self.cache {
            cache.put(key, &component);
        }
        Ok(component)
    }
}

fn config() -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .max_wasm_stack(limits::INSTANCE_STACK_BYTES)
        .async_stack_size(limits::INSTANCE_STACK_BYTES + HOST_STACK_BYTES)
        // Same events, same actions, on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    config
}

/// Counts epochs for as long as the engine lives.
fn start_ticker(engine: &wasmtime::Engine) -> std::io::Result<()> {
    let weak = engine.weak();
    let tick = Duration::from_millis(limits::EPOCH_TICK_MS);
    std::thread::Builder::new().name("epochs".into()).spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(tick);
        }
    })?;
    Ok(())
}
