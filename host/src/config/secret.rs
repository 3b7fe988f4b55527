//! Secrets: where they come from.
//!
//! Complaints name the place a secret was to come from, never what was found there.

use std::path::{Path, PathBuf};

use tombolo_core::model::Secret;
use toml::de::{DeTable, DeValue};

use super::document::{Field, Section};

const FORMS: &str = "write a text, { file = \"PATH\" }, { env = \"NAME\" } or { credential = \"NAME\" }";

/// Reads a secret that is written out, or fetches it from where the field says.
pub(super) fn read(field: &Field<'_>) -> Option<Secret> {
    if let Some(text) = field.value.as_str() {
        return checked(field, text.to_owned(), "the text");
    }
    if !field.value.as_table().is_some_and(is_reference) {
        field.complain(FORMS);
        return None;
    }
    fetch(field)
}

/// Fetches what a table of one key refers to.
pub(super) fn fetch(field: &Field<'_>) -> Option<Secret> {
    let mut section = field.section()?;
    if let Some(file) = section.take("file") {
        return read_file(field, &file);
    }
    if let Some(name) = section.take("env") {
        return read_variable(field, name.text()?);
    }
    read_credential(field, &mut section)
}

/// Reads the file that `path` names.
pub(super) fn read_file(field: &Field<'_>, path: &Field<'_>) -> Option<Secret> {
    read_path(field, &path.path()?)
}

fn read_path(field: &Field<'_>, path: &Path) -> Option<Secret> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            // Editors and `echo` end files with a newline that is no part of the secret.
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            checked(field, text.to_owned(), &path.display().to_string())
        }
        Err(error) => {
            field.complain(format!("cannot read the secret from {}: {error}", path.display()));
            None
        }
    }
}

fn read_variable(field: &Field<'_>, name: &str) -> Option<Secret> {
    match field.document.variable(name) {
        Some(text) => checked(field, text, &format!("the environment variable {name}")),
        None => {
            field.complain(format!("the environment variable {name} is not set"));
            None
        }
    }
}

fn read_credential(field: &Field<'_>, section: &mut Section<'_>) -> Option<Secret> {
    let name = section.take("credential")?.text()?;
    let Some(directory) = field.document.variable("CREDENTIALS_DIRECTORY") else {
        field.complain("CREDENTIALS_DIRECTORY is not set; credentials come from systemd (LoadCredential=)");
        return None;
    };
    if name.is_empty() || name.contains('/') {
        field.complain("a credential's name is a file name without any path");
        return None;
    }
    read_path(field, &PathBuf::from(directory).join(name))
}

fn checked(field: &Field<'_>, text: String, origin: &str) -> Option<Secret> {
    if text.is_empty() {
        field.complain(format!("the secret is empty ({origin})"));
        return None;
    }
    Some(Secret::new(text))
}
/// Whether a table says where a secret is, and nothing else.
pub(super) fn is_reference(table: &DeTable<'_>) -> bool {
    let is_origin = |key: &str| ["file", "env", "credential"].contains(&key);
    table.len() == 1 && table.iter().all(|(key, value)| is_origin(key.get_ref()) && is_text(value.get_ref()))
}

fn is_text(value: &DeValue<'_>) -> bool {
    value.is_str()
}
