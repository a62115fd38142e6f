use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::gate::SLACK;
use super::*;
use crate::api::client::InVain;
use crate::plan::fact::{PageAddress, Purpose, WindowId};
use crate::units::{EpochSeconds, PageNumber};

/// So many that nobody waits for a place.
const MANY: usize = 10_000;
const CALM: Dice = Dice { spread: 0.0, jitter: 0.0 };

fn task(number: u32) -> Task {
    let page = PageNumber::new(number).unwrap();
    let purpose = Purpose::Walk { window: WindowId(0), scan: 0 };
    let address = PageAddress { region: "US".parse().unwrap(), purpose, page };
    Task {
        address,
        query: PageQuery::usual(),
        expected: Default::default(),
        window: WindowId(0),
        position: EpochSeconds::new(0),
    }
}

fn failed() -> Heard {
    Heard::Failed { why: "broken".to_owned(), wait: None }
}

fn throttled(wait: Option<Duration>) -> Heard {
    Heard::Throttled { why: "too fast".to_owned(), wait }
}

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A pool and its time, in which timers end at whole milliseconds, as tokio's do.
struct Timed {
    pool: Pool,
    now: Duration,
}

impl Timed {
    /// The service has answered before.
    fn new(per_second: f64, most_in_flight: usize) -> Self {
        let mut timed = Self::unheard(per_second, most_in_flight);
        timed.pool.reach.heard();
        timed
    }

    fn unheard(per_second: f64, most_in_flight: usize) -> Self {
        Self { pool: Pool::new(Rate::Fixed(per_second), LearnedRate::default(), most_in_flight), now: Duration::ZERO }
    }

    fn wait(&mut self, seconds: f64) {
        self.now += at(seconds);
    }

    /// Waits until something may go out.
    fn next(&mut self) -> Vec<Sending> {
        loop {
            let sent = self.pool.go_on(self.now);
            if !sent.is_empty() {
                return sent;
            }
            let Some(wake) = self.pool.wake_at() else { return sent };
            let millis = wake.as_nanos().div_ceil(1_000_000);
            self.now = self.now.max(Duration::from_millis(u64::try_from(millis).unwrap()));
        }
    }

    /// Asks for a permit, and waits for it.
    fn admit(&mut self) -> JobId {
        let job = self.pool.probe(PageQuery::usual(), Duration::ZERO, self.now);
        let sent = self.next();
        assert_eq!(sent.iter().map(|sending| sending.job).collect::<Vec<_>>(), [job]);
        job
    }

    fn hear(&mut self, job: JobId, heard: Heard) -> Option<Heeded> {
        self.pool.heard(job, heard, CALM, self.now)
    }
}

/// One thing that may happen to a pool.
#[derive(Clone, Copy, Debug)]
enum Step {
    Admit,
    Sleep(u64),
    Refuse(Option<u64>),
    Answer,
    Fail,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => Just(Step::Admit),
        3 => prop_oneof![0_u64..40, 0_u64..3_000_000].prop_map(Step::Sleep),
        1 => prop::option::of(0_u64..5).prop_map(Step::Refuse),
        4 => Just(Step::Answer),
        2 => Just(Step::Fail),
    ]
}

