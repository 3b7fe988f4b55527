//! The door by which HTTP clients of the island reach the plant, and what they ask and are told.

use tombolo_core::model::bridge::HttpCall;
use tombolo_core::policy::Door;

use super::{Names, Stage};

impl Stage {
    /// For scripts in which the island asks; whom it asks lets us see its presence.
    pub(super) fn open_door(&mut self) -> Result<(), String> {
        let door = door(&self.names)?;
        self.quietly(|stage| stage.hub.doors_changed(vec![door], stage.now))
    }

    /// An HTTP client of the island asks through the door.
    pub(super) fn knock(&mut self, method: &str, target: &str, body: &[&str]) -> Result<(), String> {
        let body = match body {
            ["+", "bytes", count] => vec![b'x'; count.parse().map_err(|_| "no number of bytes")?],
            ["+", text @ ..] => text.join(" ").into_bytes(),
            _ => Vec::new(),
        };
        self.knocks += 1;
        let headers = [("Host", "localhost:8085"), ("Accept", "text/plain")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
        let call = HttpCall { method: method.to_owned(), target: target.to_owned(), headers, body };
        self.hub.handle_knock(self.knocks, door(&self.names)?.listen(), call, self.now);
        Ok(())
    }

    pub(super) fn expect_reply(&mut self, wanted: &str) -> Result<(), String> {
        let answer = self.replies.pop_front().ok_or("nobody was told anything")?;
        let told = format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body));
        let told =
            if answer.body.len() > 1000 { format!("{} bytes {}", answer.status, answer.body.len()) } else { told };
        if told.trim() == wanted { Ok(()) } else { Err(format!("was told {told}")) }
    }
}

/// By it, HTTP clients of the island reach what the plant has below `/heating`.
fn door(names: &Names) -> Result<Door, String> {
    let address = ([127, 0, 0, 1], 8085).into();
    let methods = ["GET", "HEAD", "PUT"].map(str::to_owned).to_vec();
    Door::new(address, &names.localize("httpx://plant@example.com/heating"), methods, None)
        .map_err(|error| error.to_string())
}
