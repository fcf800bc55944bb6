//! In the steady state framing and decoding take no memory from the heap.

use pause_monitor::source::powermetrics::decode::{OwnPids, decode};
use pause_monitor::source::powermetrics::frame::Framer;

#[path = "oracle/capture.rs"]
mod capture;
#[path = "../benches/support/counting.rs"]
mod counting;

use counting::allocations;

fn feed(framer: &mut Framer, stream: &[u8]) -> usize {
    let mut decoded = 0;
    for read in stream.chunks(64 << 10) {
        framer.space()[..read.len()].copy_from_slice(read);
        framer.filled(read.len());
        while let Some(document) = framer.next_document() {
            decoded +=
                usize::from(document.and_then(|document| decode(document, &OwnPids::default())).is_ok());
        }
    }
    decoded
}

#[test]
fn framing_and_decoding_allocate_nothing_once_the_buffer_has_its_size() {
    let stream: String = (0..4)
        .map(|seed| capture::document(105, seed).replacen("process.1<", "R&amp;D &lt; café<", 1) + "\0")
        .collect();
    let mut framer = Framer::new();
    assert_eq!(feed(&mut framer, stream.as_bytes()), 4);
    let before = allocations(None);
    assert!(before > 0, "the counter counts");
    for _ in 0..20 {
        assert_eq!(feed(&mut framer, stream.as_bytes()), 4);
    }
    assert_eq!(allocations(None) - before, 0);
}
