//! Wraps long lines for a terminal, between words.
//!
//! Invariants: wrapping only replaces spaces with line breaks, and adds line breaks and indentation. No
//! line is wider than the terminal.

use std::borrow::Cow;
use std::iter;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The indentation of continuation lines if the text begins in the right half of the line.
const SMALL_INDENT: usize = 2;

const ZERO_WIDTH_JOINER: char = '\u{200d}';
const ESCAPE: char = '\x1b';

/// The number of columns of `text`: two for a wide character, none for a combining character or a colour
/// sequence.
///
/// Terminals differ in the width of joined emoji. The larger width is used, so that no line is too wide.
#[must_use]
pub fn columns(text: &str) -> usize {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.len();
    }
    pieces(text)
        .filter(|piece| !piece.starts_with(ESCAPE))
        .map(shown_columns)
        .sum()
}

/// Wraps `line` to lines of at most `width` columns, without a line break at the end.
///
/// Continuation lines are indented by `indent` columns, or by fewer if the text would have less than half
/// of the width. A word that is longer than a line is broken.
#[must_use]
pub fn wrap(line: &str, width: usize, indent: usize) -> Cow<'_, str> {
    let fits = line.len() <= width && line.is_ascii() || columns(line) <= width;
    if fits || width == 0 {
        return Cow::Borrowed(line);
    }
    let indent = if indent > width / 2 {
        SMALL_INDENT.min(width / 4)
    } else {
        indent
    };
    let mut lines = WrappedLines {
        out: String::with_capacity(line.len() + 64),
        width,
        indent,
        start: 0,
        column: 0,
    };
    let mut rest = line;
    while !rest.is_empty() {
        let (spaces, after) = rest.split_at(rest.find(|c| !is_break(c)).unwrap_or(rest.len()));
        let (word, after) = after.split_at(after.find(is_break).unwrap_or(after.len()));
        lines.push(spaces, word);
        rest = after;
    }
    Cow::Owned(lines.out)
}

/// Whether a line may be broken at this character: a space, or U+200B, which separates words in scripts
/// without spaces.
fn is_break(c: char) -> bool {
    match c {
        '\u{a0}' | '\u{2007}' | '\u{202f}' => false,
        '\u{200b}' => true,
        _ => c.is_whitespace(),
    }
}

struct WrappedLines {
    out: String,
    width: usize,
    indent: usize,
    /// The column of the first character of the line.
    start: usize,
    /// The column of the next character.
    column: usize,
}

impl WrappedLines {
    /// Appends a word to the line, or starts a new line with it. A line break replaces the spaces before it.
    fn push(&mut self, spaces: &str, word: &str) {
        let (space_width, word_width) = (columns(spaces), columns(word));
        if self.column + space_width + word_width <= self.width {
            self.append(spaces, space_width);
            self.append(word, word_width);
        } else if word.is_empty() {
            // Spaces at the end of the text that do not fit.
        } else if word_width <= self.width - self.indent {
            self.start_line(self.indent);
            self.append(word, word_width);
        } else if word_width <= self.width && word.is_ascii() {
            // A path or an address remains whole with less indentation, so that it can be copied.
            self.start_line(self.width - word_width);
            self.append(word, word_width);
        } else {
            self.push_broken(spaces, space_width, word);
        }
    }

    /// Appends a word that is longer than a line.
    fn push_broken(&mut self, spaces: &str, space_width: usize, word: &str) {
        if self.column + space_width < self.width {
            self.append(spaces, space_width);
        } else {
            self.start_line(self.indent);
        }
        for piece in pieces(word) {
            let piece_width = if piece.starts_with(ESCAPE) {
                0
            } else {
                shown_columns(piece)
            };
            if self.column + piece_width > self.width && self.column > self.start {
                self.start_line(self.indent);
            }
            self.append(piece, piece_width);
        }
    }

    fn start_line(&mut self, indent: usize) {
        if !self.out.is_empty() {
            self.out.push('\n');
            self.out.extend(iter::repeat_n(' ', indent));
            (self.start, self.column) = (indent, indent);
        }
    }

    fn append(&mut self, text: &str, text_width: usize) {
        self.out.push_str(text);
        self.column += text_width;
    }
}

/// The parts of a text that must not be separated: a colour sequence, or a character with the combining
/// and joined characters after it.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    iter::from_fn(move || {
        let mut chars = rest.char_indices();
        let (_, first) = chars.next()?;
        let mut end = rest.len();
        if first == ESCAPE {
            // All colour sequences of this crate are `ESC [ … m`.
            end = rest.find('m').map_or(end, |at| at + 1);
        } else {
            let mut before = first;
            for (at, c) in chars {
                if c == ESCAPE || !is_joined(before, c) {
                    end = at;
                    break;
                }
                before = c;
            }
        }
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

/// Whether `c` must not be separated from the character before it.
fn is_joined(before: char, c: char) -> bool {
    let is_modifier = matches!(c, '\u{1f3fb}'..='\u{1f3ff}');
    c.width() == Some(0) || before == ZERO_WIDTH_JOINER || is_modifier
}

