//! The parsed file as its sections are read from it: every value knows its line and its key, every complaint is collected.
//!
//! Owns the bookkeeping (which keys were asked for, hence which are unknown) and the reading of texts, lists and tables. Never
//! knows what a key means. A reader that returns `None` has complained, unless the key is simply absent.

use std::cell::RefCell;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::suggest;

/// Where a value stands in the file. Two values that differ in nothing else are equal: moving lines around changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line(pub usize);

impl PartialEq for Line {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Line {}

/// What the process was started with, as far as the file may refer to it.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What all readers of one file share.
pub(super) struct Document<'a> {
    text: &'a str,
    directory: PathBuf,
    environment: Environment<'a>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Document<'a> {
    /// The text of a file in this directory.
    pub(super) fn new(text: &'a str, directory: &Path, environment: Environment<'a>) -> Self {
        Self { text, directory: directory.to_owned(), environment, problems: RefCell::default() }
    }

    /// An environment variable.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// A path as the file means it.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// Notes a complaint about the place at this offset.
    pub(super) fn complain(&self, offset: Option<usize>, key: &str, what: impl Display) {
        let line = offset.map(|offset| self.line(offset).0);
        self.problems.borrow_mut().push(Problem { line, key: key.to_owned(), what: what.to_string() });
    }

    /// The line of an offset.
    fn line(&self, offset: usize) -> Line {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        Line(before.iter().filter(|byte| **byte == b'\n').count() + 1)
    }

    /// All complaints, by line.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }
}

/// A table with fixed keys, or with names of the operator's choosing.
pub(super) struct Section<'a> {
    /// What the file has in common.
    pub(super) document: &'a Document<'a>,
    /// As it would be written; empty for the file itself.
    pub(super) key: String,
    offset: Option<usize>,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(document: &'a Document<'a>, table: &'a DeTable<'a>) -> Self {
        Self { document, key: String::new(), offset: None, table, known: Vec::new() }
    }

    /// The value of a fixed key, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.known.push(key);
        let (name, value) = self.table.get_key_value(key)?;
        Some(self.field(name, value))
    }

    /// The value of a fixed key; a complaint if it is not there.
    pub(super) fn require(&mut self, key: &'static str, example: &str) -> Option<Field<'a>> {
        let field = self.take(key);
        if field.is_none() {
            let what = format!("\"{key}\" is missing; write {key} = {example}");
            self.document.complain(self.offset, &self.key, what);
        }
        field
    }

    /// Whether a key is there, whatever it holds.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Everything in a table whose keys are names.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        let table = self.table;
        table.iter().map(|(name, value)| (name.get_ref().as_ref(), self.field(name, value)))
    }

    /// Complains about every key that nobody asked for.
    pub(super) fn finish(self) {
        for (name, field) in self.entries() {
            if !self.known.contains(&name) {
                field.complain(format!("unknown key{}", suggest::hint(name, self.known.iter().copied())));
            }
        }
    }

    /// Where the section begins.
    pub(super) fn line(&self) -> Line {
        self.document.line(self.offset.unwrap_or_default())
    }

    fn field(&self, name: &'a Spanned<std::borrow::Cow<'a, str>>, value: &'a Spanned<DeValue<'a>>) -> Field<'a> {
        let shown = show_key(name.get_ref());
        let key = if self.key.is_empty() { shown } else { format!("{}.{shown}", self.key) };
        Field { document: self.document, key, offset: name.span().start, value: value.get_ref() }
    }
}

/// A key as it would be written.
fn show_key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_bare { name.to_owned() } else { format!("{name:?}") }
}

/// One value.
pub(super) struct Field<'a> {
    /// What the file has in common.
    pub(super) document: &'a Document<'a>,
    /// As it would be written.
    pub(super) key: String,
    /// The value.
    pub(super) value: &'a DeValue<'a>,
    offset: usize,
}

impl<'a> Field<'a> {
    /// Notes a complaint about this value.
    pub(super) fn complain(&self, what: impl Display) {
        self.document.complain(Some(self.offset), &self.key, what);
    }

    /// Where it stands.
    pub(super) fn line(&self) -> Line {
        self.document.line(self.offset)
    }

    /// A text.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.expect(self.value.as_str(), "a text in quotation marks")
    }

    /// A whole number within these bounds.
    pub(super) fn number(&self, least: u64, most: u64) -> Option<u64> {
        let number = self.expect(self.value.as_integer(), "a whole number")?;
        let read =
            u64::from_str_radix(number.as_str(), number.radix()).ok().filter(|read| (least..=most).contains(read));
        if read.is_none() {
            self.complain(format!("write a whole number from {least} to {most}"));
        }
        read
    }

    /// True or false.
    pub(super) fn flag(&self) -> Option<bool> {
        self.expect(self.value.as_bool(), "true or false")
    }

    /// A text that means something.
    pub(super) fn parse<T, E: Display>(&self, read: impl FnOnce(&'a str) -> Result<T, E>) -> Option<T> {
        read(self.text()?).map_err(|error| self.complain(error)).ok()
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            let hint = suggest::hint(text, choices.iter().map(|(word, _)| *word));
            self.complain(format!("\"{text}\" is not known; write one of {}{hint}", words.join(", ")));
        }
        found.map(|(_, value)| *value)
    }

    /// A path, as the file means it.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.parse(|text| match text {
            "" => Err("the path is empty"),
            text => Ok(self.document.resolve(text)),
        })
    }

    /// A table.
    pub(super) fn section(&self) -> Option<Section<'a>> {
        let table = self.expect(self.value.as_table(), "a table")?;
        Some(Section {
            document: self.document,
            key: self.key.clone(),
            offset: Some(self.offset),
            table,
            known: Vec::new(),
        })
    }

    /// The members of a list.
    pub(super) fn list(&self) -> Option<Vec<Field<'a>>> {
        let members = self.expect(self.value.as_array(), "a list in brackets")?;
        let member = |value: &'a Spanned<DeValue<'a>>| Field {
            document: self.document,
            key: self.key.clone(),
            value: value.get_ref(),
            offset: value.span().start,
        };
        Some(members.iter().map(member).collect())
    }

    /// Every member of a list, read; nothing if one of them cannot be.
    pub(super) fn each<T>(&self, read: impl Fn(&Field<'a>) -> Option<T>) -> Option<Vec<T>> {
        let members: Vec<_> = self.list()?.iter().map(read).collect();
        members.into_iter().collect()
    }

    fn expect<T>(&self, found: Option<T>, wanted: &str) -> Option<T> {
        if found.is_none() {
            self.complain(format!("{} stands where {wanted} belongs", describe(self.value)));
        }
        found
    }
}

/// What kind of value it is, never the value itself.
fn describe(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
