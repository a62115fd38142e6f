//! What the words of an error speak of: too many requests, or an account with nothing left. And how words are quoted.
//!
//! Pure. Only the words of an error come here, never those of a row. Nothing documents them: the lists hold what such services are
//! reported to say, in English and, since such vendors are often at home there, in Chinese. Where an error speaks of both, it is
//! the rate: a rate passes by itself, and an account that is taken for empty ends the run.

/// The longest piece of a service's words that is quoted to a person, in characters.
const QUOTED_CHARACTERS: usize = 300;

/// Phrases that mean the rate wherever they stand.
const OF_RATE: [&str; 36] = [
    "too many request",
    "too many call",
    "too many quer",
    "too many concurrent",
    "too many connection",
    "rate limit",
    "rate-limit",
    "rate_limit",
    "ratelimit",
    "slow down",
    "throttl",
    "too often",
    "too frequent",
    "too fast",
    "per second",
    "per minute",
    "per hour",
    "hourly",
    "retry after",
    "concurrency limit",
    "flow control",
    "频繁",
    "頻繁",
    "请求过多",
    "太快",
    "過快",
    "次/秒",
    "每分钟",
    "频率",
    "頻率",
    "限流",
    "限频",
    "流控",
    "过快",
    "并发",
    "每秒",
];
/// Words that mean the rate, each as a whole word.
const RATE_WORDS: [&str; 6] = ["qps", "tps", "rps", "rpm", "rate", "429"];
/// Words that mean the rate beside a word of excess.
const RATE_NOUNS: [&str; 5] = ["frequency", "frequently", "concurrent", "concurrency", "requests"];
/// Words of excess.
const EXCESS: [&str; 11] =
    ["limit", "limited", "limits", "exceed", "exceeded", "exceeds", "exceeding", "high", "too", "reduce", "reached"];
/// Limits that mean the rate where they are met.
const REQUEST_LIMITS: [&str; 6] =
    ["request limit", "requests limit", "call limit", "api limit", "access limit", "requestlimit"];

/// Phrases that mean the account wherever they stand.
const OF_ACCOUNT: [&str; 33] = [
    "quota",
    "usage limit",
    "usage cap",
    "recharge",
    "top up",
    "top-up",
    "topup",
    "payment required",
    "payment is required",
    "payment overdue",
    "payment failed",
    "non-payment",
    "please pay",
    "spending limit",
    "spend limit",
    "past due",
    "billing",
    "unpaid",
    "overdue",
    "arrears",
    "plan limit",
    "plan's limit",
    "plan has expired",
    "plan expired",
    "trial expired",
    "trial has e",
    "余额",
    "餘額",
    "充值",
    "额度",
    "額度",
    "配额",
    "欠费",
];
/// Further Chinese phrases of the same: uses, points and packages that are gone.
const OF_ACCOUNT_TOO: [&str; 8] = ["次数不足", "次数已用", "积分不足", "点数不足", "用尽", "已用完", "续费", "套餐已"];
/// What an account holds; the account is meant beside a word of lack.
const HOLDINGS: [&str; 11] = [
    "credit",
    "credits",
    "balance",
    "funds",
    "points",
    "units",
    "allowance",
    "subscription",
    "coins",
    "wallet",
    "money",
];
/// Words of lack.
const LACK: [&str; 32] = [
    "insufficient",
    "not enough",
    "inadequate",
    "no more",
    "no credit",
    "no balance",
    "no active",
    "no remaining",
    "no funds",
    "out of",
    "run out",
    "ran out",
    "exhaust",
    "deplet",
    "used up",
    "used all",
    "all used",
    "zero",
    "0 credit",
    ": 0",
    "reached",
    "empty",
    "left",
    "remain",
    "lack",
    "expired",
    "ended",
    "exceed",
    "negative",
    "too low",
    "inactive",
    "purchase",
];
/// Words of lack beside requests: they are gone rather than too fast.
const NONE_LEFT: [&str; 6] = ["left", "remaining", "used up", "used all", "exhaust", "ran out"];
/// Stretches over which an account is counted, as against a rate.
const LONG_STRETCHES: [&str; 5] = ["daily", "monthly", "per day", "per month", "billing period"];
/// What a plan may lack beside uses: then it is no empty account.
const OF_ACCESS: [&str; 8] =
    ["access", "region", "endpoint", "feature", "permission", "available", "support", "within the last"];

/// What an error speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Requests come too fast.
    Rate,
    /// Nothing is left to spend.
    Account,
    /// Something else.
    Other,
}

/// What the words of an error speak of.
pub(super) fn subject(words: &str) -> Subject {
    let lower = words.to_lowercase();
    if speaks_of_rate(&lower) {
        Subject::Rate
    } else if speaks_of_account(&lower) {
        Subject::Account
    } else {
        Subject::Other
    }
}

