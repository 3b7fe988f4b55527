//! `cargo plugins`: every crate under `plugins/` becomes one component under `target/plugins/`.
//!
//! Owns the way from a crate's name to a finished file: the wasm target, the core module, the component, the check that it imports
//! nothing and exports the contract. A file appears whole or not at all, so a running tombolo may watch the directory.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use wit_component::{ComponentEncoder, DecodedWasm};

use crate::install::WASM;
use crate::{Outcome, install, place, say};

const PROFILE: &str = "plugin";
const CONTRACT: &str = "tombolo:mapper/guest@";
const STAMP_SECTION: &str = "tombolo.stamp";

/// A finished plugin.
pub struct Plugin {
    /// Without `.wasm`.
    pub name: String,
    /// Where it is.
    pub file: PathBuf,
    /// Its size.
    pub bytes: usize,
}

/// The command: names, or none for all.
pub fn run(arguments: &[String]) -> Outcome<ExitCode> {
    let (names, stamp) = parse(arguments)?;
    for plugin in build(&names, stamp.as_deref())? {
        say(&format!("{:12} {:>5} kB  {}", plugin.name, plugin.bytes / 1000, plugin.file.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the named plugins, or all. A stamp makes the file another one without changing what it does, to try a swap.
pub fn build(names: &[String], stamp: Option<&str>) -> Outcome<Vec<Plugin>> {
    let known = all()?;
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!("there is no plugins/{unknown}; there are: {}", known.join(", ")).into());
    }
    install::wasm_target()?;
    let chosen = if names.is_empty() { known.as_slice() } else { names };
    chosen.iter().map(|name| build_one(name, stamp)).collect()
}

fn parse(arguments: &[String]) -> Outcome<(Vec<String>, Option<String>)> {
    let mut names = Vec::new();
    let mut stamp = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--stamp" => stamp = Some(rest.next().ok_or("--stamp wants a text")?.clone()),
            option if option.starts_with('-') => return Err(format!("{option}: no such option").into()),
            name => names.push(name.into()),
        }
    }
    Ok((names, stamp))
}

/// Names of the crates under `plugins/`, sorted.
fn all() -> Outcome<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(place::root().join("plugins"))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn build_one(name: &str, stamp: Option<&str>) -> Outcome<Plugin> {
    let module = fs::read(build_module(name)?)?;
    let component =
        component(&module).map_err(|error| format!("plugins/{name} does not make a component: {error:#}"))?;
    check(&component).map_err(|error| format!("plugins/{name}: {error}"))?;
    let component = stamp.map(|stamp| stamped(&component, stamp)).unwrap_or(component);
    let file = write(name, &component)?;
    Ok(Plugin { name: name.into(), file, bytes: component.len() })
}

/// One cargo call for each plugin: in a common one, a plugin's features could change the bytes of another.
fn build_module(name: &str) -> Outcome<PathBuf> {
    let target = place::target()?;
    let package = format!("tombolo-{name}");
    let build =
        ["build", "--quiet", "--lib", "--profile", PROFILE, "--target", WASM, "--package", &package, "--target-dir"];
    succeed(place::cargo(&build).arg(&target))?;
    Ok(target.join(WASM).join(PROFILE).join(format!("{}.wasm", package.replace('-', "_"))))
}

fn component(module: &[u8]) -> Outcome<Vec<u8>> {
    Ok(ComponentEncoder::default().module(module)?.validate(true).encode()?)
}

/// A plugin imports nothing and exports the contract: what the host's audit wants, told while it is being built.
fn check(component: &[u8]) -> Outcome<()> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        return Err("not a component".into());
    };
    let world = resolve.worlds.get(world).ok_or("a component without a world")?;
    let imports: Vec<String> = world.imports.keys().map(|name| resolve.name_world_key(name)).collect();
    if !imports.is_empty() {
        return Err(format!("a plugin imports nothing, this one imports {}", imports.join(", ")).into());
    }
    let exports: Vec<String> = world.exports.keys().map(|name| resolve.name_world_key(name)).collect();
    if !exports.iter().any(|name| name.starts_with(CONTRACT)) {
        return Err(format!("exports no {CONTRACT}*; is there a `tombolo_sdk::export!`?").into());
    }
    Ok(())
}

/// The same component with a section that no runtime looks at: another file to a host, the same code to run.
pub fn stamped(component: &[u8], stamp: &str) -> Vec<u8> {
    [component, &custom_section(STAMP_SECTION, stamp)].concat()
}

fn custom_section(name: &str, content: &str) -> Vec<u8> {
    let mut payload = leb128(name.len());
    payload.extend(name.bytes().chain(content.bytes()));
    let mut section = vec![0];
    section.extend(leb128(payload.len()));
    section.extend(payload);
    section
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn write(name: &str, component: &[u8]) -> Outcome<PathBuf> {
    let directory = place::target()?.join("plugins");
    fs::create_dir_all(&directory)?;
    let (part, file) = (directory.join(format!(".{name}.part")), directory.join(format!("{name}.wasm")));
    fs::write(&part, component)?;
    fs::rename(&part, &file)?;
    Ok(file)
}

fn succeed(command: &mut Command) -> Outcome<()> {
    let status = command.status().map_err(|error| format!("{:?} does not run: {error}", command.get_program()))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn refuses_what_exports_no_contract() {
        assert!(check(MINIMAL_COMPONENT).unwrap_err().to_string().contains("exports no"));
    }

    #[test]
    fn refuses_what_is_no_component() {
        assert!(check(b"\0asm\x01\0\0\0").is_err());
        assert!(check(b"").is_err());
    }

    #[test]
    fn a_stamped_component_is_still_one() {
        let stamped = stamped(MINIMAL_COMPONENT, &"x".repeat(300));
        assert!(matches!(wit_component::decode(&stamped), Ok(DecodedWasm::Component(..))));
    }

    #[test]
    fn reads_names_and_a_stamp() {
        let (names, stamp) = parse(&["mqtt".into(), "--stamp".into(), "b".into()]).unwrap();
        assert_eq!((names, stamp), (vec!["mqtt".to_string()], Some("b".to_string())));
        assert!(parse(&["--frobnicate".into()]).is_err());
    }
}
