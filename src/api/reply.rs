//! What an answer means: its class in the table of failures, from its status, its words, its headers and its body together.
//!
//! Pure. The invariant: [`judge`] says [`ReplyVerdict::Page`] only where both the HTTP status and the envelope's `code` say success; see
//! [`Envelope::code`] for what counts as 0.
//!
//! In this order:
//!
//! 1. Status 2xx and `code` 0: a page; but an empty one that speaks of the rate or of an empty account is that, unless its words begin with
//!    success: then they tell what is left. 204 and 205 without a body are empty pages.
//! 2. 402, also as 402xx or 402xxx of a vendor's own, or words of an empty account: quota. Words of the rate come before words of the account, see `words`.
//!    Beside a 5xx, words of an account count only where they leave no doubt that it is the customer's, and beside 400 or 403 words of the rate.
//! 3. Words of the rate, 429 (also with a vendor's own digits behind it), 420, 430 or 509, 503 or 529 with `Retry-After`, 400, 403 or 418 with
//!    `Retry-After` or with a spent rate in its headers: throttled. Both 2 and 3 hold for the status and for a `code` inside a 200 alike.
//! 4. What is HTML is the gateway's and not the service's: it may pass, whatever its status.
//! 5. A redirect, 501, 505, and any other 4xx that asking again does not change: refused. So is, as by 404, a `code` of the vendor's own inside a 200 whose words say
//!    that there is nothing.
//! 6. Anything else may pass.
//!
//! A body that came broken says nothing, so the status and the headers count alone.

use super::envelope::BodyError;
use super::packed::PackedRows;
use super::signals::Signals;
use super::words::{
    Subject, is_plainly_of_account, is_plainly_of_rate, quoted, says_nothing_there, says_success, subject,
};

pub use super::envelope::{Envelope, envelope, readable, with_envelope};
pub use super::row::{Identity, Row, RowText, identity, says_something};
pub use super::surrogates::repair_surrogates;

/// A successful answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageAnswer {
    /// The service's name for this answer.
    pub request_id: Option<String>,
    /// Its rows, in the order that they came.
    pub rows: Vec<Row>,
    /// Those that can be placed, with all their values.
    pub packed: PackedRows,
}

/// What to make of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyVerdict {
    /// Status 2xx and `code` 0.
    Page(PageAnswer),
    /// The key has nothing left to spend: 402 (documented), or words of it whatever the status (reported of a sister product),
    /// also in an answer of success where no row comes with it.
    Quota {
        /// The service's words.
        message: String,
    },
    /// Requests come too fast: 429 (documented), as a status or as `code` in a 200, or what else means the same.
    Throttled {
        /// What came, for a person.
        why: String,
        /// The status or `code`, and the service's words, where those alone say so beside a status that means a refusal.
        refusal: Option<(u16, String)>,
    },
    /// A redirect or a lasting 4xx, as a status or as `code` in a 200: asking again changes nothing.
    Refused {
        /// The status, or the `code` inside a 200.
        code: u16,
        /// The service's words; of a redirect, where it points.
        message: String,
    },
    /// Anything else: asking again may help.
    Transient {
        /// What came, for a person.
        why: String,
    },
}

/// One answer as it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// The HTTP status.
    pub status: u16,
    /// What its headers say.
    pub signals: &'a Signals,
    /// Its body, decompressed.
    pub body: &'a [u8],
    /// Why the body did not come whole; it is not read then.
    pub broken: Option<&'a str>,
}

/// Sorts an answer into its class.
pub fn judge(heard: Heard<'_>) -> ReplyVerdict {
    let body = if heard.broken.is_some() { &[] } else { heard.body };
    with_envelope(body, |text, read| judge_read(heard, text, read))
}

