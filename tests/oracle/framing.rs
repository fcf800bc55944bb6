//! Framing once more, written for clarity alone, and a harness that feeds the framer in pieces. Shared by
//! `tests/decode_oracle.rs` and the fuzz target.

use pause_monitor::sample::Reject;
use pause_monitor::source::powermetrics::frame::Framer;

/// What the framer makes of a stream that comes in pieces of these lengths.
pub(crate) fn in_pieces(
    mut framer: Framer,
    stream: &[u8],
    mut lengths: impl Iterator<Item = usize>,
) -> Vec<Result<Vec<u8>, Reject>> {
    let mut found = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let space = framer.space();
        let count = lengths.next().unwrap_or(usize::MAX).min(rest.len()).min(space.len());
        assert!(count > 0, "there is always room");
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        framer.filled(count);
        while let Some(frame) = framer.next_document() {
            found.push(frame.map(<[u8]>::to_vec));
        }
    }
    found.extend(framer.finish().map(Err));
    found
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The frames of a whole stream.
pub(crate) fn by_the_book(stream: &[u8], limit: usize) -> Vec<Result<Vec<u8>, Reject>> {
    let mut found = Vec::new();
    let mut rest = stream;
    loop {
        let starts = [find(rest, b"<?xml"), find(rest, b"<plist")];
        let Some(start) = starts.into_iter().flatten().min() else { return found };
        rest = &rest[start..];
        let window = &rest[..rest.len().min(limit)];
        let head = find(&window[1..], b"<?xml").map(|at| at + 1);
        let close = find(window, b"</plist>");
        match (head, close) {
            (Some(head), close) if close.is_none_or(|close| head < close) => {
                found.push(Err(Reject::Truncated));
                rest = &rest[head..];
            }
            (_, Some(close)) => {
                let (document, after) = rest.split_at(close + b"</plist>".len());
                found.push(Ok(document.to_vec()));
                rest = after;
            }
            _ if rest.len() > limit => {
                found.push(Err(Reject::Oversized));
                // A start that the limit cuts in two is found again.
                rest = &rest[limit - (b"<?xml".len() - 1)..];
            }
            _ => {
                found.push(Err(Reject::Truncated));
                return found;
            }
        }
    }
}
