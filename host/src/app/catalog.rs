//! The plugins that lie in the directory: what each file turned out to be.
//!
//! Owns the loading, one file after the other and beside everything else, and the newest good package of each name. A file that is
//! refused leaves the package before it in force.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tombolo_runtime::{Engine, Package};

/// A file was looked at.
pub(crate) struct Loaded {
    /// The file's name without `.wasm`.
    pub(crate) name: String,
    /// Start of its hash, for the log.
    pub(crate) hash: String,
    /// What it is.
    pub(crate) outcome: Result<Package, String>,
}

/// One file.
#[derive(Default)]
pub(crate) struct Plugin {
    /// The newest that was good.
    pub(crate) package: Option<Package>,
    /// Why the newest is not.
    pub(crate) refused: Option<String>,
}

/// All files.
pub(crate) struct Catalog {
    plugins: BTreeMap<String, Plugin>,
    files: mpsc::UnboundedSender<(String, String, Vec<u8>)>,
}

impl Catalog {
    /// An empty catalog that tells `loaded` of each file that [`Catalog::load`] is given, in that order.
    pub(crate) fn new(engine: Engine, loaded: mpsc::Sender<Loaded>) -> Self {
        // Unbounded, because the watcher offers a file only when its content changed, and holds no more than the directory does.
        let (files, mut queue) = mpsc::unbounded_channel::<(String, String, Vec<u8>)>();
        tokio::spawn(async move {
            while let Some((name, hash, bytes)) = queue.recv().await {
                let outcome = engine.load(bytes).await.map_err(|refusal| refusal.to_string());
                if loaded.send(Loaded { name, hash, outcome }).await.is_err() {
                    return;
                }
            }
        });
        Self { plugins: BTreeMap::new(), files }
    }

    /// Begins to look at a file.
    pub(crate) fn load(&self, name: String, hash: String, bytes: Vec<u8>) {
        let _ = self.files.send((name, hash, bytes));
    }

    /// Keeps what a file turned out to be.
    pub(crate) fn keep(&mut self, name: &str, outcome: Result<Package, String>) {
        let plugin = self.plugins.entry(name.to_owned()).or_default();
        match outcome {
            Ok(package) => *plugin = Plugin { package: Some(package), refused: None },
            Err(reason) => plugin.refused = Some(reason),
        }
    }

    /// The file is gone.
    pub(crate) fn forget(&mut self, name: &str) {
        self.plugins.remove(name);
    }

    /// The newest good package of a name.
    pub(crate) fn package(&self, name: &str) -> Option<&Package> {
        self.plugins.get(name)?.package.as_ref()
    }

    /// All of them, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Plugin)> {
        self.plugins.iter()
    }
}
