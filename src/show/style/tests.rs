//! The order of the colour decision, and a palette that can be told apart.

use super::*;

fn decided(choice: Choice, sink: Sink, variables: &[(&str, &str)]) -> bool {
    decide(choice, sink, |name| {
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
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
fn the_first_with_an_opinion_decides() {
    let all = [
        ("NO_COLOR", "1"),
        ("FORCE_COLOR", "1"),
        ("CLICOLOR_FORCE", "1"),
        ("TERM", "dumb"),
    ];
    assert!(decided(Choice::Always, PIPE, &all));
    assert!(!decided(Choice::Never, TERMINAL, &all[1..3]));
    assert!(!decided(Choice::Auto, TERMINAL, &all));
    assert!(decided(Choice::Auto, PIPE, &all[1..]));
    assert!(decided(Choice::Auto, PIPE, &all[2..]));
    assert!(!decided(Choice::Auto, TERMINAL, &all[3..]));
    assert!(!decided(Choice::Auto, JUPYTER, &all[3..]));
    assert!(decided(Choice::Auto, JUPYTER, &[]));
    assert!(decided(Choice::Auto, TERMINAL, &[("TERM", "xterm")]));
    assert!(!decided(Choice::Auto, PIPE, &[]));
}

#[test]
fn empty_and_zero_are_no_opinion() {
    assert!(decided(Choice::Auto, TERMINAL, &[("NO_COLOR", "")]));
    for name in ["FORCE_COLOR", "CLICOLOR_FORCE"] {
        for value in ["", "0"] {
            assert!(!decided(Choice::Auto, PIPE, &[(name, value)]));
            assert!(decided(Choice::Auto, TERMINAL, &[(name, value)]));
        }
    }
}

#[test]
fn choices_are_read() {
    assert_eq!(Choice::parse("auto"), Ok(Choice::Auto));
    assert_eq!(Choice::parse("always"), Ok(Choice::Always));
    assert_eq!(Choice::parse("never"), Ok(Choice::Never));
    let text = Choice::parse("yes").unwrap_err().to_string();
    assert_eq!(text, "color is 'auto', 'always' or 'never', not 'yes'");
}

#[test]
fn the_hash_is_the_published_one() {
    // Test vectors of RFC 9923, appendix C.
    assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
}

#[test]
fn a_key_keeps_its_colour() {
    let seen: std::collections::BTreeSet<String> =
        (0..50).map(|n| paint("x", &format!("room{n}"))).collect();
    assert_eq!(seen.len(), PALETTE.len());
    // Changing a colour that people know is a change to announce.
    assert_eq!(paint("x", "room1"), "\x1b[38;5;68mx\x1b[0m");
    assert_eq!(dim("x"), "\x1b[2mx\x1b[0m");
    assert_eq!(bold("x"), "\x1b[1mx\x1b[0m");
}

#[test]
fn html_has_the_same_colours() {
    // xterm's 172, 68, 35, 24, 160 and 139.
    let known = [
        "#d78700", "#5f87d7", "#00af5f", "#005f87", "#d70000", "#af87af",
    ];
    let seen: std::collections::BTreeSet<String> =
        (0..50).map(|n| hex_of(&format!("room{n}"))).collect();
    assert_eq!(seen, known.map(str::to_owned).into());
    assert_eq!(hex_of("room1"), "#5f87d7");
}

type Rgb = [f64; 3];

/// A colour of the 6 by 6 by 6 cube, as linear light.
fn linear(code: u8) -> Rgb {
    let code = code - 16;
    [code / 36, code / 6 % 6, code % 6].map(|step| {
        let level = [0.0, 95.0, 135.0, 175.0, 215.0, 255.0][usize::from(step)] / 255.0;
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
fn every_colour_stands_out_on_white_and_on_black() {
    for code in PALETTE {
        let [r, g, b] = linear(code);
        let luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        // WCAG 2.2, contrast ratio; 3 is what it asks of large text and signs.
        assert!(1.05 / (luminance + 0.05) > 2.8, "{code} on white");
        assert!((luminance + 0.05) / 0.05 > 2.8, "{code} on black");
    }
}

#[test]
fn colour_blind_people_tell_any_two_apart() {
    // Full deficiency after Machado, Oliveira & Fernandes (2009), doi:10.1109/TVCG.2009.113.
    let eyes = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ],
        [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ],
        [
            [1.255_528, -0.076_749, -0.178_779],
            [-0.078_411, 0.930_809, 0.147_602],
            [0.004_733, 0.691_367, 0.303_900],
        ],
    ];
    for eye in eyes {
        for (n, one) in PALETTE.iter().enumerate() {
            for other in &PALETTE[n + 1..] {
                let [one_lab, other_lab] = [one, other].map(|code| lab(times(eye, linear(*code))));
                let square: f64 = one_lab
                    .iter()
                    .zip(other_lab)
                    .map(|(p, q)| (p - q).powi(2))
                    .sum();
                // The original palette's six hues come as near as 16.
                assert!(square.sqrt() > 16.0, "{one} and {other}: {}", square.sqrt());
            }
        }
    }
}
