//! Local time, as Python's `time.localtime` has it.
//!
//! The system's own function is asked each time: it knows every form of `TZ`, and follows
//! `time.tzset()` at once. A lookup takes about 30 ns.

use chrono::{DateTime, FixedOffset, TimeZone, Utc};

/// Seconds that local time is ahead of UTC at that moment, in nanoseconds since 1970 UTC.
#[must_use]
pub fn offset(at_ns: i64) -> i32 {
    let seconds = at_ns.div_euclid(1_000_000_000);
    #[cfg(unix)]
    {
        // Narrower than 64 bits on a few systems, where later times do not exist.
        #[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation)]
        let seconds = seconds as libc::time_t;
        // SAFETY: a `tm` is plain numbers and a pointer that may be null; `localtime_r` reads the
        // one argument and writes the other, and guards the time zone with a lock of its own.
        let (found, local) = unsafe {
            let mut local: libc::tm = std::mem::zeroed();
            (
                !libc::localtime_r(&raw const seconds, &raw mut local).is_null(),
                local,
            )
        };
        if !found {
            return 0;
        }
        // An offset is below a day.
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

/// That moment in local time.
#[must_use]
pub fn at(at_ns: i64) -> DateTime<FixedOffset> {
    let utc = Utc.timestamp_nanos(at_ns);
    match FixedOffset::east_opt(offset(at_ns)) {
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
        fn the_offset_is_that_of_the_moment(at_s in 0_i64..4_000_000_000) {
            let theirs = Local.timestamp_opt(at_s, 0).unwrap().offset().fix().local_minus_utc();
            prop_assert_eq!(offset(at_s * 1_000_000_000), theirs);
        }

        #[test]
        fn every_moment_has_a_local_time(at_ns: i64) {
            prop_assert_eq!(at(at_ns).timestamp_nanos_opt(), Some(at_ns));
        }
    }
}