/// Carries steps out. Gives back when each permit was asked for, when it came, and until when everybody was held then.
fn carried_out(mut timed: Timed, steps: &[Step]) -> Vec<(Duration, Duration, Duration)> {
    let (mut admitted, mut under_way) = (Vec::new(), Vec::new());
    for step in steps {
        let heard = match step {
            Step::Admit => {
                // Asked before: the one that tries whether a hold is over holds everybody else itself.
                let (asked, held_until) = (timed.now, timed.pool.gate.held_until());
                under_way.push(timed.admit());
                admitted.push((asked, timed.now, held_until));
                continue;
            }
            Step::Sleep(milliseconds) => {
                timed.now += Duration::from_millis(*milliseconds);
                continue;
            }
            Step::Refuse(seconds) => throttled(seconds.map(Duration::from_secs)),
            Step::Answer => Heard::Page { doubt: None },
            Step::Fail => failed(),
        };
        if let Some(job) = under_way.pop() {
            timed.hear(job, heard);
        }
    }
    admitted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_window_of_any_schedule_holds_more_than_its_permits(
        rate in 1_u32..2_000, steps in prop::collection::vec(any_step(), 0..250),
    ) {
        let rate = f64::from(rate);
        let admitted = carried_out(Timed::new(rate, MANY), &steps);
        for (first, (_, began, _)) in admitted.iter().enumerate() {
            for (last, (_, ended, _)) in admitted.iter().enumerate().skip(first) {
                let permits = (last - first + 1) as f64;
                // The slack is what a timer may be late by without losing its slot; it is no burst, since it is spent once.
                let most = rate * (*ended - *began + SLACK).as_secs_f64() + 1.0;
                prop_assert!(permits <= most + 1e-6, "{permits} permits from {began:?} to {ended:?}, not {most}");
            }
        }
        prop_assert!(admitted.iter().all(|(_, at, held_until)| at >= held_until), "a permit while everybody is held");
    }

    #[test]
    fn a_permit_comes_exactly_when_it_is_due(
        rate in 1_u32..1_000, pauses in prop::collection::vec(0_u64..30, 1..200),
    ) {
        let period = Duration::from_secs_f64(1.0 / f64::from(rate));
        let steps: Vec<Step> = pauses.iter().flat_map(|pause| [Step::Sleep(*pause), Step::Admit]).collect();
        let admitted = carried_out(Timed::new(f64::from(rate), MANY), &steps);
        for (number, (asked, came, _)) in admitted.iter().enumerate() {
            // Of slots that were not used in time, none is owed; those that were are a period apart.
            let before = number.checked_sub(1).and_then(|before| admitted.get(before)).map_or(Duration::ZERO, |one| one.1 + period);
            let due = before.max(*asked);
            // Timers are as coarse as a millisecond.
            prop_assert!(*came <= due + Duration::from_millis(3), "asked {asked:?}, due {due:?}, came {came:?}");
        }
    }
}

/// A storm of an hour, seen from all workers: each asks its page up to eight times, and then begins anew.
#[test]
fn an_hour_of_failures_costs_few_attempts() {
    const WORKERS: usize = 16;
    let mut timed = Timed::new(100.0, WORKERS);
    let mut random = StdRng::seed_from_u64(1);
    for page in 1..=16 {
        timed.pool.begin(task(page), (Asks::First, Patience::Full), Duration::ZERO);
    }
    let mut attempts = 0;
    while timed.now < Duration::from_secs(3_600) {
        for sending in timed.next() {
            attempts += 1;
            let dice = Dice { spread: random.random(), jitter: random.random() };
            let heeded = timed.pool.heard(sending.job, failed(), dice, timed.now).unwrap();
            if let JobOutcome::Over(Over { work: Work::Page(task), .. }) = heeded.then {
                timed.pool.begin((*task).clone(), (Asks::Again, Patience::Full), timed.now);
            }
        }
    }
    // Sixteen failures, and a pause that grows to a minute: about 60 pauses, and the climb to them.
    assert!((200..=1_500).contains(&attempts), "{attempts} attempts");
}

#[test]
fn permits_are_evenly_spaced_and_never_early() {
    let mut timed = Timed::new(100.0, MANY);
    for number in 0..500_u32 {
        timed.admit();
        assert!(timed.now + SLACK >= Duration::from_millis(10) * number, "permit {number} after {:?}", timed.now);
    }
    let took = timed.now.as_secs_f64();
    assert!((4.95..5.1).contains(&took), "{took}");
}

#[test]
fn late_wakers_lose_no_slot() {
    let mut timed = Timed::new(1_000.0, MANY);
    for number in 0..5_000 {
        timed.wait(f64::from(number % 3) * 0.000_4);
        timed.admit();
    }
    let rate = 5_000.0 / timed.now.as_secs_f64();
    assert!(rate > 980.0 && rate < 1_030.0, "{rate}");
}

