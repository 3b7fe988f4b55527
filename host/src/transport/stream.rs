//! The life of one connection, as one task: connect, pump both ways, end.
//!
//! Order of events: `opened` (or `accepted`) first, then data and `writable`, `closed` last and once. While the mailbox is full nothing is read, so
//! the peer's own congestion control slows it down. After the mapper's `close` nothing is delivered any more; what arrives is thrown
//! away, because unread bytes would make the system reset the connection and take with them what was sent.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tombolo_core::model::{Event, Failure, ReasonCode, limits};
use tombolo_core::policy::ConnectPermit;

use super::outgoing::Course;
use super::resolve;
use super::slots::{Deaf, Slot};
use super::tls::TlsClient;

/// Bytes of a first read; doubled for as long as reads fill it.
const READ_BYTES_MIN: usize = 4 * 1024;

/// Lives the connection. TLS is spoken if there is a client for it.
pub(super) async fn run(slot: Slot, permit: ConnectPermit, tls: Option<TlsClient>) {
    let reason = match opening(&slot, open(&permit, tls)).await {
        Ok(stream) => live(&slot, stream, Event::Opened(slot.connection)).await,
        Err(reason) => reason,
    };
    slot.finish(reason).await;
}

/// What is opened within its time, unless the connection is to end before; then why it is to end.
pub(super) async fn opening<T>(
    slot: &Slot,
    open: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Option<Failure>> {
    let deadline = Duration::from_millis(limits::CONNECT_DEADLINE_MS);
    tokio::select! {
        course = slot.outgoing.turned() => Err(reason(course)),
        opened = timeout(deadline, open) => match opened {
            Ok(opened) => opened.map_err(Some),
            Err(_) => Err(Some(Failure::new(ReasonCode::Timeout, "connecting took too long"))),
        },
    }
}

/// A stream of any kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects, and speaks TLS if there is a client for it.
pub(super) async fn open(permit: &ConnectPermit, tls: Option<TlsClient>) -> Result<Box<dyn Stream>, Failure> {
    let stream = resolve::connect(permit).await?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    match tls.handshake(permit.host(), stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => {
            tracing::warn!(bridge = permit.bridge(), endpoint = permit.endpoint(), %error, "TLS handshake failed");
            Err(Failure::new(ReasonCode::Unreachable, handshake_failed(&error)))
        }
    }
}

fn handshake_failed(error: &std::io::Error) -> &'static str {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_)) => "the peer's certificate is not accepted",
        Some(rustls::Error::AlertReceived(_)) => "the peer refused the TLS handshake",
        _ => "the TLS handshake failed",
    }
}

fn reason(course: Course) -> Option<Failure> {
    match course {
        Course::On | Course::Close => None,
        Course::Fail(failure) => Some(failure),
    }
}

/// Tells `first`, then pumps until the connection ends; returns why, none if in order.
pub(super) async fn live(slot: &Slot, stream: Box<dyn Stream>, first: Event) -> Option<Failure> {
    slot.meter.is_open.store(1, Ordering::Relaxed);
    if slot.tell(first).await.is_err() {
        return None;
    }
    let (reader, writer) = tokio::io::split(stream);
    let reading = receive(slot, reader);
    let writing = transmit(slot, writer);
    tokio::pin!(reading, writing);
    tokio::select! {
        outcome = &mut reading => match outcome {
            // The peer has ended its direction, and may still listen to what was sent.
            Ok(()) => {
                slot.outgoing.close();
                tokio::select! { _ = &mut writing => None, _ = cut(slot) => None }
            }
            Err(failure) => Some(failure),
        },
        outcome = &mut writing => {
            // After our own end, reading until the peer's end; after a failure, a last word of the peer may wait to be read.
            let patience = Duration::from_millis(limits::CLOSE_LINGER_MS);
            let _ended_or_gave_up = timeout(patience, &mut reading).await;
            outcome.err()
        },
        failure = cut(slot) => Some(failure),
    }
}

/// Ends when the connection must not go on, whatever the streams do.
async fn cut(slot: &Slot) -> Failure {
    slot.outgoing.turned().await;
    tokio::select! {
        course = slot.outgoing.failed() => match course {
            Course::Fail(failure) => failure,
            Course::On | Course::Close => Failure::new(ReasonCode::Closed, "closed"),
        },
        () = sleep(Duration::from_millis(limits::CLOSE_DEADLINE_MS)) => {
            Failure::new(ReasonCode::Timeout, "the peer did not take everything that was sent")
        }
    }
}

/// Delivers what arrives until the connection turns, then throws it away; ends with the peer's end.
async fn receive(slot: &Slot, mut reader: impl AsyncRead + Unpin) -> Result<(), Failure> {
    let mut buffer = Vec::with_capacity(READ_BYTES_MIN);
    let mut is_heard = true;
    loop {
        buffer.clear();
        let count = reader.read_buf(&mut buffer).await.map_err(|error| lost(&error))?;
        if count == 0 {
            return Ok(());
        }
        slot.meter.received.fetch_add(count as u64, Ordering::Relaxed);
        is_heard = is_heard && deliver(slot, &buffer).await.is_ok();
        if count == buffer.capacity() && count < limits::DATA_EVENT_BYTES_MAX {
            buffer.reserve_exact(count * 2);
        }
    }
}

async fn deliver(slot: &Slot, bytes: &[u8]) -> Result<(), Deaf> {
    let event = Event::Data { connection: slot.connection, bytes: bytes.to_vec() };
    tokio::select! {
        biased;
        _ = slot.outgoing.turned() => Err(Deaf),
        told = slot.tell(event) => told,
    }
}

/// Writes what waits until the connection is closed and all has left, then ends our direction.
async fn transmit(slot: &Slot, mut writer: impl AsyncWrite + Unpin) -> Result<(), Failure> {
    while let Some(bytes) = slot.outgoing.take().await {
        writer.write_all(&bytes).await.map_err(|error| lost(&error))?;
        writer.flush().await.map_err(|error| lost(&error))?;
        slot.meter.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if slot.outgoing.left() && slot.tell(Event::Writable(slot.connection)).await.is_err() {
            break;
        }
    }
    writer.shutdown().await.map_err(|error| lost(&error))
}

fn lost(error: &std::io::Error) -> Failure {
    Failure::new(ReasonCode::Closed, resolve::sentence(error))
}
