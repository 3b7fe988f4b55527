//! Looks into JSON payloads without building them: one pass writes a tape of slices, look-ups walk the tape.
//!
//! Numbers keep their text, so that 23.40 stays 23.40. The tape is reused from message to message. Nothing is changed or printed here.

use std::borrow::Cow;

/// Deeper payloads are no readings.
const DEPTH_MAX: usize = 32;

/// The payload is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

/// Where the tape is written; kept by the caller.
pub(crate) type Tape = Vec<Entry>;

/// One value and what is inside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    key: Span,
    value: Span,
    /// Index behind everything that is inside.
    next: u32,
    is_object: bool,
    /// Whether the key, and the value if it is a text, have escapes.
    is_key_escaped: bool,
    is_escaped: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    end: u32,
}

/// What one look-up finds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Boolean(bool),
    /// As it was written.
    Number(&'a str),
    Text(Cow<'a, str>),
    /// An object or a list, as it was written.
    Container(&'a str),
}

/// A payload with its tape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document<'a> {
    text: &'a str,
    tape: &'a [Entry],
}

impl<'a> Document<'a> {
    /// Reads the whole text.
    pub(crate) fn parse(text: &'a str, tape: &'a mut Tape) -> Result<Self, NotJson> {
        tape.clear();
        let mut reader = Reader { bytes: text.as_bytes(), at: 0, tape };
        reader.value(Span::default(), false, 0)?;
        reader.blanks();
        if reader.at < text.len() { Err(NotJson) } else { Ok(Self { text, tape }) }
    }

    /// What stands at the end of a path of member names and list positions.
    pub(crate) fn get(&self, path: &[String]) -> Option<Scalar<'a>> {
        let mut at = 0;
        for step in path {
            at = self.child(at, step)?;
        }
        self.scalar(self.tape.get(at)?)
    }

    fn child(&self, parent: usize, step: &str) -> Option<usize> {
        let entry = self.tape.get(parent)?;
        let mut at = parent + 1;
        let mut position = 0;
        while at < entry.next as usize {
            let child = self.tape.get(at)?;
            let is_it = if entry.is_object { self.is_key(child, step) } else { step.parse() == Ok(position) };
            if is_it {
                return Some(at);
            }
            at = child.next as usize;
            position += 1_usize;
        }
        None
    }

    fn is_key(&self, entry: &Entry, step: &str) -> bool {
        let key = self.slice(entry.key);
        if entry.is_key_escaped { unescape(key).is_some_and(|key| key == step) } else { key == step }
    }

    fn slice(&self, span: Span) -> &'a str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn scalar(&self, entry: &Entry) -> Option<Scalar<'a>> {
        let text = self.slice(entry.value);
        match text.as_bytes().first()? {
            b'"' => {
                let inside = text.get(1..text.len() - 1)?;
                let text = if entry.is_escaped { unescape(inside)? } else { Cow::Borrowed(inside) };
                Some(Scalar::Text(text))
            }
            b'{' | b'[' => Some(Scalar::Container(text)),
            b't' => Some(Scalar::Boolean(true)),
            b'f' => Some(Scalar::Boolean(false)),
            b'n' => Some(Scalar::Null),
            _ => Some(Scalar::Number(text)),
        }
    }
}

struct Reader<'a, 't> {
    bytes: &'a [u8],
    at: usize,
    tape: &'t mut Tape,
}

