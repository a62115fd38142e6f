//! What an HTTP status that stops a run means in plain words, and what to do next. One table, for refusals and for trouble. Pure.

/// From status, to status, what it means, and what to do.
type Line = (u16, u16, &'static str, &'static str);

const ADDRESS: &str = "check --base-url and service.path";
const QUESTION: &str = "check the range, the regions and the filters against the service's documentation";
const LATER: &str = "run the same command later; where it stays so, ask the vendor";
const VENDOR: &str = "ask the vendor";
const SLOWER: &str = "end other programs that use this key, or ask for fewer requests a second with --qps";

/// How a failure begins that is throttling.
const THROTTLED: &str = "too many requests";
/// How one begins that is a code of the service's own in an answer that otherwise looks like success.
const OWN_CODE: &str = "HTTP 200, code ";

/// The first line that holds a status counts.
const TABLE: &[Line] = &[
    (300, 399, "the service has moved", "set service.base_url (--base-url) and service.path to where the service is"),
    (400, 400, "the service does not take the question", QUESTION),
    (401, 401, "the key is not accepted", "check the key in KEYAPI_TOKEN or --token-file"),
    (402, 402, "the account has nothing left", "buy credits, or wait until the account is filled up"),
    (403, 403, "the key has no access to this endpoint", VENDOR),
    (404, 404, "nothing is found at this address", FOUND),
    (405, 405, "this address takes no GET requests, so it is probably not the endpoint's", ADDRESS),
    (406, 406, "there is no JSON at this address", ADDRESS),
    (407, 407, "a proxy on the way wants a login", "set service.proxy with its user name and password"),
    (
        408,
        408,
        "the service waited too long for the request",
        "check the network of this machine, and run the same command later",
    ),
    (
        409,
        409,
        "the service says that another request stands against this one",
        "end other programs that use this key, and run the same command later",
    ),
    (410, 410, "what was at this address is gone", FOUND),
    (
        411,
        411,
        "something on the way does not let a request without a body pass",
        "check service.proxy and the gateway in front of the service",
    ),
    (412, 412, "the service sets a condition that the request does not meet", VENDOR),
    (413, 414, "the service finds the request too long", "use fewer or shorter filters, and check service.path"),
    (415, 415, "the service wants another kind of request at this address", ADDRESS),
    (416, 417, "the service does not take how it is asked", ADDRESS),
    (418, 418, "a gateway takes this program for an attack", "ask the vendor to let requests of this machine pass"),
    (421, 421, "the request came to a server that does not answer for this name", "check --base-url and service.proxy"),
    (422, 422, "the service understands the question and does not take its values", QUESTION),
    (423, 423, "the account or what is asked is locked", "ask the vendor to unlock it"),
    (424, 424, "something failed that the service needs", LATER),
    (425, 425, "the service does not take the request yet", LATER),
    (426, 426, "the service wants another protocol", "write https:// in --base-url, and check service.proxy"),
    (428, 428, "the service wants a condition with each request", VENDOR),
    (431, 431, "the service finds the headers too long", "check the length of the key in KEYAPI_TOKEN or --token-file"),
    (451, 451, "what is asked is blocked for legal reasons", "leave the region out, or ask the vendor"),
    (400, 499, "the service does not take the request", QUESTION),
    (501, 501, "the service cannot do this at this address", ADDRESS),
    (502, 504, "a gateway does not get an answer from the service", LATER),
    (
        505,
        505,
        "the service wants another version of HTTP",
        "check service.proxy and the gateway in front of the service",
    ),
    (507, 507, "the service has run out of room", LATER),
    (508, 508, "the service goes round in a circle", "check --base-url; where it is right, ask the vendor"),
    (511, 511, "the network of this machine wants a login first", "log in to the network, then run the same command"),
    (520, 530, "a gateway does not get a proper answer from the service", LATER),
    (500, 599, "the service broke down on the request", LATER),
];

const FOUND: &str =
    "check --base-url and service.path; where those are right, the regions: the service may not know one of them";

/// What to do about a refusal with this status or code.
pub(super) fn refusal_hint(code: u16) -> String {
    let (means, next) = find(code).unwrap_or(("the service does not take the request", QUESTION));
    match code {
        // Their own words say what they mean.
        300..=399 | 401 => format!("{next}; what was bought is kept, and the same command goes on"),
        403 => format!("{means}; {next}, then run the same command"),
        _ => format!("{means}: {next}; what was bought is kept, and the same command goes on"),
    }
}

/// What to do about a service that is unwell, by the last failure, which begins with its status where an answer came.
pub(super) fn trouble_hint(why: &str) -> String {
    let always = "what was bought is kept; run the same command when the service is well again";
    // Whatever status it came with.
    if why.starts_with(THROTTLED) {
        return format!("the service takes no more requests for now: {SLOWER}; {always}");
    }
    let digits = |text: &str| text.get(..3).and_then(|digits| digits.parse().ok());
    let status = why.split_once("HTTP ").and_then(|(_, rest)| digits(rest));
    match status.filter(|status| *status >= 300).and_then(find) {
        Some((means, next)) => format!("{means}: {next}; {always}"),
        None if why.starts_with(OWN_CODE) => {
            format!(
                "the service's documentation does not know this code: ask the vendor, unless its words say enough; if the account is empty, fill it up; {always}"
            )
        }
        None => always.to_owned(),
    }
}

fn find(status: u16) -> Option<(&'static str, &'static str)> {
    let line = TABLE.iter().find(|(from, to, ..)| (*from..=*to).contains(&status));
    line.map(|(_, _, means, next)| (*means, *next))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_status_that_stops_a_run_says_what_it_means_and_what_to_do() {
        for code in (400..=451).chain(500..=599) {
            let told = refusal_hint(code);
            assert!(told.contains("the same command") && told.len() > 60, "{code}: {told}");
        }
    }

    #[test]
    fn a_status_with_a_meaning_of_its_own_is_not_told_like_another() {
        let own = [405, 406, 407, 408, 409, 411, 412, 413, 415, 418, 421, 423, 424, 426, 428, 431, 451, 511];
        let told: BTreeMap<String, u16> = own.iter().map(|code| (refusal_hint(*code), *code)).collect();
        assert_eq!(told.len(), own.len());
        assert!(!told.contains_key(&refusal_hint(499)));
    }

    #[test]
    fn a_code_that_nobody_knows_is_about_the_question() {
        assert!(refusal_hint(0).contains("the range, the regions and the filters"));
    }

    #[test]
    fn trouble_is_told_by_the_status_of_the_last_failure() {
        assert!(
            trouble_hint("HTTP 511: an HTML page").starts_with("the network of this machine wants a login first: ")
        );
        for throttled in ["too many requests (HTTP 429)", "too many requests (HTTP 403, code 7: slow down)"] {
            let hint = trouble_hint(throttled);
            assert!(hint.contains("run the same command when the service is well") && hint.contains("--qps"), "{hint}");
            assert!(!hint.contains("filters") && !hint.contains("access"), "{hint}");
        }
        // Words in any language may say that the account is empty, and the program does not know them all.
        let own_code = trouble_hint("HTTP 200, code 70001: Guthaben aufgebraucht");
        assert!(own_code.contains("if the account is empty, fill it up"), "{own_code}");
        for plain in ["HTTP 200, but `data` is neither a list nor null", "the connection was refused", "HTTP", "HTTP x"]
        {
            assert_eq!(
                trouble_hint(plain),
                "what was bought is kept; run the same command when the service is well again"
            );
        }
    }
}
