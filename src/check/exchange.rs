//! One request of a check, and its answer.

use super::question::Question;
use crate::api::client::{Reply, TransportError};

/// One request that was sent, and what came, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The parameters.
    pub request: Vec<(&'static str, String)>,
    /// The HTTP status; none where no answer came.
    pub status: Option<u16>,
    /// Whether the body broke off on its way.
    pub is_cut: bool,
    /// Headers that count.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed.
    pub body: Vec<u8>,
    /// From sending to the last byte, milliseconds.
    pub took_ms: u64,
}

impl Exchange {
    /// What came of a question.
    pub(super) fn of(question: &Question, reply: &Result<Reply, TransportError>, took_ms: u64) -> Self {
        let request = question.pairs();
        match reply {
            Err(_) => Self { request, status: None, is_cut: false, headers: Vec::new(), body: Vec::new(), took_ms },
            Ok(reply) => {
                let mut headers = reply.signals.rate.clone();
                if reply.signals.is_html {
                    headers.push(("content-type".to_owned(), "text/html".to_owned()));
                }
                let (status, is_cut, body) = (Some(reply.status), reply.broken.is_some(), reply.body.clone());
                Self { request, status, is_cut, headers, body, took_ms }
            }
        }
    }
}