fn judge_read(heard: Heard<'_>, text: &str, read: Result<Envelope<'_>, BodyError>) -> ReplyVerdict {
    if matches!(heard.status, 204 | 205) && text.is_empty() && heard.broken.is_none() {
        return ReplyVerdict::Page(PageAnswer::default());
    }
    let is_page = is_success(heard.status) && read.as_ref().is_ok_and(|read| read.code == Some(0));
    match read {
        // Whatever words come with rows: nearly every answer is such a one, so nothing is looked for in them.
        Ok(read) if is_page && !read.data.is_empty() => ReplyVerdict::Page(page_answer(read)),
        read => judge_words(heard, text, read, is_page),
    }
}

/// Looks through the words of an answer for what is wrong with it.
fn judge_words(heard: Heard<'_>, text: &str, read: Result<Envelope<'_>, BodyError>, is_page: bool) -> ReplyVerdict {
    let found = Found::new(heard, text, &read);
    match read {
        // An empty page ends a walk, so one that says why it is empty is not believed to be one.
        Ok(read) if is_page && says_success(&found.words) => ReplyVerdict::Page(page_answer(read)),
        Ok(read) if is_page => match subject(&found.words) {
            Subject::Account => ReplyVerdict::Quota { message: found.message },
            Subject::Rate => ReplyVerdict::Throttled { why: found.describe(), refusal: None },
            Subject::Other => ReplyVerdict::Page(page_answer(read)),
        },
        _ => found.failure(),
    }
}

/// An answer that is no page, and what counts of it.
struct Found<'a> {
    heard: Heard<'a>,
    /// The envelope's `code`.
    code: Option<i64>,
    /// Why the body is no envelope.
    error: Option<BodyError>,
    is_html: bool,
    /// The words that are looked at: an error's, never a row's.
    words: String,
    /// The same with whatever else an error is known by.
    all_words: String,
    /// The words as they are told.
    message: String,
}

impl<'a> Found<'a> {
    fn new(heard: Heard<'a>, text: &str, read: &Result<Envelope<'_>, BodyError>) -> Self {
        let looks_like_html = text.starts_with('<') || (heard.signals.is_html && !text.starts_with('{'));
        let is_html = read.is_err() && looks_like_html;
        let words = match read {
            Ok(envelope) => envelope.message.clone().unwrap_or_default(),
            // What begins like JSON was cut or garbled, and may hold rows.
            Err(_) if is_html || text.starts_with(['{', '[']) => String::new(),
            Err(_) => text.chars().take(2_000).collect(),
        };
        let message = if is_html { "an HTML page".to_owned() } else { quoted(&words) };
        let code = read.as_ref().ok().and_then(|envelope| envelope.code);
        let all_words = read.as_ref().map_or_else(|_| words.clone(), |envelope| envelope.all_words.clone());
        Self { heard, code, error: read.as_ref().err().cloned(), is_html, words, all_words, message }
    }

    fn failure(self) -> ReplyVerdict {
        let effective = self.effective_code();
        let subject = self.subject(effective);
        if matches!(effective, 402 | 40_200..=40_299 | 402_000..=402_999) || subject == Subject::Account {
            return ReplyVerdict::Quota { message: self.told_message() };
        }
        if self.is_throttling(effective, subject) {
            let Signals { retry_after, is_rate_spent, .. } = self.heard.signals;
            let is_by_words = matches!(effective, 400 | 403) && retry_after.is_none() && !is_rate_spent;
            let code = u16::try_from(effective).ok().filter(|_| is_by_words);
            return ReplyVerdict::Throttled {
                why: self.describe(),
                refusal: code.map(|code| (code, self.told_message())),
            };
        }
        match effective {
            300..=303 | 305..=399 if !is_success(self.heard.status) => {
                ReplyVerdict::Refused { code: self.heard.status, message: self.redirect() }
            }
            _ if self.is_html => ReplyVerdict::Transient { why: self.describe() },
            code if is_success(self.heard.status)
                && code != 0
                && !is_lasting(code)
                && says_nothing_there(&self.all_words) =>
            {
                ReplyVerdict::Refused { code: 404, message: self.told_message() }
            }
            code if is_lasting(code) => {
                ReplyVerdict::Refused { code: u16::try_from(code).unwrap_or(0), message: self.told_message() }
            }
            _ => ReplyVerdict::Transient { why: self.describe() },
        }
    }

