//! The key in every disguise that an answer can give it, searched for in everything that a job leaves: also inside what is
//! compressed, where a search of the files alone would find nothing.

use std::io::Write as _;
use std::net::TcpListener;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::DataType;

use crate::support::{Asked, Ended, Job, Parrot, Pieces, TOKEN, batches, files_below, parquet_files, serve};

/// A key that JSON, URLs and HTML have to escape.
const ODD_KEY: &str = r#"sk_"live\odd/<key>&+%7E~"#;

fn percent(text: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escaped).collect()
}

fn in_json(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let packed = |group: &[u8]| {
        let bits = group.iter().chain([0, 0].iter()).take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let digit = |place: usize| char::from(DIGITS[(bits >> (18 - 6 * place) & 63) as usize]);
        (0..=group.len()).map(digit).chain(std::iter::repeat_n('=', 3 - group.len())).collect::<String>()
    };
    bytes.chunks(3).map(packed).collect()
}

/// Each disguise with its name.
fn disguises(key: &str) -> Vec<(&'static str, String)> {
    vec![
        ("plain", in_json(key)),
        ("with escaped slashes", in_json(key).replace('/', "\\/")),
        ("as numbers of characters", key.bytes().map(|byte| format!("\\u{byte:04x}")).collect()),
        ("as JSON inside JSON", in_json(&in_json(key))),
        ("in a URL", percent(key)),
        ("in base64", base64(key.as_bytes())),
        ("in base64 behind a word", base64(format!("Bearer {key}").as_bytes())),
        ("in base64 behind a name", base64(format!("me:{key}").as_bytes())),
        ("in hexadecimal digits", key.bytes().map(|byte| format!("{byte:02x}")).collect()),
    ]
}

/// The needles: the key, a good part of it, and the middle of each disguise.
fn needles(key: &str) -> Vec<Vec<u8>> {
    let middle = |text: String| text.as_bytes()[4..text.len() - 4].to_vec();
    let disguised = disguises(key).into_iter().map(|(_, text)| middle(text));
    disguised.chain([key.as_bytes()[..key.len() / 2 + 4].to_vec()]).collect()
}

fn find(key: &str, bytes: &[u8]) -> bool {
    needles(key).iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle))
}

/// What the journal keeps of answers, unpacked.
fn bodies(job: &Job) -> Vec<Vec<u8>> {
    let journal = rusqlite::Connection::open(job.state().join("journal.sqlite")).unwrap();
    let mut statement = journal.prepare("SELECT body, length FROM bodies").unwrap();
    let unpacked = |row: &rusqlite::Row<'_>| {
        let (body, length): (Vec<u8>, i64) = (row.get(0)?, row.get(1)?);
        Ok(lz4_flex::block::decompress(&body, usize::try_from(length).unwrap()).unwrap())
    };
    statement.query_map([], unpacked).unwrap().map(Result::unwrap).collect()
}

/// Every text of every row of the output.
fn texts(job: &Job) -> Vec<String> {
    let mut texts = Vec::new();
    for file in parquet_files(&job.out()) {
        for batch in batches(&file) {
            let columns = batch.columns().iter().filter(|column| *column.data_type() == DataType::Utf8);
            columns.for_each(|column| texts.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned)));
        }
    }
    texts
}

/// Nothing that was told and nothing that the job left holds the key, in whatever disguise.
fn is_silent(key: &str, disguise: &str, job: &Job, ended: &Ended) {
    let told = [("stdout", &ended.stdout), ("stderr", &ended.stderr)];
    for (stream, text) in told {
        assert!(!find(key, text.as_bytes()), "{stream} tells the key, {disguise}");
    }
    for file in files_below(job.folder()) {
        assert!(!find(key, &std::fs::read(&file).unwrap()), "{} holds the key, {disguise}", file.display());
    }
    assert!(!bodies(job).iter().any(|body| find(key, body)), "a body in the journal holds the key, {disguise}");
    assert!(!texts(job).iter().any(|text| find(key, text.as_bytes())), "a row holds the key, {disguise}");
}