#[test]
fn a_pause_of_an_hour_is_followed_by_no_burst() {
    let mut timed = Timed::new(10.0, MANY);
    timed.admit();
    timed.wait(3_600.0);
    let start = timed.now;
    for _ in 0..11 {
        timed.admit();
    }
    assert!(timed.now - start >= Duration::from_millis(970), "{:?}", timed.now - start);
}

#[test]
fn a_refusal_holds_everybody_and_not_longer() {
    let mut timed = Timed::new(100.0, MANY);
    let job = timed.admit();
    let heeded = timed.hear(job, throttled(Some(Duration::from_secs(5)))).unwrap();
    assert!(heeded.hold.is_some_and(|(hold, _)| hold >= Duration::from_secs(4)));
    let start = timed.now;
    timed.admit();
    let waited = (timed.now - start).as_secs_f64();
    assert!((4.9..6.1).contains(&waited), "{waited}");
}

#[test]
fn a_failure_that_asks_for_a_wait_holds_everybody_and_says_so() {
    let mut timed = Timed::new(100.0, MANY);
    let job = timed.admit();
    let asked = Heard::Failed { why: "unwell".to_owned(), wait: Some(at(10.0)) };
    assert_eq!(timed.hear(job, asked).unwrap().hold, Some((at(10.0), "unwell".to_owned())));
    assert_eq!(timed.pool.gate.held_until(), timed.now + at(10.0));
}

/// Whoever waits for a moment that is past is woken again and again.
#[test]
fn nobody_is_woken_for_a_region_that_is_left_alone_once_all_is_stopped() {
    let (us, gb): (Region, Region) = ("US".parse().unwrap(), "GB".parse().unwrap());
    let mut timed = Timed::new(100.0, MANY);
    for _ in 0..20 {
        timed.pool.lone.throttled(&gb, Some(at(30.0)), timed.now);
        timed.pool.lone.answered(&us);
    }
    timed.pool.go_on(timed.now);
    assert_eq!(timed.pool.wake_at(), Some(timed.now + at(30.0)));
    timed.pool.stop();
    assert_eq!(timed.pool.wake_at(), None);
    timed.pool.go_on(timed.now);
    assert_eq!(timed.pool.wake_at(), None);
}

#[test]
fn workers_follow_rate_times_latency() {
    let mut timed = Timed::new(100.0, 64);
    assert_eq!(timed.pool.useful_workers(), 2);
    for _ in 0..50 {
        let job = timed.admit();
        timed.wait(0.2);
        timed.hear(job, Heard::Page { doubt: None });
    }
    let workers = timed.pool.useful_workers();
    assert!((30..=34).contains(&workers), "{workers}");
}

#[test]
fn no_more_are_under_way_than_may_be_until_pages_are_durable() {
    let mut timed = Timed::new(1_000.0, 2);
    let jobs: Vec<JobId> =
        (1..=3).map(|page| timed.pool.begin(task(page), (Asks::First, Patience::Full), Duration::ZERO)).collect();
    timed.next();
    timed.wait(1.0);
    timed.next();
    assert!(matches!(timed.hear(jobs[0], Heard::Page { doubt: None }).unwrap().then, JobOutcome::Keep));
    timed.wait(1.0);
    assert!(timed.pool.go_on(timed.now).is_empty(), "its page is not durable yet");
    assert_eq!(timed.pool.kept(jobs[0], Duration::ZERO).unwrap().task.address.page.get(), 1);
    assert_eq!(timed.pool.go_on(timed.now)[0].job, jobs[2]);
}

