//! TLS towards devices and brokers, in both roles.
//!
//! Owns trust anchors and keys. Verification is never off: who has a certificate of his own making names it as `ca`. As a server we ask
//! for certificates of clients only where the operator says by whom they are signed.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, server};
use x509_cert::der::Decode;

/// The system's trust anchors.
#[derive(Clone, Debug)]
pub struct Anchors(Arc<RootCertStore>);

impl Anchors {
    /// Reads them. A system without any is no error: endpoints may name their own. Blocks.
    pub fn system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "trust anchor not usable");
        }
        let mut store = RootCertStore::empty();
        let (taken, ignored) = store.add_parsable_certificates(found.certs);
        tracing::debug!(taken, ignored, "trust anchors of the system");
        Self(Arc::new(store))
    }
}

/// What the operator wrote about TLS for one endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsMaterial<'a> {
    /// Trust anchors beside the system's, as PEM.
    pub ca: Option<&'a [u8]>,
    /// The client's certificate and those that lead to a trust anchor, and its private key, as PEM.
    pub identity: Option<(&'a [u8], &'a [u8])>,
    /// Whom the peer's certificate must be for, if not for the host.
    pub server_name: Option<&'a str>,
}

/// The material cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It is no PEM, or not the right one.
    #[error("{what} cannot be read: {source}")]
    Pem {
        /// Which part.
        what: &'static str,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// It does not go together, or is not supported.
    #[error("the certificates cannot be used: {0}")]
    Rejected(#[from] rustls::Error),
    /// A server has no certificate.
    #[error("clients have to know whom they speak to: there is no certificate")]
    NoIdentity,
    /// No certificate can be for this name.
    #[error("\"{0}\" is no name that a certificate can be for")]
    Name(String),
}

/// The material, ready for use.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl TlsClient {
    /// Checks the material.
    pub fn new(anchors: &Anchors, material: TlsMaterial<'_>) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = builder.with_root_certificates(roots(anchors, material.ca)?);
        let config = match material.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates("the client certificate", certificate)?, private_key(key)?)?,
        };
        let server_name = material.server_name.map(name).transpose()?;
        Ok(Self { config: Arc::new(config), server_name })
    }

    /// The handshake over a connected stream; `host` is whom the certificate must be for unless the material says otherwise.
    pub(super) async fn handshake(&self, host: &str, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let server_name = match &self.server_name {
            Some(name) => name.clone(),
            None => name(host).map_err(std::io::Error::other)?,
        };
        TlsConnector::from(Arc::clone(&self.config)).connect(server_name, stream).await
    }
}

/// A server's material, ready for use.
#[derive(Clone, Debug)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
}

impl TlsServer {
    /// Checks the material. With `ca`, clients have to show a certificate that leads there.
    pub fn new(material: TlsMaterial<'_>) -> Result<Self, TlsError> {
        let Some((certificate, key)) = material.identity else { return Err(TlsError::NoIdentity) };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = match material.ca {
            None => builder.with_no_client_auth(),
            Some(ca) => builder.with_client_cert_verifier(client_verifier(provider, ca)?),
        };
        let config = builder.with_single_cert(certificates("the certificate", certificate)?, private_key(key)?)?;
        Ok(Self { config: Arc::new(config) })
    }

    /// The handshake over an accepted stream, and whom the client has proved to be.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
    ) -> std::io::Result<(server::TlsStream<TcpStream>, Option<String>)> {
        let stream = TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).await?;
        let first = stream.get_ref().1.peer_certificates().and_then(|all| all.first());
        let identity = first.and_then(|certificate| subject(certificate));
        Ok((stream, identity))
    }
}

/// Takes the certificates of clients that lead to these trust anchors.
pub(super) fn client_verifier(
    provider: Arc<CryptoProvider>,
    ca: &[u8],
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates("the trust anchor", ca)? {
        store.add(certificate)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider).build();
    verifier.map_err(|error| TlsError::Rejected(rustls::Error::General(error.to_string())))
}

/// Whom a certificate is for, as RFC 4514 writes names: `CN=meter-7,O=Example`.
pub(super) fn subject(der: &[u8]) -> Option<String> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    Some(certificate.tbs_certificate().subject().to_string())
}

pub(super) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|source| TlsError::Pem { what: "the private key", source })
}

pub(super) fn roots(anchors: &Anchors, ca: Option<&[u8]>) -> Result<Arc<RootCertStore>, TlsError> {
    let Some(ca) = ca else { return Ok(Arc::clone(&anchors.0)) };
    let mut store = RootCertStore::clone(&anchors.0);
    for certificate in certificates("the trust anchor", ca)? {
        store.add(certificate)?;
    }
    Ok(Arc::new(store))
}

pub(super) fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err(TlsError::Pem { what, source: rustls_pki_types::pem::Error::NoItemsFound })
        }
        found => found.map_err(|source| TlsError::Pem { what, source }),
    }
}

pub(super) fn name(text: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(text.to_owned()).map_err(|_| TlsError::Name(text.to_owned()))
}
