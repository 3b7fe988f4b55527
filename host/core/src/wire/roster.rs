//! The contact list (RFC 6121 §2): asked for once, then pushed by the server.

use jid::BareJid;
use minidom::Element;

use super::{ns, xml, xml::Tag};

/// Who sees whose presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// Neither.
    None,
    /// We see theirs.
    To,
    /// They see ours.
    From,
    /// Both.
    Both,
    /// The contact is gone.
    Remove,
}

impl Subscription {
    /// As a contact list writes it.
    pub const fn as_word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::To => "to",
            Self::From => "from",
            Self::Both => "both",
            Self::Remove => "remove",
        }
    }

    /// Reads a word of a contact list.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::None, Self::To, Self::From, Self::Both, Self::Remove].into_iter().find(|one| one.as_word() == word)
    }

    /// Whether they see ours.
    pub const fn shows_ours(self) -> bool {
        matches!(self, Self::From | Self::Both)
    }

    /// Whether we see theirs.
    pub const fn shows_theirs(self) -> bool {
        matches!(self, Self::To | Self::Both)
    }

    const fn of(ours: bool, theirs: bool) -> Self {
        match (ours, theirs) {
            (true, true) => Self::Both,
            (true, false) => Self::From,
            (false, true) => Self::To,
            (false, false) => Self::None,
        }
    }

    /// The same, and they see ours.
    pub const fn with_ours(self) -> Self {
        Self::of(true, self.shows_theirs())
    }

    /// The same, but they do not see ours.
    pub const fn without_ours(self) -> Self {
        Self::of(false, self.shows_theirs())
    }

    /// The same, and we see theirs.
    pub const fn with_theirs(self) -> Self {
        Self::of(self.shows_ours(), true)
    }

    /// The same, but we do not see theirs.
    pub const fn without_theirs(self) -> Self {
        Self::of(self.shows_ours(), false)
    }
}

/// A contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Who.
    pub jid: BareJid,
    /// Who sees whose presence.
    pub subscription: Subscription,
    /// For people; empty for none.
    pub name: String,
}

/// Asks for the whole list.
pub fn get() -> Element {
    Element::bare("query", ns::ROSTER)
}

/// Reads a list or a push; contacts that make no sense are left out.
pub fn parse(query: &Element) -> Vec<Item> {
    query.children().filter(|child| child.is("item", ns::ROSTER)).filter_map(item).collect()
}

/// Asks the server to forget a contact.
pub fn remove(jid: &BareJid) -> Element {
    let item = Tag::new("item", ns::ROSTER).attr("jid", jid.as_str()).attr("subscription", "remove");
    Tag::new("query", ns::ROSTER).child(item).build()
}

fn item(element: &Element) -> Option<Item> {
    let jid = BareJid::new(element.attr("jid")?).ok()?;
    let subscription = element.attr("subscription").and_then(Subscription::from_word).unwrap_or(Subscription::None);
    Some(Item { jid, subscription, name: xml::text_of(element, "name") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_push_and_skips_what_is_no_contact() {
        let push = "<query xmlns='jabber:iq:roster'><item jid='a@example.org' subscription='both' name='A'/><item jid=''/><item/>\
                    <item jid='b@example.org'/><other/></query>";
        let items = parse(&push.parse().unwrap());
        let read: Vec<_> = items.iter().map(|item| (item.jid.as_str(), item.subscription)).collect();
        assert_eq!(read, [("a@example.org", Subscription::Both), ("b@example.org", Subscription::None)]);
    }

    #[test]
    fn asks_for_removal() {
        let jid = BareJid::new("a@example.org").unwrap();
        assert_eq!(parse(&remove(&jid)), [Item { jid, subscription: Subscription::Remove, name: String::new() }]);
    }
}
