//! What a transaction carries besides records: the offsets that a consumer has reached, and who the consumer is.
//!
//! Plain data: runs on any thread, takes no lock. Knows nothing of states and coordinators; the guard that begins and ends
//! transactions is in `api`, the state machine in `engine`. KIP-98, 320, 447.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::record::TopicPartition;

/// The next offset to read of one partition, as a consumer group keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OffsetAndMetadata {
    offset: i64,
    leader_epoch: Option<i32>,
    metadata: Option<Arc<str>>,
}

impl OffsetAndMetadata {
    /// `offset` is that of the next record to read: one more than that of the last record that was processed.
    pub fn new(offset: i64) -> Self {
        Self { offset, leader_epoch: None, metadata: None }
    }

    /// The epoch of the partition's leader at the last record read, with which a consumer notices a truncated log.
    #[must_use]
    pub fn with_leader_epoch(mut self, epoch: i32) -> Self {
        self.leader_epoch = Some(epoch);
        self
    }

    /// A note of the caller's own, kept with the offset. Brokers take 4,096 bytes unless told otherwise.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<Arc<str>>) -> Self {
        self.metadata = Some(metadata.into());
        self
    }

    /// The next offset to read.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// The leader's epoch, if it was given.
    pub fn leader_epoch(&self) -> Option<i32> {
        self.leader_epoch
    }

    /// The note, if there is one.
    pub fn metadata(&self) -> Option<&str> {
        self.metadata.as_deref()
    }
}

/// An offset without epoch and note.
impl From<i64> for OffsetAndMetadata {
    fn from(offset: i64) -> Self {
        Self::new(offset)
    }
}

/// How far a consumer has read, by partition: what [`send_offsets`](crate::Transaction::send_offsets) makes part of a
/// transaction. Ordered by topic and partition; a clone shares its content.
///
/// ```
/// use kafka_producer::{OffsetAndMetadata, Offsets, TopicPartition};
///
/// let mut offsets = Offsets::new().with("orders", 0, 42).with("orders", 1, OffsetAndMetadata::new(7).with_leader_epoch(3));
/// // The later one holds.
/// offsets.insert(TopicPartition::new("orders", 0), 43);
/// assert_eq!(offsets.to_string(), "orders-0@43, orders-1@7");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Offsets(Arc<BTreeMap<TopicPartition, OffsetAndMetadata>>);

impl Offsets {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next offset to read of a partition, in place of the one it had.
    #[must_use]
    pub fn with(
        mut self,
        topic: impl Into<Arc<str>>,
        partition: i32,
        offset: impl Into<OffsetAndMetadata>,
    ) -> Self {
        self.insert(TopicPartition::new(topic, partition), offset);
        self
    }

    /// Sets the next offset to read of a partition; returns the one it had.
    pub fn insert(
        &mut self,
        partition: TopicPartition,
        offset: impl Into<OffsetAndMetadata>,
    ) -> Option<OffsetAndMetadata> {
        Arc::make_mut(&mut self.0).insert(partition, offset.into())
    }

    /// What is set for a partition.
    pub fn get(&self, partition: &TopicPartition) -> Option<&OffsetAndMetadata> {
        self.0.get(partition)
    }

    /// All of them, by topic and partition.
    pub fn iter(&self) -> OffsetsIter<'_> {
        OffsetsIter(self.0.iter())
    }

    /// How many partitions there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a broker could only refuse.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |(tp, at): &(&TopicPartition, &OffsetAndMetadata)| {
            tp.topic.is_empty() || tp.partition < 0 || at.offset < 0
        };
        match self.0.iter().find(wrong) {
            None => Ok(()),
            Some((tp, at)) => Err(Error::new(
                ErrorKind::Misuse,
                format!(
                    "offset {} of {tp}: give a topic, a partition and the next offset to read, none negative",
                    at.offset
                ),
            )),
        }
    }
}

/// Goes through [`Offsets`] in the order of topics and partitions.
#[derive(Clone, Debug)]
pub struct OffsetsIter<'a>(btree_map::Iter<'a, TopicPartition, OffsetAndMetadata>);

impl<'a> Iterator for OffsetsIter<'a> {
    type Item = (&'a TopicPartition, &'a OffsetAndMetadata);
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for OffsetsIter<'_> {}

impl<'a> IntoIterator for &'a Offsets {
    type Item = (&'a TopicPartition, &'a OffsetAndMetadata);
    type IntoIter = OffsetsIter<'a>;
    fn into_iter(self) -> OffsetsIter<'a> {
        self.iter()
    }
}

