//! One attempt at one page: a request, and what it brought. Retries nothing and decides nothing.

use crate::api::client::{Client, Reply, TransportError, apart_where_long};
use crate::api::contract::PageQuery;
use crate::api::reply::{PageAnswer, ReplyVerdict, judge};

use super::job::Heard;

/// A page as it came.
#[derive(Debug)]
pub struct Came {
    /// What it says.
    pub answer: PageAnswer,
    /// The answer as it came.
    pub reply: Reply,
}

/// Sends `query` and says what came of it.
///
/// # Errors
/// What came in place of a page; never [`Heard::Page`].
pub async fn attempt(client: &Client, query: &PageQuery) -> Result<Came, Heard> {
    let reply = client.send(query).await.map_err(|error| unanswered(&error))?;
    let wait = reply.signals.retry_after;
    let judged = apart_where_long(reply.body.len(), move || (judge(reply.heard()), reply)).await;
    let Some((verdict, reply)) = judged else {
        return Err(Heard::Failed { why: "the program is ending".to_owned(), wait });
    };
    match verdict {
        ReplyVerdict::Page(answer) => Ok(Came { answer, reply }),
        ReplyVerdict::Throttled { why, refusal } => {
            let why = format!("too many requests ({why})");
            Err(match refusal {
                Some((code, message)) => Heard::Slowed { code, message, why },
                None => Heard::Throttled { why, wait },
            })
        }
        ReplyVerdict::Quota { message } => Err(Heard::Quota { message }),
        ReplyVerdict::Refused { code, message } => Err(Heard::Refused { code, message, wait }),
        ReplyVerdict::Transient { why } => Err(Heard::Failed { why, wait }),
    }
}

fn unanswered(error: &TransportError) -> Heard {
    let why = error.to_string();
    match error.in_vain() {
        Some(what) => Heard::Unreached { what, why },
        None => Heard::Unanswered { why },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::api::client::ClientSettings;
    use crate::units::ByteCount;

    fn client(base_url: String) -> Client {
        let seconds = Duration::from_secs(10);
        let settings = ClientSettings {
            base_url,
            path: "/v1/x".to_owned(),
            auth_header: "Authorization".to_owned(),
            auth_scheme: "Bearer".to_owned(),
            connect_timeout: seconds,
            request_timeout: seconds,
            body_limit: ByteCount::new(1_000),
            proxy: None,
            idle_connections: 0,
        };
        Client::new(&settings, "key".to_owned().into()).unwrap()
    }

    /// What is heard where the service answers so, and then hangs up.
    async fn heard(answer: &str) -> Heard {
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(format!("http://{}", service.local_addr().unwrap()));
        let serve = async {
            let (mut connection, _) = service.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(connection.read_buf(&mut request).await.unwrap(), 0);
            }
            connection.write_all(answer.as_bytes()).await.unwrap();
        };
        let query = PageQuery::usual();
        let (came, ()) = tokio::join!(attempt(&client, &query), serve);
        came.err().unwrap_or(Heard::Page { doubt: None })
    }

    /// An answer that may be better the next time shows that the service can be reached, and says when that is.
    #[tokio::test]
    async fn an_answer_that_is_no_page_is_another_thing_than_none() {
        let wait = Some(Duration::from_secs(7));
        let unwell = heard("HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n").await;
        let told =
            matches!(&unwell, Heard::Failed { wait: told, .. } | Heard::Throttled { wait: told, .. } if *told == wait);
        assert!(told, "{unwell:?}");
        let broken = heard("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n").await;
        assert!(matches!(broken, Heard::Failed { wait: None, .. }), "{broken:?}");
        let silent = heard("").await;
        assert!(matches!(silent, Heard::Unanswered { .. }), "{silent:?}");
    }

    #[tokio::test]
    async fn an_address_where_nothing_listens_is_not_reached() {
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(format!("http://{}", service.local_addr().unwrap()));
        drop(service);
        assert!(matches!(attempt(&client, &PageQuery::usual()).await, Err(Heard::Unreached { .. })));
    }
}
