//! Makes code of `objects.txt`: a constant table, so that a component spends nothing on reading it. A line that makes no sense ends the build.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=objects.txt");
    let text = std::fs::read_to_string("objects.txt")?;
    let mut code = Code::default();
    for (number, line) in (1..).zip(text.lines()) {
        if !line.trim().is_empty() && !line.starts_with('#') {
            code.add(line).ok_or_else(|| format!("objects.txt:{number}: {line}"))?;
        }
    }
    let Code { shared, objects, .. } = code;
    let text = format!(
        "pub(super) const SHARED: &[Row] = &[\n{shared}];\npub(super) const OBJECTS: &[Table] = &[\n{objects}]}}];\n"
    );
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("objects.rs"), text)?;
    Ok(())
}

/// What is written so far.
#[derive(Default)]
struct Code {
    shared: String,
    objects: String,
    /// Whether an object began.
    is_open: bool,
}

impl Code {
    fn add(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["object", id, version, single, unit, name @ ..] => {
                let end = if std::mem::replace(&mut self.is_open, true) { "]},\n" } else { "" };
                let object = object(id, version, single, unit, name)?;
                write!(self.objects, "{end}{object}").ok()
            }
            ["use", ids @ ..] => write!(self.objects, "{}", uses(ids)?).ok(),
            [id, operations, kind, range, unit, about, name @ ..] => {
                let resource = resource(id, operations, kind, range, unit, about, name)?;
                match self.is_open {
                    true => write!(self.objects, "Entry::Own({resource}),").ok(),
                    false => writeln!(self.shared, "{resource},").ok(),
                }
            }
            _ => None,
        }
    }
}

/// Version and number of instances are facts of the table that nothing needs yet; they are checked and left out.
fn object(id: &str, version: &str, single: &str, unit: &str, name: &[&str]) -> Option<String> {
    let id: u16 = id.parse().ok()?;
    version.split_once('.').filter(|_| matches!(single, "single" | "multiple"))?;
    let unit = unit.strip_prefix('-').unwrap_or(unit);
    Some(format!("Table {{ id: {id}, unit: {unit:?}, name: {:?}, entries: &[", name.join(" ")))
}

fn uses(ids: &[&str]) -> Option<String> {
    ids.iter().try_fold(String::new(), |mut all, word| {
        let id: u16 = word.trim_end_matches('!').parse().ok()?;
        write!(all, "Entry::Shared({id}, {}),", word.ends_with('!')).ok()?;
        Some(all)
    })
}

fn resource(
    id: &str,
    operations: &str,
    kind: &str,
    range: &str,
    unit: &str,
    about: &str,
    name: &[&str],
) -> Option<String> {
    let number: u16 = id.trim_end_matches('!').parse().ok()?;
    let letters = operations.trim_end_matches('*');
    if letters != "-" && (letters.is_empty() || letters.chars().any(|letter| !"RWE".contains(letter))) {
        return None;
    }
    let kind = match kind {
        "none" => "Nothing",
        "string" => "String",
        "integer" => "Integer",
        "unsigned" => "Unsigned",
        "float" => "Float",
        "boolean" => "Boolean",
        "opaque" => "Opaque",
        "time" => "Time",
        "objlnk" => "Link",
        "corelnk" => "Corelnk",
        _ => return None,
    };
    let range = match range.split_once("..") {
        Some((low, high)) => format!("Some(({:?}, {:?}))", low.parse::<f64>().ok()?, high.parse::<f64>().ok()?),
        None => "None".to_owned(),
    };
    let about = match about {
        "m" => "Momentary",
        "p" => "Peak",
        "s" => "Status",
        "i" => "Identity",
        _ => return None,
    };
    let unit = if unit == "-" { "" } else { unit };
    Some(format!(
        "Row {{ id: {number}, is_readable: {}, is_writable: {}, is_executable: {}, is_multiple: {}, is_mandatory: {}, \
         kind: Kind::{kind}, range: {range}, unit: {unit:?}, about: About::{about}, name: {:?} }}",
        letters.contains('R'),
        letters.contains('W'),
        letters.contains('E'),
        operations.ends_with('*'),
        id.ends_with('!'),
        name.join(" ")
    ))
}
