//! The Unix socket: one way, newline-delimited JSON, to any number of clients up to a bound. None of them holds
//! anything up: each has a queue of its own, and every line is encoded once and shared.

mod queue;

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::complaint::Complaint;
use crate::sample::Sample;

pub use queue::{MAX_EVENTS, MAX_SAMPLES};

use queue::{Kind, Queue};

/// The socket's file in the data directory.
pub const FILE_NAME: &str = "daemon.sock";
/// Clients at once; one more is closed at once.
pub const MAX_CLIENTS: usize = 256;
/// A client that takes nothing for so long is cut off.
const UNREAD: Duration = Duration::from_secs(60);
/// How long no client is accepted after one could not be.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// Bytes put together for one write.
const WRITE: usize = 16 << 10;
/// Room for writing that a client keeps while nothing waits for it, bytes: some samples.
const KEPT: usize = 4 << 10;

/// Bytes of a socket's path that the system has room for, its NUL included.
const PATH_MAX: usize = if cfg!(target_os = "macos") { 104 } else { 108 };

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The path is longer than the system allows.
    #[error(
        "{} is {} bytes long, and a socket's path may have {} at most here: use a shorter --data-dir",
        .0.display(), .0.as_os_str().len(), PATH_MAX - 1
    )]
    TooLong(PathBuf),
    /// It can't be made.
    #[error("can't make the socket {}: {}", .0.display(), .1)]
    Io(PathBuf, #[source] io::Error),
}

/// The socket's path in a data directory.
///
/// # Errors
/// [`SocketError::TooLong`].
pub fn path_in(directory: &Path) -> Result<PathBuf, SocketError> {
    let path = directory.join(FILE_NAME);
    if path.as_os_str().len() >= PATH_MAX { Err(SocketError::TooLong(path)) } else { Ok(path) }
}

/// Counters of the socket. The outputs' thread writes them, any thread reads them.
#[derive(Debug, Default)]
pub struct SocketStats {
    /// Clients connected now.
    pub clients: AtomicUsize,
    /// Samples left out because a client was slow.
    pub dropped: AtomicU64,
}

/// The listening socket. Its file stays when it is dropped, as a disk that hangs would hold up whoever drops it:
/// [`SocketFile::remove`].
#[derive(Debug)]
pub struct Socket {
    file: SocketFile,
    listener: UnixListener,
    /// The user who may connect, besides root.
    owner: u32,
    clients: Clients,
    /// No client is accepted before: accepting has failed, most likely for want of descriptors, and that does not
    /// pass in an instant.
    not_before: Cell<Option<Instant>>,
    refused: Complaint,
    failed: Complaint,
}

