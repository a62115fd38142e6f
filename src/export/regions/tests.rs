use super::judging::MOST_PROOFS;
use super::*;

mod holds;
mod silent;
mod spent;

const PATIENCE: Duration = Duration::from_secs(900);

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn region(code: &str) -> Region {
    code.parse().unwrap()
}

fn refusal(code: u16) -> RegionFault {
    RegionFault::Refused { code, message: "no".to_owned() }
}

/// A run of regions, each with one window of its own, in order.
struct Run {
    regions: Regions,
    standing: Vec<(Region, Progress)>,
    on_way: BTreeSet<Region>,
}

impl Run {
    fn of(codes: &[&str]) -> Self {
        let standing = codes.iter().map(|code| (region(code), Progress::Open)).collect();
        Self { regions: Regions::new(PATIENCE, BTreeSet::new()), standing, on_way: BTreeSet::new() }
    }

    fn window(&self, code: &str) -> WindowId {
        WindowId(self.standing.iter().position(|(other, _)| other.as_str() == code).unwrap() as u32)
    }

    fn refused(&mut self, code: &str, status: u16, now: f64) -> OnRefusal {
        let window = self.window(code);
        self.regions.refused(&region(code), (window, RefusedPage::First), refusal(status), at(now))
    }

    /// Refused as often as it is asked again, as its fetch job would be; when that was over.
    fn refused_for_good(&mut self, code: &str, status: u16, from: f64) -> f64 {
        let mut now = from;
        for _ in 0..CONFIRMATIONS.len() {
            let OnRefusal::AskAgain(rest) = self.refused(code, status, now) else { panic!("not asked again") };
            now += rest.as_secs_f64() + 0.1;
        }
        assert_eq!(self.refused(code, status, now), OnRefusal::Leave);
        now
    }

    fn came(&mut self, code: &str, began: f64, now: f64) {
        let window = self.window(code);
        self.regions.came(&region(code), Some(window), (at(began), at(now)));
    }

    fn is_done(&mut self, code: &str) {
        let of = self.standing.iter_mut().find(|(other, _)| other.as_str() == code);
        of.unwrap().1 = Progress::Done;
    }

    fn fails(&mut self, code: &str, attempts: u32, since: f64, now: f64) {
        let failing = Failing { attempts, since: at(since), why: "HTTP 500".to_owned() };
        self.regions.look(&self.standing, &region(code), &failing, at(now));
    }

    fn next(&mut self, now: f64) -> Next {
        let on_way = self.on_way.clone();
        self.regions.next(&self.standing, |region| on_way.contains(region), at(now))
    }
}

fn gives_up(code: &str, status: u16) -> Next {
    Next::GiveUp(region(code), refusal(status))
}

fn stops(status: u16) -> Next {
    Next::Refused { code: status, message: "no".to_owned() }
}

#[test]
fn one_refusal_amid_good_answers_is_asked_again_and_forgotten() {
    for status in [301, 400, 401, 403, 404, 410, 422, 451] {
        let mut run = Run::of(&["US"]);
        run.came("US", 0.0, 1.0);
        assert_eq!(run.refused("US", status, 2.0), OnRefusal::AskAgain(CONFIRMATIONS[0]));
        assert!(run.regions.holds(), "nobody else sends anything meanwhile");
        run.came("US", 2.5, 3.0);
        assert!(!run.regions.holds());
        assert_eq!(run.next(3.0), Next::Nothing);
        assert_eq!(run.refused("US", status, 9.0), OnRefusal::AskAgain(CONFIRMATIONS[0]), "it is counted anew");
    }
}

#[test]
fn a_lone_region_that_is_refused_for_good_ends_the_run() {
    for status in [401, 403, 404, 422] {
        let mut run = Run::of(&["US"]);
        let now = run.refused_for_good("US", status, 1.0);
        assert_eq!(run.next(now), stops(status));
    }
}

#[test]
fn a_region_is_given_up_once_another_answered_what_was_sent_afterwards() {
    for status in [400, 401, 403, 404, 422] {
        let mut run = Run::of(&["US", "GB"]);
        let now = run.refused_for_good("GB", status, 1.0);
        assert!(run.regions.is_aside(&region("GB")) && !run.regions.holds());
        assert_eq!(run.next(now), Next::Nothing, "US is still to be asked");
        run.came("US", now - 0.5, now + 1.0);
        assert_eq!(run.next(now), Next::Nothing, "that was sent before");
        run.came("US", now + 0.5, now + 2.0);
        assert_eq!(run.next(now + 2.0), gives_up("GB", status));
        assert_eq!(run.next(now + 2.0), Next::Nothing);
    }
}

