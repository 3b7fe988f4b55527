//! What answers and notifications mean for the operation that they end. Owns falling back: to what an object must have where a device knows no
//! Discover, to single requests where it knows no composite ones, to other formats, from observing an instance to observing its
//! resources, and from that to reading now and then.

use tombolo_sdk::{Actions, Failure, Level, ReasonCode, Timestamp};

use super::Server;
use super::operations::Operation;
use super::registry::Key;
use super::values::Purpose;
use crate::codec::message::code;
use crate::codec::{self, Entry, Malformed, Path, link};
use crate::session::{Answer, Lost, SECOND, Token};

impl Server {
    /// A request to a device came to its end.
    pub(super) fn ended(
        &mut self,
        now: Timestamp,
        key: Key,
        token: Token,
        outcome: Result<Answer, Lost>,
        out: &mut Actions,
    ) {
        let Some(device) = self.registry.get_mut(key) else { return };
        let Some(current) = device.current.take_if(|current| current.token == token) else { return };
        match outcome {
            Ok(answer) if code::is_success(answer.code) => {
                self.succeeded(now, key, token, current.operation, &answer, out)
            }
            Ok(answer) => self.refused(now, key, current.operation, answer.code, out),
            Err(lost) => self.lost(now, key, current.operation, lost, out),
        }
        self.pump(key, now, out);
    }

    fn succeeded(
        &mut self,
        now: Timestamp,
        key: Key,
        token: Token,
        operation: Operation,
        answer: &Answer,
        out: &mut Actions,
    ) {
        match operation {
            Operation::Discover(path) => self.discovered(key, path, answer, out),
            Operation::Learn(path) => {
                let entries = self.entries(key, path, answer, out);
                self.report(now, key, &entries, Purpose::Nothing, out);
            }
            Operation::Read { request, paths } => {
                let base = if let [path] = paths.as_slice() { *path } else { Path::root() };
                let entries = self.entries(key, base, answer, out);
                self.report(now, key, &entries, Purpose::Answer(request), out);
                self.finish_read(request, out);
            }
            Operation::Attributes(_) | Operation::Cancel(..) => {}
            Operation::Observe(path) => {
                let entries = self.entries(key, path, answer, out);
                self.report(now, key, &entries, Purpose::Nothing, out);
                match answer.observe {
                    Some(_) if path.len() > 2 || !entries.is_empty() => self.observed(key, path, token),
                    // Some devices say yes to whatever they are asked to observe, and tell nothing of it.
                    Some(_) => {
                        self.push(key, Operation::Cancel(path, token));
                        self.observe_otherwise(now, key, path);
                    }
                    None => self.observe_otherwise(now, key, path),
                }
            }
            Operation::ObserveTogether(paths) => {
                let entries = self.entries(key, Path::root(), answer, out);
                self.report(now, key, &entries, Purpose::Nothing, out);
                match answer.observe {
                    Some(_) => self.observed_together(key, &paths, token, &entries),
                    None => self.observe_apart(key, paths),
                }
            }
            Operation::Write { request, settings, done, attempts } => {
                self.written(key, Operation::Write { request, settings, done, attempts }, out);
            }
            Operation::Execute { request, .. } => out.complete(request),
        }
    }

    /// Reads content; what is malformed is said once for each registration.
    pub(super) fn entries(&mut self, key: Key, base: Path, answer: &Answer, out: &mut Actions) -> Vec<Entry> {
        match codec::decode(answer.format, base, &answer.body) {
            Ok(entries) => {
                let place = answer.format.and_then(Operation::place_of);
                if let Some(device) = self.registry.get_mut(key).filter(|device| !device.has_written) {
                    device.writes = place.unwrap_or(device.writes);
                }
                entries
            }
            Err(Malformed(what)) => {
                self.warn(key, base, what, out);
                Vec::new()
            }
        }
    }

    fn warn(&mut self, key: Key, base: Path, what: &str, out: &mut Actions) {
        let Some(device) = self.registry.get_mut(key) else { return };
        if !std::mem::replace(&mut device.is_warned, true) {
            let text = format!("device {:?}, {base}: {what}; said once for a registration", device.endpoint);
            out.log(Level::Warn, text);
        }
    }