impl<O: Into<OffsetAndMetadata>> Extend<(TopicPartition, O)> for Offsets {
    fn extend<I: IntoIterator<Item = (TopicPartition, O)>>(&mut self, offsets: I) {
        let all = offsets.into_iter().map(|(partition, offset)| (partition, offset.into()));
        Arc::make_mut(&mut self.0).extend(all);
    }
}

impl<O: Into<OffsetAndMetadata>> FromIterator<(TopicPartition, O)> for Offsets {
    fn from_iter<I: IntoIterator<Item = (TopicPartition, O)>>(offsets: I) -> Self {
        let mut all = Self::new();
        all.extend(offsets);
        all
    }
}

impl fmt::Display for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (partition, at)) in self.iter().enumerate() {
            write!(f, "{}{partition}@{}", if n == 0 { "" } else { ", " }, at.offset)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The consumer whose offsets a transaction carries: its group, and which member of which generation of it.
///
/// With the member and its generation the group's coordinator refuses the offsets of a consumer that has lost its
/// partitions to another one meanwhile (KIP-447). Without them (a consumer that assigns partitions to itself) only the
/// transactional id protects against a second copy of the program.
///
/// ```
/// use kafka_producer::ConsumerGroupMetadata;
///
/// let group = ConsumerGroupMetadata::new("billing").member("consumer-1-5f0c", 12);
/// assert_eq!((group.group_id(), group.generation_id()), ("billing", Some(12)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerGroupMetadata {
    group_id: Arc<str>,
    member: Option<(Arc<str>, i32)>,
    group_instance_id: Option<Arc<str>>,
}

impl ConsumerGroupMetadata {
    /// A group whose members assign partitions to themselves.
    pub fn new(group_id: impl Into<Arc<str>>) -> Self {
        Self { group_id: group_id.into(), member: None, group_instance_id: None }
    }

    /// The id that the group's coordinator gave to the consumer, and the generation (in new groups: the member's epoch) in
    /// which it got its partitions.
    #[must_use]
    pub fn member(mut self, member_id: impl Into<Arc<str>>, generation_id: i32) -> Self {
        self.member = Some((member_id.into(), generation_id));
        self
    }

    /// The consumer's `group.instance.id`, if it is a static member.
    #[must_use]
    pub fn static_member(mut self, group_instance_id: impl Into<Arc<str>>) -> Self {
        self.group_instance_id = Some(group_instance_id.into());
        self
    }

    /// The group.
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    /// The member, if it was given.
    pub fn member_id(&self) -> Option<&str> {
        self.member.as_ref().map(|(id, _)| &**id)
    }

    /// The member's generation, if it was given.
    pub fn generation_id(&self) -> Option<i32> {
        self.member.as_ref().map(|(_, generation)| *generation)
    }

    /// The static member's name, if it was given.
    pub fn group_instance_id(&self) -> Option<&str> {
        self.group_instance_id.as_deref()
    }

    /// What a broker could only refuse.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let problem = if self.group_id.is_empty() {
            "the group id is empty; give the group.id of the consumer whose offsets these are"
        } else if matches!(&self.member, Some((id, generation)) if id.is_empty() && *generation >= 0) {
            "a generation without a member id; give both as the consumer has them, or neither"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Misuse, format!("send_offsets_to_transaction(): {problem}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_a_partition_holds_and_clones_go_their_own_ways() {
        let first = Offsets::new().with("b", 1, 5).with("a", 9, 1).with("b", 1, 6);
        let mut second = first.clone();
        assert_eq!(second.insert(TopicPartition::new("b", 1), 7).map(|o| o.offset()), Some(6));
        assert_eq!((first.to_string(), second.to_string()), ("a-9@1, b-1@6".into(), "a-9@1, b-1@7".into()));
        let all: Offsets = second.iter().map(|(tp, at)| (tp.clone(), at.clone())).collect();
        assert_eq!(all, second);
        assert_eq!((all.len(), all.is_empty(), all.iter().len()), (2, false, 2));
    }

    #[test]
    fn what_no_broker_takes_is_refused_at_once() {
        assert!(Offsets::new().with("t", 0, 0).check().is_ok());
        for wrong in
            [Offsets::new().with("t", 0, -1), Offsets::new().with("t", -1, 0), Offsets::new().with("", 0, 0)]
        {
            assert_eq!(wrong.check().expect_err("refused").kind(), ErrorKind::Misuse, "{wrong}");
        }
        let group = ConsumerGroupMetadata::new;
        assert!(group("g").check().is_ok());
        assert!(group("g").member("m", 3).static_member("i").check().is_ok());
        // What Java's consumer says of itself while it is no member of the group.
        assert!(group("g").member("", -1).check().is_ok());
        assert!(group("").check().is_err());
        assert!(group("g").member("", 3).check().is_err());
    }
}
