//! What is valid: what a key is, how its value is read, shown and described. The keys themselves are in `table`.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;
use toml::de::DeValue;

use super::headers::{self, Secret};
use super::read::{ADDRESSES, addresses, command, file, found, listed, real, time, times, whole};
use super::values::duration_text;
use super::{Config, ListenAddress};

/// One setting of a `T`: of the configuration, or of one of its hooks.
pub(super) struct Key<T: 'static = Config> {
    /// Its section.
    pub(super) section: &'static str,
    /// Its name in the section.
    pub(super) name: &'static str,
    /// Both: `section.name`.
    pub(super) path: &'static str,
    /// What it means, for the commented file.
    pub(super) meaning: &'static str,
    pub(super) kind: Kind<T>,
}

/// How a setting is written, what it may be, and where it goes.
pub(super) enum Kind<T: 'static = Config> {
    Time {
        range: RangeInclusive<Duration>,
        get: fn(&T) -> Duration,
        set: fn(&mut T, Duration),
    },
    Whole {
        unit: &'static str,
        range: RangeInclusive<u32>,
        get: fn(&T) -> u32,
        set: fn(&mut T, u32),
    },
    Real {
        range: RangeInclusive<f64>,
        get: fn(&T) -> f64,
        set: fn(&mut T, f64),
    },
    Word {
        choices: fn() -> String,
        get: fn(&T) -> String,
        set: fn(&mut T, &str) -> Result<(), String>,
    },
    /// Text that is empty by default.
    Text {
        what: &'static str,
        get: fn(&T) -> String,
        set: fn(&mut T, &str) -> Result<(), String>,
    },
    /// Names with secret values.
    Headers {
        get: fn(&T) -> &[(http::HeaderName, Secret)],
        set: fn(&mut T, Vec<(http::HeaderName, Secret)>),
    },
    /// Words of a closed set, each at most once.
    Words {
        choices: fn() -> String,
        get: fn(&T) -> Vec<String>,
        set: fn(&mut T, Vec<String>) -> Result<(), String>,
    },
    Command {
        get: fn(&T) -> &[String],
        set: fn(&mut T, Vec<String>),
    },
    Addresses {
        get: fn(&T) -> &[ListenAddress],
        set: fn(&mut T, Vec<ListenAddress>),
    },
    Switch {
        get: fn(&T) -> bool,
        set: fn(&mut T, bool),
    },
    /// The path of a file; empty for none.
    File {
        get: fn(&T) -> Option<&Path>,
        set: fn(&mut T, Option<PathBuf>),
    },
}

impl<T> Key<T> {
    /// Puts what is written into `config`, or says in one line why not.
    pub(super) fn set(&self, config: &mut T, value: &DeValue<'_>) -> Result<(), String> {
        match &self.kind {
            Kind::Time { range, set, .. } => set(config, time(value, range)?),
            Kind::Whole { range, set, .. } => set(config, whole(value, range)?),
            Kind::Real { range, set, .. } => set(config, real(value, range)?),
            Kind::Word { choices, set, .. } => match value {
                DeValue::String(text) => set(config, text)?,
                other => return Err(format!("{}: write one of {}, in quotes", found(other), choices())),
            },
            Kind::Text { what, set, .. } => match value {
                DeValue::String(text) => set(config, text)?,
                other => {
                    return Err(format!(
                        "{}: write {}{}, in quotes",
                        found(other),
                        what[..1].to_lowercase(),
                        &what[1..]
                    ));
                }
            },
            Kind::Headers { set, .. } => set(config, headers::read(value)?),
            Kind::Words { choices, set, .. } => set(config, listed(value, choices)?)?,
            Kind::Command { set, .. } => set(config, command(value)?),
            Kind::Addresses { set, .. } => set(config, addresses(value)?),
            Kind::Switch { set, .. } => match value {
                DeValue::Boolean(on) => set(config, *on),
                other => return Err(format!("{}: write true or false, without quotes", found(other))),
            },
            Kind::File { set, .. } => set(config, file(value)?),
        }
        Ok(())
    }

    /// The value in force, as it would be written.
    pub(super) fn get(&self, config: &T) -> Value {
        match &self.kind {
            Kind::Time { get, .. } => Value::String(duration_text(get(config))),
            Kind::Whole { get, .. } => Value::Integer(get(config).into()),
            Kind::Real { get, .. } => Value::Float(get(config)),
            Kind::Word { get, .. } => Value::String(get(config)),
            Kind::Text { get, .. } => Value::String(get(config)),
            Kind::Headers { get, .. } => Value::Table(
                get(config)
                    .iter()
                    .map(|(name, value)| (name.to_string(), Value::String(format!("{value:?}"))))
                    .collect(),
            ),
            Kind::Words { get, .. } => Value::Array(get(config).into_iter().map(Value::String).collect()),
            Kind::Command { get, .. } => {
                Value::Array(get(config).iter().cloned().map(Value::String).collect())
            }
            Kind::Addresses { get, .. } => {
                Value::Array(get(config).iter().map(|address| Value::String(address.to_string())).collect())
            }
            Kind::Switch { get, .. } => Value::Boolean(get(config)),
            Kind::File { get, .. } => {
                Value::String(get(config).unwrap_or(Path::new("")).to_string_lossy().into_owned())
            }
        }
    }

    /// What the value may be, with its unit, for the commented file.
    pub(super) fn range(&self) -> String {
        match &self.kind {
            Kind::Time { range, .. } => format!("Range {}", times(range)),
            Kind::Whole { unit, range, .. } => format!("Range {}–{} {unit}", range.start(), range.end()),
            Kind::Real { range, .. } => format!("Range {}–{}", range.start(), range.end()),
            Kind::Word { choices, .. } => format!("One of {}", choices()),
            Kind::Text { what, .. } => (*what).to_owned(),
            Kind::Headers { .. } => "A table of texts, like { authorization = \"Bearer …\" }".to_owned(),
            Kind::Words { choices, .. } => format!("A list of any of {}", choices()),
            Kind::Command { .. } => "A list of texts, run without a shell".to_owned(),
            Kind::Addresses { .. } => {
                format!("A list of at most {ADDRESSES} addresses with ports; \":9847\" is all addresses")
            }
            Kind::Switch { .. } => "true or false".to_owned(),
            Kind::File { .. } => "A path, or \"\" for none".to_owned(),
        }
    }
}
