//! Result sets (XEP-0059): parts of a list that is too long for one stanza.

use minidom::Element;

use super::ns;
use super::xml::{Tag, text_of};

/// Which part of a list is wanted. Everything absent: as much as fits, from the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most so many.
    pub max: Option<usize>,
    /// Those after this one.
    pub after: Option<String>,
    /// Those before this one; empty: the last ones.
    pub before: Option<String>,
}

/// Where a part stands in its list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The part's first.
    pub first: Option<String>,
    /// How many stand before it, if that is known.
    pub index: Option<usize>,
    /// The part's last, which the next part comes after.
    pub last: Option<String>,
    /// How many there are in all, if that is known: to count them may mean to walk them all.
    pub count: Option<usize>,
}

fn set() -> Tag {
    Tag::new("set", ns::RESULT_SET)
}

fn child(set: &Element, name: &str) -> Option<String> {
    set.get_child(name, ns::RESULT_SET).map(|child| child.text().trim().to_owned())
}

impl Page {
    /// Reads the `<set>` in a request. A number that is none counts as absent.
    pub fn parse(query: &Element) -> Option<Self> {
        let set = query.get_child("set", ns::RESULT_SET)?;
        let max = child(set, "max").and_then(|max| max.parse().ok());
        Some(Self { max, after: child(set, "after").filter(|id| !id.is_empty()), before: child(set, "before") })
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        let text = |name: &str, text: String| Tag::new(name, ns::RESULT_SET).text(&text);
        set()
            .children(self.max.map(|max| text("max", max.to_string())))
            .children(self.after.clone().map(|after| text("after", after)))
            .children(self.before.clone().map(|before| text("before", before)))
            .build()
    }
}

impl Place {
    /// Reads the `<set>` in an answer.
    pub fn parse(query: &Element) -> Option<Self> {
        let set = query.get_child("set", ns::RESULT_SET)?;
        let first = set.get_child("first", ns::RESULT_SET);
        let index = first.and_then(|first| text_of(first, "index").parse().ok());
        let count = child(set, "count").and_then(|count| count.parse().ok());
        Some(Self { first: child(set, "first"), index, last: child(set, "last"), count })
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        let text = |name: &str, text: &str| Tag::new(name, ns::RESULT_SET).text(text);
        let index = || self.index.map(|index| index.to_string());
        set()
            .children(self.first.as_deref().map(|first| text("first", first).maybe("index", index())))
            .children(self.last.as_deref().map(|last| text("last", last)))
            .children(self.count.map(|count| text("count", &count.to_string())))
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_query(set: &Element) -> Element {
        format!("<query xmlns='q'>{}</query>", String::from(set)).parse().unwrap()
    }

    #[test]
    fn pages_are_read_as_they_were_written() {
        let some = |text: &str| Some(text.to_owned());
        for page in [
            Page::default(),
            Page { max: Some(10), after: some("home/a & b"), before: None },
            Page { max: Some(0), after: None, before: Some(String::new()) },
        ] {
            assert_eq!(Page::parse(&in_query(&page.to_element())), Some(page));
        }
        for place in [
            Place { count: Some(800), ..Place::default() },
            Place { first: some("a"), index: Some(20), last: some("c"), count: Some(23) },
            Place { first: some("a"), index: None, last: some("c"), count: None },
        ] {
            assert_eq!(Place::parse(&in_query(&place.to_element())), Some(place));
        }
    }

    #[test]
    fn what_makes_no_sense_counts_as_absent() {
        let query =
            "<query xmlns='q'><set xmlns='http://jabber.org/protocol/rsm'><max>many</max><after/><odd/></set></query>";
        assert_eq!(Page::parse(&query.parse().unwrap()), Some(Page::default()));
        assert_eq!(Page::parse(&"<query xmlns='q'><set xmlns='other'/></query>".parse().unwrap()), None);
    }
}
