//! Whether the statistics hold: many audits of worlds in memory, from seeds. What is pure of an audit is all of it but files and requests.
//!
//! `AUDIT_TRIALS` scales the number of trials; the large ones are ignored and run by hand, see docs/contributing.md.

use std::collections::{BTreeMap, BTreeSet};

use super::bound::{TARGET, at_most, pages_for};
use super::compare::{Compared, Held, Page, compare};
use super::frame::{Census, Frame, Place, Scope, Start};
use super::places::{Extents, Finder, question};
use super::testing::{dice, range};
use super::{Findings, findings};
use crate::api::contract::{Filters, PageQuery, SOURCE, TimeOrder};
use crate::api::reply::{Identity, PageAnswer, Row};
use crate::sink::reading::RowId;
use crate::units::{DAY_SECONDS, EpochSeconds};

const DAYS: i64 = 30;
const ROWS: usize = 20_000;
/// Long after the world, so that no row may have come later.
const READ_AT: i64 = (DAYS + 10) * DAY_SECONDS;

/// How rows lie in time.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Uniform,
    /// Ten times as many by day as by night.
    Daily,
    /// Nine of ten rows in a hundredth of the time.
    Bursts,
    /// Half of all rows in a few seconds that fill many pages.
    Dense,
}

/// What a loss of a hundredth looks like.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Nothing,
    Rows,
    Pages,
    Clumps,
    OneStretch,
}

const SHAPES: [Shape; 4] = [Shape::Uniform, Shape::Daily, Shape::Bursts, Shape::Dense];
const LOSSES: [Loss; 4] = [Loss::Rows, Loss::Pages, Loss::Clumps, Loss::OneStretch];

fn below(dice: &mut impl FnMut() -> f64, count: i64) -> i64 {
    ((dice() * count as f64) as i64).min(count - 1)
}

fn world(shape: Shape, dice: &mut impl FnMut() -> f64) -> Vec<RowId> {
    let whole = DAYS * DAY_SECONDS;
    let mut second = || match shape {
        Shape::Uniform => below(dice, whole),
        Shape::Daily => {
            let (day, hour) =
                (below(dice, DAYS), if dice() < 10.0 / 11.0 { below(dice, 12) } else { 12 + below(dice, 12) });
            day * DAY_SECONDS + hour * 3_600 + below(dice, 3_600)
        }
        Shape::Bursts if dice() < 0.9 => below(dice, 10) * (whole / 10) + below(dice, whole / 1_000),
        Shape::Dense if dice() < 0.5 => below(dice, 10) * (whole / 10) + 77,
        Shape::Bursts | Shape::Dense => below(dice, whole),
    };
    let mut rows: Vec<RowId> = (0..ROWS).map(|number| (EpochSeconds::new(second()), format!("{number:06}"))).collect();
    rows.sort();
    rows
}

/// The numbers of a hundredth of the rows.
fn lost(loss: Loss, dice: &mut impl FnMut() -> f64) -> BTreeSet<usize> {
    let length = match loss {
        Loss::Nothing => return BTreeSet::new(),
        Loss::Rows => 1,
        Loss::Pages => SOURCE.page_size as usize,
        Loss::Clumps => 50,
        Loss::OneStretch => ROWS / 100,
    };
    let mut lost = BTreeSet::new();
    while lost.len() < ROWS / 100 {
        let start = below(dice, (ROWS / length) as i64) as usize * length;
        lost.extend(start..start + length);
    }
    lost
}

/// What the service answers: both bounds take their own second in, ties in the order of ids, and views are a mix of the id.
fn served(rows: &[RowId], query: &PageQuery) -> PageAnswer {
    let (min, max) = (query.min_create_time.unwrap(), query.max_create_time.unwrap());
    let from = rows.partition_point(|(second, _)| *second < min);
    let to = rows.partition_point(|(second, _)| *second <= max);
    let skip = (query.page.get() - 1) as usize * SOURCE.page_size as usize;
    let within = &rows[from..to.max(from)];
    let take =
        |rows: Vec<&RowId>| rows.into_iter().skip(skip).take(SOURCE.page_size as usize).cloned().collect::<Vec<_>>();
    let page = match query.order {
        TimeOrder::OldestFirst => within.iter().skip(skip).take(SOURCE.page_size as usize).cloned().collect(),
        TimeOrder::NewestFirst => within.iter().rev().skip(skip).take(SOURCE.page_size as usize).cloned().collect(),
        TimeOrder::MostViewedFirst => {
            let mut by_views: Vec<&RowId> = within.iter().collect();
            by_views.sort_by_key(|(_, video)| video.parse::<u64>().unwrap().wrapping_mul(0x9E37_79B9_7F4A_7C15));
            take(by_views)
        }
    };
    let usable = |(second, video_id): RowId| Row::Usable(Identity { second, video_id, region: None });
    PageAnswer { request_id: None, rows: page.into_iter().map(usable).collect(), packed: Default::default() }
}

