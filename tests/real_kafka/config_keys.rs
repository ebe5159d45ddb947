//! The table of keys beside the one that Java's producer has: none missing, defaults, importance and ranges the same.

use crate::java::{Java, Version};
use kafka_producer::{Error, ProducerConfig};
use std::collections::BTreeMap;

/// Name, then default, validator and importance.
type Keys = BTreeMap<String, [String; 3]>;

fn java_keys(version: Version) -> Keys {
    let output = Java::prepare(version).command("ConfigKeys", 100).output().expect("java runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let row = |line: &str| {
        let cells: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let [name, rest @ ..] = cells.as_slice() else { return None };
        Some((name.clone(), <[String; 3]>::try_from(rest.to_vec()).ok()?))
    };
    text.lines().filter_map(row).collect()
}

/// The rows of docs/configuration.md by name, whose test holds it to the table.
fn our_keys() -> BTreeMap<String, Vec<String>> {
    let page = ProducerConfig::configuration_markdown();
    let row = |line: &str| {
        let cells: Vec<String> = line.strip_prefix("| `")?.split(" | ").map(str::to_owned).collect();
        Some((cells[0].trim_end_matches('`').to_owned(), cells[1..].to_vec()))
    };
    page.lines().filter_map(row).collect()
}

fn with(key: &str, value: impl ToString) -> Result<ProducerConfig, Error> {
    ProducerConfig::builder(["a:1", "b:1"]).set(key, value.to_string()).build()
}

/// The default as the page shows it, as Java prints it.
fn plain(shown: &str) -> &str {
    match shown {
        "empty" => "",
        "none" => "null",
        shown => shown.split('`').nth(1).unwrap_or(shown),
    }
}

#[test]
#[ignore = "needs Java and Maven"]
fn every_key_of_java_s_is_known_with_its_default_importance_and_range() {
    let ours = our_keys();
    for version in [Version::V3_9, Version::V4_3] {
        let java = java_keys(version);
        assert!(java.len() > 80, "{version}: {java:?}");
        let missing: Vec<_> = java.keys().filter(|name| !ours.contains_key(*name)).collect();
        assert!(missing.is_empty(), "{version}: {missing:?}");
        if version != Version::V4_3 {
            // Other defaults than those of 4.x.
            continue;
        }
        let (mut compared, mut ranges) = (0, 0);
        for (name, [default, validator, importance]) in &java {
            // What is ignored has neither default nor range.
            let [ours_default, _, ours_importance, _] = ours[name].as_slice() else { continue };
            if !["key.serializer", "value.serializer", "compression.zstd.level"].contains(&name.as_str()) {
                assert_eq!(plain(ours_default), default, "{name}");
            }
            assert_eq!(*ours_importance, importance.to_lowercase(), "{name}");
            compared += 1;
            ranges += usize::from(range_agrees(name, validator));
        }
        assert!(compared > 45 && ranges > 25, "{compared} keys compared, {ranges} ranges");
    }
}

/// Of these 0 can only be a mistake: no record would fit, or be given time. Java finds out later, or never.
const ABOVE_ZERO: [&str; 4] =
    ["buffer.memory", "max.request.size", "request.timeout.ms", "delivery.timeout.ms"];

/// `false`: Java takes anything.
fn range_agrees(name: &str, validator: &str) -> bool {
    let Some(inside) = validator.trim_start_matches("(case insensitive) ").strip_prefix('[') else {
        return false;
    };
    let inside = inside.split(']').next().expect("a closing bracket");
    if let Some((least, most)) = inside.split_once(",...") {
        let least: i64 = least.parse().expect("a number");
        let refused_zero = least == 0 && ABOVE_ZERO.contains(&name);
        assert_eq!(with(name, least).is_err(), refused_zero, "{name}={least}");
        assert!(with(name, least - 1).is_err(), "{name}={}", least - 1);
        if let Some(most) = most.strip_prefix(',') {
            let most: i64 = most.trim().parse().expect("a number");
            assert!(with(name, most).is_ok() && with(name, most + 1).is_err(), "{name}={most}");
        }
    } else if name != "security.protocol" {
        for value in inside.split(", ") {
            // A codec may need a feature that is off.
            let taken = with(name, value).err().is_none_or(|e| e.to_string().contains("cargo feature"));
            assert!(taken, "{name}={value}");
        }
    }
    true
}
