//! One message as one line of HTML, for notebooks: the words and colours of `line`.
//!
//! The invariant: whatever a stranger sends, the only markup in it is ours. The line belongs into a
//! `<pre>`: elsewhere notebooks typeset what stands between dollar signs, links included.

use crate::render::line::{self, Line, Timestamps};
use crate::render::sanitize::sanitize;
use crate::render::style::hex_of;
use std::fmt::Write as _;

/// How many characters of a text are shown: a page draws thousands with ease, and no millions.
pub const SHOWN_CHARS: usize = 1_000;

/// So many bytes hold that many characters, whatever they are.
pub const SHOWN_BYTES: usize = 4 * SHOWN_CHARS + 4;

const DIM: &str = "opacity:.65";

/// The finished line, without a line break at its end; its text is cut at [`SHOWN_CHARS`].
///
/// `bytes` is the size of the whole payload, told where it was cut.
#[must_use]
pub fn render(line: &Line<'_>, timestamps: Timestamps, color: bool, bytes: usize) -> String {
    let mut out = String::with_capacity(line.text.len().min(SHOWN_BYTES) + 160);
    if let Some(time) = line::time(line, timestamps) {
        push_dim(&mut out, &format!("[{time}]"), color);
        out.push(' ');
    }
    line::push_names_by(&mut out, line, |out, name, key, beside| {
        // Right-to-left names and texts turn nothing around but themselves.
        out.push_str("<bdi");
        if color {
            let hex = hex_of(key, beside);
            push(out, format_args!(" style=\"color:{hex};font-weight:600\""));
        }
        out.push('>');
        push_escaped(out, &sanitize(name));
        out.push_str("</bdi>");
    });
    let shown = line
        .text
        .char_indices()
        .nth(SHOWN_CHARS)
        .map_or(line.text, |(end, _)| &line.text[..end]);
    out.push_str("<bdi>");
    push_escaped(&mut out, &sanitize(shown));
    out.push_str("</bdi>");
    if shown.len() < line.text.len() {
        push_dim(&mut out, &format!("… ({bytes} bytes in all)"), color);
    }
    out
}

/// `text` as HTML shows it, in elements and in quoted attributes.
pub fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
}

/// Finished lines as one element, which can stand anywhere.
#[must_use]
pub fn block<T: AsRef<str>>(lines: &[T]) -> String {
    // MathJax passes `<pre>` by in its default configuration, and both classes in any. JupyterLab, whose
    // variable `--jp-code-padding` is, indents text output by 1ch; other notebooks do not.
    let mut out = String::from(
        "<pre class=\"mathjax_ignore tex2jax_ignore\" style=\"margin:0;padding:0 0 0 min(1ch,calc(9*var(--jp-code-padding,0px)));border:0;background:none;\
         color:inherit;white-space:pre-wrap;overflow:visible;overflow-wrap:anywhere;font-size:var(--jp-code-font-size,13px);\
         line-height:1.45;font-family:var(--jp-code-font-family,var(--vscode-editor-font-family,monospace))\">",
    );
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        out.push_str(line.as_ref());
    }
    out.push_str("</pre>");
    out
}

fn push_dim(out: &mut String, ours: &str, color: bool) {
    if color {
        push(out, format_args!("<span style=\"{DIM}\">{ours}</span>"));
    } else {
        out.push_str(ours);
    }
}

fn push(out: &mut String, what: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(what);
    debug_assert!(written.is_ok(), "a String takes everything");
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::wire::is_unprintable;
    use chrono::{DateTime, FixedOffset};
    use proptest::prelude::*;

    fn line<'a>(topic: Option<&'a str>, sender: Option<&'a str>, text: &'a str) -> Line<'a> {
        let at: DateTime<FixedOffset> =
            DateTime::parse_from_rfc3339("2026-01-31T12:03:11.000042+01:00").unwrap();
        Line {
            at,
            previous: None,
            topic,
            sender,
            color_of: None,
            action: false,
            text,
        }
    }

    #[test]
    fn the_words_are_those_of_a_line() {
        let hello = line(Some("room1"), Some("alice"), "Hello");
        assert_eq!(
            render(&hello, Timestamps::Time, true, 5),
            "<span style=\"opacity:.65\">[12:03:11]</span> \
             <bdi style=\"color:#005faf;font-weight:600\">room1</bdi> \
             <bdi style=\"color:#8787d7;font-weight:600\">alice</bdi>: <bdi>Hello</bdi>"
        );
        assert_eq!(
            render(&hello, Timestamps::Time, false, 5),
            "[12:03:11] <bdi>room1</bdi> <bdi>alice</bdi>: <bdi>Hello</bdi>"
        );
        assert_eq!(
            render(&line(None, Some(""), "Hi"), Timestamps::None, true, 2),
            "<bdi>Hi</bdi>"
        );
    }

    #[test]
    fn markup_of_a_stranger_is_text() {
        let text = "<script>alert(\"1\" && '2')</script>\n\u{202e}";
        let shown = render(&line(Some("<b>"), None, text), Timestamps::None, false, 0);
        assert_eq!(
            shown,
            "<bdi>&lt;b&gt;</bdi>: <bdi>&lt;script&gt;alert(&quot;1&quot; &amp;&amp; \
             &#39;2&#39;)&lt;/script&gt;\\n\\u202e</bdi>"
        );
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let whole = "é".repeat(SHOWN_CHARS);
        let shown = render(&line(None, None, &whole), Timestamps::None, true, 2_000);
        assert_eq!(shown, format!("<bdi>{whole}</bdi>"));
        let longer = format!("{whole}<");
        let shown = render(&line(None, None, &longer), Timestamps::None, false, 2_001);
        assert_eq!(shown, format!("<bdi>{whole}</bdi>… (2001 bytes in all)"));
    }

    proptest! {
        #[test]
        fn the_only_markup_is_ours(
            topic in proptest::option::of("(?s)(.|[<>&\"'\x1b\n]){0,12}"),
            sender in proptest::option::of("(?s)(.|[<>&\"'\u{202e}]){0,12}"),
            text in "(?s)(.|[<>&\"'\x1b\n\r\u{2028}\u{202e}]){0,40}",
        ) {
            let line = line(topic.as_deref(), sender.as_deref(), &text);
            let plain = render(&line, Timestamps::Time, false, 0);
            prop_assert!(!plain.contains(is_unprintable), "{:?}", plain);
            // Taking away what we put in leaves no markup, and as text it is what a terminal shows.
            let bare = plain.replace("<bdi>", "").replace("</bdi>", "");
            prop_assert!(!bare.contains(['<', '>', '"', '\'']), "{:?}", bare);
            let read = bare
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&quot;", "\"")
                .replace("&#39;", "'")
                .replace("&amp;", "&");
            prop_assert_eq!(read, line::render(&line, Timestamps::Time, false));
            let colored = render(&line, Timestamps::Time, true, 0);
            prop_assert!(!colored.contains(is_unprintable));
            let styled = ["opacity:.65", ";font-weight:600"].iter().fold(colored, |text, ours| text.replace(ours, ""));
            prop_assert!(!styled.contains("<script"));
        }
    }
}
