//! Secrets: where they come from, and that they are never shown.
//!
//! Owns the one type that holds a secret's text. Never prints it: whoever needs it calls [`Secret::expose`], which is easy to search for.
//! Complaints name the place a secret was to come from, never what was found there.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::document::{Field, Section};

const FORMS: &str = "write a text, { file = \"PATH\" }, { env = \"NAME\" } or { credential = \"NAME\" }";

/// A text that no log, error or debug output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for handing it to whoever checks it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Reads a secret that is written out, or fetches it from where the field says.
    pub(super) fn read(field: &Field<'_>) -> Option<Self> {
        if let Some(text) = field.value.as_str() {
            return Self::checked(field, text.to_owned(), "the text");
        }
        if !field.value.as_table().is_some_and(is_reference) {
            field.complain(FORMS);
            return None;
        }
        Self::fetch(field)
    }

    /// Fetches what a table of one key refers to.
    pub(super) fn fetch(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        if let Some(file) = section.take("file") {
            return Self::read_file(field, &file);
        }
        if let Some(name) = section.take("env") {
            return Self::read_variable(field, name.text()?);
        }
        Self::read_credential(field, &mut section)
    }

    /// Reads the file that `path` names.
    pub(super) fn read_file(field: &Field<'_>, path: &Field<'_>) -> Option<Self> {
        Self::read_path(field, &path.path()?)
    }

    fn read_path(field: &Field<'_>, path: &Path) -> Option<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                // Editors and `echo` end files with a newline that is no part of the secret.
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\r').unwrap_or(text);
                Self::checked(field, text.to_owned(), &path.display().to_string())
            }
            Err(error) => {
                field.complain(format!("cannot read the secret from {}: {error}", path.display()));
                None
            }
        }
    }

    fn read_variable(field: &Field<'_>, name: &str) -> Option<Self> {
        match field.document.variable(name) {
            Some(text) => Self::checked(field, text, &format!("the environment variable {name}")),
            None => {
                field.complain(format!("the environment variable {name} is not set"));
                None
            }
        }
    }

    fn read_credential(field: &Field<'_>, section: &mut Section<'_>) -> Option<Self> {
        let name = section.take("credential")?.text()?;
        let Some(directory) = field.document.variable("CREDENTIALS_DIRECTORY") else {
            field.complain("CREDENTIALS_DIRECTORY is not set; credentials come from systemd (LoadCredential=)");
            return None;
        };
        if name.is_empty() || name.contains('/') {
            field.complain("a credential's name is a file name without any path");
            return None;
        }
        Self::read_path(field, &PathBuf::from(directory).join(name))
    }

    fn checked(field: &Field<'_>, text: String, origin: &str) -> Option<Self> {
        if text.is_empty() {
            field.complain(format!("the secret is empty ({origin})"));
            return None;
        }
        Some(Self(text))
    }
}

/// Whether a table says where a secret is, and nothing else.
pub(super) fn is_reference(table: &DeTable<'_>) -> bool {
    let is_origin = |key: &str| ["file", "env", "credential"].contains(&key);
    table.len() == 1 && table.iter().all(|(key, value)| is_origin(key.get_ref()) && is_text(value.get_ref()))
}

fn is_text(value: &DeValue<'_>) -> bool {
    value.is_str()
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(..)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
