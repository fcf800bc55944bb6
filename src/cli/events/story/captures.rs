//! The captures of an event that are small text: what a page takes along.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::output::store::{Capture, EVENTS_DIRECTORY, StoredEvent};

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

/// The contents of an event's captures, in their order.
pub(in crate::cli::events) fn read(event: &StoredEvent, data_dir: &Path) -> Vec<Content> {
    let directory = data_dir.join(EVENTS_DIRECTORY).join(event.row.id.to_string());
    let mut left = MOST_TOGETHER;
    event
        .forensics
        .iter()
        .map(|capture| match file(capture, &directory) {
            None => Content::Left(String::new()),
            Some(path) => {
                let content = text(&path, &directory, left.min(MOST_BYTES)).unwrap_or_else(Content::Left);
                if let Content::Text { text, .. } = &content {
                    left = left.saturating_sub(text.len() as u64);
                }
                content
            }
        })
        .collect()
}

/// Where the row says the capture is; a bare name is one in the event's directory.
fn file(capture: &Capture, directory: &Path) -> Option<PathBuf> {
    capture.path.as_deref().filter(|path| !path.is_empty()).map(|path| directory.join(path))
}

/// Reads a file of the event's directory, and no other: what the row says must not put any file of this user on the page.
fn text(path: &Path, directory: &Path, most: u64) -> Result<Content, String> {
    let told = |error: std::io::Error| format!("can't be read: {error}");
    let real = fs::canonicalize(path).map_err(told)?;
    if !real.starts_with(fs::canonicalize(directory).map_err(told)?) {
        return Err("not embedded: it is not in the event's directory".to_owned());
    }
    if real.extension().is_some_and(|extension| extension == SAMPLES) {
        return Err("the samples: on the plots above, and in `events export`".to_owned());
    }
    // What is no file (a pipe) must not be waited for.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(&real);
    let file = file.map_err(told)?;
    let metadata = file.metadata().map_err(told)?;
    if !metadata.is_file() {
        return Err("not embedded: it is no file".to_owned());
    }
    let size = metadata.len();
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
