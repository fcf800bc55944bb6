//! HTTP: `/metrics`, `/healthz`, `/readyz` and a page, on a thread and a runtime of its own.
//!
//! A scrape reads a snapshot and counters: it waits for neither the sampling thread nor a disk, and neither waits for
//! it. What a client does, or does not do, ends with its connection (`connections`).

mod connections;
mod page;
mod respond;
pub mod web;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::{Notify, oneshot};

use super::metrics::Metrics;
use crate::config::{self, ConfigErrors};
use crate::runtime::Runtime;

use web::Web;

/// Why HTTP can't be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Somebody else listens there.
    #[error(
        "{0} is in use: end what listens there, or choose another address with --web.listen-address or [http] listen ([] turns it off)"
    )]
    InUse(SocketAddr),
    /// The system refuses the address.
    #[error("can't listen on {0}: {1}: choose another address with --web.listen-address or [http] listen")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The web configuration is wrong.
    #[error(transparent)]
    WebConfig(#[from] ConfigErrors),
}

/// Reads the web configuration, and listens nowhere.
///
/// # Errors
/// Everything that is wrong with it, by line.
pub fn check(config: &config::Http) -> Result<(), ConfigErrors> {
    Web::load(config.web_config.as_deref()).map(drop)
}

/// Serves one connection, whatever carries it, without TLS and without looking for changed settings; ends with it. It
/// runs on the runtime and the thread of whoever calls it.
pub async fn serve_one(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    metrics: &Metrics,
    settings: &web::Settings,
) {
    connections::serve_one(stream, metrics, settings).await;
}

/// Addresses that are listened on, before anybody is answered.
pub struct Listeners {
    listeners: Vec<TcpListener>,
    web: Web,
}

/// The running server. Dropping it ends it.
#[derive(Debug)]
pub struct Http {
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    /// Notified to have the web configuration read again.
    reload: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Http {
    /// Reads the web configuration and listens on the addresses of the configuration.
    ///
    /// # Errors
    /// Where the web configuration is wrong, or an address is in use or can't be had.
    pub fn bind(config: &config::Http) -> Result<Listeners, HttpError> {
        let web = Web::load(config.web_config.as_deref())?;
        let scheme = if web.has_tls() { "https" } else { "http" };
        let mut listeners = Vec::new();
        let mut exposed = false;
        for address in &config.listen {
            let address = address.socket_addr();
            let listener = TcpListener::bind(address)
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .map_err(|error| match error.kind() {
                    std::io::ErrorKind::AddrInUse => HttpError::InUse(address),
                    _ => HttpError::Listen(address, error),
                })?;
            let bound = listener.local_addr().unwrap_or(address);
            tracing::info!("metrics are served at {scheme}://{bound}/metrics");
            exposed |= !bound.ip().is_loopback();
            listeners.push(listener);
        }
        if exposed {
            web.expose();
        }
        Ok(Listeners { listeners, web })
    }

    /// Has the web configuration read again; what comes of it is logged and counted.
    pub fn reload(&self) {
        self.reload.notify_one();
    }
}

impl Listeners {
    /// Serves on them; `None` where there are none.
    ///
    /// # Errors
    /// Where the system gives no thread or runtime.
    pub fn serve(self, metrics: Metrics) -> std::io::Result<Option<Http>> {
        if self.listeners.is_empty() {
            return Ok(None);
        }
        let runtime = Runtime::new()?;
        let (stop, stopped) = oneshot::channel();
        let listeners = {
            let _inside = runtime.enter();
            let listen = self.listeners.into_iter().map(tokio::net::TcpListener::from_std);
            listen.collect::<std::io::Result<Vec<_>>>()?
        };
        let reload = Arc::new(Notify::new());
        let reloading = Arc::clone(&reload);
        let web = self.web;
        let thread = thread::Builder::new().name("http".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    // Ends when the other end is dropped.
                    _ = stopped => {}
                    () = connections::serve(listeners, metrics, web, &reloading) => {}
                }
            });
        })?;
        Ok(Some(Http { stop: Some(stop), reload, thread: Some(thread) }))
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It does nothing that takes long; where it panicked it has said so.
            let _ = thread.join();
        }
    }
}
