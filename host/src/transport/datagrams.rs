//! The life of a socket for datagrams, as one task: open, carry both ways, end.
//!
//! Three kinds: one that knows one peer, one that is bound to a place of ours, and one that belongs to a group (a socket to hear the group, another
//! from which we send to it and at which single members answer). While the mailbox is full nothing is read, and the system gives up what comes
//! meanwhile. What the network says of single datagrams (nobody is there, too long) ends nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;

use tokio::net::UdpSocket;
use tombolo_core::model::bridge::Peer;
use tombolo_core::model::{Event, Failure, ReasonCode, limits};
use tombolo_core::policy::{ConnectPermit, GroupPermit, Interface, ListenPermit};

use super::outgoing::{Course, Packet};
use super::peers::PeerKey;
use super::slots::{Deaf, Slot};
use super::{listen, resolve, stream};

/// What the socket is for.
#[derive(Debug)]
pub(super) enum Purpose {
    Connect(ConnectPermit),
    Listen(ListenPermit),
    Group(GroupPermit),
}

impl Purpose {
    /// Whose it is.
    pub(super) fn bridge(&self) -> &str {
        match self {
            Self::Connect(permit) => permit.bridge(),
            Self::Listen(permit) => permit.bridge(),
            Self::Group(permit) => permit.bridge(),
        }
    }
}

/// An open socket, or two.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UdpSocket,
    /// Where datagrams go that name nobody.
    to: Option<SocketAddr>,
    /// Whether only that peer is heard and spoken to.
    is_connected: bool,
    group: Option<Hearing>,
}

/// What is sent to a group arrives here.
#[derive(Debug)]
struct Hearing {
    socket: UdpSocket,
    /// Ourselves, as others see us.
    own: SocketAddr,
}

/// Lives the socket.
pub(super) async fn run(slot: Slot, purpose: Purpose, key: PeerKey) {
    let opened = stream::opening(&slot, async {
        match &purpose {
            Purpose::Connect(permit) => connect(permit).await,
            Purpose::Listen(permit) => bind(permit).await,
            Purpose::Group(permit) => join(permit),
        }
    });
    let reason = match opened.await {
        Ok(socket) => live(&slot, &socket, &key).await,
        Err(reason) => reason,
    };
    slot.finish(reason).await;
}

/// A socket that knows one peer.
pub(super) async fn connect(permit: &ConnectPermit) -> Result<Socket, Failure> {
    let mut last = Failure::new(ReasonCode::Unreachable, "the host's name has no address");
    for address in resolve::resolve(permit).await? {
        match connected(address).await {
            Ok(socket) => return Ok(Socket { socket, to: Some(address), is_connected: true, group: None }),
            Err(error) => {
                tracing::info!(bridge = permit.bridge(), endpoint = permit.endpoint(), %address, %error, "cannot connect");
                last = Failure::new(ReasonCode::Unreachable, resolve::sentence(&error));
            }
        }
    }
    Err(last)
}

