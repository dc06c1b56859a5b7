//! Any bytes as printable text without line breaks, and back.
//!
//! `\\` is a backslash; `\t`, `\n` and `\r` are what they are elsewhere; `\xNN` is one byte, be it a
//! control character or part of what is no UTF-8; `\uNNNN` and `\UNNNNNNNN` are characters that do not
//! show or would drive a terminal. A name, which stands between spaces, also has those, `:` and `#`
//! as `\xNN`.

use crate::wire::is_unprintable;
use std::io::Write as _;

/// What is escaped beside the unprintable and the backslash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing.
    Text,
    /// Space, `:` and `#`.
    Name,
}

/// Appends `bytes`, escaped.
pub(crate) fn push(out: &mut Vec<u8>, bytes: &[u8], place: Place) {
    let plain = |byte: u8| match byte {
        b'\\' => false,
        b' ' | b':' | b'#' => place == Place::Text,
        byte => matches!(byte, b'!'..=b'~'),
    };
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid();
        let mut done = 0;
        while done < text.len() {
            let rest = &text.as_bytes()[done..];
            let run = rest
                .iter()
                .position(|byte| !plain(*byte))
                .unwrap_or(rest.len());
            out.extend_from_slice(&rest[..run]);
            done += run;
            if let Some(c) = text[done..].chars().next() {
                push_char(out, c, place);
                done += c.len_utf8();
            }
        }
        for byte in chunk.invalid() {
            push_byte(out, *byte);
        }
    }
}

fn push_char(out: &mut Vec<u8>, c: char, place: Place) {
    let written = match (c, u32::from(c)) {
        ('\\', _) => out.write_all(b"\\\\"),
        ('\t', _) => out.write_all(b"\\t"),
        ('\n', _) => out.write_all(b"\\n"),
        ('\r', _) => out.write_all(b"\\r"),
        (' ' | ':' | '#', code) if place == Place::Name => write!(out, "\\x{code:02x}"),
        _ if !is_unprintable(c) => out.write_all(c.encode_utf8(&mut [0; 4]).as_bytes()),
        (_, code @ ..=0x7F) => write!(out, "\\x{code:02x}"),
        (_, code @ ..=0xFFFF) => write!(out, "\\u{code:04x}"),
        (_, code) => write!(out, "\\U{code:08x}"),
    };
    debug_assert!(written.is_ok(), "a Vec takes everything");
}

fn push_byte(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(&[
        b'\\',
        b'x',
        HEX[usize::from(byte >> 4)],
        HEX[usize::from(byte & 15)],
    ]);
}

/// The bytes that were escaped so; `None` where an escape is none of ours.
pub(crate) fn read(escaped: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(run) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&rest[..run]);
        let (kind, after) = rest[run + 1..].split_first()?;
        rest = after;
        let mut hex = |count: usize| {
            let (digits, after) = rest.split_at_checked(count)?;
            rest = after;
            digits.iter().try_fold(0_u32, |number, byte| {
                Some(number * 16 + char::from(*byte).to_digit(16)?)
            })
        };
        let c = match kind {
            b'\\' => '\\',
            b't' => '\t',
            b'n' => '\n',
            b'r' => '\r',
            b'x' => {
                out.push(u8::try_from(hex(2)?).ok()?);
                continue;
            }
            b'u' => char::from_u32(hex(4)?)?,
            // More than 32 bits do not fit in eight digits.
            b'U' => char::from_u32(hex(8)?)?,
            _ => return None,
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// [`read`], for what must be text.
pub(crate) fn read_text(escaped: &[u8]) -> Option<String> {
    String::from_utf8(read(escaped)?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(bytes: &[u8], place: Place) -> String {
        let mut out = Vec::new();
        push(&mut out, bytes, place);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bytes_and_characters_are_told_apart() {
        for (bytes, expected) in [
            (&b"Hello: #1 ~"[..], "Hello: #1 ~"),
            (b"a\tb\nc\rd\0\x1b\x7f\\", r"a\tb\nc\rd\x00\x1b\x7f\\"),
            (b"\xff\x9b", r"\xff\x9b"),
            ("\u{9b}".as_bytes(), r"\u009b"),
            ("é\u{202e}\u{e0001}👋".as_bytes(), r"é\u202e\U000e0001👋"),
            (b"\xe2\x80", r"\xe2\x80"),
        ] {
            assert_eq!(written(bytes, Place::Text), expected);
        }
        assert_eq!(written(b"a b:c#d", Place::Name), r"a\x20b\x3ac\x23d");
    }

    #[test]
    fn an_escape_that_is_none_of_ours_is_refused() {
        for text in [
            r"\",
            r"\q",
            r"\x",
            r"\x1",
            r"\xg0",
            r"\ud800",
            r"\u12",
            r"\U00110000",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(read(r"\xC3\xA9".as_bytes()).unwrap(), "é".as_bytes());
        assert_eq!(read_text(br"\xff"), None);
    }

    proptest! {
        #[test]
        fn all_bytes_come_back_from_one_printable_line(
            bytes: Vec<u8>, text in "(?s)(.|[\\\\\0-\x1f\x7f-\u{9f}\u{2028}-\u{202e}]){0,40}",
        ) {
            for bytes in [&bytes[..], text.as_bytes()] {
                for place in [Place::Text, Place::Name] {
                    let line = written(bytes, place);
                    prop_assert!(!line.contains(is_unprintable), "{:?}", line);
                    prop_assert!(place == Place::Text || !line.contains([' ', ':', '#']));
                    prop_assert_eq!(&read(line.as_bytes()).unwrap()[..], bytes);
                }
            }
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, tail in "[xuU][0-9a-f]{0,8}") {
            let _ = read(&bytes);
            let _ = read(format!("\\{tail}").as_bytes());
        }
    }
}
