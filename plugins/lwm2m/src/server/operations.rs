//! What a device is asked for, one thing at a time (LwM2M 1.1 core §6.3 and §6.4). Owns how each operation becomes a request, and which format
//! is tried next where a device takes another.

use serde::{Deserialize, Serialize};

use super::device::Device;
use super::registration::Version;
use crate::codec::message::code;
use crate::codec::{self, Datum, Entry, Path, format};
use crate::session::{Request, Token};

/// Operations that wait for one device.
pub(super) const OPERATIONS_MAX: usize = 1024;
/// Formats for writing a resource, in the order in which they are tried.
const WRITES: &[u16] = &[format::TEXT, format::TLV, format::SENML_JSON, format::SENML_CBOR];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Operation {
    /// Which resources an instance has.
    Discover(Path),
    /// Read without anybody having asked.
    Learn(Path),
    /// For a read of the host.
    Read {
        request: u64,
        paths: Vec<Path>,
    },
    /// Periods of what will be observed.
    Attributes(Path),
    Observe(Path),
    /// Several instances at once.
    ObserveTogether(Vec<Path>),
    Cancel(Path, Token),
    /// For a write of the host; `done` settings are written.
    Write {
        request: u64,
        settings: Vec<(Path, Datum)>,
        done: usize,
        attempts: usize,
    },
    /// For a command.
    Execute {
        request: u64,
        path: Path,
        arguments: String,
    },
}

/// The operation under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Current {
    pub(super) operation: Operation,
    pub(super) token: Token,
}

/// Periods, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Periods {
    pub(super) minimum: Option<u32>,
    pub(super) maximum: Option<u32>,
}

impl Operation {
    /// The request of the host that it serves.
    pub(super) fn request(&self) -> Option<u64> {
        match self {
            Self::Read { request, .. } | Self::Write { request, .. } | Self::Execute { request, .. } => Some(*request),
            Self::Discover(_)
            | Self::Learn(_)
            | Self::Attributes(_)
            | Self::Observe(_)
            | Self::ObserveTogether(_)
            | Self::Cancel(..) => None,
        }
    }

    /// What is to be observed by itself.
    pub(super) fn observed(&self) -> Option<Path> {
        if let Self::Observe(path) = self { Some(*path) } else { None }
    }

    /// As CoAP. None: it cannot be said, which ends the operation.
    pub(super) fn to_request(&self, device: &Device, periods: Periods, is_partial: bool) -> Option<Request> {
        let get = |path: &Path| Request { code: code::GET, path: segments(device, *path), ..Request::default() };
        Some(match self {
            Self::Discover(path) => Request { accept: Some(format::LINK), ..get(path) },
            Self::Learn(path) => get(path),
            Self::Read { paths, .. } => match paths.as_slice() {
                [path] => get(path),
                paths => fetch(device, paths)?,
            },
            Self::Attributes(path) => {
                let minimum = periods.minimum.map(|seconds| format!("pmin={seconds}"));
                let maximum = periods.maximum.map(|seconds| format!("pmax={seconds}"));
                Request { code: code::PUT, query: minimum.into_iter().chain(maximum).collect(), ..get(path) }
            }
            Self::Observe(path) => Request { observe: Some(0), ..get(path) },
            Self::ObserveTogether(paths) => Request { observe: Some(0), ..fetch(device, paths)? },
            Self::Cancel(path, _) => Request { observe: Some(1), ..get(path) },
            Self::Write { settings, done, attempts, .. } => {
                write(device, settings.get(*done..)?, device.writes + attempts, is_partial)?
            }
            Self::Execute { path, arguments, .. } => Request {
                code: code::POST,
                // A format makes some devices take the request for a Create.
                format: None,
                body: arguments.clone().into_bytes(),
                ..get(path)
            },
        })
    }

    /// How many settings one request of a write carries.
    pub(super) fn carries(&self, device: &Device, is_partial: bool) -> usize {
        match self {
            Self::Write { settings, done, .. } if is_together(device, settings.len() - done, is_partial) => {
                settings.len() - done
            }
            _ => 1,
        }
    }

    /// The other formats in which a write can be tried.
    pub(super) fn formats() -> usize {
        WRITES.len()
    }

    /// Where a format stands among those for writing; one for single values says nothing of what a device would rather have.
    pub(super) fn place_of(format: u16) -> Option<usize> {
        WRITES.iter().position(|own| *own == format).filter(|_| format != format::TEXT)
    }
}

pub(super) fn segments(device: &Device, path: Path) -> Vec<String> {
    device.offer.root.iter().cloned().chain(path.segments()).collect()
}

/// SenML that the device has; it says so, or it is of 1.1, which must have one of them.
pub(super) fn senml(device: &Device) -> Option<u16> {
    let said =
        [format::SENML_CBOR, format::SENML_JSON].into_iter().find(|format| device.offer.formats.contains(format));
    said.or_else(|| (device.version == Version::V1_1).then_some(format::SENML_JSON))
}

/// Read-Composite (LwM2M 1.1 core §6.3.8); to be observed, §6.4.5.
fn fetch(device: &Device, paths: &[Path]) -> Option<Request> {
    let format = senml(device)?;
    let body = codec::encode_paths(format, paths)?;
    let path = device.offer.root.clone();
    Some(Request { code: code::FETCH, path, format: Some(format), accept: Some(format), body, ..Request::default() })
}

/// Several settings go together where the protocol has a way for it: Write-Composite of 1.1, or a partial update.
fn is_together(device: &Device, count: usize, is_partial: bool) -> bool {
    count > 1 && (is_partial || (device.version == Version::V1_1 && device.has_composite))
}

fn write(device: &Device, settings: &[(Path, Datum)], attempt: usize, is_partial: bool) -> Option<Request> {
    let entries: Vec<Entry> = settings.iter().map(|(path, datum)| Entry::new(*path, datum.clone())).collect();
    let first = entries.first()?;
    if is_together(device, entries.len(), is_partial) && device.version == Version::V1_1 && device.has_composite {
        let format = senml(device)?;
        let body = codec::encode(format, Path::root(), &entries)?;
        let path = device.offer.root.clone();
        return Some(Request { code: code::IPATCH, path, format: Some(format), body, ..Request::default() });
    }
    let format = *WRITES.get(attempt % WRITES.len())?;
    if is_together(device, entries.len(), is_partial) {
        let base = first.path.up_to(2);
        let format = if format == format::TEXT { format::TLV } else { format };
        let mut entries = entries;
        entries.sort_by_key(|entry| entry.path);
        let body = codec::encode(format, base, &entries)?;
        return Some(Request {
            code: code::POST,
            path: segments(device, base),
            format: Some(format),
            body,
            ..Request::default()
        });
    }
    let format = match (&first.datum, format) {
        (Datum::Opaque(_), format::TEXT) => format::OCTETS,
        (_, format) => format,
    };
    let body = codec::encode(format, first.path, std::slice::from_ref(first))?;
    Some(Request {
        code: code::PUT,
        path: segments(device, first.path),
        format: Some(format),
        body,
        ..Request::default()
    })
}
