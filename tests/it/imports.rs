//! Holds the order of the stages, a module imports only what lies upstream of it; that no file and no folder imports one that imports it;
//! and that the files of `plan` and `export` and the structs of `plan` stay small.
//!
//! Every `crate::` path in the code counts, not only those of `use` lines, so that no import hides in an expression.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module with the modules that it may import. The stages come in the order of the data's way; the modules below
/// them are used sideways, and only by those that name them.
const ALLOWED: [(&str, &[&str]); 27] = [
    // The data's way.
    ("units", &[]),
    ("api", &["units"]),
    ("plan", &["units", "api", "choices"]),
    ("fetch", &["units", "api", "plan"]),
    ("check", &["units", "api", "fetch", "recording"]),
    ("journal", &["units", "api", "plan", "failpoint", "folder", "replaced"]),
    ("sink", &["units", "api", "plan", "journal", "failpoint", "folder", "choices"]),
    ("replica", &["units", "journal", "sink", "failpoint"]),
    ("export", &["replica", "units", "api", "plan", "fetch", "journal", "sink", "progress", "failpoint", "folder"]),
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
    ("failure", &["config"]),
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

#[test]
fn nothing_is_permitted_that_nobody_uses() {
    let imports = imports();
    let mut unused = Vec::new();
    for (module, permitted) in ALLOWED {
        let twice: BTreeSet<&str> = permitted.iter().copied().collect();
        assert_eq!(twice.len(), permitted.len(), "`{module}` is permitted something twice");
        let is_used = |upstream: &str| {
            let is_it = |path: &str| path == upstream || path.starts_with(&format!("{upstream}::"));
            imports.iter().any(|import| import.from == module && is_it(&import.path))
        };
        unused.extend(permitted.iter().filter(|upstream| !is_used(upstream)).map(|upstream| (module, *upstream)));
    }
    assert!(unused.is_empty(), "permitted, and imported by nobody: {unused:?}");
}

/// A module's place below the root of the crate.
type Module = Vec<String>;

/// Of two modules side by side, each a file with what lies below it, at most one imports the other, also by way of others. A file and what
/// lies in its folder are one: whoever stands in the folder may name what stands in the file, and the other way round.
#[test]
fn no_module_imports_one_that_imports_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let circles = circles(&modules(&root));
    assert!(circles.is_empty(), "imports that go round in a circle:\n{}", circles.join("\n"));
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let circles_of = |texts: &[(&str, &str)]| {
        let module = |path: &str| path.split('/').map(str::to_owned).collect::<Module>();
        circles(&texts.iter().map(|(path, text)| (module(path), (*text).to_owned())).collect())
    };
    let pair = |one: &str, other: &str| circles_of(&[("a", ""), ("a/one", one), ("a/other", other)]).len();
    assert_eq!(pair("use super::other::X;", ""), 0);
    assert_eq!(pair("use super::other::X;", "use super::one::Y;"), 1);
    assert_eq!(pair("use crate::a::{b, other::{self, X}};", "fn f() -> super::one::Y { todo!() }"), 1);
    assert_eq!(
        pair(
            "use super::other::X;",
            "// use super::one::Y;\n#[cfg(test)]\nmod tests {\n    use crate::a::one::Y;\n}\n"
        ),
        0
    );
    let way_round = [
        ("one", "use super::two::X;"),
        ("two", "use crate::three::X;"),
        ("three/in", "use super::super::one;"),
        ("three", ""),
    ];
    assert_eq!(circles_of(&way_round).len(), 1);
    let of_one_folder = [("a", "use b::X;"), ("a/b", "use super::Y;")];
    assert_eq!(circles_of(&of_one_folder).len(), 0);
}

/// All modules of the crate but those of tests, each with its code.
fn modules(root: &Path) -> BTreeMap<Module, String> {
    let mut files = Vec::new();
    rust_files(root, &mut files);
    let module = |file: &Path| -> Module {
        let below = file.strip_prefix(root).unwrap().with_extension("");
        let mut names: Module = below.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        names.pop_if(|name| name == "mod" || name == "lib");
        names
    };
    let all = files.iter().map(|file| (module(file), fs::read_to_string(file).unwrap()));
    let is_test = |module: &Module| module.last().is_some_and(|name| name == "tests" || name == "testing");
    all.filter(|(module, _)| !is_test(module)).collect()
}

/// A text's code, without comments, and without the items of its own level that only tests have.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            let is_long = lines.next().is_some_and(|item| !item.ends_with(';'));
            if is_long {
                lines.by_ref().take_while(|line| *line != "}").for_each(drop);
            }
            continue;
        }
        code.push_str(line.split("//").next().unwrap_or_default());
        code.push('\n');
    }
    code
}

/// The paths of a code that begin with `crate` or `super`, a group in braces as one for each member.
fn paths_of(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let goes_on = |before: char| before.is_alphanumeric() || matches!(before, '_' | ':' | '$');
            if !code[..at].ends_with(goes_on) {
                path_into(&code[at..], Vec::new(), &mut found);
            }
        }
    }
    found
}

fn path_into(text: &str, mut before: Vec<String>, found: &mut Vec<Vec<String>>) {
    let mut rest = text.trim_start();
    loop {
        if rest.starts_with('{') {
            group_members(rest).into_iter().for_each(|member| path_into(member, before.clone(), found));
            return;
        }
        let end = rest.find(|letter: char| !(letter.is_alphanumeric() || letter == '_')).unwrap_or(rest.len());
        before.push(rest[..end].to_owned());
        match rest[end..].strip_prefix("::") {
            Some(more) => rest = more,
            None => break,
        }
    }
    found.push(before);
}

/// The module that a path leads to, seen from another.
fn resolved(path: &[String], from: &Module, modules: &BTreeMap<Module, String>) -> Module {
    let mut path = path;
    let mut at = from.clone();
    while let [first, rest @ ..] = path {
        match first.as_str() {
            "crate" => at.clear(),
            "super" => drop(at.pop()),
            name => {
                at.push(name.to_owned());
                if !modules.contains_key(&at) {
                    at.pop();
                    break;
                }
            }
        }
        path = rest;
    }
    at
}

/// Every set of modules side by side that reach each other, with the imports among them.
fn circles(modules: &BTreeMap<Module, String>) -> Vec<String> {
    let mut levels: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (from, text) in modules {
        for path in paths_of(&code_of(text)) {
            let to = resolved(&path, from, modules);
            let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
            if let (Some(one), Some(other)) = (from.get(shared), to.get(shared)) {
                let level = levels.entry(from[..shared].to_vec()).or_default();
                level.entry(one.clone()).or_default().insert(other.clone());
            }
        }
    }
    let mut found = Vec::new();
    for (level, imports) in &levels {
        let all: BTreeMap<&String, BTreeSet<&String>> = imports.keys().map(|one| (one, reach(one, imports))).collect();
        let rounds: BTreeSet<Vec<&String>> = all
            .iter()
            .filter(|(one, reached)| reached.contains(*one))
            .map(|(one, reached)| {
                let meets = |other: &&&String| all.get(**other).is_some_and(|back| back.contains(*one));
                reached.iter().filter(meets).copied().collect()
            })
            .collect();
        let place = if level.is_empty() { "src".to_owned() } else { level.join("/") };
        found.extend(rounds.iter().map(|round| format!("{place}: {round:?}")));
    }
    found
}

/// All that a module imports, also by way of others.
fn reach<'a>(from: &'a String, imports: &'a BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        open.extend(imports.get(module).into_iter().flatten().filter(|next| reached.insert(*next)));
    }
    reached
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
