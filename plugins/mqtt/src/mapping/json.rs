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
        reader.value(Span::default(), 0)?;
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
            let is_it = if entry.is_object { self.is_key(child.key, step) } else { step.parse() == Ok(position) };
            if is_it {
                return Some(at);
            }
            at = child.next as usize;
            position += 1_usize;
        }
        None
    }

    fn is_key(&self, key: Span, step: &str) -> bool {
        let key = self.slice(key);
        key == step || (key.contains('\\') && unescape(key).is_some_and(|key| key == step))
    }

    fn slice(&self, span: Span) -> &'a str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn scalar(&self, entry: &Entry) -> Option<Scalar<'a>> {
        let text = self.slice(entry.value);
        match text.as_bytes().first()? {
            b'"' => unescape(text.get(1..text.len() - 1)?).map(Scalar::Text),
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

    fn value(&mut self, key: Span, depth: usize) -> Result<(), NotJson> {
        self.blanks();
        let (entry, start) = (self.tape.len(), self.at);
        let first = self.peek().ok_or(NotJson)?;
        self.tape.push(Entry { key, value: Span::default(), next: 0, is_object: first == b'{' });
        match first {
            b'{' | b'[' if depth >= DEPTH_MAX => return Err(NotJson),
            b'{' => self.members(depth)?,
            b'[' => self.elements(depth)?,
            b'"' => self.string()?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => self.number()?,
        }
        let value = self.span(start)?;
        let next = u32::try_from(self.tape.len()).map_err(|_| NotJson)?;
        if let Some(entry) = self.tape.get_mut(entry) {
            (entry.value, entry.next) = (value, next);
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
            self.string()?;
            let quoted = self.span(start)?;
            self.blanks();
            self.take(b':')?;
            self.value(Span { start: quoted.start + 1, end: quoted.end - 1 }, depth + 1)?;
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
            self.value(Span::default(), depth + 1)?;
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.take(b']'),
            }
        }
    }

    fn string(&mut self) -> Result<(), NotJson> {
        self.take(b'"')?;
        loop {
            match self.peek().ok_or(NotJson)? {
                b'"' => return self.take(b'"'),
                b'\\' => self.at += 2,
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
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(NotJson) } else { Ok(()) }
    }
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
            &deep,
        ] {
            assert_eq!(Document::parse(text, &mut Tape::new()).err(), Some(NotJson), "{text}");
        }
    }
}
