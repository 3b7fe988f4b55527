//! DTLS 1.2: keys by identity, or certificates.
//!
//! Owns what an endpoint says of them, checked and ready for use; the protocol itself is dimpl's (`host/decisions/0009-dtls-by-dimpl.md`).
//! Keys stay here: a mapper is told which identity was proved, never how. Certificates are checked as with TLS, and must be signed by a trust
//! anchor itself, since only the peer's own certificate is handed over.

mod client;
mod rehearsal;
mod server;
mod session;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dimpl::crypto::Dtls12CipherSuite;
use dimpl::{Config, Dtls, DtlsCertificate, PskResolver};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tombolo_core::model::limits;

use super::tls::{self, Anchors, TlsError, TlsMaterial};

pub(super) use client::run as run_client;
pub use rehearsal::rehearse;
pub(super) use server::run as run_server;

use session::Session;

/// Keys by identity.
pub type PskTable = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a client of DTLS shows, and how it checks the server.
#[derive(Clone)]
pub(super) struct DtlsClient {
    own: Own,
    maker: Arc<Maker>,
    check: Option<(Arc<dyn ServerCertVerifier>, Option<ServerName<'static>>)>,
}

/// What a server of DTLS knows, and how it checks clients.
#[derive(Clone)]
pub(super) struct DtlsServer {
    own: Own,
    maker: Arc<Maker>,
    check: Option<Arc<dyn ClientCertVerifier>>,
}

#[derive(Clone)]
enum Own {
    /// Keys; a client's identity is the one to show.
    Keys {
        identity: Option<Vec<u8>>,
        keys: Arc<PskTable>,
    },
    Certificate(DtlsCertificate),
}

impl fmt::Debug for DtlsClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("DtlsClient(..)")
    }
}

impl fmt::Debug for DtlsServer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("DtlsServer(..)")
    }
}

impl DtlsClient {
    /// One that shows this identity.
    pub(super) fn with_key(identity: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let keys = Arc::new(PskTable::from([(identity.to_vec(), key.to_vec())]));
        let own = Own::Keys { identity: Some(identity.to_vec()), keys };
        Ok(Self { maker: Maker::of(&own, false)?, own, check: None })
    }

    /// One that checks the server's certificate, and shows its own if it has one.
    pub(super) fn with_certificates(anchors: &Anchors, material: TlsMaterial<'_>) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = tls::roots(anchors, material.ca)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let verifier = verifier.map_err(|error| TlsError::Rejected(rustls::Error::General(error.to_string())))?;
        let own = match material.identity {
            Some(identity) => own_certificate(identity)?,
            // Nobody knows it, so it proves nothing; a server that asks for none never sees it.
            None => nobody()?,
        };
        let (own, name) = (Own::Certificate(own), material.server_name.map(tls::name).transpose()?);
        Ok(Self { maker: Maker::of(&own, false)?, own, check: Some((verifier, name)) })
    }

    /// Whom the server has proved to be, if it is who it should be.
    fn proved(&self, host: &str, certificate: Option<&[u8]>) -> Result<Option<String>, String> {
        let Some((verifier, name)) = &self.check else {
            let Own::Keys { identity, .. } = &self.own else { return Ok(None) };
            return Ok(identity.as_deref().map(|identity| String::from_utf8_lossy(identity).into_owned()));
        };
        let der = certificate.ok_or("the server showed no certificate")?;
        let name = match name {
            Some(name) => name.clone(),
            None => tls::name(host).map_err(|error| error.to_string())?,
        };
        let certificate = CertificateDer::from(der);
        let checked = verifier.verify_server_cert(&certificate, &[], &name, &[], UnixTime::now());
        checked.map_err(|error| error.to_string())?;
        Ok(tls::subject(der))
    }
}

impl DtlsServer {
    /// One that knows these keys.
    pub(super) fn with_keys(keys: PskTable) -> Result<Self, TlsError> {
        let own = Own::Keys { identity: None, keys: Arc::new(keys) };
        Ok(Self { maker: Maker::of(&own, false)?, own, check: None })
    }

    /// One that shows its certificate; with `ca`, clients have to show one as well.
    pub(super) fn with_certificates(material: TlsMaterial<'_>) -> Result<Self, TlsError> {
        let identity = material.identity.ok_or(TlsError::NoIdentity)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let check = material.ca.map(|ca| tls::client_verifier(provider, ca)).transpose()?;
        let own = Own::Certificate(own_certificate(identity)?);
        Ok(Self { maker: Maker::of(&own, check.is_some())?, own, check })
    }

