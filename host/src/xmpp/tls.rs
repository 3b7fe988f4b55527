//! TLS towards a server: whom to trust, and the handshake. Owns no socket and knows no XMPP.
//!
//! Trusted are the system's anchors, those in the account's `ca` files, and any certificate in those files itself: a
//! private server's own certificate can be named there directly. The name is checked in every case.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// RFC 9266: the keying material that binds a login to its TLS connection.
const CHANNEL_BINDING_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// Shakes hands as a client of `domain`. `alpn` is said for direct TLS only (XEP-0368).
pub(super) async fn connect<Io: AsyncRead + AsyncWrite + Unpin>(
    io: Io,
    domain: &str,
    ca: &[PathBuf],
    alpn: bool,
) -> Result<TlsStream<Io>, String> {
    let files = ca.to_vec();
    let trust = tokio::task::spawn_blocking(move || Trust::load(&files)).await.map_err(|error| error.to_string())??;
    let mut config = trust.client_config()?;
    if alpn {
        config.alpn_protocols = vec![b"xmpp-client".to_vec()];
    }
    let name = ServerName::try_from(domain.to_owned()).map_err(|_| format!("{domain} is no name for a certificate"))?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, io);
    handshake.await.map_err(|error| format!("TLS with {domain}: {error}"))
}

/// What a login can be bound to; TLS 1.3 only.
pub(super) fn channel_binding<Io>(stream: &TlsStream<Io>) -> Option<Vec<u8>> {
    let (_, connection) = stream.get_ref();
    if connection.protocol_version() != Some(rustls::ProtocolVersion::TLSv1_3) {
        return None;
    }
    connection.export_keying_material(vec![0; 32], CHANNEL_BINDING_LABEL, None).ok()
}

#[derive(Debug)]
struct Trust {
    anchors: Option<Arc<WebPkiServerVerifier>>,
    named: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Trust {
    fn load(files: &[PathBuf]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let mut named = Vec::new();
        for file in files {
            let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let certificates = certificates.map_err(|error| format!("ca = {}: {error}", file.display()))?;
            if certificates.is_empty() {
                return Err(format!("ca = {}: no certificate in it", file.display()));
            }
            roots.add_parsable_certificates(certificates.iter().cloned());
            named.extend(certificates);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let anchors = match roots.is_empty() {
            true => None,
            false => Some(anchors(roots, &provider)?),
        };
        Ok(Self { anchors, named, provider })
    }

    fn client_config(self) -> Result<ClientConfig, String> {
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&self.provider)).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        // rustls calls any verifier of one's own dangerous. This one adds a single case to its own: a certificate that the
        // operator named; of that only the name is checked, not the dates, for nobody else could have renewed it.
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(self));
        Ok(builder.with_no_client_auth())
    }
}

fn anchors(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, String> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| error.to_string())
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.named.iter().any(|named| named.as_ref() == end_entity.as_ref()) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        match &self.anchors {
            Some(anchors) => anchors.verify_server_cert(end_entity, intermediates, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_ca_file_is_named() {
        let error = Trust::load(&["/nowhere/ca.pem".into()]).unwrap_err();
        assert!(error.contains("/nowhere/ca.pem"), "{error}");
    }

    #[test]
    fn a_ca_file_without_certificate_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Trust::load(&[file.path().into()]).unwrap_err().contains("no certificate"));
    }
}
