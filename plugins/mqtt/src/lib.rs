//! MQTT.
mod codec;
mod session;
