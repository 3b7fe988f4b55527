//! The whole plugin against a scripted broker: bytes in, bytes and actions out, time as a value.

mod broker;
mod declared;
mod discovered;
mod homie;
mod mangled;
mod session;
mod shelly;
mod sparkplug;
mod swap;
mod tasmota;
mod things;
mod zigbee2mqtt;
