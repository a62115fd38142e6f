//! A service whose every field is drawn at random, with kills: whatever it answers, each start ends by a code of the table, and once
//! the service is well the same command finishes. `HOSTILE=50` plays more rounds, `HOSTILE_SEED=7` begins with another.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::support::{Job, Parrot, holds_exactly_the_truth, serve};

/// Rounds of each of the tests.
const ROUNDS: u64 = 3;
/// Hostile starts of a round.
const STARTS: usize = 4;
/// Honest starts until a run must be over.
const MOST_HONEST: usize = 4;
/// Every way that a start may end.
const CODES: [i32; 11] = [0, 2, 3, 4, 5, 6, 7, 11, 129, 130, 143];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The answer of the service behind, head and body.
fn ask(base_url: &str, head: &[String]) -> std::io::Result<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(base_url.trim_start_matches("http://"))?;
    let lines = head.iter().filter(|line| !line.to_lowercase().starts_with("accept-encoding"));
    let lines: Vec<&str> = lines.map(String::as_str).chain(["Connection: close", "", ""]).collect();
    stream.write_all(lines.join("\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let body = answer.get(at + 4..).unwrap_or_default().to_vec();
    Ok((String::from_utf8_lossy(&answer[..at]).into_owned(), body))
}

fn pick<'a, T: ?Sized>(random: &mut StdRng, choices: &[&'a T]) -> &'a T {
    choices[random.random_range(0..choices.len())]
}

/// A value that nobody expects.
fn odd(random: &mut StdRng) -> Value {
    match random.random_range(0..14) {
        0 => Value::Null,
        1 => json!(""),
        2 => json!(-1),
        3 => json!(random.random::<i64>()),
        4 => json!(random.random::<f64>() * 1e300),
        5 => json!(true),
        6 => json!([]),
        7 => json!({}),
        8 => json!([[[null]], {"a": {"b": [1, "2"]}}]),
        9 => json!("x".repeat(random.random_range(0..3_000))),
        10 => json!(random.random_range(1_764_000_000..1_768_000_000_i64)),
        11 => json!(random.random_range(0..600)),
        12 => json!("\u{0}\u{feff}\u{202e}'\"\\"),
        _ => json!(pick(random, &["quota", "rate limit exceeded", "GB", "unauthorized", "0", "1764547200", "NaN"])),
    }
}

/// Puts something odd somewhere into a value.
fn spoil(value: &mut Value, random: &mut StdRng) {
    let here = random.random_range(0..6) == 0;
    match value {
        Value::Array(values) if !here && !values.is_empty() => match random.random_range(0..5) {
            0 => values.truncate(random.random_range(0..values.len())),
            1 => values.push(values[0].clone()),
            2 => values.reverse(),
            _ => {
                let place = random.random_range(0..values.len());
                spoil(&mut values[place], random);
            }
        },
        Value::Object(members) if !here && !members.is_empty() => {
            let names: Vec<String> = members.keys().cloned().collect();
            let name = &names[random.random_range(0..names.len())];
            match random.random_range(0..6) {
                0 => drop(members.remove(name)),
                1 => drop(members.insert("new".repeat(random.random_range(1..4)), odd(random))),
                _ => members.get_mut(name).into_iter().for_each(|member| spoil(member, random)),
            }
        }
        value => *value = odd(random),
    }
}

fn spoilt_text(body: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut body = body.to_vec();
    match random.random_range(0..7) {
        0 => body.clear(),
        1 => body.truncate(random.random_range(0..=body.len())),
        2 => body.splice(0..0, *b"\xef\xbb\xbf").for_each(drop),
        3 => body = b"<html><body>maintenance</body></html>".to_vec(),
        4 => body.extend_from_slice(b"\0\0 garbage"),
        5 if !body.is_empty() => {
            let place = random.random_range(0..body.len());
            body[place] = random.random();
        }
        _ => body = b"[".repeat(random.random_range(1..5_000)),
    }
    body
}

fn status(random: &mut StdRng) -> u16 {
    const STATUSES: [u16; 22] =
        [200, 200, 200, 200, 200, 201, 204, 206, 302, 304, 400, 401, 402, 403, 404, 410, 418, 422, 429, 500, 503, 599];
    STATUSES[random.random_range(0..STATUSES.len())]
}

