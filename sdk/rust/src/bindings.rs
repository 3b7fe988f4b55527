//! The contract's guest side as Rust, generated from `wit/v0.1`. Owns nothing by hand; beside `memory` the only module with unsafe code.
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

macro_rules! generate {
    ($($derive:path),*) => {
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
            additional_derives: [$($derive),*],
            additional_type_attributes: {
                "tombolo:mapper/model@0.1.0/extra":
                    [#[cfg_attr(feature = "serde", serde(from = "(String, String)", into = "(String, String)"))]],
            },
            pub_export_macro: true,
            export_macro_name: "__export_component",
            default_bindings_module: "tombolo_sdk::bindings",
        });
    };
}

#[cfg(not(feature = "serde"))]
generate!(PartialEq);
#[cfg(feature = "serde")]
generate!(PartialEq, serde::Serialize, serde::Deserialize);
