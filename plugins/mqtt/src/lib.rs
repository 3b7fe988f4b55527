//! MQTT.
mod codec;
mod mapping;
mod session;