#[test]
fn a_page_that_failed_asks_again_and_leaves_its_worker_meanwhile() {
    let mut timed = Timed::new(1_000.0, 4);
    let job = timed.pool.begin(task(1), (Asks::First, Patience::Full), Duration::ZERO);
    let first = timed.next();
    assert_eq!((first[0].asks, timed.pool.busy()), (Asks::First, 1));
    let dice = Dice { spread: 0.0, jitter: 1.0 };
    assert!(matches!(timed.pool.heard(job, failed(), dice, timed.now).unwrap().then, JobOutcome::GoesOn));
    assert_eq!((timed.pool.busy(), timed.pool.len(), timed.pool.last_failure()), (0, 1, Some("broken")));
    assert_eq!(timed.next()[0].asks, Asks::Again);
    assert_eq!((timed.pool.busy(), timed.now >= Duration::from_millis(500)), (1, true));
}

/// Whoever fails beyond the budget waits in the order of asking.
#[test]
fn leave_is_given_in_the_order_of_asking_and_a_long_wait_is_worth_a_word() {
    let mut timed = Timed::new(1_000.0, MANY);
    let jobs: Vec<JobId> =
        (1..=15).map(|page| timed.pool.begin(task(page), (Asks::Again, Patience::Full), Duration::ZERO)).collect();
    let mut order = Vec::new();
    while order.len() < 15 {
        order.extend(timed.next().into_iter().map(|sending| sending.job));
    }
    assert_eq!(order, jobs);
    // Ten are saved; the seconds earn the other five.
    assert!(timed.now >= at(4.9) && timed.now < at(5.2), "{:?}", timed.now);
    assert!(timed.pool.notable_wait().is_some_and(|wait| wait >= at(4.9)));
}

#[test]
fn after_a_stop_nothing_is_sent_and_what_is_under_way_is_heard() {
    let mut timed = Timed::new(1_000.0, 1);
    let (asked, waits) = (task(1), task(2));
    let asked = timed.pool.begin(asked, (Asks::First, Patience::Full), Duration::ZERO);
    timed.pool.begin(waits, (Asks::First, Patience::Full), Duration::ZERO);
    timed.next();
    let stopped = timed.pool.stop();
    assert_eq!((stopped.len(), timed.pool.len()), (1, 1));
    timed.wait(10.0);
    let heeded = timed.hear(asked, failed()).unwrap();
    assert!(matches!(heeded.then, JobOutcome::Over(Over { how: Fetched::Stopped, .. })), "it is not asked again");
    assert!(timed.pool.go_on(timed.now).is_empty() && timed.pool.is_empty() && timed.pool.wake_at().is_none());
}

#[test]
fn until_the_service_has_answered_one_request_is_on_its_way() {
    let mut timed = Timed::unheard(1_000.0, 8);
    let jobs: Vec<JobId> =
        (1..=3).map(|page| timed.pool.begin(task(page), (Asks::First, Patience::Full), Duration::ZERO)).collect();
    assert_eq!(timed.next().len(), 1);
    timed.wait(1.0);
    assert!(timed.pool.go_on(timed.now).is_empty());
    timed.hear(jobs[0], Heard::Page { doubt: None });
    assert_eq!(timed.next()[0].job, jobs[1]);
}

/// A wrong name in the address was asked for until nothing had come for too long.
#[test]
fn an_address_at_which_nothing_was_ever_heard_ends_the_job() {
    let mut timed = Timed::unheard(1_000.0, 8);
    let dice = Dice { spread: 0.0, jitter: 1.0 };
    let job = timed.pool.begin(task(1), (Asks::First, Patience::Full), Duration::ZERO);
    for attempt in 1..=5 {
        timed.next();
        let heard = Heard::Unreached { what: InVain::Address, why: "no such name".to_owned() };
        let heeded = timed.pool.heard(job, heard, dice, timed.now).unwrap();
        let is_over = matches!(heeded.then, JobOutcome::Over(Over { how: Fetched::Unreachable { .. }, .. }));
        assert_eq!(is_over, attempt == 5, "attempt {attempt} at {:?}", timed.now);
    }
}

