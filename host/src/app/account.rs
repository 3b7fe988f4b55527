//! From what the operator wrote to what the XMPP session wants: the one place that knows both vocabularies.

use std::path::{Path, PathBuf};

use jid::{BareJid, Jid};
use tokio::sync::mpsc;

use crate::config;
use crate::xmpp::{self, Account, Component, LocalSettings, Secret, Session, SessionEvent, TlsMode};

/// How the service gets to its server.
pub(crate) enum Way {
    /// As a client.
    Client(Account),
    /// As a component.
    Component(Component),
}

impl Way {
    /// The service's address, as far as it is known before the server says it.
    pub(crate) fn address(&self) -> Jid {
        match self {
            Self::Client(account) => account.jid.clone(),
            Self::Component(component) => component.domain.clone().into(),
        }
    }

    /// The domain that is served, if any.
    pub(crate) fn domain(&self) -> Option<BareJid> {
        match self {
            Self::Client(_) => None,
            Self::Component(component) => Some(component.domain.clone()),
        }
    }

    /// Goes there.
    pub(crate) fn spawn(self, events: mpsc::Sender<SessionEvent>) -> Session {
        match self {
            Self::Client(account) => xmpp::spawn(account, events),
            Self::Component(component) => xmpp::component::spawn(component, events),
        }
    }
}

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

/// The domain that the service serves.
pub(crate) fn of_component(component: &config::XmppComponent) -> Component {
    Component {
        domain: component.domain.clone(),
        server: component.server.to_string(),
        secret: Secret::new(component.secret.expose()),
        anywhere: component.insecure,
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
