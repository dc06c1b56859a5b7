//! What the bytes mean: topics, addresses, stamps and whole messages. Pure: nothing in here does
//! I/O, and nothing that a stranger sends can make it panic.
//!
//! One predicate, [`is_unprintable`], decides for the whole crate which characters are never shown
//! as they are; a topic may not hold one either, so that a topic always looks like what it is.

pub mod endpoint;
pub mod message;
pub mod stamp;
pub mod subscription;
pub mod topic;

use std::fmt::Write as _;

/// How much of a wrong argument an error repeats, in characters.
const QUOTED_CHARS: usize = 60;

/// Whether `c` could drive a terminal, reorder or break a line, or hide.
///
/// Those are the controls (C0, DEL, C1), the bidirectional controls of Unicode UAX #9, the line and
/// paragraph separators, and format characters that are invisible without any work to do in
/// running text. The joiners U+200C and U+200D stay (emoji, Persian), and so do U+200B (Khmer, Thai),
/// variation selectors and the tags of flag emoji.
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{061C}'
                | '\u{180E}'
                | '\u{200E}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{FEFF}'
                | '\u{FFF9}'..='\u{FFFB}'
                | '\u{1D173}'..='\u{1D17A}'
                | '\u{E0001}'
        )
}

/// Appends `c` to `out`, spelt out when it [is unprintable](is_unprintable): `\n`, `\x1b`, `\u202e`.
pub fn push_escaped(out: &mut String, c: char) {
    if !is_unprintable(c) {
        out.push(c);
        return;
    }
    let written = match (c, u32::from(c)) {
        ('\t', _) => out.write_str("\\t"),
        ('\n', _) => out.write_str("\\n"),
        ('\r', _) => out.write_str("\\r"),
        (_, code @ ..=0xFF) => write!(out, "\\x{code:02x}"),
        (_, code @ ..=0xFFFF) => write!(out, "\\u{code:04x}"),
        (_, code) => write!(out, "\\U{code:08x}"),
    };
    debug_assert!(written.is_ok(), "a String takes everything");
}

/// What an error repeats of the text it refuses: in quotes, escaped, and not too long.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::from("'");
    let mut chars = text.chars();
    for c in chars.by_ref().take(QUOTED_CHARS) {
        push_escaped(&mut out, c);
    }
    if chars.next().is_some() {
        out.push('…');
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_escaped_and_bounded() {
        assert_eq!(
            quote("a\x1b[31m\n\u{202e}\u{e0001}"),
            "'a\\x1b[31m\\n\\u202e\\U000e0001'"
        );
        assert_eq!(quote(""), "''");
        assert_eq!(quote(&"x".repeat(60)), format!("'{}'", "x".repeat(60)));
        assert_eq!(quote(&"é".repeat(61)), format!("'{}…'", "é".repeat(60)));
    }

    #[test]
    fn what_ordinary_text_needs_is_printable() {
        for c in "aé ह한\u{200b}\u{200c}\u{200d}\u{fe0f}\u{e0067}👩".chars() {
            assert!(!is_unprintable(c), "{c:?}");
        }
    }
}
