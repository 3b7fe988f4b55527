//! What stands between tokio-xmpp and the socket: what it would choke on or drop silently arrives mended, and what stands in for a text leaves
//! as that text ([`super::text`]).
//!
//! Owns the splitting of the byte stream into top-level elements ([`splitter`]) and what is done to each ([`mender`]).
//! For each stanza in, exactly one stanza comes out, so the counts of XEP-0198 stay right. It never looks into a
//! payload and never answers anything: an iq that cannot be read comes out as one that says so, and the hub refuses it.

pub(super) mod mender;
pub(super) mod splitter;
#[cfg(test)]
mod tests;

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::text::StandIns;
use splitter::{Seen, Splitter};

/// What tokio-xmpp would read of a server's bytes that arrive in pieces of this size. For fuzz targets; none: the stream is unusable.
pub fn what_passes(bytes: &[u8], piece: usize) -> Option<Vec<u8>> {
    let (mut splitter, mut out) = (Splitter::default(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        splitter.feed(piece, &mut out, &mut |_| {}).ok()?;
    }
    Some(out)
}

/// Bytes read at once: a TLS record.
const CHUNK_BYTES: usize = 16 * 1024;
/// Bytes that are put together before they are written; more are written first.
const BATCH_BYTES: usize = 64 * 1024;

/// What passed by on the streams of one session, for its owner.
#[derive(Debug, Default)]
pub(super) struct Link {
    resumable: AtomicBool,
    managed: AtomicBool,
    reason: Mutex<Option<String>>,
    /// What leaves as text.
    pub(super) stand_ins: StandIns,
}

impl Link {
    /// Whether the server promised that the session can be resumed, and nothing since has ended it.
    pub(super) fn is_resumable(&self) -> bool {
        self.resumable.load(Ordering::Acquire)
    }

    /// Whether the server acknowledges stanzas.
    pub(super) fn is_managed(&self) -> bool {
        self.managed.load(Ordering::Acquire)
    }

    /// Why the stream ended, as far as one could see; once.
    pub(super) fn take_reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The first reason is the cause, later ones are consequences.
    fn ended(&self, reason: impl Into<String>) {
        let mut slot = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert_with(|| reason.into());
    }

    fn lost(&self) {
        self.resumable.store(false, Ordering::Release);
    }

    fn saw(&self, seen: Seen) {
        match seen {
            Seen::Enabled { resumable } => {
                self.managed.store(true, Ordering::Release);
                self.resumable.store(resumable, Ordering::Release);
            }
            Seen::Failed => self.lost(),
            Seen::BindRefused(text) => self.ended(format!("the server refused the resource: {text}")),
            Seen::StreamError(text) => {
                self.lost();
                self.ended(format!("the server ended the stream: {text}"));
            }
        }
    }
}

/// The filter on one stream.
#[derive(Debug)]
pub(super) struct Filter<Io> {
    io: Io,
    link: Arc<Link>,
    splitter: Splitter,
    ready: Vec<u8>,
    taken: usize,
    /// What tokio-xmpp has written of a tag that has no end yet.
    unfinished: Vec<u8>,
    /// To be written to the socket; up to `gone` it has been.
    out: Vec<u8>,
    gone: usize,
    resume_only: bool,
    cut: bool,
}

impl<Io> Filter<Io> {
    /// Filters one XML stream on `io`. With `resume_only`, the connection ends when the server will not resume.
    pub(super) fn new(io: Io, link: Arc<Link>, resume_only: bool) -> Self {
        Self {
            io,
            link,
            splitter: Splitter::default(),
            ready: Vec::new(),
            taken: 0,
            unfinished: Vec::new(),
            out: Vec::new(),
            gone: 0,
            resume_only,
            cut: false,
        }
    }

    /// The stream underneath; whatever was read ahead is dropped.
    pub(super) fn into_inner(self) -> Io {
        self.io
    }

    fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.ready.clear();
        self.taken = 0;
        let (link, cut, resume_only) = (&self.link, &mut self.cut, self.resume_only);
        let result = self.splitter.feed(bytes, &mut self.ready, &mut |seen| {
            if resume_only && seen == Seen::Failed {
                *cut = true;
                link.ended("the server does not know the session any more");
            }
            link.saw(seen);
        });
        result.map_err(|error| {
            // The server would send the same bytes again after a resumption.
            self.link.lost();
            self.link.ended(format!("the server sent what is not XML for XMPP: {error}"));
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }
}

impl<Io: AsyncRead + Unpin> AsyncBufRead for Filter<Io> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.taken >= this.ready.len() {
            let mut chunk = [0; CHUNK_BYTES];
            let mut buffer = ReadBuf::new(&mut chunk);
            match ready!(Pin::new(&mut this.io).poll_read(cx, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => {
                    this.link.ended("the server closed the connection");
                    return Poll::Ready(Ok(&[]));
                }
                Ok(()) => this.feed(buffer.filled())?,
                Err(error) => {
                    this.link.ended(error.to_string());
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(this.ready.get(this.taken..).unwrap_or_default()))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.taken += amount;
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Filter<Io> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let available = ready!(self.as_mut().poll_fill_buf(cx))?;
        let count = available.len().min(buffer.remaining());
        buffer.put_slice(available.get(..count).unwrap_or_default());
        self.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> Filter<Io> {
    /// Writes what has been put together.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.gone < self.out.len() {
            let rest = self.out.get(self.gone..).unwrap_or_default();
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.gone += count,
                Err(error) => {
                    self.link.ended(error.to_string());
                    return Poll::Ready(Err(error));
                }
            }
        }
        self.out.clear();
        self.out.shrink_to(BATCH_BYTES);
        self.gone = 0;
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unfinished.extend_from_slice(bytes);
        self.link.stand_ins.weave(&mut self.unfinished, &mut self.out).map_err(|error| {
            // Resumed, the session would come to the same point.
            self.link.lost();
            self.link.ended(&*error);
            io::Error::other(error)
        })
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Filter<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.cut {
            // tokio-xmpp would bind a new session here and send its queue first, before what was lost with the old one.
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "the session cannot be resumed")));
        }
        if self.out.len() >= BATCH_BYTES {
            ready!(self.poll_out(cx))?;
        }
        self.put(bytes)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
