//! Dialogues with the hub.
