//! The host of an address.

use reqwest::Url;

/// Host and port, for a person.
pub(super) fn place(endpoint: &Url) -> String {
    let port = endpoint.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", endpoint.host_str().unwrap_or_default())
}

/// Whether a URL's host is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
