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
    /// Files that are being looked at.
    loading: usize,
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
    pub(crate) fn load(&mut self, name: String, hash: String, bytes: Vec<u8>) {
        self.plugins.entry(name.clone()).or_default().loading += 1;
        let _ = self.files.send((name, hash, bytes));
    }

    /// A file was looked at. Whether it is still there.
    pub(crate) fn loaded(&mut self, name: &str) -> bool {
        let Some(plugin) = self.plugins.get_mut(name) else { return false };
        plugin.loading = plugin.loading.saturating_sub(1);
        true
    }

    /// Keeps what a file turned out to be.
    pub(crate) fn keep(&mut self, name: &str, outcome: Result<Package, String>) {
        let plugin = self.plugins.entry(name.to_owned()).or_default();
        match outcome {
            Ok(package) => (plugin.package, plugin.refused) = (Some(package), None),
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

    /// The newest good package of each name.
    pub(crate) fn packages(&self) -> BTreeMap<String, Package> {
        self.plugins.iter().filter_map(|(name, plugin)| Some((name.clone(), plugin.package.clone()?))).collect()
    }

    /// Why a bridge cannot have this plugin: its state, and the reason for people.
    pub(crate) fn lacks(&self, name: &str) -> (&'static str, String) {
        match self.plugins.get(name) {
            Some(plugin) if plugin.loading > 0 => ("compiling", format!("plugins/{name}.wasm is being compiled")),
            Some(Plugin { refused: Some(reason), .. }) => ("refused", reason.clone()),
            Some(_) | None => ("waiting", format!("plugins/{name}.wasm is not there")),
        }
    }

    /// All of them, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Plugin)> {
        self.plugins.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn says_truly_why_a_bridge_cannot_have_its_plugin() {
        let (sender, mut loaded) = mpsc::channel(1);
        let mut catalog = Catalog::new(Engine::new(None).unwrap(), sender);
        assert_eq!(catalog.lacks("x"), ("waiting", "plugins/x.wasm is not there".to_owned()));
        catalog.load("x".to_owned(), String::new(), b"no component".to_vec());
        assert_eq!(catalog.lacks("x"), ("compiling", "plugins/x.wasm is being compiled".to_owned()));
        let Loaded { name, outcome, .. } = loaded.recv().await.unwrap();
        assert!(catalog.loaded(&name));
        let reason = outcome.map(|_| ()).unwrap_err();
        catalog.keep(&name, Err(reason.clone()));
        assert_eq!(catalog.lacks("x"), ("refused", reason));
        catalog.forget("x");
        assert!(!catalog.loaded("x"), "what went meanwhile is not taken up");
        assert_eq!(catalog.lacks("x").0, "waiting");
    }
}