#[test]
fn a_region_is_not_given_up_while_somebody_is_on_the_way_for_it() {
    let mut run = Run::of(&["US", "GB"]);
    let now = run.refused_for_good("GB", 403, 1.0);
    run.came("US", now + 0.5, now + 1.0);
    run.on_way.insert(region("GB"));
    assert_eq!(run.next(now + 1.0), Next::Nothing);
    run.on_way.clear();
    assert_eq!(run.next(now + 1.0), gives_up("GB", 403));
}

#[test]
fn where_the_others_are_done_one_of_them_is_asked() {
    let mut run = Run::of(&["US", "GB"]);
    run.came("US", 0.0, 0.5);
    run.is_done("US");
    let now = run.refused_for_good("GB", 403, 1.0);
    assert_eq!(run.next(now), Next::Prove(region("US"), Duration::ZERO));
    assert_eq!(run.next(now), Next::Nothing, "one at a time");
    run.regions.came(&region("US"), None, (at(now + 0.1), at(now + 0.2)));
    run.regions.proved(None);
    assert_eq!(run.next(now + 0.2), gives_up("GB", 403));
}

#[test]
fn a_proof_that_does_not_come_is_repeated_and_then_tells_how_it_ends() {
    for (met, end) in [
        (refusal(401), stops(403)),
        (RegionFault::Unwell { why: "HTTP 500".to_owned() }, Next::Unwell { why: "HTTP 500".to_owned() }),
    ] {
        let mut run = Run::of(&["US", "GB"]);
        run.is_done("US");
        let now = run.refused_for_good("GB", 403, 1.0);
        for _ in 0..MOST_PROOFS {
            assert!(matches!(run.next(now), Next::Prove(..)));
            run.regions.proved(Some(met.clone()));
        }
        assert_eq!(run.next(now), end);
    }
}

#[test]
fn all_regions_that_are_refused_end_the_run_with_few_requests() {
    let codes = ["US", "GB", "FR", "DE", "IT", "ES"];
    let mut run = Run::of(&codes);
    assert_eq!(run.refused("US", 403, 1.0), OnRefusal::AskAgain(CONFIRMATIONS[0]));
    for code in &codes[1..] {
        // They were on their way; none of them is asked again while one is.
        assert_eq!(run.refused(code, 403, 1.1), OnRefusal::Leave);
        assert_eq!(run.next(1.1), Next::Nothing);
    }
    for now in [2.0, 3.0] {
        assert!(matches!(run.refused("US", 403, now), OnRefusal::AskAgain(_)));
    }
    assert_eq!(run.refused("US", 403, 5.0), OnRefusal::Leave);
    assert_eq!(run.next(5.0), stops(403));
}

/// With one worker the others come to be asked only afterwards: one refusal of each is enough then.
#[test]
fn a_worker_alone_finds_out_that_all_are_refused() {
    let mut run = Run::of(&["US", "GB", "FR"]);
    let now = run.refused_for_good("US", 403, 1.0);
    assert_eq!(run.next(now), Next::Nothing);
    assert_eq!(run.refused("GB", 403, now + 1.0), OnRefusal::Leave);
    assert_eq!(run.next(now + 1.0), Next::Nothing);
    assert_eq!(run.refused("FR", 403, now + 2.0), OnRefusal::Leave);
    assert_eq!(run.next(now + 2.0), stops(403));
}

#[test]
fn a_key_that_two_regions_are_refused_for_is_asked_for_no_third() {
    let mut run = Run::of(&["US", "GB", "FR"]);
    let now = run.refused_for_good("US", 401, 1.0);
    assert_eq!(run.next(now), Next::Nothing);
    assert_eq!(run.refused("GB", 401, now + 1.0), OnRefusal::Leave);
    assert_eq!(run.next(now + 1.0), stops(401));
}

#[test]
fn a_key_that_two_regions_are_refused_for_is_tried_where_it_was_answered() {
    let mut run = Run::of(&["US", "GB", "FR"]);
    run.came("FR", 0.1, 0.5);
    let now = run.refused_for_good("US", 401, 1.0);
    assert_eq!(run.refused("GB", 401, now + 1.0), OnRefusal::Leave);
    assert_eq!(run.next(now + 1.0), Next::Nothing);
    run.came("FR", now + 1.1, now + 2.0);
    assert_eq!(run.next(now + 2.0), gives_up("US", 401));
}

#[test]
fn a_region_that_was_refused_once_is_asked_anew_when_others_answer() {
    let mut run = Run::of(&["US", "GB", "FR"]);
    let now = run.refused_for_good("US", 403, 1.0);
    assert_eq!(run.refused("GB", 403, now + 1.0), OnRefusal::Leave);
    run.came("FR", now + 1.5, now + 2.0);
    assert!(!run.regions.is_aside(&region("GB")), "it has not been asked twice");
    assert_eq!(run.next(now + 2.0), gives_up("US", 403));
    assert_eq!(run.refused("GB", 403, now + 3.0), OnRefusal::AskAgain(CONFIRMATIONS[0]));
}

