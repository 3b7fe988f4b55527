//! MQTT.
mod codec;
