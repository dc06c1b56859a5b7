//! Many messages as lines, one after the other: the same as [`line::render`], with what repeats itself
//! from line to line kept.

use crate::render::line::{self, Line, Timestamps};
use crate::render::sanitize::sanitize;
use crate::render::wrap::{columns, wrap};
use crate::util::local_time;
use std::borrow::Cow;

const NANOS: i64 = 1_000_000_000;

/// Writes lines.
#[derive(Debug)]
pub struct Lines {
    timestamps: Timestamps,
    color: bool,
    /// The columns of the terminal that lines are wrapped for; `None` wraps nothing.
    width: Option<usize>,
    /// When the message of the line before came.
    previous: Option<i64>,
    /// The time of the last line in words, and the moment that it holds for.
    time: (Option<i64>, String),
    /// Topic and sender of the last line, whether the sender does something, and that in words.
    names: (Option<String>, Option<String>, bool, String),
}

impl Lines {
    /// Lines that follow one of that time, in nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn new(
        timestamps: Timestamps,
        color: bool,
        width: Option<usize>,
        previous: Option<i64>,
    ) -> Self {
        Self {
            timestamps,
            color,
            width,
            previous,
            time: (None, String::new()),
            names: (None, None, false, String::new()),
        }
    }

    /// Appends a line, with the line break at its end.
    pub fn push(&mut self, out: &mut String, at_ns: i64, said: &Said<'_>) {
        // How long the words for a time hold: those for a moment, and the time of day, are the same
        // for all that was taken at once.
        let moment = match self.timestamps {
            Timestamps::None => Some(0),
            Timestamps::Time => Some(at_ns.div_euclid(NANOS)),
            Timestamps::Iso => Some(at_ns),
            Timestamps::Delta => None,
        };
        let local = local_time::at;
        let line = || Line {
            at: local(at_ns),
            previous: self.previous.map(local),
            topic: said.topic,
            sender: said.sender,
            color_of: None,
            action: said.action,
            text: "",
        };
        if moment.is_none() || moment != self.time.0 {
            let mut words = String::new();
            line::push_time(&mut words, &line(), self.timestamps, self.color);
            self.time = (moment, words);
        }
        let (of, by, action, _) = &self.names;
        if of.as_deref() != said.topic || by.as_deref() != said.sender || *action != said.action {
            let mut words = String::new();
            line::push_names(&mut words, &line(), self.color);
            let owned = |name: Option<&str>| name.map(str::to_owned);
            self.names = (owned(said.topic), owned(said.sender), said.action, words);
        }
        let start = out.len();
        out.push_str(&self.time.1);
        out.push_str(&self.names.3);
        let text = out.len();
        out.push_str(&sanitize(said.text));
        if let Some(width) = self.width {
            let indent = columns(&out[start..text]);
            if let Cow::Owned(wrapped) = wrap(&out[start..], width, indent) {
                out.replace_range(start.., &wrapped);
            }
        }
        out.push('\n');
        self.previous = Some(at_ns);
    }
}

/// Who says or does what, and where.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// The topic.
    pub topic: Option<&'a str>,
    /// The sender's name.
    pub sender: Option<&'a str>,
    /// Whether the text is what the sender does.
    pub action: bool,
    /// The payload.
    pub text: &'a str,
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
                (0..3_i64, 0..3_i64, name(), name(), any::<bool>(), "\\PC{0,5}\n?"), 0..20,
            ),
            before: Option<i32>,
            color: bool,
            width in proptest::option::of(1..20_usize),
        ) {
            for timestamps in [Timestamps::None, Timestamps::Time, Timestamps::Iso, Timestamps::Delta] {
                let mut previous = before.map(i64::from);
                let mut lines = Lines::new(timestamps, color, width, previous);
                let mut found = String::new();
                let mut expected = String::new();
                for (seconds, micros, topic, sender, action, text) in &messages {
                    let at_ns = seconds * NANOS + micros * 1000;
                    let said = Said { topic: *topic, sender: *sender, action: *action, text };
                    lines.push(&mut found, at_ns, &said);
                    let local = local_time::at;
                    let line = Line {
                        at: local(at_ns),
                        previous: previous.map(local),
                        topic: *topic,
                        sender: *sender,
                        color_of: None,
                        action: *action,
                        text,
                    };
                    expected.push_str(&match width {
                        Some(width) => line::render_wrapped(&line, timestamps, color, width),
                        None => line::render(&line, timestamps, color),
                    });
                    expected.push('\n');
                    previous = Some(at_ns);
                }
                prop_assert_eq!(&found, &expected);
            }
        }
    }
}
