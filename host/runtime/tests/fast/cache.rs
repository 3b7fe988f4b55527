//! Compiled components on disk: used when whole, compiled anew when not, and only where nobody else can write.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Wat;
use tombolo_runtime::{Engine, EngineError};

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn keeps_one_entry_for_one_content() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::new(Some(directory.path().join("compiled"))).unwrap();
    let package = engine.load(Wat::default().component()).await.unwrap();
    engine.load(Wat::default().component()).await.unwrap();
    engine.load(Wat { schema: "{ }", ..Wat::default() }.component()).await.unwrap();
    let names = entries(&directory.path().join("compiled"));
    assert_eq!(names.len(), 2);
    let of_first = |path: &&PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&*package.hash);
    assert_eq!(names.iter().filter(of_first).count(), 1);
}

#[tokio::test]
async fn takes_what_is_there_in_another_process_too() {
    let directory = tempfile::tempdir().unwrap();
    Engine::new(Some(directory.path().into())).unwrap().load(Wat::default().component()).await.unwrap();
    let entry = entries(directory.path()).pop().unwrap();
    let written = fs::metadata(&entry).unwrap().modified().unwrap();
    let package = Engine::new(Some(directory.path().into())).unwrap().load(Wat::default().component()).await.unwrap();
    assert_eq!(package.description.name, "wat");
    assert_eq!(fs::metadata(&entry).unwrap().modified().unwrap(), written);
}

#[tokio::test]
async fn compiles_anew_what_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::new(Some(directory.path().into())).unwrap();
    engine.load(Wat::default().component()).await.unwrap();
    let entry = entries(directory.path()).pop().unwrap();
    let whole = fs::read(&entry).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [Vec::new(), whole[..20].to_vec(), whole[..whole.len() - 1].to_vec(), flipped] {
        fs::write(&entry, damaged).unwrap();
        engine.load(Wat::default().component()).await.unwrap();
        assert_eq!(fs::read(&entry).unwrap().len(), whole.len());
    }
}

#[cfg(unix)]
#[test]
fn refuses_a_directory_that_others_may_write_to() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let refusal = Engine::new(Some(directory.path().into())).err().unwrap();
    assert!(matches!(refusal, EngineError::CacheDirectory { .. }));
    assert!(refusal.to_string().contains("others may write"), "{refusal}");
}