    /// Whom the client has proved to be, if that is enough.
    fn proved(&self, identity: Option<Vec<u8>>, certificate: Option<&[u8]>) -> Result<Option<String>, String> {
        match (&self.own, &self.check) {
            (Own::Keys { .. }, _) => Ok(identity.map(|identity| String::from_utf8_lossy(&identity).into_owned())),
            (Own::Certificate(_), None) => Ok(None),
            (Own::Certificate(_), Some(verifier)) => {
                let der = certificate.ok_or("the client showed no certificate")?;
                let certificate = CertificateDer::from(der);
                let checked = verifier.verify_client_cert(&certificate, &[], UnixTime::now());
                checked.map_err(|error| error.to_string())?;
                Ok(tls::subject(der))
            }
        }
    }
}

/// The keys of one endpoint, and which identity was asked for last. One socket can listen at a place, and one task owns it, so that is the
/// identity which its peer just showed.
#[derive(Default)]
struct Keys {
    table: Arc<PskTable>,
    asked: Mutex<Option<Vec<u8>>>,
}

/// Makes the sessions of one endpoint. Made once for all of them: dimpl tries out its whole cryptography each time.
struct Maker {
    config: Arc<Config>,
    certificate: Option<DtlsCertificate>,
    keys: Arc<Keys>,
}

impl Maker {
    fn of(own: &Own, wants_certificate: bool) -> Result<Arc<Self>, TlsError> {
        let (keys, certificate) = match own {
            Own::Keys { keys, .. } => (Arc::new(Keys { table: Arc::clone(keys), asked: Mutex::default() }), None),
            Own::Certificate(certificate) => (Arc::default(), Some(certificate.clone())),
        };
        let config = config(own, &keys, wants_certificate);
        let config = config.map_err(|error| TlsError::Rejected(rustls::Error::General(error.to_string())))?;
        Ok(Arc::new(Self { config: Arc::new(config), certificate, keys }))
    }

    fn session(&self, is_client: bool) -> Session {
        let (config, now) = (Arc::clone(&self.config), Instant::now());
        let mut dtls = match &self.certificate {
            None => Dtls::new_12_psk(config, now),
            Some(own) => Dtls::new_12(config, own.clone(), now),
        };
        dtls.set_active(is_client);
        Session::new(dtls, now)
    }
}

impl Keys {
    /// The identity that was shown since this was last asked.
    fn take_asked(&self) -> Option<Vec<u8>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl PskResolver for Keys {
    fn resolve(&self, identity: &[u8]) -> Option<Vec<u8>> {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity.to_vec());
        self.table.get(identity).cloned()
    }
}

/// How a session is to behave.
fn config(own: &Own, keys: &Arc<Keys>, wants_certificate: bool) -> Result<Config, dimpl::Error> {
    let builder = Config::builder()
        .mtu(limits::DTLS_DATAGRAM_BYTES)
        .handshake_timeout(Duration::from_millis(limits::CONNECT_DEADLINE_MS))
        .require_client_certificate(wants_certificate)
        .dtls13_cipher_suites(&[]);
    let resolver = Arc::clone(keys) as Arc<dyn PskResolver>;
    match own {
        Own::Certificate(_) => builder.build(),
        Own::Keys { identity, .. } => {
            let builder = builder.dtls12_cipher_suites(&[Dtls12CipherSuite::PSK_AES128_CCM_8]);
            match identity {
                Some(identity) => builder.with_psk_client(identity.clone(), resolver).build(),
                None => builder.with_psk_server(None, resolver).build(),
            }
        }
    }
}

fn own_certificate((certificate, key): (&[u8], &[u8])) -> Result<DtlsCertificate, TlsError> {
    let certificates = tls::certificates("the certificate", certificate)?;
    let first = certificates.first().ok_or(TlsError::NoIdentity)?;
    let own =
        DtlsCertificate { certificate: first.to_vec(), private_key: tls::private_key(key)?.secret_der().to_vec() };
    usable(own)
}

/// A key that proves nothing, with a certificate that is none: dimpl wants both even of a client that nobody asks for them.
fn nobody() -> Result<DtlsCertificate, TlsError> {
    // ECPrivateKey (RFC 5915) of 32 random bytes on P-256.
    let head = [0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];
    let curve = [0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let private_key = [head.as_slice(), &rand::random::<[u8; 32]>(), &curve].concat();
    usable(DtlsCertificate { certificate: vec![0x30, 0x00], private_key })
}

/// Keys are of elliptic curves; another one would end the first handshake.
fn usable(own: DtlsCertificate) -> Result<DtlsCertificate, TlsError> {
    let provider = dimpl::crypto::rust_crypto::default_provider();
    match provider.key_provider.load_private_key(&own.private_key) {
        Ok(_) => Ok(own),
        Err(_) => Err(TlsError::Rejected(rustls::Error::General(
            "DTLS needs a key of the elliptic curves P-256 or P-384".to_owned(),
        ))),
    }
}
