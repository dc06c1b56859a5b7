//! One message as one line: `[12:03:11] room1 alice: Hello`.

use crate::error::{Error, Result};
use crate::render::sanitize::sanitize;
use crate::render::style::{dim, paint_beside};
use crate::render::wrap::{columns, wrap};
use chrono::{DateTime, FixedOffset, SecondsFormat};

/// How a line tells the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Timestamps {
    /// Not at all.
    None,
    /// The time of day: `12:03:11`.
    #[default]
    Time,
    /// RFC 3339 with microseconds and offset: `2026-01-31T12:03:11.000042+01:00`.
    Iso,
    /// Seconds since the line before: `+0.250`.
    Delta,
}

impl Timestamps {
    /// Reads `"none"`, `"time"`, `"iso"` or `"delta"`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "time" => Ok(Self::Time),
            "iso" => Ok(Self::Iso),
            "delta" => Ok(Self::Delta),
            _ => Err(Error::Value(format!(
                "timestamps is 'none', 'time', 'iso' or 'delta', not {}",
                crate::wire::quote(text)
            ))),
        }
    }
}

/// What a line says. All of it may come from a stranger; [`render`] makes it safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// When the message was received, in local time.
    pub at: DateTime<FixedOffset>,
    /// When the message of the line before was, for [`Timestamps::Delta`].
    pub previous: Option<DateTime<FixedOffset>>,
    /// The topic.
    pub topic: Option<&'a str>,
    /// The sender's name, as it is shown.
    pub sender: Option<&'a str>,
    /// The name whose colour the sender has, if not that of what is shown.
    pub color_of: Option<&'a str>,
    /// Whether the text is what the sender does: `* alice waves`.
    pub action: bool,
    /// The payload.
    pub text: &'a str,
}

/// The finished line, without a line break at its end. Topic and sender are coloured by what they
/// are, so each keeps its colour.
#[must_use]
pub fn render(line: &Line<'_>, timestamps: Timestamps, color: bool) -> String {
    let mut out = String::with_capacity(line.text.len() + 64);
    push_time(&mut out, line, timestamps, color);
    push_names(&mut out, line, color);
    out.push_str(&sanitize(line.text));
    out
}

/// The same in a terminal of `width` columns: wrapped at words, and indented under the text.
#[must_use]
pub fn render_wrapped(
    line: &Line<'_>,
    timestamps: Timestamps,
    color: bool,
    width: usize,
) -> String {
    let mut out = String::with_capacity(line.text.len() + 64);
    push_time(&mut out, line, timestamps, color);
    push_names(&mut out, line, color);
    let indent = columns(&out);
    out.push_str(&sanitize(line.text));
    wrap(&out, width, indent).into_owned()
}

/// What a line begins with: the time in brackets, and a blank.
pub(crate) fn push_time(out: &mut String, line: &Line<'_>, timestamps: Timestamps, color: bool) {
    if let Some(time) = time(line, timestamps) {
        let time = format!("[{time}]");
        out.push_str(&if color { dim(&time) } else { time });
        out.push(' ');
    }
}

/// What follows: where, who speaks, and a colon.
pub(crate) fn push_names(out: &mut String, line: &Line<'_>, color: bool) {
    push_names_by(out, line, |out, name, key, beside| {
        let shown = sanitize(name);
        if color {
            out.push_str(&paint_beside(&shown, key, beside));
        } else {
            out.push_str(&shown);
        }
    });
}

/// The same, with each name written by `push_name`: it gets the name, the key of its colour, and the
/// topic beside it, whose colour it must not have.
pub(crate) fn push_names_by(
    out: &mut String,
    line: &Line<'_>,
    push_name: impl Fn(&mut String, &str, &str, Option<&str>),
) {
    // A stamp may carry an empty name; that is nobody.
    let topic = line.topic.filter(|topic| !topic.is_empty());
    let sender = line.sender.filter(|sender| !sender.is_empty());
    if let Some(topic) = topic {
        push_name(out, topic, topic, None);
        out.push_str(if sender.is_some() { " " } else { ": " });
    }
    if let Some(sender) = sender {
        if line.action {
            out.push_str("* ");
        }
        push_name(out, sender, line.color_of.unwrap_or(sender), topic);
        out.push_str(if line.action { " " } else { ": " });
    }
}

