//! TLS towards devices and brokers.
//!
//! Owns trust anchors and client keys. Verification is never off: who has a certificate of his own making names it as `ca`.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::ClientConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

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
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key);
                let key = key.map_err(|source| TlsError::Pem { what: "the private key", source })?;
                builder.with_client_auth_cert(certificates("the client certificate", certificate)?, key)?
            }
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

fn roots(anchors: &Anchors, ca: Option<&[u8]>) -> Result<Arc<RootCertStore>, TlsError> {
    let Some(ca) = ca else { return Ok(Arc::clone(&anchors.0)) };
    let mut store = RootCertStore::clone(&anchors.0);
    for certificate in certificates("the trust anchor", ca)? {
        store.add(certificate)?;
    }
    Ok(Arc::new(store))
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err(TlsError::Pem { what, source: rustls_pki_types::pem::Error::NoItemsFound })
        }
        found => found.map_err(|source| TlsError::Pem { what, source }),
    }
}

fn name(text: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(text.to_owned()).map_err(|_| TlsError::Name(text.to_owned()))
}
