//! What lies in files: the operator's configuration, keys, components, transcripts, the database; what people type; and what comes over the
//! sockets that speak HTTP: doors, probes, and the answer to `tombolo status`.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tombolo::admin::{self, Status};
use tombolo::store::Store;
use tombolo::transport::{Doorkeeper, Knock};
use tombolo_core::model::bridge::{HttpAnswer, State};
use tombolo_core::model::custody::{Item, Route};
use tombolo_core::policy::Door;
use tombolo_dev::process::free_port;

use tombolo::config::Config;
use tombolo_mqtt::Mqtt;
use tombolo_runtime::Engine;
use tombolo_tests::native::program;
use tombolo_tests::transcript::check;

/// Longer than this nobody waits for an answer.
const SILENT: Duration = Duration::from_secs(5);

pub(crate) fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap())
}

/// A complaint about the file never shows a secret of it.
pub(crate) fn config(bytes: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tombolo.toml");
    std::fs::write(&file, bytes).unwrap();
    if let Err(error) = Config::load(&file) {
        assert!(!has_only_secrets(bytes) || !error.to_string().contains("hunter2"), "{error}");
    }
}

/// Whether the word that stands for secrets stands only where secrets do: elsewhere a complaint may well name it.
fn has_only_secrets(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let before: Vec<&str> = text.split("hunter2").collect();
    let is_secret = |text: &&str| {
        ["password", "alice", "lamp", "\"urn:dev:1\""].iter().any(|key| text.ends_with(&format!("{key} = \"")))
    };
    before.split_last().is_some_and(|(_, before)| before.iter().all(is_secret))
}

pub(crate) fn component(bytes: &[u8]) {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| runtime().block_on(async { Engine::new(None).unwrap() }));
    if let Err(error) = runtime().block_on(engine.load(bytes.to_vec())) {
        assert!(!error.to_string().is_empty());
    }
}

pub(crate) fn transcript(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = runtime().block_on(check(&program::<Mqtt>("fuzz"), text));
}

/// Keys by identity, in a file of their own.
pub(crate) fn config_keys(bytes: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("psk.toml"), bytes).unwrap();
    let file = directory.path().join("tombolo.toml");
    let text = "[xmpp.local]\naccounts = { a = \"b\" }\n[bridges.field]\nplugin = \"lwm2m\"\n\
                endpoints = { server = { listen = \"coaps://127.0.0.1:1\", keys = { file = \"psk.toml\" } } }\n";
    std::fs::write(&file, text).unwrap();
    if let Err(error) = Config::load(&file) {
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

/// Words, one a line.
pub(crate) fn arguments(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(refusal) = tombolo::cli::understand(text.lines()) {
        assert!(!refusal.is_empty());
    }
}

/// A database with a few entries.
fn database() -> &'static [u8] {
    static DATABASE: OnceLock<Vec<u8>> = OnceLock::new();
    DATABASE.get_or_init(|| {
        let place = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(place.path(), mpsc::channel(64).0).unwrap();
        let item = |number| Item { number, route: Route::new("home", "event") };
        let items = (1..20).map(|number| (item(number), format!("<message id='{number}'/>").into_bytes().into()));
        store.append(items.collect()).unwrap();
        store.checkpoint("home", State { version: 1, bytes: b"{}".to_vec() });
        store.record("wish/1", Some(b"<subscribe/>".to_vec()), None);
        assert!(store.close());
        std::fs::read(place.path().join("tombolo.redb")).unwrap()
    })
}

/// Changes of a database: four bytes say where, one how many bytes are written there, or, if it is 0, that the file ends there.
pub(crate) fn store(bytes: &[u8]) {
    let mut content = database().to_vec();
    let mut rest = bytes;
    while let [a, b, c, d, count, after @ ..] = rest {
        let at = u32::from_be_bytes([*a, *b, *c, *d]) as usize % content.len().max(1);
        let (new, next) = after.split_at(usize::from(*count).min(after.len()));
        match content.get_mut(at..at + new.len()) {
            Some(place) if !new.is_empty() => place.copy_from_slice(new),
            _ => content.truncate(at),
        }
        rest = next;
    }
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("tombolo.redb"), content).unwrap();
    if let Err(error) = Store::open(place.path(), mpsc::channel(64).0) {
        assert!(!error.to_string().is_empty());
    }
}

/// Writes a request, and reads what comes until the other side ends it.
fn exchange(mut stream: impl std::io::Read + std::io::Write, bytes: &[u8], end: impl FnOnce()) {
    // Whoever does not like how it begins may have gone already.
    let _ = stream.write_all(bytes);
    end();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("no end of the answer: {error}"),
    }
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
}

/// What HTTP clients write to a door, from the first byte on.
pub(crate) fn door_bytes(bytes: &[u8]) {
    static DOOR: OnceLock<(u16, Doorkeeper)> = OnceLock::new();
    let (port, _) = DOOR.get_or_init(|| {
        let port = free_port().unwrap();
        let listen = format!("127.0.0.1:{port}").parse().unwrap();
        let door = Door::new(listen, "httpx://a@example.org", vec!["GET".into(), "POST".into()], None).unwrap();
        let (sender, mut knocks) = mpsc::channel(8);
        runtime().spawn(async move {
            while let Some(knock) = knocks.recv().await {
                if let Knock::Asked { answer, .. } = knock {
                    let _ = answer.send(HttpAnswer { status: 200, headers: Vec::new(), body: b"warm".to_vec() });
                }
            }
        });
        let _inside = runtime().enter();
        (port, Doorkeeper::new(door, sender))
    });
    let stream = (0..1000).find_map(|_| TcpStream::connect(("127.0.0.1", *port)).ok()).expect("the door is open");
    stream.set_read_timeout(Some(SILENT)).unwrap();
    exchange(&stream, bytes, || drop(stream.shutdown(Shutdown::Write)));
}

/// What programs of this machine write to the service's socket.
pub(crate) fn admin_request(bytes: &[u8]) {
    static PLACE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        let place = tempfile::tempdir().unwrap();
        let (ask, mut asked) = mpsc::channel::<oneshot::Sender<Status>>(8);
        runtime().spawn(async move {
            while let Some(answer) = asked.recv().await {
                let _ = answer.send(Status::default());
            }
        });
        // The operator's orders are understood, and nobody answers them.
        let (order, mut orders) = mpsc::channel(8);
        runtime().spawn(async move { while orders.recv().await.is_some() {} });
        let _inside = runtime().enter();
        admin::serve_unix(place.path(), ask, order).unwrap();
        place
    });
    let stream = UnixStream::connect(admin::socket_path(place.path())).unwrap();
    stream.set_read_timeout(Some(SILENT)).unwrap();
    exchange(&stream, bytes, || drop(stream.shutdown(Shutdown::Write)));
}

/// What `tombolo status` is answered by whoever sits on the socket.
pub(crate) fn admin_answer(bytes: &[u8]) {
    let place = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(admin::socket_path(place.path())).unwrap();
    let answer = bytes.to_vec();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(&answer);
    });
    let place: &Path = place.path();
    if let Err(error) = runtime().block_on(admin::ask(place)) {
        assert!(!error.to_string().is_empty());
    }
    served.join().unwrap();
}
