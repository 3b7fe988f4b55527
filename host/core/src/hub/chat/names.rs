//! Names as people shorten them: which device, which field. Never finds what the caller may not see.
//!
//! Order: the whole name of a device (label, id, or bridge and id), capitals aside; then its beginning; then the beginning of any word in
//! it; of each the longest run of words first, so that "living room lamp" is not a device "living" with a field "room". What fits more than
//! one is asked back.

use jid::Jid;

use super::super::Hub;
use super::super::checks::is_allowed;
use super::super::phrases::{begins_with, boolean, is_same, must_be, name, value};
use super::super::registry::{Entry, NodeKey};
use super::which;
use crate::model::{Field, NodeRef, Value, ValueType};
use crate::policy::{Access, Glob};

pub(super) const NO_DEVICE: &str = "There is no such device.";

/// Words that can make up the name of a device.
const WORDS_MAX: usize = 8;

/// What a name leads to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found<T> {
    None,
    One(T),
    Many(Vec<T>),
}

impl<T> Found<T> {
    fn of(mut found: Vec<T>) -> Self {
        match (found.pop(), found.is_empty()) {
            (None, _) => Self::None,
            (Some(only), true) => Self::One(only),
            (Some(last), false) => {
                found.push(last);
                Self::Many(found)
            }
        }
    }
}

/// How well a name fits what was given.
type Fit = fn(&str, &str) -> bool;
const FITS: [Fit; 3] = [is_same, begins_with, has_word];

/// Whether a word within the name begins so.
fn has_word(name: &str, given: &str) -> bool {
    let starts = name
        .char_indices()
        .zip(std::iter::once(' ').chain(name.chars()))
        .filter(|((_, one), before)| one.is_alphanumeric() && !before.is_alphanumeric());
    starts.into_iter().any(|((at, _), _)| name.get(at..).is_some_and(|rest| begins_with(rest, given)))
}

fn is_called(entry: &Entry, given: &str, fit: Fit) -> bool {
    fit(entry.label(), given) || fit(&entry.node.id, given) || fit(&entry.name.to_string(), given)
}

/// Whether a device belongs into a list that was asked for by this: a part of its name, or a pattern with `*`.
pub(super) fn fits(entry: &Entry, pattern: &str) -> bool {
    match pattern.contains('*') {
        true => {
            let glob = Glob::new(pattern.to_lowercase());
            [entry.label(), &entry.node.id, &entry.name.to_string()].iter().any(|name| glob.fits(&name.to_lowercase()))
        }
        false => is_called(entry, pattern, begins_with) || is_called(entry, pattern, has_word),
    }
}

impl Hub {
    /// The device that somebody speaks about: at a node's own address that node, else the one that is named.
    pub(super) fn device_at<'a>(
        &self,
        access: &Access<'_>,
        at: Option<&Jid>,
        words: &'a [String],
    ) -> Result<(NodeKey, &'a [String]), String> {
        match self.seat_seen(access, at).map_err(|_| NO_DEVICE.to_owned())? {
            Some(key) => Ok((key, words)),
            None if words.is_empty() => Err("Which device? Say list to see what there is.".to_owned()),
            None => self.device_named(access, words),
        }
    }

    /// The device that the first words name, and the words after; an error is a sentence.
    fn device_named<'a>(&self, access: &Access<'_>, words: &'a [String]) -> Result<(NodeKey, &'a [String]), String> {
        for fit in FITS {
            for used in (1..=words.len().min(WORDS_MAX)).rev() {
                let (given, rest) = words.split_at(used);
                match self.devices_called(access, &given.join(" "), fit) {
                    Found::None => {}
                    Found::One(key) => return Ok((key, rest)),
                    Found::Many(keys) => return Err(self.which_device(&keys)),
                }
            }
        }
        self.unlisted(access, words).ok_or_else(|| format!("{NO_DEVICE} Say list to see what there is."))
    }

    fn devices_called(&self, access: &Access<'_>, given: &str, fit: Fit) -> Found<NodeKey> {
        let called = self.devices(access).filter(|(_, entry)| is_called(entry, given, fit));
        Found::of(called.map(|(key, _)| key).collect())
    }

    /// Who may read or control a device but not list it has to name it as it is.
    fn unlisted<'a>(&self, access: &Access<'_>, words: &'a [String]) -> Option<(NodeKey, &'a [String])> {
        let (first, rest) = words.split_first()?;
        let (bridge, id) = first.split_once('/')?;
        let node = NodeRef::new(id, bridge);
        let key = self.registry.find(&node).filter(|_| access.read(&node).is_ok() || access.control(&node).is_ok())?;
        Some((key, rest))
    }

    /// Labels, and where two are the same, ids.
    fn which_device(&self, keys: &[NodeKey]) -> String {
        let entries: Vec<&Entry> = keys.iter().filter_map(|key| self.registry.get(*key)).collect();
        let is_unique = |label: &str| entries.iter().filter(|entry| is_same(entry.label(), label)).count() == 1;
        let names: Vec<String> = entries
            .iter()
            .map(|entry| if is_unique(entry.label()) { entry.label().to_owned() } else { entry.name.to_string() })
            .collect();
        which(names.iter().map(String::as_str))
    }
}

