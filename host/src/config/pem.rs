//! Certificates and keys: read when the file is, so that a change of the file is refused as a whole when one of them is bad.

use std::fmt;
use std::path::PathBuf;

use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tombolo_core::model::Secret;
use tombolo_core::model::account::CertificateFiles;

use super::document::{Field, Section};
use super::secret;

/// A PEM file with at least one certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// Where it was read from.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Pem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pem({})", self.path.display())
    }
}

/// What a client shows to prove who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its certificate, and those that lead to a trust anchor.
    pub certificate: Pem,
    /// The private key as PEM text.
    pub key: Secret,
}

impl Pem {
    /// Reads the file that a field names.
    pub(super) fn read(field: &Field<'_>) -> Option<Self> {
        let path = field.path()?;
        match std::fs::read(&path).map_err(|error| error.to_string()).and_then(with_certificates) {
            Ok(bytes) => Some(Self { path, bytes }),
            Err(what) => {
                field.complain(format!("cannot use {}: {what}", path.display()));
                None
            }
        }
    }
}

impl Identity {
    /// Reads `certificate` and `key`, which come together or not at all.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let (certificate, key) = pair(section)?;
        let certificate = Pem::read(&certificate);
        let key = read_key(&key);
        Some(Self { certificate: certificate?, key: key? })
    }
}

/// Reads `certificate` and `key` as paths of files that another program will read. The certificate must be for this domain.
pub(super) fn certificate_files(section: &mut Section<'_>, domain: Option<&str>) -> Option<CertificateFiles> {
    let (certificate, key) = pair(section)?;
    let pem = Pem::read(&certificate);
    let path = key.path().filter(|_| read_key(&key).is_some());
    let pem = pem?;
    if let Err(what) = is_for(&pem, domain?) {
        certificate.complain(format!("{what}; clients would refuse it"));
        return None;
    }
    Some(CertificateFiles { certificate: pem.path, key: path? })
}

/// `certificate` and `key`, which come together or not at all.
fn pair<'a>(section: &mut Section<'a>) -> Option<(Field<'a>, Field<'a>)> {
    match (section.take("certificate"), section.take("key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (certificate, key) => {
            let alone = certificate.or(key)?;
            alone.complain("a certificate and its key come together; write both `certificate` and `key`");
            None
        }
    }
}

/// Whether the first certificate of a file is for this domain (RFC 6125; a common name alone does not count).
fn is_for(pem: &Pem, domain: &str) -> Result<(), String> {
    let first = CertificateDer::pem_slice_iter(&pem.bytes).next();
    let Some(Ok(first)) = first else { return Err("no certificate in PEM form found".to_owned()) };
    let name = ServerName::try_from(domain).map_err(|_| format!("no certificate can be for {domain}"))?;
    let parsed = ParsedCertificate::try_from(&first).map_err(|error| error.to_string())?;
    verify_server_name(&parsed, &name)
        .map_err(|_| format!("{} is not for {domain} (subjectAltName)", pem.path.display()))
}

/// A path, as for a certificate, or a secret that holds the PEM text.
fn read_key(field: &Field<'_>) -> Option<Secret> {
    let key = match field.value.is_table() {
        true => secret::read(field)?,
        false => secret::read_file(field, field)?,
    };
    if PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).is_err() {
        field.complain("no private key in PEM form found");
        return None;
    }
    Some(key)
}

fn with_certificates(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes).collect();
    if certificates.is_empty() {
        return Err("no certificate in PEM form found".to_owned());
    }
    match certificates.into_iter().find_map(Result::err) {
        Some(error) => Err(error.to_string()),
        None => Ok(bytes),
    }
}