/// What stands between the brackets.
pub(crate) fn time(line: &Line<'_>, timestamps: Timestamps) -> Option<String> {
    match timestamps {
        Timestamps::None => None,
        Timestamps::Time => Some(line.at.format("%H:%M:%S").to_string()),
        Timestamps::Iso => Some(line.at.to_rfc3339_opts(SecondsFormat::Micros, false)),
        Timestamps::Delta => {
            let since = line.at - line.previous.unwrap_or(line.at);
            let milliseconds = match since.num_microseconds() {
                Some(microseconds) => (microseconds.saturating_add(500)).div_euclid(1000),
                // Farther apart than 292,000 years.
                None => since.num_milliseconds(),
            };
            let sign = if milliseconds < 0 { '-' } else { '+' };
            let size = milliseconds.unsigned_abs();
            Some(format!("{sign}{}.{:03}", size / 1000, size % 1000))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::render::style::paint;
    use crate::wire::is_unprintable;
    use proptest::prelude::*;

    fn moment(text: &str) -> DateTime<FixedOffset> {
        DateTime::parse_from_rfc3339(text).unwrap()
    }

    fn line<'a>(topic: Option<&'a str>, sender: Option<&'a str>, text: &'a str) -> Line<'a> {
        Line {
            at: moment("2026-01-31T12:03:11.000042+01:00"),
            previous: None,
            topic,
            sender,
            color_of: None,
            action: false,
            text,
        }
    }

    #[test]
    fn names_that_are_missing_leave_no_gap() {
        let (room, alice) = (Some("room1"), Some("alice"));
        for (topic, sender, expected) in [
            (room, alice, "[12:03:11] room1 alice: Hello"),
            (room, None, "[12:03:11] room1: Hello"),
            (None, alice, "[12:03:11] alice: Hello"),
            (None, None, "[12:03:11] Hello"),
            (room, Some(""), "[12:03:11] room1: Hello"),
        ] {
            let shown = render(&line(topic, sender, "Hello"), Timestamps::Time, false);
            assert_eq!(shown, expected);
        }
        assert_eq!(render(&line(None, None, ""), Timestamps::None, true), "");
    }

    #[test]
    fn what_somebody_does_is_a_sentence() {
        for (topic, sender, expected) in [
            (Some("room1"), Some("alice"), "room1 * alice waves"),
            (None, Some("alice"), "* alice waves"),
            (Some("room1"), None, "room1: waves"),
        ] {
            let line = Line {
                action: true,
                ..line(topic, sender, "waves")
            };
            assert_eq!(render(&line, Timestamps::None, false), expected);
        }
    }

    #[test]
    fn a_name_that_is_shown_otherwise_keeps_its_colour() {
        let line = Line {
            color_of: Some("alice"),
            ..line(None, Some("alice#9f3c"), "Hi")
        };
        let expected = format!("{}: Hi", paint("alice#9f3c", "alice"));
        assert_eq!(render(&line, Timestamps::None, true), expected);
    }

    #[test]
    fn each_way_to_tell_the_time() {
        let hi = line(None, None, "Hi");
        let shown = |timestamps| render(&hi, timestamps, false);
        assert_eq!(shown(Timestamps::None), "Hi");
        assert_eq!(
            shown(Timestamps::Iso),
            "[2026-01-31T12:03:11.000042+01:00] Hi"
        );
        assert_eq!(shown(Timestamps::Delta), "[+0.000] Hi");
        let utc = Line {
            at: moment("2026-01-31T11:03:11Z"),
            ..hi
        };
        let shown = render(&utc, Timestamps::Iso, false);
        assert_eq!(shown, "[2026-01-31T11:03:11.000000+00:00] Hi");
    }

    #[test]
    fn a_delta_has_a_sign_and_milliseconds() {
        for (previous, expected) in [
            ("2026-01-31T12:03:10.750042+01:00", "[+0.250] Hi"),
            ("2026-01-31T12:03:10.000442+01:00", "[+1.000] Hi"),
            ("2026-01-31T12:03:12.500042+01:00", "[-1.500] Hi"),
            ("2026-01-31T12:03:11.000142+01:00", "[+0.000] Hi"),
            ("2026-01-31T11:03:11.000042Z", "[+0.000] Hi"),
            ("2026-01-30T12:03:11.000042+01:00", "[+86400.000] Hi"),
        ] {
            let line = Line {
                previous: Some(moment(previous)),
                ..line(None, None, "Hi")
            };
            assert_eq!(render(&line, Timestamps::Delta, false), expected);
        }
    }

    #[test]
    fn colour_codes_come_from_us_alone() {
        let line = line(Some("room1"), Some("al\x1b[0mice"), "\x1b[31mred\nforged");
        assert_eq!(
            render(&line, Timestamps::Time, false),
            "[12:03:11] room1 al\\x1b[0mice: \\x1b[31mred\\nforged"
        );
        assert_eq!(
            render(&line, Timestamps::Time, true),
            format!(
                "{} {} {}: \\x1b[31mred\\nforged",
                dim("[12:03:11]"),
                paint("room1", "room1"),
                paint("al\\x1b[0mice", "al\x1b[0mice"),
            )
        );
    }

    #[test]
    fn the_words_are_read() {
        assert_eq!(Timestamps::parse("none"), Ok(Timestamps::None));
        assert_eq!(Timestamps::parse("time"), Ok(Timestamps::Time));
        assert_eq!(Timestamps::parse("iso"), Ok(Timestamps::Iso));
        assert_eq!(Timestamps::parse("delta"), Ok(Timestamps::Delta));
        let text = Timestamps::parse("Time").unwrap_err().to_string();
        assert_eq!(
            text,
            "timestamps is 'none', 'time', 'iso' or 'delta', not 'Time'"
        );
    }

    proptest! {
        #[test]
        fn a_message_is_one_safe_line(
            topic in proptest::option::of("(?s).{0,12}"),
            sender in proptest::option::of("(?s)(.|[\x1b\n\r\u{9b}\u{85}\u{2028}\u{202e}]){0,12}"),
            text in "(?s)(.|[\x1b\n\r\u{9b}\u{85}\u{2028}\u{202e}]){0,30}",
            (at, previous) in (any::<i32>(), proptest::option::of(any::<i32>())),
            action: bool,
        ) {
            let moment = |seconds: i32| {
                DateTime::from_timestamp(seconds.into(), 0).unwrap().fixed_offset()
            };
            let line = Line {
                at: moment(at),
                previous: previous.map(moment),
                topic: topic.as_deref(),
                sender: sender.as_deref(),
                color_of: None,
                action,
                text: &text,
            };
            for timestamps in [Timestamps::None, Timestamps::Time, Timestamps::Iso, Timestamps::Delta] {
                let plain = render(&line, timestamps, false);
                prop_assert!(!plain.contains(is_unprintable), "{:?}", plain);
                let colored = render(&line, timestamps, true);
                prop_assert!(!colored.contains(|c: char| is_unprintable(c) && c != '\x1b'));
                // Taking away what we put in gives the plain line, so nothing else is in there.
                let mut bare = colored.clone();
                for style in ["\x1b[0m", "\x1b[2m"] {
                    bare = bare.replace(style, "");
                }
                for (name, beside) in [(&topic, &None), (&sender, &None), (&sender, &topic)] {
                    let Some(name) = name else { continue };
                    let (start, _) = paint_beside("\0", name, beside.as_deref()).split_once('\0').map(|(s, e)| (s.to_owned(), e.to_owned())).unwrap();
                    bare = bare.replace(&start, "");
                }
                prop_assert_eq!(bare, plain);
            }
        }
    }
}
