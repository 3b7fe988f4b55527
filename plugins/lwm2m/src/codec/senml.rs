//! What SenML in JSON and in CBOR have in common (RFC 8428 §4, LwM2M 1.1 core §7.4.4): records with a base name and a base time that
//! hold until they are replaced. Owns how a name becomes a path.

use super::{Datum, ENTRIES_MAX, Entry, Malformed, Path};

/// A record as it was written.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) base_name: Option<String>,
    pub(super) base_time: Option<f64>,
    pub(super) name: Option<String>,
    pub(super) time: Option<f64>,
    pub(super) datum: Option<Datum>,
}

/// Puts records together.
#[derive(Debug)]
pub(super) struct Resolver {
    /// What names are relative to when no base name is there; devices of drafts write such.
    request: Path,
    base_name: String,
    base_time: Option<f64>,
    pub(super) entries: Vec<Entry>,
    pub(super) paths: Vec<Path>,
}

impl Resolver {
    pub(super) fn new(request: Path) -> Self {
        Self { request, base_name: String::new(), base_time: None, entries: Vec::new(), paths: Vec::new() }
    }

    pub(super) fn add(&mut self, record: Record) -> Result<(), Malformed> {
        if let Some(name) = record.base_name {
            self.base_name = name;
        }
        self.base_time = record.base_time.or(self.base_time);
        if record.name.is_none() && record.datum.is_none() && record.time.is_none() {
            // A record that sets bases only, except in a list of paths, where the base name may be all there is.
            if !self.base_name.is_empty() && self.entries.is_empty() {
                self.paths.push(self.path("")?);
            }
            return Ok(());
        }
        if self.entries.len().max(self.paths.len()) >= ENTRIES_MAX {
            return Err(Malformed("SenML with too many records"));
        }
        let path = self.path(record.name.as_deref().unwrap_or_default())?;
        self.paths.push(path);
        if let Some(datum) = record.datum {
            let seconds = match (self.base_time, record.time) {
                (None, None) => None,
                (base, time) => Some(base.unwrap_or(0.0) + time.unwrap_or(0.0)).filter(|seconds| seconds.is_finite()),
            };
            self.entries.push(Entry { path, datum, seconds });
        }
        Ok(())
    }

    fn path(&self, name: &str) -> Result<Path, Malformed> {
        const NO_PATH: Malformed = Malformed("SenML with a name that is no path");
        let whole = format!("{}{name}", self.base_name);
        match whole.starts_with('/') {
            true => whole.parse().map_err(|_| NO_PATH),
            false => format!("{}/{whole}", self.request).parse().map_err(|_| NO_PATH),
        }
    }
}

/// The base name that all entries share: their object instance. None: they have none in common.
pub(super) fn common_base(entries: &[Entry]) -> Option<Path> {
    let base = entries.first()?.path.up_to(2);
    (base.len() == 2 && entries.iter().all(|entry| base.covers(entry.path) && entry.path.len() > 2)).then_some(base)
}

/// The name of `path` below `base`.
pub(super) fn below(base: Option<Path>, path: Path) -> String {
    match base {
        Some(base) => path.segments().get(usize::from(base.len())..).unwrap_or_default().join("/"),
        None => path.to_string(),
    }
}
