//! TLS with authorities of our own.

use std::net::SocketAddr;

use super::*;

/// A certificate authority, and what it has signed for this name.
pub(super) struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pem: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { issuer: rcgen::Issuer::new(parameters, key), pem }
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// Certificate and key.
    pub(super) fn sign(&self, name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        (parameters.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A server that echoes to whoever passes; with `wants_identity`, only to those whom this authority knows.
    async fn serve(&self, name: &str, wants_identity: bool) -> SocketAddr {
        use rustls_pki_types::pem::PemObject;
        use rustls_pki_types::{CertificateDer, PrivateKeyDer};
        let (certificate, key) = self.sign(name);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = if wants_identity {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = builder.with_single_cert(vec![certificate], key).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(echo(acceptor.accept(stream)));
            }
        });
        address
    }
}

async fn echo(accept: tokio_rustls::Accept<TcpStream>) {
    let Ok(stream) = accept.await else { return };
    let (mut reader, mut writer) = tokio::io::split(stream);
    tokio::io::copy(&mut reader, &mut writer).await.ok();
    writer.shutdown().await.ok();
}

/// Opens a connection with this material; what the mapper is told first.
async fn open_tls(address: SocketAddr, material: TlsMaterial<'_>) -> (Home, Event) {
    let mut home = Home::new(&format!("tls://localhost:{}", address.port()), 8);
    let material = Material { tls: material, ..Material::default() };
    let security = home.transport.security(&[Scheme::Tls], false, material).unwrap();
    home.open_with(1, &security);
    let first = home.next().await;
    (home, first)
}

fn refused(event: Event) -> Failure {
    match event {
        Event::Closed { reason: Some(reason), .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn speaks_tls_with_a_peer_whom_the_named_authority_knows() {
    let authority = Authority::new();
    let address = authority.serve("localhost", false).await;
    let material = TlsMaterial { ca: Some(authority.pem.as_bytes()), ..TlsMaterial::default() };
    let (mut home, first) = open_tls(address, material).await;
    assert_eq!(first, Event::Opened(1));
    let sent = pattern(200_000);
    home.transport.send("home", 1, &sent);
    let mut heard = Vec::new();
    while heard.len() < sent.len() {
        if let Event::Data { bytes, .. } = home.next().await {
            heard.extend(bytes);
        }
    }
    assert_eq!(heard, sent);
    home.transport.close("home", 1);
    assert_eq!(home.closed(1).await, None);
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let address = Authority::new().serve("localhost", false).await;
    let (_, first) = open_tls(address, TlsMaterial::default()).await;
    assert_eq!(refused(first).message, "the peer's certificate is not accepted");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_unless_the_operator_names_it() {
    let authority = Authority::new();
    let address = authority.serve("broker.lan", false).await;
    let material = TlsMaterial { ca: Some(authority.pem.as_bytes()), ..TlsMaterial::default() };
    let (_, first) = open_tls(address, material).await;
    assert_eq!(refused(first).message, "the peer's certificate is not accepted");
    let (_, first) = open_tls(address, TlsMaterial { server_name: Some("broker.lan"), ..material }).await;
    assert_eq!(first, Event::Opened(1));
}

#[tokio::test]
async fn shows_its_own_certificate_to_a_peer_that_wants_one() {
    let authority = Authority::new();
    let address = authority.serve("localhost", true).await;
    let (certificate, key) = authority.sign("gateway");
    let material = TlsMaterial {
        ca: Some(authority.pem.as_bytes()),
        identity: Some((certificate.as_bytes(), key.as_bytes())),
        server_name: None,
    };
    let (mut home, first) = open_tls(address, material).await;
    assert_eq!(first, Event::Opened(1));
    home.transport.send("home", 1, b"known");
    assert_eq!(home.bytes(5).await, b"known");
    // TLS 1.3 refuses a client only after the client thinks that it is connected.
    let (mut home, _) = open_tls(address, TlsMaterial { identity: None, ..material }).await;
    assert_eq!(home.closed_because(1).await, ReasonCode::Closed);
}

#[test]
fn material_that_does_not_go_together_is_refused_before_any_connection() {
    let anchors = Anchors::system();
    let (authority, other) = (Authority::new(), Authority::new());
    let (certificate, _) = authority.sign("gateway");
    let (_, key) = other.sign("gateway");
    let identity = Some((certificate.as_bytes(), key.as_bytes()));
    let build = |material| TlsClient::new(&anchors, material).unwrap_err();
    assert!(matches!(build(TlsMaterial { identity, ..TlsMaterial::default() }), TlsError::Rejected(_)));
    assert!(matches!(build(TlsMaterial { ca: Some(b"none"), ..TlsMaterial::default() }), TlsError::Pem { .. }));
    assert!(matches!(build(TlsMaterial { server_name: Some("no name"), ..TlsMaterial::default() }), TlsError::Name(_)));
}

#[tokio::test]
async fn a_listener_knows_whom_its_authority_knows() {
    let (authority, url) = (Authority::new(), datagrams::free("tls"));
    let (certificate, key) = authority.sign("localhost");
    let (device_certificate, device_key) = authority.sign("meter-7");
    let tls = TlsMaterial {
        ca: Some(authority.pem.as_bytes()),
        identity: Some((certificate.as_bytes(), key.as_bytes())),
        server_name: None,
    };
    let mut server = Home::granted(Grant::Listen(tombolo_core::policy::Listener::parse(&url).unwrap()), 8);
    let security = server.transport.security(&[Scheme::Tls], true, Material { tls, ..Material::default() }).unwrap();
    server.open_with(1, &security);
    assert_eq!(server.next().await, Event::Opened(1));
    let address = url.strip_prefix("tls://").unwrap().parse().unwrap();
    let device = TlsMaterial { identity: Some((device_certificate.as_bytes(), device_key.as_bytes())), ..tls };
    let (client, first) = open_tls(address, device).await;
    assert_eq!(first, Event::Opened(1));
    let Event::Accepted { connection, peer, .. } = server.next().await else { panic!("not accepted") };
    assert_eq!(peer.identity.as_deref(), Some("CN=meter-7"));
    client.transport.send("home", 1, b"hello");
    assert_eq!(server.next().await, Event::Data { connection, bytes: b"hello".to_vec() });
    let (mut stranger, _) = open_tls(address, TlsMaterial { identity: None, ..tls }).await;
    assert_eq!(stranger.closed_because(1).await, ReasonCode::Closed);
}
