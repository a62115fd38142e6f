//! Why no answer came, named as what it is: a person can do something about a wrong port or a refused certificate.
//!
//! Pure: it reads an error and its causes, and nothing else.

use std::error::Error;
use std::io;
use std::time::Duration;

use crate::units::ByteCount;

use super::words::quoted;

/// Why no reply came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection, or it broke.
    #[error("the connection failed: {0}")]
    Connection(String),
    /// Nobody listens.
    #[error("the connection to {0} was refused: nothing listens there")]
    Refused(String),
    /// The name has no address.
    #[error("the host of {0} is unknown: {1}")]
    UnknownHost(String, String),
    /// The certificate is not one for this host, is out of date, or nobody known vouches for it.
    #[error("the TLS certificate of {0} is refused: {1}")]
    Certificate(String, String),
    /// The proxy makes no way to the service.
    #[error("the proxy {0} makes no way to the service: {1}")]
    Proxy(String, String),
    /// The proxy wants a user name and a password, or others.
    #[error("the proxy {0} asks for a user name and a password, or for others than service.proxy holds")]
    ProxyRefused(String),
    /// TLS was spoken to a port where something else is.
    #[error("{0} does not speak TLS: it is the port of something else, perhaps of plain HTTP")]
    NotTls(String),
    /// Something answers, and not in HTTP.
    #[error("{0} does not speak HTTP: it is the port of something else, perhaps of TLS ({1})")]
    NotHttp(String, String),
    /// The time for the request was over.
    #[error("no complete answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The body broke off.
    #[error("the answer's body broke off: {0}")]
    Body(String),
    /// The body is not what it is said to be packed as.
    #[error("the answer's body is packed as `{coding}` and cannot be unpacked: {why}")]
    Packed {
        /// The coding, in the words of the service.
        coding: String,
        /// Why.
        why: String,
    },
    /// The body is larger than any page can be.
    #[error("the answer's body is larger than {0}")]
    TooLarge(ByteCount),
}

/// What about the address keeps attempts from the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InVain {
    /// The name, the certificate, TLS or the proxy.
    Address,
    /// Nothing listens on the port, or something else does. A service that starts again gives both for a while.
    Port,
}

impl TransportError {
    /// What about the address it lies in, so that asking again soon changes nothing; none where it is trouble that may pass.
    pub const fn in_vain(&self) -> Option<InVain> {
        match self {
            Self::UnknownHost(..) | Self::Certificate(..) | Self::NotTls(_) | Self::ProxyRefused(_) => {
                Some(InVain::Address)
            }
            Self::Refused(_) | Self::NotHttp(..) => Some(InVain::Port),
            _ => None,
        }
    }
}

/// What kept a request to `place` (host and port) from being answered. Where there is a proxy, it is the proxy's host that is looked up
/// and connected to, and the service's certificate that is checked behind it.
pub(super) fn of_connection(error: &(dyn Error + 'static), (place, proxy): (&str, Option<&str>)) -> TransportError {
    let (place, told) = (place.to_owned(), chain(error));
    let reached = proxy.map_or_else(|| place.clone(), |proxy| format!("the proxy {proxy}"));
    for cause in causes(error) {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            match tls {
                rustls::Error::InvalidCertificate(_) => {
                    return TransportError::Certificate(place, quoted(&tls.to_string()));
                }
                rustls::Error::InvalidMessage(_) => return TransportError::NotTls(place),
                _ => {}
            }
        }
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::ConnectionRefused) {
            return TransportError::Refused(reached);
        }
    }
    // What the proxy itself answers, once it is connected to.
    let tunnel = proxy.filter(|_| told.contains("tunnel error"));
    if is_unknown_name(&told) {
        // Those before it say no more than that a name was looked up.
        let last = causes(error).last().map(ToString::to_string).unwrap_or_default();
        TransportError::UnknownHost(reached, quoted(&last))
    } else if let Some(proxy) = tunnel.filter(|_| told.contains("authorization required")) {
        TransportError::ProxyRefused(proxy.to_owned())
    } else if let Some(proxy) = tunnel {
        TransportError::Proxy(proxy.to_owned(), told)
    } else if told.contains("invalid HTTP") || told.contains("unexpected message") {
        TransportError::NotHttp(place, told)
    } else {
        TransportError::Connection(told)
    }
}

