//! Who logs in, where, and how the way there is protected. Owns no connection and reads no file.

use std::fmt;
use std::path::PathBuf;

use jid::Jid;

/// A password. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The password itself, for those who must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(..)")
    }
}

/// How the way to the server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// STARTTLS; a server without it is refused.
    #[default]
    Required,
    /// TLS from the first byte (XEP-0368).
    Direct,
    /// No TLS. Only towards loopback addresses, and PLAIN is refused even there.
    Insecure,
}

/// One XMPP account and the way to its server.
#[derive(Clone, Debug)]
pub struct Account {
    /// A full JID asks for its resource; of a bare one the server chooses the resource.
    pub jid: Jid,
    /// The account's password.
    pub password: Secret,
    /// `host`, `host:port` or `[v6]:port`; without it the SRV records of the domain decide.
    pub server: Option<String>,
    /// How the way is protected.
    pub tls: TlsMode,
    /// PEM files with trust anchors beside the system's; a server's own certificate counts as one.
    pub ca: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_password() {
        let account = Account {
            jid: Jid::new("a@b.example").unwrap(),
            password: Secret::new("hunter2"),
            server: None,
            tls: TlsMode::default(),
            ca: Vec::new(),
        };
        assert!(!format!("{account:?}").contains("hunter2"));
    }
}
