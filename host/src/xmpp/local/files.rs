//! The files of the private server: its configuration, its accounts, our own password and the port that it had.
//!
//! Owns what is in them and who may read them. Starts nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jid::BareJid;
use rand::Rng;
use rand::distr::Alphanumeric;
use tombolo_core::model::Secret;
use tombolo_core::model::account::LocalServerSettings;

use super::{LocalError, OWN_NAME};

/// Letters and digits of our own password: 190 bits.
const OWN_PASSWORD_LETTERS: usize = 32;

/// What is under the directory, once it is written.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) directory: PathBuf,
    pub(super) domain: String,
    pub(super) settings: LocalServerSettings,
    pub(super) own_jid: BareJid,
    pub(super) own_password: Secret,
}

impl Files {
    /// Makes the directory, our own password and the accounts.
    pub(super) fn prepare(directory: &Path, settings: LocalServerSettings) -> Result<Self, LocalError> {
        let domain = settings.domain.domain().to_string();
        let own_jid = address(OWN_NAME, &domain)?;
        let directory = absolute(directory)?;
        make_directory(&directory)?;
        // Empty; without it the server complains at each start.
        make_directory(&directory.join("certificates"))?;
        let own_password = own_password(&directory.join("password"))?;
        let files = Self { domain, directory, settings, own_jid, own_password };
        files.write_accounts(&files.settings.accounts)?;
        Ok(files)
    }

    /// Writes the accounts and removes those that are no longer wanted. The server reads them at each login.
    pub(super) fn write_accounts(&self, accounts: &BTreeMap<String, Secret>) -> Result<(), LocalError> {
        if accounts.contains_key(OWN_NAME) {
            return Err(LocalError::Settings(format!("accounts: `{OWN_NAME}` is tombolo's own; choose another name")));
        }
        let folder = self.directory.join("data").join(encoded(&self.domain)).join("accounts");
        make_directory(&folder)?;
        let mut kept = vec![self.write_account(&folder, &self.own_jid, &self.own_password)?];
        for (name, password) in accounts {
            kept.push(self.write_account(&folder, &address(name, &self.domain)?, password)?);
        }
        for entry in fs::read_dir(&folder).map_err(file_error(&folder))?.flatten() {
            if !kept.contains(&entry.path()) {
                fs::remove_file(entry.path()).map_err(file_error(&entry.path()))?;
            }
        }
        Ok(())
    }

    fn write_account(&self, folder: &Path, jid: &BareJid, password: &Secret) -> Result<PathBuf, LocalError> {
        let name = jid.node().map(|node| node.to_string()).unwrap_or_default();
        let path = folder.join(format!("{}.dat", encoded(&name)));
        write_private(&path, &format!("return {{\n\t[\"password\"] = {};\n}};\n", quoted(password.expose())))?;
        Ok(path)
    }

    /// Writes the configuration for this address, and says where it is.
    pub(super) fn write_configuration(&self, address: SocketAddr) -> Result<PathBuf, LocalError> {
        let path = self.directory.join("prosody.cfg.lua");
        write_private(&path, &configuration(&self.directory, &self.settings, &self.domain, address))?;
        write_private(&self.directory.join("port"), &address.port().to_string())?;
        Ok(path)
    }

    /// A loopback address that is free now: the one it had before, if that is.
    pub(super) fn free_address(&self) -> Result<SocketAddr, LocalError> {
        let former = fs::read_to_string(self.directory.join("port")).ok().and_then(|port| port.trim().parse().ok());
        let candidates = former.into_iter().chain([0]);
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for port in candidates {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| listener.local_addr()) {
                Ok(address) => return Ok(address),
                Err(error) => last = error,
            }
        }
        Err(LocalError::NotStarted(format!("no free port on 127.0.0.1: {last}")))
    }
}

