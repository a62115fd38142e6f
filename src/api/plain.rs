//! Requests without the key, to addresses of the user's own. The rules are those of the service's client: its certificates, no
//! redirects, no retries, no proxy of the environment.

use std::time::Duration;

use reqwest::Url;

use super::client::{ClientError, builder, unbuilt};
use super::transport::{TransportError, of_connection};

/// Sends requests that carry nothing but their address.
#[derive(Clone, Debug)]
pub struct Plain {
    http: reqwest::Client,
    timeout: Duration,
}

impl Plain {
    /// Prepares a client; sends nothing. A request takes no longer than `timeout` in all.
    ///
    /// # Errors
    /// A TLS set-up that the system refuses.
    pub fn new(timeout: Duration) -> Result<Self, ClientError> {
        let http = builder(None)?.timeout(timeout).build().map_err(|error| unbuilt(&error.without_url()))?;
        Ok(Self { http, timeout })
    }

    /// Sends one GET request; the status of its answer, whose body is not read.
    ///
    /// # Errors
    /// Where no answer came. No text of it holds more of the address than host and port.
    pub async fn get(&self, url: Url) -> Result<u16, TransportError> {
        let place = super::host::place(&url);
        match self.http.get(url).send().await {
            Ok(response) => Ok(response.status().as_u16()),
            Err(error) if error.is_timeout() => Err(TransportError::Timeout(self.timeout)),
            Err(error) => Err(of_connection(&error.without_url(), (&place, None))),
        }
    }
}