fn shown_columns(piece: &str) -> usize {
    let each: usize = piece.chars().map(|c| c.width().unwrap_or(1)).sum();
    each.max(piece.width())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::render::style::{dim, paint};
    use proptest::prelude::*;

    #[test]
    fn wide_characters_take_two_columns_and_combining_ones_none() {
        for (text, expected) in [
            ("", 0),
            ("Hello", 5),
            ("Grüße", 5),
            ("e\u{301}", 1),
            ("日本語", 6),
            ("한국어", 6),
            ("Ａ", 2),
            ("😀", 2),
            ("❤\u{fe0f}", 2),
            ("ن\u{64e}", 1),
            ("a\u{200b}b", 2),
        ] {
            assert_eq!(columns(text), expected, "{text:?}");
        }
        assert_eq!(columns(&paint("room1", "room1")), 5);
        assert_eq!(columns(&format!("{} é", dim("[12:03:11]"))), 12);
        // Older terminals show the parts of a joined emoji.
        assert_eq!(columns("👩\u{200d}💻"), 4);
    }

    #[test]
    fn a_line_that_fits_is_borrowed() {
        for (text, width) in [("", 1), ("Hello you", 9), ("日本", 4), ("long  line", 0)] {
            assert!(matches!(wrap(text, width, 2), Cow::Borrowed(same) if same == text));
        }
        let colored = paint("12345", "room1");
        assert!(matches!(wrap(&colored, 5, 0), Cow::Borrowed(_)));
    }

    #[test]
    fn lines_break_between_words_and_are_indented() {
        for (text, width, indent, expected) in [
            ("one two three", 8, 2, "one two\n  three"),
            ("one two three", 7, 2, "one two\n  three"),
            (
                "room1: one two three",
                11,
                4,
                "room1: one\n    two\n    three",
            ),
            // A line break replaces spaces; others are kept.
            ("a  b    c", 5, 0, "a  b\nc"),
            ("  indented code", 10, 2, "  indented\n  code"),
            ("trailing   ", 9, 2, "trailing"),
            ("no\u{a0}break here", 9, 2, "no\u{a0}break\n  here"),
            // The indentation is reduced if it is more than half of the width.
            ("somename: text text", 12, 10, "somename:\n  text text"),
        ] {
            assert_eq!(wrap(text, width, indent), expected, "{text:?}");
        }
    }

    #[test]
    fn a_word_longer_than_a_line_is_broken() {
        for (text, width, indent, expected) in [
            ("abcdefghij", 4, 2, "abcd\n  ef\n  gh\n  ij"),
            ("a bcdefghij", 4, 0, "a bc\ndefg\nhij"),
            ("abc defghij", 4, 0, "abc\ndefg\nhij"),
            // A wide character is not split.
            ("日本語日本語", 5, 2, "日本\n  語\n  日\n  本\n  語"),
            ("x 日本語日本語", 5, 0, "x 日\n本語\n日本\n語"),
            // A combining character is not separated.
            (
                "e\u{301}e\u{301}e\u{301}",
                2,
                0,
                "e\u{301}e\u{301}\ne\u{301}",
            ),
            ("日", 1, 0, "日"),
        ] {
            assert_eq!(wrap(text, width, indent), expected, "{text:?}");
        }
    }

    #[test]
    fn an_address_is_not_broken_if_it_fits() {
        let address = "http://192.168.1.12:8888/lab";
        let text = format!("Teacher: see {address} now");
        assert_eq!(
            wrap(&text, 36, 9),
            format!("Teacher: see\n        {address}\n         now")
        );
        assert_eq!(
            wrap(&text, 40, 9),
            format!("Teacher: see\n         {address}\n         now")
        );
        assert!(!wrap(&text, 20, 9).contains(address));
    }

    #[test]
    fn colour_sequences_take_no_columns_and_are_not_split() {
        let text = format!("{} {}: one two", dim("[12:03]"), paint("alice", "alice"));
        let expected = format!(
            "{} {}: one\n    two",
            dim("[12:03]"),
            paint("alice", "alice")
        );
        assert_eq!(wrap(&text, 18, 4), expected);
        let long = paint("abcdef", "room1");
        let shown = wrap(&long, 3, 0);
        let (start, end) = long.split_once("abcdef").unwrap();
        assert_eq!(shown, format!("{start}abc\ndef{end}"));
    }

    proptest! {
        #[test]
        fn no_line_is_too_wide_and_all_words_are_kept(
            text in "([a-z]{0,12}|[日é😀\u{301}\u{200d}❤\u{fe0f}]{1,4}| {1,3}|\u{1b}\\[2m|/){0,30}",
            width in 2..40_usize,
            indent in 0..40_usize,
        ) {
            let shown = wrap(&text, width, indent);
            for line in shown.split('\n') {
                // Only a single part that cannot be separated may be wider than the line.
                let one = pieces(line.trim_start()).filter(|piece| columns(piece) > 0).count() == 1;
                prop_assert!(columns(line) <= width || one, "{:?} in {width}", line);
            }
            let bare = |text: &str| text.replace([' ', '\n'], "");
            prop_assert_eq!(bare(&shown), bare(&text));
            // A word that fits into a line is not broken.
            let available = width.saturating_sub(indent);
            for word in text.split(' ').filter(|word| columns(word) <= available) {
                prop_assert!(shown.contains(word), "{:?} in {:?}", word, shown);
            }
        }
    }
}
