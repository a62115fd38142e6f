//! Damaged bytes wherever bytes come in: the fuzz targets' own properties on some thousand mutations of good inputs.
//!
//! `tests/fuzz` looks much longer, with a fuzzer that sees which branches an input reaches; this is what runs everywhere.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

#[path = "../fuzz/bodies/mod.rs"]
mod bodies;

use bodies::TARGETS;

/// The seed of every mutation.
const SEED: u64 = 20_260_102;
/// The most changes to one input.
const MOST_CHANGES: usize = 4;
/// Pieces that parsers trip over.
const PIECES: [&[u8]; 14] = [
    b"\0",
    b"\"",
    b"\\u",
    b"\\ud83d",
    b"\xff\xfe",
    b"{",
    b"]",
    b",",
    b"null",
    b"-0",
    b"1e999",
    b"9223372036854775808",
    b"18446744073709551616",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
];

/// Holds a target's properties on so many mutations of its good inputs, after the good inputs themselves.
fn holds_on(name: &str, mutations: u64) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let good = (target.good)();
    good.iter().for_each(|input| (target.hold)(input));
    for number in 0..mutations {
        let mut random = StdRng::seed_from_u64(SEED ^ number);
        let input = mutated(&good, &mut random);
        let held = std::panic::catch_unwind(|| (target.hold)(&input));
        assert!(held.is_ok(), "mutation {number} of {name} breaks a property");
    }
}

fn mutated(good: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut input = good[random.random_range(0..good.len())].clone();
    for _ in 0..random.random_range(1..=MOST_CHANGES) {
        change(&mut input, &good[random.random_range(0..good.len())], random);
    }
    input
}

/// One change anywhere: a bit, a byte, a piece that is put in, goes, or comes twice, an end, or a piece of another input.
fn change(input: &mut Vec<u8>, other: &[u8], random: &mut StdRng) {
    if input.is_empty() {
        return;
    }
    let at = random.random_range(0..input.len());
    let end = input.len().min(at + random.random_range(1..40));
    match random.random_range(0..7) {
        0 => input[at] ^= 1 << random.random_range(0..8),
        1 => input[at] = random.random(),
        2 => drop(input.splice(at..at, PIECES[random.random_range(0..PIECES.len())].iter().copied())),
        3 => drop(input.drain(at..end)),
        4 => drop(input.splice(at..at, input[at..end].to_vec())),
        5 => input.truncate(at),
        _ => {
            let from = random.random_range(0..other.len());
            let piece = &other[from..other.len().min(from + 40)];
            drop(input.splice(at..end, piece.iter().copied()));
        }
    }
}

#[test]
fn a_damaged_answer_is_never_half_believed() {
    holds_on("page", 4_000);
}

#[test]
fn a_damaged_configuration_is_refused_by_its_place_or_means_what_it_says() {
    holds_on("configuration", 1_500);
}

#[test]
fn a_damaged_journal_is_refused_by_its_place() {
    holds_on("journal", 400);
}

#[test]
fn a_damaged_output_is_reported() {
    holds_on("verify", 800);
}
