//! A value as it is written, read as what its key takes; what it can't be is said in a line.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeArray, DeValue};

use super::ListenAddress;
use super::values::{clipped, duration_text, parse_duration, quoted};

/// The longest command, words; and the longest word, bytes.
const WORDS: usize = 64;
const WORD: usize = 4096;
/// The most addresses to listen on.
pub(super) const ADDRESSES: usize = 16;

pub(super) fn times(range: &RangeInclusive<Duration>) -> String {
    format!("{}–{}", duration_text(*range.start()), duration_text(*range.end()))
}

/// What stands there, for a message about its type.
pub(super) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{} is text", quoted(text)),
        DeValue::Integer(number) => format!("{} is a number", clipped(&number.to_string())),
        DeValue::Float(number) => format!("{} is a number", clipped(number.as_str())),
        DeValue::Boolean(value) => format!("{value} is a boolean"),
        DeValue::Datetime(_) => "this is a date or time".to_owned(),
        DeValue::Array(_) => "this is a list".to_owned(),
        DeValue::Table(_) => "this is a section".to_owned(),
    }
}

pub(super) fn time(value: &DeValue<'_>, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    const HOW: &str = "write a duration as text, like \"250ms\", \"5s\", \"1m30s\" or \"1h\"";
    let text = match value {
        DeValue::String(text) => text,
        DeValue::Integer(number) => {
            return Err(format!("{} has no unit: {HOW}", clipped(&number.to_string())));
        }
        DeValue::Float(number) => return Err(format!("{} has no unit: {HOW}", clipped(number.as_str()))),
        other => return Err(format!("{}: {HOW}", found(other))),
    };
    let time = match parse_duration(text) {
        Some(time) => time,
        None if text.trim().parse::<f64>().is_ok() => {
            return Err(format!("{} has no unit: {HOW}", quoted(text)));
        }
        None => return Err(format!("{} is no duration: {HOW}", quoted(text))),
    };
    if !range.contains(&time) {
        return Err(format!("{} is out of range {}", clipped(text), times(range)));
    }
    if time.subsec_nanos() % 1_000_000 != 0 {
        return Err(format!("{} is finer than a millisecond: write whole ones", clipped(text)));
    }
    Ok(time)
}

pub(super) fn whole(value: &DeValue<'_>, range: &RangeInclusive<u32>) -> Result<u32, String> {
    let number = match value {
        DeValue::Integer(number) => number,
        DeValue::Float(number) => {
            return Err(format!(
                "{} is no whole number: write one, {}–{}",
                clipped(number.as_str()),
                range.start(),
                range.end()
            ));
        }
        other => {
            return Err(format!(
                "{}: write a whole number, {}–{}, without quotes",
                found(other),
                range.start(),
                range.end()
            ));
        }
    };
    // What does not even fit is out of range as well.
    u32::from_str_radix(number.as_str(), number.radix())
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            format!("{} is out of range {}–{}", clipped(&number.to_string()), range.start(), range.end())
        })
}

pub(super) fn real(value: &DeValue<'_>, range: &RangeInclusive<f64>) -> Result<f64, String> {
    let (text, number) = match value {
        DeValue::Integer(number) => (
            number.to_string(),
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64),
        ),
        DeValue::Float(number) => (number.as_str().to_owned(), number.as_str().parse().ok()),
        other => {
            return Err(format!(
                "{}: write a number, {}–{}, without quotes",
                found(other),
                range.start(),
                range.end()
            ));
        }
    };
    // `nan` is in no range.
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("{} is out of range {}–{}", clipped(&text), range.start(), range.end()))
}

pub(super) fn command(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    const HOW: &str =
        "write the program and its arguments as a list of texts, like [\"/usr/bin/program\", \"--option\"]";
    let DeValue::Array(list) = value else { return Err(format!("{}: {HOW}", found(value))) };
    if list.is_empty() {
        return Err(format!("the list is empty: {HOW}"));
    }
    if list.len() > WORDS {
        return Err(format!("{} words are more than {WORDS}", list.len()));
    }
    let words = words(list).map_err(|other| format!("{other}: {HOW}"))?;
    match words.iter().find(|word| word.contains('\0') || word.len() > WORD) {
        _ if words.first().is_some_and(|program| program.trim().is_empty()) => {
            Err(format!("the program's name is empty: {HOW}"))
        }
        Some(word) => Err(format!("{} has a NUL in it, or is longer than {WORD} bytes", quoted(word))),
        None => Ok(words),
    }
}

pub(super) fn listed(value: &DeValue<'_>, choices: &dyn Fn() -> String) -> Result<Vec<String>, String> {
    let how = || format!("write a list of any of {}, each in quotes", choices());
    let DeValue::Array(list) = value else { return Err(format!("{}: {}", found(value), how())) };
    words(list).map_err(|other| format!("{other}: {}", how()))
}

pub(super) fn addresses(value: &DeValue<'_>) -> Result<Vec<ListenAddress>, String> {
    const HOW: &str = "write a list of addresses, like [\"127.0.0.1:9847\"], or [] for none";
    let DeValue::Array(list) = value else { return Err(format!("{}: {HOW}", found(value))) };
    if list.len() > ADDRESSES {
        return Err(format!("{} addresses are more than {ADDRESSES}", list.len()));
    }
    let words = words(list).map_err(|other| format!("{other}: {HOW}"))?;
    words.iter().map(|word| word.parse().map_err(|error| format!("{error}"))).collect()
}

pub(super) fn file(value: &DeValue<'_>) -> Result<Option<PathBuf>, String> {
    match value {
        DeValue::String(text) if text.contains('\0') || text.len() > WORD => {
            Err(format!("{} has a NUL in it, or is longer than {WORD} bytes", quoted(text)))
        }
        DeValue::String(text) => Ok(Some(PathBuf::from(text.as_ref())).filter(|_| !text.is_empty())),
        other => Err(format!("{}: write the path of a file, in quotes", found(other))),
    }
}

fn words(list: &DeArray<'_>) -> Result<Vec<String>, String> {
    list.iter()
        .map(|word| match word.get_ref() {
            DeValue::String(text) => Ok(text.clone().into_owned()),
            other => Err(found(other)),
        })
        .collect()
}
