//! Contract `tombolo:mapper@0.1.0`: the bindings and the calls. With [`convert`] the only place that knows this version. Whether values
//! may be is checked afterwards, for all versions alike (`crate::check`).

use tombolo_core::model as m;
use tombolo_core::model::bridge as b;
use wasmtime::Store;
use wasmtime::component::{Component, Linker};

use self::bindings::exports::tombolo::mapper::guest as g;
use self::bindings::tombolo::mapper::{actions as a, events as e, model as w};
use crate::instance::Host;

mod convert;

use convert::{actions, description, event, start_input, state};

#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all)]
mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit/v0.1", world: "mapper", exports: { default: async } });
}

pub(super) const VERSION: &str = "0.1.0";

pub(crate) type Linked = bindings::MapperPre<Host>;
pub(crate) type Guest = bindings::Mapper;

pub(super) fn link(linker: &Linker<Host>, component: &Component) -> wasmtime::Result<Linked> {
    bindings::MapperPre::new(linker.instantiate_pre(component)?)
}

pub(super) async fn instantiate(linked: &Linked, store: &mut Store<Host>) -> wasmtime::Result<Guest> {
    linked.instantiate_async(store).await
}

pub(super) async fn describe(guest: &Guest, store: &mut Store<Host>) -> wasmtime::Result<b::Description> {
    guest.tombolo_mapper_guest().call_describe(store).await.map(description)
}

pub(super) async fn start(
    guest: &Guest,
    store: &mut Store<Host>,
    input: b::StartInput,
) -> wasmtime::Result<Result<Vec<m::Action>, String>> {
    let started = guest.tombolo_mapper_guest().call_start(store, &start_input(input)).await?;
    Ok(started.map(actions))
}

pub(super) async fn handle(
    guest: &Guest,
    store: &mut Store<Host>,
    events: Vec<m::Event>,
    now: m::Timestamp,
) -> wasmtime::Result<Vec<m::Action>> {
    let events: Vec<e::Event> = events.into_iter().map(event).collect();
    guest.tombolo_mapper_guest().call_handle(store, now.0, &events).await.map(actions)
}

pub(super) async fn carry_over(guest: &Guest, store: &mut Store<Host>) -> wasmtime::Result<b::State> {
    guest.tombolo_mapper_guest().call_carry_over(store).await.map(state)
}

pub(super) async fn stop(
    guest: &Guest,
    store: &mut Store<Host>,
    now: m::Timestamp,
) -> wasmtime::Result<Vec<m::Action>> {
    guest.tombolo_mapper_guest().call_stop(store, now.0).await.map(actions)
}
