//! Who a client command is: `--as` with `TOMBOLO_PASSWORD`, else `[client]`, else the first account of `[xmpp.local]`.

use std::path::Path;
use std::str::FromStr;

use jid::Jid;
use tombolo_core::model::{Account, Secret, TlsMode};

use super::super::{Exit, Login};
use crate::admin;
use crate::config::{self, Config, Xmpp};
use crate::xmpp::local::way_to;

const PASSWORD: &str = "TOMBOLO_PASSWORD";

/// The account, and how to reach its server.
pub(super) async fn account(login: &Login) -> Result<Account, Exit> {
    let mut account = match &login.account {
        Some(jid) => named(jid, login).await?,
        None => configured(&login.config).await?,
    };
    if let Some(server) = &login.server {
        account.server = Some(server.parse().map_err(|error| Exit::Usage(format!("--server {error}")))?);
    }
    if let Some(mode) = &login.tls {
        account.tls = tls_mode(mode)?;
    }
    account.ca.extend(login.ca.clone());
    Ok(account)
}

async fn named(jid: &str, login: &Login) -> Result<Account, Exit> {
    let jid = Jid::from_str(jid).map_err(|error| Exit::Usage(format!("--as {jid} is no JID: {error}")))?;
    let password = std::env::var(PASSWORD).ok().map(Secret::new);
    if let Some(mut local) = local(&login.config, Some(&jid)).await? {
        local.password = password.unwrap_or(local.password);
        return Ok(local);
    }
    let password = password
        .ok_or_else(|| Exit::Usage(format!("put the password of {jid} into the environment variable {PASSWORD}")))?;
    Ok(Account { jid, password, server: None, tls: TlsMode::Required, ca: Vec::new() })
}

async fn configured(file: &Path) -> Result<Account, Exit> {
    let nobody = || {
        Exit::Usage(format!("who are you? Give --as JID with {PASSWORD}, or a section [client] in {}", file.display()))
    };
    if !file.exists() {
        return Err(nobody());
    }
    let client = config::Client::load(file).map_err(|error| Exit::Configuration(error.to_string()))?;
    if let Some(client) = client {
        let missing =
            || Exit::Usage(format!("[client] has no password; put it into the environment variable {PASSWORD}"));
        return client.account(std::env::var(PASSWORD).ok().map(Secret::new)).ok_or_else(missing);
    }
    local(file, None).await?.ok_or_else(nobody)
}

/// An account of the private server: this one, or the first.
async fn local(file: &Path, wanted: Option<&Jid>) -> Result<Option<Account>, Exit> {
    if !file.exists() {
        return Ok(None);
    }
    let config = match Config::load(file) {
        Ok(config) => config,
        // Whoever names an account need not be allowed to read the service's file.
        Err(_) if wanted.is_some() => return Ok(None),
        Err(error) => return Err(Exit::Configuration(error.to_string())),
    };
    let Xmpp::Local(local) = &config.xmpp else { return Ok(None) };
    let (jid, password) = match wanted {
        Some(jid) if jid.domain().as_str() != local.domain.domain().as_str() => return Ok(None),
        Some(jid) => {
            let password = jid.node().and_then(|node| local.accounts.get(node.as_str()));
            (jid.clone(), password.cloned().unwrap_or_else(|| Secret::new("")))
        }
        None => {
            let Some((name, password)) = local.accounts.iter().next() else { return Ok(None) };
            let jid = Jid::from_str(&format!("{name}@{}", local.domain))
                .map_err(|error| Exit::Configuration(error.to_string()))?;
            (jid, password.clone())
        }
    };
    let not_running = |error| {
        Exit::Unreachable(format!(
            "the service of {} does not run ({error}); start it with `tombolo run`",
            file.display()
        ))
    };
    let status = admin::ask(&config.state).await.map_err(not_running)?;
    let address = status.xmpp.server.and_then(|address| address.parse().ok());
    let none = || Exit::Unreachable(format!("the service of {} runs without a server of its own", file.display()));
    Ok(Some(way_to(local, address.ok_or_else(none)?, jid, password)))
}

fn tls_mode(mode: &str) -> Result<TlsMode, Exit> {
    match mode {
        "required" => Ok(TlsMode::Required),
        "direct" => Ok(TlsMode::Direct),
        "insecure" => Ok(TlsMode::Insecure),
        other => Err(Exit::Usage(format!("--tls {other}: write required, direct or insecure"))),
    }
}
