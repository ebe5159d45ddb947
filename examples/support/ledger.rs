//! What the quickstart sent, and the comparison with what arrived.

use kafka_producer::mock::MockCluster;
use kafka_producer::{Header, RecordMetadata};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::error::Error;
use std::sync::Mutex;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// What some of the records carry.
pub(crate) const HEADERS: [Header<'static>; 3] = [
    Header { name: "source", value: Some(b"quickstart") },
    Header { name: "source", value: Some(b"again: names may repeat") },
    Header { name: "trace", value: None },
];

/// One record that was sent, and where it went if a handle or a callback said so.
pub(crate) struct Sent {
    pub(crate) topic: &'static str,
    pub(crate) key: Option<String>,
    pub(crate) value: String,
    /// Whether it carries `HEADERS`.
    pub(crate) headers: bool,
    pub(crate) place: Option<RecordMetadata>,
}

/// Every record that was sent, in the order of each thread.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Vec<Sent>>);

impl Ledger {
    pub(crate) fn into_inner(self) -> Vec<Sent> {
        self.0.into_inner().unwrap_or_else(|e| e.into_inner())
    }

    pub(crate) fn add(&self, sent: Sent) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).push(sent);
    }
}

/// What can be told without reading back.
pub(crate) fn check_places(sent: &[Sent]) -> Result {
    let mut offsets = HashSet::new();
    let mut partitions = HashMap::new();
    for (record, place) in sent.iter().filter_map(|s| Some((s, s.place.as_ref()?))) {
        let offset = place.offset().ok_or_else(|| format!("{place} has no offset"))?;
        if place.topic() != record.topic || !offsets.insert((record.topic, place.partition(), offset)) {
            return Err(format!("{place} was reported for two records, or for the wrong topic").into());
        }
        if let Some(key) = &record.key {
            let partition = place.partition();
            if *partitions.entry((record.topic, key)).or_insert(partition) != partition {
                return Err(format!("key {key} went to two partitions of {}", record.topic).into());
            }
        }
    }
    Ok(())
}

/// Compares what the brokers hold with what was sent: nothing lost, doubled or changed, each key in its order.
pub(crate) fn read_back(cluster: &MockCluster, sent: Vec<Sent>) -> Result {
    let total = sent.len();
    let topics: BTreeSet<&str> = sent.iter().map(|s| s.topic).collect();
    let mut expected: BTreeMap<(&str, String), Sent> = BTreeMap::new();
    let mut order: HashMap<(&str, String), Vec<String>> = HashMap::new();
    for s in sent {
        if let Some(key) = &s.key {
            order.entry((s.topic, key.clone())).or_default().push(s.value.clone());
        }
        expected.insert((s.topic, s.value.clone()), s);
    }
    let mut found: HashMap<(&str, String), Vec<String>> = HashMap::new();
    for &topic in &topics {
        let partitions = cluster.partition_count(topic).ok_or_else(|| format!("{topic} does not exist"))?;
        for partition in 0..i32::try_from(partitions)? {
            for stored in cluster.records(topic, partition) {
                let value = String::from_utf8(stored.value.unwrap_or_default())?;
                let at = format!("{topic}-{partition}@{}: {value:?}", stored.offset);
                let sent = expected
                    .remove(&(topic, value))
                    .ok_or_else(|| format!("{at} was not sent, or is there twice"))?;
                let headers = if sent.headers { &HEADERS[..] } else { &[] };
                let same_headers = stored
                    .headers
                    .iter()
                    .map(|(n, v)| (n.as_str(), v.as_deref()))
                    .eq(headers.iter().map(|h| (h.name, h.value)));
                let same_place = sent
                    .place
                    .is_none_or(|p| p.partition() == partition && p.offset() == Some(stored.offset));
                if stored.key.as_deref() != sent.key.as_deref().map(str::as_bytes)
                    || !same_headers
                    || !same_place
                {
                    return Err(format!(
                        "{at} has another key, other headers or another place than was reported"
                    )
                    .into());
                }
                if let Some(key) = sent.key {
                    found.entry((topic, key)).or_default().push(sent.value);
                }
            }
        }
    }
    if let Some(missing) = expected.keys().next() {
        return Err(format!("{} records are missing, {missing:?} among them", expected.len()).into());
    }
    if found != order {
        return Err("records of one key are not in the order in which they were sent".into());
    }
    println!(
        "read back    {total} records in {} topics: keys, values, headers, offsets and order are right",
        topics.len()
    );
    Ok(())
}
