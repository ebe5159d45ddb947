//! Transactions over two topics, and what a read-committed consumer must see of them.

use crate::cluster::RealKafka;
use crate::numbered::Producer;
use kafka_producer::{Error, ProducerRecord, Transaction};
use std::collections::BTreeMap;

/// Suffixes of the topics' names, and their partitions.
pub(crate) const TOPICS: [(&str, i32); 2] = [("a", 4), ("b", 2)];

/// What was committed, by topic and partition, in order.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    name: String,
    committed: BTreeMap<(usize, i32), Vec<String>>,
}

/// The two topics of a ledger.
pub(crate) fn create_topics(kafka: &RealKafka, name: &str) {
    let nodes = kafka.bootstrap().split(',').count() as u32;
    let safe = ("min.insync.replicas", if nodes > 1 { "2" } else { "1" });
    for (suffix, partitions) in TOPICS {
        kafka.create_topic(&format!("{name}-{suffix}"), partitions as u32, nodes, &[safe]);
    }
}

impl Ledger {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), committed: BTreeMap::new() }
    }

    /// Whether [`run`](Self::run) aborts transaction `n`.
    pub(crate) fn aborts(n: u32) -> bool {
        matches!(n % 6, 1 | 4)
    }

    /// Transaction `n` of `records` records. Each third is aborted, half of those by dropping the guard.
    pub(crate) fn run(&mut self, producer: &Producer, n: u32, records: u32) {
        let transaction = producer.transaction().expect("begun");
        let sent = self.send(&transaction, n, records).expect("it enters");
        if !Self::aborts(n) {
            transaction.commit().expect("committed");
            self.commit(sent);
        } else if n % 2 == 1 {
            transaction.abort().expect("aborted");
        }
        // The others are dropped.
    }

    /// Sends the records of transaction `n`; they are to be handed to [`commit`](Self::commit) once they are committed.
    pub(crate) fn send(
        &self,
        transaction: &Transaction<'_, [u8], [u8]>,
        n: u32,
        records: u32,
    ) -> Result<Vec<(usize, i32, String)>, Error> {
        let mut sent = Vec::new();
        for i in 0..records {
            let (at, partition) = place(n.wrapping_add(i));
            let topic = format!("{}-{}", self.name, TOPICS[at].0);
            let value = format!("{n}.{i}/{records}");
            transaction.send(ProducerRecord::new(&topic, value.as_bytes()).partition(partition))?.detach();
            sent.push((at, partition, value));
        }
        Ok(sent)
    }

    pub(crate) fn commit(&mut self, sent: Vec<(usize, i32, String)>) {
        for (topic, partition, value) in sent {
            self.committed.entry((topic, partition)).or_default().push(value);
        }
    }

    /// Reads both topics with Java's consumer: exactly what was committed, each partition in order.
    pub(crate) fn verify(&self, kafka: &RealKafka) {
        for (at, (suffix, partitions)) in TOPICS.into_iter().enumerate() {
            let topic = format!("{}-{suffix}", self.name);
            let mut read: BTreeMap<i32, Vec<(i64, String)>> = BTreeMap::new();
            kafka.read_committed(&topic, |record| {
                let value = String::from_utf8(record.value.expect("a value")).expect("text");
                read.entry(record.partition).or_default().push((record.offset, value));
            });
            for partition in 0..partitions {
                let expected = self.committed.get(&(at, partition)).cloned().unwrap_or_default();
                let found = read.remove(&partition).unwrap_or_default();
                assert!(found.is_sorted_by_key(|(offset, _)| *offset), "{topic}-{partition}");
                let found: Vec<String> = found.into_iter().map(|(_, value)| value).collect();
                if let Some(n) =
                    (0..found.len().max(expected.len())).find(|n| found.get(*n) != expected.get(*n))
                {
                    panic!(
                        "{topic}-{partition}: record {n} is {:?} and should be {:?}; {} of {} records",
                        found.get(n),
                        expected.get(n),
                        found.len(),
                        expected.len()
                    );
                }
            }
        }
    }
}

/// Where a record goes: all partitions in turn.
fn place(n: u32) -> (usize, i32) {
    match (n % 6) as i32 {
        partition @ 0..4 => (0, partition),
        other => (1, other - 4),
    }
}
