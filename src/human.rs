//! What people read: durations, bytes, local times, bars and small graphs, as text. Shared by commands and the dashboard.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Whether the locale writes UTF-8: LC_ALL, LC_CTYPE and LANG, the first that is set.
#[must_use]
pub fn utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// A bar of at most `width` characters, of two parts one behind the other. What is not zero shows.
#[must_use]
pub fn bar(first: f64, second: f64, most: f64, width: usize, utf8: bool) -> String {
    if most <= 0.0 {
        return String::new();
    }
    let length = |value: f64| {
        let length = (value / most * width as f64).round() as usize;
        if value > 0.0 { length.max(1) } else { 0 }
    };
    let first_length = length(first).min(width);
    let second_length = length(second).min(width - first_length);
    let (strong, weak) = if utf8 { ("█", "░") } else { ("#", "-") };
    strong.repeat(first_length) + &weak.repeat(second_length)
}

/// A line of small columns, one for each value from 0 to 100; a blank where there is none.
#[must_use]
pub fn sparkline(values: &[Option<u8>], utf8: bool) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const PLAIN: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];
    let scale = if utf8 { BLOCKS } else { PLAIN };
    let column = |value: &u8| scale[(usize::from(*value) * scale.len() / 101).min(scale.len() - 1)];
    values.iter().map(|value| value.as_ref().map_or(' ', column)).collect()
}

/// A duration as a person says it: `120 ms`, `1.52 s`, `2 min 3 s`, `5 h 20 min`, `3 d 4 h`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match whole {
        _ if seconds <= 0.0 => "0 s".to_owned(),
        _ if seconds < 0.9995 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 9.995 => format!("{seconds:.2} s"),
        _ if seconds < 59.95 => format!("{seconds:.1} s"),
        0..3_600 => two(whole / 60, "min", whole % 60, "s"),
        3_600..86_400 => two(whole / 3_600, "h", whole % 3_600 / 60, "min"),
        _ => two(whole / 86_400, "d", whole % 86_400 / 3_600, "h"),
    }
}

/// Unix ns in the time zone given, by a `strftime` format.
#[must_use]
pub fn local(unix_ns: i64, format: &str, zone: &TimeZone) -> String {
    Timestamp::from_nanosecond(i128::from(unix_ns))
        .map_or_else(|_| "?".to_owned(), |time| time.to_zoned(zone.clone()).strftime(format).to_string())
}

/// So many of them: `1 pause`, `2 pauses`.
#[must_use]
pub fn count(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Bytes as a person says it.
#[must_use]
pub fn bytes(count: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} bytes") } else { format!("{value:.1} {}", units[unit]) }
}

/// A figure in three digits, none wasted.
#[must_use]
pub fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// Bytes a second, in three digits.
#[must_use]
pub fn bytes_per_s(value: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (value.max(0.0), 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value:.0} B/s") } else { format!("{} {}/s", number(value), UNITS[unit]) }
}

/// A sentence's beginning: the first letter is a capital.
#[must_use]
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Plain text for who reads markup (Slack, notification services): `<`, `>` and `&` are meant as they stand, whatever a
/// process is called.
#[must_use]
pub fn without_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_markup_and_a_sentence_begins_with_a_capital() {
        assert_eq!(without_markup("a<b>&amp;\n"), "a&lt;b&gt;&amp;amp;\n");
        assert_eq!((capital("évidence"), capital("")), ("Évidence".to_owned(), String::new()));
    }

    #[test]
    fn durations_read_as_a_person_says_them() {
        let said: Vec<String> =
            [0.0, 0.25, 1.52, 12.34, 59.97, 123.0, 3_600.0, 19_200.0, 273_600.0].map(duration).into();
        assert_eq!(
            said,
            ["0 s", "250 ms", "1.52 s", "12.3 s", "1 min", "2 min 3 s", "1 h", "5 h 20 min", "3 d 4 h"]
        );
    }

    #[test]
    fn a_bar_shows_what_is_not_zero_and_is_never_too_wide() {
        assert_eq!(bar(1.0, 1000.0, 1001.0, 10, true), "█░░░░░░░░░");
        assert_eq!(bar(5.0, 5.0, 10.0, 10, false), "#####-----");
        assert_eq!(bar(0.0, 0.0, 10.0, 10, true), "");
        assert_eq!(bar(0.0, 0.0, 0.0, 10, true), "");
    }

    #[test]
    fn a_sparkline_reaches_from_0_to_100_and_leaves_gaps() {
        assert_eq!(sparkline(&[Some(0), Some(50), None, Some(100)], true), "▁▄ █");
        assert_eq!(sparkline(&[Some(0), Some(100)], false), "_#");
    }
}
