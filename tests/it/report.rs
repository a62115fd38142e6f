//! The report: one page that needs nothing but itself, what it says of a run, and how a browser shows it. And what a run says of days that
//! are unlike the days before.

use std::path::{Path, PathBuf};
use std::process::Command;

use keyapi_export::simulator::{RunningSimulator, SimulatorSettings};
use keyapi_export::units::DAY_SECONDS;

use crate::support::{Job, is_whole, serve};

/// Where a browser may be.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// The narrowest window of a phone that people still use, pixels.
const PHONE: u32 = 340;

/// A month with a broken second, odd values and a service that asks to slow down.
fn month() -> (RunningSimulator, Job) {
    let simulator = serve(|service: &mut SimulatorSettings| {
        service.world.rows = 1_500;
        service.faults.server_error = 0.02;
        service.odd.unknown_field = 0.1;
        service.odd.null_field = 0.1;
    });
    let job = Job::of(&simulator);
    (simulator, job)
}

/// A page that loads nothing, runs nothing and holds no text that became markup.
fn stands_alone(page: &str) {
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for word in [
        "<script",
        "src=",
        "href=",
        "url(",
        "@import",
        "http://",
        "https://",
        "javascript:",
        "<iframe",
        "style=\"",
        "onload",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    for word in ["default-src 'none'", "prefers-color-scheme:dark", "@media print", "width=device-width"] {
        assert!(page.contains(word), "{word}");
    }
    assert!(!page.contains("NaN") && !page.contains(">inf"), "a number that is none");
}

#[test]
fn a_run_writes_its_report_and_the_command_writes_the_same_of_it() {
    let (_simulator, job) = month();
    let file = job.folder().join("new/place/report.html");
    let ended = job.run_with(&format!("--report {}", file.display()));
    assert_eq!(ended.code, 0, "{ended}");
    let page = std::fs::read_to_string(&file).unwrap();
    stands_alone(&page);
    for words in
        ["Complete", "1,500", "Covered", "Requests", "Credits against the floor", "Nulls", "part-", "This start took"]
    {
        assert!(page.contains(words), "{words}");
    }
    let rows = ended.summary["requests"]["attempts"].as_u64().unwrap();
    assert!(page.contains(&format!("<b>{rows}</b>")), "{rows} credits");
    let told = job.does("report", "", &[]).unwrap();
    let beside = job.folder().join("out.report.html");
    assert_eq!((told.code, told.stdout.trim()), (0, beside.to_str().unwrap()), "{told}");
    let again = std::fs::read_to_string(&beside).unwrap();
    stands_alone(&again);
    assert!(again.contains("How long an answer took"));
    // The state may be gone: what the manifest says is told.
    std::fs::rename(job.state(), job.folder().join("away")).unwrap();
    assert_eq!(job.does("report", &format!("--report {}", file.display()), &[]).unwrap().code, 0);
    let page = std::fs::read_to_string(&file).unwrap();
    stands_alone(&page);
    assert!(page.contains("1,500") && page.contains("part-"));
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_the_first_request_and_changes_no_exit_code_later() {
    let (simulator, job) = month();
    let ended = job.run_with(&format!("--report {}", job.folder().display()));
    assert!(ended.code == 2 && ended.error().contains("nothing was sent"), "{ended}");
    assert_eq!(simulator.stats().requests, 0);
    let nothing = job.does("report", "", &[]).unwrap();
    assert!(nothing.code == 2 && nothing.error().contains("holds no state"), "{nothing}");
    // The folder is taken away while the run is at work.
    let place = job.folder().join("place");
    let running = job.start_with(&format!("--report {}/report.html --qps 30", place.display()));
    crate::support::until("the first request", || simulator.stats().requests > 0);
    std::fs::remove_dir_all(&place).unwrap();
    let ended = running.wait();
    assert!(ended.code == 0 && ended.stderr.contains("the report could not be written"), "{ended}");
    is_whole(&job);
}

#[test]
fn gaps_and_hostile_texts_are_told_as_text() {
    let simulator = serve(|service| {
        service.world.regions = ["US", "GB"].map(crate::support::region).to_vec();
        service.world.rows = 100;
        service.faults.refused_regions = vec!["GB=403:<script>alert(1)</script>".parse().unwrap()];
    });
    let job = Job::of(&simulator).with_regions(&["US", "GB"]).with_places("<b>out & \"more\"", "state");
    let file = job.folder().join("report.html");
    let ended = job.run_with(&format!("--report {}", file.display()));
    assert_eq!(ended.code, 3, "{ended}");
    let page = std::fs::read_to_string(&file).unwrap();
    stands_alone(&page);
    assert!(page.contains("Finished, but not whole") && page.contains("&lt;b&gt;out &amp; &quot;more&quot;"), "{page}");
    assert!(page.contains(">gap</span>") && page.contains("class=\"gap\""));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
}

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    BROWSERS.iter().flat_map(|name| places.iter().map(move |place| place.join(name))).find(|file| file.is_file())
}

/// What the browser writes to stdout.
fn browse(browser: &Path, profile: &Path, flags: &[String], page: &Path) -> String {
    let ended = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-background-networking",
            "--no-first-run",
        ])
        .args(["--allow-file-access-from-files", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(flags)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

/// A page beside the report that shows it in a window of a phone, and tells how wide it became.
const MEASURE: &str = "<!doctype html><body><iframe id=f width=WIDTH height=900 src=report.html></iframe><p id=told></p><script>\
     onload=()=>{const d=document.getElementById('f').contentDocument.documentElement;\
     document.getElementById('told').textContent='wide '+d.scrollWidth+' of '+d.clientWidth+' high '+d.scrollHeight}</script>";

#[test]
fn a_browser_shows_the_report_on_a_phone_too() {
    let Some(browser) = browser() else {
        eprintln!("skipped: none of {BROWSERS:?} is in PATH, so no browser has looked at the report");
        return;
    };
    let (_simulator, job) = month();
    let (file, profile) = (job.folder().join("report.html"), job.folder().join("profile"));
    assert_eq!(job.run_with(&format!("--report {}", file.display())).code, 0);
    let dom = browse(&browser, &profile, &["--dump-dom".to_owned()], &file);
    assert!(dom.contains("<h2>Coverage and rows over time</h2>") && dom.contains("</svg>"), "{dom}");
    let shot = |page: &Path, name: &str| {
        let picture = job.folder().join(name);
        let flags = [format!("--screenshot={}", picture.display()), "--window-size=1000,1400".to_owned()];
        browse(&browser, &profile, &flags, page);
        std::fs::metadata(picture).unwrap().len()
    };
    let blank = job.folder().join("blank.html");
    std::fs::write(&blank, "<!doctype html><title>blank</title>").unwrap();
    let (shown, nothing) = (shot(&file, "report.png"), shot(&blank, "blank.png"));
    assert!(shown > 5 * nothing, "a picture of {shown} bytes, and a blank one of {nothing}");
    let measure = job.folder().join("measure.html");
    std::fs::write(&measure, MEASURE.replace("WIDTH", &PHONE.to_string())).unwrap();
    let dom = browse(&browser, &profile, &["--dump-dom".to_owned(), "--virtual-time-budget=4000".to_owned()], &measure);
    let told = dom.split("id=\"told\">").nth(1).and_then(|text| text.split('<').next()).unwrap_or_default();
    let numbers: Vec<u32> = told.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [wide, window, high] = numbers[..] else { panic!("{told}: {dom}") };
    assert!(wide <= window && window > 300 && high > 2_000, "{told}");
}

#[test]
fn a_week_with_far_fewer_rows_than_the_weeks_before_is_told_and_fails_nothing() {
    let of = |hidden: f64| {
        serve(|service| {
            service.world.from = "2025-11-03".parse().unwrap();
            service.world.to = "2025-12-08".parse().unwrap();
            service.world.rows = 35 * 80;
            service.drift.hidden = hidden;
        })
    };
    let (usual, poor) = (of(0.0), of(0.8));
    let job = Job::of(&usual);
    let start = usual.world().range().start;
    let file = job.folder().join("report.html");
    let week = |number: i64, service: &RunningSimulator| {
        let range = [start.shifted(number * 7 * DAY_SECONDS), start.shifted((number + 1) * 7 * DAY_SECONDS)];
        let flags = format!(
            "--region US --from {} --to {} --base-url {} --confirm-after 0s --summary {} --report {}",
            range[0].get(),
            range[1].get(),
            service.base_url(),
            job.folder().join("summary.json").display(),
            file.display()
        );
        let ended = job.does("run", &flags, &[]).unwrap();
        assert_eq!(ended.code, 0, "{ended}");
        let summary = std::fs::read(job.folder().join("summary.json")).unwrap();
        (ended, serde_json::from_slice::<serde_json::Value>(&summary).unwrap())
    };
    for number in 0..4 {
        let (ended, summary) = week(number, &usual);
        assert_eq!(summary["warnings"].as_array().unwrap().len(), 0, "week {number}: {ended}");
    }
    let (ended, summary) = week(4, &poor);
    let warnings = summary["warnings"].as_array().unwrap();
    assert_eq!((summary["outcome"].as_str(), warnings.len()), (Some("complete"), 7), "{ended}");
    let first = &warnings[0];
    assert_eq!((first["kind"].as_str(), first["days"].as_u64()), (Some("few_rows"), Some(4)), "{first}");
    assert!(first["rows"].as_u64().unwrap() * 2 < first["usual"].as_u64().unwrap(), "{first}");
    assert!(ended.stdout.contains("unusual") && ended.stdout.contains("rows of 2025-12-01, where"), "{ended}");
    assert!(ended.stderr.contains("rows of 2025-12-01, where"), "{ended}");
    let page = std::fs::read_to_string(&file).unwrap();
    stands_alone(&page);
    assert!(page.contains("Worth a look") && page.contains("rows of 2025-12-01, where"));
    is_whole(&job);
}
