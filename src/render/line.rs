//! One message as one line: `[12:03:11] room1 alice: Hello`.

use crate::error::{Error, Result};
use crate::render::sanitize::sanitize;
use crate::render::style::{dim, paint_beside};
use crate::render::wrap::{columns, wrap};
use chrono::{DateTime, FixedOffset, SecondsFormat};

/// How a line shows the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Timestamps {
    /// No time.
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
    /// Parses `"none"`, `"time"`, `"iso"` or `"delta"`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "time" => Ok(Self::Time),
            "iso" => Ok(Self::Iso),
            "delta" => Ok(Self::Delta),
            _ => Err(Error::Value(format!(
                "invalid timestamps {}: expected 'none', 'time', 'iso' or 'delta'",
                crate::wire::quote(text)
            ))),
        }
    }
}

/// The content of a line, before [`render`] sanitises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// When the message was received, in local time.
    pub received_at: DateTime<FixedOffset>,
    /// When the message of the previous line was received, for [`Timestamps::Delta`].
    pub previous: Option<DateTime<FixedOffset>>,
    /// The topic.
    pub topic: Option<&'a str>,
    /// The sender's name as it is shown.
    pub sender: Option<&'a str>,
    /// The name that selects the sender's colour, if it differs from the name shown.
    pub color_key: Option<&'a str>,
    /// Whether the text is an action of the sender: `* alice waves`.
    pub action: bool,
    /// The payload as text.
    pub text: &'a str,
}

/// Renders a line, without a line break. The colours of topic and sender depend only on their names.
#[must_use]
pub fn render(line: &Line<'_>, timestamps: Timestamps, color: bool) -> String {
    let mut out = String::with_capacity(line.text.len() + 64);
    push_time(&mut out, line, timestamps, color);
    push_names(&mut out, line, color);
    out.push_str(&sanitize(line.text));
    out
}

/// As [`render`], but wrapped at words to `width` columns, with an indent to the start of the text.
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

/// Appends the time in brackets, and a space.
pub(crate) fn push_time(out: &mut String, line: &Line<'_>, timestamps: Timestamps, color: bool) {
    if let Some(time) = time(line, timestamps) {
        let time = format!("[{time}]");
        out.push_str(&if color { dim(&time) } else { time });
        out.push(' ');
    }
}

/// Appends topic and sender, with the separator before the text.
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

/// As [`push_names`], but `push_name` appends each name. Its arguments are the name, the key of its colour,
/// and the topic next to it, whose colour the name must not have.
pub(crate) fn push_names_by(
    out: &mut String,
    line: &Line<'_>,
    push_name: impl Fn(&mut String, &str, &str, Option<&str>),
) {
    // An empty name in a stamp is not shown.
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
        push_name(out, sender, line.color_key.unwrap_or(sender), topic);
        out.push_str(if line.action { " " } else { ": " });
    }
}

/// The time without brackets.
pub(crate) fn time(line: &Line<'_>, timestamps: Timestamps) -> Option<String> {
    match timestamps {
        Timestamps::None => None,
        Timestamps::Time => Some(line.received_at.format("%H:%M:%S").to_string()),
        Timestamps::Iso => Some(
            line.received_at
                .to_rfc3339_opts(SecondsFormat::Micros, false),
        ),
        Timestamps::Delta => {
            let since = line.received_at - line.previous.unwrap_or(line.received_at);
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

    fn time_at(text: &str) -> DateTime<FixedOffset> {
        DateTime::parse_from_rfc3339(text).unwrap()
    }

    fn line<'a>(topic: Option<&'a str>, sender: Option<&'a str>, text: &'a str) -> Line<'a> {
        Line {
            received_at: time_at("2026-01-31T12:03:11.000042+01:00"),
            previous: None,
            topic,
            sender,
            color_key: None,
            action: false,
            text,
        }
    }

    #[test]
    fn missing_names_leave_no_gap() {
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
    fn an_action_is_shown_as_a_sentence() {
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
    fn an_extended_name_keeps_the_colour_of_the_name() {
        let line = Line {
            color_key: Some("alice"),
            ..line(None, Some("alice#9f3c"), "Hi")
        };
        let expected = format!("{}: Hi", paint("alice#9f3c", "alice"));
        assert_eq!(render(&line, Timestamps::None, true), expected);
    }

    #[test]
    fn each_form_of_timestamps_is_rendered() {
        let hi = line(None, None, "Hi");
        let shown = |timestamps| render(&hi, timestamps, false);
        assert_eq!(shown(Timestamps::None), "Hi");
        assert_eq!(
            shown(Timestamps::Iso),
            "[2026-01-31T12:03:11.000042+01:00] Hi"
        );
        assert_eq!(shown(Timestamps::Delta), "[+0.000] Hi");
        let utc = Line {
            received_at: time_at("2026-01-31T11:03:11Z"),
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
                previous: Some(time_at(previous)),
                ..line(None, None, "Hi")
            };
            assert_eq!(render(&line, Timestamps::Delta, false), expected);
        }
    }

    #[test]
    fn received_escape_sequences_are_escaped() {
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
    fn timestamps_are_parsed() {
        assert_eq!(Timestamps::parse("none"), Ok(Timestamps::None));
        assert_eq!(Timestamps::parse("time"), Ok(Timestamps::Time));
        assert_eq!(Timestamps::parse("iso"), Ok(Timestamps::Iso));
        assert_eq!(Timestamps::parse("delta"), Ok(Timestamps::Delta));
        let text = Timestamps::parse("Time").unwrap_err().to_string();
        assert_eq!(
            text,
            "invalid timestamps 'Time': expected 'none', 'time', 'iso' or 'delta'"
        );
    }

    proptest! {
        #[test]
        fn any_message_is_one_printable_line(
            topic in proptest::option::of("(?s).{0,12}"),
            sender in proptest::option::of("(?s)(.|[\x1b\n\r\u{9b}\u{85}\u{2028}\u{202e}]){0,12}"),
            text in "(?s)(.|[\x1b\n\r\u{9b}\u{85}\u{2028}\u{202e}]){0,30}",
            (at, previous) in (any::<i32>(), proptest::option::of(any::<i32>())),
            action: bool,
        ) {
            let time_at = |seconds: i32| {
                DateTime::from_timestamp(seconds.into(), 0).unwrap().fixed_offset()
            };
            let line = Line {
                received_at: time_at(at),
                previous: previous.map(time_at),
                topic: topic.as_deref(),
                sender: sender.as_deref(),
                color_key: None,
                action,
                text: &text,
            };
            for timestamps in [Timestamps::None, Timestamps::Time, Timestamps::Iso, Timestamps::Delta] {
                let plain = render(&line, timestamps, false);
                prop_assert!(!plain.contains(is_unprintable), "{:?}", plain);
                let colored = render(&line, timestamps, true);
                prop_assert!(!colored.contains(|c: char| is_unprintable(c) && c != '\x1b'));
                // Without the added escape sequences, the coloured line is the plain line.
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
