//! What the words of an error speak of: too many requests, or an account with nothing left. And how words are quoted.
//!
//! Pure. Only the words of an error come here, never those of a row. Nothing documents them: the lists hold what such services are
//! reported to say, in English and, since such vendors are often at home there, in Chinese. Where an error speaks of both, it is
//! the rate: a rate passes by itself, and an account that is taken for empty ends the run.

/// The longest piece of a service's words that is quoted to a person, in characters.
const QUOTED_CHARACTERS: usize = 300;

/// What means the rate wherever it stands.
const RATE: &str = "ratelimit|tps$|rps$|rpm$|qpm$|qph$|rph$|tpm$|429$|slow down|slow your|slower$|throttl|too often|too frequent|too fast|\
    too quickly|too rapid|faster than|too many concurrent|too many connection|too many simultaneous|too many user|too many client|per second|\
    per sec$|per minute|per min$|per hour|hourly|concurrent request|concurrent call|concurrent connection|retry after|flow control|speed limit|throughput|burst|calm down|your calm|back off|backoff|\
    over query limit";
/// The same in the middle of a word, and in Chinese, which writes none.
const RATE_ANYWHERE: &str = "qps|频繁|頻繁|频密|頻密|请求过多|請求過多|请求太多|請求太多|次数过多|次數過多|人数过多|人數過多|太快|過快|过快|次/秒|每分钟|每分鐘|\
    频率|頻率|速率|限速|限流|限频|限頻|流控|流量控制|并发|並發|併發|每秒|每小时|每小時|秒内|秒內|分钟内|分鐘內|小时内|小時內|短时间内|短時間內|req/s";
/// What is waited for, beside a word of waiting: then it is the rate.
const SOON: &str = "second$|seconds|minute$|minutes|sec$|secs$";
/// What means the rate beside a word of excess.
const PACE: &str = "rate$|freq|concurren";
/// Too many of these mean the rate, unless they are counted over a long stretch.
const TOO_MANY: &str = "too many request|too many call|too many quer|too many hit|too many attempt|too many api";
/// What means the rate beside a word of excess where nothing speaks of an account.
const REQUESTS: &str =
    "requests$|request limit|requestlimit|call limit|api limit|access limit|request over|call over|access over";
/// Words of excess.
const EXCESS: &str = "limit$|limited|limits|exceed|high$|large$|too$|reduce|reached|over$|hit$";
/// What is counted over a short stretch: then it is the rate, also where it is called a quota.
const COUNTED: &str = "request|call$|calls$|quer|hits$|quota|usage|times$|api$|limit";
/// What stands before such a stretch.
const WITHIN: [&str; 7] = ["per", "within", "in", "every", "each", "last", "past"];
/// The stretches, with or without the number before them.
const SHORT_STRETCHES: [&str; 15] = [
    "s", "sec", "secs", "second", "seconds", "m", "min", "mins", "minute", "minutes", "h", "hr", "hrs", "hour", "hours",
];
/// What is asked for in Chinese, which means the rate beside a word of excess.
const ASKED_ANYWHERE: &str = "请求|請求|访问|訪問|调用|調用|操作|查询|查詢|接口";
/// Such words of excess.
const EXCESS_ANYWHERE: &str = "过多|過多|太多|过密|過密|量过大|量過大|超限|超过限制|超過限制|超出限制|超过上限|超過上限|达到上限|達到上限|已达上限|已達上限|过高|過高";
/// What a question may be wrong about: then its limits are no rate's and no account's.
const QUESTION: &str =
    "invalid|parameter|field|unknown|must be|must not|must lie|between|time range|should be|allowed value|sort$";
/// The same in Chinese.
const QUESTION_ANYWHERE: &str =
    "参数|參數|字段|欄位|范围|範圍|格式|长度|長度|请求体|請求體|数据|數據|内容|內容|文件|页码|頁碼|排序|不能为|不能為";
/// What means the rate beyond doubt, beside a status that means something else.
const PLAIN_RATE: &str = "rate limit|ratelimit|rate exceed|over rate|request rate|too many request|too many call|too many quer|\
    too many concurrent|too many connection|too many simultaneous|throttl|slow down|too frequent|too often|429$|qpm$|qph$|rps$|rpm$|tps$|\
    frequency limit|freq limit|frequency is|frequency too|frequency exceed|requests per|calls per";
