//! Signatures as Standard Webhooks has them: `v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// In front of a key in base64.
const PREFIX: &str = "whsec_";
/// The largest file of a key, bytes.
const MOST: u64 = 4_096;

/// A key.
#[derive(Debug)]
pub(super) struct Key(hmac::Key);

/// A key, with its file's mode where others can read it too; or why there is none.
pub(super) type Looked = Result<(Key, Option<u32>), String>;

impl Key {
    /// The key that a text says: `whsec_` and base64, or the text itself.
    fn of(text: &str) -> Result<Self, &'static str> {
        let bytes = match text.strip_prefix(PREFIX) {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| "what follows whsec_ is not base64")?,
            None => text.as_bytes().to_vec(),
        };
        if bytes.is_empty() {
            return Err("there is no key in it");
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The signature of a message, as its header holds it.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

/// Reads a key's file, and tells by the mode whether others can read it as well. The disk may have it wait.
pub(super) fn read(file: &Path) -> Looked {
    let fail = |why: &str| format!("hooks.secret_file: {}: {why}", file.display());
    let mut options = OpenOptions::new();
    // A pipe without a writer must not hold it up.
    let opened = options.read(true).custom_flags(libc::O_NONBLOCK).open(file);
    let opened = opened.map_err(|error| fail(&error.to_string()))?;
    let about = opened.metadata().map_err(|error| fail(&error.to_string()))?;
    if !about.is_file() {
        return Err(fail("this is no file"));
    }
    let mut text = String::new();
    opened.take(MOST + 1).read_to_string(&mut text).map_err(|error| fail(&error.to_string()))?;
    if text.len() as u64 > MOST {
        return Err(fail("it is larger than 4 KiB: this is no key"));
    }
    let key = Key::of(text.trim()).map_err(fail)?;
    Ok((key, Some(about.mode() & 0o7777).filter(|mode| mode & 0o077 != 0)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification_s_own_example() {
        let key = Key::of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn an_independent_implementation_takes_the_signature_and_not_that_of_another_body() {
        let now = crate::clock::unix_ns() / 1_000_000_000;
        let body = br#"{"version":1}"#;
        let raw = "a key that is text, of some length";
        for (text, theirs) in [
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                standardwebhooks::Webhook::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            ),
            (raw, standardwebhooks::Webhook::from_bytes(raw.into())),
        ] {
            let theirs = theirs.unwrap();
            let mut headers = http::HeaderMap::new();
            headers.insert("webhook-id", "msg_1".parse().unwrap());
            headers.insert("webhook-timestamp", now.to_string().parse().unwrap());
            let signature = Key::of(text).unwrap().sign("msg_1", now, body);
            headers.insert("webhook-signature", signature.parse().unwrap());
            theirs.verify(body, &headers).unwrap();
            assert!(theirs.verify(b"{}", &headers).is_err());
        }
    }

    #[test]
    fn a_file_that_holds_no_key_is_told_and_one_that_others_can_read_is_noticed() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("key");
        let said = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read(&file).map(|(_, mode)| mode)
        };
        assert!(read(&file).unwrap_err().contains("No such file"));
        for (text, why) in [
            (" \n", "there is no key in it"),
            ("whsec_", "there is no key in it"),
            ("whsec_?", "not base64"),
            (&"x".repeat(4_097), "larger than 4 KiB"),
        ] {
            let told = said(text).unwrap_err();
            assert!(told.starts_with("hooks.secret_file: ") && told.contains(why), "{told}");
        }
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        assert_eq!(said("secret\n"), Ok(Some(0o644)));
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(said("secret\n"), Ok(None));
        assert!(read(scratch.path()).unwrap_err().contains("this is no file"));
    }
}
