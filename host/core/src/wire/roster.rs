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
    let subscription = match element.attr("subscription") {
        Some("to") => Subscription::To,
        Some("from") => Subscription::From,
        Some("both") => Subscription::Both,
        Some("remove") => Subscription::Remove,
        _ => Subscription::None,
    };
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
