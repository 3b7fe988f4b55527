//! Runs every script of `tests/conformance/` against the hub in this process. One script, one requirement.

use std::path::{Path, PathBuf};

use tombolo_tests::script;

/// Features of the specification that must have scripts.
const AREAS: &[&str] =
    &["chat", "commands", "component", "concentrator", "control", "discovery", "events", "patterns", "sensor"];

fn scripts(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "script")).collect();
    found.sort();
    found
}

fn area(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance").join(name)
}

fn run(name: &str) {
    let scripts = scripts(&area(name));
    assert!(!scripts.is_empty(), "{name} has no scripts");
    let failures = scripts.iter().filter_map(|path| {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with("# "), "{} does not say its requirement first", path.display());
        script::run(&text).err().map(|reason| format!("{}: {reason}", path.display()))
    });
    let failures: Vec<String> = failures.collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn every_area_has_its_test() {
    let entries = std::fs::read_dir(area("")).unwrap().map(|entry| entry.unwrap());
    let mut found: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, AREAS);
}

#[test]
fn chat() {
    run("chat");
}

#[test]
fn commands() {
    run("commands");
}

#[test]
fn component() {
    run("component");
}

#[test]
fn concentrator() {
    run("concentrator");
}

#[test]
fn control() {
    run("control");
}

#[test]
fn discovery() {
    run("discovery");
}

#[test]
fn events() {
    run("events");
}

#[test]
fn patterns() {
    run("patterns");
}

#[test]
fn sensor() {
    run("sensor");
}
