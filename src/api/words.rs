//! What the words of an error speak of: too many requests, or an account with nothing left. And how words are quoted.
//!
//! Pure. Only the words of an error come here, never those of a row. Nothing documents them: the lists hold what such services are
//! reported to say, in English and, since such vendors are often at home there, in Chinese. Where an error speaks of both, it is
//! the rate: a rate passes by itself, and an account that is taken for empty ends the run.

/// The longest piece of a service's words that is quoted to a person, in characters.
const QUOTED_CHARACTERS: usize = 300;

/// What means the rate wherever it stands.
const RATE: &str = "rate$|ratelimit|tps$|rps$|rpm$|429$|slow down|throttl|too often|too frequent|too fast|too quickly|too rapid|\
    too many concurrent|too many connection|too many simultaneous|per second|per sec$|per minute|per min$|per hour|hourly|\
    retry after|flow control|speed limit|throughput|burst|calm down|your calm|back off|backoff|over query limit";
/// The same in the middle of a word, and in Chinese, which writes none.
const RATE_ANYWHERE: &str = "qps|频繁|頻繁|请求过多|請求過多|请求太多|請求太多|次数过多|次數過多|人数过多|人數過多|太快|過快|过快|次/秒|每分钟|每分鐘|\
    频率|頻率|速率|限速|限流|限频|限頻|流控|流量控制|并发|並發|併發|每秒|短时间内|短時間內|req/s";
/// What is waited for, beside a word of waiting: then it is the rate.
const SOON: &str = "second$|seconds|minute$|minutes|sec$|secs$";
/// What means the rate beside a word of excess.
const PACE: &str = "frequen|concurren";
/// Too many of these mean the rate, unless they are counted over a long stretch.
const TOO_MANY: &str = "too many request|too many call|too many quer|too many hit|too many attempt|too many api";
/// What means the rate beside a word of excess where nothing speaks of an account.
const REQUESTS: &str = "requests$|request limit|requestlimit|call limit|api limit|access limit";
/// Words of excess.
const EXCESS: &str = "limit$|limited|limits|exceed|high$|too$|reduce|reached|over$|hit$";

/// Money, and what is bought for it.
const MONEY: &str =
    "credit$|credits|balance$|balances|fund$|funds|points$|units$|allowance|allotment|coin$|coins|wallet|money";
/// What may be held of a service for a time; a part of it may be one region, which is no empty account.
const CONTRACT: &str = "subscription|membership|package|trial|tier$|plan$|usage|budget|tokens$";
/// Uses of a service.
const USES: &str = "request|call$|calls$|queries|hits$";
/// What means an account with nothing left wherever it stands.
const UNPAID: &str = "payment|invoice|arrear|debt$|unpaid|overdue|past due|billing|prepaid|recharge|top up|topup|please pay|\
    non payment|spending limit|spend limit|credit limit|spending cap|spend cap";
/// The same in Chinese.
const UNPAID_ANYWHERE: &str = "余额|餘額|充值|儲值|储值|额度|額度|配额|配額|欠费|欠費|欠款|续费|續費|用尽|用盡|用完|耗尽|耗盡|次数不足|次數不足|次数已|次數已|次数超|次數超|次数为0|次數為0|\
    剩余次数：0|剩余次数:0|调用次数：0|调用次数:0|积分不足|積分不足|点数不足|點數不足|资金不足|資金不足|金额不足|金額不足|套餐已|调用量|调用次数不足|\
    请购买|請購買|请先购买|請先購買|会员已过期|会员已到期|會員已過期|會員已到期|会员到期";
/// What goes wrong with the service rather than with an account, even where the word for an account stands beside it.
const TROUBLE: &str =
    "timeout|timed out|out of time|unavailable|failed to|internal error|error from|lookup|unexpected|could not|down$";
