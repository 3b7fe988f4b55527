//! From a permit to addresses, and to a connected TCP stream.
//!
//! Order: the host is resolved, each address is held against the permit, and those that pass are tried in the order in which the
//! resolver gave them. What a mapper is told never contains an address; the log has it.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpStream, lookup_host};
use tombolo_core::model::{Failure, ReasonCode};
use tombolo_core::policy::ConnectPermit;

/// Resolves and connects.
pub(super) async fn connect(permit: &ConnectPermit) -> Result<TcpStream, Failure> {
    let mut last = Failure::new(ReasonCode::Unreachable, "the host's name has no address");
    for address in resolve(permit).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(prepared(stream)),
            Err(error) => {
                tracing::info!(bridge = permit.bridge(), endpoint = permit.endpoint(), %address, %error, "cannot connect");
                last = Failure::new(ReasonCode::Unreachable, sentence(&error));
            }
        }
    }
    Err(last)
}

/// The addresses that the permit lets pass.
pub(super) async fn resolve(permit: &ConnectPermit) -> Result<Vec<SocketAddr>, Failure> {
    let (bridge, endpoint) = (permit.bridge(), permit.endpoint());
    let found = lookup_host((permit.host(), permit.port())).await.map_err(|error| {
        tracing::info!(bridge, endpoint, host = permit.host(), %error, "cannot resolve");
        Failure::new(ReasonCode::Unreachable, "the host's name cannot be resolved")
    })?;
    let (mut allowed, mut is_refused) = (Vec::new(), false);
    for address in found {
        match permit.allows(address.ip()) {
            Ok(()) => allowed.push(address),
            Err(refusal) => {
                is_refused = true;
                tracing::warn!(bridge, endpoint, reason = %refusal, "address refused");
            }
        }
    }
    if allowed.is_empty() && is_refused {
        let what = "the host's name leads to an address that is not granted; the log of the host says which";
        return Err(Failure::new(ReasonCode::AccessDenied, what));
    }
    Ok(allowed)
}

/// Device protocols exchange small packets and fall silent for long: no waiting to fill segments, and a peer that vanished is noticed.
pub(super) fn prepared(stream: TcpStream) -> TcpStream {
    use rustix::net::sockopt;
    let outcome = stream
        .set_nodelay(true)
        .and_then(|()| Ok(sockopt::set_socket_keepalive(&stream, true)?))
        .and_then(|()| Ok(sockopt::set_tcp_keepidle(&stream, std::time::Duration::from_secs(60))?));
    if let Err(error) = outcome {
        tracing::debug!(%error, "socket option not set");
    }
    stream
}

/// What went wrong, for a mapper.
pub(super) fn sentence(error: &io::Error) -> String {
    let text = match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused",
        io::ErrorKind::ConnectionReset => "the peer reset the connection",
        io::ErrorKind::BrokenPipe => "the peer closed the connection while something was sent",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "the host cannot be reached",
        io::ErrorKind::TimedOut => "the peer does not answer",
        io::ErrorKind::UnexpectedEof => "the peer ended the connection without ending TLS",
        _ => return format!("the connection failed: {}", error.kind()),
    };
    text.to_owned()
}
