//! Who sends: the resource's attributes, named after OpenTelemetry's semantic conventions.

use std::io;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_semantic_conventions::{SCHEMA_URL, resource as name};

use super::OtlpError;
use crate::config::{Otlp, Paths};
use crate::draft;

/// The file in the data directory that holds `service.instance.id`.
const INSTANCE_FILE: &str = "instance-id";

/// What is known of the machine.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Its name; empty where it has none.
    pub name: String,
    /// Its system's version, where it is known.
    pub os_version: Option<String>,
}

/// The resource of this daemon. What OTEL_RESOURCE_ATTRIBUTES says beats what is found, OTEL_SERVICE_NAME beats both.
pub(super) fn resource(otlp: &Otlp, instance: &str, machine: &Machine) -> Resource {
    let mut attributes = vec![
        KeyValue::new(name::SERVICE_NAME, "pause-monitor"),
        KeyValue::new(name::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
        KeyValue::new(name::SERVICE_INSTANCE_ID, instance.to_owned()),
        KeyValue::new(name::HOST_ARCH, arch()),
        KeyValue::new(name::OS_TYPE, if cfg!(target_os = "macos") { "darwin" } else { "linux" }),
    ];
    if !machine.name.is_empty() {
        attributes.push(KeyValue::new(name::HOST_NAME, machine.name.clone()));
    }
    attributes.extend(machine.os_version.clone().map(|version| KeyValue::new(name::OS_VERSION, version)));
    let said = otlp.resource_attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    attributes.extend(said);
    attributes.extend(otlp.service_name.clone().map(|service| KeyValue::new(name::SERVICE_NAME, service)));
    // Of several with one key the last counts.
    Resource::builder_empty().with_schema_url(attributes, SCHEMA_URL).build()
}

/// The processor's architecture, as the conventions call it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "powerpc64" => "ppc64",
        other => other,
    }
}

/// The id of this installation: a random UUID, kept in the data directory and made where there is none.
///
/// # Errors
/// Where it can be neither read nor made.
pub(super) fn instance(paths: &Paths) -> Result<String, OtlpError> {
    let path = paths.data_dir.join(INSTANCE_FILE);
    let kept = || -> io::Result<String> {
        match std::fs::read_to_string(&path) {
            Ok(text) if is_uuid(text.trim()) => return Ok(text.trim().to_owned()),
            Ok(_) => tracing::warn!("{} holds no UUID: it is made anew", path.display()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!("{} holds no UUID: it is made anew", path.display());
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) => {}
        }
        let uuid = uuid(crate::output::store::random_incident());
        draft::place(&path, format!("{uuid}\n").as_bytes(), 0o600, true)?;
        Ok(uuid)
    };
    kept().map_err(|source| OtlpError::Instance { path: path.clone(), source })
}

/// A UUID of version 4 (RFC 9562) from random bytes.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_of_version_4_and_is_taken_for_one() {
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert!(is_uuid(&uuid([3; 16])));
        for text in ["", "x", "ffffffff-ffff-4fff-bfff-fffffffffffg", "ffffffffffff4fffbfffffffffffffff"] {
            assert!(!is_uuid(text), "{text}");
        }
    }

    #[test]
    fn the_instance_keeps_its_id_and_a_spoilt_one_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths { data_dir: directory.path().to_owned(), ..Paths::default() };
        let first = instance(&paths).unwrap();
        assert_eq!(instance(&paths).unwrap(), first);
        std::fs::write(directory.path().join(INSTANCE_FILE), [0xff, 0xfe]).unwrap();
        let second = instance(&paths).unwrap();
        assert!(is_uuid(&second) && second != first);
        let gone = Paths { data_dir: directory.path().join("gone"), ..Paths::default() };
        assert!(instance(&gone).unwrap_err().to_string().contains("make the data directory writable"));
    }

    #[test]
    fn what_the_environment_says_of_the_resource_beats_what_is_found() {
        let otlp = Otlp {
            service_name: Some("mac".to_owned()),
            resource_attributes: vec![
                ("service.name".to_owned(), "lost".to_owned()),
                ("host.name".to_owned(), "desk".to_owned()),
                ("deployment.environment.name".to_owned(), "home".to_owned()),
            ],
            ..Otlp::default()
        };
        let machine = Machine { name: "found".to_owned(), os_version: Some("12".to_owned()) };
        let resource = resource(&otlp, "an-id", &machine);
        let get = |key: &'static str| resource.get(&key.into()).map(|value| value.to_string());
        assert_eq!(get("service.name").as_deref(), Some("mac"));
        assert_eq!(get("host.name").as_deref(), Some("desk"));
        assert_eq!(get("deployment.environment.name").as_deref(), Some("home"));
        assert_eq!(get("service.instance.id").as_deref(), Some("an-id"));
        assert_eq!(get("os.version").as_deref(), Some("12"));
        assert!(["amd64", "arm64"].contains(&get("host.arch").unwrap().as_str()));
    }
}
