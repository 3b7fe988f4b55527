//! .
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Plugin files in a directory, by name without `.wasm`. Blocks.
pub fn plugin_files(directory: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(stem) = name.strip_suffix(".wasm") else { continue };
        // Editors and copy tools write hidden files first.
        if !stem.is_empty() && !stem.starts_with('.') {
            files.insert(stem.to_owned(), path.clone());
        }
    }
    Ok(files)
}