impl Reader<'_, '_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(NotJson)
    }

    fn span(&self, start: usize) -> Result<Span, NotJson> {
        let number = |at: usize| u32::try_from(at).map_err(|_| NotJson);
        Ok(Span { start: number(start)?, end: number(self.at)? })
    }

    fn value(&mut self, key: Span, is_key_escaped: bool, depth: usize) -> Result<(), NotJson> {
        self.blanks();
        let (entry, start) = (self.tape.len(), self.at);
        let first = self.peek().ok_or(NotJson)?;
        let is_object = first == b'{';
        self.tape.push(Entry { key, value: Span::default(), next: 0, is_object, is_key_escaped, is_escaped: false });
        let mut is_escaped = false;
        match first {
            b'{' | b'[' if depth >= DEPTH_MAX => return Err(NotJson),
            b'{' => self.members(depth)?,
            b'[' => self.elements(depth)?,
            b'"' => is_escaped = self.string()?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => self.number()?,
        }
        let value = self.span(start)?;
        let next = u32::try_from(self.tape.len()).map_err(|_| NotJson)?;
        if let Some(entry) = self.tape.get_mut(entry) {
            (entry.value, entry.next, entry.is_escaped) = (value, next, is_escaped);
        }
        Ok(())
    }

    fn members(&mut self, depth: usize) -> Result<(), NotJson> {
        self.at += 1;
        self.blanks();
        if self.peek() == Some(b'}') {
            return self.take(b'}');
        }
        loop {
            self.blanks();
            let start = self.at;
            let is_escaped = self.string()?;
            let quoted = self.span(start)?;
            self.blanks();
            self.take(b':')?;
            self.value(Span { start: quoted.start + 1, end: quoted.end - 1 }, is_escaped, depth + 1)?;
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.take(b'}'),
            }
        }
    }

    fn elements(&mut self, depth: usize) -> Result<(), NotJson> {
        self.at += 1;
        self.blanks();
        if self.peek() == Some(b']') {
            return self.take(b']');
        }
        loop {
            self.value(Span::default(), false, depth + 1)?;
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.take(b']'),
            }
        }
    }

    /// Gives whether there are escapes.
    fn string(&mut self) -> Result<bool, NotJson> {
        self.take(b'"')?;
        let mut is_escaped = false;
        loop {
            self.at += plain(self.bytes.get(self.at..).unwrap_or_default());
            match self.peek().ok_or(NotJson)? {
                b'"' => return self.take(b'"').map(|()| is_escaped),
                b'\\' => {
                    is_escaped = true;
                    self.at += 2;
                }
                0..=0x1F => return Err(NotJson),
                _ => self.at += 1,
            }
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), NotJson> {
        if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            return Ok(());
        }
        Err(NotJson)
    }

    fn number(&mut self) -> Result<(), NotJson> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        self.digits()?;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += count;
        if count == 0 { Err(NotJson) } else { Ok(()) }
    }
}

/// So many bytes at the beginning are neither quotation mark nor backslash nor control character; in steps of eight, the last few bytes
/// are left to the caller.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // The lowest byte below a bound has its high bit set; bytes above it may have it by a borrow, hence the lowest counts.
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGHS;
    let (words, _) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let found = quote | backslash | below(word, 0x20);
        if found != 0 {
            return at * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8
}

/// The text between two quotation marks. None: an escape that means nothing.
fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    // Escapes are rare in readings; serde_json knows surrogate pairs.
    serde_json::from_str::<String>(&format!("\"{text}\"")).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(text: &str, path: &[&str]) -> Option<String> {
        let mut tape = Tape::new();
        let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
        Document::parse(text, &mut tape).ok()?.get(&path).map(|scalar| format!("{scalar:?}"))
    }

    #[test]
    fn finds_members_and_elements() {
        let text = r#" {"a": {"b": [1, {"c": 23.40}]}, "x y": true, "n": null, "t": "ß"} "#;
        assert_eq!(get(text, &["a", "b", "1", "c"]).unwrap(), r#"Number("23.40")"#);
        assert_eq!(get(text, &["x y"]).unwrap(), "Boolean(true)");
        assert_eq!(get(text, &["n"]).unwrap(), "Null");
        assert_eq!(get(text, &["t"]).unwrap(), r#"Text("ß")"#);
        assert_eq!(get(text, &["a", "b"]).unwrap(), r#"Container("[1, {\"c\": 23.40}]")"#);
        assert_eq!(get(text, &["a", "z"]), None);
        assert_eq!(get("23.40", &[]).unwrap(), r#"Number("23.40")"#);
    }

    #[test]
    fn understands_escapes() {
        assert_eq!(get(r#"{"a\u0062": "x\n\"y\""}"#, &["ab"]).unwrap(), r#"Text("x\n\"y\"")"#);
        assert_eq!(
            get(r#"{"abcdefgh\"ijklmnop": "12345678\\ß"}"#, &["abcdefgh\"ijklmnop"]).unwrap(),
            r#"Text("12345678\\ß")"#
        );
        assert_eq!(get(r#"{"a": "\ud83d\ude00"}"#, &["a"]).unwrap(), r#"Text("😀")"#);
    }

    #[test]
    fn refuses_what_is_no_json() {
        let deep = "[".repeat(100);
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "01x",
            "tru",
            "\"",
            "\"\\",
            "1 2",
            "{a:1}",
            "-",
            "1.",
            "1e",
            "\"1234567\t\"",
            "\"12345678\u{1f}\"",
            "\"1234567\\\"",
            &deep,
        ] {
            assert_eq!(Document::parse(text, &mut Tape::new()).err(), Some(NotJson), "{text}");
        }
    }
}