fn configuration(directory: &Path, settings: &LocalServerSettings, domain: &str, address: SocketAddr) -> String {
    let quote_path = |path: &Path| quoted(&path.to_string_lossy());
    let tls = settings.certificate.as_ref().map(|files| {
        let (certificate, key) = (quote_path(&files.certificate), quote_path(&files.key));
        format!("ssl = {{ certificate = {certificate}, key = {key} }}\n")
    });
    format!(
        "-- Written by tombolo at each start; changes are lost.\n\
        daemonize = false\n\
        run_as_root = true\n\
        pidfile = {pidfile}\n\
        data_path = {data}\n\
        certificates = {certificates}\n\
        log = {{ {{ levels = {{ min = \"warn\" }}, to = \"console\" }} }}\n\
        interfaces = {{ {interface} }}\n\
        c2s_ports = {{ {port} }}\n\
        c2s_direct_tls_ports = {{}}\n\
        legacy_ssl_ports = {{}}\n\
        s2s_ports = {{}}\n\
        component_ports = {{}}\n\
        http_ports = {{}}\n\
        https_ports = {{}}\n\
        network_settings = {{ nagle = false }}\n\
        smacks_max_queue_size = 60000\n\
        modules_enabled = {{ \"disco\", \"roster\", \"saslauth\", \"blocklist\", \"pep\", \"smacks\", \"ping\", \"posix\"{tls_module} }}\n\
        -- What cannot be delivered is sent back, and kept by tombolo for whichever client of the account is there next.\n\
        modules_disabled = {{ \"offline\", \"s2s\", \"s2s_auth_certs\" }}\n\
        c2s_require_encryption = {needs_tls}\n\
        allow_unencrypted_plain_auth = false\n\
        authentication = \"internal_plain\"\n\
        storage = \"internal\"\n\
        -- Lines of the operator's own, if there are any.\n\
        Include {more}\n\
        {tls}VirtualHost {host}\n",
        more = quote_path(&directory.join("more*.cfg.lua")),
        tls_module = if tls.is_some() { ", \"tls\"" } else { "" },
        needs_tls = tls.is_some(),
        tls = tls.as_deref().unwrap_or_default(),
        pidfile = quote_path(&directory.join("prosody.pid")),
        data = quote_path(&directory.join("data")),
        certificates = quote_path(&directory.join("certificates")),
        interface = quoted(&address.ip().to_string()),
        port = address.port(),
        host = quoted(domain),
    )
}

fn address(name: &str, domain: &str) -> Result<BareJid, LocalError> {
    BareJid::new(&format!("{name}@{domain}"))
        .map_err(|error| LocalError::Settings(format!("`{name}@{domain}` is no address: {error}")))
}

/// As Prosody names its files.
fn encoded(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        match byte.is_ascii_alphanumeric() {
            true => text.push(char::from(byte)),
            false => text.push_str(&format!("%{byte:02x}")),
        }
    }
    text
}

/// As Lua writes a string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_ascii_control() => quoted.push_str(&format!("\\{:03}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

fn own_password(path: &Path) -> Result<Secret, LocalError> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(Secret::new(text.trim())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file_error(path)(error)),
        Ok(_) | Err(_) => {}
    }
    let password: String = rand::rng().sample_iter(Alphanumeric).take(OWN_PASSWORD_LETTERS).map(char::from).collect();
    write_private(path, &password)?;
    Ok(Secret::new(password))
}

fn absolute(path: &Path) -> Result<PathBuf, LocalError> {
    std::path::absolute(path).map_err(file_error(path))
}

fn make_directory(path: &Path) -> Result<(), LocalError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(file_error(path))
}

/// Replaces the file as a whole, readable by its owner only.
fn write_private(path: &Path, text: &str) -> Result<(), LocalError> {
    let partial = path.with_extension("partial");
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&partial, path)
    };
    write().map_err(file_error(path))
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> LocalError {
    let path = path.to_owned();
    move |source| LocalError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_as_prosody_does() {
        assert_eq!(encoded("tombolo.localhost"), "tombolo%2elocalhost");
        assert_eq!(encoded("ü_1"), "%c3%bc%5f1");
    }

    #[test]
    fn strings_cannot_break_out_of_the_lua_file() {
        assert_eq!(quoted("a\"b\\c\nd"), "\"a\\\"b\\\\c\\010d\"");
    }

    fn settings(accounts: &[&str]) -> LocalServerSettings {
        LocalServerSettings {
            domain: BareJid::new("tombolo.localhost").unwrap(),
            listen: None,
            certificate: None,
            accounts: accounts.iter().map(|name| ((*name).to_owned(), Secret::new("x"))).collect(),
        }
    }

    #[test]
    fn accounts_that_are_no_longer_wanted_go_and_our_password_stays() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("xmpp");
        let first = Files::prepare(&place, settings(&["alice"])).unwrap();
        let alice = place.join("data/tombolo%2elocalhost/accounts/alice.dat");
        assert!(alice.exists());
        let second = Files::prepare(&place, settings(&[])).unwrap();
        assert!(!alice.exists());
        assert_eq!(first.own_password, second.own_password);
    }

    #[test]
    fn our_own_name_is_not_for_people() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Files::prepare(directory.path(), settings(&[OWN_NAME])).is_err());
    }
}
