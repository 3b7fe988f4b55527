//! The login on an open stream: SASL (RFC 6120 §6) with SCRAM, and PLAIN inside TLS only.
//!
//! tokio-xmpp has a login of its own; this one also checks the server's signature, escapes the user name, bounds the work
//! that a server may ask for, and tells a refused password from a broken stream. Channel binding only where the server
//! lists `tls-exporter` (XEP-0440).

use std::collections::BTreeSet;

use futures::{SinkExt, StreamExt};
use sasl::client::Mechanism;
use sasl::client::mechanisms::{Plain, Scram};
use sasl::common::scram::{Sha1, Sha256};
use sasl::common::{ChannelBinding, Credentials};
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio_xmpp::xmlstream::{FallibleStreamElement, ReadError, StreamElementError, XmppStream, XmppStreamElement};
use tombolo_core::model::Account;
use xmpp_parsers::sasl::{Auth, Challenge, DefinedCondition, Failure, Nonza, Response};
use xmpp_parsers::sasl_cb::Type;
use xmpp_parsers::stream_features::StreamFeatures;

use super::connector::ConnectError;

/// Hash rounds that a server may ask for: ten times what servers ask for today, a second of work.
const ROUNDS_MAX: u32 = 1_000_000;

type AnyMechanism = Box<dyn Mechanism + Send + Sync>;

/// How far the stream is protected.
#[derive(Debug)]
pub(super) struct Protection {
    /// Inside TLS.
    pub(super) encrypted: bool,
    /// What the login can be bound to.
    pub(super) binding: Option<Vec<u8>>,
}

/// Logs in and gives the transport back for the next stream.
pub(super) async fn login<Io: AsyncBufRead + AsyncWrite + Unpin>(
    mut stream: XmppStream<Io>,
    features: &StreamFeatures,
    account: &Account,
    protection: Protection,
) -> Result<Io, ConnectError> {
    let mut mechanism = choose(features, account, protection)?;
    let name = mechanism.name().parse().map_err(|_| refused("unknown mechanism"))?;
    let data = mechanism.initial();
    send(&mut stream, Nonza::Auth(Auth { mechanism: name, data })).await?;
    loop {
        match receive(&mut stream).await? {
            Nonza::Challenge(challenge) => {
                let data = answer(&mut mechanism, &challenge)?;
                send(&mut stream, Nonza::Response(Response { data })).await?;
            }
            Nonza::Success(success) => {
                mechanism
                    .success(&success.data)
                    .map_err(|error| refused(format!("the server does not know the password either: {error}")))?;
                return Ok(stream.into_inner());
            }
            Nonza::Failure(failure) => return Err(failed(&failure)),
            Nonza::Abort(_) | Nonza::Auth(_) | Nonza::Response(_) => {
                return Err(ConnectError::Failed("the server answered the login with a login".into()));
            }
        }
    }
}

fn choose(features: &StreamFeatures, account: &Account, protection: Protection) -> Result<AnyMechanism, ConnectError> {
    let offered = &features.sasl_mechanisms;
    let user =
        account.jid.node().map(|node| node.as_str().to_owned()).ok_or_else(|| refused("the JID has no user name"))?;
    let listed = features.sasl_cb.as_ref().is_some_and(|listed| listed.types.contains(&Type::TlsExporter));
    let binding = protection.binding.filter(|_| listed);
    let plain = Credentials::default().with_username(user.clone()).with_password(account.password.expose());
    let scram = plain.clone().with_username(escaped(&user));
    let bound = binding.map(|data| scram.clone().with_channel_binding(ChannelBinding::TlsExporter(data)));
    let unbound = scram.with_channel_binding(ChannelBinding::None);
    let scrams = bound.into_iter().chain([unbound]).flat_map(|credentials| {
        let sha256 = Scram::<Sha256>::from_credentials(credentials.clone()).map(|it| Box::new(it) as AnyMechanism);
        let sha1 = Scram::<Sha1>::from_credentials(credentials).map(|it| Box::new(it) as AnyMechanism);
        [sha256, sha1]
    });
    let last = Plain::from_credentials(plain).map(|it| Box::new(it) as AnyMechanism);
    let mut usable = scrams.chain([last].into_iter().filter(|_| protection.encrypted)).flatten();
    usable
        .find(|mechanism| offered.contains(mechanism.name()))
        .ok_or_else(|| none_usable(offered, protection.encrypted))
}

fn none_usable(offered: &BTreeSet<String>, encrypted: bool) -> ConnectError {
    let list = offered.iter().cloned().collect::<Vec<_>>().join(", ");
    if !encrypted && offered.contains("PLAIN") {
        return refused(format!(
            "without TLS the password is never sent in the clear, and the server offers {list} only"
        ));
    }
    refused(format!("no usable login among those that the server offers: {list}"))
}

/// RFC 5802 §5.1: the two characters that SCRAM itself uses.
fn escaped(user: &str) -> String {
    user.replace('=', "=3D").replace(',', "=2C")
}

