//! Logging in, being refused, and who is trusted.

use std::net::{Ipv4Addr, SocketAddr};

use tombolo_core::model::account::{CertificateFiles, LocalServerSettings};
use tombolo_core::model::{Account, Secret, TlsMode};

use super::super::SessionEvent;
use super::kit::{Client, Custom, Place, free_port, make_certificates, numbered};

const TLS: &str = "modules_enabled={\"disco\",\"saslauth\",\"smacks\",\"tls\",\"posix\"} c2s_require_encryption=true\n\
    ssl={ key=\"{D}/key.pem\", certificate=\"{D}/cert.pem\" } c2s_direct_tls_ports={ {DIRECT} }\n\
    c2s_direct_tls_ssl={ key=\"{D}/key.pem\", certificate=\"{D}/cert.pem\" }";
const PLAIN_ONLY: &str = "modules_enabled={\"disco\",\"saslauth\",\"posix\"} c2s_require_encryption=false allow_unencrypted_plain_auth=true\n\
    insecure_sasl_mechanisms={} disable_sasl_mechanisms={\"SCRAM-SHA-1\",\"SCRAM-SHA-256\",\"SCRAM-SHA-1-PLUS\",\"SCRAM-SHA-256-PLUS\",\"DIGEST-MD5\"}";

/// The first event that says why there is no connection.
async fn refusal(client: &mut Client) -> String {
    loop {
        match client.next().await {
            SessionEvent::Offline { reason, .. } if reason.contains("refused (os error") => {} // the server starts
            SessionEvent::Offline { reason, .. } | SessionEvent::AuthenticationFailed { reason, .. } => return reason,
            SessionEvent::Online { .. } => panic!("it came online"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn logs_in_to_the_private_server_and_talks() {
    let place = Place::start().await;
    let mut alice = Client::present(place.alice()).await;
    let mut bridge = Client::spawn(place.server.account());
    assert_eq!(bridge.online().await, "bridge@tombolo.localhost/tombolo");
    bridge.send(Some(7), &numbered("alice@tombolo.localhost/there", 1));
    assert_eq!(alice.stanza("message").await.attr("from"), Some("bridge@tombolo.localhost/tombolo"));
    bridge.all_acknowledged(1).await;
    assert_eq!(bridge.acknowledged, [7]);
    bridge.session.close().await;
    alice.session.close().await;
    place.server.stop().await;
}

#[tokio::test]
async fn what_was_handed_over_is_sent_before_the_session_closes() {
    let place = Place::start().await;
    let mut alice = Client::present(place.alice()).await;
    let mut bridge = Client::spawn(place.server.account());
    bridge.online().await;
    (0..300).for_each(|number| bridge.send(None, &numbered("alice@tombolo.localhost/there", number)));
    bridge.session.close().await;
    for number in 0..300 {
        assert_eq!(alice.stanza("message").await.attr("id"), Some(format!("n{number}").as_str()));
    }
    place.server.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_told() {
    let place = Place::start().await;
    let account = Account { password: Secret::new("wrong"), ..place.alice() };
    let mut client = Client::spawn(account);
    match client.next().await {
        SessionEvent::AuthenticationFailed { reason, retry_in } => {
            assert!(reason.contains("not-authorized"), "{reason}");
            assert!(retry_in.as_secs() >= 5);
        }
        other => panic!("{other:?}"),
    }
    client.session.close().await;
    place.server.stop().await;
}

#[tokio::test]
async fn accounts_can_change_while_the_server_runs() {
    let place = Place::start().await;
    place.server.reload(&[("carol".to_owned(), Secret::new("x"))].into()).unwrap();
    let jid = jid::Jid::new("carol@tombolo.localhost/a").unwrap();
    let mut carol = Client::spawn(Account { jid, password: Secret::new("x"), ..place.alice() });
    assert_eq!(carol.online().await, "carol@tombolo.localhost/a");
    let mut alice = Client::spawn(place.alice());
    assert!(refusal(&mut alice).await.contains("not-authorized"));
    place.server.stop().await;
}

#[tokio::test]
async fn who_comes_from_the_network_needs_tls_and_so_do_we() {
    let directory = tempfile::tempdir().unwrap();
    make_certificates(directory.path());
    let file = |name: &str| directory.path().join(name);
    let files = CertificateFiles { certificate: file("cert.pem"), key: file("key.pem") };
    let ca = file("ca.pem");
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, free_port().await));
    let place = Place::start_with(directory, Some(listen), Some(files)).await;
    let bridge = Client::present(place.server.account()).await;
    let reached = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port())).into());
    assert_eq!((place.server.address(), place.server.account().server), (listen, reached));
    let mut alice = Client::spawn(Account { ca: vec![ca], ..place.alice() });
    assert_eq!(alice.online().await, "alice@tombolo.localhost/there");
    let mut careless = Client::spawn(Account { tls: TlsMode::Insecure, ..place.alice() });
    assert!(refusal(&mut careless).await.contains("requires TLS"));
    bridge.session.close().await;
    place.server.stop().await;
}