/// The same in Chinese.
const PLAIN_RATE_ANYWHERE: &str = "qps|频繁|頻繁|频密|頻密|限流|限频|限頻|限速|流控|请求过多|請求過多|请求太多|請求太多|次数过多|次數過多|太快|過快|过快|频率超|頻率超|频率过|頻率過|速率超|并发超|並發超";

/// Money, and what is bought for it.
const MONEY: &str =
    "credit$|credits|balance$|balances|fund$|funds|points$|units$|allowance|allotment|coin$|coins|wallet|money";
/// What may be held of a service for a time; a part of it may be one region, which is no empty account.
const CONTRACT: &str = "subscription|membership|package|trial|tier$|plan$|usage|budget|tokens$";
/// What a customer has of the vendor, and may end as a whole.
const HELD: &str = "account|service$|license|licence|contract$";
/// Uses of a service.
const USES: &str = "request|call$|calls$|queries|hits$|uses$|usages";
/// What means an account with nothing left wherever it stands.
const UNPAID: &str = "payment|invoice|arrear|debt$|unpaid|overdue|overdrawn|overdraft|past due|billing|prepaid|recharge|top up|topup|please pay|\
    non payment|spending limit|spend limit|credit limit|spending cap|spend cap";
/// The same in Chinese.
const UNPAID_ANYWHERE: &str = "余额|餘額|充值|儲值|储值|额度|額度|配额|配額|欠费|欠費|欠款|续费|續費|缴费|繳費|续订|續訂|用尽|用盡|用完|用光|耗尽|耗盡|次数不足|次數不足|次数已|次數已|次数超|次數超|次数为0|次數為0|\
    剩余次数：0|剩余次数:0|调用次数：0|调用次数:0|积分不足|積分不足|点数不足|點數不足|资金不足|資金不足|金额不足|金額不足|套餐已|调用量|调用次数不足|\
    请购买|請購買|请先购买|请先購買|会员已过期|会员已到期|會員已過期|會員已到期|会员到期|透支";
/// What is bought in Chinese.
const MONEY_ANYWHERE: &str = "余量|餘量|积分|積分|金币|金幣|点数|點數|次数|次數|资金|資金|金额|金額|可用额|可用額|套餐|限额|限額|代币|代幣|credit|credits";
/// What is held for a time in Chinese.
const HELD_ANYWHERE: &str = "套餐|试用|試用|会员|會員|账户|賬戶|帳戶|账号|賬號|帳號|服务|服務|订阅|訂閱|包月|包年";
/// That it has ended.
const ENDED_ANYWHERE: &str = "到期|过期|過期|已结束|已結束|失效|已终止|已終止";
/// What ends in the same words and is no account.
const KEY_ANYWHERE: &str = "密钥|密鑰|令牌|登录|登錄|登入|会话|會話|凭证|憑證|证书|證書|token|session|签名|簽名";
/// What a person is told to do for more, in Chinese.
const DEMAND_ANYWHERE: &str =
    "升级套餐|升級套餐|升级会员|升級會員|开通会员|開通會員|购买套餐|購買套餐|升级账户|升级版本|升级您的";
/// Stretches over which an account is counted, in Chinese.
const LONG_STRETCHES_ANYWHERE: &str =
    "今日|今天|当日|當日|当天|當天|每日|每天|本周|本週|每周|每週|本月|当月|當月|每月|本年|每年";
/// Words of a limit that is met, in Chinese.
const LIMIT_ANYWHERE: &str = "上限|超限|限额|限額|超出|超过|超過|已达|已達|已满|已滿";
/// What goes wrong with the service rather than with an account, even where the word for an account stands beside it.
const TROUBLE: &str =
    "timeout|timed out|out of time|unavailable|failed to|internal error|error from|lookup|unexpected|could not|down$";
/// The same in Chinese.
const TROUBLE_ANYWHERE: &str = "失败|失敗|异常|異常|超时|超時|出错|出錯";
/// What is said of an account alone, so that no word of trouble outweighs it.
const PLAINLY_SPENT: &str = "insufficien|not enough|exceed|exhaust|deplet|used up|ran out|run out|out of credit|out of quota|\
    ran dry|run dry|no more|recharge|top up|no credits|0 credits|expired|overdue|arrear|unpaid";
