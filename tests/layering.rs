//! Imports in `src/` point one way, and files stay short enough to read.
//!
//! The order is the one of docs/design.md. A path counts wherever it stands: `use crate::x`, `crate::x::f()`, or enough
//! `super::` to reach the root. Names that `lib.rs` re-exports count as the module they come from. Test code is free.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lower layers first; a module may use its own layer and those below it.
const LAYERS: &[&[&str]] = &[
    &["protocol"],
    &["sync", "clock"],
    &["record", "error", "config", "metrics", "delivery", "transaction"],
    &["serializer", "partitioner", "interceptor"],
    &["api"],
    &["accumulator"],
    &["engine"],
    &["driver"],
    &["producer"],
];

/// Modules that may use less than their layer would allow.
const ONLY: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("sync", &[]),
    ("clock", &[]),
    ("config", &["protocol", "error", "record"]),
    (
        "mock",
        &[
            "protocol",
            "record",
            "error",
            "delivery",
            "metrics",
            "transaction",
            "serializer",
            "partitioner",
            "api",
            "sync",
            "clock",
        ],
    ),
];

/// The house limit is about 500; beyond this a file is certainly two.
const MAX_LINES: usize = 600;

#[test]
fn imports_point_one_way() {
    let exports = exports(&code_of("src/lib.rs".as_ref()));
    let mut wrong = Vec::new();
    for file in sources() {
        let path = module_path(&file);
        let Some(from) = path.first() else { continue };
        for to in imports(&code_of(&file), path.len(), &exports) {
            if !may_use(from, &to) {
                wrong.push(format!("{}: {from} must not use {to}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_its_place() {
    let known = |name: &str| name == "mock" || layer(name).is_some();
    let strangers: BTreeSet<String> =
        sources().iter().filter_map(|f| module_path(f).into_iter().next()).filter(|m| !known(m)).collect();
    assert!(strangers.is_empty(), "no place in LAYERS: {strangers:?}");
}

#[test]
fn files_are_short() {
    let long: Vec<String> = sources()
        .iter()
        .map(|file| (file, non_test(&read(file)).lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(file, lines)| format!("{}: {lines} lines", file.display()))
        .collect();
    assert!(long.is_empty(), "over {MAX_LINES} lines without tests: {}", long.join(", "));
}

/// Deadlines count on the monotonic clock: whoever sets the wall clock changes what records are stamped with, and
/// nothing else.
#[test]
fn the_wall_clock_only_stamps() {
    let reads = |file: &PathBuf| {
        let code = code_of(file);
        code.contains("wall_millis") || code.contains("SystemTime::now")
    };
    let readers: Vec<_> = sources().into_iter().filter(reads).collect();
    let may = ["src/clock.rs", "src/metrics/mod.rs", "src/producer/road.rs"];
    for file in readers {
        let name = file.to_string_lossy();
        assert!(may.contains(&&*name) || name.starts_with("src/mock/"), "{name} reads the wall clock");
    }
}

#[test]
fn the_check_sees_every_form_of_path() {
    let exports = exports("pub use error::{Error, ErrorKind};\npub use api::Producer;");
    let found = |code: &str| imports(&strip(code), 2, &exports).into_iter().collect::<Vec<_>>();
    assert_eq!(found("use crate::driver::Driver;"), ["driver"]);
    assert_eq!(found("use crate::{engine::{a, b}, record::R, Producer};"), ["api", "engine", "record"]);
    assert_eq!(found("fn f() { crate::clock::now() }"), ["clock"]);
    assert_eq!(found("use super::super::producer::P;"), ["producer"]);
    assert_eq!(found("use super::sibling::S;"), [""; 0]);
    assert_eq!(found("// crate::driver\nlet s = \"crate::driver\"; use crate::Error;"), ["error"]);
    assert_eq!(non_test("a\n#[cfg(test)]\nmod tests {\n}\n"), "a\n");
}

fn may_use(from: &str, to: &str) -> bool {
    if from == to {
        return true;
    }
    if let Some((_, allowed)) = ONLY.iter().find(|(module, _)| *module == from) {
        return allowed.contains(&to);
    }
    layer(to) <= layer(from) && layer(to).is_some()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Top-level modules that `code`, which lies `depth` modules below the root, names.
fn imports(code: &str, depth: usize, exports: &BTreeMap<String, String>) -> BTreeSet<String> {
    let up = "super::".repeat(depth);
    let mut found = BTreeSet::new();
    for root in ["crate::", &up] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' || before == ':' {
                continue;
            }
            for name in first_names(&code[at + root.len()..]) {
                found.insert(exports.get(&name).cloned().unwrap_or(name));
            }
        }
    }
    found
}

/// `a` of `a::b`, or the first name of each item of `{a::b, c}`.
fn first_names(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut items) = (0, vec![String::new()]);
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            _ => {}
        }
        if let Some(item) = items.last_mut() {
            item.push(c);
        }
    }
    items.iter().map(|item| name(item.trim_start_matches(|c: char| c == ',' || c.is_whitespace()))).collect()
}

fn name(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// What `lib.rs` re-exports: name and module.
fn exports(lib: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for statement in lib.split(';') {
        let Some((_, path)) = statement.rsplit_once("pub use ") else { continue };
        let module = name(path.trim().trim_start_matches("crate::"));
        let names = path.rsplit("::").next().unwrap_or("");
        for word in names.split([',', '{', '}']).map(str::trim).filter(|w| !w.is_empty()) {
            found.insert(word.to_owned(), module.clone());
        }
    }
    found
}

/// All files of `src/` that are not test code, without `lib.rs`, whose re-exports are free.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    walk(Path::new("src"), &mut files);
    let tests: BTreeSet<PathBuf> = files.iter().flat_map(|file| test_modules(file)).collect();
    files.retain(|file| file != Path::new("src/lib.rs") && !file.ancestors().any(|a| tests.contains(a)));
    assert!(!files.is_empty(), "tests run in the package's directory");
    files
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())).flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