/// The same in Chinese.
const TROUBLE_ANYWHERE: &str = "失败|失敗|异常|異常|超时|超時|出错|出錯";
/// What is said of an account alone, so that no word of trouble outweighs it.
const PLAINLY_SPENT: &str = "insufficien|not enough|exceed|exhaust|deplet|used up|ran out|run out|out of credit|out of quota|\
    no more|recharge|top up|no credits|0 credits|expired|overdue|arrear|unpaid";
/// The same in Chinese.
const PLAINLY_SPENT_ANYWHERE: &str = "不足|用完|用尽|用盡|耗尽|耗盡|充值|欠费|欠費|欠款";
/// Money that is lacking.
const LACK: &str = "insufficien|inadequate|exhaust|deplet|consumed|spent|used$|lapse|negative|empty|zero|lack|ended|over$|dry$|\
    reached|remain|left$|gone$|expired|exceed|inactive|suspend|finished|run out|ran out|out of|not enough|not sufficient|\
    no more|low$|below|have 0$|has 0$";
/// The same in Chinese.
const LACK_ANYWHERE: &str = "不足|不够|不夠|为0|為0|用完|耗尽|耗盡";
/// A contract that has ended, or whose uses have.
const ENDED: &str = "exhaust|deplet|consumed|spent|used up|used all|been used|lapse|ended|over$|expired|inactive|\
    suspend|finished|run out|ran out|out of|no more|no active|remaining 0$|0 remaining|no remaining";
/// What a person is told to do for more.
const DEMAND: &str = "add$|buy$|purchase|refill|deposit|renew|replenish|reload";
/// Uses that are gone rather than too fast.
const NONE_LEFT: &str =
    "left$|remaining|no more|used up|used all|are used|been used|exhaust|ran out|run out|consumed|spent";
/// Stretches over which an account is counted, as against a rate.
const LONG_STRETCHES: &str = "daily|weekly|monthly|yearly|annual|today|per day|per week|per month|per year|this day|this week|\
    this month|this year|the day$|the month$|24 hours|billing period|billing cycle|current period|this period|this cycle";
/// Words of a limit that is met.
const LIMIT: &str = "limit|cap$|exceed|reached|hit$|maximum|spent|used$";
/// What a contract may lack beside uses: then it is no empty account.
const ACCESS: &str = "access|endpoint|feature|permission|available|supported|supports|not support|unsupported|within the last|include|history|\
    older|days$";
/// One region and not the account, also where it is a quota that is used up there.
const REGION: &str = "region|country|countries|market$|markets|territor";
/// The same in Chinese.
const REGION_ANYWHERE: &str = "地区|地區|区域|區域|国家|國家";

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
    let words = Words::new(words);
    if words.of_rate() {
        Subject::Rate
    } else if words.of_account() && !words.of_trouble() {
        Subject::Account
    } else if words.has(REQUESTS) && words.has(EXCESS) && !words.has(NONE_LEFT) && !words.has("quota|usage|plan") {
        Subject::Rate
    } else {
        Subject::Other
    }
}

/// The words of an error, ready to be looked at.
struct Words {
    /// As they came, in lower case.
    lower: String,
    /// Words alone, each between single spaces: `RateLimit_exceeded` is ` rate limit exceeded `. What divides a sentence is a
    /// word `,`, so that no phrase reaches across.
    spaced: String,
}

impl Words {
    fn new(text: &str) -> Self {
        let mut spaced = String::from(" ");
        let mut is_small = false;
        for c in text.chars() {
            let is_word = c.is_ascii_alphanumeric() || !c.is_ascii();
            if (!is_word || (is_small && c.is_ascii_uppercase())) && !spaced.ends_with(' ') {
                spaced.push(' ');
            }
            if is_word {
                spaced.extend(c.to_lowercase());
            } else if matches!(c, '.' | ',' | ';' | ':' | '!' | '?') {
                spaced.push_str(", ");
            }
            is_small = c.is_ascii_lowercase();
        }
        if !spaced.ends_with(' ') {
            spaced.push(' ');
        }
        Self { lower: text.to_lowercase(), spaced }
    }