/// Whether TLS could not be set up because the system has nobody to vouch for a certificate. The library tells it in words alone.
pub(super) fn lacks_authorities(error: &(dyn Error + 'static)) -> bool {
    let says = |tls: &rustls::Error| matches!(tls, rustls::Error::General(told) if told.contains("No CA certificates"));
    causes(error).any(|cause| cause.downcast_ref::<rustls::Error>().is_some_and(says))
}

/// What resolvers say of a name that does not exist, as against one that cannot be looked up now.
fn is_unknown_name(told: &str) -> bool {
    let says = [
        "Name or service not known",
        "nodename nor servname provided",
        "Name does not resolve",
        "No such host is known",
    ];
    says.iter().any(|words| told.contains(words))
}

/// The error and everything below it. An [`io::Error`] hides what it wraps from `source`.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let below = |error: &'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
    };
    std::iter::successors(Some(error), move |error| below(*error))
}

/// An error's causes without the error itself, whose text holds the URL: long, and the same for all. Nor is told in which step of the HTTP
/// library it arose: that helps nobody.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    let is_telling = |text: &String| !text.starts_with("client error (");
    if texts.iter().any(is_telling) {
        texts.retain(is_telling);
    }
    quoted(&if texts.is_empty() { error.to_string() } else { texts.join(": ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("sending to https://x.example/?q=1")]
    struct Sending(#[source] io::Error);

    fn of(cause: io::Error) -> TransportError {
        of_connection(&Sending(cause), ("x.example:443", None))
    }

    #[test]
    fn each_trouble_has_its_name() {
        let place = "x.example:443".to_owned();
        assert_eq!(of(io::ErrorKind::ConnectionRefused.into()), TransportError::Refused(place.clone()));
        let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        assert!(matches!(of(io::Error::other(io::Error::other(refused))), TransportError::Certificate(..)));
        let plain = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert_eq!(of(io::Error::other(plain)), TransportError::NotTls(place));
        let resolver = |words: &str| of(io::Error::other(format!("failed to lookup address information: {words}")));
        assert_eq!(resolver("Name or service not known").in_vain(), Some(InVain::Address));
        assert_eq!(resolver("Temporary failure in name resolution").in_vain(), None);
        assert_eq!(of(io::ErrorKind::ConnectionRefused.into()).in_vain(), Some(InVain::Port));
        assert!(matches!(of(io::Error::other("invalid HTTP version parsed")), TransportError::NotHttp(..)));
        assert!(matches!(of(io::ErrorKind::ConnectionReset.into()), TransportError::Connection(_)));
    }

    #[test]
    fn a_proxy_is_named_where_it_is_at_fault() {
        let of = |cause| of_connection(&Sending(cause), ("x.example:443", Some("proxy.example:3128")));
        let text = of(io::ErrorKind::ConnectionRefused.into()).to_string();
        assert_eq!(text, "the connection to the proxy proxy.example:3128 was refused: nothing listens there");
        let tunnel = |words: &str| of(io::Error::other(format!("tunnel error: {words}")));
        assert_eq!(
            tunnel("proxy authorization required"),
            TransportError::ProxyRefused("proxy.example:3128".to_owned())
        );
        assert!(
            tunnel("unsuccessful").in_vain().is_none()
                && tunnel("unsuccessful").to_string().contains("proxy.example:3128")
        );
    }

    #[test]
    fn what_is_told_is_the_cause_and_not_where_in_a_library_it_arose() {
        #[derive(Debug, thiserror::Error)]
        #[error("client error (Connect)")]
        struct Step(#[source] io::Error);
        let step = |cause| of(io::Error::other(Step(cause))).to_string();
        let lookup = step(io::Error::other("failed to lookup address information: Name or service not known"));
        assert_eq!(
            lookup,
            "the host of x.example:443 is unknown: failed to lookup address information: Name or service not known"
        );
        let broken = step(io::Error::other("unexpected end of file"));
        assert!(broken.ends_with("unexpected end of file") && !broken.contains("client error"), "{broken}");
    }

    #[test]
    fn the_address_is_not_in_the_text_twice_and_the_text_is_short() {
        assert!(!of(io::ErrorKind::ConnectionReset.into()).to_string().contains("q=1"));
        assert!(of(io::Error::other("x".repeat(1_000_000))).to_string().len() < 500);
    }
}