/// The same in Chinese.
const PLAINLY_SPENT_ANYWHERE: &str = "不足|用完|用尽|用盡|耗尽|耗盡|充值|欠费|欠費|欠款";
/// Parts of the machines that a service runs on: what is spent there is no customer's, by whatever name it goes.
const MACHINERY: &str = "memory|heap$|disk|cpu|node$|nodes|shard|pool$|pools|queue|load$|loadbalanc|thread|database|db$|cluster|upstream|\
    healthy|downtime|maintenance|rows$|query plan|execution plan|query cost|query budget|maximum cost|buffer|cache|storage|container$|pod$|\
    worker|replica|socket|descriptor|gib$|mib$|java|index$|connection pool|connections$|connection budget|connection quota|retry budget|\
    error budget|partition|bucket|redis|mysql|postgres|kafka|elasticsearch";
/// The same in Chinese.
const MACHINERY_ANYWHERE: &str = "内存|記憶體|磁盘|磁碟|节点|節點|线程|執行緒|数据库|資料庫|连接池|連線池|队列|佇列|负载|負載|缓存|快取|集群|维护|維護";
/// The customer's account beyond doubt, beside a status that means trouble of the service.
const CUSTOMERS: &str = "quota|credit$|credits|balance$|subscription|membership|account$|api key|apikey|your key|your plan|plan limit|current plan|\
    billing|payment|invoice|prepaid|recharge|top up|topup|funds|usage limit|api usage|your usage|arrear|unpaid|overdue|free tier|free plan|\
    your package|points$|coins$|wallet|allowance|spending|spend cap|monthly limit|daily limit|weekly limit|monthly cap|daily cap";
/// The same in Chinese.
const CUSTOMERS_ANYWHERE: &str = "余额|餘額|额度|額度|配额|配額|积分|積分|点数|點數|套餐|会员|會員|账户|賬戶|帳戶|账号|賬號|帳號|充值|欠费|欠費|调用量|次数|次數|余量|餘量";
/// Money that is lacking.
const LACK: &str = "insufficien|inadequate|exhaust|deplet|consumed|spent|used$|lapse|negative|empty|zero|lack|ended|over$|dry$|\
    reached|remain|left$|gone$|expired|exceed|inactive|suspend|finished|run out|ran out|out of|not enough|not sufficient|\
    not have enough|t have enough|not have sufficient|t have sufficient|need more|needs more|requires more|not met$|unmet|no more|low$|below|have 0$|has 0$|available 0$";
/// The same in Chinese.
const LACK_ANYWHERE: &str = "不足|不够|不夠|为0|為0|用完|用光|用尽|用盡|耗尽|耗盡|消耗完|耗完|没有可用|沒有可用|无可用|無可用|为零|為零|超出|已达上限|已達上限";
/// A contract that has ended, or whose uses have.
const ENDED: &str = "exhaust|deplet|consumed|spent|used up|used all|been used|lapse|ended|over$|expired|inactive|\
    suspend|finished|run out|ran out|out of|no more|no active|remaining 0$|0 remaining|no remaining";
/// What a person is told to do for more.
const DEMAND: &str = "add$|buy$|purchase|refill|deposit|renew|replenish|reload";
/// Uses that are gone rather than too fast.
const NONE_LEFT: &str =
    "left$|remaining|no more|used up|used all|are used|been used|exhaust|ran out|run out|consumed|spent|cap$";
/// Uses of which there are none any more.
const OUT_OF_USES: &str =
    "out of request|out of call|out of quer|out of api|out of uses|out of free|out of your|out of monthly|out of daily";
/// Stretches over which an account is counted, as against a rate.
const LONG_STRETCHES: &str = "daily|weekly|monthly|yearly|annual|today|per day|per week|per month|per year|this day|this week|\
    this month|this year|the day$|the month$|24 hours|billing period|billing cycle|current period|this period|this cycle|lifetime";
/// Words of a limit that is met.
const LIMIT: &str = "limit|cap$|exceed|reached|hit$|maximum|spent|used$";
/// The same of an account, of which other limits are told, too.
const LIMIT_MET: &str = "limit of|limit reached|limit exceeded|limit hit|exceed|reached|used up";
/// What a contract may lack beside uses: then it is no empty account.
const ACCESS: &str = "access|endpoint|feature|permission|privilege|scope|role$|roles|available|supported|supports|not support|unsupported|\
    within the last|include|history|older|days$";
/// The same in Chinese.
const ACCESS_ANYWHERE: &str = "权限|權限|功能|该接口|該接口|此接口";
/// One region and not the account, also where it is a quota that is used up there.
const REGION: &str = "region|country|countries|market$|markets|territor";
/// The same in Chinese.
const REGION_ANYWHERE: &str = "地区|地區|区域|區域|国家|國家";