#[test]
fn a_page_that_is_refused_while_its_region_answers_is_the_pages_matter() {
    let mut run = Run::of(&["US"]);
    let ask = |run: &mut Run, now: f64| {
        run.regions.refused(&region("US"), (WindowId(0), RefusedPage::First), refusal(403), at(now))
    };
    assert!(matches!(ask(&mut run, 1.0), OnRefusal::AskAgain(_)));
    run.regions.came(&region("US"), Some(WindowId(7)), (at(1.1), at(1.2)));
    assert!(matches!(ask(&mut run, 2.0), OnRefusal::AskAgain(_)));
    assert!(matches!(ask(&mut run, 3.0), OnRefusal::AskAgain(_)));
    assert_eq!(ask(&mut run, 5.0), OnRefusal::Page);
    assert_eq!(run.next(5.0), Next::Nothing);
}

/// The one who asked again was once called back with the others, and nobody was left to find out.
#[test]
fn a_region_with_two_refused_pages_is_set_aside_and_the_one_who_asks_again_is_not_called_back() {
    let mut run = Run::of(&["US", "GB"]);
    let ask = |run: &mut Run, window: u32, now: f64| {
        run.regions.refused(&region("US"), (WindowId(window), RefusedPage::First), refusal(403), at(now))
    };
    assert!(matches!(ask(&mut run, 0, 1.0), OnRefusal::AskAgain(_)));
    assert_eq!(ask(&mut run, 7, 1.1), OnRefusal::Leave);
    assert!(run.regions.is_aside(&region("US")) && !run.regions.is_called_back(&region("US")));
    for now in [2.0, 3.0] {
        assert!(matches!(ask(&mut run, 0, now), OnRefusal::AskAgain(_)));
    }
    assert_eq!(ask(&mut run, 0, 5.0), OnRefusal::Leave);
    assert!(run.regions.is_called_back(&region("US")));
}

#[test]
fn a_refused_page_that_comes_back_without_an_answer_is_forgotten() {
    let mut run = Run::of(&["US"]);
    run.refused("US", 403, 1.0);
    run.regions.failed(&region("US"), WindowId(7));
    assert!(run.regions.holds(), "that was another page");
    run.regions.failed(&region("US"), WindowId(0));
    assert!(!run.regions.holds());
    assert_eq!(run.refused("US", 403, 9.0), OnRefusal::AskAgain(CONFIRMATIONS[0]));
}

#[test]
fn a_page_that_stays_refused_is_done_without_where_it_only_helps_or_is_a_later_one() {
    let aid = [(422, OnRefusal::Page), (400, OnRefusal::Page), (401, OnRefusal::Leave), (403, OnRefusal::Leave)];
    // How deep pages are served nobody knows, so 403 to a later page says nothing of the key.
    let later = [(422, OnRefusal::Page), (403, OnRefusal::Page), (401, OnRefusal::Leave)];
    let first = [(422, OnRefusal::Leave), (403, OnRefusal::Leave), (401, OnRefusal::Leave)];
    let all = [(RefusedPage::Aid, &aid[..]), (RefusedPage::Later, &later[..]), (RefusedPage::First, &first[..])];
    for (page, status, last) in
        all.into_iter().flat_map(|(page, told)| told.iter().map(move |one| (page, one.0, one.1)))
    {
        let mut run = Run::of(&["US"]);
        let mut ask = |now: f64| run.regions.refused(&region("US"), (WindowId(0), page), refusal(status), at(now));
        for now in [1.0, 2.0, 3.0] {
            assert!(matches!(ask(now), OnRefusal::AskAgain(_)));
        }
        assert_eq!(ask(5.0), last, "{status}");
    }
}

#[test]
fn a_dead_region_is_looked_at_now_and_then_and_given_up_when_its_time_is_over() {
    let mut run = Run::of(&["US", "GB"]);
    run.came("US", 0.0, 1.0);
    run.fails("GB", MOST_FAILURES - 1, 1.0, 30.0);
    assert!(!run.regions.is_aside(&region("GB")));
    run.came("US", 20.0, 30.0);
    run.fails("GB", MOST_FAILURES, 1.0, 31.0);
    assert!(run.regions.is_aside(&region("GB")));
    let mut looks = 0;
    let mut now = 31.0;
    loop {
        match run.next(now) {
            Next::Look(_, rest) => {
                looks += 1;
                now += rest.as_secs_f64() + 0.1;
                run.regions.looked_in_vain(&region("GB"));
                run.came("US", now - 0.05, now);
            }
            Next::GiveUp(of, RegionFault::Unwell { .. }) => {
                assert_eq!(of, region("GB"));
                break;
            }
            Next::Nothing => run.came("US", now + 0.1, now + 0.2),
            other => panic!("{other:?}"),
        }
    }
    assert!((900.0..935.0).contains(&now) && (25..=35).contains(&looks), "{looks} looks until {now}");
    assert!(run.regions.unwell().contains(&region("GB")));
}

