//! Variants of inputs: the same for the same number, whatever the machine. Owns the mutations, and the texts that stand in odd places.
//!
//! Knows nothing of coverage: it depends on a corpus of real inputs, of which it makes what is nearly one of them.

/// Longest variant.
const BYTES_MAX: usize = 64 * 1024;
/// Shortest and longest words of a corpus that are put elsewhere.
const WORD: std::ops::RangeInclusive<usize> = 2..=24;

/// Texts that stand in odd places: borders of numbers, other types, nothing.
const ODD: &[&str] = &[
    "",
    "-1",
    "0",
    "1e309",
    "NaN",
    "INF",
    "255",
    "65536",
    "2147483648",
    "-9223372036854775808",
    "18446744073709551615",
    "99999999999999999999",
    "null",
    "true",
    "[]",
    "{}",
    "\u{fffd}",
    "%s",
    "%00",
    "2025-02-30T25:61:61Z",
    "P9999999999Y",
    "*",
    "../..",
    "urn:nf:iot:sd:1.0",
    "\u{202e}x",
    "{{ value_json.a.b.c }}",
    "#",
    "+/#",
];
/// What lengths and counts are replaced by.
const NUMBERS: &[u32] = &[0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];

/// xorshift: the same numbers in every run.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.next(all.len()))
    }
}

/// Makes variants of the inputs of one corpus.
pub(crate) struct Mutator {
    corpus: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    pub(crate) fn new(corpus: Vec<Vec<u8>>) -> Self {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':' | b'/');
        let mut words: Vec<Vec<u8>> = corpus
            .iter()
            .flat_map(|input| input.split(|byte| !is_part(byte)))
            .filter(|word| WORD.contains(&word.len()))
            .map(<[u8]>::to_vec)
            .chain(ODD.iter().map(|text| text.as_bytes().to_vec()))
            .collect();
        words.sort();
        words.dedup();
        Self { corpus, words }
    }

    /// A variant of any input.
    pub(crate) fn any(&self, chance: &mut Chance) -> Vec<u8> {
        let input = chance.of(&self.corpus).cloned().unwrap_or_default();
        self.variant(&input, 8, chance)
    }

    /// A variant of this input, in up to so many steps.
    pub(crate) fn variant(&self, input: &[u8], steps: usize, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=chance.next(steps) {
            self.step(&mut bytes, chance);
            bytes.truncate(BYTES_MAX);
        }
        bytes
    }

    fn step(&self, bytes: &mut Vec<u8>, chance: &mut Chance) {
        let at = chance.next(bytes.len() + 1).min(bytes.len());
        let to = (at + chance.next(64)).min(bytes.len());
        match chance.next(13) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.next(8),
            1 if at < bytes.len() => bytes[at] = chance.next(256) as u8,
            2 => bytes.insert(at, chance.next(256) as u8),
            3 => drop(bytes.drain(at..to)),
            4 => {
                let piece = bytes[at..to].repeat(1 + chance.next(4) * chance.next(16));
                bytes.splice(at..at, piece);
            }
            5 if chance.next(4) == 0 => bytes.truncate(at),
            6 => self.splice(bytes, at, chance),
            7 => self.borrow(bytes, at, chance),
            8 => drop(bytes.splice(at..at, self.words[chance.next(self.words.len())].iter().copied())),
            9 => length(bytes, at, chance),
            10 => number(bytes, chance),
            11 => between_quotes(bytes, &self.words[chance.next(self.words.len())], chance),
            _ => between_quotes(bytes, ODD[chance.next(ODD.len())].as_bytes(), chance),
        }
    }

    /// The tail of another.
    fn splice(&self, bytes: &mut Vec<u8>, at: usize, chance: &mut Chance) {
        let Some(other) = chance.of(&self.corpus) else { return };
        let from = chance.next(other.len());
        bytes.truncate(at);
        bytes.extend(&other[from.min(other.len())..]);
    }

    /// A piece of another, or a line of it.
    fn borrow(&self, bytes: &mut Vec<u8>, at: usize, chance: &mut Chance) {
        let Some(other) = chance.of(&self.corpus) else { return };
        let from = chance.next(other.len());
        let piece = match chance.next(2) {
            0 => other.split_inclusive(|byte| *byte == b'\n').nth(chance.next(8)).unwrap_or_default(),
            _ => &other[from..(from + 1 + chance.next(64)).min(other.len())],
        };
        bytes.splice(at..at, piece.iter().copied());
    }
}

/// What may be a length becomes another one, in one, two or four bytes.
fn length(bytes: &mut [u8], at: usize, chance: &mut Chance) {
    let width = [1, 2, 4][chance.next(3)];
    let rest = (bytes.len() - at) as u32;
    let number = match chance.next(3) {
        0 => rest.wrapping_sub(width as u32).wrapping_add(chance.next(3) as u32).wrapping_sub(1),
        _ => NUMBERS[chance.next(NUMBERS.len())],
    };
    if let Some(place) = bytes.get_mut(at..at + width) {
        place.copy_from_slice(&number.to_be_bytes()[4 - width..]);
    }
}

/// A number that is written in digits becomes another one.
fn number(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let starts: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at].is_ascii_digit() && (*at == 0 || !bytes[*at - 1].is_ascii_digit()))
        .collect();
    let Some(start) = chance.of(&starts).copied() else { return };
    let end = bytes[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |end| start + end);
    bytes.splice(start..end, ODD[chance.next(ODD.len())].bytes());
}

/// Into an attribute, a JSON or a TOML string.
fn between_quotes(bytes: &mut Vec<u8>, text: &[u8], chance: &mut Chance) {
    let quotes: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, byte)| matches!(byte, b'"' | b'\'')).map(|(at, _)| at).collect();
    if quotes.len() < 2 {
        return;
    }
    let first = chance.next(quotes.len() - 1);
    bytes.splice(quotes[first] + 1..quotes[first + 1], text.iter().copied());
}