/// The files and directories of the modules that `file` declares behind `#[cfg(test)]`.
fn test_modules(file: &Path) -> Vec<PathBuf> {
    let text = read(file);
    let home = match file.file_name().and_then(|n| n.to_str()) {
        Some("mod.rs" | "lib.rs") => file.parent().unwrap_or(file).to_owned(),
        _ => file.with_extension(""),
    };
    let mut found = Vec::new();
    let mut gated = false;
    for line in text.lines().map(str::trim) {
        if let Some(module) = line.strip_suffix(';').and_then(|l| l.rsplit_once("mod ")).filter(|_| gated) {
            found.push(home.join(module.1).with_extension("rs"));
            found.push(home.join(module.1));
        }
        // Other attributes may stand between the two lines.
        gated = line == "#[cfg(test)]" || gated && line.starts_with("#[");
    }
    found
}

/// `src/engine/drain.rs` is `[engine, drain]`.
fn module_path(file: &Path) -> Vec<String> {
    let inside = file.strip_prefix("src").unwrap_or(file).with_extension("");
    let mut path: Vec<String> = inside.iter().map(|p| p.to_string_lossy().into_owned()).collect();
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    path
}

fn code_of(file: &Path) -> String {
    strip(non_test(&read(file)))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// What stands above the module's inline tests, which come last in a file.
fn non_test(text: &str) -> &str {
    let inline = |(at, _): &(usize, &str)| {
        let rest = text[*at..].lines().skip(1).find(|l| !l.trim_start().starts_with("#["));
        rest.is_some_and(|l| l.starts_with("mod ") && l.ends_with('{'))
    };
    let end = text.match_indices("#[cfg(test)]").find(inline).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// Code without comments and string literals.
fn strip(text: &str) -> String {
    let without_comment = |line: &str| line.split("//").next().unwrap_or("").to_owned();
    text.lines()
        .map(|line| without_comment(line).split('"').step_by(2).collect::<Vec<_>>().join("\"\""))
        .collect::<Vec<_>>()
        .join("\n")
}
