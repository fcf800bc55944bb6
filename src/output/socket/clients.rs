//! Who is connected, and what each is sent. None of them holds anything up: each has a queue of its own, and every line is
//! encoded once and shared.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::queue::{Kind, Queue};
use crate::output::complaint::Complaint;
use crate::sample::Sample;

/// Clients at once; one more is closed at once.
pub const MAX_CLIENTS: usize = 256;
/// A client that takes nothing for so long is cut off.
pub(super) const UNREAD: Duration = Duration::from_secs(60);
/// Bytes put together for one write.
const WRITE: usize = 16 << 10;
/// Room for writing that a client keeps while nothing waits for it, bytes: some samples.
const KEPT: usize = 4 << 10;

/// Counters of the socket. The outputs' thread writes them, any thread reads them.
#[derive(Debug, Default)]
pub struct SocketStats {
    /// Clients connected now.
    pub clients: AtomicUsize,
    /// Samples left out because a client was slow.
    pub dropped: AtomicU64,
}

/// What is sent to whom.
#[derive(Debug, Default)]
pub struct Clients {
    pub(super) connected: Vec<Arc<Client>>,
    /// Encoded samples of the last seconds with their numbers, for a hello: the lines that the clients got. While there are
    /// none it is left as it was.
    ring: VecDeque<(u64, Bytes)>,
    stats: Arc<SocketStats>,
    full: Complaint,
    tasks: JoinSet<()>,
}

/// A client as the outputs see it.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// What waits for it. The outputs push, its task pops; both on one thread, so that nobody ever waits.
    queue: Mutex<Queue>,
    /// Something was pushed, or it is to end.
    pub(super) wake: Notify,
}

impl Client {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clients {
    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Arc<SocketStats> {
        Arc::clone(&self.stats)
    }

    /// Takes a client on: it gets a hello with the ring, then every line. `hello` is the hello's line with an
    /// empty ring, `samples` are the ring, oldest first; `encode` makes the line of one that no client got yet.
    pub fn add<'a>(
        &mut self,
        stream: UnixStream,
        hello: &[u8],
        samples: impl Iterator<Item = &'a Sample>,
        mut encode: impl FnMut(&Sample) -> Bytes,
    ) {
        self.forget_the_gone();
        let mut samples = samples.peekable();
        self.forget_before(samples.peek().map_or(u64::MAX, |oldest| oldest.seq));
        let newest = self.ring.back().map_or(0, |(seq, _)| *seq);
        self.ring
            .extend(samples.filter(|sample| sample.seq > newest).map(|sample| (sample.seq, encode(sample))));
        if self.connected.len() >= MAX_CLIENTS {
            if let Some(more) = self.full.now() {
                tracing::warn!("{MAX_CLIENTS} clients are connected, another was turned away{more}");
            }
            return;
        }
        let client = Arc::new(Client::default());
        let greeting = self.greeting(hello);
        self.connected.push(Arc::clone(&client));
        self.stats.clients.store(self.connected.len(), Ordering::Relaxed);
        self.tasks.spawn(serve(stream, greeting, client));
    }

    /// Sends a sample's line to all; those from the number `oldest` on go into the next hello.
    pub fn send_sample(&mut self, seq: u64, line: &Bytes, oldest: u64) {
        self.ring.push_back((seq, line.clone()));
        self.forget_before(oldest);
        self.send(Kind::Sample, line);
    }

    fn forget_before(&mut self, oldest: u64) {
        while self.ring.front().is_some_and(|(seq, _)| *seq < oldest) {
            self.ring.pop_front();
        }
    }

    /// Sends any other line to all.
    pub fn send_event(&mut self, line: &Bytes) {
        self.send(Kind::Event, line);
    }

    fn send(&mut self, kind: Kind, line: &Bytes) {
        let mut gone = false;
        for client in &self.connected {
            let mut queue = client.queue();
            let dropped = queue.push(kind, line.clone());
            gone |= queue.is_full() || Arc::strong_count(client) == 1;
            drop(queue);
            if dropped > 0 {
                self.stats.dropped.fetch_add(dropped, Ordering::Relaxed);
            }
            client.wake.notify_one();
        }
        if gone {
            self.forget_the_gone();
        }
    }

    /// How many clients there are. One that left is seen to be gone with the next line, or the next client.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connected.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connected.is_empty()
    }

    /// Gives the clients a moment to take what waits for them, then lets them go.
    pub async fn close(mut self, patience: Duration) {
        for client in self.connected.drain(..) {
            client.wake.notify_one();
        }
        let _ = timeout(patience, async { while self.tasks.join_next().await.is_some() {} }).await;
    }

    fn forget_the_gone(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        // A client whose task has ended has only this reference left.
        self.connected.retain(|client| Arc::strong_count(client) > 1 && !client.queue().is_full());
        self.stats.clients.store(self.connected.len(), Ordering::Relaxed);
    }

    /// The hello's line, with the ring's lines put into its empty ring. They are shared with all other
    /// clients, so that one that never reads costs little.
    fn greeting(&self, hello: &[u8]) -> VecDeque<Bytes> {
        const EMPTY_RING: &[u8] = b"\"ring\":[";
        let Some(at) = hello.windows(EMPTY_RING.len()).rposition(|window| window == EMPTY_RING) else {
            return VecDeque::from([Bytes::copy_from_slice(hello)]);
        };
        let (head, tail) = hello.split_at(at + EMPTY_RING.len());
        let mut parts = VecDeque::with_capacity(2 * self.ring.len() + 2);
        parts.push_back(Bytes::copy_from_slice(head));
        for (index, (_, line)) in self.ring.iter().enumerate() {
            if index > 0 {
                parts.push_back(Bytes::from_static(b","));
            }
            parts.push_back(line.slice(..line.len() - 1));
        }
        parts.push_back(Bytes::copy_from_slice(tail));
        parts
    }
}

/// A client's task: writes what waits for it, until it goes, takes nothing for too long, or is let go.
async fn serve(stream: UnixStream, mut greeting: VecDeque<Bytes>, client: Arc<Client>) {
    let (mut reader, writer) = stream.into_split();
    tokio::select! {
        () = gone(&mut reader) => {}
        () = write(&writer, &mut greeting, &client) => {}
    }
}

/// Until the connection breaks. What the client says is not for us, and that it has no more to say does not mean that it
/// does not listen: one that is gone is noticed by the next write.
async fn gone(reader: &mut OwnedReadHalf) {
    let mut ignored = [0; 256];
    loop {
        match tokio::io::AsyncReadExt::read(reader, &mut ignored).await {
            Ok(0) => std::future::pending().await,
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

async fn write(writer: &OwnedWriteHalf, greeting: &mut VecDeque<Bytes>, client: &Arc<Client>) {
    let mut buffer = BytesMut::new();
    loop {
        while buffer.len() < WRITE {
            let Some(line) = greeting.pop_front().or_else(|| client.queue().pop()) else { break };
            buffer.extend_from_slice(&line);
        }
        if buffer.is_empty() {
            // The outputs have let it go: it has all there was.
            if Arc::strong_count(client) == 1 || client.queue().is_full() {
                return;
            }
            // Of 200 clients each would keep 100 KB for ever, for the hello that it was sent once.
            *greeting = VecDeque::new();
            if buffer.capacity() > KEPT {
                buffer = BytesMut::new();
            }
            client.wake.notified().await;
            continue;
        }
        let written = loop {
            match timeout(UNREAD, writer.writable()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
            match writer.try_write(&buffer) {
                Ok(0) => return,
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        };
        let _ = buffer.split_to(written);
        if client.queue().is_full() {
            return;
        }
    }
}
