//! The tree's own rules, as absences: what a floor must not name, what a plugin must bring along, what a file must open with.
//!
//! Reads source text and `cargo metadata`; a rule that a crate wall or a lint holds already is not repeated here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tombolo_dev::place;

/// Lines of one file: STYLE asks for 150 to 400; above this it is certainly two things.
const LINES_MAX: usize = 700;

/// Where a word may stand. Paths are prefixes; everything else must not name it.
const OWNED: &[(&str, &[&str])] = &[
    // The element tree travels as an opaque value through hub and app; taking it apart is the wire's business (see `takes_apart`).
    ("tokio_xmpp::", &["host/src/xmpp"]),
    ("wasmtime::", &["host/runtime/"]),
    ("redb::", &["host/src/store"]),
    ("TcpStream", &["host/src/transport", "host/src/xmpp", "host/src/admin", "tests/"]),
    ("UdpSocket", &["host/src/transport", "tests/"]),
    ("TcpListener", &["host/src/transport", "host/src/admin", "host/src/xmpp", "tests/"]),
    ("UnixStream", &["host/src/admin", "tests/"]),
    ("UnixListener", &["host/src/admin", "tests/"]),
    ("notify::", &["host/src/reload", "host/src/app.rs", "tests/"]),
];

/// What the core never names: no clock, no socket, no file, no runtime, no chance.
const NOT_IN_CORE: &[&str] = &[
    "std::time::Instant",
    "SystemTime",
    "TcpStream",
    "UdpSocket",
    "ToSocketAddrs",
    "std::fs",
    "std::process",
    "std::thread",
    "tokio",
    "rand::",
    "HashMap<",
];

/// Methods that take an element apart: in the core only the wire does.
const TAKES_APART: &[&str] =
    &[".children()", ".get_child(", ".attr(", ".nodes()", "Element::builder", ".append_child("];

/// Siblings of one floor do not know each other.
const SHELLS: &[&str] = &["xmpp", "transport", "store", "config", "reload"];

/// What is never written down: this is a public tree.
const NEVER: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("crates", ".io/api"),
    concat!("index.", "crates.io"),
    concat!("registry.", "npmjs"),
    concat!("files.", "pythonhosted"),
];

struct Source {
    /// From the root, with slashes.
    path: String,
    text: String,
}

impl Source {
    /// Without tests, which may do more, and without comments.
    fn code(&self) -> String {
        let code = self.text.split("#[cfg(test)]").next().unwrap_or_default();
        code.lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .fold(String::new(), |all, line| all + line + "\n")
    }
}

fn files(extension: &str) -> Vec<Source> {
    let listed = Command::new("git")
        .args(["ls-files", "-co", "--exclude-standard"])
        .current_dir(place::root())
        .output()
        .unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    let found = names.lines().filter(|name| name.ends_with(extension)).filter_map(|name| {
        let text = fs::read_to_string(place::root().join(name)).ok()?;
        Some(Source { path: name.to_owned(), text })
    });
    found.collect()
}

/// Source files without tests: tests may look behind every wall.
fn below(prefix: &str) -> Vec<Source> {
    let is_test = |path: &str| path.contains("/tests/") || path.ends_with("/tests.rs");
    files(".rs").into_iter().filter(|source| source.path.starts_with(prefix) && !is_test(&source.path)).collect()
}

fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Whether something in `text` begins with `word`, and not only goes on with it, as `errand::` does with `rand::`.
fn begins(text: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(at, _)| !text.get(..at).is_some_and(|head| head.ends_with(is_part)))
}

/// Whether `text` names `word` as a word of its own.
fn names(text: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|tail| tail.chars().next());
        !before.is_some_and(is_part) && (word.ends_with(':') || !after.is_some_and(is_part))
    })
}

#[test]
fn what_one_place_owns_no_other_names() {
    let mut complaints = Vec::new();
    for source in below("host/").into_iter().chain(below("plugins/")).chain(below("sdk/")) {
        let code = source.code();
        for (word, owners) in OWNED {
            if names(&code, word) && !owners.iter().any(|owner| source.path.starts_with(owner)) {
                complaints.push(format!("{} names {word}, which belongs to {}", source.path, owners.join(", ")));
            }
        }
    }
    none(complaints);
}

#[test]
fn the_core_decides_without_doing() {
    let mut complaints = Vec::new();
    for source in below("host/core/src/") {
        let code = source.code();
        let named = NOT_IN_CORE.iter().filter(|word| begins(&code, word));
        complaints.extend(named.map(|word| format!("{} names {word}", source.path)));
    }
    none(complaints);
}

#[test]
fn only_the_wire_takes_elements_apart() {
    let mut complaints = Vec::new();
    for source in below("host/core/src/").into_iter().filter(|source| !source.path.starts_with("host/core/src/wire")) {
        let code = source.code();
        let used = TAKES_APART.iter().filter(|method| code.contains(**method) && names(&code, "Element"));
        complaints.extend(used.map(|method| format!("{} uses {method}", source.path)));
    }
    none(complaints);
}

#[test]
fn floors_import_downwards_only() {
    let forbidden = [
        ("host/core/src/model", &["crate::wire", "crate::policy", "crate::hub"][..]),
        ("host/core/src/wire", &["crate::policy", "crate::hub"]),
        ("host/core/src/policy", &["crate::wire", "crate::hub"]),
    ];
    let mut complaints = Vec::new();
    for (floor, above) in forbidden {
        for source in below(floor) {
            let code = source.code();
            complaints.extend(
                above.iter().filter(|name| names(&code, name)).map(|name| format!("{} names {name}", source.path)),
            );
        }
    }
    none(complaints);
}