    /// Whether any of the phrases of `list`, which `|` divides, begins at a word; one that ends with `$` ends at a word, too.
    fn has(&self, list: &str) -> bool {
        list.split('|').any(|entry| {
            let (phrase, is_whole) = entry.strip_suffix('$').map_or((entry, false), |phrase| (phrase, true));
            self.spaced.match_indices(phrase).any(|(at, _)| {
                let rest = self.spaced.get(at + phrase.len()..).unwrap_or_default();
                self.spaced.get(..at).is_some_and(|before| before.ends_with(' '))
                    && (!is_whole || rest.starts_with(' '))
            })
        })
    }

    fn has_anywhere(&self, list: &str) -> bool {
        list.split('|').any(|phrase| self.lower.contains(phrase))
    }

    fn of_rate(&self) -> bool {
        self.has(RATE)
            || self.has_anywhere(RATE_ANYWHERE)
            || (self.has(PACE) && self.has(EXCESS))
            || (self.has("wait$") && self.has(SOON))
            || self.names_a_rate()
            || (self.has(TOO_MANY) && !self.has(LONG_STRETCHES))
    }

    /// A number a second or a minute: 10/s, 600/m.
    fn names_a_rate(&self) -> bool {
        let is_unit = |rest: &str| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            matches!(rest.get(..end), Some("s" | "sec" | "second" | "m" | "min" | "minute"))
        };
        self.lower.match_indices('/').any(|(at, _)| {
            let (before, rest) =
                (self.lower.get(..at).unwrap_or_default(), self.lower.get(at + 1..).unwrap_or_default());
            before.trim_end().ends_with(|last: char| last.is_ascii_digit()) && is_unit(rest.trim_start())
        })
    }

    fn of_account(&self) -> bool {
        let is_lacking = self.has(LACK) || self.has(DEMAND) || self.names_none() || self.has_anywhere(LACK_ANYWHERE);
        let is_money = self.has(MONEY) && is_lacking;
        is_money || self.has(UNPAID) || (self.of_uses() && !self.has(REGION) && !self.has_anywhere(REGION_ANYWHERE))
    }

    /// A part of the service that looks after accounts failed.
    fn of_trouble(&self) -> bool {
        (self.has(TROUBLE) || self.has_anywhere(TROUBLE_ANYWHERE))
            && !self.has(PLAINLY_SPENT)
            && !self.has_anywhere(PLAINLY_SPENT_ANYWHERE)
    }

    /// Uses that are gone, or a contract that has ended.
    fn of_uses(&self) -> bool {
        let is_limited = (self.has("plan$|plans$|usage|budget") && self.has(LIMIT))
            || (self.has("subscription|membership|package") && self.has(DEMAND))
            || (self.has(CONTRACT) && self.has("insufficien|not enough"));
        self.has("quota")
            || self.has_anywhere(UNPAID_ANYWHERE)
            || (self.has(CONTRACT) && self.has(ENDED) && !self.is_key_of_tokens())
            || (self.has(USES) && self.has(NONE_LEFT))
            || (self.has(LONG_STRETCHES) && (self.has(LIMIT) || self.has(TOO_MANY)))
            || (is_limited && !self.has(ACCESS))
    }

    /// Tokens that expired are a key, and not what is spent.
    fn is_key_of_tokens(&self) -> bool {
        self.has("tokens$") && self.has("expired|inactive|suspend")
    }

    /// No credits, 0 credits, no API credits, credits: 0.
    fn names_none(&self) -> bool {
        let is_money = |word: &str| MONEY.split('|').any(|entry| word == entry.trim_end_matches('$'));
        let is_none = |word: &str| matches!(word, "no" | "0" | "without");
        let words: Vec<&str> = self.spaced.split_whitespace().filter(|word| *word != ",").collect();
        let mut near = words.windows(2).chain(words.windows(3));
        near.any(|near| near.iter().any(|word| is_money(word)) && near.iter().any(|word| is_none(word)))
    }
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
                "You have gone over your allowed requests-per-second",
                "CUQPS_HAS_EXCEEDED_THE_LIMIT",
                "ACCESS_TOO_FREQUENT",
                "Concurrent requests of your plan exceeded",
                "requests are too many",
                "Developer Over Rate",
                "Calm down",
                "Enhance your calm",
                "Throughput limit reached",
                "Please wait 3 seconds before the next request",
                "Speed limit exceeded",
                "Exceeded 20 req/s",
                "API calls are limited to 10/s",
                "burst limit hit",
                "Back off and retry",
                "OVER_QUERY_LIMIT",
                "Over query limit per sec",
                "You are sending requests too rapidly",
                "too many simultaneous requests",
                "访问速率超过限制",
                "請求速率超限",
                "触发限速，请稍候",
                "流量控制",
                "請求過多",
                "並發超限",
                "请求次数过多，请稍后重试",
                "当前请求人数过多",
                "每分鐘最多60次",
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
                // As other vendors, and people of other languages, put it.
                "Please renew your subscription to continue",
                "Prepaid amount fully consumed",
                "Your free tier has been fully consumed",
                "You have consumed all of your credits",
                "This account has no API credits; add some to go on",
                "You've hit your monthly cap",
                "Your package has been used up",
                "Request allotment for this cycle is spent",
                "You have exceeded your requests for today",
                "Maximum number of requests for this month reached",
                "Too many requests this month",
                "Budget exceeded for this account",
                "Account is in debt",
                "There is an outstanding invoice on this account",
                "Please add funds to your account",
                "Insufficient fund",
                "The points is not sufficient",
                "Insufficient tokens",
                "Your free trial is over",
                "Account suspended: payment has not been received",
                "INSUFFICIENT_BALANCE",
                "InsufficientCreditsError",
                "NotEnoughCredits",
                "no_credits",
                "credits: 0",
                "This request costs 1 credit but you have 0",
                "All your prepaid calls are used",
                "Usage exceeded for the current period",
                "USER_DAILY_QUERY_OVER_LIMIT",
                "QUOTA_PLAN_RUN_OUT",
                "Arrearage",
                "subscription lapsed",
                "Your plan expired 3 days ago, renew to restore access",
                "Plan limit exceeded, contact support",
                "您的积分已耗尽",
                "今日调用量超限",
                "No more API calls",
                "You have no more requests",
                "Insufficient coin",
                "You reached your spending cap",
                "剩余次数为0",
                "剩余调用次数：0",
                "账户已欠款",
                "资金不足",
                "金额不足",
                "點數不足",
                "配額已用盡",
                "请先购买套餐",
                "請儲值",
                "credits不足",
                "会员已过期",
                "调用次数超出限制",
                "Internal error: insufficient balance",
                "扣费失败，余额不足",
                "failed to charge: out of credits",
                "Your subscription has expired, so this could not be served",
                "payment failure",
            ],
        );
    }

    #[test]
    fn a_limit_of_one_region_is_no_empty_account() {
        all_speak_of(
            Subject::Other,
            &[
                "region limit of your plan exceeded",
                "Plan limit exceeded for region GB",
                "Your quota does not cover this country",
                "Your subscription for this market has expired",
                "Your plan has insufficient permissions for this endpoint",
                "Purchase a package with this region included",
                "您的套餐已不含该地区",
            ],
        );
        // Money is one for all regions.
        all_speak_of(Subject::Account, &["insufficient balance to read region GB", "no credits left (region US)"]);
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
                "the time range must not exceed 1 month",
                "all access tokens have expired",
                "Your plan is limited to 90 days of history",
                "密钥无效",
                // A part of the service that looks after accounts failed.
                "quota service timeout",
                "billing service is temporarily unavailable",
                "error from payment backend",
                "failed to query balance: out of time",
                "余额查询失败，请重试",
                "额度服务异常",
                "Internal error: subscription lookup ended unexpectedly",
                "could not update your usage: limit service down",
                "没有权限",
                "系统繁忙，请稍后再试",
                "参数错误",
                "the fields 3/min_price and media/stream are unknown",
                "no more data",
                "wait for the export to finish",
                "密钥已过期",
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