fn speaks_of_rate(lower: &str) -> bool {
    let is_of_account =
        any_in(lower, &LONG_STRETCHES) || any_in(lower, &NONE_LEFT) || any_in(lower, &["quota", "usage", "plan"]);
    let is_of_requests = has_word(lower, &RATE_NOUNS) && has_word(lower, &EXCESS);
    let is_limit_met = any_in(lower, &REQUEST_LIMITS) && any_in(lower, &["exceed", "reached", "hit"]);
    any_in(lower, &OF_RATE) || has_word(lower, &RATE_WORDS) || ((is_of_requests || is_limit_met) && !is_of_account)
}

fn speaks_of_account(lower: &str) -> bool {
    let is_lacking = has_word(lower, &HOLDINGS) && any_in(lower, &LACK);
    let is_used_up = has_word(lower, &["requests", "calls"]) && any_in(lower, &NONE_LEFT);
    let is_counted = any_in(lower, &LONG_STRETCHES) && has_word(lower, &EXCESS);
    // To be told to upgrade is no lack: what the plan does not hold may be one region.
    let is_over_plan = has_word(lower, &["plan"]) && has_word(lower, &EXCESS);
    any_in(lower, &OF_ACCOUNT)
        || any_in(lower, &OF_ACCOUNT_TOO)
        || is_lacking
        || is_used_up
        || is_counted
        || (is_over_plan && !any_in(lower, &OF_ACCESS))
}

fn any_in(text: &str, list: &[&str]) -> bool {
    list.iter().any(|phrase| text.contains(phrase))
}

fn has_word(text: &str, list: &[&str]) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| list.contains(&word))
}

/// A service's words for a person: one line, at most 300 characters.
pub(super) fn quoted(text: &str) -> String {
    let mut characters = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut quote: String = characters.by_ref().take(QUOTED_CHARACTERS - 1).collect();
    match (characters.next(), characters.next()) {
        (Some(_), Some(_)) => quote.push('…'),
        (Some(last), None) => quote.push(last),
        (None, _) => {}
    }
    quote
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_speak_of(subject_: Subject, errors: &[&str]) {
        for error in errors {
            assert_eq!(subject(error), subject_, "{error}");
        }
    }

    #[test]
    fn words_of_rate() {
        all_speak_of(
            Subject::Rate,
            &[
                "Too many requests. Please retry in some time.",
                "qps limit exceeded",
                "API rate limit exceeded",
                "RATE_LIMITED",
                "rateLimitExceeded",
                "Request frequency is too high",
                "Request was throttled. Expected available in 3 seconds.",
                "Please slow down",
                "You may send 20 requests per second",
                "Concurrent requests limit reached",
                "You are calling too often",
                "请求过于频繁，请稍后再试",
                "调用频率超限",
                "触发限流",
                "requests exceeded the limit",
                "RequestLimitExceeded",
                "API request limit reached",
                "Retry after 30 seconds",
                // Both: the rate wins.
                "rate limit quota per second exceeded",
                "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute'",
                "API rate limit exceeded, please recharge or upgrade your plan",
            ],
        );
    }

    #[test]
    fn words_of_an_account_with_nothing_left() {
        all_speak_of(
            Subject::Account,
            &[
                "apiKey quota is not enough",
                "Usage Limit Exceeded, Please Contact Administrator to Increase Quota",
                "Insufficient credits, please recharge",
                "Not enough credits",
                "You have no credits left",
                "0 credits remaining",
                "You have 0 credits.",
                "Credit limit reached",
                "Your wallet is empty",
                "Spending limit exceeded",
                "Your credit balance is too low to access the API",
                "insufficient balance",
                "Account balance is negative",
                "Please top up your account",
                "Payment Required",
                "check your plan and billing details",
                "Your subscription has expired",
                "Plan limit exceeded",
                "You have used all requests; upgrade your plan",
                "Daily limit reached, upgrade your plan",
                "Monthly request limit exceeded",
                "You have exceeded the daily requests limit",
                "no requests left",
                "insufficient funds",
                "账户余额不足",
                "余额不足，请充值",
                "额度已用完",
                "积分不足",
                "配额不足",
            ],
        );
    }

    #[test]
    fn other_words() {
        all_speak_of(
            Subject::Other,
            &[
                "",
                "success",
                "Internal server error",
                "system busy",
                "apiKey is null",
                "Missing required parameter: handle",
                "min_create_time must be within the last 180 days",
                "no access to region XX in your plan",
                "this key has no access to this endpoint",
                "upgrade your plan",
                "upgrade your plan to access this endpoint",
                "load balancer: no healthy upstream",
                "integrate the corporate calibrated generator",
                "the field credit_rating is unknown",
                "page_num must be between 1 and 100000",
                "Requests must be signed",
                "Bad request: limit must be at most 10",
                "max_create_time must not exceed now",
            ],
        );
    }

    #[test]
    fn a_quote_is_short_and_one_line() {
        assert_eq!(quoted(" a\nb\u{1}c "), "a b c");
        let long = quoted(&"x".repeat(3_000_000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (QUOTED_CHARACTERS, true));
        assert_eq!(quoted(&"x".repeat(300)), "x".repeat(300));
    }
}
