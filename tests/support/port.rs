//! A port that nobody listens at.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A loopback address at which nobody listens, for somebody to come.
///
/// The port was never listened at: a listener that is closed is not always gone at once, for a process that another test
/// starts has it too from its fork to its exec, on a busy machine for milliseconds. So long the port would be in use.
pub(crate) fn nowhere() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket.local_addr().unwrap()
}
