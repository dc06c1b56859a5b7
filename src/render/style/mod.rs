//! The decision to use colour, and the colours.
//!
//! The crate `colored` decides once per process, for stdout. [`use_color`] decides for each sink. The
//! functions that style text therefore always do so: call them only if [`use_color`] returns true.

use crate::error::{Error, Result};
use colored::{Color, ColoredString, Colorize};
use std::sync::Once;

/// The user's choice: the argument `color=`, or `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ColorMode {
    /// The environment and the sink decide.
    #[default]
    Auto,
    /// Use colour.
    Always,
    /// Use no colour.
    Never,
}

impl ColorMode {
    /// Parses `"auto"`, `"always"` or `"never"`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err(Error::Value(format!(
                "invalid color {}: expected 'auto', 'always' or 'never'",
                crate::wire::quote(text)
            ))),
        }
    }
}

/// The destination of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sink {
    /// Whether the stream is a terminal (`isatty()`).
    pub terminal: bool,
    /// Whether the stream is shown by a Jupyter kernel.
    pub jupyter: bool,
}

/// Whether to use colour for `sink`. The first of these that applies decides: the argument, `NO_COLOR`
/// (<https://no-color.org>), `FORCE_COLOR` or `CLICOLOR_FORCE`, `TERM=dumb`, Jupyter, the terminal.
pub fn use_color(mode: ColorMode, sink: Sink, env: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let forced = |name: &str| set(name).is_some_and(|value| value != "0");
    match mode {
        ColorMode::Always => true,
        ColorMode::Never => false,
        ColorMode::Auto if set("NO_COLOR").is_some() => false,
        ColorMode::Auto if forced("FORCE_COLOR") || forced("CLICOLOR_FORCE") => true,
        ColorMode::Auto if set("TERM").as_deref() == Some("dumb") => false,
        ColorMode::Auto => sink.jupyter || sink.terminal,
    }
}

/// Twelve of xterm's 256 colours, with a contrast of at least 3 on black and on white. Any two differ by
/// a ΔE of at least 15 (CIE 1976) in normal, protanopic and deuteranopic vision.
///
/// A search through the 6 by 6 by 6 cube found 917 such sets. This set has the largest minimum distance in
/// normal vision (22). The tests compute these figures.
const PALETTE: [u8; 12] = [138, 25, 60, 93, 64, 99, 196, 137, 105, 59, 139, 104];

/// The colour of `key`, a topic or a name. It is the same in every process. Next to a topic `beside` of the
/// same colour, `key` has another colour, which depends only on the pair.
fn color_of(key: &str, beside: Option<&str>) -> u8 {
    let mut index = index_of(key);
    if beside.is_some_and(|topic| index_of(topic) == index) {
        index = (index + 1) % PALETTE.len();
    }
    PALETTE[index]
}

fn index_of(key: &str) -> usize {
    // The remainder is less than the length of the palette.
    #[allow(clippy::cast_possible_truncation)]
    let index = (fnv1a(key.as_bytes()) % PALETTE.len() as u64) as usize;
    index
}

/// The colour of `key` next to the topic `beside`, in HTML notation: `#5f87d7`.
#[must_use]
pub fn hex_of(key: &str, beside: Option<&str>) -> String {
    let [red, green, blue] = rgb(color_of(key, beside));
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// The RGB values of a colour in the 6 by 6 by 6 cube, as xterm defines them (256colres.pl).
fn rgb(code: u8) -> [u8; 3] {
    let code = code - 16;
    [code / 36, code / 6 % 6, code % 6].map(|step| if step == 0 { 0 } else { 55 + 40 * step })
}

/// The FNV-1a hash with 64 bits (RFC 9923).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Colours `text` with the colour of `key`.
#[must_use]
pub fn paint(text: &str, key: &str) -> String {
    paint_beside(text, key, None)
}

/// Colours `text` with the colour of `key`, which differs from the colour of the topic `beside`.
#[must_use]
pub fn paint_beside(text: &str, key: &str, beside: Option<&str>) -> String {
    styled(&text.color(Color::AnsiColor(color_of(key, beside))))
}

/// Dims `text`.
#[must_use]
pub fn dim(text: &str) -> String {
    styled(&text.dimmed())
}

/// Makes `text` bold.
#[must_use]
pub fn bold(text: &str) -> String {
    styled(&text.bold())
}

fn styled(text: &ColoredString) -> String {
    static OVERRIDE: Once = Once::new();
    OVERRIDE.call_once(|| colored::control::set_override(true));
    text.to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
