//! Many messages as lines. The result is that of [`line::render`], but the parts that consecutive lines
//! have in common are rendered once.

use crate::render::line::{self, Line, Timestamps};
use crate::render::sanitize::sanitize;
use crate::render::wrap::{columns, wrap};
use crate::util::local_time;
use std::borrow::Cow;

const NANOS: i64 = 1_000_000_000;

/// Renders consecutive lines.
#[derive(Debug)]
pub struct LineBatch {
    timestamps: Timestamps,
    color: bool,
    /// The columns of the terminal; `None` does not wrap lines.
    width: Option<usize>,
    /// When the message of the previous line was received.
    previous_ns: Option<i64>,
    /// The time of the previous line: its key (see [`Self::push`]) and its text.
    time: (Option<i64>, String),
    names: Names,
}

impl LineBatch {
    /// Lines after a message of the time `previous_ns`, in nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn new(
        timestamps: Timestamps,
        color: bool,
        width: Option<usize>,
        previous_ns: Option<i64>,
    ) -> Self {
        Self {
            timestamps,
            color,
            width,
            previous_ns,
            time: (None, String::new()),
            names: Names::default(),
        }
    }

    /// Appends a line, with a line break.
    pub fn push(&mut self, out: &mut String, received_ns: i64, content: &LineContent<'_>) {
        // Lines with the same key show the same time. `None` is never equal.
        let time_key = match self.timestamps {
            Timestamps::None => Some(0),
            Timestamps::Time => Some(received_ns.div_euclid(NANOS)),
            Timestamps::Iso => Some(received_ns),
            Timestamps::Delta => None,
        };
        let line = || Line {
            received_at: local_time::at(received_ns),
            previous: self.previous_ns.map(local_time::at),
            topic: content.topic,
            sender: content.sender,
            color_key: None,
            action: content.action,
            text: "",
        };
        if time_key.is_none() || time_key != self.time.0 {
            let mut text = String::new();
            line::push_time(&mut text, &line(), self.timestamps, self.color);
            self.time = (time_key, text);
        }
        if !self.names.are_those_of(content) {
            let mut text = String::new();
            line::push_names(&mut text, &line(), self.color);
            self.names = Names {
                topic: content.topic.map(str::to_owned),
                sender: content.sender.map(str::to_owned),
                action: content.action,
                text,
            };
        }
        let start = out.len();
        out.push_str(&self.time.1);
        out.push_str(&self.names.text);
        let text_start = out.len();
        out.push_str(&sanitize(content.text));
        if let Some(width) = self.width {
            let indent = columns(&out[start..text_start]);
            if let Cow::Owned(wrapped) = wrap(&out[start..], width, indent) {
                out.replace_range(start.., &wrapped);
            }
        }
        out.push('\n');
        self.previous_ns = Some(received_ns);
    }
}

/// The names of the previous line, and their text.
#[derive(Debug, Default)]
struct Names {
    topic: Option<String>,
    sender: Option<String>,
    action: bool,
    text: String,
}

impl Names {
    fn are_those_of(&self, content: &LineContent<'_>) -> bool {
        self.topic.as_deref() == content.topic
            && self.sender.as_deref() == content.sender
            && self.action == content.action
    }
}

/// The content of a line, except its time.
#[derive(Debug, Clone, Copy)]
pub struct LineContent<'a> {
    /// The topic.
    pub topic: Option<&'a str>,
    /// The sender's name.
    pub sender: Option<&'a str>,
    /// Whether the text is an action of the sender.
    pub action: bool,
    /// The payload as text.
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
        fn each_line_of_a_batch_is_that_of_render(
            messages in proptest::collection::vec(
                (0..3_i64, 0..3_i64, name(), name(), any::<bool>(), "\\PC{0,5}\n?"), 0..20,
            ),
            before: Option<i32>,
            color: bool,
            width in proptest::option::of(1..20_usize),
        ) {
            for timestamps in [Timestamps::None, Timestamps::Time, Timestamps::Iso, Timestamps::Delta] {
                let mut previous = before.map(i64::from);
                let mut lines = LineBatch::new(timestamps, color, width, previous);
                let mut actual = String::new();
                let mut expected = String::new();
                for (seconds, micros, topic, sender, action, text) in &messages {
                    let received_ns = seconds * NANOS + micros * 1000;
                    let content = LineContent { topic: *topic, sender: *sender, action: *action, text };
                    lines.push(&mut actual, received_ns, &content);
                    let line = Line {
                        received_at: local_time::at(received_ns),
                        previous: previous.map(local_time::at),
                        topic: *topic,
                        sender: *sender,
                        color_key: None,
                        action: *action,
                        text,
                    };
                    expected.push_str(&match width {
                        Some(width) => line::render_wrapped(&line, timestamps, color, width),
                        None => line::render(&line, timestamps, color),
                    });
                    expected.push('\n');
                    previous = Some(received_ns);
                }
                prop_assert_eq!(&actual, &expected);
            }
        }
    }
}
