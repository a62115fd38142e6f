//! Holds the order of the stages, a module imports only what lies upstream of it, and that the files of `plan` and `export` and the structs
//! of `plan` stay small.
//!
//! Every `crate::` path in the code counts, not only those of `use` lines, so that no import hides in an expression.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module with the modules that it may import. The stages come in the order of the data's way; the modules below
/// them are used sideways, and only by those that name them.
const ALLOWED: [(&str, &[&str]); 27] = [
    // The data's way.
    ("units", &[]),
    ("api", &["units"]),
    ("plan", &["units", "api", "choices"]),
    ("fetch", &["units", "api", "plan", "progress"]),
    ("check", &["units", "api", "fetch", "recording"]),
    ("journal", &["units", "api", "plan", "fetch", "failpoint", "folder", "replaced"]),
    ("sink", &["units", "api", "plan", "fetch", "journal", "progress", "failpoint", "folder", "choices"]),
    ("replica", &["units", "journal", "sink", "failpoint"]),
    (
        "export",
        &[
            "replica",
            "units",
            "api",
            "plan",
            "fetch",
            "journal",
            "sink",
            "progress",
            "config",
            "failure",
            "summary",
            "failpoint",
            "folder",
        ],
    ),
    // Sideways: what a person may choose, where a test may end the process, what happens, what is set, how it ends, what it came to.
    ("choices", &[]),
    ("failpoint", &[]),
    ("folder", &[]),
    ("replaced", &["folder"]),
    ("recording", &["replaced"]),
    ("limits", &["failure"]),
    ("stderr", &[]),
    ("progress", &["units", "api", "stderr"]),
    ("config", &["units", "api", "choices"]),
    ("failure", &["units", "api", "plan", "fetch", "journal", "sink", "config"]),
    ("summary", &["units", "api", "failure", "replaced", "stderr"]),
    ("metrics", &["units", "failure", "progress", "summary", "replaced", "folder"]),
    ("notify", &["api", "config", "failure"]),
    ("telemetry", &["config", "failure", "progress", "stderr"]),
    // The oracle knows the contract and nothing of the exporter, so that it cannot share its mistakes.
    ("simulator", &["units", "api::contract", "recording"]),
    // The edge.
    ("cli", &["api", "choices", "config", "failure", "simulator", "stderr"]),
    (
        "commands",
        &[
            "units",
            "api",
            "plan",
            "fetch",
            "check",
            "journal",
            "sink",
            "replica",
            "folder",
            "recording",
            "replaced",
            "limits",
            "export",
            "progress",
            "config",
            "failure",
            "summary",
            "metrics",
            "notify",
            "replaced",
            "telemetry",
            "stderr",
            "simulator",
            "cli",
        ],
    ),
    ("lib", &[]),
];

/// One `crate::` path in the code.
#[derive(Debug)]
struct Import {
    file: String,
    line: usize,
    from: String,
    path: String,
}

#[test]
fn imports_point_upstream_only() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let mut broken = Vec::new();
    for import in imports() {
        let Some(upstream) = allowed.get(import.from.as_str()) else {
            broken.push(format!("{}: module `{}` has no place in tests/it/imports.rs", import.file, import.from));
            continue;
        };
        let within = |module: &str| import.path == module || import.path.starts_with(&format!("{module}::"));
        if !within(&import.from) && !upstream.iter().any(|module| within(module)) {
            let Import { file, line, from, path } = import;
            broken.push(format!("{file}:{line}: `{from}` must not import `{path}`; it may import {upstream:?}"));
        }
    }
    assert!(broken.is_empty(), "imports that do not point upstream:\n{}", broken.join("\n"));
}

#[test]
fn a_path_is_found_wherever_it_stands() {
    let text = "use crate::units::Credits;\n// crate::sink is a comment\nuse crate::{plan::fact, api::contract::{Region, \
                Filters}};\nfn f() { crate::export::go() }\nmacro_rules! m { () => { $crate::config::x } }\n";
    let found: Vec<String> = paths(text).into_iter().map(|(_, path)| path).collect();
    assert_eq!(found, ["units::Credits", "plan::fact", "api::contract", "export::go", "config::x"]);
}

fn imports() -> Vec<Import> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(files.len() > 5, "the source was not found below {}", root.display());
    files.iter().flat_map(|file| imports_of(&root, file)).collect()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn imports_of(root: &Path, file: &Path) -> Vec<Import> {
    let below = file.strip_prefix(root).unwrap();
    let module = below.components().next().unwrap().as_os_str().to_str().unwrap();
    let module = module.trim_end_matches(".rs").to_owned();
    let text = fs::read_to_string(file).unwrap();
    let named = |(line, path)| Import { file: format!("src/{}", below.display()), line, from: module.clone(), path };
    paths(&text).into_iter().map(named).collect()
}

