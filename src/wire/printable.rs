//! Unprintable characters: which they are, and how they are shown.
//!
//! [`is_unprintable`] decides for the whole crate which characters are never shown as they are. A topic
//! cannot contain them.

use std::fmt::Write as _;

/// How many characters of an invalid argument an error contains.
const MAX_QUOTED_CHARS: usize = 60;

/// Whether `c` can control a terminal, reorder or break a line, or is invisible.
///
/// These are the controls (C0, DEL, C1), the bidirectional controls of Unicode UAX #9, the line and
/// paragraph separators, and invisible format characters that running text does not need. Printable are
/// the joiners U+200C and U+200D (emoji, Persian), U+200B (Khmer, Thai), variation selectors and the
/// tags of flag emoji.
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

/// Appends `c` to `out`, escaped if it [is unprintable](is_unprintable): `\n`, `\x1b`, `\u202e`.
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
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

/// An invalid argument for an error: in quotes, escaped, and shortened.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::from("'");
    let mut chars = text.chars();
    for c in chars.by_ref().take(MAX_QUOTED_CHARS) {
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
    fn a_quoted_argument_is_escaped_and_shortened() {
        assert_eq!(
            quote("a\x1b[31m\n\u{202e}\u{e0001}"),
            "'a\\x1b[31m\\n\\u202e\\U000e0001'"
        );
        assert_eq!(quote(""), "''");
        assert_eq!(quote(&"x".repeat(60)), format!("'{}'", "x".repeat(60)));
        assert_eq!(quote(&"é".repeat(61)), format!("'{}…'", "é".repeat(60)));
    }

    #[test]
    fn characters_of_running_text_are_printable() {
        for c in "aé ह한\u{200b}\u{200c}\u{200d}\u{fe0f}\u{e0067}👩".chars() {
            assert!(!is_unprintable(c), "{c:?}");
        }
    }
}
