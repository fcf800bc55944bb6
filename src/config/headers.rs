//! Headers that are sent along with requests. Their values are secrets.

use std::fmt;

use http::{HeaderName, HeaderValue};
use toml::de::DeValue;

use super::values::quoted;

/// The most headers, and the most bytes of a value.
const HEADERS: usize = 64;
const VALUE: usize = 8_192;

/// What must not be shown: a header's value.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(HeaderValue);

impl Secret {
    /// The value, marked as sensitive, for whoever sends it.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A header as it may be sent, or why not. The value is never repeated.
fn header(name: &str, value: &str) -> Result<(HeaderName, Secret), String> {
    /// Ours, or the protocol's.
    const TAKEN: [&str; 8] = [
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "te",
        "transfer-encoding",
        "user-agent",
    ];
    let key: HeaderName = name.parse().map_err(|_| format!("{} is no header's name", quoted(name)))?;
    if TAKEN.contains(&key.as_str()) || key.as_str().starts_with("grpc-") || key.as_str().ends_with("-bin") {
        return Err(format!("the header {} is not yours to set: leave it out", quoted(name)));
    }
    let mut value: HeaderValue = value
        .parse()
        .ok()
        .filter(|value: &HeaderValue| value.len() <= VALUE && value.to_str().is_ok())
        .ok_or_else(|| {
            format!(
                "the value of the header {} is too long, or has characters that none may have",
                quoted(name)
            )
        })?;
    value.set_sensitive(true);
    Ok((key, Secret(value)))
}

/// Headers from names and values.
pub(super) fn of<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<(HeaderName, Secret)>, String> {
    let mut headers =
        pairs.into_iter().map(|(name, value)| header(name, value)).collect::<Result<Vec<_>, _>>()?;
    if headers.len() > HEADERS {
        return Err(format!("{} headers are more than {HEADERS}", headers.len()));
    }
    // Names that differ in case alone are one.
    headers.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    match headers.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(format!("the header {} is there twice: keep one", quoted(pair[0].0.as_str()))),
        None => Ok(headers),
    }
}

/// Names and values; what is wrong with a value is told without showing it.
pub(super) fn read(value: &DeValue<'_>) -> Result<Vec<(HeaderName, Secret)>, String> {
    const HOW: &str = "write a table of texts, like { authorization = \"Bearer …\" }";
    let DeValue::Table(table) = value else { return Err(HOW.to_owned()) };
    let pairs = table
        .iter()
        .map(|(name, value)| match value.get_ref() {
            DeValue::String(text) => Ok((name.get_ref().as_ref(), text.as_ref())),
            _ => Err(format!("the value of {} is no text: {HOW}", quoted(name.get_ref()))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    of(pairs)
}