fn answer(mechanism: &mut AnyMechanism, challenge: &Challenge) -> Result<Vec<u8>, ConnectError> {
    let text = String::from_utf8_lossy(&challenge.data);
    let rounds = text.split(',').find_map(|part| part.strip_prefix("i="));
    if rounds.is_some_and(|rounds| rounds.parse::<u32>().map_or(true, |rounds| rounds > ROUNDS_MAX)) {
        return Err(ConnectError::Failed("the server asks for too many hash rounds".into()));
    }
    mechanism.response(&challenge.data).map_err(|error| refused(error.to_string()))
}

async fn send<Io: AsyncBufRead + AsyncWrite + Unpin>(
    stream: &mut XmppStream<Io>,
    nonza: Nonza,
) -> Result<(), ConnectError> {
    stream.send(&XmppStreamElement::Sasl(nonza)).await.map_err(ConnectError::from)
}

async fn receive<Io: AsyncBufRead + AsyncWrite + Unpin>(stream: &mut XmppStream<Io>) -> Result<Nonza, ConnectError> {
    loop {
        match stream.next().await {
            Some(Ok(FallibleStreamElement::Ok(XmppStreamElement::Sasl(nonza)))) => return Ok(nonza),
            // A failure with a condition that tokio-xmpp does not know is a failure all the same.
            Some(Ok(FallibleStreamElement::Err(StreamElementError::InvalidNonza { qname, .. })))
                if qname.1.as_str() == "failure" =>
            {
                return Err(refused("the server refused the login and gave no known reason"));
            }
            Some(Err(ReadError::SoftTimeout)) => {}
            Some(Ok(FallibleStreamElement::Ok(XmppStreamElement::StreamError(error)))) => {
                return Err(ConnectError::Failed(error.to_string()));
            }
            Some(Ok(_)) => {
                return Err(ConnectError::Failed("the server answered the login with something else".into()));
            }
            Some(Err(error)) => return Err(ConnectError::Failed(error.to_string())),
            None => return Err(ConnectError::Failed("the server closed the connection during the login".into())),
        }
    }
}

fn failed(failure: &Failure) -> ConnectError {
    let condition = kebab(&format!("{:?}", failure.defined_condition));
    let reason = match failure.texts.values().next().filter(|text| !text.is_empty()) {
        Some(text) => format!("the server refused the login: {condition} ({text})"),
        None => format!("the server refused the login: {condition}"),
    };
    match failure.defined_condition {
        DefinedCondition::TemporaryAuthFailure => ConnectError::Failed(reason),
        _ => refused(reason),
    }
}

/// `NotAuthorized` as XMPP writes it: `not-authorized`.
fn kebab(camel: &str) -> String {
    let mut text = String::new();
    for letter in camel.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

fn refused(reason: impl Into<String>) -> ConnectError {
    ConnectError::Refused(reason.into())
}

#[cfg(test)]
mod tests {
    use xmpp_parsers::sasl_cb::SaslChannelBinding;

    use super::*;
    use tombolo_core::model::{Secret, TlsMode};

    fn account() -> Account {
        let jid = jid::Jid::new("me@example.org").unwrap();
        Account { jid, password: Secret::new("x"), server: None, tls: TlsMode::Required, ca: Vec::new() }
    }

    fn chosen(mechanisms: &[&str], cb: bool, encrypted: bool, binding: bool) -> Result<String, String> {
        let features = StreamFeatures {
            sasl_mechanisms: mechanisms.iter().map(|name| (*name).to_owned()).collect(),
            sasl_cb: cb.then(|| SaslChannelBinding { types: vec![Type::TlsExporter] }),
            ..StreamFeatures::default()
        };
        let protection = Protection { encrypted, binding: binding.then(|| vec![0; 32]) };
        match choose(&features, &account(), protection) {
            Ok(mechanism) => Ok(mechanism.name().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_strongest_login_is_chosen() {
        let all = ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"];
        assert_eq!(chosen(&all, true, true, true).unwrap(), "SCRAM-SHA-256-PLUS");
        assert_eq!(chosen(&["PLAIN", "SCRAM-SHA-1"], true, true, true).unwrap(), "SCRAM-SHA-1");
        assert_eq!(chosen(&["PLAIN"], false, true, false).unwrap(), "PLAIN");
    }

    #[test]
    fn the_login_is_bound_only_where_the_server_lists_it() {
        let both = ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"];
        assert_eq!(chosen(&both, false, true, true).unwrap(), "SCRAM-SHA-256");
        assert_eq!(chosen(&both, true, true, false).unwrap(), "SCRAM-SHA-256");
    }

    #[test]
    fn plain_is_refused_without_tls() {
        let refusal = chosen(&["PLAIN"], false, false, false).unwrap_err();
        assert!(refusal.contains("never sent in the clear"), "{refusal}");
    }

    #[test]
    fn user_names_are_escaped_for_scram() {
        assert_eq!(escaped("a=b,c"), "a=3Db=2Cc");
    }

    #[test]
    fn conditions_are_written_as_xmpp_does() {
        assert_eq!(kebab("NotAuthorized"), "not-authorized");
    }
}
