//! Base64 (RFC 4648, section 4), for bytes that are not valid JSON strings.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends `bytes` in Base64.
pub(crate) fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let [a, b, c] = group;
        let code = [a >> 2, a << 4 | b >> 4, b << 2 | c >> 6, c];
        let letters = code.map(|sextet| ALPHABET[usize::from(sextet & 63)]);
        out.extend_from_slice(&letters[..=chunk.len()]);
        out.resize(out.len() + 3 - chunk.len(), b'=');
    }
}

/// Returns the bytes of a Base64 text, or `None` if it is invalid.
pub(crate) fn read(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if bytes.len() % 4 != 0 {
        return None;
    }
    let end = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    if bytes.len() - end > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    for chunk in bytes[..end].chunks(4) {
        let mut group = [0; 4];
        for (value, letter) in group.iter_mut().zip(chunk) {
            *value = sextet(*letter)?;
        }
        let [a, b, c, d] = group;
        let triple = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
        out.extend_from_slice(&triple[..chunk.len() - 1]);
    }
    Some(out)
}

fn sextet(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
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
