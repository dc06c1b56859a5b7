//! One message as one line of HTML for notebooks, with the text and colours of `line`.
//!
//! Invariant: whatever a message contains, the only markup is that of this module. The line must be in a
//! `<pre>`: elsewhere, notebooks typeset text between dollar signs as formulas.

use crate::render::line::{self, Line, Timestamps};
use crate::render::sanitize::sanitize;
use crate::render::style::hex_of;
use std::fmt::Write as _;

/// How many characters of a text are shown. A page becomes slow with millions of characters.
pub const MAX_SHOWN_CHARS: usize = 1_000;

/// How many bytes contain at least [`MAX_SHOWN_CHARS`] characters and a partial one.
pub const MAX_SHOWN_BYTES: usize = 4 * MAX_SHOWN_CHARS + 4;

const DIM: &str = "opacity:.65";

/// Renders a line, without a line break. A text longer than [`MAX_SHOWN_CHARS`] is cut, and the line then
/// ends with `bytes`, the size of the payload.
#[must_use]
pub fn render(line: &Line<'_>, timestamps: Timestamps, color: bool, bytes: usize) -> String {
    let mut out = String::with_capacity(line.text.len().min(MAX_SHOWN_BYTES) + 160);
    if let Some(time) = line::time(line, timestamps) {
        push_dim(&mut out, &format!("[{time}]"), color);
        out.push(' ');
    }
    line::push_names_by(&mut out, line, |out, name, key, beside| {
        // `<bdi>` confines the effect of right-to-left text.
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
        .nth(MAX_SHOWN_CHARS)
        .map_or(line.text, |(end, _)| &line.text[..end]);
    out.push_str("<bdi>");
    push_escaped(&mut out, &sanitize(shown));
    out.push_str("</bdi>");
    if shown.len() < line.text.len() {
        push_dim(&mut out, &format!("… ({bytes} bytes in total)"), color);
    }
    out
}

/// Appends `text`, escaped for elements and quoted attributes.
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

/// Joins rendered lines to one element, which is valid anywhere in a page.
#[must_use]
pub fn block<T: AsRef<str>>(lines: &[T]) -> String {
    // MathJax ignores both classes in every configuration, and `<pre>` in its default configuration.
    // JupyterLab, which defines `--jp-code-padding`, indents text output by 1ch; other notebooks do not.
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

fn push_dim(out: &mut String, text: &str, color: bool) {
    if color {
        push(out, format_args!("<span style=\"{DIM}\">{text}</span>"));
    } else {
        out.push_str(text);
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::wire::is_unprintable;
    use chrono::{DateTime, FixedOffset};
    use proptest::prelude::*;

    fn line<'a>(topic: Option<&'a str>, sender: Option<&'a str>, text: &'a str) -> Line<'a> {
        let received_at: DateTime<FixedOffset> =
            DateTime::parse_from_rfc3339("2026-01-31T12:03:11.000042+01:00").unwrap();
        Line {
            received_at,
            previous: None,
            topic,
            sender,
            color_key: None,
            action: false,
            text,
        }
    }

    #[test]
    fn html_has_the_text_of_a_line() {
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
    fn received_markup_is_escaped() {
        let text = "<script>alert(\"1\" && '2')</script>\n\u{202e}";
        let shown = render(&line(Some("<b>"), None, text), Timestamps::None, false, 0);
        assert_eq!(
            shown,
            "<bdi>&lt;b&gt;</bdi>: <bdi>&lt;script&gt;alert(&quot;1&quot; &amp;&amp; \
             &#39;2&#39;)&lt;/script&gt;\\n\\u202e</bdi>"
        );
    }

    #[test]
    fn a_long_text_is_cut_and_its_size_is_shown() {
        let whole = "é".repeat(MAX_SHOWN_CHARS);
        let shown = render(&line(None, None, &whole), Timestamps::None, true, 2_000);
        assert_eq!(shown, format!("<bdi>{whole}</bdi>"));
        let longer = format!("{whole}<");
        let shown = render(&line(None, None, &longer), Timestamps::None, false, 2_001);
        assert_eq!(shown, format!("<bdi>{whole}</bdi>… (2001 bytes in total)"));
    }

    proptest! {
        #[test]
        fn received_text_adds_no_markup(
            topic in proptest::option::of("(?s)(.|[<>&\"'\x1b\n]){0,12}"),
            sender in proptest::option::of("(?s)(.|[<>&\"'\u{202e}]){0,12}"),
            text in "(?s)(.|[<>&\"'\x1b\n\r\u{2028}\u{202e}]){0,40}",
        ) {
            let line = line(topic.as_deref(), sender.as_deref(), &text);
            let plain = render(&line, Timestamps::Time, false, 0);
            prop_assert!(!plain.contains(is_unprintable), "{:?}", plain);
            // Without the added markup, the text is that of a terminal.
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
            let styled = ["opacity:.65", ";font-weight:600"].iter().fold(colored, |text, style| text.replace(style, ""));
            prop_assert!(!styled.contains("<script"));
        }
    }
}
