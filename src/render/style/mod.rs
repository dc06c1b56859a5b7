//! Whether to colour, and which colour.
//!
//! `colored` decides once a process, from the real stdout; our decision is made for each sink. So its
//! override is set once, and these functions always style: call them only where [`decide`] says so.

use crate::error::{Error, Result};
use colored::{Color, ColoredString, Colorize};
use std::sync::Once;

/// What the user asked for: the argument `color=`, or `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ColorMode {
    /// As the environment and the sink suggest.
    #[default]
    Auto,
    /// On.
    Always,
    /// Off.
    Never,
}

impl ColorMode {
    /// Reads `"auto"`, `"always"` or `"never"`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err(Error::Value(format!(
                "color is 'auto', 'always' or 'never', not {}",
                crate::wire::quote(text)
            ))),
        }
    }
}

/// Where the text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sink {
    /// The stream's own `isatty()`.
    pub terminal: bool,
    /// A Jupyter kernel shows what the stream gets.
    pub jupyter: bool,
}

/// Whether to colour what goes to `sink`. The first of these that has an opinion decides: the
/// argument, `NO_COLOR` (<https://no-color.org>), `FORCE_COLOR` or `CLICOLOR_FORCE`, `TERM=dumb`,
/// Jupyter, the terminal.
pub fn decide(choice: ColorMode, sink: Sink, env: impl Fn(&str) -> Option<String>) -> bool {
    let given = |name: &str| env(name).filter(|value| !value.is_empty());
    let forced = |name: &str| given(name).is_some_and(|value| value != "0");
    match choice {
        ColorMode::Always => true,
        ColorMode::Never => false,
        ColorMode::Auto if given("NO_COLOR").is_some() => false,
        ColorMode::Auto if forced("FORCE_COLOR") || forced("CLICOLOR_FORCE") => true,
        ColorMode::Auto if given("TERM").as_deref() == Some("dumb") => false,
        ColorMode::Auto => sink.jupyter || sink.terminal,
    }
}

/// Twelve of xterm's 256 colours, legible on black and on white: a contrast of 3 or more on both. Any
/// two differ by a ΔE of 15 or more (CIE 1976) for normal, protanopic and deuteranopic vision.
///
/// They were found by search through the 6 by 6 by 6 cube: 917 sets of twelve fulfil this, and this
/// one also has the widest distance in normal vision (22). The tests compute all of these figures.
const PALETTE: [u8; 12] = [138, 25, 60, 93, 64, 99, 196, 137, 105, 59, 139, 104];

/// The colour that belongs to `key`, a topic or a name: the same everywhere, in every run. Next to the
/// topic `beside` a key of the same colour gets another one, the same for each such pair.
fn color_of(key: &str, beside: Option<&str>) -> u8 {
    let mut index = index_of(key);
    if beside.is_some_and(|topic| index_of(topic) == index) {
        index = (index + 1) % PALETTE.len();
    }
    PALETTE[index]
}

fn index_of(key: &str) -> usize {
    // The remainder is below the palette's length, so it fits either way.
    #[allow(clippy::cast_possible_truncation)]
    let index = (fnv1a(key.as_bytes()) % PALETTE.len() as u64) as usize;
    index
}

/// The colour of `key` next to the topic `beside`, as HTML names it: `#5f87d7`.
#[must_use]
pub fn hex_of(key: &str, beside: Option<&str>) -> String {
    let [red, green, blue] = rgb(color_of(key, beside));
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A colour of the 6 by 6 by 6 cube of the 256 colours, as xterm has it (256colres.pl).
fn rgb(code: u8) -> [u8; 3] {
    let code = code - 16;
    [code / 36, code / 6 % 6, code % 6].map(|step| if step == 0 { 0 } else { 55 + 40 * step })
}

/// FNV-1a with 64 bits (RFC 9923).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// `text` in the colour of `key`.
#[must_use]
pub fn paint(text: &str, key: &str) -> String {
    paint_beside(text, key, None)
}

/// `text` in the colour of `key`, which is never the colour of the topic `beside`.
#[must_use]
pub fn paint_beside(text: &str, key: &str, beside: Option<&str>) -> String {
    styled(&text.color(Color::AnsiColor(color_of(key, beside))))
}

/// `text`, dimmed.
#[must_use]
pub fn dim(text: &str) -> String {
    styled(&text.dimmed())
}

/// `text` in bold.
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
