//! What the server asks of us (LwM2M 1.1 core §6.3 and §6.4). Owns which operation fits which path, and how each refusal is said.

use std::collections::BTreeMap;

use tombolo_sdk::{Actions, Setting, Timestamp};

use super::Client;
use super::objects::Unfit;
use super::observers::Attributes;
use crate::codec::link::{Link as WebLink, write};
use crate::codec::message::code;
use crate::codec::{self, Datum, Entry, Path, format};
use crate::mapping::value;
use crate::session::{Answer, Incoming};

const SERVER: u16 = 1;
const LIFETIME: u16 = 1;
const UPDATE_TRIGGER: u16 = 8;
/// Of our own objects, what is executed.
const EXECUTABLE: &[(u16, u16)] = &[(SERVER, UPDATE_TRIGGER)];

impl Client {
    pub(super) fn asked(&mut self, now: Timestamp, incoming: Incoming, out: &mut Actions) {
        let Some(path) = Path::of_segments(incoming.path.iter().map(String::as_str)) else {
            return self.session.answer(now, &incoming, Answer::new(code::NOT_FOUND));
        };
        let outcome = match incoming.code {
            code::GET if incoming.accept == Some(format::LINK) => self.discover(path, now),
            code::GET => self.read(path, &incoming, now),
            code::FETCH => self.read_composite(&incoming, now),
            code::PUT if incoming.format.is_none() && incoming.body.is_empty() => {
                self.set_attributes(path, &incoming, now)
            }
            code::POST if path.len() == 3 && incoming.format.is_none_or(|format| format == format::TEXT) => {
                self.execute(path, now)
            }
            code::PUT | code::POST if path.len() >= 2 => return self.write(now, path, incoming, out),
            code::IPATCH => return self.write(now, Path::root(), incoming, out),
            _ => Err(Answer::new(code::NOT_ALLOWED)),
        };
        self.session.answer(now, &incoming, outcome.unwrap_or_else(|answer| answer));
    }

    /// Whether something is there, be it without a value.
    fn is_there(&self, path: Path, now: Timestamp) -> bool {
        path.len() > 0 && (!self.entries(path, now).is_empty() || self.state.objects.has(path) || is_executable(path))
    }

    fn discover(&self, path: Path, now: Timestamp) -> Result<Answer, Answer> {
        if path.len() == 0 {
            return Err(Answer::new(code::NOT_ALLOWED));
        }
        if !self.is_there(path, now) {
            return Err(Answer::new(code::NOT_FOUND));
        }
        let mut paths: Vec<Path> = self.entries(path, now).iter().map(|entry| entry.path.up_to(3)).collect();
        let executable = EXECUTABLE.iter().filter_map(|(object, id)| Path::instance_of(*object, 0).join(*id));
        paths.extend(executable.filter(|own| path.covers(*own)));
        let instances: Vec<Path> = paths.iter().map(|own| own.up_to(2)).filter(|own| path.covers(*own)).collect();
        paths.extend(instances);
        paths.push(path);
        paths.sort_unstable();
        paths.dedup();
        let links: Vec<WebLink> = paths.iter().map(|path| WebLink::new(path.to_string())).collect();
        Ok(Answer { format: Some(format::LINK), body: write(&links).into_bytes(), ..Answer::new(code::CONTENT) })
    }

    /// Read, Observe and Cancel Observation.
    fn read(&mut self, path: Path, incoming: &Incoming, now: Timestamp) -> Result<Answer, Answer> {
        if path.len() == 0 || is_executable(path) {
            return Err(Answer::new(code::NOT_ALLOWED));
        }
        if incoming.observe == Some(1) {
            self.state.observers.cancel(incoming, &[path]);
        }
        let answer = self.content(&[path], incoming.accept, false, now)?;
        self.observe(vec![path], incoming, incoming.accept, answer, now)
    }

    fn read_composite(&mut self, incoming: &Incoming, now: Timestamp) -> Result<Answer, Answer> {
        let paths = codec::decode_paths(incoming.format, &incoming.body);
        let paths = paths.map_err(|malformed| Answer::refused(code::BAD_REQUEST, malformed.0))?;
        if incoming.observe == Some(1) {
            self.state.observers.cancel(incoming, &paths);
        }
        let accept = incoming.accept.or(incoming.format);
        let answer = self.content(&paths, accept, true, now)?;
        self.observe(paths, incoming, accept, answer, now)
    }

    fn observe(
        &mut self,
        paths: Vec<Path>,
        incoming: &Incoming,
        accept: Option<u16>,
        answer: Answer,
        now: Timestamp,
    ) -> Result<Answer, Answer> {
        if incoming.observe != Some(0) {
            return Ok(answer);
        }
        let told = if let [path] = paths.as_slice() { self.state.objects.number(*path) } else { None };
        // Without room it is answered and not observed (RFC 7641 §4.1).
        let observe = self.state.observers.insert(incoming, accept, paths, told, now);
        Ok(Answer { observe, ..answer })
    }

