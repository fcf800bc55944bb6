//! Times and durations on the command line.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned, civil};

use crate::clock;

/// Reads a time: `2h` or `3d` (ago), `today`, `yesterday`, `2026-11-22`, `2026-11-22 10:00` (local time), or
/// RFC 3339. Unix ns.
///
/// # Errors
/// One line that says what is understood.
pub fn time(text: &str) -> Result<i64, String> {
    let now = Timestamp::from_nanosecond(i128::from(clock::unix_ns())).map_err(|error| error.to_string())?;
    time_at(text, &now.to_zoned(TimeZone::system()))
}

fn time_at(text: &str, now: &Zoned) -> Result<i64, String> {
    let text = text.trim();
    let day = |date: civil::Date| date.to_zoned(now.time_zone().clone()).ok();
    let time = match text {
        "now" => Some(now.clone()),
        "today" => day(now.date()),
        "yesterday" => now.date().yesterday().ok().and_then(day),
        _ => absolute(text, now).or_else(|| ago(text, now)),
    };
    time.and_then(|time| i64::try_from(time.timestamp().as_nanosecond()).ok()).ok_or_else(|| {
        "not a time: write 2h or 3d (ago), today, yesterday, 2026-11-22, \"2026-11-22 10:00\" (local time) or RFC \
         3339"
            .to_owned()
    })
}

fn absolute(text: &str, now: &Zoned) -> Option<Zoned> {
    let zone = now.time_zone();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.to_zoned(zone.clone()));
    }
    text.parse::<civil::DateTime>().ok()?.to_zoned(zone.clone()).ok()
}

fn ago(text: &str, now: &Zoned) -> Option<Zoned> {
    let span: Span = text.parse().ok()?;
    if span.is_negative() {
        return None;
    }
    now.checked_sub(span).ok()
}

/// Reads a duration: `500ms`, `2s`, `1m30s`. ns.
///
/// # Errors
/// One line that says what is understood.
pub fn duration(text: &str) -> Result<u64, String> {
    text.trim()
        .parse::<SignedDuration>()
        .ok()
        .and_then(|duration| u64::try_from(duration.as_nanos()).ok())
        .ok_or_else(|| "not a duration: write 500ms, 2s, 1m30s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-11-22T09:10:11+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn read(text: &str) -> String {
        crate::wire::rfc3339(time_at(text, &now()).unwrap())
    }

    #[test]
    fn times_are_read_as_a_person_writes_them() {
        assert_eq!(read("2h"), "2026-11-22T06:10:11.000Z");
        assert_eq!(read("3d"), "2026-11-19T08:10:11.000Z");
        assert_eq!(read("1h30m"), "2026-11-22T06:40:11.000Z");
        assert_eq!(read("2026-11-22"), "2026-11-21T23:00:00.000Z");
        assert_eq!(read("2026-11-22 10:00"), "2026-11-22T09:00:00.000Z");
        assert_eq!(read("2026-11-22T10:00:00Z"), "2026-11-22T10:00:00.000Z");
        assert_eq!(read("today"), "2026-11-21T23:00:00.000Z");
        assert_eq!(read("yesterday"), "2026-11-20T23:00:00.000Z");
    }

    #[test]
    fn a_day_ago_is_the_same_time_of_day_where_the_clocks_changed_in_between() {
        let now: Zoned = "2026-10-25T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        assert_eq!(crate::wire::rfc3339(time_at("1d", &now).unwrap()), "2026-10-24T10:00:00.000Z");
    }

    #[test]
    fn what_is_no_time_is_refused_with_a_hint() {
        for text in ["", "soon", "2026-13-01", "-2h", "2", "2 hours ago then"] {
            let error = time_at(text, &now()).unwrap_err();
            assert!(error.starts_with("not a time: write 2h"), "{text}: {error}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(500_000_000));
        assert_eq!(duration("1m30s"), Ok(90_000_000_000));
        for text in ["", "2", "-2s", "long"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