/// That the service has no row to answer with.
const NOTHING_THERE: &str = "no data$|no more data|no such data|no result|no more result|no record|no more record|no video|no more video|no item|no more item|\
    no content|not found|nothing found|no match|empty result|result is empty|results are empty|data is empty|data not exist|no more page|last page";
/// The same in Chinese.
const NOTHING_THERE_ANYWHERE: &str = "暂无数据|暫無數據|没有数据|沒有數據|无数据|無數據|没有更多|沒有更多|无更多|無更多|未找到|没有找到|沒有找到|查无|查無|数据为空|數據為空|结果为空|結果為空|数据不存在|數據不存在|没有记录|沒有記錄";

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
    Words::new(words).subject()
}

/// Whether they speak of the rate beyond doubt: the status that they come with means a question that is refused.
pub(super) fn is_plainly_of_rate(words: &str) -> bool {
    let words = Words::new(words);
    let is_of_pace = words.has(PLAIN_RATE)
        || words.has_anywhere(PLAIN_RATE_ANYWHERE)
        || words.counts_a_short_stretch()
        || words.names_a_rate();
    is_of_pace && !words.of_question()
}

/// What an answer of success begins with.
const SUCCESS: [&str; 6] = ["success", "successful", "successfully", "succeeded", "ok", "okay"];
/// The same in Chinese, which divides no words.
const SUCCESS_ANYWHERE: [&str; 5] = ["成功", "请求成功", "請求成功", "操作成功", "查询成功"];

/// Whether words begin with success and speak of nothing that is used up: then what they say of the account or the rate is how much is left.
pub(super) fn says_success(text: &str) -> bool {
    let text = text.trim_start();
    let first = text.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default().to_lowercase();
    let begins = SUCCESS.contains(&first.as_str()) || SUCCESS_ANYWHERE.iter().any(|word| text.starts_with(word));
    let words = Words::new(text);
    begins && !words.has(PLAINLY_SPENT) && !words.has_anywhere(PLAINLY_SPENT_ANYWHERE)
}

/// Whether they say that there is no row to answer with, and of nothing else that could be wrong.
pub(super) fn says_nothing_there(words: &str) -> bool {
    let words = Words::new(words);
    let is_empty = words.has(NOTHING_THERE) || words.has_anywhere(NOTHING_THERE_ANYWHERE);
    is_empty && words.subject() == Subject::Other && !words.of_trouble() && !words.of_machinery()
}

