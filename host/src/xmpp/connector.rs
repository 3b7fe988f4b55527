//! From an account to an authenticated stream, ready for tokio-xmpp to bind: TCP, TLS, login, features.
//!
//! Owns the order of these and one deadline over all. It makes one attempt; when to make the next is the session's.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_xmpp::stanzastream::Connection;
use tokio_xmpp::xmlstream::{
    FallibleStreamElement, ReadError, StreamHeader, Timeouts, XmppStream, XmppStreamElement, initiate_stream,
};
use tombolo_core::model::{Account, TlsMode};
use xmpp_parsers::starttls::{Nonza, Request};
use xmpp_parsers::stream_features::StreamFeatures;

use super::filter::{Filter, Link};
use super::sasl::{self, Protection};
use super::{tls, wire};

const CLIENT: &str = "jabber:client";
/// One attempt, from resolution to features.
const DEADLINE: Duration = Duration::from_secs(45);
/// Silence after which the server is asked for a sign of life, and how long it may take for it.
const TIMEOUTS: Timeouts =
    Timeouts { read_timeout: Duration::from_secs(60), response_timeout: Duration::from_secs(20) };

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The server refuses the login, or offers none that is safe.
    #[error("{0}")]
    Refused(String),
    /// The server cannot resume sessions (any more); a new one is needed.
    #[error("the server resumes no sessions")]
    NotResumable,
    /// Anything else; worth another try.
    #[error("{0}")]
    Failed(String),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<String> for ConnectError {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// One attempt. With `resume_only` the connection serves for resuming the session that `link` belongs to, and nothing else.
pub(super) async fn connect(account: Account, link: Arc<Link>, resume_only: bool) -> Result<Connection, ConnectError> {
    let attempt = attempt(&account, link, resume_only);
    timeout(DEADLINE, attempt).await.unwrap_or_else(|_| Err(ConnectError::Failed("the server took too long".into())))
}

async fn attempt(account: &Account, link: Arc<Link>, resume_only: bool) -> Result<Connection, ConnectError> {
    let wire = wire::connect(account).await?;
    let session = Login { account, link, resume_only };
    let domain = wire::ascii_domain(account.jid.domain().as_str());
    if account.tls == TlsMode::Insecure {
        return session.log_in(wire, Protection { encrypted: false, binding: None }).await;
    }
    let direct = account.tls == TlsMode::Direct;
    let wire = if direct { wire } else { session.start_tls(wire).await? };
    let stream = tls::connect(wire, &domain, &account.ca, direct).await?;
    let binding = tls::channel_binding(&stream);
    session.log_in(stream, Protection { encrypted: true, binding }).await
}

struct Login<'a> {
    account: &'a Account,
    link: Arc<Link>,
    resume_only: bool,
}

type Opened<Io> = (StreamFeatures, XmppStream<Filter<Io>>);

impl Login<'_> {
    /// RFC 6120 §5: asks for TLS and gives the socket back, without what came unprotected after the answer.
    async fn start_tls<Io: AsyncRead + AsyncWrite + Unpin>(&self, io: Io) -> Result<Io, ConnectError> {
        let (features, mut stream) = self.open(io, false).await?;
        if !features.can_starttls() {
            return Err(ConnectError::Failed(
                "the server offers no TLS; tls = \"insecure\" is for loopback addresses only".into(),
            ));
        }
        stream.send(&XmppStreamElement::Starttls(Nonza::Request(Request))).await?;
        loop {
            match stream.next().await {
                Some(Ok(FallibleStreamElement::Ok(XmppStreamElement::Starttls(Nonza::Proceed(_))))) => break,
                Some(Err(ReadError::SoftTimeout)) => {}
                _ => return Err(ConnectError::Failed("the server offers TLS and does not start it".into())),
            }
        }
        Ok(stream.into_inner().into_inner())
    }

    async fn log_in<Io: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        io: Io,
        protection: Protection,
    ) -> Result<Connection, ConnectError> {
        let encrypted = protection.encrypted;
        let (features, stream) = self.open(io, encrypted).await?;
        if !encrypted && features.starttls.as_ref().is_some_and(|starttls| starttls.required) {
            return Err(ConnectError::Failed(
                "the server requires TLS; write tls = \"required\", and ca = its certificate".into(),
            ));
        }
        let io = sasl::login(stream, &features, self.account, protection).await?.into_inner();
        let (features, stream) = self.open(io, encrypted).await?;
        if self.resume_only && features.stream_management.is_none() {
            return Err(ConnectError::NotResumable);
        }
        if !features.can_bind() {
            return Err(ConnectError::Failed("the server offers no resource binding".into()));
        }
        Ok(Connection { stream: stream.box_stream(), features, identity: self.account.jid.clone() })
    }

    /// Opens an XML stream and waits for the features. Who we are is said inside TLS only.
    async fn open<Io: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: Io,
        encrypted: bool,
    ) -> Result<Opened<Io>, ConnectError> {
        let bare = self.account.jid.to_bare();
        let header = StreamHeader {
            to: Some(Cow::Borrowed(self.account.jid.domain().as_str())),
            from: encrypted.then(|| Cow::Borrowed(bare.as_str())),
            id: None,
        };
        let filter = Filter::new(io, Arc::clone(&self.link), self.resume_only);
        let pending = initiate_stream(filter, CLIENT, header, TIMEOUTS).await?;
        pending.recv_features().await.map_err(|error| ConnectError::Failed(error.to_string()))
    }
}

/// Ends a stream of tokio-xmpp that waits for a connection: it gets one that says hello and breaks.
///
/// COMPAT: dropping the slot instead makes its worker panic.
pub(super) async fn let_go(slot: oneshot::Sender<Connection>, account: Account) {
    let filter = tokio::io::BufReader::new(Stub::default());
    let Ok(pending) = initiate_stream(filter, CLIENT, StreamHeader::default(), TIMEOUTS).await else { return };
    let Ok((features, stream)) = pending.recv_features().await else { return };
    let _ = slot.send(Connection { stream: XmppStream::box_stream(stream), features, identity: account.jid });
}

/// A server that greets and hangs up.
#[derive(Debug, Default)]
struct Stub {
    said: usize,
}

const GREETING: &[u8] =
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
    version='1.0'><stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";

impl AsyncRead for Stub {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let rest = GREETING.get(self.said..).unwrap_or_default();
        let part = rest.get(..rest.len().min(buffer.remaining())).unwrap_or_default();
        buffer.put_slice(part);
        self.said += part.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stub {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
