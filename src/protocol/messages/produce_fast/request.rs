//! The produce request, streamed out and walked over.
//!
//! Runs on the sender (writer) and in the mock (walker), takes no lock; see the parent module.

use super::{Announced, TopicRef, Version, Walk, check_decode, check_encode};
use crate::protocol::messages::{Message, ProduceRequest};
use crate::protocol::wire::{DecodeError, EncodeError, Reader, Writer};

/// What stands before the topics of a produce request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceHead<'a> {
    /// The transactional id, or `None` outside transactions.
    pub transactional_id: Option<&'a str>,
    /// 0: no answer; 1: the leader has it; -1: all in-sync replicas have it.
    pub acks: i16,
    /// How long the broker may wait for replicas, in milliseconds.
    pub timeout_ms: i32,
}

/// Writes a produce request whose records are held elsewhere: [`Writer::splice`] notes their places.
///
/// Call [`topic`](Self::topic), then [`partition`](Self::partition) as often as announced, then
/// [`end_topic`](Self::end_topic), for each topic announced; then [`finish`](Self::finish).
#[derive(Debug)]
#[must_use = "a request without its end is not a request"]
pub struct ProduceRequestWriter<'w> {
    w: &'w mut Writer,
    version: Version,
    announced: Announced,
}

impl<'w> ProduceRequestWriter<'w> {
    /// Begins the body of a request, behind its header.
    ///
    /// # Errors
    /// The version is unknown or the transactional id too long.
    pub fn begin(
        w: &'w mut Writer,
        version: i16,
        head: &ProduceHead<'_>,
        topic_count: usize,
    ) -> Result<Self, EncodeError> {
        let version = check_encode(version, ProduceRequest::NAME)?;
        w.nullable_string(head.transactional_id, version.flexible())?;
        w.i16(head.acks);
        w.i32(head.timeout_ms);
        w.length(Some(topic_count), version.flexible())?;
        Ok(Self { w, version, announced: Announced { topics: topic_count, partitions: 0, in_topic: false } })
    }

    /// Begins a topic. The version decides whether `name` or `id` is written.
    ///
    /// # Errors
    /// One topic more than announced, the last one not ended, or a name that is too long.
    pub fn topic(&mut self, name: &str, id: &[u8; 16], partition_count: usize) -> Result<(), EncodeError> {
        self.announced.topic(partition_count)?;
        self.version.put_topic(self.w, name, id)?;
        self.w.length(Some(partition_count), self.version.flexible())
    }

    /// Writes a partition, whose batch of `records_len` bytes belongs where the writer now notes it.
    ///
    /// # Errors
    /// One partition more than announced, or 2 GiB of records.
    #[inline]
    pub fn partition(&mut self, index: i32, records_len: usize) -> Result<(), EncodeError> {
        self.announced.partition()?;
        let flexible = self.version.flexible();
        self.w.i32(index);
        self.w.length(Some(records_len), flexible)?;
        self.w.splice(records_len);
        self.w.no_tagged_fields(flexible);
        Ok(())
    }

    /// Ends the topic.
    ///
    /// # Errors
    /// Fewer partitions than announced.
    pub fn end_topic(&mut self) -> Result<(), EncodeError> {
        self.announced.end_topic()?;
        self.w.no_tagged_fields(self.version.flexible());
        Ok(())
    }

    /// Ends the request.
    ///
    /// # Errors
    /// Fewer topics than announced.
    pub fn finish(self) -> Result<(), EncodeError> {
        self.announced.finish()?;
        self.w.no_tagged_fields(self.version.flexible());
        Ok(())
    }
}

/// One partition of a produce request, borrowed from the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducedPartition<'a> {
    /// The topic.
    pub topic: TopicRef<'a>,
    /// The partition.
    pub index: i32,
    /// The record batch.
    pub records: Option<&'a [u8]>,
}

/// Walks over the partitions of a produce request without allocating. After an error, and at the end, it yields
/// nothing more; the request was read to its end only if no error came.
#[derive(Clone, Debug)]
pub struct ProduceRequestWalker<'a> {
    head: ProduceHead<'a>,
    walk: Walk<'a>,
    done: bool,
}

impl<'a> ProduceRequestWalker<'a> {
    /// Begins at the body of a request, behind its header.
    ///
    /// # Errors
    /// The version is unknown, or what precedes the topics is not that of a produce request.
    pub fn new(mut r: Reader<'a>, version: i16) -> Result<Self, DecodeError> {
        let version = check_decode(version, &r)?;
        let flexible = version.flexible();
        let transactional_id = r.nullable_string(flexible)?;
        let head = ProduceHead { transactional_id, acks: r.i16()?, timeout_ms: r.i32()? };
        let topics_left = r.array_len(flexible, version.min_topic())?;
        let walk = Walk { r, version, topics_left, partitions_left: 0, topic: None };
        Ok(Self { head, walk, done: false })
    }

    /// What stands before the topics.
    pub fn head(&self) -> ProduceHead<'a> {
        self.head
    }

    /// What has not been read; behind the last partition, what follows the request.
    pub fn reader(&self) -> Reader<'a> {
        self.walk.r
    }

    #[inline]
    fn step(&mut self) -> Result<Option<ProducedPartition<'a>>, DecodeError> {
        let Walk { version, .. } = self.walk;
        let flexible = version.flexible();
        let topic = self.walk.next_topic(version.min_request_partition())?;
        let r = &mut self.walk.r;
        let Some(topic) = topic else {
            if flexible {
                r.skip_tagged_fields()?;
            }
            return Ok(None);
        };
        let index = r.i32()?;
        let records = r.nullable_bytes(flexible)?;
        if flexible {
            r.skip_tagged_fields()?;
        }
        Ok(Some(ProducedPartition { topic, index, records }))
    }
}

impl<'a> Iterator for ProduceRequestWalker<'a> {
    type Item = Result<ProducedPartition<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step().transpose();
        self.done = !matches!(step, Some(Ok(_)));
        step
    }
}
