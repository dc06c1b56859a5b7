//! Local time, equal to Python's `time.localtime`.
//!
//! Each call uses the function of the system: it supports every form of `TZ`, and `time.tzset()` takes
//! effect immediately. A call takes about 30 ns.

use chrono::{DateTime, FixedOffset, TimeZone, Utc};

/// The offset of local time from UTC in seconds, at a time in nanoseconds since 1970-01-01 UTC.
#[must_use]
pub fn offset(unix_ns: i64) -> i32 {
    let seconds = unix_ns.div_euclid(1_000_000_000);
    #[cfg(unix)]
    {
        // `time_t` has fewer than 64 bits on a few systems, which cannot represent later times.
        #[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation)]
        let seconds = seconds as libc::time_t;
        // SAFETY: all bytes of a `tm` may be zero. `localtime_r` reads its first argument, writes the
        // second one, and locks the time zone.
        let (valid, local) = unsafe {
            let mut local: libc::tm = std::mem::zeroed();
            (
                !libc::localtime_r(&raw const seconds, &raw mut local).is_null(),
                local,
            )
        };
        if !valid {
            return 0;
        }
        // An offset is less than a day.
        #[allow(clippy::cast_possible_truncation)]
        {
            local.tm_gmtoff as i32
        }
    }
    #[cfg(not(unix))]
    {
        use chrono::{Local, Offset};
        match Local.timestamp_opt(seconds, 0) {
            chrono::LocalResult::Single(at) => at.offset().fix().local_minus_utc(),
            _ => 0,
        }
    }
}

/// The local time, at a time in nanoseconds since 1970-01-01 UTC.
#[must_use]
pub fn at(unix_ns: i64) -> DateTime<FixedOffset> {
    let utc = Utc.timestamp_nanos(unix_ns);
    match FixedOffset::east_opt(offset(unix_ns)) {
        Some(zone) => utc.with_timezone(&zone),
        None => utc.fixed_offset(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chrono::{Local, Offset};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_offset_equals_that_of_chrono(seconds in 0_i64..4_000_000_000) {
            let expected = Local.timestamp_opt(seconds, 0).unwrap().offset().fix().local_minus_utc();
            prop_assert_eq!(offset(seconds * 1_000_000_000), expected);
        }

        #[test]
        fn every_time_has_a_local_time(unix_ns: i64) {
            prop_assert_eq!(at(unix_ns).timestamp_nanos_opt(), Some(unix_ns));
        }
    }
}
