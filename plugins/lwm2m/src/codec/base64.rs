//! Base64 (RFC 4648) as SenML in JSON and plain text need it. Owns both alphabets: it writes the one that is safe in URLs where SenML asks
//! for it, and reads either, with padding and without.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// With padding, as plain text has it.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = write(bytes, STANDARD);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Without padding and safe in URLs (RFC 8428 §5).
pub(crate) fn encode_url(bytes: &[u8]) -> String {
    write(bytes, URL)
}

fn write(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |word, at| word << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for position in 0..=chunk.len() {
            let index = (word >> (18 - 6 * position)) & 63;
            text.extend(alphabet.get(index as usize).map(|byte| char::from(*byte)));
        }
    }
    text
}

/// None: not base64.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for chunk in text.as_bytes().chunks(4) {
        let word = chunk.iter().try_fold(0_u32, |word, byte| Some(word << 6 | sextet(*byte)?))?;
        let word = word << (6 * (4 - chunk.len()));
        match chunk.len() {
            1 => return None,
            length => bytes.extend_from_slice(word.to_be_bytes().get(1..length)?),
        }
    }
    Some(bytes)
}

fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), plain.as_bytes());
        }
        assert_eq!(encode_url(&[0xfb, 0xff]), "-_8");
        assert_eq!(decode("-_8"), decode("+/8="));
        assert_eq!(decode("a"), None);
        assert_eq!(decode("a b="), None);
    }
}
