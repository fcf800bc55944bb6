//! A collector in this process: it speaks http/protobuf or grpc, keeps what it took, and answers as it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Response, Status};

use crate::daemon::until;

/// How a request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Everything is taken.
    Take,
    /// So many spans are refused.
    Partial(i64),
    /// HTTP: this status and header.
    Http(u16, Option<(&'static str, &'static str)>),
    /// HTTP 200 with a page of HTML.
    Page,
    /// gRPC: this status.
    Grpc(Code),
    /// Nothing ever comes back.
    Silence,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The path, of HTTP.
    pub(crate) path: String,
    /// Headers or metadata, names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) message: ExportTraceServiceRequest,
    pub(crate) reply: Reply,
    pub(crate) at: Instant,
}

impl Received {
    /// The spans in it.
    pub(crate) fn spans(&self) -> Vec<&Span> {
        let scopes = self.message.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| &scope.spans).collect()
    }

    /// The events that they are of.
    pub(crate) fn ids(&self) -> Vec<i64> {
        self.spans().into_iter().map(event_id).collect()
    }
}

/// An attribute's value.
pub(crate) fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
}

/// The event that a span is of.
pub(crate) fn event_id(span: &Span) -> i64 {
    match attribute(&span.attributes, "pause_monitor.event.id") {
        Some(Value::IntValue(id)) => *id,
        other => panic!("{other:?}"),
    }
}

type Respond = dyn Fn(&Received) -> Reply + Send + Sync;

struct Shared {
    respond: Box<Respond>,
    received: Mutex<Vec<Received>>,
    ended: AtomicBool,
    /// Connections, to be closed at the end.
    open: Mutex<Vec<TcpStream>>,
    /// How many are open now, of HTTP.
    connections: AtomicUsize,
}

impl Shared {
    fn answer(
        &self,
        path: String,
        headers: BTreeMap<String, String>,
        message: ExportTraceServiceRequest,
    ) -> Reply {
        let mut received = Received { path, headers, message, reply: Reply::Take, at: Instant::now() };
        let reply = (self.respond)(&received);
        received.reply = reply.clone();
        self.received.lock().unwrap().push(received);
        reply
    }
}

