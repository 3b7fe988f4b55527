//! Runs every script of `tests/conformance/` against the hub in this process. One script, one requirement.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tombolo_tests::script;

/// Features of the specification that must have scripts.
const AREAS: &[&str] = &[
    "chat",
    "commands",
    "component",
    "concentrator",
    "control",
    "discovery",
    "events",
    "http",
    "mirror",
    "patterns",
    "queues",
    "sensor",
];

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

/// Elements that a peer may send, by the part of their namespace that names the interface; short names first.
const OPERATIONS: &[(&str, &[&str])] = &[
    ("sd sensordata", &["req", "cancel"]),
    ("ctr control", &["set", "getForm"]),
    ("events", &["subscribe", "unsubscribe"]),
    ("concentrator concentrators", tombolo_core::wire::concentrator::OPERATIONS),
];

/// Generations as scripts and namespaces call them.
const GENERATIONS: [&str; 4] = ["xmpp", "ieee", "nf", "nfi"];

/// Which scripts bring which operation, in which generation.
type Cells = BTreeMap<(String, &'static str), BTreeSet<String>>;

fn cells_of(text: &str, name: &str, cells: &mut Cells) {
    let dialects = script::dialects(text).unwrap();
    for (interface, operations) in OPERATIONS {
        for operation in *operations {
            for part in interface.split(' ') {
                let asked = |generation: &str| {
                    let namespace = format!("xmlns='urn:{generation}:iot:{part}");
                    text.split(&format!("<{operation} ")).skip(1).any(|rest| rest.starts_with(&namespace))
                };
                for generation in GENERATIONS {
                    let is_meant = asked(generation) || (asked("nf") && dialects.contains(&generation));
                    if is_meant {
                        let row = format!("{} `{operation}`", interface.split(' ').next_back().unwrap_or_default());
                        cells.entry((row, generation)).or_default().insert(name.to_owned());
                    }
                }
            }
        }
    }
}

/// The table, and the operations that lack a dialogue in a generation.
fn table() -> (String, Vec<String>) {
    let mut cells = Cells::new();
    let mut requirements = String::new();
    for area_name in AREAS {
        for path in scripts(&area(area_name)) {
            let text = std::fs::read_to_string(&path).unwrap();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let name = format!("{area_name}/{stem}");
            cells_of(&text, &name, &mut cells);
            let requirement = text.lines().next().unwrap_or_default().trim_start_matches("# ").replace('|', "\\|");
            let [prosody, ejabberd] =
                ["prosody", "ejabberd"].map(|server| script::live::excuse(&text, server).unwrap_or("yes"));
            writeln!(requirements, "| {requirement} | [{stem}]({name}.script) | {prosody} | {ejabberd} |").unwrap();
        }
    }
    let mut out = String::from(
        "# Which dialogue is about what\n\nWritten by `TOMBOLO_WRITE=1 cargo test --workspace --test fast -- conformance::table`; a test fails when it is stale.\n\n\
         ## Operations by generation\n\nHow many dialogues bring the operation, and one of them.\n\n| operation | xmpp | ieee | nf | nfi |\n|---|---|---|---|---|\n",
    );
    let mut missing = Vec::new();
    for (interface, operations) in OPERATIONS {
        for operation in *operations {
            let row = format!("{} `{operation}`", interface.split(' ').next_back().unwrap_or_default());
            write!(out, "| {row} |").unwrap();
            for generation in GENERATIONS {
                match cells.get(&(row.clone(), generation)).filter(|found| !found.is_empty()) {
                    Some(found) => {
                        let first = found.first().map(String::as_str).unwrap_or_default();
                        write!(out, " [{}]({first}.script) |", found.len()).unwrap();
                    }
                    None => {
                        missing.push(format!("{row} in {generation}"));
                        out.push_str(" none |");
                    }
                }
            }
            out.push('\n');
        }
    }
    write!(
        out,
        "\n## Requirements\n\nEach runs in process; over which server it also goes, or why not.\n\n\
         | requirement | dialogue | Prosody | ejabberd |\n|---|---|---|---|\n{requirements}"
    )
    .unwrap();
    (out, missing)
}

#[test]
fn table_says_which_dialogue_is_about_what() {
    let path = area("TABLE.md");
    let (table, missing) = table();
    assert!(missing.is_empty(), "no dialogue for {}", missing.join(", "));
    if std::env::var_os("TOMBOLO_WRITE").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == table,
        "TABLE.md is stale: TOMBOLO_WRITE=1 cargo test --workspace --test fast -- conformance::table"
    );
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
fn http() {
    run("http");
}

#[test]
fn mirror() {
    run("mirror");
}

#[test]
fn patterns() {
    run("patterns");
}

#[test]
fn queues() {
    run("queues");
}

#[test]
fn sensor() {
    run("sensor");
}
