//! Addresses that are pinged. Each may hold a token, so none is ever printed: not by an error, a log, or the settings themselves.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;
use serde::{Deserialize, Deserializer};

/// What stands for the exit code in an address.
const EXIT_CODE: &str = "{exit_code}";

/// Whom to ping when a start begins and when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifySettings {
    /// Pinged when a start begins. None by default.
    pub start: Option<NotifyAddress>,
    /// Pinged when it ended with exit code 0. None by default.
    pub success: Option<NotifyAddress>,
    /// Pinged when it ended otherwise; `{exit_code}` in it becomes the number. None by default.
    pub failure: Option<NotifyAddress>,
}

/// An http or https address that may hold a token.
#[derive(Clone, PartialEq, Eq)]
pub struct NotifyAddress {
    text: String,
    /// With 0 in the place of the exit code.
    url: Url,
}

/// A text that is no address to be pinged. Does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is not an address (it is not shown, since it may hold a token); write https://HOST/PATH, where {{exit_code}} becomes the number"
)]
pub struct NotAnAddress;

impl NotifyAddress {
    /// The host, which is all that may be told of it.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The address to be asked, with the exit code where it is wanted; 0 where there is none yet.
    pub fn url(&self, code: Option<u8>) -> Url {
        let number = code.unwrap_or_default().to_string();
        Url::parse(&self.text.replace(EXIT_CODE, &number)).unwrap_or_else(|_| self.url.clone())
    }
}

impl FromStr for NotifyAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let text = text.trim().to_owned();
        // Url would take what stands behind a missing // for the host, and the host is told.
        let is_web = ["http://", "https://"].iter().any(|start| text.starts_with(start));
        let url = Url::parse(&text.replace(EXIT_CODE, "0")).map_err(|_| NotAnAddress)?;
        if is_web && url.has_host() { Ok(Self { text, url }) } else { Err(NotAnAddress) }
    }
}

impl fmt::Debug for NotifyAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}/…", self.url.scheme(), self.host())
    }
}

impl<'de> Deserialize<'de> for NotifyAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_stands_where_it_is_wanted() {
        let asked = |text: &str, code| text.parse::<NotifyAddress>().unwrap().url(code).to_string();
        assert_eq!(asked("https://hc.example/u/{exit_code}", Some(143)), "https://hc.example/u/143");
        assert_eq!(asked("http://h/?c={exit_code}&x={exit_code}", Some(4)), "http://h/?c=4&x=4");
        assert_eq!(asked("https://hc.example/u/start", None), "https://hc.example/u/start");
    }

    #[test]
    fn neither_a_print_nor_an_error_holds_more_than_the_host() {
        let address: NotifyAddress = "https://user:hidden@hc.example/hidden?hidden#hidden".parse().unwrap();
        assert_eq!(format!("{address:?}"), "https://hc.example/…");
        assert_eq!(address.host(), "hc.example");
        for wrong in ["hidden", "ftp://hidden/x", "https://", "/hidden", "https:hidden/x", "mailto:hidden@hc.example"] {
            let error = wrong.parse::<NotifyAddress>().unwrap_err();
            assert!(!error.to_string().contains("hidden"), "{error}");
        }
    }
}