#[tokio::test]
async fn without_a_certificate_nobody_comes_from_the_network() {
    let directory = tempfile::tempdir().unwrap();
    let domain = jid::BareJid::new("tombolo.localhost").unwrap();
    let listen = Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, free_port().await)));
    let settings = LocalServerSettings { domain, listen, certificate: None, accounts: [].into() };
    let refusal = super::super::local::start(directory.path(), settings).await.unwrap_err();
    assert!(refusal.to_string().contains("give it a certificate"), "{refusal}");
}

#[tokio::test]
async fn an_unreachable_server_is_told_with_the_reason() {
    let place = Place::start().await;
    let account = Account { server: Some("127.0.0.1:1".parse().unwrap()), ..place.alice() };
    let mut client = Client::spawn(account);
    match client.next().await {
        SessionEvent::Offline { reason, .. } => assert!(reason.contains("127.0.0.1:1"), "{reason}"),
        other => panic!("{other:?}"),
    }
    client.session.close().await;
    place.server.stop().await;
}

#[tokio::test]
async fn a_server_with_a_certificate_of_its_own_is_trusted_by_ca_and_only_then() {
    let server = Custom::start(make_certificates, TLS).await;
    for (mode, ca) in [(TlsMode::Required, "ca.pem"), (TlsMode::Direct, "ca.pem"), (TlsMode::Required, "cert.pem")] {
        let mut client = Client::spawn(server.account(mode, &[ca]));
        assert_eq!(client.online().await, "me@tls.test/here", "{mode:?} {ca}");
        client.session.close().await;
    }
    for mode in [TlsMode::Required, TlsMode::Direct] {
        let mut stranger = Client::spawn(server.account(mode, &[]));
        let reason = refusal(&mut stranger).await;
        assert!(reason.contains("certificate"), "{reason}");
        stranger.session.close().await;
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let server = Custom::start(make_certificates, &format!("{TLS}\nVirtualHost \"other.test\"")).await;
    for ca in ["ca.pem", "cert.pem"] {
        let account =
            Account { jid: jid::Jid::new("me@other.test").unwrap(), ..server.account(TlsMode::Required, &[ca]) };
        let mut client = Client::spawn(account);
        let reason = refusal(&mut client).await;
        assert!(reason.contains("not valid for name"), "{reason}");
    }
}

#[tokio::test]
async fn a_server_that_requires_tls_is_not_talked_to_without() {
    let server = Custom::start(make_certificates, TLS).await;
    let mut client = Client::spawn(server.account(TlsMode::Insecure, &[]));
    let reason = refusal(&mut client).await;
    assert!(reason.contains("requires TLS"), "{reason}");
}

#[tokio::test]
async fn the_password_is_never_sent_in_the_clear() {
    let server = Custom::start(|_| {}, PLAIN_ONLY).await;
    let mut client = Client::spawn(server.account(TlsMode::Insecure, &[]));
    let reason = refusal(&mut client).await;
    assert!(reason.contains("never sent in the clear"), "{reason}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_required() {
    let server = Custom::start(|_| {}, PLAIN_ONLY).await;
    let mut client = Client::spawn(server.account(TlsMode::Required, &[]));
    let reason = refusal(&mut client).await;
    assert!(reason.contains("offers no TLS"), "{reason}");
}
