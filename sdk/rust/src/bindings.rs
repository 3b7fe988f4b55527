//! The contract's guest side as Rust, generated from `wit/v0.1`. Owns nothing by hand; the only module with unsafe code.

#![allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

wit_bindgen::generate!({
    path: "../../wit/v0.1",
    world: "mapper",
    generate_all,
    generate_unused_types: true,
    additional_derives: [PartialEq],
    pub_export_macro: true,
    export_macro_name: "__export_component",
    default_bindings_module: "tombolo_sdk::bindings",
});
