//! Packages: what a plugin's file says of itself, and the means to make instances of it. Owns the import audit.
//!
//! In this order, so that the cheapest and clearest refusal comes first: size, kind of file, compilation (which validates), imports,
//! contract, description.

use std::fmt::Write;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tombolo_core::model::bridge::Description;
use tombolo_core::model::limits;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use crate::check;
use crate::contract::Contract;
use crate::engine::Engine;
use crate::instance::{Host, Sandboxed};
use crate::program::{Calling, Fault, Instance, InstanceLimits, Program};

/// What a component may import: nothing of these is there, a call ends the instance. Ordinary builds of standard libraries leave such
/// imports behind without ever calling them. Everything else is refused by name.
const IMPORTS_THAT_TRAP: &[&str] = &["wasi:"];

/// Why a file is no plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// More than we compile.
    #[error("{bytes} bytes, at most {} are compiled", limits::COMPONENT_BYTES_MAX)]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// Something else than a component.
    #[error("no WebAssembly component: {0}")]
    NotComponent(String),
    /// A component that is damaged, cut short, or uses what the engine does not support.
    #[error("invalid component: {0}")]
    Invalid(String),
    /// It wants more than a plugin gets.
    #[error("imports {}: a plugin imports nothing (wasi:* is tolerated and traps when called)", .0.join(", "))]
    ForeignImports(Vec<String>),
    /// It does not speak a version of the contract that we know.
    #[error("contract: {0}")]
    Contract(String),
    /// It cannot say what it is.
    #[error("describe: {0}")]
    Describe(Fault),
}

/// A plugin that can be put to work. Cheap to clone.
#[derive(Clone)]
pub struct Package {
    /// SHA-256 of the file, hexadecimal.
    pub hash: Arc<str>,
    /// What it says of itself.
    pub description: Arc<Description>,
    /// What it imports although nothing is there.
    pub imports: Arc<[String]>,
    /// The version of `tombolo:mapper` that it was built for.
    pub contract: Arc<str>,
    engine: Engine,
    linked: Contract,
}

impl Package {
    pub(crate) async fn load(engine: &Engine, bytes: Vec<u8>) -> Result<Self, PackageError> {
        check_kind(&bytes)?;
        let hash: Arc<str> = hexadecimal(&Sha256::digest(&bytes)).into();
        let component = engine.component(bytes, &hash).await?;
        let imports = audit(engine, &component)?;
        let linked = Contract::link(&linker(engine, &component)?, &component)?;
        let description = describe(engine, &linked).await.map_err(PackageError::Describe)?;
        let contract = linked.version().into();
        Ok(Self {
            hash,
            description: description.into(),
            imports: imports.into(),
            contract,
            engine: engine.clone(),
            linked,
        })
    }
}

impl std::fmt::Debug for Package {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Description { name, version, .. } = &*self.description;
        out.debug_struct("Package")
            .field("name", name)
            .field("version", version)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

impl Program for Package {
    fn description(&self) -> &Description {
        &self.description
    }

    fn hash(&self) -> &str {
        &self.hash
    }

    fn instantiate(&self, limits: InstanceLimits) -> Calling<'_, Box<dyn Instance>> {
        Box::pin(async move {
            let instance = Sandboxed::new(&self.engine, &self.linked, limits).await?;
            Ok(Box::new(instance) as Box<dyn Instance>)
        })
    }
}

fn check_kind(bytes: &[u8]) -> Result<(), PackageError> {
    let size = bytes.len() as u64;
    if size > limits::COMPONENT_BYTES_MAX {
        return Err(PackageError::TooLarge { bytes: size });
    }
    let other = |what: &str| Err(PackageError::NotComponent(what.to_string()));
    // Magic number, version, layer (0 is a core module, 1 a component).
    match bytes {
        [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [b'\0', b'a', b's', b'm', _, _, 0, 0, ..] => {
            other("it is a core module; `wasm-tools component new` makes a component of it")
        }
        [b'\0', b'a', b's', b'm', ..] => other("its header is cut short or of an unknown kind"),
        [] => other("the file is empty"),
        _ => other("the file is not WebAssembly"),
    }
}

/// The imports that are more than names of types, if all may be.
fn audit(engine: &Engine, component: &Component) -> Result<Vec<String>, PackageError> {
    let component_type = component.component_type();
    let all = component_type.imports(engine.wasmtime());
    let imports: Vec<String> =
        all.filter(|(_, import)| !only_types(engine, &import.ty)).map(|(name, _)| name.to_string()).collect();
    let may = |import: &&String| IMPORTS_THAT_TRAP.iter().any(|prefix| import.starts_with(prefix));
    let foreign: Vec<String> = imports.iter().filter(|import| !may(import)).cloned().collect();
    if foreign.is_empty() { Ok(imports) } else { Err(PackageError::ForeignImports(foreign)) }
}

/// Whether an import is nothing that runs, as the contract's own interfaces are: their types come as imports.
fn only_types(engine: &Engine, import: &ComponentItem) -> bool {
    match import {
        ComponentItem::Type(_) => true,
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine.wasmtime()).all(|(_, export)| only_types(engine, &export.ty))
        }
        ComponentItem::ComponentFunc(_)
        | ComponentItem::CoreFunc(_)
        | ComponentItem::Module(_)
        | ComponentItem::Component(_)
        | ComponentItem::Resource(_) => false,
    }
}

/// Nothing is linked. What the audit let through is defined as traps.
fn linker(engine: &Engine, component: &Component) -> Result<Linker<Host>, PackageError> {
    let mut linker = Linker::new(engine.wasmtime());
    match linker.define_unknown_imports_as_traps(component) {
        Ok(()) => Ok(linker),
        Err(error) => Err(PackageError::Invalid(format!("{error:#}"))),
    }
}

async fn describe(engine: &Engine, linked: &Contract) -> Result<Description, Fault> {
    let mut instance = Sandboxed::new(engine, linked, InstanceLimits::default()).await?;
    instance.describe().await.and_then(check::description)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
