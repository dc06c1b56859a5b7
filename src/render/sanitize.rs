//! Makes received text safe for a terminal.

use crate::wire::{is_unprintable, push_escaped};
use std::borrow::Cow;

/// Escapes every character that [is unprintable](is_unprintable): `\n`, `\x1b`, `\u202e`. The result cannot
/// be converted back, because backslashes are not escaped.
#[must_use]
pub fn sanitize(text: &str) -> Cow<'_, str> {
    // Most texts are ASCII, which is checked many bytes at a time.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let Some(first) = text.find(is_unprintable) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len() + 8);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        push_escaped(&mut out, c);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_characters_are_escaped() {
        for (text, expected) in [
            ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            ("a\tb\nc\rd\0", "a\\tb\\nc\\rd\\x00"),
            ("\x7f\u{85}\u{9b}31m", "\\x7f\\x85\\x9b31m"),
            ("\u{61c}\u{200e}\u{200f}", "\\u061c\\u200e\\u200f"),
            (
                "\u{202a}\u{202e}\u{2066}\u{2069}",
                "\\u202a\\u202e\\u2066\\u2069",
            ),
            ("\u{2028}\u{2029}", "\\u2028\\u2029"),
            (
                "\u{feff}\u{fff9}\u{fffb}\u{2060}",
                "\\ufeff\\ufff9\\ufffb\\u2060",
            ),
            ("é\u{e0001}é", "é\\U000e0001é"),
        ] {
            assert_eq!(sanitize(text), expected);
        }
    }

    #[test]
    fn ordinary_text_is_borrowed() {
        let flag = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";
        for text in [
            "",
            "Hello ~",
            "C:\\temp",
            "Grüße",
            "👩\u{200d}💻 می\u{200c}خواهم",
            "❤\u{fe0f}",
            flag,
        ] {
            assert!(matches!(sanitize(text), Cow::Borrowed(same) if same == text));
        }
    }

    proptest! {
        #[test]
        fn the_result_is_printable(text in "(?s)(.|[\0-\x1f\x7f-\u{9f}\u{2028}-\u{202e}\u{2066}-\u{2069}]){0,40}") {
            let shown = sanitize(&text);
            prop_assert!(!shown.contains(|c: char| c.is_control() || is_unprintable(c)));
            prop_assert_eq!(sanitize(&shown), shown.as_ref());
            let kept = text.chars().filter(|c| !is_unprintable(*c)).count();
            prop_assert!(shown.chars().count() >= kept);
        }
    }
}
