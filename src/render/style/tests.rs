//! The decision to use colour, and the differences between the colours.

use crate::render::style::*;

fn decide(mode: ColorMode, sink: Sink, variables: &[(&str, &str)]) -> bool {
    use_color(mode, sink, |name| {
        let variable = variables.iter().find(|(key, _)| *key == name);
        variable.map(|(_, value)| (*value).to_owned())
    })
}

const PIPE: Sink = Sink {
    terminal: false,
    jupyter: false,
};
const TERMINAL: Sink = Sink {
    terminal: true,
    jupyter: false,
};
const JUPYTER: Sink = Sink {
    terminal: false,
    jupyter: true,
};

#[test]
fn the_first_setting_that_applies_decides() {
    let all = [
        ("NO_COLOR", "1"),
        ("FORCE_COLOR", "1"),
        ("CLICOLOR_FORCE", "1"),
        ("TERM", "dumb"),
    ];
    assert!(decide(ColorMode::Always, PIPE, &all));
    assert!(!decide(ColorMode::Never, TERMINAL, &all[1..3]));
    assert!(!decide(ColorMode::Auto, TERMINAL, &all));
    assert!(decide(ColorMode::Auto, PIPE, &all[1..]));
    assert!(decide(ColorMode::Auto, PIPE, &all[2..]));
    assert!(!decide(ColorMode::Auto, TERMINAL, &all[3..]));
    assert!(!decide(ColorMode::Auto, JUPYTER, &all[3..]));
    assert!(decide(ColorMode::Auto, JUPYTER, &[]));
    assert!(decide(ColorMode::Auto, TERMINAL, &[("TERM", "xterm")]));
    assert!(!decide(ColorMode::Auto, PIPE, &[]));
}

#[test]
fn empty_and_zero_variables_do_not_apply() {
    assert!(decide(ColorMode::Auto, TERMINAL, &[("NO_COLOR", "")]));
    for name in ["FORCE_COLOR", "CLICOLOR_FORCE"] {
        for value in ["", "0"] {
            assert!(!decide(ColorMode::Auto, PIPE, &[(name, value)]));
            assert!(decide(ColorMode::Auto, TERMINAL, &[(name, value)]));
        }
    }
}

#[test]
fn color_modes_are_parsed() {
    assert_eq!(ColorMode::parse("auto"), Ok(ColorMode::Auto));
    assert_eq!(ColorMode::parse("always"), Ok(ColorMode::Always));
    assert_eq!(ColorMode::parse("never"), Ok(ColorMode::Never));
    let text = ColorMode::parse("yes").unwrap_err().to_string();
    assert_eq!(
        text,
        "invalid color 'yes': expected 'auto', 'always' or 'never'"
    );
}

#[test]
fn the_hash_is_fnv_1a() {
    // Test vectors of RFC 9923, appendix C.
    assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
}

#[test]
fn a_key_keeps_its_colour() {
    let seen: std::collections::BTreeSet<String> =
        (0..100).map(|n| paint("x", &format!("room{n}"))).collect();
    assert_eq!(seen.len(), PALETTE.len());
    // A change of these colours is visible to users and belongs in the changelog.
    assert_eq!(paint("x", "room1"), "\x1b[38;5;25mx\x1b[0m");
    assert_eq!(paint("x", "room2"), "\x1b[38;5;64mx\x1b[0m");
    assert_eq!(dim("x"), "\x1b[2mx\x1b[0m");
    assert_eq!(bold("x"), "\x1b[1mx\x1b[0m");
}

#[test]
fn a_name_never_has_the_colour_of_the_topic_beside_it() {
    let topics: Vec<String> = (0..100).map(|n| format!("room{n}")).collect();
    let mut moved = 0;
    for topic in &topics {
        assert_ne!(color_of(topic, Some(topic)), color_of(topic, None));
        for name in ["alice", "bob", "chloe"] {
            let beside = color_of(name, Some(topic));
            assert_ne!(beside, color_of(topic, None), "{name} in {topic}");
            moved += usize::from(beside != color_of(name, None));
        }
    }
    // Most names keep their colour.
    assert!((1..75).contains(&moved), "{moved}");
}

