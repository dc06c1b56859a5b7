//! The time in a line: `2026-01-31T12:03:11.000042+01:00`.
//!
//! chrono's general formatting takes longer than the rest of the line, and a line is written for every
//! message, so this module does not use it. The calendar follows Howard Hinnant, "chrono-Compatible
//! Low-Level Date Algorithms" (<https://howardhinnant.github.io/date_algorithms.html>).

use crate::util::local_time;

const NANOS: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// The offset of local time from UTC at a time: whole minutes, in seconds.
pub(crate) fn offset(at_ns: i64) -> i64 {
    // The format has no seconds in the offset, which some historical zones have. Any offset is correct
    // if the time is computed with it.
    i64::from(local_time::offset(at_ns)) / 60 * 60
}

/// Appends a time, at `offset` seconds from UTC, in microseconds. With `exact` it is in nanoseconds if
/// microseconds would lose digits.
pub(crate) fn push(out: &mut Vec<u8>, at_ns: i64, offset: i64, exact: bool) {
    let seconds = at_ns.div_euclid(NANOS) + offset;
    let nanos = at_ns.rem_euclid(NANOS);
    let (year, month, day) = civil(seconds.div_euclid(SECONDS_PER_DAY));
    let second = seconds.rem_euclid(SECONDS_PER_DAY);
    digits(out, year, 4);
    out.push(b'-');
    digits(out, month, 2);
    out.push(b'-');
    digits(out, day, 2);
    out.push(b'T');
    digits(out, second / 3600, 2);
    out.push(b':');
    digits(out, second / 60 % 60, 2);
    out.push(b':');
    digits(out, second % 60, 2);
    out.push(b'.');
    if exact && nanos % 1000 != 0 {
        digits(out, nanos, 9);
    } else {
        digits(out, nanos / 1000, 6);
    }
    out.push(if offset < 0 { b'-' } else { b'+' });
    let offset = offset.abs();
    digits(out, offset / 3600, 2);
    out.push(b':');
    digits(out, offset / 60 % 60, 2);
}

/// Appends a number with `count` digits.
fn digits(out: &mut Vec<u8>, mut number: i64, count: usize) {
    let start = out.len();
    out.resize(start + count, b'0');
    for byte in out[start..].iter_mut().rev() {
        // One digit.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        {
            *byte = b'0' + (number % 10) as u8;
        }
        number /= 10;
    }
}

/// Year, month and day, `days` after 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The number of days from 1970-01-01 to a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Parses a time of [`push`], in nanoseconds since 1970. Also accepts 0 to 9 digits after the second,
/// and `Z` for UTC.
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    let (fixed, mut rest) = text.split_at_checked(19)?;
    let number = |range: std::ops::Range<usize>| read(&fixed[range]);
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, byte)| fixed[*at] != *byte) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let day_number = days(year, month, day);
    if civil(day_number) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = fraction
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if !(1..=9).contains(&count) {
            return None;
        }
        nanos = read(&fraction[..count])? * 10_i64.pow(9 - u32::try_from(count).ok()?);
        rest = &fraction[count..];
    }
    let offset = match rest {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (read(&[*h1, *h2])?, read(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let seconds = day_number * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - offset;
    i64::try_from(i128::from(seconds) * i128::from(NANOS) + i128::from(nanos)).ok()
}

/// A number of at most 18 digits.
fn read(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + i64::from(byte - b'0'))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chrono::{DateTime, FixedOffset, SecondsFormat};
    use proptest::prelude::*;

    fn written(at_ns: i64, offset: i64, exact: bool) -> String {
        let mut out = Vec::new();
        push(&mut out, at_ns, offset, exact);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nanoseconds_are_written_if_they_are_not_zero() {
        let at = parse(b"2026-01-31T12:03:11.000042+01:00").unwrap();
        assert_eq!(written(at, 3600, true), "2026-01-31T12:03:11.000042+01:00");
        assert_eq!(
            written(at + 7, -19_800, true),
            "2026-01-31T05:33:11.000042007-05:30"
        );
        assert_eq!(
            written(at + 7, 0, false),
            "2026-01-31T11:03:11.000042+00:00"
        );
        assert_eq!(parse(b"2026-01-31T11:03:11.000042Z"), Some(at));
        assert_eq!(parse(b"2026-01-31T11:03:11Z"), Some(at - 42_000));
    }

    #[test]
    fn an_invalid_time_is_rejected() {
        for text in [
            "",
            "2026-01-31",
            "2026-01-31T12:03:11",
            "2026-01-31T12:03:11.+01:00",
            "2026-01-31T12:03:11.0000000000Z",
            "2026-01-31 12:03:11Z",
            "2026-02-29T12:03:11Z",
            "2026-00-01T12:03:11Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:60:00Z",
            "2026-01-31T12:03:60Z",
            "2026-01-31T12:03:11Zx",
            "2026-01-31T12:03:11+0100",
            "2026-01-31T12:03:11+24:00",
            "1600-01-31T12:03:11Z",
            "9999-12-31T12:03:11Z",
            "2026-é1-31T12:03:11Z",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_is_written_as_chrono_does_and_is_read_back(at_ns: i64, minutes in -1439_i32..1440) {
            let offset = i64::from(minutes) * 60;
            let text = written(at_ns, offset, true);
            prop_assert_eq!(parse(text.as_bytes()), Some(at_ns));
            let zone = FixedOffset::east_opt(minutes * 60).unwrap();
            let chrono: DateTime<FixedOffset> = DateTime::from_timestamp_nanos(at_ns).with_timezone(&zone);
            prop_assert_eq!(
                written(at_ns, offset, false),
                chrono.to_rfc3339_opts(SecondsFormat::Micros, false)
            );
        }

        #[test]
        fn parsing_any_bytes_does_not_panic(text: Vec<u8>, at in 0_usize..40, byte: u8) {
            let _ = parse(&text);
            let mut damaged = written(1, 0, true).into_bytes();
            if let Some(target) = damaged.get_mut(at) {
                *target = byte;
            }
            let _ = parse(&damaged);
        }
    }
}
