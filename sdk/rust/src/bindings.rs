//! The contract's guest side as Rust, generated from `wit/v0.1`. Owns nothing by hand; the only module with unsafe code.
//!
//! A world that exports `guest` alone imports the three interfaces whose types it uses. This one exports them too, so that the
//! component imports nothing at all; a host that looks for `guest` does not mind.

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
    inline: "package tombolo:sdk;
        world mapper {
            export tombolo:mapper/model@0.1.0;
            export tombolo:mapper/events@0.1.0;
            export tombolo:mapper/actions@0.1.0;
            export tombolo:mapper/guest@0.1.0;
        }",
    world: "tombolo:sdk/mapper",
    generate_all,
    generate_unused_types: true,
    additional_derives: [PartialEq],
    pub_export_macro: true,
    export_macro_name: "__export_component",
    default_bindings_module: "tombolo_sdk::bindings",
});
