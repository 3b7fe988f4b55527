//! Where a value stands: object, instance, resource and instance of the resource. Owns their spelling.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Up to four numbers; 65535 is none (LwM2M 1.1 core §7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Path {
    ids: [u16; 4],
    length: u8,
}

/// The text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoPath;

impl fmt::Display for NoPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("not a path of up to four numbers")
    }
}

impl Path {
    pub(crate) const fn root() -> Self {
        Self { ids: [0; 4], length: 0 }
    }

    pub(crate) fn instance_of(object: u16, instance: u16) -> Self {
        Self { ids: [object, instance, 0, 0], length: 2 }
    }

    pub(crate) fn object(self) -> Option<u16> {
        self.id(0)
    }

    pub(crate) fn instance(self) -> Option<u16> {
        self.id(1)
    }

    pub(crate) fn resource(self) -> Option<u16> {
        self.id(2)
    }

    /// Instance of the resource.
    pub(crate) fn sub(self) -> Option<u16> {
        self.id(3)
    }

    pub(crate) fn len(self) -> u8 {
        self.length
    }

    fn id(self, position: u8) -> Option<u16> {
        self.ids.get(usize::from(position)).copied().filter(|_| position < self.length)
    }

    /// One level down; none from the last.
    pub(crate) fn join(self, id: u16) -> Option<Self> {
        let mut path = self;
        *path.ids.get_mut(usize::from(self.length))? = id;
        path.length += 1;
        (id != u16::MAX).then_some(path)
    }

    /// Its first `length` numbers.
    pub(crate) fn up_to(self, length: u8) -> Self {
        let mut path = self;
        path.length = self.length.min(length);
        path.ids.iter_mut().skip(usize::from(path.length)).for_each(|id| *id = 0);
        path
    }

    /// Whether `other` is this or below it.
    pub(crate) fn covers(self, other: Self) -> bool {
        other.length >= self.length && other.up_to(self.length) == self
    }

    /// As options of a request.
    pub(crate) fn segments(self) -> Vec<String> {
        self.ids.iter().take(usize::from(self.length)).map(u16::to_string).collect()
    }

    /// From options of a request.
    pub(crate) fn of_segments<'a>(segments: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        segments.into_iter().try_fold(Self::root(), |path, segment| path.join(parse_id(segment)?))
    }
}

fn parse_id(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == 0 {
            return out.write_str("/");
        }
        self.ids.iter().take(usize::from(self.length)).try_for_each(|id| write!(out, "/{id}"))
    }
}

impl FromStr for Path {
    type Err = NoPath;

    /// With or without slashes around it.
    fn from_str(text: &str) -> Result<Self, NoPath> {
        let text = text.strip_prefix('/').unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() {
            return Ok(Self::root());
        }
        Self::of_segments(text.split('/')).ok_or(NoPath)
    }
}

impl From<Path> for String {
    fn from(path: Path) -> Self {
        path.to_string()
    }
}

impl TryFrom<String> for Path {
    type Error = NoPath;

    fn try_from(text: String) -> Result<Self, NoPath> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_with_and_without_slashes() {
        for text in ["/3303/0/5700", "3303/0/5700", "/3303/0/5700/"] {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), "/3303/0/5700");
        }
        assert_eq!("/".parse(), Ok(Path::root()));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["/65535", "/70000", "/-1", "/+1", "/1//2", "/1/2/3/4/5", "/a", "/1 "] {
            assert_eq!(text.parse::<Path>(), Err(NoPath), "{text}");
        }
    }

    #[test]
    fn a_path_covers_itself_and_what_is_below() {
        let path = |text: &str| text.parse::<Path>().unwrap();
        assert!(path("/3/0").covers(path("/3/0/1")) && path("/3/0").covers(path("/3/0")));
        assert!(!path("/3/0").covers(path("/3/1/1")) && !path("/3/0/1").covers(path("/3/0")));
    }
}
