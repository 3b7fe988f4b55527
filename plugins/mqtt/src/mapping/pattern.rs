//! Topic patterns with placeholders: `zigbee/{name}/state` is subscribed as `zigbee/+/state` and tells what `{name}` stood for.
//! Owns the grammar of patterns and of names that use them; knows no node.

use std::collections::BTreeMap;

/// What the placeholders stood for.
pub(crate) type Captures = BTreeMap<String, String>;

/// One level, or in a name all of it: text, placeholder, text, ...
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(String),
}

impl Name {
    /// Reads a name such as `kitchen/{name}`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (placeholder, after) = after.split_once('}').ok_or_else(|| format!("no end of {{ in {text:?}"))?;
            let is_word =
                !placeholder.is_empty() && placeholder.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
            if !is_word {
                return Err(format!("{{{placeholder}}} in {text:?} is no placeholder: letters, digits and _ only"));
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Placeholder(placeholder.to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    pub(crate) fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// None: a placeholder that nothing was captured for.
    pub(crate) fn fill(&self, captures: &Captures) -> Option<String> {
        let pieces = self.parts.iter().map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Placeholder(name) => captures.get(name).map(String::as_str),
        });
        pieces.collect()
    }

    /// At most one placeholder: with more it is not certain where one ends.
    fn capture(&self, level: &str, captures: &mut Captures) -> bool {
        match self.parts.as_slice() {
            [] => level.is_empty(),
            [Part::Text(text)] => text == level,
            [Part::Placeholder(name)] => keep(name, level, captures),
            [Part::Text(before), Part::Placeholder(name)] => {
                level.strip_prefix(before.as_str()).is_some_and(|found| keep(name, found, captures))
            }
            [Part::Placeholder(name), Part::Text(after)] => {
                level.strip_suffix(after.as_str()).is_some_and(|found| keep(name, found, captures))
            }
            [Part::Text(before), Part::Placeholder(name), Part::Text(after)] => level
                .strip_prefix(before.as_str())
                .and_then(|rest| rest.strip_suffix(after.as_str()))
                .is_some_and(|found| keep(name, found, captures)),
            _ => false,
        }
    }
}

/// The same placeholder twice has to stand for the same text.
fn keep(name: &str, found: &str, captures: &mut Captures) -> bool {
    if found.is_empty() {
        return false;
    }
    captures.entry(name.to_owned()).or_insert_with(|| found.to_owned()) == found
}

/// A pattern of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    levels: Vec<Level>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    /// `+`
    Any,
    /// `#`, at the end
    Rest,
    Name(Name),
}

impl Pattern {
    /// Reads a pattern such as `zigbee/{name}/+/#`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > usize::from(u16::MAX) {
            return Err("a topic is 1 to 65535 bytes long".into());
        }
        let levels = text.split('/').map(|level| match level {
            "+" => Ok(Level::Any),
            "#" => Ok(Level::Rest),
            _ if level.contains(['+', '#']) => Err(format!("+ and # in {text:?} have to stand alone between slashes")),
            _ => Name::parse(level).map(Level::Name),
        });
        let levels = levels.collect::<Result<Vec<_>, _>>()?;
        if levels.iter().rev().skip(1).any(|level| *level == Level::Rest) {
            return Err(format!("# in {text:?} has to be the end"));
        }
        let counts =
            levels.iter().map(|level| if let Level::Name(name) = level { name.placeholders().count() } else { 0 });
        if counts.max() > Some(1) {
            return Err(format!("{text:?} has two placeholders between the same slashes"));
        }
        Ok(Self { levels })
    }

    /// What to subscribe to.
    pub(crate) fn filter(&self) -> String {
        let levels = self.levels.iter().map(|level| match level {
            Level::Any => "+".to_owned(),
            Level::Rest => "#".to_owned(),
            Level::Name(name) => name.fill(&Captures::new()).unwrap_or_else(|| "+".to_owned()),
        });
        levels.collect::<Vec<_>>().join("/")
    }

    /// The one topic that these captures mean. None: the pattern leaves something open.
    pub(crate) fn topic(&self, captures: &Captures) -> Option<String> {
        let levels = self.levels.iter().map(|level| match level {
            Level::Any | Level::Rest => None,
            Level::Name(name) => name.fill(captures),
        });
        Some(levels.collect::<Option<Vec<_>>>()?.join("/"))
    }

    pub(crate) fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.levels
            .iter()
            .filter_map(|level| if let Level::Name(name) = level { Some(name) } else { None })
            .flat_map(Name::placeholders)
    }

    /// What the placeholders stand for in this topic.
    pub(crate) fn captures(&self, topic: &str) -> Option<Captures> {
        let mut captures = Captures::new();
        let mut found = topic.split('/');
        for level in &self.levels {
            match level {
                Level::Rest => return Some(captures),
                Level::Any => _ = found.next()?,
                Level::Name(name) => {
                    if !name.capture(found.next()?, &mut captures) {
                        return None;
                    }
                }
            }
        }
        found.next().is_none().then_some(captures)
    }
}

/// Whether everything that `narrow` lets through comes through `wide` already.
pub(crate) fn covers(wide: &str, narrow: &str) -> bool {
    let mut narrow = narrow.split('/');
    for level in wide.split('/') {
        match (level, narrow.next()) {
            ("#", _) => return true,
            (_, None) | ("+", Some("#")) => return false,
            ("+", Some(_)) => {}
            (text, Some(other)) if text == other => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures(pattern: &str, topic: &str) -> Option<Vec<(String, String)>> {
        Pattern::parse(pattern).unwrap().captures(topic).map(|captures| captures.into_iter().collect())
    }

    #[test]
    fn tells_what_the_placeholders_stood_for() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(captures("zigbee/{name}/state", "zigbee/lamp/state"), Some(vec![pair("name", "lamp")]));
        assert_eq!(captures("a/sensor-{id}.x/+/#", "a/sensor-7.x/b/c/d"), Some(vec![pair("id", "7")]));
        assert_eq!(captures("{a}/{a}", "x/x"), Some(vec![pair("a", "x")]));
        assert_eq!(captures("{a}/{a}", "x/y"), None);
        assert_eq!(captures("zigbee/{name}", "zigbee/lamp/state"), None);
        assert_eq!(captures("zigbee/{name}/state", "zigbee//state"), None);
        assert_eq!(captures("zigbee/#", "zigbee"), Some(vec![]));
    }

    #[test]
    fn subscribes_with_wildcards() {
        for (pattern, filter) in [("a/{b}/c", "a/+/c"), ("a/x-{b}", "a/+"), ("a/+/#", "a/+/#"), ("a", "a")] {
            assert_eq!(Pattern::parse(pattern).unwrap().filter(), filter);
        }
    }

    #[test]
    fn refuses_what_mqtt_would_refuse() {
        for pattern in ["", "a/#/b", "a+/b", "{a", "{}/b", "{a}{b}"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn knows_which_filter_covers_which() {
        for (wide, narrow) in [("#", "a/b"), ("a/#", "a"), ("a/+", "a/b"), ("a/+/c", "a/+/c"), ("a/#", "a/+/c")] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [("a/+", "a/#"), ("a/b", "a/+"), ("a/+", "a/b/c"), ("a/b/c", "a/b")] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }
}
