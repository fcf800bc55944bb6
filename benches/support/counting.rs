//! The system's allocator, counting what each thread asks for: whoever includes this file runs on it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Threads that are counted apart; those begun later are counted as one.
const THREADS: usize = 1024;

struct Counting;

/// What one thread asked for.
struct Count {
    /// The thread, as the system knows it; 0 for none. Written when the thread first asks.
    thread: AtomicI32,
    /// Written by that thread.
    allocations: AtomicU64,
}

static COUNTS: [Count; THREADS] =
    [const { Count { thread: AtomicI32::new(0), allocations: AtomicU64::new(0) } }; THREADS];
static BEGUN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static MINE: Cell<Option<&'static Count>> = const { Cell::new(None) };
}

#[cfg(target_os = "linux")]
fn this_thread() -> i32 {
    // SAFETY: it takes nothing and always succeeds.
    unsafe { libc::gettid() }
}

/// Elsewhere no thread is looked for from another one.
#[cfg(not(target_os = "linux"))]
fn this_thread() -> i32 {
    0
}

fn mine() -> &'static Count {
    MINE.get().unwrap_or_else(|| {
        let count = &COUNTS[BEGUN.fetch_add(1, Relaxed).min(THREADS - 1)];
        count.thread.store(this_thread(), Relaxed);
        MINE.set(Some(count));
        count
    })
}

// SAFETY: everything is passed on to the system's allocator as it came; the counters are atomics in a static and a plain
// cell without a destructor, which neither allocate nor unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        mine().allocations.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a thread of this process has asked for so far, by the system's number for it; `None` is this thread.
pub(crate) fn allocations(thread: Option<i32>) -> u64 {
    let count = match thread {
        None => Some(mine()),
        Some(thread) => COUNTS.iter().find(|count| count.thread.load(Relaxed) == thread),
    };
    count.map_or(0, |count| count.allocations.load(Relaxed))
}
