//! docs/configuration.md says what the table of keys says. `UPDATE_DOCS=1` writes it anew.

use kafka_producer::ProducerConfig;

#[test]
fn the_page_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = ProducerConfig::configuration_markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default().replace("\r\n", "\n");
    assert!(
        found == page,
        "docs/configuration.md is stale: run UPDATE_DOCS=1 cargo test --test configuration_doc"
    );
}
