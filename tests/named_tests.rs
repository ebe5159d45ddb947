//! The tests that the documentation names exist.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// The functions of all Rust files below `dir`.
fn functions(dir: &Path, into: &mut HashSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("fn ").skip(1).map(|rest| {
                rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
            });
            into.extend(names);
        }
    }
}

#[test]
fn every_test_that_a_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut known = HashSet::new();
    functions(&root.join("tests"), &mut known);
    functions(&root.join("src"), &mut known);
    let mut named = 0;
    for page in ["tests/README.md", "docs/semantics.md", "docs/reliability.md", "docs/transactions.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        for word in text.split('`').skip(1).step_by(2) {
            // `module::a_sentence_with_underscores`, or with a file before it.
            let Some((_, name)) = word.rsplit_once("::") else { continue };
            // Blocks of code are no names.
            if name.matches('_').count() < 2 || word.contains(char::is_whitespace) {
                continue;
            }
            assert!(known.contains(name), "{page} names {word}, which does not exist");
            named += 1;
        }
    }
    assert!(named > 80, "{named} tests are named");
}
