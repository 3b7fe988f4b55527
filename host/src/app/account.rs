//! From what the operator wrote to what the XMPP session wants: the one place that knows both vocabularies.

use std::path::{Path, PathBuf};

use jid::Jid;

use crate::config;
use crate::xmpp::{Account, LocalSettings, Secret, TlsMode};

/// The bridge's own account on an existing server.
pub(crate) fn of_service(client: &config::XmppClient) -> Account {
    Account {
        jid: Jid::from(client.jid.clone()),
        password: Secret::new(client.password.expose()),
        server: client.server.as_ref().map(ToString::to_string),
        tls: tls(client.tls),
        ca: client.ca.iter().map(|pem| pem.path.clone()).collect(),
    }
}

/// A person's account; none: there is no password for it.
pub(crate) fn of_client(client: &config::Client, password: Option<Secret>) -> Option<Account> {
    let password = client.password.as_ref().map(|secret| Secret::new(secret.expose())).or(password)?;
    Some(Account {
        jid: client.jid.clone(),
        password,
        server: client.server.as_ref().map(ToString::to_string),
        tls: tls(client.tls),
        ca: client.ca.iter().map(|pem| pem.path.clone()).collect(),
    })
}

/// Where the private server of a state directory lives.
pub(crate) fn local_directory(state: &Path) -> PathBuf {
    state.join("xmpp")
}

/// The private server.
pub(crate) fn local(local: &config::Local, state: &Path) -> LocalSettings {
    LocalSettings {
        directory: local_directory(state),
        domain: local.domain.to_string(),
        listen: local.listen,
        accounts: local.accounts.iter().map(|(name, secret)| (name.clone(), Secret::new(secret.expose()))).collect(),
    }
}

pub(crate) fn tls(mode: config::TlsMode) -> TlsMode {
    match mode {
        config::TlsMode::Required => TlsMode::Required,
        config::TlsMode::Direct => TlsMode::Direct,
        config::TlsMode::Insecure => TlsMode::Insecure,
    }
}
