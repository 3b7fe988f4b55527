//! How the service gets to its server: as a client or as a component.

use jid::{BareJid, Jid};
use tokio::sync::mpsc;
use tombolo_core::model::Account;

use crate::config;
use crate::xmpp::{self, Component, Session, SessionEvent};

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

/// The domain that the service serves.
pub(crate) fn of_component(component: &config::XmppComponent) -> Component {
    Component {
        domain: component.domain.clone(),
        server: component.server.clone(),
        secret: component.secret.clone(),
        anywhere: component.insecure,
    }
}
