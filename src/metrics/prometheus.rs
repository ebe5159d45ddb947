//! Prometheus' text format (0.0.4), which OpenMetrics scrapers read as well.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::MetricsSnapshot;
use super::catalog::{Metric, MetricValue};

impl MetricsSnapshot {
    /// The metrics as text for a Prometheus scraper, content type `text/plain; version=0.0.4`.
    ///
    /// Java's group and name become `kafka_producer_record_send_total`, `kafka_producer_node_request_rate` or
    /// `kafka_producer_topic_byte_total`; tags become the labels `client_id`, `node_id` and `topic`. Words become a label
    /// of a metric that is always 1: `kafka_producer_app_info_version{version="0.1.0"} 1`. What was not measured is left
    /// out.
    pub fn to_prometheus(&self) -> String {
        // The format wants all lines of one name together.
        let mut families: BTreeMap<String, Vec<Metric<'_>>> = BTreeMap::new();
        for metric in self {
            families.entry(family(&metric)).or_default().push(metric);
        }
        let mut text = String::new();
        for (name, metrics) in &families {
            let lines: Vec<String> = metrics.iter().filter_map(|m| line(name, m)).collect();
            if let (Some(first), false) = (metrics.first(), lines.is_empty()) {
                let kind = if matches!(first.value, MetricValue::Total(_)) { "counter" } else { "gauge" };
                let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", first.description);
                lines.iter().for_each(|line| text.push_str(line));
            }
        }
        text
    }
}

fn family(metric: &Metric<'_>) -> String {
    let group = metric.group.strip_suffix("-metrics").unwrap_or(metric.group);
    let group = match group {
        "producer" => "kafka-producer".to_owned(),
        "kafka-metrics-count" => "kafka-producer-metrics".to_owned(),
        other => format!("kafka-producer-{}", other.strip_prefix("producer-").unwrap_or(other)),
    };
    format!("{group}-{}", metric.name).replace('-', "_")
}

fn line(family: &str, metric: &Metric<'_>) -> Option<String> {
    let mut labels: Vec<String> = metric.tags.iter().map(|(key, value)| label(key, value)).collect();
    let value = match &metric.value {
        MetricValue::Total(n) => n.to_string(),
        MetricValue::Gauge(x) if x.is_finite() => x.to_string(),
        MetricValue::Gauge(_) => return None,
        MetricValue::Text(text) => {
            labels.push(label(metric.name, text));
            "1".to_owned()
        }
    };
    Some(format!("{family}{{{}}} {value}\n", labels.join(",")))
}

fn label(key: &str, value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{}=\"{escaped}\"", key.replace('-', "_"))
}