#[test]
fn an_answer_to_another_question_is_asked_again_and_kept_the_fourth_time() {
    let mut timed = Timed::new(1_000.0, 4);
    let job = timed.pool.begin(task(1), (Asks::First, Patience::Full), Duration::ZERO);
    for time in 1..=4 {
        timed.next();
        let doubt = Some(Doubt::AnotherQuestion("another region's".to_owned()));
        let heeded = timed.hear(job, Heard::Page { doubt: doubt.clone() }).unwrap();
        let failed = timed.pool.failures(&PageQuery::usual().region).map(|failures| failures.attempts);
        if time < 4 {
            assert_eq!((heeded.astray, failed), (doubt.map(|doubt| doubt.to_string()), Some(time)), "{time}");
            assert!(matches!(heeded.then, JobOutcome::GoesOn));
        } else {
            assert_eq!((heeded.astray, failed), (None, None));
            assert!(matches!(heeded.then, JobOutcome::Keep));
        }
    }
}

/// Trouble may have begun before the region was first asked for, so that nothing is known which it would contradict.
#[test]
fn another_regions_rows_are_believed_on_answers_apart_in_time_while_the_region_has_shown_none_of_its_own() {
    let mut timed = Timed::new(1_000.0, 4);
    timed.pool = timed.pool.confirming_after(at(20.0));
    let job = timed.pool.begin(task(1), (Asks::First, Patience::Full), Duration::ZERO);
    let mut asked = Vec::new();
    loop {
        timed.next();
        asked.push(timed.now);
        let heeded =
            timed.hear(job, Heard::Page { doubt: Some(Doubt::UnknownRegion("another's".to_owned())) }).unwrap();
        if matches!(heeded.then, JobOutcome::Keep) {
            break;
        }
    }
    assert_eq!(asked.len(), 5, "{asked:?}");
    assert!(asked[3] < at(20.0) && asked[4] >= asked[0] + at(20.0), "{asked:?}");
}

/// Nothing of a stopped region is sent, not even what waited for its turn; what is on its way is heard, and not asked again.
#[test]
fn a_region_that_is_stopped_gives_its_jobs_back() {
    let mut timed = Timed::new(1_000.0, 1);
    let asked = timed.pool.begin(task(1), (Asks::First, Patience::Full), Duration::ZERO);
    let waits = timed.pool.begin(task(2), (Asks::First, Patience::Full), Duration::ZERO);
    let probe = timed.pool.probe(PageQuery::usual(), Duration::ZERO, Duration::ZERO);
    timed.next();
    let stopped = timed.pool.stop_regions([PageQuery::usual().region].into());
    assert_eq!(stopped.iter().map(|over| over.job).collect::<Vec<_>>(), [waits]);
    let heeded = timed.hear(asked, failed()).unwrap();
    assert!(matches!(heeded.then, JobOutcome::Over(Over { how: Fetched::Stopped, .. })));
    assert_eq!(timed.next()[0].job, probe, "whether it is well is still asked");
}

#[test]
fn an_answer_ends_the_row_of_failures_that_trips_the_breaker() {
    for (most_in_flight, patience) in [(1, 8), (20, 20), (MANY, 64)] {
        let mut timed = Timed::new(1_000.0, most_in_flight);
        let mut holds = |heard: Heard| {
            let job = timed.admit();
            timed.hear(job, heard).unwrap().hold.is_some()
        };
        assert!((1..patience).all(|_| !holds(failed())), "{most_in_flight}");
        assert!(!holds(Heard::Page { doubt: None }));
        assert!((1..patience).all(|_| !holds(failed())), "{most_in_flight}");
        assert!(holds(failed()), "{most_in_flight}");
    }
}

/// It may be the key that was refused.
#[test]
fn after_a_refusal_nobody_sends_but_who_asks_again_because_of_it() {
    let mut timed = Timed::new(1_000.0, 4);
    let [refused, waits] =
        [1, 2].map(|page| timed.pool.begin(task(page), (Asks::First, Patience::Full), Duration::ZERO));
    assert_eq!(timed.pool.go_on(timed.now)[0].job, refused);
    timed.hear(refused, Heard::Refused { code: 403, message: "no".to_owned(), wait: None });
    timed.wait(1.0);
    assert!(timed.pool.go_on(timed.now).is_empty());
    let confirms = timed.pool.begin(task(1), (Asks::Confirming(at(5.0)), Patience::Full), timed.now);
    assert_eq!((timed.next()[0].job, timed.now), (confirms, at(6.0)));
    timed.pool.hold(false);
    assert_eq!(timed.next()[0].job, waits);
}