#[test]
fn shells_do_not_know_each_other() {
    let mut complaints = Vec::new();
    for shell in SHELLS {
        for source in below(&format!("host/src/{shell}")) {
            let code = source.code();
            let others = SHELLS.iter().filter(|other| *other != shell && names(&code, &format!("crate::{other}")));
            complaints.extend(others.map(|other| format!("{} names crate::{other}", source.path)));
        }
    }
    none(complaints);
}

#[test]
fn every_file_says_what_it_owns_and_is_one_thing() {
    let mut complaints = Vec::new();
    for source in files(".rs") {
        if !source.text.starts_with("//! ") && !source.text.starts_with("#![doc = include_str!") {
            complaints.push(format!("{} does not open with a //! doc", source.path));
        }
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            complaints.push(format!("{} has {lines} lines; at most {LINES_MAX}", source.path));
        }
    }
    none(complaints);
}

#[test]
fn nothing_names_a_workplace_or_a_registry_host() {
    let mut complaints = Vec::new();
    for source in files("") {
        let found = NEVER.iter().filter(|word| source.text.contains(**word) && !source.path.ends_with("Cargo.lock"));
        complaints.extend(found.map(|word| format!("{} names {word}", source.path)));
    }
    none(complaints);
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let text = fs::read_to_string(place::root().join("Cargo.toml")).unwrap();
    let section = text.split("[workspace.dependencies]").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    let dependencies =
        section.lines().filter(|line| line.contains(" = ") && !line.starts_with('#') && !line.contains("path ="));
    let silent: Vec<String> = dependencies.filter(|line| !line.contains("# ")).map(str::to_owned).collect();
    none(silent);
}

#[test]
fn every_plugin_brings_table_transcripts_and_fuzz_target() {
    let mut complaints = Vec::new();
    for plugin in plugins() {
        let directory = place::root().join("plugins").join(&plugin);
        let readme = fs::read_to_string(directory.join("README.md")).unwrap_or_default();
        if !readme.lines().any(|line| line.starts_with("|--") || line.starts_with("| --")) {
            complaints.push(format!("plugins/{plugin}/README.md has no table of what maps to what"));
        }
        if transcripts(&directory).is_empty() {
            complaints.push(format!("plugins/{plugin}/transcripts has no *.jsonl"));
        }
        let own = crate::fuzz::TARGETS.iter().filter_map(|(name, _)| name.strip_prefix(plugin.as_str()));
        let own: BTreeSet<&str> = own.collect();
        if !["_settings", "_state"].iter().all(|name| own.contains(name)) || own.len() < 3 {
            complaints
                .push(format!("tests/fuzz lacks {plugin}_settings, {plugin}_state, or a target for its protocol"));
        }
    }
    none(complaints);
}

fn plugins() -> Vec<String> {
    let entries = fs::read_dir(place::root().join("plugins")).unwrap().map(|entry| entry.unwrap());
    let crates = entries.filter(|entry| entry.path().join("Cargo.toml").is_file());
    crates.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn transcripts(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join("transcripts")).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect()
}

fn metadata() -> Value {
    let output = place::cargo(&["metadata", "--format-version", "1", "--offline", "--locked"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn texts<'a>(value: &'a Value, member: &str) -> BTreeSet<&'a str> {
    value[member].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn plugins_know_the_sdk_only() {
    let metadata = metadata();
    let mut complaints = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let manifest = package["manifest_path"].as_str().unwrap();
        if !manifest.contains("/plugins/") || !package["source"].is_null() {
            continue;
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap();
            if name.starts_with("tombolo") && name != "tombolo-sdk" {
                complaints.push(format!("{} depends on {name}", package["name"]));
            }
        }
    }
    none(complaints);
}

fn deny() -> toml::Table {
    fs::read_to_string(place::root().join("deny.toml")).unwrap().parse().unwrap()
}

#[test]
fn every_licence_is_allowed() {
    let deny = deny();
    let allowed: BTreeSet<&str> =
        deny["licenses"]["allow"].as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();
    let mut complaints = Vec::new();
    for package in metadata()["packages"].as_array().unwrap() {
        let expression = package["license"].as_str().unwrap_or("none");
        // `A OR B`: one suffices; `A AND B`: both; parentheses only group.
        let is_allowed = expression.replace('/', " OR ").split(" OR ").any(|choice| {
            choice.split(" AND ").all(|licence| allowed.contains(licence.trim_matches(|c| "() ".contains(c))))
        });
        if !is_allowed {
            complaints.push(format!("{} {}: {expression}", package["name"], package["version"]));
        }
    }
    none(complaints);
}

#[test]
fn no_crate_comes_in_several_versions_unless_recorded() {
    let deny = deny();
    let skipped = deny["bans"]["skip"].as_array().unwrap().iter().map(|entry| entry["crate"].as_str().unwrap());
    let recorded: BTreeSet<&str> = skipped.filter_map(|name| name.split('@').next()).collect();
    let lock: toml::Table = fs::read_to_string(place::root().join("Cargo.lock")).unwrap().parse().unwrap();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        versions.entry(package["name"].as_str().unwrap()).or_default().push(package["version"].as_str().unwrap());
    }
    let doubled = versions.iter().filter(|(name, versions)| versions.len() > 1 && !recorded.contains(**name));
    none(doubled.map(|(name, versions)| format!("{name}: {}", versions.join(", "))).collect());
}

#[test]
fn host_crates_enable_no_feature_that_breaks_client_mode() {
    let metadata = metadata();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let xmpp = nodes
        .iter()
        .filter(|node| ["xmpp-parsers", "tokio-xmpp"].iter().any(|name| node["id"].as_str().unwrap().contains(name)));
    for node in xmpp {
        assert!(!texts(node, "features").contains("component"), "{}", node["id"]);
    }
}