/// The `crate::` paths of a source text with their lines; a group in braces gives one path for each member.
fn paths(text: &str) -> Vec<(usize, String)> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let is_part_of_a_word = code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        if is_part_of_a_word {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + "crate::".len()..];
        let members = if rest.starts_with('{') { group_members(rest) } else { vec![rest] };
        found.extend(members.into_iter().map(|member| (line, leading_path(member))));
    }
    found
}

/// The members of the group that `text` begins with, split at the commas of its own level.
fn group_members(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut members) = (0_usize, 1, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        let ends = depth == 0 || (letter == ',' && depth == 1);
        if ends {
            members.push(text[start..at].trim());
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    members.into_iter().filter(|member| !member.is_empty()).collect()
}

/// The path at the beginning of `text`, up to two segments: enough to tell the module and its child.
fn leading_path(text: &str) -> String {
    let end = text.find(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == ':'));
    let path = &text[..end.unwrap_or(text.len())];
    path.split("::").filter(|segment| !segment.is_empty()).take(2).collect::<Vec<_>>().join("::")
}

/// Lines of a file below `plan/` and `export/`, at most, its tests among them.
const MOST_LINES: usize = 400;

#[test]
fn no_file_of_plan_and_export_is_too_long_to_be_read_at_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    ["plan", "export"].iter().for_each(|stage| rust_files(&root.join(stage), &mut files));
    assert!(files.len() > 5, "the source was not found below {}", root.display());
    let lines = |file: &PathBuf| fs::read_to_string(file).unwrap().lines().count();
    let long = files.iter().filter(|file| lines(file) > MOST_LINES);
    let told = long.map(|file| format!("{}: {} lines", file.strip_prefix(&root).unwrap().display(), lines(file)));
    let told: Vec<String> = told.collect();
    assert!(told.is_empty(), "more than {MOST_LINES} lines:\n{}", told.join("\n"));
}

/// Fields of a struct below `plan/`, at most.
const MOST_FIELDS: usize = 15;

#[test]
fn no_struct_of_plan_has_more_fields_than_one_can_keep_in_mind() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root.join("plan"), &mut files);
    let texts = files.iter().map(|file| (file, fs::read_to_string(file).unwrap()));
    let all = texts.flat_map(|(file, text)| fields_of_structs(&text).into_iter().map(move |found| (file, found)));
    let all: Vec<(&PathBuf, (String, usize))> = all.collect();
    assert!(all.len() > 5, "only {} structs were found below {}", all.len(), root.display());
    let large = all.iter().filter(|(_, (_, fields))| *fields > MOST_FIELDS);
    let told = large.map(|(file, (name, fields))| {
        format!("{}: `{name}` has {fields} fields", file.strip_prefix(&root).unwrap().display())
    });
    let told: Vec<String> = told.collect();
    assert!(
        told.is_empty(),
        "more than {MOST_FIELDS} fields, which are to be grouped by meaning:\n{}",
        told.join("\n")
    );
}

#[test]
fn the_fields_of_a_struct_are_counted_and_nothing_else() {
    let text = "/// A: thing\npub(super) struct One<'a> {\n    /// b: is\n    pub b: &'a [u8],\n    c: Vec<\n        d::E,\n    >,\n}\nstruct \
                Two;\nstruct Three(u8);\nimpl One<'_> {\n    fn f(&self) {}\n}\nmod tests {\n    struct Four {\n        g: u8,\n    }\n}\n";
    assert_eq!(fields_of_structs(text), [("One".to_owned(), 2), ("Four".to_owned(), 1)]);
}

/// The structs of a formatted source text whose fields stand on lines of their own, each with the number of its fields.
fn fields_of_structs(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        let Some(name) = declared(code) else { continue };
        let body = lines.by_ref().take_while(|line| *line != format!("{}}}", " ".repeat(indent)));
        let inner = " ".repeat(indent + 4);
        let fields = body.filter_map(|line| line.strip_prefix(&inner)).filter(|code| is_field(code)).count();
        found.push((name, fields));
    }
    found
}

/// The name of the struct that a line begins.
fn declared(code: &str) -> Option<String> {
    let (before, after) = code.split_once("struct ").filter(|_| code.ends_with('{'))?;
    let is_declaration = before.is_empty() || before.starts_with("pub");
    let name = after.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    is_declaration.then_some(name)
}

/// Whether a line of a struct's own level begins a field.
fn is_field(code: &str) -> bool {
    code.starts_with(|letter: char| letter.is_lowercase() || letter == '_') && code.contains(": ")
}