/// A refusal in words of the rate alone.
fn slowed() -> Heard {
    let (message, why) = ("Too many requests".to_owned(), "HTTP 403: Too many requests".to_owned());
    Heard::Slowed { code: 403, message, why }
}

/// Such a question was asked for ever, and slowed everybody down.
#[test]
fn what_is_refused_in_words_of_the_rate_at_any_pace_while_others_are_answered_is_refused() {
    let mut timed = Timed::new(1_000.0, 1);
    let first = timed.pool.begin(task(1), (Asks::First, Patience::Full), Duration::ZERO);
    for times in 0..40 {
        assert_eq!(timed.next()[0].job, first);
        let then = timed.hear(first, slowed()).unwrap().then;
        assert!(matches!(then, JobOutcome::GoesOn), "nobody else is answered: {times} {then:?}");
        assert_eq!(timed.pool.slowed(), Some((403, "Too many requests".to_owned())));
    }
    timed.next();
    timed.hear(first, Heard::Page { doubt: None });
    timed.pool.kept(first, Duration::ZERO);
    assert_eq!(timed.pool.slowed(), None);
    let lasting = timed.pool.begin(task(2), (Asks::First, Patience::Full), timed.now);
    let mut told = 0;
    let refused = loop {
        assert_eq!(timed.next()[0].job, lasting);
        match timed.hear(lasting, slowed()).unwrap().then {
            JobOutcome::GoesOn => told += 1,
            then => break then,
        }
        let other = timed.pool.begin(task(10 + told), (Asks::First, Patience::Full), timed.now);
        while timed.next()[0].job != other {
            timed.hear(lasting, slowed());
        }
        timed.hear(other, Heard::Page { doubt: None });
        timed.pool.kept(other, Duration::ZERO);
        assert!(told < 20);
    };
    assert!(matches!(refused, JobOutcome::Over(Over { how: Fetched::Refused { code: 403, .. }, .. })), "{refused:?}");
    let again = timed.pool.begin(task(2), (Asks::Confirming(at(0.5)), Patience::Full), timed.now);
    while timed.next()[0].job != again {}
    let confirmed = timed.hear(again, slowed()).unwrap().then;
    assert!(matches!(confirmed, JobOutcome::Over(Over { how: Fetched::Refused { .. }, .. })), "{confirmed:?}");
}

/// What an answer says that the key is spent.
fn spent() -> Heard {
    Heard::Quota { message: "no credits".to_owned() }
}

#[test]
fn one_request_alone_asks_again_whether_the_key_is_spent() {
    for is_spent in [true, false] {
        let mut timed = Timed::new(1_000.0, 4);
        let mut begin = |page, now| timed.pool.begin(task(page), (Asks::First, Patience::Full), now);
        let jobs = [1, 2, 3, 5].map(|page| begin(page, Duration::ZERO));
        assert_eq!(timed.next()[0].job, jobs[0]);
        let heeded = timed.hear(jobs[0], Heard::Page { doubt: None }).unwrap();
        assert!(matches!(heeded.then, JobOutcome::Keep));
        timed.pool.kept(jobs[0], Duration::ZERO);
        assert_eq!([timed.next()[0].job, timed.next()[0].job, timed.next()[0].job], [jobs[1], jobs[2], jobs[3]]);
        let said = timed.now;
        for job in [jobs[2], jobs[1]] {
            assert!(matches!(timed.hear(job, spent()).unwrap().then, JobOutcome::GoesOn));
        }
        // What was on its way and is answered tells nothing: it may have been answered before.
        assert!(matches!(timed.hear(jobs[3], Heard::Page { doubt: None }).unwrap().then, JobOutcome::Keep));
        timed.pool.kept(jobs[3], Duration::ZERO);
        let later = timed.pool.begin(task(4), (Asks::First, Patience::Full), timed.now);
        assert_eq!(timed.next()[0].job, jobs[2], "who was told first");
        assert!(timed.now >= said + SPENT_AGAIN && timed.pool.go_on(timed.now + at(9.0)).is_empty(), "nobody else");
        if is_spent {
            let JobOutcome::Over(Over { how: Fetched::Quota { .. }, .. }) = timed.hear(jobs[2], spent()).unwrap().then
            else {
                panic!("it is spent")
            };
        } else {
            timed.hear(jobs[2], Heard::Page { doubt: None });
            let mut sent: Vec<JobId> = Vec::new();
            while sent.len() < 2 {
                sent.extend(timed.next().iter().map(|sending| sending.job));
            }
            assert_eq!(sent, [jobs[1], later], "all go on");
        }
    }
}

