//! Base64 as contents carry it (RFC 4648 §4). Owns how much leniency they get: either alphabet, padded as it should be or not at all.

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// None: it is none. Blanks and line ends are passed over.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let standard = |byte: u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte,
    };
    let plain: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(standard).collect();
    // The library lets half of a padding pass.
    let is_whole = plain.len().is_multiple_of(4) || !plain.contains(&b'=');
    LENIENT.decode(plain).ok().filter(|_| is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_length() {
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm8", "fo")]
        {
            assert_eq!(decode(text).unwrap(), bytes.as_bytes(), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["Z", "Zg=", "Z*==", "====", "Zm9v=", "Zg==Zg=="] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