struct Trial {
    findings: Findings,
    pages: u64,
    bound: f64,
}

fn audit(shape: Shape, loss: Loss, seed: u64) -> Trial {
    let mut dice = dice(seed);
    let world = world(shape, &mut dice);
    let lost = lost(loss, &mut dice);
    let held = world.iter().enumerate().filter(|(number, _)| !lost.contains(number)).map(|(_, row)| row.clone());
    let held: Vec<RowId> = held.collect();
    let scope = Scope { region: "US".parse().unwrap(), ranges: vec![range(0, DAYS * DAY_SECONDS)] };
    let mut census = Census::of(scope.clone());
    held.iter().for_each(|(second, _)| census.row(*second));
    let frame = Frame::new(vec![census]);
    let count = pages_for(TARGET / frame.inflation());
    let places: Vec<Place> = (0..count).filter_map(|_| frame.place(&mut dice)).collect();
    let row = |place: &Place| if let Start::Row(row) = place.start { Some(row) } else { None };
    let mut finder = Finder::of(places.iter().filter_map(row));
    let mut extents = Extents::default();
    held.iter().for_each(|(second, _)| {
        finder.row(*second);
        extents.row(&scope, *second);
    });
    let mut pages = BTreeMap::new();
    for (number, place) in places.iter().enumerate() {
        let around = row(place).and_then(|row| finder.found(row));
        let query = question((*place, around), &scope, &Filters::default(), dice()).unwrap();
        let shows = extents.shown_by((*place, around), &scope, &query);
        let page = Page::of((0, &scope), (&query, shows), &served(&world, &query));
        assert!(!page.is_poor, "a sound service shows all that the output has: {query:?}");
        pages.insert(number, page);
    }
    let known = Held { rows: held.into_iter().map(|row| (0, row)).collect(), ..Held::default() };
    let compared: Compared = compare(&pages, &known, |_, _| EpochSeconds::new(READ_AT));
    let again = pages.clone();
    let findings = findings(&pages, compared, &again, count);
    let bound = at_most(findings.differ, count) * frame.inflation();
    Trial { pages: count, bound, findings }
}

/// How many of so many audits find something, and how many state a bound that holds.
fn found(shape: Shape, loss: Loss, trials: u64) -> (u64, u64, u64) {
    let (mut found, mut holds, mut pages) = (0, 0, 0);
    for seed in 0..trials {
        let trial = audit(shape, loss, seed * 1_000 + shape as u64 * 100 + loss as u64);
        found += u64::from(!trial.findings.confirmed.is_empty());
        holds += u64::from(trial.bound >= TARGET);
        pages += trial.pages;
    }
    (found, holds, pages / trials)
}

fn trials(usual: u64) -> u64 {
    std::env::var("AUDIT_TRIALS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn a_few_complete_outputs_are_not_accused_and_a_few_losses_are_found() {
    for shape in SHAPES {
        let trial = audit(shape, Loss::Nothing, 11);
        assert_eq!((trial.findings.differ, trial.findings.confirmed.len()), (0, 0), "{shape:?}");
        assert_eq!(trial.findings.compared.gone.len(), 0, "{shape:?}");
        assert!(trial.bound <= TARGET * 1.01, "{shape:?}: {}", trial.bound);
    }
    let several: u64 = LOSSES.iter().map(|loss| found(Shape::Daily, *loss, 2).0).sum();
    assert!(several >= 6, "{several} of 8");
}

#[test]
#[ignore = "takes minutes; AUDIT_TRIALS sets the number of complete outputs"]
fn no_complete_output_is_accused() {
    let trials = trials(500);
    for seed in 0..trials {
        let trial = audit(SHAPES[seed as usize % SHAPES.len()], Loss::Nothing, 5_000_000 + seed);
        assert_eq!((trial.findings.differ, trial.findings.compared.missing.len()), (0, 0), "seed {seed}");
        assert!(trial.findings.compared.later.is_empty() && trial.findings.compared.gone.is_empty(), "seed {seed}");
    }
    println!("{trials} complete outputs, none accused");
}

#[test]
#[ignore = "takes minutes; AUDIT_TRIALS sets the trials of each shape and loss"]
fn a_loss_of_a_hundredth_is_found_in_95_of_100_audits() {
    let trials = trials(200);
    let mut all = (0, 0);
    for shape in SHAPES {
        for loss in LOSSES {
            let (found, holds, pages) = found(shape, loss, trials);
            println!("{shape:?} {loss:?}: found in {found} of {trials}, bound holds in {holds}, {pages} pages");
            all = (all.0 + found, all.1 + trials);
        }
    }
    assert!(all.0 * 100 >= all.1 * 95, "{all:?}");
}
