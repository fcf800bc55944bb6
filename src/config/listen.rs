//! Addresses to listen on.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::values::{NoSuchValue, quoted};

/// Where HTTP is served: an address and a port. Names other than `localhost` are not looked up: that could hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress(SocketAddr);

impl ListenAddress {
    /// Where the daemon listens unless it is told otherwise.
    pub const DEFAULT: Self = Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9847));

    /// The address as the system takes it.
    #[must_use]
    pub fn socket_addr(self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ListenAddress {
    type Err = NoSuchValue;

    fn from_str(text: &str) -> Result<Self, NoSuchValue> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        let with_port = |host: &str| text.strip_prefix(host)?.strip_prefix(':')?.parse::<u16>().ok();
        if let Some(port) = with_port("localhost") {
            return Ok(Self(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)));
        }
        // As Prometheus' exporters have it: all addresses, IPv4 and IPv6.
        if let Some(port) = with_port("") {
            return Ok(Self(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)));
        }
        Err(NoSuchValue(format!(
            "{} is no address to listen on: write one like \"127.0.0.1:9847\", \"[::1]:9847\", \"localhost:9847\" or \":9847\" for all",
            quoted(text)
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_exporters_read_them_and_no_name_is_looked_up() {
        let read = |text: &str| text.parse::<ListenAddress>().map(|address| address.to_string());
        assert_eq!(read("127.0.0.1:9847").unwrap(), "127.0.0.1:9847");
        assert_eq!(read("[::1]:0").unwrap(), "[::1]:0");
        assert_eq!(read("localhost:1").unwrap(), "127.0.0.1:1");
        assert_eq!(read(":9847").unwrap(), "[::]:9847");
        for text in
            ["", "9847", "127.0.0.1", "example.org:9847", ":65536", "localhost:", "http://127.0.0.1:1"]
        {
            assert!(
                read(text).is_err_and(|error| error.to_string().contains("no address to listen on")),
                "{text}"
            );
        }
    }
}