    /// The resources of an instance.
    fn discovered(&mut self, key: Key, path: Path, answer: &Answer, out: &mut Actions) {
        let Some(device) = self.registry.get_mut(key) else { return };
        let Ok(links) = link::parse(&answer.body) else { return };
        let root = device.offer.root.len();
        let paths = links.iter().filter_map(|link| {
            Path::of_segments(link.target.split('/').filter(|segment| !segment.is_empty()).skip(root))
        });
        let mut ids: Vec<u16> = paths.filter(|own| path.covers(*own)).filter_map(Path::resource).collect();
        ids.sort_unstable();
        ids.dedup();
        let Some(instance) = device.instances.get_mut(&path).filter(|_| !ids.is_empty()) else { return };
        instance.learn(&ids, &self.dictionary);
        if let Some(instance) = device.instances.get(&path) {
            out.put_node(instance.node(device, &self.dictionary));
        }
        self.is_dirty = true;
    }

    /// One setting is written, or several at once.
    fn written(&mut self, key: Key, operation: Operation, out: &mut Actions) {
        let Some(device) = self.registry.get_mut(key) else { return };
        let count = operation.carries(device, self.settings.partial_update);
        let Operation::Write { request, settings, done, attempts } = operation else { return };
        if count == 1 {
            device.writes = (device.writes + attempts) % Operation::formats();
            device.has_written = true;
        }
        let done = done + count;
        if done < settings.len() {
            device.operations.push_front(Operation::Write { request, settings, done, attempts: 0 });
            return;
        }
        out.complete(request);
        // COMPAT: also where it is observed. coap-node does not tell of a value that is what it was when the observation began.
        let paths = settings.iter().map(|(path, _)| path.up_to(3)).filter(|path| {
            let resource =
                self.dictionary.resource(path.object().unwrap_or_default(), path.resource().unwrap_or_default());
            resource.is_readable && device.instances.contains_key(&path.up_to(2))
        });
        let paths: Vec<Path> = paths.collect();
        paths.into_iter().for_each(|path| self.push(key, Operation::Learn(path)));
    }

    /// The device said no.
    fn refused(&mut self, now: Timestamp, key: Key, operation: Operation, refusal: u8, out: &mut Actions) {
        let Some(device) = self.registry.get_mut(key) else { return };
        match operation {
            Operation::Read { request, paths } if paths.len() > 1 => {
                device.has_composite = false;
                // One operation becomes several.
                *self.reads.entry(request).or_default() += paths.len() - 1;
                for path in paths.into_iter().rev() {
                    device.operations.push_front(Operation::Read { request, paths: vec![path] });
                }
            }
            Operation::Write { request, settings, done, attempts } => {
                let operation = Operation::Write { request, settings, done, attempts };
                let is_composite = operation.carries(device, false) > 1;
                let Operation::Write { request, settings, done, attempts } = operation else { return };
                let is_other_format = matches!(refusal, code::UNSUPPORTED_FORMAT | code::NOT_ACCEPTABLE);
                if is_composite {
                    device.has_composite = false;
                    device.operations.push_front(Operation::Write { request, settings, done, attempts });
                } else if is_other_format && attempts + 1 < Operation::formats() {
                    device.operations.push_front(Operation::Write { request, settings, done, attempts: attempts + 1 });
                } else {
                    out.fail(request, of_code(refusal));
                }
            }
            Operation::Observe(path) => self.observe_otherwise(now, key, path),
            Operation::ObserveTogether(paths) => self.observe_apart(key, paths),
            Operation::Learn(path) if self.split(key, path, refusal) => {
                self.paths_of(key, path).into_iter().for_each(|path| self.push(key, Operation::Learn(path)));
            }
            Operation::Read { request, paths } if paths.first().is_some_and(|path| self.split(key, *path, refusal)) => {
                let paths = paths.first().map(|path| self.paths_of(key, *path)).unwrap_or_default();
                *self.reads.entry(request).or_default() += paths.len();
                for path in paths {
                    self.push(key, Operation::Read { request, paths: vec![path] });
                }
                self.finish_read(request, out);
            }
            Operation::Read { request, paths } => {
                self.nodes_failed(key, request, &paths, &of_code(refusal), out);
                self.finish_read(request, out);
            }
            other => self.fail(&other, &of_code(refusal), out),
        }
    }

