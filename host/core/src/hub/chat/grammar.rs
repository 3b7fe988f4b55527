//! Sentences: which word comes first, and what follows. Knows no device.

use super::super::phrases::is_same;
use crate::model::limits;
use crate::wire::stanza::Chat;

/// What a person wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Saying {
    Help,
    /// Devices, all or those of this name.
    List(Option<String>),
    /// A device, and perhaps fields of it.
    Read(Vec<String>),
    /// A device, perhaps a parameter of it, and a value.
    Set(Vec<String>),
    /// A device, and perhaps fields of it.
    Watch(Vec<String>),
    /// A device, or all that are watched.
    Stop(Vec<String>),
    Status,
}

/// Reads a sentence: one line that begins with a word that we know and has what belongs to it.
pub(super) fn parse(chat: &Chat) -> Option<Saying> {
    let body = chat.body.trim();
    if chat.is_encrypted || body.len() > limits::SENTENCE_BYTES_MAX || body.contains('\n') {
        return None;
    }
    let words = words(body);
    let (first, rest) = words.split_first()?;
    let is = |names: &[&str]| names.iter().any(|name| is_same(name, first.trim_start_matches('/')));
    match rest {
        [] if is(&["help", "?", "hello", "hi"]) => Some(Saying::Help),
        [] if is(&["status"]) => Some(Saying::Status),
        [] if is(&["list"]) => Some(Saying::List(None)),
        [] if is(&["read", "get"]) => Some(Saying::Read(Vec::new())),
        [] if is(&["set"]) => Some(Saying::Set(Vec::new())),
        [] if is(&["watch"]) => Some(Saying::Watch(Vec::new())),
        [] if is(&["stop"]) => Some(Saying::Stop(Vec::new())),
        [] => None,
        rest if is(&["list"]) => Some(Saying::List(Some(rest.join(" ")))),
        rest if is(&["read", "get"]) => Some(Saying::Read(rest.to_vec())),
        rest if is(&["set"]) => Some(Saying::Set(rest.to_vec())),
        rest if is(&["watch"]) => Some(Saying::Watch(rest.to_vec())),
        rest if is(&["stop"]) => Some(Saying::Stop(rest.to_vec())),
        _ => None,
    }
}

/// Words are parted by spaces; what stands in quotation marks is one word.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut is_quoted, mut is_word) = (String::new(), false, false);
    for character in text.chars() {
        match character {
            '"' | '\u{201c}' | '\u{201d}' => (is_quoted, is_word) = (!is_quoted, true),
            space if space.is_whitespace() && !is_quoted => {
                if std::mem::take(&mut is_word) {
                    words.push(std::mem::take(&mut word));
                }
            }
            other => {
                word.push(other);
                is_word = true;
            }
        }
    }
    words.extend(is_word.then_some(word));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(body: &str) -> Option<Saying> {
        parse(&Chat { body: body.to_owned(), thread: None, is_encrypted: false })
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn the_first_word_says_what_is_wanted() {
        assert_eq!(say(" HELP "), Some(Saying::Help));
        assert_eq!(say("/list"), Some(Saying::List(None)));
        assert_eq!(say("list living room"), Some(Saying::List(Some("living room".into()))));
        assert_eq!(say("read"), Some(Saying::Read(Vec::new())));
        assert_eq!(say("Read lamp"), Some(Saying::Read(texts(&["lamp"]))));
        assert_eq!(say("set \"living room\" Mode auto"), Some(Saying::Set(texts(&["living room", "Mode", "auto"]))));
        assert_eq!(say("set lamp text \"\""), Some(Saying::Set(texts(&["lamp", "text", ""]))));
        assert_eq!(say("watch lamp level"), Some(Saying::Watch(texts(&["lamp", "level"]))));
        assert_eq!(
            (say("stop"), say("Stop lamp")),
            (Some(Saying::Stop(texts(&[]))), Some(Saying::Stop(texts(&["lamp"]))))
        );
        assert_eq!(say("status"), Some(Saying::Status));
    }

    #[test]
    fn everything_else_is_not_understood() {
        for body in ["", "frobnicate lamp", "3 devices:\nlist", "status please", &"list ".repeat(300)] {
            assert_eq!(say(body), None, "{body}");
        }
        let encrypted = Chat { body: "list".into(), thread: None, is_encrypted: true };
        assert_eq!(parse(&encrypted), None);
    }
}