/// A socket's file: its path, and which file under that name it is, by device and inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Makes a socket in the data directory, in place of a stale one: the caller holds the directory's lock, so no
    /// daemon listens there. Waits for the disk.
    ///
    /// # Errors
    /// Where the path is too long for a socket, or it can't be made.
    pub fn make(directory: &Path) -> Result<(Self, std::os::unix::net::UnixListener), SocketError> {
        let path = path_in(directory)?;
        let made = || {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = std::os::unix::net::UnixListener::bind(&path)?;
            listener.set_nonblocking(true)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            Ok((std::fs::symlink_metadata(&path)?, listener))
        };
        let (metadata, listener) = made().map_err(|error| SocketError::Io(path.clone(), error))?;
        Ok((Self { path, identity: (metadata.dev(), metadata.ino()) }, listener))
    }

    /// Whether it still is what stands under its name. Waits for the disk.
    #[must_use]
    pub fn is_there(&self) -> bool {
        std::fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }

    /// Removes it, unless another has taken its place. Waits for the disk.
    pub fn remove(&self) {
        if self.is_there() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What is sent to whom.
#[derive(Debug, Default)]
pub struct Clients {
    connected: Vec<Arc<Client>>,
    /// Encoded samples of the last seconds with their numbers, for a hello: the lines that the clients got. While there are
    /// none it is left as it was.
    ring: VecDeque<(u64, Bytes)>,
    stats: Arc<SocketStats>,
    full: Complaint,
    tasks: JoinSet<()>,
}

/// A client as the outputs see it.
#[derive(Debug, Default)]
struct Client {
    /// What waits for it. The outputs push, its task pops; both on one thread, so that nobody ever waits.
    queue: Mutex<Queue>,
    /// Something was pushed, or it is to end.
    wake: Notify,
}

impl Client {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Socket {
    /// Makes the socket in the data directory, as [`SocketFile::make`] has it. Must be called on a runtime.
    ///
    /// # Errors
    /// Where the path is too long for a socket, or it can't be made.
    pub fn bind(directory: &Path, owner: u32) -> Result<Self, SocketError> {
        let (file, listener) = SocketFile::make(directory)?;
        let failed = |error| SocketError::Io(file.path.clone(), error);
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        Ok(Self {
            file,
            listener,
            owner,
            clients: Clients::default(),
            not_before: Cell::new(None),
            refused: Complaint::default(),
            failed: Complaint::default(),
        })
    }

    /// Listens on another socket from here on; who is connected stays. Must be called on a runtime.
    ///
    /// # Errors
    /// Where the runtime does not take it.
    pub fn move_to(
        &mut self,
        file: SocketFile,
        listener: std::os::unix::net::UnixListener,
    ) -> io::Result<()> {
        self.listener = UnixListener::from_std(listener)?;
        self.file = file;
        Ok(())
    }

    /// Its file.
    #[must_use]
    pub fn file(&self) -> &SocketFile {
        &self.file
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Waits for the next client that may connect; the others are turned away.
    pub async fn accept(&self) -> UnixStream {
        loop {
            if let Some(not_before) = self.not_before.get() {
                tokio::time::sleep_until(not_before).await;
                self.not_before.set(None);
            }
            let error = match self.listener.accept().await {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(peer) if peer.uid() == self.owner || peer.uid() == 0 => return stream,
                    Ok(peer) => {
                        if let Some(more) = self.refused.now() {
                            tracing::warn!(
                                "user {} may not read the socket and was turned away{more}",
                                peer.uid()
                            );
                        }
                        continue;
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if let Some(more) = self.failed.now() {
                tracing::warn!("a client could not be accepted: {error}{more}");
            }
            self.not_before.set(Some(Instant::now() + TRY_AGAIN));
        }
    }

    /// The clients.
    pub fn clients(&mut self) -> &mut Clients {
        &mut self.clients
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

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

    use super::*;

    const HELLO: &[u8] = b"{\"type\":\"hello\",\"host\":\"\\\"ring\\\":[\",\"ring\":[]}\n";

    fn uid() -> u32 {
        // SAFETY: it takes nothing and always succeeds.
        unsafe { libc::geteuid() }
    }

    fn run<F: Future<Output = ()>>(test: F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { timeout(Duration::from_secs(60), test).await.unwrap() });
    }

    async fn connect(socket: &mut Socket) -> UnixStream {
        connect_at(socket, 1..=3).await
    }

    /// A client that comes when these samples are the ring.
    async fn connect_at(socket: &mut Socket, ring: RangeInclusive<u64>) -> UnixStream {
        let path = socket.path().to_owned();
        let (client, accepted) = tokio::join!(UnixStream::connect(path), socket.accept());
        let ring: Vec<Sample> = ring.map(|seq| Sample { seq, ..Sample::default() }).collect();
        socket.clients().add(accepted, HELLO, ring.iter(), |of| sample(of.seq));
        client.unwrap()
    }

    /// A client, and its hello's ring.
    async fn hello(socket: &mut Socket, ring: RangeInclusive<u64>) -> (BufReader<UnixStream>, Vec<u64>) {
        let mut client = BufReader::new(connect_at(socket, ring).await);
        let mut line = String::new();
        client.read_line(&mut line).await.unwrap();
        let hello: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(hello["host"], "\"ring\":[");
        let ring = hello["ring"].as_array().unwrap().iter().map(|sample| sample["seq"].as_u64().unwrap());
        (client, ring.collect())
    }

    fn sample(number: u64) -> Bytes {
        Bytes::from(format!("{{\"type\":\"sample\",\"seq\":{number}}}\n"))
    }

    #[test]
    fn a_client_gets_a_hello_with_the_ring_and_then_every_line() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let mut socket = Socket::bind(directory.path(), uid()).unwrap();
            let first = hello(&mut socket, 1..=3).await;
            assert_eq!(first.1, [1, 2, 3], "made for the first client");
            for number in 4..=6 {
                socket.clients().send_sample(number, &sample(number), number - 2);
            }
            let mut second = hello(&mut socket, 4..=6).await;
            assert_eq!(second.1, [4, 5, 6], "the lines that the first one got");
            socket.clients().send_sample(7, &sample(7), 5);
            let mut line = String::new();
            second.0.read_line(&mut line).await.unwrap();
            assert_eq!(line.as_bytes(), sample(7).as_ref());
            drop((first, second));
            while !socket.clients().is_empty() {
                socket.clients().send_event(&sample(0));
                tokio::task::yield_now().await;
            }
            // What came while nobody was there is made now, the rest is there.
            assert_eq!(hello(&mut socket, 6..=9).await.1, [6, 7, 8, 9]);
            assert_eq!(hello(&mut socket, 20..=21).await.1, [20, 21]);
        });
    }

    #[test]
    fn a_client_that_never_reads_holds_nobody_up_and_is_told_what_it_missed() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let mut socket = Socket::bind(directory.path(), uid()).unwrap();
            let mut sleeper = connect(&mut socket).await;
            let line = Bytes::from(vec![b'x'; 4095].into_iter().chain([b'\n']).collect::<Vec<u8>>());
            for _ in 0..2_000 {
                socket.clients().send_sample(1, &line, 2);
                tokio::task::yield_now().await;
            }
            let stats = socket.clients().stats();
            let dropped = stats.dropped.load(Ordering::Relaxed);
            assert!(dropped > 1_000, "{dropped}");
            socket.clients.connected.clear();
            for client in &socket.clients.connected {
                client.wake.notify_one();
            }
            let mut all = vec![0; 64 << 10];
            let mut text = Vec::new();
            while let Ok(Ok(count @ 1..)) = timeout(Duration::from_secs(5), sleeper.read(&mut all)).await {
                text.extend_from_slice(&all[..count]);
                if String::from_utf8_lossy(&text).contains("lagged") {
                    break;
                }
            }
            assert!(String::from_utf8_lossy(&text).contains("\"type\":\"lagged\""));
        });
    }

    #[test]
    fn clients_that_vanish_are_forgotten() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let mut socket = Socket::bind(directory.path(), uid()).unwrap();
            for _ in 0..50 {
                drop(connect(&mut socket).await);
            }
            while !socket.clients().is_empty() {
                socket.clients().send_sample(1, &sample(1), 2);
                tokio::task::yield_now().await;
            }
            assert_eq!(socket.clients().stats().clients.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn more_clients_than_fit_are_turned_away_and_the_others_stay() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let mut socket = Socket::bind(directory.path(), uid()).unwrap();
            let mut kept = Vec::new();
            for _ in 0..MAX_CLIENTS {
                kept.push(connect(&mut socket).await);
            }
            let mut refused = connect(&mut socket).await;
            assert_eq!(refused.read(&mut [0; 16]).await.unwrap(), 0);
            assert_eq!(socket.clients().len(), MAX_CLIENTS);
        });
    }

    #[test]
    fn a_stale_socket_is_replaced_and_the_file_is_private_and_only_its_own_is_removed() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join(FILE_NAME);
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
            assert!(path.exists());
            let socket = Socket::bind(directory.path(), uid()).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::rename(&path, directory.path().join("ours")).unwrap();
            assert!(!socket.file().is_there());
            let other = Socket::bind(directory.path(), uid()).unwrap();
            socket.file().remove();
            assert!(path.exists() && other.file().is_there(), "another daemon's stays");
            other.file().remove();
            assert!(!path.exists());
        });
    }

    #[test]
    fn a_client_that_takes_nothing_for_a_minute_is_cut_off() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let (server, _client) = UnixStream::pair().unwrap();
            let mut clients = Clients::default();
            clients.add(server, HELLO, [].iter(), |_| Bytes::new());
            let line = Bytes::from(vec![b'x'; 1 << 20]);
            clients.send_event(&line);
            let began = Instant::now();
            while !clients.is_empty() {
                tokio::time::sleep(Duration::from_millis(500)).await;
                clients.send_sample(1, &sample(1), 2);
            }
            let took = began.elapsed();
            assert!(took >= UNREAD && took < UNREAD + Duration::from_secs(2), "{took:?}");
        });
    }

    #[test]
    fn a_path_that_is_too_long_is_told_with_the_limit() {
        run(async {
            let directory = PathBuf::from(format!("/tmp/{}", "x".repeat(120)));
            let error = Socket::bind(&directory, uid()).unwrap_err().to_string();
            assert!(error.contains("137 bytes long") && error.contains("--data-dir"), "{error}");
        });
    }

    #[test]
    fn other_users_are_turned_away() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let socket = Socket::bind(directory.path(), uid() + 1).unwrap();
            let connecting = UnixStream::connect(socket.path().to_owned());
            let accepted = timeout(Duration::from_millis(200), async {
                let (client, stream) = tokio::join!(connecting, socket.accept());
                (client, stream)
            });
            // Root may always read.
            assert_eq!(accepted.await.is_ok(), uid() == 0);
        });
    }
}
