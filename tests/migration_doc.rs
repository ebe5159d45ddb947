//! docs/migration.md says of librdkafka's settings what the library says of them, and names kinds of errors that there are.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use kafka_producer::ProducerConfig;

/// The words in backquotes of a table's cell.
fn keys(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn each_name_of_librdkafka_is_refused_with_the_name_beside_it_or_is_java_s_own() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/migration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let table = page.split("| librdkafka | here | differs |").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut checked = 0;
    for row in table.lines().filter(|row| row.starts_with("| `")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        // `queue.buffering.max.kbytes`, `.messages`: the second is the first with another end.
        let mut full = String::new();
        for name in keys(cells[0]) {
            full = match name.strip_prefix('.') {
                Some(end) => format!("{}.{end}", full.rsplit_once('.').unwrap().0),
                None => name.to_owned(),
            };
            let here = keys(cells[1]);
            let refused = ProducerConfig::builder(["a:1", "b:1"]).set(&full, "1").build();
            checked += 1;
            let Err(error) = refused else {
                // Java's own name: a key here too.
                assert!(here.is_empty() || here.contains(&full.as_str()), "{full} is taken: {row}");
                continue;
            };
            let text = error.to_string();
            if text.contains("unknown key") {
                let named = here.iter().any(|key| text.contains(&key.replace(".<codec>", ".gzip")));
                assert!(named || cells[1].contains("none"), "{full}: {text}");
                assert!(!cells[1].contains("none") || text.contains("no key") || named || here.is_empty());
            } else {
                assert!(text.starts_with(&full), "{full}: {text}");
            }
        }
    }
    assert!(checked > 25, "{checked} names");
}

#[test]
fn every_kind_of_error_in_the_guides_exists_and_each_has_its_counterpart_of_java_s() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = std::fs::read_to_string(root.join("src/error.rs")).unwrap();
    let kinds = code.split("pub enum ErrorKind {").nth(1).unwrap().split("\n}").next().unwrap();
    let kinds: Vec<&str> = kinds.lines().filter_map(|line| line.trim().strip_suffix(',')).collect();
    assert!(
        kinds.len() > 20 && kinds.iter().all(|kind| kind.chars().all(char::is_alphanumeric)),
        "{kinds:?}"
    );
    let named = |page: &str| -> Vec<String> {
        let text = std::fs::read_to_string(root.join("docs").join(page)).unwrap();
        let word = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric()).collect();
        text.split("ErrorKind::").skip(1).map(word).collect()
    };
    for page in ["migration.md", "semantics.md", "transactions.md", "observability.md", "testing.md"] {
        let unknown: Vec<_> = named(page).into_iter().filter(|kind| !kinds.contains(&&**kind)).collect();
        assert!(unknown.is_empty(), "{page}: {unknown:?}");
    }
    // Java has no purge, says nothing of a connection or a defect by itself, and does not guard against strangers.
    let absent = ["Connection", "Protocol", "Purged", "Internal"];
    let guide = named("migration.md");
    let missing: Vec<_> =
        kinds.iter().filter(|kind| !absent.contains(kind) && !guide.iter().any(|n| n == **kind)).collect();
    assert!(missing.is_empty(), "docs/migration.md lacks {missing:?}");
}
