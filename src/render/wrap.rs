//! Long lines for a terminal, broken between words.
//!
//! The invariant: wrapping replaces blanks by line breaks, and adds line breaks and indentation. No
//! other character is removed or changed, and no line is wider than the terminal.

use std::borrow::Cow;
use std::iter;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Continuation lines are indented by this much where the text begins beyond the middle of the line.
const SHALLOW: usize = 2;

const ZERO_WIDTH_JOINER: char = '\u{200d}';
const ESCAPE: char = '\x1b';

/// How many columns `text` occupies: two for a wide character, none for a combining one or a colour
/// sequence.
///
/// Terminals disagree about joined emoji. The larger of the two answers is taken, so a line may be
/// wrapped early, but never too late.
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

/// `line` as lines of at most `width` columns, without a line break at the end.
///
/// The lines after the first are indented by `indent` columns, less where that would leave less than
/// half of the width for text. A word that is longer than a line is broken.
#[must_use]
pub fn wrap(line: &str, width: usize, indent: usize) -> Cow<'_, str> {
    let fits = line.len() <= width && line.is_ascii() || columns(line) <= width;
    if fits || width == 0 {
        return Cow::Borrowed(line);
    }
    let indent = if indent > width / 2 {
        SHALLOW.min(width / 4)
    } else {
        indent
    };
    let mut lines = Lines {
        out: String::with_capacity(line.len() + 64),
        width,
        indent,
        start: 0,
        column: 0,
    };
    let mut rest = line;
    while !rest.is_empty() {
        let (blanks, after) = rest.split_at(rest.find(|c| !is_break(c)).unwrap_or(rest.len()));
        let (word, after) = after.split_at(after.find(is_break).unwrap_or(after.len()));
        lines.push(blanks, word);
        rest = after;
    }
    Cow::Owned(lines.out)
}

/// Whether a line may be broken at this character: at blanks, and between words of scripts that are
/// written without them, where the text marks these.
fn is_break(c: char) -> bool {
    match c {
        '\u{a0}' | '\u{2007}' | '\u{202f}' => false,
        '\u{200b}' => true,
        _ => c.is_whitespace(),
    }
}

struct Lines {
    out: String,
    width: usize,
    indent: usize,
    /// Where the line begins, and where the next character is put.
    start: usize,
    column: usize,
}

impl Lines {
    /// Appends a word, or starts a line with it. The blanks before it are dropped at a line break.
    fn push(&mut self, blanks: &str, word: &str) {
        let (blank, size) = (columns(blanks), columns(word));
        if self.column + blank + size <= self.width {
            self.put(blanks, blank);
            self.put(word, size);
        } else if word.is_empty() {
            // Blanks at the end that do not fit.
        } else if size <= self.width - self.indent {
            self.start_line(self.indent);
            self.put(word, size);
        } else if size <= self.width && word.is_ascii() {
            // A path or an address that needs the indentation's room can be copied as a whole.
            self.start_line(self.width - size);
            self.put(word, size);
        } else {
            self.push_broken(blanks, blank, word);
        }
    }

    /// Appends a word that is longer than a line.
    fn push_broken(&mut self, blanks: &str, blank: usize, word: &str) {
        if self.column + blank < self.width {
            self.put(blanks, blank);
        } else {
            self.start_line(self.indent);
        }
        for piece in pieces(word) {
            let size = if piece.starts_with(ESCAPE) {
                0
            } else {
                shown_columns(piece)
            };
            if self.column + size > self.width && self.column > self.start {
                self.start_line(self.indent);
            }
            self.put(piece, size);
        }
    }

    fn start_line(&mut self, indent: usize) {
        if !self.out.is_empty() {
            self.out.push('\n');
            self.out.extend(iter::repeat_n(' ', indent));
            (self.start, self.column) = (indent, indent);
        }
    }

    fn put(&mut self, text: &str, size: usize) {
        self.out.push_str(text);
        self.column += size;
    }
}

/// What must not be separated: a colour sequence, or a character with those that are drawn over it
/// or joined to it.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    iter::from_fn(move || {
        let mut chars = rest.char_indices();
        let (_, first) = chars.next()?;
        let mut end = rest.len();
        if first == ESCAPE {
            // Ours are all `ESC [ … m`.
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

/// Whether `c` belongs to the character before it.
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
        // Older terminals draw a joined emoji as its parts.
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
            // Blanks within a line are kept, at a line break they are not.
            ("a  b    c", 5, 0, "a  b\nc"),
            ("  indented code", 10, 2, "  indented\n  code"),
            ("trailing   ", 9, 2, "trailing"),
            ("no\u{a0}break here", 9, 2, "no\u{a0}break\n  here"),
            // An indentation beyond the middle leaves too little room.
            ("somebody: text text", 12, 10, "somebody:\n  text text"),
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
            // A wide character is never cut in two.
            ("日本語日本語", 5, 2, "日本\n  語\n  日\n  本\n  語"),
            ("x 日本語日本語", 5, 0, "x 日\n本語\n日本\n語"),
            // Nor is a combining one left behind.
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
    fn an_address_stays_whole_where_it_fits() {
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
    fn colours_take_no_room_and_are_not_cut() {
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
        fn no_line_is_too_wide_and_no_word_is_lost(
            text in "([a-z]{0,12}|[日é😀\u{301}\u{200d}❤\u{fe0f}]{1,4}| {1,3}|\u{1b}\\[2m|/){0,30}",
            width in 2..40_usize,
            indent in 0..40_usize,
        ) {
            let shown = wrap(&text, width, indent);
            for line in shown.split('\n') {
                // Only what cannot be separated may be wider than a very narrow line.
                let one = pieces(line.trim_start()).filter(|piece| columns(piece) > 0).count() == 1;
                prop_assert!(columns(line) <= width || one, "{:?} in {width}", line);
            }
            let bare = |text: &str| text.replace([' ', '\n'], "");
            prop_assert_eq!(bare(&shown), bare(&text));
            // A word that fits into a line is in one line.
            let room = width.saturating_sub(indent);
            for word in text.split(' ').filter(|word| columns(word) <= room) {
                prop_assert!(shown.contains(word), "{:?} in {:?}", word, shown);
            }
        }
    }
}