/// The collector; it ends with the fixture, and its port is free then.
pub(crate) struct Collector {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Listens, once whoever did so before is gone: for why that may take its time see [`nowhere`](crate::port::nowhere).
fn listen(at: SocketAddr) -> TcpListener {
    until("the port", || TcpListener::bind(at).ok())
}

impl Collector {
    fn shared(respond: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Arc<Shared> {
        Arc::new(Shared {
            respond: Box::new(respond),
            received: Mutex::default(),
            ended: AtomicBool::new(false),
            open: Mutex::default(),
            connections: AtomicUsize::new(0),
        })
    }

    /// One that speaks http/protobuf.
    pub(crate) fn http(respond: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::http_at(any(), respond)
    }

    /// The same at an address.
    pub(crate) fn http_at(
        at: SocketAddr,
        respond: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let shared = Self::shared(respond);
        let listener = listen(at);
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming() {
                    if shared.ended.load(SeqCst) {
                        return;
                    }
                    let stream = stream.unwrap();
                    shared.open.lock().unwrap().push(stream.try_clone().unwrap());
                    let shared = Arc::clone(&shared);
                    shared.connections.fetch_add(1, SeqCst);
                    thread::spawn(move || {
                        serve(&shared, stream);
                        shared.connections.fetch_sub(1, SeqCst);
                    });
                }
            }
        });
        Self { shared, address, stop: None, thread: Some(thread) }
    }

    /// One that speaks grpc.
    pub(crate) fn grpc(respond: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::grpc_at(any(), respond)
    }

    /// The same at an address.
    pub(crate) fn grpc_at(
        at: SocketAddr,
        respond: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let shared = Self::shared(respond);
        let listener = listen(at);
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = thread::spawn({
            let service = TraceServiceServer::new(Grpc(Arc::clone(&shared)))
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                    let incoming = tonic::transport::server::TcpIncoming::from(listener);
                    let server = tonic::transport::Server::builder().serve_with_incoming(service, incoming);
                    tokio::select! {
                        served = server => served.unwrap(),
                        _ = stopped => {}
                    }
                });
            }
        });
        Self { shared, address, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections are open now, of HTTP.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// What came, oldest first.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// The spans that it took, oldest first.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let taken = |received: &Received| matches!(received.reply, Reply::Take);
        self.received().iter().filter(|one| taken(one)).flat_map(Received::spans).cloned().collect()
    }

    /// The events that they are of.
    pub(crate) fn ids(&self) -> Vec<i64> {
        self.spans().iter().map(event_id).collect()
    }

    /// Waits until it took a span that is so.
    pub(crate) fn wait_for_span(&self, what: &str, is_so: impl Fn(&Span) -> bool) -> Span {
        until(what, || self.spans().into_iter().find(&is_so))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
        match self.stop.take() {
            Some(stop) => drop(stop.send(())),
            // The listener looks up.
            None => drop(TcpStream::connect(self.address)),
        }
        if let Some(thread) = self.thread.take() {
            // A thread that failed has said so.
            let _ = thread.join();
        }
        for stream in self.shared.open.lock().unwrap().drain(..) {
            // It may have been closed from the other side.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

struct Grpc(Arc<Shared>);

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        let headers = headers.iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        match self.0.answer(String::new(), headers.collect(), request.into_inner()) {
            Reply::Take => Ok(Response::new(ExportTraceServiceResponse::default())),
            Reply::Partial(rejected) => Ok(Response::new(partial(rejected))),
            Reply::Grpc(code) => Err(Status::new(code, "as it was told")),
            Reply::Silence => std::future::pending().await,
            Reply::Http(..) | Reply::Page => panic!("this is grpc"),
        }
    }
}

fn partial(rejected_spans: i64) -> ExportTraceServiceResponse {
    let error_message = "as it was told".to_owned();
    ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess { rejected_spans, error_message }),
    }
}

/// One connection: requests until it is closed.
fn serve(shared: &Shared, stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some((path, headers, body)) = request(&mut reader) {
        let body = if headers.get("content-encoding").is_some_and(|coding| coding == "gzip") {
            let mut plain = Vec::new();
            GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
            plain
        } else {
            body
        };
        assert_eq!(headers.get("content-type").map(String::as_str), Some("application/x-protobuf"));
        let message = ExportTraceServiceRequest::decode(&body[..]).unwrap();
        let (status, header, body) = match shared.answer(path, headers, message) {
            Reply::Take => (200, None, ExportTraceServiceResponse::default().encode_to_vec()),
            Reply::Partial(rejected) => (200, None, partial(rejected).encode_to_vec()),
            Reply::Http(status, header) => (status, header, Vec::new()),
            Reply::Page => (200, Some(("Content-Type", "text/html")), b"<html></html>".to_vec()),
            Reply::Grpc(_) => panic!("this is http"),
            Reply::Silence => {
                // It reads on, and says nothing.
                let _ = std::io::copy(&mut reader, &mut std::io::sink());
                return;
            }
        };
        let header = header.map(|(name, value)| format!("{name}: {value}\r\n")).unwrap_or_default();
        let head = format!("HTTP/1.1 {status} As Told\r\n{header}Content-Length: {}\r\n\r\n", body.len());
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).is_err() {
            return;
        }
    }
}

/// Reads a request; `None` at the connection's end.
fn request(reader: &mut impl BufRead) -> Option<(String, BTreeMap<String, String>, Vec<u8>)> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
        Some(line.trim_end().to_owned())
    };
    let path = line()?.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    while let Some((name, value)) = line()?.split_once(": ") {
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some((path, headers, body))
}
