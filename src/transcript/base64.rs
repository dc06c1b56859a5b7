//! Base64 (RFC 4648, section 4), for bytes that are not valid JSON strings.

use base64::alphabet;
use base64::engine::{Engine, GeneralPurpose, GeneralPurposeConfig};

/// Accepts what other encoders write: the unused bits of the last letter may be set.
const STANDARD: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Appends `bytes` in Base64.
pub(crate) fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
}

/// Returns the bytes of a Base64 text, or `None` if it is invalid.
pub(crate) fn read(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        push(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_examples_of_the_rfc_are_encoded() {
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(written(bytes.as_bytes()), expected);
        }
        assert_eq!(read("Zh=="), Some(b"f".to_vec()));
        for invalid in ["Z", "Zg", "Zg=", "====", "Z===", "Zg==Zg==", "Zm9 ", "Zé=="] {
            assert_eq!(read(invalid), None, "{invalid}");
        }
    }

    proptest! {
        #[test]
        fn encoded_bytes_are_read_back(bytes: Vec<u8>, text: String) {
            prop_assert_eq!(read(&written(&bytes)), Some(bytes));
            let _ = read(&text);
        }
    }
}