    /// What its words speak of. What the status means already is outweighed only by words that leave no doubt.
    fn subject(&self, effective: u32) -> Subject {
        match (effective, subject(&self.all_words)) {
            (500..=599, Subject::Account) if !is_plainly_of_account(&self.all_words) => Subject::Other,
            (400 | 403, Subject::Rate) if !is_plainly_of_rate(&self.all_words) => Subject::Other,
            (_, subject) => subject,
        }
    }

    /// The status where it is an error, else the `code` inside, else 0 for what is neither.
    fn effective_code(&self) -> u32 {
        match is_success(self.heard.status) {
            true => self.code.and_then(|code| u32::try_from(code).ok()).unwrap_or(0),
            false => self.heard.status.into(),
        }
    }

    fn is_throttling(&self, effective: u32, subject: Subject) -> bool {
        let signals = self.heard.signals;
        match effective {
            // The documented code with a number of the vendor's own behind it, as of 402.
            420 | 429 | 430 | 509 | 4_290..=4_299 | 42_900..=42_999 | 429_000..=429_999 => true,
            503 | 529 if signals.retry_after.is_some() => true,
            400 | 403 | 418 if signals.retry_after.is_some() || signals.is_rate_spent => true,
            // Other lasting refusals may well name a rate or a frequency among their parameters.
            401 | 404..=499 if is_lasting(effective) => false,
            300..=399 => false,
            _ => subject == Subject::Rate,
        }
    }

    fn redirect(&self) -> String {
        let target = self.heard.signals.location.as_deref().unwrap_or("a place that it does not name");
        format!("a redirect to {target}, which is not followed")
    }

    fn told_message(&self) -> String {
        match self.heard.broken {
            Some(why) => quoted(&format!("its words did not arrive ({why})")),
            None if self.message.is_empty() => "no message".to_owned(),
            None => self.message.clone(),
        }
    }

    /// What came, for a person.
    fn describe(&self) -> String {
        let Self { heard: Heard { status, broken, .. }, message, .. } = self;
        let text = match (self.code, broken, &self.error) {
            (_, Some(why), _) => format!("HTTP {status}, and {why}"),
            (Some(code), ..) => format!("HTTP {status}, code {code}: {message}"),
            (None, None, _) if self.is_html => {
                format!("HTTP {status}: {message}, as a gateway sends it and not the service")
            }
            (None, None, Some(error)) if is_success(*status) => format!("HTTP {status}, but {error}: {message}"),
            (None, None, _) if message.is_empty() => format!("HTTP {status} with no message"),
            (None, None, _) => format!("HTTP {status}: {message}"),
        };
        let text = quoted(text.trim_end_matches([':', ' ']));
        match self.heard.signals.retry_after.map(|wait| wait.as_secs()).filter(|wait| *wait >= LONG_WAIT_S) {
            Some(wait) if wait >= 7_200 => format!("{text}, and the service asks to wait {} hours", wait / 3_600),
            Some(wait) => format!("{text}, and the service asks to wait {} minutes", wait / 60),
            None => text,
        }
    }
}

/// A wait from which on it is told beside what came, in seconds.
const LONG_WAIT_S: u64 = 120;

const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// Whether asking again does not change this: what the service does not do at all, and those 4xx that do not speak of a time, of a state or of a
/// connection.
const fn is_lasting(code: u32) -> bool {
    matches!(code, 400..=499 | 501 | 505)
        && !matches!(code, 402 | 408 | 409 | 420 | 421 | 423 | 424 | 425 | 429 | 430 | 444 | 449 | 460 | 499)
}

fn page_answer(envelope: Envelope<'_>) -> PageAnswer {
    let rows = envelope.data.into_iter().map(|RowText { text, identity }| match identity {
        Ok(identity) => Row::Usable(identity),
        Err(why) => Row::Unusable { why, text: text.to_owned() },
    });
    PageAnswer { request_id: envelope.request_id, rows: rows.collect(), packed: envelope.packed }
}

#[cfg(test)]
mod tests;
