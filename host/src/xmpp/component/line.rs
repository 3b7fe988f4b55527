//! One component stream: opening it, and the bytes both ways. Owns nothing that outlives the connection.

use std::time::Duration;

use minidom::Element;
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::timeout;
use tombolo_core::wire::{ns, stanza};
use xmpp_parsers::stanza::Stanza;

use super::super::filter::mender::{readable, remains, stream_error_text};
use super::super::filter::splitter::{Piece, Splitter};
use super::super::wire::{self, Wire};
use super::Component;

const STREAM: &str = "http://etherx.jabber.org/streams";
const PORT: u16 = 5347;
/// For everything from the first packet to the server's consent.
const DEADLINE: Duration = Duration::from_secs(45);
const CHUNK_BYTES: usize = 16 * 1024;
/// Bytes that are put together before they are written.
pub(super) const BATCH_BYTES: usize = 64 * 1024;

/// Why there is no stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OpenError {
    /// The server will not have us as we are; somebody has to change something.
    Refused(String),
    /// Anything else; worth another try.
    Failed(String),
}

/// What arrived.
#[derive(Debug)]
pub(super) enum Heard {
    /// The stream began; its id.
    Opened(String),
    /// The server accepts us.
    Accepted,
    /// In `jabber:client`, mended.
    Stanza(Element),
    /// The server ends the stream, and why.
    Error(String),
    /// The server ends the stream.
    End,
}

/// An open stream.
pub(super) struct Line {
    reader: ReadHalf<Wire>,
    writer: WriteHalf<Wire>,
    splitter: Splitter,
    out: Vec<u8>,
    written: usize,
}

impl Line {
    /// Connects and shakes hands.
    pub(super) async fn open(component: &Component) -> Result<Self, OpenError> {
        let opened = timeout(DEADLINE, Self::try_open(component)).await;
        opened.unwrap_or_else(|_| Err(OpenError::Failed("the server took too long".into())))
    }

    async fn try_open(component: &Component) -> Result<Self, OpenError> {
        let wire = wire::connect_clear(&component.server, PORT, component.anywhere).await;
        let (reader, writer) = tokio::io::split(wire.map_err(OpenError::Failed)?);
        let mut line = Self { reader, writer, splitter: Splitter::default(), out: Vec::new(), written: 0 };
        let header = format!(
            "<?xml version='1.0'?><stream:stream xmlns='{}' xmlns:stream='{STREAM}' to='{}'>",
            ns::COMPONENT,
            component.domain
        );
        line.say(header.as_bytes()).await?;
        let mut is_accepted = false;
        while !is_accepted {
            for heard in line.next().await.map_err(OpenError::Failed)? {
                match heard {
                    Heard::Opened(id) => {
                        let token = Sha1::digest(id + component.secret.expose());
                        let digits: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
                        line.say(format!("<handshake>{digits}</handshake>").as_bytes()).await?;
                    }
                    Heard::Accepted => is_accepted = true,
                    Heard::Error(text) => return Err(refusal(component, &text)),
                    Heard::End => return Err(OpenError::Failed("the server ended the stream".into())),
                    Heard::Stanza(_) => {}
                }
            }
        }
        Ok(line)
    }

    async fn say(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        self.writer.write_all(bytes).await.map_err(|error| OpenError::Failed(error.to_string()))
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<Vec<Heard>, String> {
        let mut heard = Vec::new();
        let cut = self.splitter.cut(bytes, &mut |piece, _| heard.extend(sort(piece)));
        cut.map_err(|error| format!("the server sent what is not XML for XMPP: {error}"))?;
        Ok(heard)
    }

    /// What happens next both ways: writes what waits, and reads. Safe to be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Vec<Heard>, String> {
        let mut chunk = [0; CHUNK_BYTES];
        let waits = self.has_unwritten();
        tokio::select! {
            written = self.writer.write(self.out.get(self.written..).unwrap_or_default()), if waits => {
                self.written += written.map_err(|error| error.to_string())?;
                if !self.has_unwritten() {
                    self.out.clear();
                    self.written = 0;
                }
                Ok(Vec::new())
            }
            read = self.reader.read(&mut chunk) => match read {
                Ok(0) => Err("the server closed the connection".into()),
                Ok(count) => self.hear(chunk.get(..count).unwrap_or_default()),
                Err(error) => Err(error.to_string()),
            }
        }
    }

    /// Whether something waits to be written.
    pub(super) fn has_unwritten(&self) -> bool {
        self.written < self.out.len()
    }

    /// Whether the batch that is put together is large enough.
    pub(super) fn is_full(&self) -> bool {
        self.out.len() >= BATCH_BYTES
    }

    /// Puts a stanza to what waits to be written.
    pub(super) fn put(&mut self, stanza: Element) -> Result<(), String> {
        let length = self.out.len();
        let written = stanza::of_component(stanza).write_to(&mut self.out);
        written.map_err(|error| {
            self.out.truncate(length);
            error.to_string()
        })
    }

    /// Ends the stream politely.
    pub(super) async fn close(mut self) {
        let _ = self.writer.write_all(b"</stream:stream>").await;
        let _ = self.writer.shutdown().await;
    }
}

fn sort(piece: Piece<'_>) -> Option<Heard> {
    match piece {
        Piece::Header(head) => Some(Heard::Opened(head.attribute("id").unwrap_or_default().to_owned())),
        Piece::Space | Piece::Acknowledgement => None,
        Piece::End => Some(Heard::End),
        Piece::Element(None, head) => remains(head, ns::COMPONENT).map(|stanza| Heard::Stanza(readable(stanza))),
        Piece::Element(Some(element), _) => match (element.ns().as_str(), element.name()) {
            (ns::COMPONENT, "iq" | "message" | "presence") => Some(Heard::Stanza(mended(stanza::of_client(element)))),
            (ns::COMPONENT, "handshake") => Some(Heard::Accepted),
            (STREAM, "error") => Some(Heard::Error(stream_error_text(&element))),
            (namespace, name) => {
                tracing::debug!(namespace, name, "unknown stream element dropped");
                None
            }
        },
    }
}

fn mended(stanza: Element) -> Element {
    match Stanza::try_from(stanza.clone()) {
        Ok(_) => stanza,
        Err(error) => {
            tracing::debug!(%error, "stanza mended");
            readable(stanza)
        }
    }
}

fn refusal(component: &Component, text: &str) -> OpenError {
    let domain = &component.domain;
    match text.split(':').next().unwrap_or_default() {
        "not-authorized" => OpenError::Refused(format!("the server refuses the secret of {domain} ({text})")),
        "host-unknown" => OpenError::Refused(format!("the server knows no component {domain} ({text})")),
        "conflict" => OpenError::Failed(format!("another component is connected as {domain} ({text})")),
        _ => OpenError::Failed(format!("the server ended the stream: {text}")),
    }
}
