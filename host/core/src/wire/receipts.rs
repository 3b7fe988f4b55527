//! Whether a message arrived (XEP-0184): asked for in it, told in a message of its own.

use minidom::Element;

use super::{ns, xml::Tag};

/// To be put into a message that has an id.
pub fn request() -> Element {
    Element::bare("request", ns::RECEIPTS)
}

/// Tells that the message with this id arrived.
pub fn received(id: &str) -> Element {
    Tag::new("received", ns::RECEIPTS).attr("id", id).build()
}

/// Whether a message asks to be told; never one that tells, one from a room or an error.
pub fn is_requested(message: &Element) -> bool {
    let kind = message.attr("type");
    !matches!(kind, Some("error" | "groupchat"))
        && message.has_child("request", ns::RECEIPTS)
        && !message.has_child("received", ns::RECEIPTS)
}

/// The id of the message that this payload says arrived.
pub fn parse(payload: &Element) -> Option<String> {
    payload.is("received", ns::RECEIPTS).then(|| payload.attr("id").map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, children: &str) -> Element {
        format!("<message xmlns='jabber:client' id='1' {kind}>{children}</message>").parse().unwrap()
    }

    #[test]
    fn only_messages_to_us_alone_are_confirmed() {
        let request = String::from(&request());
        assert!(is_requested(&message("type='chat'", &request)));
        assert!(is_requested(&message("", &request)));
        assert!(!is_requested(&message("", "")));
        assert!(!is_requested(&message("type='groupchat'", &request)));
        assert!(!is_requested(&message("type='error'", &request)));
        assert!(!is_requested(&message("", &(request + &String::from(&received("0"))))));
    }

    #[test]
    fn a_receipt_names_its_message() {
        assert_eq!(parse(&received("a&b")).as_deref(), Some("a&b"));
        assert_eq!(parse(&super::request()), None);
    }
}