#[test]
fn one_request_at_a_time_shows_whether_the_key_is_spent_that_a_region_says_is_so() {
    let mut timed = Timed::new(1_000.0, 4);
    let jobs = [1, 2, 3].map(|page| timed.pool.begin(task(page), (Asks::First, Patience::Full), Duration::ZERO));
    assert_eq!(timed.next()[0].job, jobs[0]);
    timed.hear(jobs[0], spent());
    assert_eq!(timed.next()[0].job, jobs[0], "it is asked again");
    let told = timed.hear(jobs[0], spent()).unwrap().then;
    assert!(matches!(told, JobOutcome::Over(Over { how: Fetched::Quota { .. }, .. })), "{told:?}");
    timed.wait(1.0);
    assert!(timed.pool.go_on(timed.now).is_empty(), "nobody sends anything until that is weighed");
    timed.pool.hold(false);
    timed.pool.doubt(true);
    assert_eq!(timed.next()[0].job, jobs[1]);
    timed.wait(1.0);
    assert!(timed.pool.go_on(timed.now).is_empty(), "one at a time");
    let told = timed.hear(jobs[1], spent()).unwrap().then;
    assert!(
        matches!(told, JobOutcome::Over(Over { how: Fetched::Quota { .. }, .. })),
        "it confirms the first: {told:?}"
    );
    timed.pool.hold(false);
    assert_eq!(timed.next()[0].job, jobs[2]);
}

#[test]
fn where_all_that_were_on_their_way_are_told_so_the_key_is_spent_and_nobody_asks() {
    let mut timed = Timed::new(1_000.0, 4);
    let jobs = [1, 2, 3, 4].map(|page| timed.pool.begin(task(page), (Asks::First, Patience::Full), Duration::ZERO));
    assert_eq!(timed.next()[0].job, jobs[0]);
    timed.hear(jobs[0], Heard::Page { doubt: None });
    timed.pool.kept(jobs[0], Duration::ZERO);
    for job in &jobs[1..] {
        assert_eq!(timed.next()[0].job, *job);
    }
    for job in &jobs[1..3] {
        assert!(matches!(timed.hear(*job, spent()).unwrap().then, JobOutcome::GoesOn));
    }
    let last = timed.hear(jobs[3], spent()).unwrap().then;
    assert!(matches!(last, JobOutcome::Over(Over { how: Fetched::Quota { .. }, .. })), "{last:?}");
}

#[test]
fn of_a_stopped_region_nothing_is_asked_again_to_confirm_that_the_key_is_spent() {
    let mut timed = Timed::new(1_000.0, 4);
    let job = timed.pool.begin(task(1), (Asks::First, Patience::Full), Duration::ZERO);
    timed.next();
    timed.pool.stop_regions([PageQuery::usual().region].into());
    let heeded = timed.hear(job, spent()).unwrap();
    assert!(matches!(heeded.then, JobOutcome::Over(Over { how: Fetched::Stopped, .. })));
    let probe = timed.pool.probe(PageQuery::usual(), Duration::ZERO, timed.now);
    assert_eq!(timed.next()[0].job, probe, "nobody is waited for");
}

