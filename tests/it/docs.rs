//! README and docs lead where they say, and name what there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use keyapi_export::failure::ExitCode;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text_of(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The texts for people, as paths below the repository.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = ["README.md", "CHANGELOG.md", "src/ARCHITECTURE.md"].map(PathBuf::from).to_vec();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        pages.push(Path::new("docs").join(entry.unwrap().file_name()));
    }
    pages
}

/// The lines of a page that are no code block.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// What the links of a page lead to.
fn targets(text: &str) -> Vec<&str> {
    let behind = prose(text).flat_map(|line| line.split("](").skip(1));
    behind.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

/// The anchor that code hosts give a heading: small letters, digits, `-` and `_`, with `-` for each space.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    prose(text).filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#'))).collect()
}

/// What is wrong with a link of `page`.
fn broken(page: &Path, target: &str) -> Option<String> {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => root().join(page),
        file => root().join(page).parent().unwrap().join(file),
    };
    let told = |what: &str| Some(format!("{}: {target}: {what}", page.display()));
    if !path.exists() {
        return told("there is no such file");
    }
    let is_known = heading.is_empty() || anchors(&fs::read_to_string(path).unwrap()).contains(heading);
    if is_known { None } else { told("there is no such heading") }
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let (mut wrong, mut links) = (Vec::new(), 0);
    for page in pages() {
        let text = text_of(&page);
        for target in targets(&text).into_iter().filter(|target| !target.starts_with("http")) {
            links += 1;
            wrong.extend(broken(&page, target));
        }
    }
    assert!(links > 50, "only {links} links were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_link_without_its_goal_is_found() {
    let text = "# One `a`: b_c\n[x](#one-a-b_c) [y](docs/none.md)\n```\n# no [z](z)\n```\n";
    assert_eq!(anchors(text).into_iter().collect::<Vec<_>>(), ["one-a-b_c"]);
    assert_eq!(targets(text), ["#one-a-b_c", "docs/none.md"]);
    assert!(broken(Path::new("README.md"), "docs/none.md").unwrap().contains("no such file"));
    assert!(broken(Path::new("README.md"), "#none").unwrap().contains("no such heading"));
    assert_eq!(broken(Path::new("docs/README.md"), "../README.md#exit-codes"), None);
}

#[test]
fn the_readme_is_read_in_five_minutes_and_leads_to_every_page() {
    let readme = text_of("README.md");
    assert!(readme.len() <= 8 * 1024, "{} bytes: details belong into docs/", readme.len());
    let (led, listed) = (targets(&readme), text_of("docs/README.md"));
    for page in pages().iter().filter(|page| page.starts_with("docs") && !page.ends_with("README.md")) {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(led.contains(&format!("docs/{name}").as_str()), "README.md does not lead to {name}");
        assert!(targets(&listed).contains(&name), "docs/README.md does not lead to {name}");
    }
}

#[test]
fn the_readme_has_every_exit_code() {
    let text = text_of("README.md");
    let (_, table) = text.split_once("\n## Exit codes\n").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let told: Vec<u8> = cells.flat_map(|cell| cell.split(", ")).filter_map(|code| code.parse().ok()).collect();
    assert_eq!(told, ExitCode::ALL.map(ExitCode::number));
}

/// The source of the program, its tests and their scripts.
fn sources(folder: &Path, found: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_none_or(|extension| extension == "rs") {
            found.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn the_variables_of_the_long_tests_are_those_that_are_read() {
    let text = text_of("docs/contributing.md");
    let (_, table) = text.split_once("\n## Long tests\n").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split(" |").next());
    let told: BTreeSet<&str> = rows.flat_map(|names| names.split(", ")).map(|name| name.trim_matches('`')).collect();
    let (mut program, mut tests) = (String::new(), String::new());
    sources(&root().join("src"), &mut program);
    ["tests/it", "tests/readers"].iter().for_each(|folder| sources(&root().join(folder), &mut tests));
    let code = [program.as_str(), tests.as_str()].concat();
    let is_read = |name: &&str| code.contains(&format!("\"{name}\"")) || code.contains(&format!("${{{name}:-"));
    let unread: Vec<&str> = told.iter().filter(|name| !is_read(name)).copied().collect();
    assert!(told.len() > 10 && unread.is_empty(), "nothing reads {unread:?} of {told:?}");
    let plans = program.split("\"PLAN_").skip(1).filter_map(|rest| rest.split('"').next());
    let plans = plans.map(|name| format!("PLAN_{name}"));
    let untold: Vec<String> = plans.filter(|name| !told.contains(name.as_str())).collect();
    assert!(untold.is_empty(), "docs/contributing.md does not tell of {untold:?}");
}
