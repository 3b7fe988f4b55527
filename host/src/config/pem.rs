//! Certificates and keys: read when the file is, so that a change of the file is refused as a whole when one of them is bad.

use std::fmt;
use std::path::PathBuf;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::document::{Field, Section};
use super::secret::Secret;

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
        let certificate = section.take("certificate");
        let key = section.take("key");
        let (Some(certificate), Some(key)) = (&certificate, &key) else {
            let alone = certificate.or(key)?;
            alone.complain("a certificate and its key come together; write both `certificate` and `key`");
            return None;
        };
        let certificate = Pem::read(certificate);
        let key = read_key(key);
        Some(Self { certificate: certificate?, key: key? })
    }
}

/// A path, as for a certificate, or a secret that holds the PEM text.
fn read_key(field: &Field<'_>) -> Option<Secret> {
    let key = match field.value.is_table() {
        true => Secret::read(field)?,
        false => Secret::read_file(field, field)?,
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
