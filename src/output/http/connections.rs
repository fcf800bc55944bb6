//! Connections: how many, how long, how much. No client can keep another from being answered: where all places are
//! taken, the one that has been idle longest goes.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, LocalSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::respond::respond;
use super::web::{Settings, Web};
use crate::output::complaint::Complaint;
use crate::output::metrics::Metrics;

/// Connections at once.
const MOST: usize = 64;
/// How long a request's header may take, and how long a connection may wait for its next request.
const HEADER: Duration = Duration::from_secs(20);
/// How long it may take until TLS is spoken.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long an answer may take to be read.
const ANSWER: Duration = Duration::from_secs(30);
/// A request's header, bytes and lines.
const HEADER_BYTES: usize = 16 << 10;
const HEADER_LINES: usize = 64;
/// How long nobody is accepted after one could not be: that is mostly want of descriptors.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// A connection as the accepting side sees it.
struct Place {
    task: AbortHandle,
    /// When its last request began, or it itself.
    active: Rc<Cell<Instant>>,
}

/// What all connections share, on their one thread.
struct Server {
    metrics: Metrics,
    web: Web,
}

/// Accepts and serves until dropped; reads the web configuration again when it is notified.
pub(super) async fn serve(listeners: Vec<TcpListener>, metrics: Metrics, web: Web, reload: &Notify) {
    let server = Rc::new(Server { metrics, web });
    let accepting = async {
        let failed = Complaint::default();
        let mut places: Vec<Place> = Vec::with_capacity(MOST);
        loop {
            let stream = accept(&listeners, &failed).await;
            places.retain(|place| !place.task.is_finished());
            if places.len() >= MOST
                && let Some(idlest) = (0..places.len()).min_by_key(|&at| places[at].active.get())
            {
                places.swap_remove(idlest).task.abort();
            }
            let active = Rc::new(Cell::new(Instant::now()));
            let task = tokio::task::spawn_local(connection(stream, Rc::clone(&server), Rc::clone(&active)));
            places.push(Place { task: task.abort_handle(), active });
        }
    };
    let reloading = async {
        loop {
            reload.notified().await;
            server.web.read_again(&server.metrics, true).await;
        }
    };
    LocalSet::new()
        .run_until(async {
            tokio::select! {
                () = accepting => {}
                () = reloading => {}
            }
        })
        .await;
}

/// The next connection on any of the listeners.
async fn accept(listeners: &[TcpListener], failed: &Complaint) -> TcpStream {
    loop {
        let accepted = poll_fn(|context| {
            for listener in listeners {
                if let Poll::Ready(accepted) = listener.poll_accept(context) {
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        })
        .await;
        match accepted {
            Ok((stream, _)) => return stream,
            Err(error) => {
                if let Some(more) = failed.now() {
                    tracing::warn!("an HTTP connection could not be accepted: {error}{more}");
                }
                sleep(TRY_AGAIN).await;
            }
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    server: Rc<Server>,
    active: Rc<Cell<Instant>>,
) {
    server.web.refresh(&server.metrics).await;
    match server.web.settings().tls {
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(stream)).await {
                talk(stream, &server, &active).await;
            }
        }
        None => talk(stream, &server, &active).await,
    }
}

/// Serves a connection with `settings`, TLS aside; ends with it.
pub(super) async fn serve_one(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    metrics: &Metrics,
    settings: &Settings,
) {
    let server = Server { metrics: metrics.clone(), web: Web::of(settings.clone()) };
    talk(stream, &server, &Cell::new(Instant::now())).await;
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, server: &Server, active: &Cell<Instant>) {
    let service = service_fn(|request| async move {
        active.set(Instant::now());
        // Whoever was removed from the configuration has no say on an old connection either.
        let users = server.web.settings().users;
        Ok::<_, Infallible>(respond(&request, users.as_ref(), &server.metrics).await)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        // Who has asked and says that nothing more will come (`nc -N`) waits for the answer all the same.
        .half_close(true)
        .max_headers(HEADER_LINES)
        .max_header_size(HEADER_BYTES)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    // What ends a connection is its client's business: a time-out, a broken pipe, nonsense.
    tokio::select! {
        _ = serving => {}
        () = idle(active) => {}
    }
}

/// Until nothing has been asked for so long that the answer before was not read, or never ended.
async fn idle(active: &Cell<Instant>) {
    loop {
        let end = active.get() + HEADER + ANSWER;
        if end <= Instant::now() {
            return;
        }
        sleep_until(end).await;
    }
}

#[cfg(test)]
mod tests;
