//! TCP towards a server: finding the address, connecting, and the two socket options without which XMPP is slow.
//!
//! Owns resolution (SRV, RFC 6120 §3.2.1; addresses by the system) and the socket. Never speaks a byte of XMPP.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::account::{Account, TlsMode};

/// How long one address may take to answer.
const ADDRESS_DEADLINE: Duration = Duration::from_secs(10);
/// How long the resolver may take for SRV records before the domain itself is tried.
const SRV_DEADLINE: Duration = Duration::from_secs(5);

/// Why an address outside this machine is refused.
const INSECURE: &str = "tls = \"insecure\" is for those only; write tls = \"required\"";

/// A socket that sends at once and acknowledges at once.
///
/// COMPAT: a server with Nagle's algorithm on (Prosody ships so) waits for our acknowledgement before it sends the second
/// part of an answer, and the kernel delays that by 40 ms unless told otherwise after each read.
#[derive(Debug)]
pub(super) struct Wire(TcpStream);

/// Connects to the server of `account`; the error says what was tried.
pub(super) async fn connect(account: &Account) -> Result<Wire, String> {
    let mut tried = Vec::new();
    let refusal = (account.tls == TlsMode::Insecure).then_some(INSECURE);
    for (host, port) in targets(account).await? {
        match connect_host(&host, port, refusal).await {
            Ok(wire) => return Ok(wire),
            Err(reason) => tried.push(format!("{host}:{port}: {reason}")),
        }
    }
    Err(tried.join("; "))
}

/// Host and port of each candidate, best first.
async fn targets(account: &Account) -> Result<Vec<(String, u16)>, String> {
    let (service, default_port) = match account.tls {
        TlsMode::Direct => ("_xmpps-client._tcp", 5223),
        TlsMode::Required | TlsMode::Insecure => ("_xmpp-client._tcp", 5222),
    };
    if let Some(server) = &account.server {
        return split_server(server, default_port).map(|target| vec![target]);
    }
    let domain = ascii_domain(account.jid.domain().as_str());
    if account.tls == TlsMode::Insecure || domain.parse::<std::net::IpAddr>().is_ok() {
        return Ok(vec![(domain, default_port)]);
    }
    match srv(service, &domain).await {
        Some(records) if records.iter().all(|(host, _)| host.is_empty()) => {
            Err(format!("{domain} says by its SRV record that it has no {service}"))
        }
        Some(records) => Ok(records.into_iter().filter(|(host, _)| !host.is_empty()).collect()),
        None => Ok(vec![(domain, default_port)]),
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn split_server(server: &str, default_port: u16) -> Result<(String, u16), String> {
    if let Ok(address) = server.parse::<SocketAddr>() {
        return Ok((address.ip().to_string(), address.port()));
    }
    let bare = server.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return Ok((bare.to_owned(), default_port));
    }
    match server.rsplit_once(':') {
        None => Ok((server.to_owned(), default_port)),
        Some((host, port)) => match port.parse() {
            Ok(port) => Ok((host.to_owned(), port)),
            Err(_) => Err(format!("server = \"{server}\": {port} is no port number")),
        },
    }
}

/// The domain as DNS and certificates write it.
pub(super) fn ascii_domain(domain: &str) -> String {
    match Name::from_utf8(domain) {
        Ok(name) => name.to_ascii().trim_end_matches('.').to_owned(),
        Err(_) => domain.to_owned(),
    }
}

/// The SRV records of a service, best first; an empty host means "not offered". `None`: there are no records.
async fn srv(service: &str, domain: &str) -> Option<Vec<(String, u16)>> {
    let resolver = TokioResolver::builder_tokio().ok()?.build().ok()?;
    let lookup = resolver.srv_lookup(format!("{service}.{domain}."));
    let answer = timeout(SRV_DEADLINE, lookup).await.ok()?.ok()?;
    let mut records: Vec<SRV> = answer
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(srv.clone()),
            _ => None,
        })
        .collect();
    records.sort_by_cached_key(|record| (record.priority, lottery(record.weight)));
    let targets = records.iter().map(|record| (record.target.to_ascii().trim_end_matches('.').to_owned(), record.port));
    Some(targets.collect()).filter(|targets: &Vec<_>| !targets.is_empty())
}

/// A draw in which a greater weight tends to come first (RFC 2782).
fn lottery(weight: u16) -> u64 {
    let draw: f64 = rand::random();
    let exponent = -(draw.max(f64::MIN_POSITIVE).ln()) / (f64::from(weight) + 0.1);
    (exponent * 1e6) as u64
}

/// Connects to a server that speaks in clear text; without `anywhere`, only to loopback addresses.
pub(super) async fn connect_clear(server: &str, default_port: u16, anywhere: bool) -> Result<Wire, String> {
    let (host, port) = split_server(server, default_port)?;
    let refusal =
        "components speak in clear text; let the server listen on a loopback address, or write insecure = true";
    let refusal = (!anywhere).then_some(refusal);
    connect_host(&host, port, refusal).await.map_err(|reason| format!("{host}:{port}: {reason}"))
}

/// With a refusal: only to loopback addresses.
async fn connect_host(host: &str, port: u16, refusal: Option<&str>) -> Result<Wire, String> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|error| error.to_string())?;
    let mut last = "no address".to_owned();
    for address in addresses {
        if let Some(refusal) = refusal.filter(|_| !address.ip().is_loopback()) {
            last = format!("{address} is not a loopback address, and {refusal}");
            continue;
        }
        match timeout(ADDRESS_DEADLINE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Wire::new(stream).map_err(|error| error.to_string()),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = "no answer".to_owned(),
        }
    }
    Err(last)
}

impl Wire {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let wire = Self(stream);
        wire.acknowledge_at_once();
        Ok(wire)
    }

    /// The kernel forgets this after a while, so it is said again after each read.
    fn acknowledge_at_once(&self) {
        #[cfg(target_os = "linux")]
        let _ = rustix::net::sockopt::set_tcp_quickack(&self.0, true);
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.0).poll_read(cx, buffer));
        self.acknowledge_at_once();
        Poll::Ready(result)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_is_a_host_with_or_without_port() {
        assert_eq!(split_server("h.example", 5222), Ok(("h.example".into(), 5222)));
        assert_eq!(split_server("h.example:1", 5222), Ok(("h.example".into(), 1)));
        assert_eq!(split_server("127.0.0.1:1", 5222), Ok(("127.0.0.1".into(), 1)));
        assert_eq!(split_server("[::1]:1", 5222), Ok(("::1".into(), 1)));
        assert_eq!(split_server("[::1]", 5222), Ok(("::1".into(), 5222)));
        assert_eq!(split_server("::1", 5222), Ok(("::1".into(), 5222)));
        assert!(split_server("h:port", 5222).is_err());
    }

    #[test]
    fn domains_are_written_as_dns_wants_them() {
        assert_eq!(ascii_domain("bücher.example"), "xn--bcher-kva.example");
        assert_eq!(ascii_domain("example.org"), "example.org");
    }

    #[tokio::test]
    async fn insecure_is_refused_outside_loopback() {
        let refusal = connect_host("192.0.2.1", 5222, Some(INSECURE)).await.unwrap_err();
        assert!(refusal.contains("loopback"), "{refusal}");
    }
}
