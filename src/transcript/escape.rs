//! Bytes as printable text without line breaks, and back.
//!
//! `\\` is a backslash. `\t`, `\n` and `\r` have their usual meaning. `\xNN` is one byte: an ASCII control
//! character, or a byte that is not UTF-8. `\uNNNN` and `\UNNNNNNNN` are characters that are invisible
//! or control a terminal. A name is delimited by spaces, so its spaces, `:` and `#` are `\xNN` too.

use crate::wire::is_unprintable;
use std::io::Write as _;

/// Which characters are escaped besides backslashes and unprintable characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// No further characters.
    Text,
    /// Space, `:` and `#`.
    Name,
}

/// Appends `bytes` in escaped form.
pub(crate) fn push(out: &mut Vec<u8>, bytes: &[u8], context: Context) {
    let plain = |byte: u8| match byte {
        b'\\' => false,
        b' ' | b':' | b'#' => context == Context::Text,
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
                push_char(out, c, context);
                done += c.len_utf8();
            }
        }
        for byte in chunk.invalid() {
            push_byte(out, *byte);
        }
    }
}

fn push_char(out: &mut Vec<u8>, c: char, context: Context) {
    let written = match (c, u32::from(c)) {
        ('\\', _) => out.write_all(b"\\\\"),
        ('\t', _) => out.write_all(b"\\t"),
        ('\n', _) => out.write_all(b"\\n"),
        ('\r', _) => out.write_all(b"\\r"),
        (' ' | ':' | '#', code) if context == Context::Name => write!(out, "\\x{code:02x}"),
        _ if !is_unprintable(c) => out.write_all(c.encode_utf8(&mut [0; 4]).as_bytes()),
        (_, code @ ..=0x7F) => write!(out, "\\x{code:02x}"),
        (_, code @ ..=0xFFFF) => write!(out, "\\u{code:04x}"),
        (_, code) => write!(out, "\\U{code:08x}"),
    };
    debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
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

/// Returns the bytes of an escaped text, or `None` for an unknown escape.
pub(crate) fn read(escaped: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(run) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&rest[..run]);
        let (letter, after) = rest[run + 1..].split_first()?;
        rest = after;
        let mut hex = |count: usize| {
            let (digits, after) = rest.split_at_checked(count)?;
            rest = after;
            digits.iter().try_fold(0_u32, |number, byte| {
                Some(number * 16 + char::from(*byte).to_digit(16)?)
            })
        };
        let c = match letter {
            b'\\' => '\\',
            b't' => '\t',
            b'n' => '\n',
            b'r' => '\r',
            b'x' => {
                out.push(u8::try_from(hex(2)?).ok()?);
                continue;
            }
            b'u' => char::from_u32(hex(4)?)?,
            // Eight digits fit into 32 bits.
            b'U' => char::from_u32(hex(8)?)?,
            _ => return None,
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// As [`read`], but `None` also for bytes that are not UTF-8.
pub(crate) fn read_text(escaped: &[u8]) -> Option<String> {
    String::from_utf8(read(escaped)?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(bytes: &[u8], context: Context) -> String {
        let mut out = Vec::new();
        push(&mut out, bytes, context);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bytes_and_characters_have_different_escapes() {
        for (bytes, expected) in [
            (&b"Hello: #1 ~"[..], "Hello: #1 ~"),
            (b"a\tb\nc\rd\0\x1b\x7f\\", r"a\tb\nc\rd\x00\x1b\x7f\\"),
            (b"\xff\x9b", r"\xff\x9b"),
            ("\u{9b}".as_bytes(), r"\u009b"),
            ("é\u{202e}\u{e0001}👋".as_bytes(), r"é\u202e\U000e0001👋"),
            (b"\xe2\x80", r"\xe2\x80"),
        ] {
            assert_eq!(written(bytes, Context::Text), expected);
        }
        assert_eq!(written(b"a b:c#d", Context::Name), r"a\x20b\x3ac\x23d");
    }

    #[test]
    fn an_unknown_escape_is_rejected() {
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
        fn escaped_bytes_are_one_printable_line_and_are_read_back(
            bytes: Vec<u8>, text in "(?s)(.|[\\\\\0-\x1f\x7f-\u{9f}\u{2028}-\u{202e}]){0,40}",
        ) {
            for bytes in [&bytes[..], text.as_bytes()] {
                for context in [Context::Text, Context::Name] {
                    let line = written(bytes, context);
                    prop_assert!(!line.contains(is_unprintable), "{:?}", line);
                    prop_assert!(context == Context::Text || !line.contains([' ', ':', '#']));
                    prop_assert_eq!(&read(line.as_bytes()).unwrap()[..], bytes);
                }
            }
        }

        #[test]
        fn reading_any_bytes_does_not_panic(bytes: Vec<u8>, tail in "[xuU][0-9a-f]{0,8}") {
            let _ = read(&bytes);
            let _ = read(format!("\\{tail}").as_bytes());
        }
    }
}