    /// A device that does not let an instance be read as a whole may let its resources be; whether that is new of it.
    fn split(&mut self, key: Key, path: Path, refusal: u8) -> bool {
        let is_about_level =
            matches!(refusal, code::BAD_REQUEST | code::NOT_FOUND | code::NOT_ALLOWED | code::NOT_IMPLEMENTED);
        let instance = self.registry.get_mut(key).and_then(|device| device.instances.get_mut(&path));
        instance.is_some_and(|instance| is_about_level && !std::mem::replace(&mut instance.is_split, true))
    }

    /// What is read to read an instance.
    pub(super) fn paths_of(&self, key: Key, path: Path) -> Vec<Path> {
        let instance = self.registry.get(key).and_then(|device| device.instances.get(&path));
        instance.map(|instance| instance.read_paths(&self.dictionary)).unwrap_or_default()
    }

    fn nodes_failed(&self, key: Key, request: u64, paths: &[Path], failure: &Failure, out: &mut Actions) {
        let device = self.registry.get(key);
        let instances = paths.iter().filter_map(|path| device?.instances.get(path));
        instances.for_each(|instance| out.node_failed(request, instance.number, failure.clone()));
    }

    /// There was no answer that could be used.
    fn lost(&mut self, now: Timestamp, key: Key, operation: Operation, lost: Lost, out: &mut Actions) {
        let Some(device) = self.registry.get_mut(key) else { return };
        if lost == Lost::Silence {
            if device.is_queue {
                // It sleeps: it will be asked when it says something.
                device.heard_at = now - Timestamp::from(self.settings.awake_s) * SECOND - 1;
                device.operations.push_front(operation);
                return;
            }
            if device.is_reachable {
                out.log(Level::Info, format!("device {:?} does not answer", device.endpoint));
                device.is_reachable = false;
                device.tell_state(out);
            }
            if operation.request().is_none() {
                device.operations.push_front(operation);
                return;
            }
        }
        let failure = of_loss(lost);
        if matches!(lost, Lost::Blocks | Lost::TooLarge) {
            self.warn(key, Path::root(), &failure.message, out);
        }
        match &operation {
            Operation::Read { request, paths } => self.nodes_failed(key, *request, paths, &failure, out),
            Operation::Observe(path) => self.observe_otherwise(now, key, *path),
            Operation::ObserveTogether(paths) => self.observe_apart(key, paths.clone()),
            _ => {}
        }
        self.fail(&operation, &failure, out);
    }
}

/// What a refusal means to people.
fn of_code(refusal: u8) -> Failure {
    let code = match refusal {
        code::BAD_REQUEST => ReasonCode::InvalidArgument,
        code::UNAUTHORIZED | code::FORBIDDEN => ReasonCode::AccessDenied,
        code::NOT_FOUND => ReasonCode::NotFound,
        code::NOT_ALLOWED | code::NOT_ACCEPTABLE | code::UNSUPPORTED_FORMAT | code::NOT_IMPLEMENTED => {
            ReasonCode::NotSupported
        }
        code::UNAVAILABLE => ReasonCode::Busy,
        code::GATEWAY_TIMEOUT => ReasonCode::Timeout,
        _ => ReasonCode::Internal,
    };
    Failure::new(code, format!("the device answered {}", code::text(refusal)))
}

fn of_loss(lost: Lost) -> Failure {
    match lost {
        Lost::Silence => Failure::new(ReasonCode::Timeout, "the device does not answer"),
        Lost::Reset => {
            Failure::new(ReasonCode::ProtocolViolation, "the device does not know what to do with the request")
        }
        Lost::Blocks => {
            Failure::new(ReasonCode::ProtocolViolation, "the blocks of the device's answer do not fit together")
        }
        Lost::TooLarge => Failure::new(ReasonCode::QuotaExceeded, "the device's answer is larger than is taken"),
    }
}
