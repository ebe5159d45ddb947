//! docs/configuration.md, written from the table.
//!
//! Pure, any thread; only a test and whoever updates the file call it.

use super::ProducerConfig;
use super::parse::valid_values;
use super::table::{self, Importance, Key, Kind, Status};
use std::fmt::Write as _;

const HEAD: &str = "\
# Configuration

Every key of the Java producer 4.x, and a few of this library's own. Give them as text
(`ProducerConfigBuilder::set`, `ProducerConfig::from_properties`, `ProducerConfig::from_file`) or through the builder's
method of the same name: dots become underscores, the unit goes (`linger.ms` is `linger(Duration)`). `compression` sets
codec and level together, and `partitioner` is `partitioner.class`.

- Defaults are those of Java 4.x, also where older texts differ (`linger.ms` was 0, `acks` was 1, `enable.idempotence`
  was false).
- An unknown key is an error that names the nearest one. Keys of plug-ins are declared with `declare_keys`;
  `metrics.context.*` always is.
- Two settings that were both given can contradict each other, which is an error. A default yields instead, with a
  warning. One exception, as in Java: more than five requests in flight need an explicit `enable.idempotence=false`.
- Times given as text are whole milliseconds; the builder takes any `Duration`. Beyond 100 years they count as that.
- Blanks around a value do not count, save around the ids, where they belong to it as in Java; a warning says so.
- Nothing in a value is filled in or fetched: no `${...}`, no file, no class.

This page is generated from the table in `src/config/table/`: `UPDATE_DOCS=1 cargo test --test configuration_doc`.
";

const TAIL_HEAD: &str = "
## Accepted and ignored

These keys may stand in a Java client's file. Only a JVM, a broker or a secured connection needs them, so their values
are neither checked nor kept; one warning lists those that were set. `config.providers.*` is ignored likewise.

| key | concerns | meaning in Java |
|---|---|---|
";

impl ProducerConfig {
    /// The text of docs/configuration.md.
    #[doc(hidden)]
    pub fn configuration_markdown() -> String {
        let mut page = HEAD.to_owned();
        page.push_str(
            "\n## Keys\n\n| key | default | valid | importance | meaning |\n|---|---|---|---|---|\n",
        );
        for key in table::keys().filter(|key| concerns(key).is_none()) {
            let ours = if key.status == Status::Ours { " Not a key of Java's." } else { "" };
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} | {}{ours} |",
                key.name,
                default(key),
                valid(key),
                importance(key),
                key.doc
            );
        }
        page.push_str(TAIL_HEAD);
        for key in table::keys() {
            if let Some(who) = concerns(key) {
                let _ = writeln!(page, "| `{}` | {who} | {} |", key.name, key.doc);
            }
        }
        page
    }
}

/// Whom a key concerns that is ignored.
fn concerns(key: &Key) -> Option<&'static str> {
    match key.status {
        Status::Used | Status::Ours | Status::Plugin => None,
        Status::Jvm => Some("JVM"),
        Status::Broker => Some("brokers"),
        Status::Security => Some("TLS, SASL"),
    }
}

fn default(key: &Key) -> String {
    match (key.default, key.kind) {
        (None, _) if key.name == "bootstrap.servers" => "required".to_owned(),
        (None, _) => "none".to_owned(),
        (Some(""), _) => "empty".to_owned(),
        (Some(text), Kind::Millis { .. }) => match text.parse::<u64>().ok().and_then(in_words) {
            Some(words) => format!("`{text}` ({words})"),
            None => format!("`{text}`"),
        },
        (Some(text), _) => format!("`{text}`"),
    }
}

/// A round time in its greatest unit; nothing below a second.
fn in_words(millis: u64) -> Option<String> {
    match millis {
        0 => None,
        n if n % 60_000 == 0 => Some(format!("{} min", n / 60_000)),
        n if n % 1000 == 0 => Some(format!("{} s", n / 1000)),
        _ => None,
    }
}

fn valid(key: &Key) -> String {
    match key.kind {
        Kind::OneOf { names, any_case } => {
            let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            if any_case { format!("{names}, in any case") } else { names }
        }
        kind => valid_values(kind),
    }
}

fn importance(key: &Key) -> &'static str {
    match key.importance {
        Importance::High => "high",
        Importance::Medium => "medium",
        Importance::Low => "low",
    }
}