#[test]
fn a_region_that_was_dead_in_the_last_run_costs_a_minute_and_not_the_whole_patience() {
    let mut run = Run::of(&["US", "GB"]);
    run.regions = Regions::new(PATIENCE, BTreeSet::from([region("GB")]));
    run.is_done("US");
    run.fails("GB", FEWEST_FAILURES, 1.0, 60.9);
    assert_eq!(run.next(60.9), Next::Nothing);
    run.fails("GB", FEWEST_FAILURES, 1.0, 61.0);
    assert!(matches!(run.next(61.0), Next::Look(..)));
    run.regions.looked_in_vain(&region("GB"));
    assert_eq!(run.next(61.5), Next::Prove(region("US"), Duration::ZERO));
    run.regions.came(&region("US"), None, (at(61.6), at(61.7)));
    assert!(matches!(run.next(61.7), Next::GiveUp(..)));
}

#[test]
fn a_dead_region_that_answers_again_is_read_on() {
    let mut run = Run::of(&["US", "GB"]);
    run.regions = Regions::new(PATIENCE, BTreeSet::from([region("GB")]));
    run.is_done("US");
    run.fails("GB", MOST_FAILURES, 1.0, 20.0);
    assert!(matches!(run.next(20.0), Next::Look(..)));
    run.regions.came(&region("GB"), None, (at(20.1), at(20.2)));
    assert!(!run.regions.is_aside(&region("GB")));
    assert_eq!(run.next(20.2), Next::Nothing);
    assert!(run.regions.unwell().is_empty(), "it is well again");
}

/// Nine windows of a region once met pages that cannot be had. Their jobs were called back before any of them had made its attempts, the
/// harmless page came, and so on without end.
#[test]
fn where_the_harmless_page_comes_and_no_other_the_jobs_get_more_time_each_time() {
    let mut run = Run::of(&["US", "GB"]);
    run.is_done("US");
    let looks = |run: &mut Run, attempts, now: f64| {
        run.fails("GB", attempts, now - 1.0, now);
        run.regions.is_aside(&region("GB"))
    };
    for time in 0..=MOST_DOUBLED + 2 {
        let (most, now) = (MOST_FAILURES << time.min(MOST_DOUBLED), 20.0 + f64::from(time));
        assert!(!looks(&mut run, most - 1, now), "{time}");
        assert!(looks(&mut run, most, now), "{time}");
        run.regions.came(&region("GB"), None, (at(now + 0.1), at(now + 0.2)));
    }
    run.came("GB", 90.0, 91.0);
    assert!(looks(&mut run, MOST_FAILURES, 92.0), "a page of a window came");
}

#[test]
fn a_service_that_fails_as_a_whole_is_no_regions_matter() {
    let mut run = Run::of(&["US", "GB"]);
    for code in ["US", "GB"] {
        run.fails(code, 3 * MOST_FAILURES, 1.0, 600.0);
    }
    assert!(!run.regions.is_aside(&region("US")) && !run.regions.is_aside(&region("GB")));
    for code in ["US", "GB"] {
        run.fails(code, 3 * MOST_FAILURES, 1.0, 902.0);
    }
    for _ in 0..4 {
        match run.next(902.0) {
            Next::Look(of, _) => run.regions.looked_in_vain(&of),
            other => assert_eq!(other, Next::Nothing),
        }
    }
    assert!(!run.regions.explain_silence(&run.standing, |_| true), "nobody is left to ask");
}

#[test]
fn a_lone_region_that_fails_is_the_services_matter() {
    let mut run = Run::of(&["US"]);
    run.fails("US", 500, 1.0, 2_000.0);
    assert_eq!(run.next(2_000.0), Next::Nothing);
}

#[test]
fn a_refused_region_beside_a_dead_one_is_given_up_when_a_third_answers() {
    let mut run = Run::of(&["US", "GB", "FR"]);
    run.is_done("US");
    let now = run.refused_for_good("GB", 403, 1.0);
    assert_eq!(run.next(now), Next::Nothing, "FR may still come");
    run.fails("FR", MOST_FAILURES, 0.1, now);
    assert_eq!(run.next(now), Next::Prove(region("US"), Duration::ZERO));
    run.regions.came(&region("US"), None, (at(now + 0.1), at(now + 0.2)));
    run.regions.proved(None);
    assert_eq!(run.next(now + 0.2), gives_up("GB", 403));
}
