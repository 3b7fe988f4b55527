//! Sessions against a real server. Needs Prosody (`apt install prosody`) and openssl; a test that misses them fails and says so.

mod kit;
mod login;
mod loss;
