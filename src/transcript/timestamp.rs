//! The time in a line: `2026-01-31T12:03:11.000042+01:00`.
//!
//! This is RFC 3339 with fewer variants: one spelling per time, apart from the digits of the second.

use crate::util::local_time;
use chrono::{DateTime, FixedOffset, Offset, SecondsFormat, Utc};

/// The offset of local time from UTC at a time: whole minutes, in seconds.
pub(crate) fn offset(at_ns: i64) -> i64 {
    // The format has no seconds in the offset, which some historical zones have. Any offset is correct
    // if the time is computed with it.
    i64::from(local_time::offset(at_ns)) / 60 * 60
}

/// Appends a time, at `offset` seconds from UTC, in microseconds. With `exact` it is in nanoseconds if
/// microseconds would lose digits.
pub(crate) fn push(out: &mut Vec<u8>, at_ns: i64, offset: i64, exact: bool) {
    // An offset is less than a day.
    let zone = i32::try_from(offset).ok().and_then(FixedOffset::east_opt);
    let time = DateTime::from_timestamp_nanos(at_ns).with_timezone(&zone.unwrap_or(Utc.fix()));
    let format = if exact && at_ns % 1000 != 0 {
        SecondsFormat::Nanos
    } else {
        SecondsFormat::Micros
    };
    out.extend_from_slice(time.to_rfc3339_opts(format, false).as_bytes());
}

/// Parses a time of [`push`], in nanoseconds since 1970. Also accepts 0 to 9 digits after the second,
/// and `Z` for UTC.
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    let (fixed, rest) = text.split_at_checked(19)?;
    let digits = rest
        .iter()
        .skip(1)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    // chrono also accepts a space, leap seconds, more digits and small letters.
    if fixed[10] != b'T' || fixed[17] == b'6' || digits > 9 || rest.ends_with(b"z") {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    DateTime::parse_from_rfc3339(text)
        .ok()?
        .timestamp_nanos_opt()
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