#[test]
fn an_empty_page_where_a_row_is_known_slows_everybody_and_is_asked_again_only_where_it_can_be_no_cap() {
    for (number, is_kept) in [(1, false), (2, true)] {
        let mut timed = Timed::new(1_000.0, 4);
        let page = PageNumber::new(number).unwrap();
        let task = Task { query: PageQuery { page, ..PageQuery::usual() }, ..task(number) };
        let job = timed.pool.begin(task, (Asks::First, Patience::Full), Duration::ZERO);
        timed.next();
        let doubt = Some(Doubt::KnownRowMissing(EpochSeconds::new(5)));
        let heeded = timed.hear(job, Heard::Page { doubt }).unwrap();
        assert_eq!(
            (matches!(heeded.then, JobOutcome::Keep), heeded.astray.is_none()),
            (is_kept, is_kept),
            "page {number}"
        );
        assert!(timed.pool.gate.held_until() >= timed.now + DOUBT_HOLD, "page {number}");
    }
}

#[test]
fn a_429_is_no_failure_of_its_region() {
    let mut timed = Timed::new(1_000.0, 4);
    let job = timed.pool.begin(task(1), (Asks::First, Patience::Full), Duration::ZERO);
    timed.next();
    timed.hear(job, throttled(None));
    assert_eq!(timed.pool.failures(&PageQuery::usual().region), None);
    timed.next();
    timed.hear(job, failed());
    assert_eq!(timed.pool.failures(&PageQuery::usual().region).map(|failures| failures.attempts), Some(1));
}

#[test]
fn a_region_that_alone_is_throttled_fails_and_holds_nobody() {
    let mut timed = Timed::new(1_000.0, 4);
    let other: Region = "GB".parse().unwrap();
    let mut lone = task(1);
    (lone.address.region, lone.query.region) = (other.clone(), other.clone());
    timed.pool.begin(lone, (Asks::First, Patience::Full), Duration::ZERO);
    let (mut attempts, mut well) = (0, None);
    while timed.pool.failures(&other).is_none() {
        for sending in timed.next() {
            let is_well = Some(sending.job) == well;
            timed.hear(sending.job, if is_well { Heard::Page { doubt: None } } else { throttled(None) });
            if is_well {
                timed.pool.give_up(sending.job);
            }
        }
        if well.is_none_or(|job| timed.pool.work(job).is_none()) {
            well = Some(timed.pool.begin(task(1), (Asks::First, Patience::Full), timed.now));
        }
        attempts += 1;
        assert!(attempts < 100, "it is taken for the key's limit");
    }
    assert!(timed.pool.gate.held_until() <= timed.now, "nobody is held for it");
}

#[test]
fn only_as_many_workers_leave_their_place_as_may_be_under_way() {
    let mut pool = Timed::new(1_000.0, 2).pool;
    for page in 1..=5 {
        pool.begin(task(page), (Asks::Again, Patience::Full), Duration::ZERO);
    }
    assert_eq!((pool.len(), pool.busy()), (5, 3));
}

/// What is over takes no retry token: others wait for it.
#[test]
fn the_jobs_of_a_stopped_region_use_no_leave() {
    let mut timed = Timed::new(1_000.0, MANY);
    let begin = |timed: &mut Timed, pages: std::ops::RangeInclusive<u32>| -> Vec<JobId> {
        pages.map(|page| timed.pool.begin(task(page), (Asks::Again, Patience::Full), Duration::ZERO)).collect()
    };
    begin(&mut timed, 1..=10);
    assert_eq!(timed.pool.stop_regions([PageQuery::usual().region].into()).len(), 10);
    timed.pool.stop_regions(BTreeSet::new());
    let jobs = begin(&mut timed, 11..=20);
    timed.wait(0.1);
    let mut sent = Vec::new();
    while sent.len() < jobs.len() {
        sent.extend(timed.next().into_iter().map(|sending| sending.job));
    }
    assert_eq!((sent, timed.pool.notable_wait()), (jobs, None));
}
