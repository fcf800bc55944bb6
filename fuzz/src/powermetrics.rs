//! Any bytes at all through the framer and the decoder: no panic, bounded memory, the same frames however
//! the bytes are split, and the same meaning as the reference where the `plist` crate can read a document.
//!
//! The first two bytes of the input choose the limit and the splits; the rest is the stream.

use pause_monitor::source::powermetrics::decode::{OwnPids, decode};
use pause_monitor::source::powermetrics::frame::{Framer, MAX_DOCUMENT};
use quick_xml::events::Event;

use super::{framing, reading, reference};

/// Demands it all.
pub fn check(input: &[u8]) {
    let [limit, splits, stream @ ..] = input else { return };
    // Half of the inputs meet a limit that they can exceed.
    let limit = if limit % 2 == 0 { MAX_DOCUMENT } else { 8 + usize::from(*limit) };
    let whole = framing::in_pieces(Framer::with_limit(limit), stream, std::iter::repeat(usize::MAX));
    assert_eq!(whole, framing::by_the_book(stream, limit));
    let lengths = (0_usize..).map(|turn| 1 + (usize::from(*splits) * (turn + 1) * 7) % 61);
    assert_eq!(whole, framing::in_pieces(Framer::with_limit(limit), stream, lengths));

    let own = OwnPids { monitor: 410, sampler: [631, 1, 0, 0] };
    // A document may also come as no framer would cut it.
    for document in whole.iter().flatten().map(Vec::as_slice).chain([stream]) {
        let decoded = decode(document, &own);
        if let Ok(decoded) = &decoded {
            reading::in_range(&decoded.reading);
        }
        if is_regular(document)
            && let Some(expected) = reference::decode(document, &own)
        {
            assert_eq!(decoded, expected, "{}", String::from_utf8_lossy(document));
        }
    }
}

/// Whether a document is such that the `plist` crate reads it as it stands. The crate drops CDATA and unknown
/// entities; it takes `<plist>` tags anywhere for nothing, a `<string>` for a key, the content of `<true>` for
/// more values, a prefix (`<x:dict>`) for nothing, and what follows the root for nothing.
fn is_regular(document: &[u8]) -> bool {
    let mut reader = quick_xml::Reader::from_reader(document);
    reader.config_mut().expand_empty_elements = true;
    let mut buffer = Vec::new();
    // The elements that are open, and how many children each has so far.
    let mut open: Vec<(String, usize)> = Vec::new();
    let mut roots = 0;
    loop {
        buffer.clear();
        let Ok(event) = reader.read_event_into(&mut buffer) else { return false };
        match event {
            Event::Start(tag) => {
                let name = tag.name().as_ref().to_owned();
                let fits = match open.last_mut() {
                    None => {
                        roots += 1;
                        name == "plist" && roots == 1
                    }
                    Some((parent, children)) => {
                        *children += 1;
                        name != "plist"
                            && match parent.as_str() {
                                "plist" => *children == 1,
                                "dict" => (*children % 2 == 1) == (name == "key"),
                                "array" => name != "key",
                                _ => false,
                            }
                    }
                };
                if !fits {
                    return false;
                }
                open.push((name, 0));
            }
            Event::End(_) => {
                let Some((name, children)) = open.pop() else { return false };
                if name == "dict" && children % 2 == 1 {
                    return false;
                }
            }
            Event::GeneralRef(reference) => {
                let known = matches!(reference.as_ref(), "amp" | "lt" | "gt" | "quot" | "apos")
                    || matches!(reference.resolve_char_ref(), Ok(Some(_)));
                // More than a few digits are no entity to the decoder.
                if !known || reference.as_ref().len() > 12 || leaf(&open).is_none() {
                    return false;
                }
            }
            Event::Text(text) => {
                let text = text.as_ref().trim();
                match leaf(&open) {
                    None | Some("true" | "false") if !text.is_empty() => return false,
                    // The crate takes any letter between day and time.
                    Some("date") if text.as_bytes().get(10) != Some(&b'T') => return false,
                    _ => {}
                }
            }
            Event::CData(_) | Event::Empty(_) => return false,
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) | Event::DocType(_) => {}
            Event::Eof => return open.is_empty() && roots == 1,
        }
    }
}

/// The name of the innermost element, where it is one that holds text.
fn leaf(open: &[(String, usize)]) -> Option<&str> {
    open.last().map(|(name, _)| name.as_str()).filter(|name| !matches!(*name, "plist" | "dict" | "array"))
}