/// Whether they speak of the customer's account beyond doubt: the status that they come with means trouble of the service.
pub(super) fn is_plainly_of_account(words: &str) -> bool {
    let words = Words::new(words);
    let is_counted = words.has(LONG_STRETCHES) && words.has(USES);
    let is_customers =
        words.has(CUSTOMERS) || words.has_anywhere(CUSTOMERS_ANYWHERE) || words.has(OUT_OF_USES) || is_counted;
    words.subject() == Subject::Account && is_customers
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

    fn subject(&self) -> Subject {
        if self.of_rate() {
            Subject::Rate
        } else if self.of_account() && !self.of_trouble() && !self.of_machinery() {
            Subject::Account
        } else if self.of_requests() {
            Subject::Rate
        } else {
            Subject::Other
        }
    }

    fn of_rate(&self) -> bool {
        self.has(RATE)
            || self.has_anywhere(RATE_ANYWHERE)
            || (self.has(PACE) && self.has(EXCESS) && !self.of_question())
            || (self.has("wait$") && self.has(SOON) && !self.of_question())
            || self.names_a_rate()
            || self.counts_in_chinese()
            || self.counts_a_short_stretch()
            || (self.has(TOO_MANY) && !self.has(LONG_STRETCHES))
    }

    /// The same in Chinese: 每10秒.
    fn counts_in_chinese(&self) -> bool {
        let bare: String = self.lower.chars().filter(|c| !c.is_ascii_digit() && *c != ' ').collect();
        "每秒|每分|每小时|每小時".split('|').any(|stretch| bare.contains(stretch))
    }

    /// More is asked than is allowed, and nothing says that it is more than was bought.
    fn of_requests(&self) -> bool {
        let is_bought = self.has(NONE_LEFT) || self.has("quota|usage|plan");
        let is_much = self.has_anywhere(ASKED_ANYWHERE) && self.has_anywhere(EXCESS_ANYWHERE);
        let is_asked = (self.has(REQUESTS) && self.has(EXCESS) && !is_bought) || is_much;
        is_asked && !self.of_question()
    }

    /// The question is wrong.
    fn of_question(&self) -> bool {
        self.has(QUESTION) || self.has_anywhere(QUESTION_ANYWHERE)
    }

    /// What is counted within seconds, minutes or hours: per 10s, within 1 minute, in the last 60 seconds.
    fn counts_a_short_stretch(&self) -> bool {
        if !self.has(COUNTED) || self.of_question() {
            return false;
        }
        let words: Vec<&str> = self.spaced.split_whitespace().collect();
        let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        let is_stretch = |word: &str| {
            let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
            SHORT_STRETCHES.contains(&unit) && (unit.len() > 1 || unit.len() < word.len())
        };
        words.iter().enumerate().any(|(place, word)| {
            let before = |steps: usize| place.checked_sub(steps).and_then(|place| words.get(place)).copied();
            let is_day = before(1) == Some("24") || *word == "24h";
            let counts = |steps: usize| before(steps).is_some_and(|word| WITHIN.contains(&word));
            let is_single = matches!(*word, "s" | "m" | "h") && before(1).is_some_and(is_number);
            !is_day && (is_stretch(word) || is_single) && (counts(1) || (before(1).is_some_and(is_number) && counts(2)))
        })
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
            // What is counted may stand between: 60 calls/min.
            let number = before.trim_end().trim_end_matches(char::is_alphabetic).trim_end();
            number.ends_with(|last: char| last.is_ascii_digit()) && is_unit(rest.trim_start())
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

    /// A machine has nothing left, and not the customer.
    fn of_machinery(&self) -> bool {
        self.has(MACHINERY) || self.has_anywhere(MACHINERY_ANYWHERE)
    }

    /// Uses that are gone, or a contract that has ended.
    fn of_uses(&self) -> bool {
        let is_limited = (self.has("plan$|plans$|usage|budget") && self.has(LIMIT))
            || (self.has("account|free$|trial") && self.has(LIMIT_MET) && !self.of_question())
            || (self.has("subscription|membership|package") && self.has(DEMAND))
            || (self.has(CONTRACT) && self.has("insufficien|not enough"))
            || (self.has("account") && self.has("insufficien|not enough"))
            || (self.has("upgrade") && self.has("continue|keep using|go on"));
        self.has("quota")
            || self.has_anywhere(UNPAID_ANYWHERE)
            || (self.has(CONTRACT) && self.has(ENDED) && !self.is_key_of_tokens())
            || (self.has(HELD) && self.has("expired|lapsed") && !self.is_key())
            || (self.has(USES) && self.has(NONE_LEFT))
            || self.has(OUT_OF_USES)
            || (self.has(LONG_STRETCHES) && (self.has(LIMIT) || self.has(TOO_MANY)))
            || (is_limited && !self.has(ACCESS))
            || self.of_uses_in_chinese()
    }

    /// The same in Chinese.
    fn of_uses_in_chinese(&self) -> bool {
        let both = |what: &str, how: &str| self.has_anywhere(what) && self.has_anywhere(how);
        (both(MONEY_ANYWHERE, LACK_ANYWHERE) && !self.has_anywhere(QUESTION_ANYWHERE))
            || (both(HELD_ANYWHERE, ENDED_ANYWHERE) && !self.has_anywhere(KEY_ANYWHERE))
            || (both(LONG_STRETCHES_ANYWHERE, LIMIT_ANYWHERE) && !self.has_anywhere(QUESTION_ANYWHERE))
            || (self.has_anywhere(DEMAND_ANYWHERE) && !self.has_anywhere(ACCESS_ANYWHERE))
    }

    /// A key that expired is another thing than the account that it belongs to.
    fn is_key(&self) -> bool {
        self.has("token|session|certificate|password|key$|keys$|signature|link$|login|credential")
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
        if words.windows(2).any(|pair| matches!(pair, ["available" | "remaining" | "left", "0"])) {
            return true;
        }
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
    fn words_of_an_account_in_other_phrases() {
        all_speak_of(
            Subject::Account,
            &[
                "You are out of API calls",
                "Your account has expired, please renew it",
                "You do not have enough credit",
                "You do not have sufficient credits",
                "Your key has no remaining uses",
                "This API key has reached its lifetime limit",
                "You need more credits",
                "Credits required: 1, available: 0",
                "Minimum balance not met",
                "Insufficient account resources",
                "Please upgrade your plan to continue",
                "Limit of your free account reached",
                "Max API calls reached for this account",
                "Request cap reached",
                "Your account is overdrawn",
                "We could not process this request because your credits ran dry",
                "Upgrade your account to keep using the API",
                "No requests remaining on your plan",
                "余量不足",
                "积分不够",
                "免费试用已结束，请升级套餐",
                "今日查询已达上限",
                "已超出限额",
                "账户已停用，请联系客服缴费",
                "您的账户没有可用点数",
                "您的账户已到期，请及时续订",
                "请升级会员",
                "每日限额已用完",
                "余量为0",
            ],
        );
    }

    #[test]
    fn words_of_rate_in_other_phrases() {
        all_speak_of(
            Subject::Rate,
            &[
                "Requests are being sent faster than allowed",
                "Server is busy, too many users, try later",
                "Slow your requests",
                "CALL_FREQ_LIMIT",
                "exceed max qpm",
                "request over limit",
                "You exceeded 60 calls/min",
                "max 3 concurrent calls",
                // A quota over a short stretch passes by itself.
                "Quota of requests per 10s used up",
                "too many api requests today within 1 minute",
                "hit the limit of 10 requests in the last 5 minutes",
                "操作过于频密",
                "请稍后重试，访问量过大",
                "接口访问超过限制",
                "同时请求数超过上限",
                "1分钟内请求次数超限",
                "每10秒最多20次请求",
            ],
        );
    }

    /// A database that was out of memory was taken for an account with nothing left, and a wrong question for one that is asked too fast.
    #[test]
    fn machines_questions_and_keys_are_no_account_and_no_rate() {
        all_speak_of(
            Subject::Other,
            &[
                "java.lang.OutOfMemoryError: heap usage exceeded",
                "Memory usage limit exceeded: would use 9.31 GiB",
                "Database connection budget spent",
                "No healthy upstream; load balance ended",
                "disk quota of the search node reached",
                "query plan exceeded its maximum cost",
                "remaining calls in the queue were dropped",
                "wallet service: balance of shards lost, node is out of memory",
                "Scheduled maintenance today, maximum downtime 2 hours",
                "内存配额不足",
                "数据库连接数已达上限",
                "exchange rate of region GB is not available",
                "invalid sort field: engagement rate",
                "time range must not exceed 60 seconds",
                "max_create_time must lie within 24 hours of min_create_time",
                "min_duration must be in 0 to 600 seconds",
                "参数超出范围",
                "请求体过大",
                "金额不能为0",
                "api key expired",
                "token expired, please renew it",
                "账号登录已过期",
                "Insufficient permissions of this account",
                "请升级套餐以获得该接口权限",
                "3 out of 10 requests failed",
            ],
        );
    }

    #[test]
    fn some_words_leave_no_doubt() {
        for rate in [
            "API rate limit exceeded",
            "request frequency is too high",
            "Too many requests",
            "请求过于频繁",
            "limit of 10 requests in 5 minutes reached",
            "API calls are limited to 10/s",
        ] {
            assert!(is_plainly_of_rate(rate), "{rate}");
        }
        for other in [
            "IP not in allowlist, access limited to 10 requests",
            "time range must not exceed 60 seconds, wait for approval",
            "invalid parameter rate_limit",
            "the field frequency exceeds its limit",
            "please wait 30 seconds for the review of your account",
        ] {
            assert!(!is_plainly_of_rate(other), "{other}");
        }
        for account in [
            "Usage Limit Exceeded, Please Contact Administrator to Increase Quota",
            "Internal error: insufficient balance",
            "You are out of API calls",
            "Monthly request limit exceeded",
            "余额不足",
        ] {
            assert!(is_plainly_of_account(account), "{account}");
        }
        for other in [
            "Retry budget exhausted",
            "plan exceeded its budget",
            "maximum reached today",
            "package expired",
            "units exhausted",
            "the service certificate expired",
            "index usage limit exceeded",
        ] {
            assert!(!is_plainly_of_account(other), "{other}");
        }
    }

    #[test]
    fn a_quote_is_short_and_one_line() {
        assert_eq!(quoted(" a\nb\u{1}c "), "a b c");
        let long = quoted(&"x".repeat(3_000_000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (QUOTED_CHARACTERS, true));
        assert_eq!(quoted(&"x".repeat(300)), "x".repeat(300));
    }
}
