//! Versions of the contract. Owns which one a component speaks; each version has one file that converts to and from the model.
//!
//! One more version is one more file and one more arm here.

mod v0_1;

use tombolo_core::model::bridge::{Description, StartInput, State};
use tombolo_core::model::{Action, Event, Timestamp};
use wasmtime::Store;
use wasmtime::component::{Component, Linker};

use crate::instance::Host;
use crate::package::PackageError;

/// The interface that every version exports, without its version.
const GUEST: &str = "tombolo:mapper/guest@";

/// A component, linked for the version that it speaks. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Contract {
    V0_1(v0_1::Linked),
}

/// An instance, by version.
pub(crate) enum Guest {
    V0_1(v0_1::Guest),
}

impl Contract {
    pub(crate) fn link(linker: &Linker<Host>, component: &Component) -> Result<Self, PackageError> {
        let version = exported_version(component)?;
        match version.as_str() {
            v0_1::VERSION => v0_1::link(linker, component).map(Self::V0_1).map_err(mismatch),
            _ => Err(PackageError::Contract(format!(
                "built for tombolo:mapper {version}; this host knows {}",
                v0_1::VERSION
            ))),
        }
    }

    pub(crate) fn version(&self) -> &'static str {
        match self {
            Self::V0_1(_) => v0_1::VERSION,
        }
    }

    pub(crate) async fn instantiate(&self, store: &mut Store<Host>) -> wasmtime::Result<Guest> {
        match self {
            Self::V0_1(linked) => v0_1::instantiate(linked, store).await.map(Guest::V0_1),
        }
    }
}

impl Guest {
    pub(crate) async fn describe(&self, store: &mut Store<Host>) -> wasmtime::Result<Description> {
        match self {
            Self::V0_1(guest) => v0_1::describe(guest, store).await,
        }
    }

    pub(crate) async fn start(
        &self,
        store: &mut Store<Host>,
        input: StartInput,
    ) -> wasmtime::Result<Result<Vec<Action>, String>> {
        match self {
            Self::V0_1(guest) => v0_1::start(guest, store, input).await,
        }
    }

    pub(crate) async fn handle(
        &self,
        store: &mut Store<Host>,
        events: Vec<Event>,
        now: Timestamp,
    ) -> wasmtime::Result<Vec<Action>> {
        match self {
            Self::V0_1(guest) => v0_1::handle(guest, store, events, now).await,
        }
    }

    pub(crate) async fn carry_over(&self, store: &mut Store<Host>) -> wasmtime::Result<State> {
        match self {
            Self::V0_1(guest) => v0_1::carry_over(guest, store).await,
        }
    }

    pub(crate) async fn stop(&self, store: &mut Store<Host>, now: Timestamp) -> wasmtime::Result<Vec<Action>> {
        match self {
            Self::V0_1(guest) => v0_1::stop(guest, store, now).await,
        }
    }
}

fn exported_version(component: &Component) -> Result<String, PackageError> {
    let engine = component.engine();
    let component_type = component.component_type();
    let exported = component_type.exports(engine).find_map(|(name, _)| name.strip_prefix(GUEST).map(str::to_string));
    exported.ok_or_else(|| PackageError::Contract(format!("it does not export {GUEST}{}", v0_1::VERSION)))
}

fn mismatch(error: wasmtime::Error) -> PackageError {
    PackageError::Contract(format!("not as tombolo:mapper {} has it: {error:#}", v0_1::VERSION))
}