/// A job that asks a parrot with a key at the loudest log.
fn job_of(parrot: &Parrot, key: &str) -> Job {
    // The simulator only says what a job looks like.
    let job = Job::of(&serve(|service| service.world.rows = 10));
    job.with(&format!("--base-url {}", parrot.base_url()))
        .with("--give-up-after 1s")
        .with_variable("KEYAPI_TOKEN", key)
        .with_variable("KEYAPI_EXPORT_LOG", "trace")
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Headers that repeat the key.
fn headers(key: &str) -> String {
    format!("X-Your-Key: {key}\r\nSet-Cookie: key={key}\r\nWWW-Authenticate: Bearer realm=\"{key}\"\r\n")
}

/// A page of one row that repeats the key wherever a row has room for it.
fn page(echo: &str) -> String {
    let row = format!(
        r#"{{"create_time":"1764892800","video_id":"7590123280372190477","video_desc":"{echo}","new":{{"key":"{echo}"}},"duration":"{echo}"}}"#
    );
    format!(r#"{{"code":0,"message":"success {echo}","data":[{row}, "{echo}"],"requestId":"{echo}"}}"#)
}

#[test]
fn a_key_that_an_answer_repeats_is_found_nowhere() {
    for key in [TOKEN, ODD_KEY] {
        for (disguise, echo) in disguises(key) {
            let told = echo.clone();
            let parrot = Parrot::start(move |asked: &Asked| {
                let (status, body) = match asked.page {
                    1 => ("200 OK", page(&echo)),
                    _ => ("403 Forbidden", format!(r#"{{"code":403,"data":null,"message":"no access for {echo}"}}"#)),
                };
                vec![answer(status, &headers(&asked.key), body.as_bytes())]
            });
            let job = job_of(&parrot, key);
            let ended = job.run();
            assert!([6, 3, 0].contains(&ended.code), "{disguise}: {}", ended.code);
            assert!(!bodies(&job).is_empty() || !texts(&job).is_empty(), "no page was kept, {disguise}");
            is_silent(key, disguise, &job, &ended);
            is_silent(key, disguise, &job, &job.status());
            assert!(!told.is_empty());
        }
    }
}

/// A refusal's words go straight into the error that a person reads.
#[test]
fn a_key_that_a_refusal_repeats_is_told_nowhere() {
    for key in [TOKEN, ODD_KEY] {
        for (disguise, echo) in disguises(key) {
            let body = format!(r#"{{"code":401,"data":null,"message":"apiKey {echo} is unknown"}}"#);
            let parrot = Parrot::start(move |asked: &Asked| {
                vec![answer("401 Unauthorized", &headers(&asked.key), body.as_bytes())]
            });
            let job = job_of(&parrot, key);
            let ended = job.run();
            assert_eq!(ended.code, 6, "{disguise}");
            assert!(ended.error().contains("[key removed]"), "the echo did not arrive, {disguise}: {}", ended.error());
            is_silent(key, disguise, &job, &ended);
        }
    }
}

fn is_told_nowhere(disguise: &'static str, code: i32, pieces: impl Fn(&str) -> Pieces + Send + Sync + 'static) {
    let parrot = Parrot::start(move |asked: &Asked| pieces(&asked.key));
    let job = job_of(&parrot, TOKEN);
    let ended = job.run();
    assert_eq!(ended.code, code, "{disguise}: {}", ended.stderr.replace(TOKEN, "(the key)"));
    is_silent(TOKEN, disguise, &job, &ended);
}

#[test]
fn a_key_that_comes_in_two_pieces_or_packed_is_told_nowhere() {
    is_told_nowhere("in two chunks", 6, |key| {
        let body = format!(r#"{{"code":403,"data":null,"message":"no access for {key}"}}"#);
        let (one, other) = body.split_at(body.find(key).unwrap() + key.len() / 2);
        let head = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes();
        vec![head.into(), chunk(one), chunk(other), b"0\r\n\r\n".to_vec()]
    });
    is_told_nowhere("in gzip", 6, |key| {
        let body = format!(r#"{{"code":403,"data":null,"message":"no access for {key}"}}"#);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(body.as_bytes()).unwrap();
        vec![answer("403 Forbidden", "Content-Encoding: gzip\r\n", &packed.finish().unwrap())]
    });
    is_told_nowhere("as HTML", 5, |key| vec![answer("502 Bad Gateway", "", format!("<html>{key}</html>").as_bytes())]);
    is_told_nowhere("as plain words", 5, |key| vec![answer("500 Oh", "", format!("your key {key}").as_bytes())]);
    is_told_nowhere("in a body that breaks off", 5, |key| {
        let whole = answer("200 OK", "", format!(r#"{{"message":"{key}","data":[]}}{:100}"#, "").as_bytes());
        vec![whole[..whole.len() - 100].to_vec()]
    });
    is_told_nowhere("in what is no HTTP", 5, |key| vec![format!("NONSENSE {key}\r\n{key}\r\n\r\n").into_bytes()]);
}

/// Whether somebody knocked.
fn was_called(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    listener.accept().is_ok()
}

#[test]
fn a_redirection_is_not_followed_with_the_key() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = elsewhere.local_addr().unwrap();
    // A redirect is a refusal: asking again changes nothing, and its target is told without the key.
    is_told_nowhere("in a Location", 6, move |key| {
        vec![answer("302 Found", &format!("Location: http://{place}/{key}/?key={key}\r\n"), b"")]
    });
    assert!(!was_called(&elsewhere), "the redirection was followed");
}

#[test]
fn a_proxy_of_the_environment_is_not_used() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let simulator = serve(|service| service.world.rows = 200);
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let job = names.iter().fold(Job::of(&simulator), |job, name| job.with_variable(name, &address));
    let ended = job.with_variable("NO_PROXY", "").with("--give-up-after 5s").run();
    assert_eq!(ended.code, 0, "{ended}");
    assert!(!was_called(&proxy), "the proxy was called");
}
