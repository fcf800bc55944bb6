//! How the runtimes of our threads are made: the outputs', the alerts' and HTTP's.

use std::io;
use std::ops::Deref;
use std::thread;
use std::time::Duration;

/// Helper threads of a runtime for what may block: they wait for a disk, a name server, a program to start.
const HELPERS: usize = 16;
/// A helper stays for good. tokio panics where a task for a helper finds none and the system gives no thread; where one
/// is there the task waits for it. It takes no wake-ups, and some pages of stack.
const STAY: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A runtime that runs on one thread. Dropped wherever that may be, it waits for nothing: a helper that hangs is left
/// behind.
#[derive(Debug)]
pub struct Runtime(Option<tokio::runtime::Runtime>);

impl Runtime {
    /// Makes one, with its first helper.
    ///
    /// # Errors
    /// Where the system gives no descriptor or thread.
    pub fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(HELPERS)
            .thread_keep_alive(STAY)
            .thread_name("helper")
            .build()?;
        let runtime = Self(Some(runtime));
        // As tokio would panic. That the next one is refused though this one was not is as good as impossible.
        thread::Builder::new().spawn(|| ())?;
        drop(runtime.spawn_blocking(|| ()));
        Ok(runtime)
    }
}

impl Deref for Runtime {
    type Target = tokio::runtime::Runtime;

    fn deref(&self) -> &Self::Target {
        match &self.0 {
            Some(runtime) => runtime,
            None => unreachable!("it is taken out by drop alone"),
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