#[test]
fn html_has_the_same_colours() {
    // The colours 138, 25, 60, 93, 64, 99, 196, 137, 105, 59, 139 and 104 of xterm's table.
    let known = [
        "#af8787", "#005faf", "#5f5f87", "#8700ff", "#5f8700", "#875fff", "#ff0000", "#af875f",
        "#8787ff", "#5f5f5f", "#af87af", "#8787d7",
    ];
    let seen: std::collections::BTreeSet<String> = (0..100)
        .map(|n| hex_of(&format!("room{n}"), None))
        .collect();
    assert_eq!(seen, known.map(str::to_owned).into());
    assert_eq!(hex_of("room1", None), "#005faf");
    assert_ne!(hex_of("room1", Some("room1")), "#005faf");
}

type Rgb = [f64; 3];

/// The linear light of a colour: the transfer function of sRGB (IEC 61966-2-1).
fn linear(code: u8) -> Rgb {
    rgb(code).map(|byte| {
        let level = f64::from(byte) / 255.0;
        if level <= 0.04045 {
            level / 12.92
        } else {
            f64::powf((level + 0.055) / 1.055, 2.4)
        }
    })
}

fn times(matrix: [Rgb; 3], rgb: Rgb) -> Rgb {
    matrix.map(|row| row.iter().zip(rgb).map(|(m, c)| m * c).sum())
}

/// CIE 1976 L*a*b* with the white of sRGB.
fn lab(rgb: Rgb) -> Rgb {
    let to_xyz = [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ];
    let [x, y, z] = times(to_xyz, rgb.map(|c| c.clamp(0.0, 1.0)));
    let [x, y, z] = [x / 0.950_47, y, z / 1.088_83].map(|t| {
        if t > 0.008_856 {
            t.cbrt()
        } else {
            7.787 * t + 16.0 / 116.0
        }
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

#[test]
fn every_colour_is_legible_on_white_and_on_black() {
    for code in PALETTE {
        let [r, g, b] = linear(code);
        let luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        // The contrast ratio of WCAG 2.2, which requires 3 for large text and graphics.
        assert!(1.05 / (luminance + 0.05) >= 3.0, "{code} on white");
        assert!((luminance + 0.05) / 0.05 >= 3.0, "{code} on black");
    }
}

/// The smallest ΔE (CIE 1976) between two colours of the palette, and these colours.
fn smallest_difference(vision: [Rgb; 3]) -> (f64, u8, u8) {
    let mut smallest = (f64::INFINITY, 0, 0);
    for (n, one) in PALETTE.iter().enumerate() {
        for other in &PALETTE[n + 1..] {
            let [one_lab, other_lab] = [one, other].map(|code| lab(times(vision, linear(*code))));
            let squares = one_lab.iter().zip(other_lab).map(|(p, q)| (p - q).powi(2));
            let difference = squares.sum::<f64>().sqrt();
            if difference < smallest.0 {
                smallest = (difference, *one, *other);
            }
        }
    }
    smallest
}

#[test]
fn any_two_colours_differ_with_and_without_colour_blindness() {
    // Complete deficiency, by Machado, Oliveira & Fernandes (2009), doi:10.1109/TVCG.2009.113.
    let visions = [
        (
            "normal",
            22.0,
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        ),
        (
            "protanopic",
            15.0,
            [
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ],
        ),
        (
            "deuteranopic",
            15.0,
            [
                [0.367_322, 0.860_646, -0.227_968],
                [0.280_085, 0.672_501, 0.047_413],
                [-0.011_820, 0.042_940, 0.968_881],
            ],
        ),
    ];
    for (name, least, vision) in visions {
        let (difference, one, other) = smallest_difference(vision);
        assert!(
            difference >= least,
            "{name}: {one} and {other} differ by {difference:.1}"
        );
    }
}

#[test]
fn the_lab_values_are_those_of_a_reference() {
    // Lab values of the sRGB primaries under D65, from Lindbloom's calculator (brucelindbloom.com).
    for (rgb, expected) in [
        ([1.0, 0.0, 0.0], [53.24, 80.09, 67.20]),
        ([0.0, 1.0, 0.0], [87.73, -86.18, 83.18]),
        ([0.0, 0.0, 1.0], [32.30, 79.19, -107.86]),
        ([1.0, 1.0, 1.0], [100.0, 0.0, 0.0]),
    ] {
        for (actual, known) in lab(rgb).into_iter().zip(expected) {
            assert!(
                (actual - known).abs() < 0.1,
                "{rgb:?}: {actual} and {known}"
            );
        }
    }
}