    /// What an observer is told. None: it is not there any more.
    pub(super) fn content_for(&self, key: u64, now: Timestamp) -> Option<Answer> {
        let observer = self.state.observers.get(key)?;
        let content = self.content(&observer.paths, observer.accept, observer.is_composite, now);
        content.ok()
    }

    fn content(
        &self,
        paths: &[Path],
        accept: Option<u16>,
        is_composite: bool,
        now: Timestamp,
    ) -> Result<Answer, Answer> {
        let mut entries: Vec<Entry> = paths.iter().flat_map(|path| self.entries(*path, now)).collect();
        entries.sort_by_key(|entry| entry.path);
        entries.dedup_by_key(|entry| entry.path);
        let base = match paths {
            [path] if !is_composite => *path,
            _ => Path::root(),
        };
        if !is_composite && entries.is_empty() && !self.state.objects.has(base) {
            return Err(Answer::new(code::NOT_FOUND));
        }
        let is_one = base.len() >= 3 && entries.len() == 1 && entries.first().is_some_and(|entry| entry.path == base);
        let format = accept.unwrap_or(if is_one { format::TEXT } else { format::TLV });
        let body = codec::encode(format, base, &entries).ok_or_else(|| Answer::new(code::NOT_ACCEPTABLE))?;
        Ok(Answer { format: Some(format), body, ..Answer::new(code::CONTENT) })
    }

    fn set_attributes(&mut self, path: Path, incoming: &Incoming, now: Timestamp) -> Result<Answer, Answer> {
        if !self.is_there(path, now) {
            return Err(Answer::new(code::NOT_FOUND));
        }
        let known = self.state.observers.attributes(path);
        let attributes = Attributes::read(&incoming.query, known).map_err(|()| Answer::new(code::BAD_REQUEST))?;
        match self.state.observers.set_attributes(path, attributes) {
            true => Ok(Answer::new(code::CHANGED)),
            false => Err(Answer::new(code::UNAVAILABLE)),
        }
    }

    fn execute(&mut self, path: Path, now: Timestamp) -> Result<Answer, Answer> {
        if is_executable(path) {
            self.state.link.update_soon(now);
            return Ok(Answer::new(code::CHANGED));
        }
        Err(Answer::new(if self.is_there(path, now) { code::NOT_ALLOWED } else { code::NOT_FOUND }))
    }

    /// Write and Write-Composite.
    fn write(&mut self, now: Timestamp, base: Path, incoming: Incoming, out: &mut Actions) {
        match self.settings_of(base, &incoming, now) {
            Ok(settings) if settings.is_empty() => self.session.answer(now, &incoming, Answer::new(code::CHANGED)),
            Ok(settings) => self.order(now, incoming, settings, out),
            Err(answer) => self.session.answer(now, &incoming, answer),
        }
    }

    /// What is to be set, by thing; what is our own is set at once.
    fn settings_of(
        &mut self,
        base: Path,
        incoming: &Incoming,
        now: Timestamp,
    ) -> Result<BTreeMap<u32, Vec<Setting>>, Answer> {
        if base.len() >= 2 && !self.is_there(base, now) {
            return Err(Answer::new(code::NOT_FOUND));
        }
        let entries =
            codec::decode(incoming.format, base, &incoming.body).map_err(|malformed| match incoming.format {
                Some(known) if codec::is_known(known) => Answer::refused(code::BAD_REQUEST, malformed.0),
                _ => Answer::new(code::UNSUPPORTED_FORMAT),
            })?;
        let mut settings: BTreeMap<u32, Vec<Setting>> = BTreeMap::new();
        let mut lifetime = None;
        for entry in &entries {
            if entry.path == lifetime_path() {
                lifetime = Some(lifetime_of(&entry.datum)?);
                continue;
            }
            match self.state.objects.setting(entry) {
                Some(Ok((thing, setting))) => settings.entry(thing).or_default().push(setting),
                Some(Err(Unfit::Value)) => return Err(Answer::new(code::BAD_REQUEST)),
                Some(Err(Unfit::ReadOnly)) => return Err(Answer::new(code::NOT_ALLOWED)),
                None if self.is_there(entry.path, now) => return Err(Answer::new(code::NOT_ALLOWED)),
                None => return Err(Answer::new(code::NOT_FOUND)),
            }
        }
        if let Some(lifetime) = lifetime {
            self.state.link.set_lifetime(lifetime, now);
        }
        Ok(settings)
    }
}

fn is_executable(path: Path) -> bool {
    path.instance() == Some(0)
        && path.len() == 3
        && EXECUTABLE.iter().any(|(object, id)| path.object() == Some(*object) && path.resource() == Some(*id))
}

fn lifetime_path() -> Path {
    Path::instance_of(SERVER, 0).join(LIFETIME).unwrap_or_default()
}

fn lifetime_of(datum: &Datum) -> Result<u32, Answer> {
    let seconds = match value::read(crate::dictionary::Kind::Integer, false, datum) {
        Some(tombolo_sdk::Value::Int64(seconds)) => u32::try_from(seconds).ok(),
        _ => None,
    };
    // Shorter ones would be all that is said.
    seconds.filter(|seconds| *seconds >= 10).ok_or_else(|| Answer::new(code::BAD_REQUEST))
}
