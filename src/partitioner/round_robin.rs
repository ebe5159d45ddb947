//! One partition after the other.
//!
//! One counter per topic, behind a lock that is only written when a topic is new: a leaf, held for a look-up.

use std::collections::HashMap;

use super::{Choice, KeyedRecord, Partitioner, TopicView};
use crate::error::BoxError;
use crate::sync::RwLock;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Gives each record of a topic to the next partition, whatever its key, as Java's `RoundRobinPartitioner`; partitions
/// without a leader are passed over while another has one.
///
/// Each partition gets the same number of records, within one. (Java's skips a partition whenever a batch is begun,
/// KAFKA-9965, and can leave half of them empty.) Batches are small: every record goes elsewhere than the last, so
/// prefer the default unless the number of records must be even.
#[derive(Debug, Default)]
pub struct RoundRobin {
    /// By topic: how many partitions were handed out.
    topics: RwLock<HashMap<Box<str>, AtomicUsize>>,
}

impl RoundRobin {
    /// Starts with partition 0 in every topic.
    pub fn new() -> Self {
        Self::default()
    }

    fn next(&self, topic: &str) -> usize {
        if let Some(turn) = self.topics.read().get(topic) {
            return turn.fetch_add(1, Ordering::Relaxed);
        }
        let mut topics = self.topics.write();
        topics.entry(topic.into()).or_default().fetch_add(1, Ordering::Relaxed)
    }
}

impl Partitioner for RoundRobin {
    fn partition(&self, record: &KeyedRecord<'_>, topic: &TopicView<'_>) -> Result<Choice, BoxError> {
        let partitions = topic.partitions();
        let count = partitions.len().max(1);
        let first = self.next(record.topic) % count;
        // Whoever meets a partition without a leader takes the next turn: taking its neighbour instead would give the
        // neighbour twice as much.
        let mut turn = first;
        for _ in 0..count {
            if partitions.get(turn).is_some_and(|p| p.leader.is_some()) {
                return Ok(Choice::Exact(number(turn)));
            }
            turn = self.next(record.topic) % count;
        }
        Ok(Choice::Exact(number(first)))
    }
}

fn number(turn: usize) -> i32 {
    i32::try_from(turn).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partitioner::PartitionInfo;

    fn counts(partitioner: &RoundRobin, infos: &[PartitionInfo], records: usize) -> Vec<usize> {
        let mut counts = vec![0; infos.len()];
        for n in 0..records {
            let key = n.to_be_bytes();
            let record = KeyedRecord::new("t", Some(&key), None);
            match partitioner.partition(&record, &TopicView::new(infos)).unwrap() {
                Choice::Exact(partition) => counts[partition as usize] += 1,
                Choice::Sticky => panic!("round robin is exact"),
            }
        }
        counts
    }

    #[test]
    fn each_partition_gets_the_same_within_one() {
        let infos: Vec<_> = (0..7).map(|n| PartitionInfo::new(n, Some(1))).collect();
        let counts = counts(&RoundRobin::new(), &infos, 1000);
        assert!(counts.iter().all(|n| (142..=143).contains(n)), "{counts:?}");
    }

    #[test]
    fn partitions_without_a_leader_get_nothing_and_the_others_the_same() {
        let infos: Vec<_> = (0..5).map(|n| PartitionInfo::new(n, (n != 1 && n != 2).then_some(n))).collect();
        assert_eq!(counts(&RoundRobin::new(), &infos, 300), [100, 0, 0, 100, 100]);
        let infos: Vec<_> = (0..3).map(|n| PartitionInfo::new(n, None)).collect();
        assert_eq!(counts(&RoundRobin::new(), &infos, 30).iter().sum::<usize>(), 30);
    }

    #[test]
    fn topics_have_turns_of_their_own() {
        let infos: Vec<_> = (0..2).map(|n| PartitionInfo::new(n, Some(1))).collect();
        let partitioner = RoundRobin::new();
        let view = TopicView::new(&infos);
        let place = |topic| partitioner.partition(&KeyedRecord::new(topic, None, None), &view).unwrap();
        assert_eq!([place("a"), place("b"), place("a"), place("b")], [0, 0, 1, 1].map(Choice::Exact));
    }
}
