//! A proxy's address, as a person sets it. It may hold a password, so no text shows more of it than host and port.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;
use serde::{Deserialize, Deserializer};

use super::host::{is_loopback, place};

/// An http or https address of a proxy, perhaps with a user name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyAddress(Url);

/// A text that is no proxy's address. Does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no proxy's address (it is not shown, since it may hold a password); write http://HOST:PORT or https://HOST:PORT"
)]
pub struct NotAProxy;

impl ProxyAddress {
    /// Host and port, which is all that may be told of it.
    pub fn place(&self) -> String {
        place(&self.0)
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.0.host_str().is_some_and(is_loopback)
    }

    /// Whether TLS is spoken to it.
    pub fn speaks_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The address itself, with its password.
    pub(super) fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for ProxyAddress {
    type Err = NotAProxy;

    fn from_str(text: &str) -> Result<Self, NotAProxy> {
        let text = text.trim();
        // Url would take what stands behind a missing // for the host, and the host is told.
        let is_web = ["http://", "https://"].iter().any(|start| text.starts_with(start));
        let url = Url::parse(text).map_err(|_| NotAProxy)?;
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if is_web && url.has_host() && is_bare { Ok(Self(url)) } else { Err(NotAProxy) }
    }
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.0.scheme(), self.place())
    }
}

impl<'de> Deserialize<'de> for ProxyAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_proxy_holds_more_than_its_host() {
        let proxy: ProxyAddress = "http://hidden:hidden@proxy.example:3128".parse().unwrap();
        assert_eq!(
            (format!("{proxy:?}"), proxy.place()),
            ("http://proxy.example:3128".to_owned(), "proxy.example:3128".to_owned())
        );
        assert!(!proxy.is_loopback() && !proxy.speaks_tls());
        let near: ProxyAddress = "https://localhost".parse().unwrap();
        assert!(near.is_loopback() && near.speaks_tls());
        for wrong in
            ["hidden", "hidden:3128", "socks5://hidden", "http://", "http:hidden", "http://p/hidden", "http://p?hidden"]
        {
            let error = wrong.parse::<ProxyAddress>().unwrap_err();
            assert!(!error.to_string().contains("hidden"), "{error}");
        }
    }
}
