//! Many messages as lines, one after the other: the same as [`line::render`], with what repeats itself
//! from line to line kept.

use super::line::{self, Line, Timestamps};
use super::sanitize::sanitize;
use chrono::{Local, TimeZone};

const NANOS: i64 = 1_000_000_000;

/// Writes lines.
#[derive(Debug)]
pub struct Lines {
    timestamps: Timestamps,
    color: bool,
    /// When the message of the line before came.
    previous: Option<i64>,
    /// The time of the last line in words, and the moment that it holds for.
    time: (Option<i64>, String),
    /// Topic and sender of the last line, and both in words.
    names: (Option<String>, Option<String>, String),
}

impl Lines {
    /// Lines that follow one of that time, in nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn new(timestamps: Timestamps, color: bool, previous: Option<i64>) -> Self {
        Self {
            timestamps,
            color,
            previous,
            time: (None, String::new()),
            names: (None, None, String::new()),
        }
    }

    /// Appends a line, with the line break at its end.
    pub fn push(
        &mut self,
        out: &mut String,
        at_ns: i64,
        topic: Option<&str>,
        sender: Option<&str>,
        text: &str,
    ) {
        // How long the words for a time hold: those for a moment, and the time of day, are the same
        // for all that was taken at once.
        let moment = match self.timestamps {
            Timestamps::None => Some(0),
            Timestamps::Time => Some(at_ns.div_euclid(NANOS)),
            Timestamps::Iso => Some(at_ns),
            Timestamps::Delta => None,
        };
        if moment.is_none() || moment != self.time.0 {
            let local = |at_ns| Local.timestamp_nanos(at_ns).fixed_offset();
            let line = Line {
                at: local(at_ns),
                previous: self.previous.map(local),
                topic: None,
                sender: None,
                text: "",
            };
            self.time.0 = moment;
            self.time.1.clear();
            line::push_time(&mut self.time.1, &line, self.timestamps, self.color);
        }
        let (of, by, words) = &mut self.names;
        if of.as_deref() != topic || by.as_deref() != sender {
            *of = topic.map(str::to_owned);
            *by = sender.map(str::to_owned);
            words.clear();
            line::push_names(words, topic, sender, self.color);
        }
        out.push_str(&self.time.1);
        out.push_str(words);
        out.push_str(&sanitize(text));
        out.push('\n');
        self.previous = Some(at_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name() -> impl Strategy<Value = Option<&'static str>> {
        prop::sample::select(vec![None, Some(""), Some("room1"), Some("é\n")])
    }

    proptest! {
        #[test]
        fn many_lines_are_each_what_one_is(
            messages in proptest::collection::vec(
                (0..3_i64, 0..3_i64, name(), name(), "\\PC{0,5}\n?"), 0..20,
            ),
            before: Option<i32>,
            color: bool,
        ) {
            for timestamps in [Timestamps::None, Timestamps::Time, Timestamps::Iso, Timestamps::Delta] {
                let mut previous = before.map(i64::from);
                let mut lines = Lines::new(timestamps, color, previous);
                let mut found = String::new();
                let mut expected = String::new();
                for (seconds, micros, topic, sender, text) in &messages {
                    let at_ns = seconds * NANOS + micros * 1000;
                    lines.push(&mut found, at_ns, *topic, *sender, text);
                    let local = |at_ns| Local.timestamp_nanos(at_ns).fixed_offset();
                    let line = Line {
                        at: local(at_ns),
                        previous: previous.map(local),
                        topic: *topic,
                        sender: *sender,
                        text,
                    };
                    expected.push_str(&line::render(&line, timestamps, color));
                    expected.push('\n');
                    previous = Some(at_ns);
                }
                prop_assert_eq!(&found, &expected);
            }
        }
    }
}