async fn connected(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(any(address)).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// Every address of ours, of this one's family.
fn any(like: SocketAddr) -> SocketAddr {
    let ip = if like.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    SocketAddr::new(ip, 0)
}

/// A socket that is bound to a place of ours.
pub(super) async fn bind(permit: &ListenPermit) -> Result<Socket, Failure> {
    let socket = listen::patiently(permit, || UdpSocket::bind(permit.address())).await?;
    Ok(Socket { socket, to: None, is_connected: false, group: None })
}

fn join(permit: &GroupPermit) -> Result<Socket, Failure> {
    joined(permit).map_err(|error| {
        let (bridge, endpoint) = (permit.bridge(), permit.endpoint());
        tracing::warn!(bridge, endpoint, group = %permit.address(), %error, "cannot join the group");
        Failure::new(ReasonCode::Unreachable, "the group cannot be joined; the log of the host says why")
    })
}

fn joined(permit: &GroupPermit) -> io::Result<Socket> {
    let group = permit.address();
    let hearing = std::net::UdpSocket::from(unbound(group)?);
    rustix::net::sockopt::set_socket_reuseaddr(&hearing, true)?;
    rustix::net::bind(&hearing, &group)?;
    let sending = std::net::UdpSocket::from(unbound(group)?);
    rustix::net::bind(&sending, &any(group))?;
    belong(&hearing, &sending, permit)?;
    // Which address of ours the group sees is what the system would send from.
    let probe = std::net::UdpSocket::from(unbound(group)?);
    belong_as_sender(&probe, permit)?;
    probe.connect(group)?;
    let own = SocketAddr::new(probe.local_addr()?.ip(), sending.local_addr()?.port());
    let hearing = Hearing { socket: UdpSocket::from_std(hearing)?, own };
    Ok(Socket { socket: UdpSocket::from_std(sending)?, to: Some(group), is_connected: false, group: Some(hearing) })
}

fn unbound(like: SocketAddr) -> io::Result<std::os::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let family = if like.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    Ok(socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}

fn belong(hearing: &std::net::UdpSocket, sending: &std::net::UdpSocket, permit: &GroupPermit) -> io::Result<()> {
    use rustix::net::sockopt;
    match (permit.address().ip(), permit.interface()) {
        (IpAddr::V4(group), Some(Interface::Address(IpAddr::V4(own)))) => {
            sockopt::set_ip_add_membership(hearing, &group, own)?;
        }
        (IpAddr::V4(group), None) => sockopt::set_ip_add_membership(hearing, &group, &Ipv4Addr::UNSPECIFIED)?,
        (IpAddr::V4(group), Some(_)) => {
            let index = index(hearing, permit)?;
            sockopt::set_ip_add_membership_with_ifindex(hearing, &group, &Ipv4Addr::UNSPECIFIED, index)?;
        }
        (IpAddr::V6(group), _) => sockopt::set_ipv6_add_membership(hearing, &group, index(hearing, permit)?)?,
    }
    belong_as_sender(sending, permit)
}

/// Our own host's members hear us too.
fn belong_as_sender(socket: &std::net::UdpSocket, permit: &GroupPermit) -> io::Result<()> {
    use rustix::net::sockopt;
    let ttl = u32::from(permit.ttl());
    if permit.address().is_ipv6() {
        sockopt::set_ipv6_multicast_if(socket, index(socket, permit)?)?;
        sockopt::set_ipv6_multicast_hops(socket, ttl)?;
        return Ok(sockopt::set_ipv6_multicast_loop(socket, true)?);
    }
    match permit.interface() {
        Some(Interface::Address(IpAddr::V4(own))) => sockopt::set_ip_multicast_if(socket, own)?,
        Some(_) => {
            let index = index(socket, permit)?;
            sockopt::set_ip_multicast_if_with_ifindex(socket, &Ipv4Addr::UNSPECIFIED, &Ipv4Addr::UNSPECIFIED, index)?;
        }
        None => {}
    }
    sockopt::set_ip_multicast_ttl(socket, ttl)?;
    Ok(sockopt::set_ip_multicast_loop(socket, true)?)
}

/// The interface's number; 0: the system chooses.
fn index(socket: &std::net::UdpSocket, permit: &GroupPermit) -> io::Result<u32> {
    match permit.interface() {
        Some(Interface::Name(name)) => Ok(rustix::net::netdevice::name_to_index(socket, name)?),
        Some(Interface::Address(_)) | None => Ok(0),
    }
}

impl Socket {
    /// The next datagram and who sent it. What we sent to our own group is left out.
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let Some(group) = &self.group else { return self.receive_single(buffer).await };
        loop {
            let (single, all) = (self.socket.readable(), group.socket.readable());
            let received = tokio::select! {
                ready = single => ready.and_then(|()| self.socket.try_recv_from(buffer)),
                ready = all => ready.and_then(|()| group.socket.try_recv_from(buffer)),
            };
            match received {
                Ok((_, from)) if from == group.own => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }

    async fn receive_single(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self.to {
            Some(peer) if self.is_connected => Ok((self.socket.recv(buffer).await?, peer)),
            Some(_) | None => self.socket.recv_from(buffer).await,
        }
    }

    async fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<usize> {
        match self.is_connected {
            true => self.socket.send(bytes).await,
            false => self.socket.send_to(bytes, to).await,
        }
    }

    /// Sends to one address, and counts. A datagram that cannot leave is lost, and the socket goes on.
    pub(super) async fn carry(&self, slot: &Slot, to: SocketAddr, bytes: &[u8]) {
        if self.is_connected && self.to != Some(to) {
            return tracing::debug!(bridge = slot.bridge, "a datagram is for somebody else than the one peer");
        }
        match self.send(to, bytes).await {
            Ok(count) => drop(slot.meter.sent.fetch_add(count as u64, Ordering::Relaxed)),
            Err(error) => {
                tracing::debug!(bridge = slot.bridge, %error, "datagram lost");
                slot.meter.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The next datagram that came, counted; or why there are no more. Says of itself what the network said of single datagrams.
    pub(super) async fn hear<'b>(
        &self,
        slot: &Slot,
        buffer: &'b mut [u8],
    ) -> Result<Option<(&'b [u8], SocketAddr)>, Failure> {
        match self.receive(buffer).await {
            Ok((count, from)) => {
                slot.meter.received.fetch_add(count as u64, Ordering::Relaxed);
                Ok(buffer.get(..count).map(|bytes| (bytes, from)))
            }
            Err(error) if is_about_a_datagram(&error) => {
                tracing::debug!(bridge = slot.bridge, %error, "the network said of a datagram");
                Ok(None)
            }
            Err(error) => Err(Failure::new(ReasonCode::Closed, resolve::sentence(&error))),
        }
    }

    /// Where datagrams go that name nobody.
    pub(super) fn default_peer(&self) -> Option<SocketAddr> {
        self.to
    }
}

/// What routers and hosts report of datagrams that did not arrive, which says nothing of the next one.
fn is_about_a_datagram(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable)
}

/// Carries both ways until the socket is to end; returns why, none if in order.
async fn live(slot: &Slot, socket: &Socket, key: &PeerKey) -> Option<Failure> {
    slot.meter.is_open.store(1, Ordering::Relaxed);
    if slot.tell(Event::Opened(slot.connection)).await.is_err() {
        return None;
    }
    tokio::select! {
        // Unlike a stream, nothing that waits is lost by ending at once: it leaves or it does not.
        outcome = receive(slot, socket, key) => outcome.err(),
        () = transmit(slot, socket, key) => None,
        course = slot.outgoing.failed() => match course {
            Course::Fail(failure) => Some(failure),
            Course::On | Course::Close => None,
        },
    }
}

async fn receive(slot: &Slot, socket: &Socket, key: &PeerKey) -> Result<(), Failure> {
    let mut buffer = vec![0; limits::DATAGRAM_BYTES_MAX];
    loop {
        let Some((bytes, from)) = socket.hear(slot, &mut buffer).await? else { continue };
        let peer = Peer { address: key.seal(&slot.bridge, from, None), identity: None };
        if deliver(slot, peer, bytes).await.is_err() {
            // Nothing more is delivered; what was sent before still leaves.
            std::future::pending::<()>().await;
        }
    }
}

/// Puts a datagram into the mailbox, unless the socket is to end.
pub(super) async fn deliver(slot: &Slot, peer: Peer, bytes: &[u8]) -> Result<(), Deaf> {
    let event = Event::Datagram { connection: slot.connection, peer, bytes: bytes.to_vec() };
    tokio::select! {
        biased;
        _ = slot.outgoing.turned() => Err(Deaf),
        told = slot.tell(event) => told,
    }
}

async fn transmit(slot: &Slot, socket: &Socket, key: &PeerKey) {
    while let Some(packets) = slot.outgoing.take_packets().await {
        for Packet { to, bytes } in packets {
            let to = match to {
                Some(handle) => key.open(&slot.bridge, &handle, None),
                None => socket.default_peer(),
            };
            match to {
                Some(to) => socket.carry(slot, to, &bytes).await,
                None => tracing::debug!(bridge = slot.bridge, "a datagram is for nobody that was heard here"),
            }
        }
    }
}