/// What comes in place of an honest answer.
fn hostile((_, body): &(String, Vec<u8>), random: &mut StdRng) -> Vec<Vec<u8>> {
    let mut body = body.clone();
    for _ in 0..random.random_range(0..4) {
        let value: Option<Value> = serde_json::from_slice(&body).ok();
        body = match value {
            Some(mut value) if random.random_range(0..5) > 0 => {
                spoil(&mut value, random);
                value.to_string().into_bytes()
            }
            _ => spoilt_text(&body, random),
        };
    }
    let mut head = format!("HTTP/1.1 {} whatever\r\nConnection: close\r\n", status(random));
    let lengths = [body.len(), body.len(), body.len(), body.len(), body.len() / 2, body.len() + 7];
    head += &format!("Content-Length: {}\r\n", lengths[random.random_range(0..lengths.len())]);
    for _ in 0..random.random_range(0..3) {
        head += pick(
            random,
            &[
                "Retry-After: 0\r\n",
                "Retry-After: 1\r\n",
                "Retry-After: -5\r\n",
                "Retry-After: soon\r\n",
                "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n",
                "Content-Encoding: gzip\r\n",
                "Content-Encoding: br\r\n",
                "Content-Type: text/html\r\n",
                "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
                "Date: yesterday\r\n",
                "Location: http://127.0.0.1:1/\r\n",
                "X-RateLimit-Remaining: -1\r\n",
                "Age: 99999999999999999999\r\n",
            ],
        );
    }
    match random.random_range(0..12) {
        0 => Vec::new(),
        1 => vec![b"nothing of HTTP\r\n\r\n".to_vec()],
        _ => vec![(head + "\r\n").into_bytes(), body],
    }
}

fn plays(seed: u64) {
    let simulator = serve(|service| service.world.rows = 400);
    let (behind, is_hostile) = (simulator.base_url(), Arc::new(AtomicBool::new(true)));
    let random = Mutex::new(StdRng::seed_from_u64(seed));
    let share: f64 = random.lock().unwrap().random_range(0.05..1.0);
    let hostility = Arc::clone(&is_hostile);
    let parrot = Parrot::start(move |asked| {
        let Ok(honest) = ask(&behind, &asked.head) else { return Vec::new() };
        let mut random = random.lock().unwrap();
        if hostility.load(Ordering::Acquire) && random.random_bool(share) {
            hostile(&honest, &mut random)
        } else {
            vec![(honest.0 + "\r\n\r\n").into_bytes(), honest.1]
        }
    });
    let job = Job::of(&simulator).with(&format!("--base-url {}", parrot.base_url()));
    let job = job.with("--give-up-after 2s").with("--confirm-after 1s").with("--max-in-flight 4");
    let mut told = Vec::new();
    let mut random = StdRng::seed_from_u64(seed ^ 0xdead);
    for _ in 0..STARTS {
        let running = job.start_with("--time-budget 3s");
        if random.random_bool(0.5) {
            std::thread::sleep(Duration::from_millis(random.random_range(0..1_200)));
            running.kill();
            continue;
        }
        let ended = running.wait();
        assert!(CODES.contains(&ended.code), "seed {seed}: {ended}");
        told.push(ended.code);
    }
    is_hostile.store(false, Ordering::Release);
    for _ in 0..MOST_HONEST {
        let ended = job.run();
        assert!(CODES.contains(&ended.code), "seed {seed}: {ended}");
        told.push(ended.code);
        if matches!(ended.code, 0 | 3) {
            let verified = job.verify();
            assert_eq!(verified.code, ended.code, "seed {seed}: {ended}\n{verified}");
            println!("seed {seed}: {told:?}");
            return;
        }
    }
    panic!("seed {seed}: the run does not end: {told:?}, {}", job.run());
}

fn rounds_from(first: u64) {
    let first = first * 1_000 + number("HOSTILE_SEED", 0);
    (first..first + number("HOSTILE", ROUNDS)).for_each(plays);
}

#[test]
fn whatever_a_service_answers_the_run_ends_first_part() {
    rounds_from(1);
}

#[test]
fn whatever_a_service_answers_the_run_ends_second_part() {
    rounds_from(2);
}

#[test]
fn whatever_a_service_answers_the_run_ends_third_part() {
    rounds_from(3);
}

/// A page that was refused, and whose next answer is settled another way, once left everybody waiting for who would ask it again.
#[test]
fn a_page_that_is_refused_in_changing_words_holds_nobody_for_good() {
    for codes in [&[403, 404][..], &[401, 400], &[403, 403, 404], &[403, 500], &[401, 429], &[404]] {
        for (page, workers) in [(2, 1), (3, 16)] {
            let simulator = serve(|service| service.world.rows = 400);
            let (behind, answers) = (simulator.base_url(), std::sync::atomic::AtomicUsize::new(0));
            let parrot = Parrot::start(move |asked| {
                let refused = (asked.page == page).then(|| codes.get(answers.fetch_add(1, Ordering::AcqRel))).flatten();
                if let Some(code) = refused {
                    let body = format!(r#"{{"code":{code},"data":null,"message":"not now"}}"#);
                    let head =
                        format!("HTTP/1.1 {code} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                    return vec![(head + &body).into_bytes()];
                }
                ask(&behind, &asked.head)
                    .map_or_else(|_| Vec::new(), |(head, body)| vec![(head + "\r\n\r\n").into_bytes(), body])
            });
            let flags = format!("--base-url {} --max-in-flight {workers}", parrot.base_url());
            let job = Job::of(&simulator).with(&flags);
            let ended = job.run();
            assert_eq!(ended.code, 0, "{codes:?} of page {page} for {workers}: {ended}");
            holds_exactly_the_truth(&simulator, &job);
        }
    }
}