/// The field of this name or label.
pub(super) fn field<'a>(fields: impl Iterator<Item = &'a Field>, given: &str) -> Found<&'a Field> {
    let fields: Vec<&Field> = fields.collect();
    for fit in FITS {
        let found = fields.iter().filter(|field| fit(&field.name, given) || fit(&field.label, given)).copied();
        match Found::of(found.collect()) {
            Found::None => {}
            found => return found,
        }
    }
    Found::None
}

/// The parameter and the value that words mean: the parameter may be left out where the value says enough.
pub(super) fn setting<'a>(parameters: &[&'a Field], words: &[String]) -> Result<(&'a Field, Value), String> {
    for used in (1..words.len()).rev() {
        let (given, rest) = words.split_at(used);
        let rest = rest.strip_prefix(&["to".to_owned()]).filter(|rest| !rest.is_empty()).unwrap_or(rest);
        match field(parameters.iter().copied(), &given.join(" ")) {
            Found::None => {}
            Found::One(field) => return value(field, &rest.join(" ")).map(|value| (field, value)),
            Found::Many(fields) => return Err(which(fields.into_iter().map(name))),
        }
    }
    let text = words.join(" ");
    if let Some(found) = fitting(parameters, &text) {
        return Ok(found);
    }
    match field(parameters.iter().copied(), &text) {
        Found::One(field) => Err(must_be(field)),
        Found::Many(_) | Found::None => {
            Err(super::cut(parameters.iter().map(|field| must_be(field)).collect(), "name the one that you mean"))
        }
    }
}

/// The first parameter that can take the value: a switch before all others, since "on" could be anything, and a text only if it is alone.
fn fitting<'a>(parameters: &[&'a Field], text: &str) -> Option<(&'a Field, Value)> {
    let is_switch = |field: &Field| field.value_type == ValueType::Boolean;
    let is_text = |field: &Field| {
        field.value_type == ValueType::Text && field.control.as_ref().is_some_and(|control| control.members.is_empty())
    };
    let switches = parameters.iter().filter(|field| is_switch(field) && boolean(text).is_some());
    let others = parameters.iter().filter(|field| !is_switch(field) && (!is_text(field) || parameters.len() == 1));
    switches.chain(others).find_map(|field| {
        let value = value(field, text).ok()?;
        let constraint = field.control.as_ref()?;
        is_allowed(field, constraint, &value).then_some((*field, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_whole_by_its_beginning_or_by_a_word() {
        assert!(has_word("Living room lamp", "room") && has_word("kitchen/meter", "MET") && has_word("a", "a"));
        assert!(!has_word("Living room lamp", "amp") && !has_word("", "a"));
    }
}
