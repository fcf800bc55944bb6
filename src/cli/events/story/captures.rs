//! The captures of an event that are small text: what a page takes along.

use std::io::Read;
use std::path::Path;

use crate::cli::events::evidence;
use crate::output::store::StoredEvent;
use crate::redact::Redactor;

/// Of one capture so much is embedded at most; of a longer one its beginning.
const MOST_BYTES: u64 = 64 << 10;
/// Of all captures together.
const MOST_TOGETHER: u64 = 512 << 10;
/// Samples are on the plots, and in `events export`.
const SAMPLES: &str = "jsonl";

/// What could be had of a capture.
#[derive(Debug, PartialEq)]
pub(in crate::cli::events) enum Content {
    /// Text; `whole` is false where it is only the beginning.
    Text {
        /// The text, as it is.
        text: String,
        /// Whether that is all.
        whole: bool,
        /// Size of the file, bytes.
        size: u64,
    },
    /// Not embedded, and why.
    Left(String),
}

impl Content {
    /// Takes names out.
    pub(in crate::cli::events) fn redact(&mut self, redactor: &Redactor) {
        match self {
            Self::Text { text, .. } | Self::Left(text) => *text = redactor.text(text).into_owned(),
        }
    }
}

/// The contents of an event's captures, in their order.
pub(in crate::cli::events) fn read(event: &StoredEvent, data_dir: &Path) -> Vec<Content> {
    let mut left = MOST_TOGETHER;
    event
        .forensics
        .iter()
        .map(|capture| match evidence::file(capture, event.row.id, data_dir) {
            None => Content::Left(String::new()),
            Some(path) => {
                let content = text(&path, left.min(MOST_BYTES)).unwrap_or_else(Content::Left);
                if let Content::Text { text, .. } = &content {
                    left = left.saturating_sub(text.len() as u64);
                }
                content
            }
        })
        .collect()
}

/// Reads the beginning of a file.
fn text(path: &Path, most: u64) -> Result<Content, String> {
    let told = |error: std::io::Error| format!("can't be read: {error}");
    if path.extension().is_some_and(|extension| extension == SAMPLES) {
        return Err("the samples: on the plots above, and in `events export`".to_owned());
    }
    let (file, size) = evidence::open(path).map_err(told)?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(told)?;
    let whole = bytes.len() as u64 >= size;
    if !is_text(&bytes, whole) {
        return Err(format!("{}, not text", crate::human::bytes(size)));
    }
    if bytes.is_empty() && size > 0 {
        return Err(format!("{}: the page is full", crate::human::bytes(size)));
    }
    Ok(Content::Text { text: String::from_utf8_lossy(&bytes).into_owned(), whole, size })
}

/// Whether it is text: UTF-8 without NUL. The beginning of one may end within a character.
fn is_text(bytes: &[u8], whole: bool) -> bool {
    let utf8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => !whole && error.error_len().is_none(),
    };
    utf8 && memchr::memchr(0, bytes).is_none()
}
