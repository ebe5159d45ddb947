//! Produce without its structs: the hot path of the sender, and of the mock cluster when it discards records.
//!
//! Owns: streaming encoders that announce counts and then write topic by topic, partition by partition, and walkers
//! that yield borrowed partitions; none of them allocates beyond the [`Writer`]. They write and read exactly what the
//! structs of [`super::produce`] do, for every version. Runs on any thread, takes no lock. Must not know: batches,
//! connections. KIP-467, 516, 951.

mod request;
mod response;
mod walk;

pub use request::{ProduceHead, ProduceRequestWalker, ProduceRequestWriter, ProducedPartition};
pub use response::{PartitionAnswer, ProduceResponseWriter};
pub use walk::{
    CurrentLeader, NodeEndpointRef, NodeEndpoints, PartitionOutcome, ProduceResponseWalker, ProduceTail,
    RecordErrors,
};

use super::Request;
use super::produce::ProduceRequest;
use crate::protocol::wire::{DecodeError, DecodeErrorKind, EncodeError, Reader, Writer};

/// From here on, requests and responses name topics by id.
const TOPIC_IDS_FROM: i16 = 13;

/// What a version decides about the layout.
#[derive(Clone, Copy, Debug)]
struct Version(i16);

impl Version {
    fn is_known(self) -> bool {
        ProduceRequest::VERSIONS.contains(&self.0)
    }

    #[inline]
    fn flexible(self) -> bool {
        ProduceRequest::FLEXIBLE_FROM.is_some_and(|from| self.0 >= from)
    }

    /// The least that a partition of a request takes: index, length, tags.
    #[inline]
    fn min_request_partition(self) -> usize {
        if self.flexible() { 4 + 1 + 1 } else { 4 + 4 }
    }

    /// The least that a partition of a response takes.
    #[inline]
    fn min_response_partition(self) -> usize {
        let log_start = if self.0 >= 5 { 8 } else { 0 };
        let errors = match (self.0 >= 8, self.flexible()) {
            (false, _) => 0,
            (true, false) => 4 + 2,
            (true, true) => 1 + 1 + 1,
        };
        4 + 2 + 8 + 8 + log_start + errors
    }

    /// The least that a topic takes: name or id, partition count, tags.
    #[inline]
    fn min_topic(self) -> usize {
        match (self.flexible(), self.0 >= TOPIC_IDS_FROM) {
            (false, _) => 2 + 4,
            (true, false) => 1 + 1 + 1,
            (true, true) => 16 + 1 + 1,
        }
    }

    #[inline]
    fn put_topic(self, w: &mut Writer, name: &str, id: &[u8; 16]) -> Result<(), EncodeError> {
        if self.0 >= TOPIC_IDS_FROM {
            w.uuid(id);
            Ok(())
        } else {
            w.string(name, self.flexible())
        }
    }

    #[inline]
    fn topic<'a>(self, r: &mut Reader<'a>) -> Result<TopicRef<'a>, DecodeError> {
        if self.0 >= TOPIC_IDS_FROM {
            r.uuid().map(TopicRef::Id)
        } else {
            r.string(self.flexible()).map(TopicRef::Name)
        }
    }
}

/// A topic as the version names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TopicRef<'a> {
    /// By name, up to version 12.
    Name(&'a str),
    /// By id, from version 13 on.
    Id([u8; 16]),
}

/// Counts down what was announced, so that a frame with a wrong count cannot leave.
#[derive(Debug)]
struct Announced {
    topics: usize,
    partitions: usize,
    in_topic: bool,
}

impl Announced {
    fn topic(&mut self, partitions: usize) -> Result<(), EncodeError> {
        if self.in_topic || self.topics == 0 {
            return Err(EncodeError::Miscounted);
        }
        *self = Self { topics: self.topics - 1, partitions, in_topic: true };
        Ok(())
    }

    #[inline]
    fn partition(&mut self) -> Result<(), EncodeError> {
        self.partitions = self.partitions.checked_sub(1).ok_or(EncodeError::Miscounted)?;
        Ok(())
    }

    fn end_topic(&mut self) -> Result<(), EncodeError> {
        if !self.in_topic || self.partitions > 0 {
            return Err(EncodeError::Miscounted);
        }
        self.in_topic = false;
        Ok(())
    }

    fn finish(&self) -> Result<(), EncodeError> {
        if self.in_topic || self.topics > 0 { Err(EncodeError::Miscounted) } else { Ok(()) }
    }
}

fn check_encode(version: i16, message: &'static str) -> Result<Version, EncodeError> {
    let known = Version(version).is_known();
    known.then_some(Version(version)).ok_or(EncodeError::UnsupportedVersion { message, version })
}

/// Where a walker is in the two nested arrays that requests and responses share.
#[derive(Clone, Debug)]
struct Walk<'a> {
    r: Reader<'a>,
    version: Version,
    topics_left: usize,
    partitions_left: usize,
    /// `None` before the first topic, and after the last.
    topic: Option<TopicRef<'a>>,
}

impl<'a> Walk<'a> {
    /// The topic of the next partition; `None` behind the last one. Steps over the ends of topics.
    #[inline]
    fn next_topic(&mut self, min_partition: usize) -> Result<Option<TopicRef<'a>>, DecodeError> {
        let flexible = self.version.flexible();
        while self.partitions_left == 0 {
            if self.topic.take().is_some() && flexible {
                self.r.skip_tagged_fields()?;
            }
            if self.topics_left == 0 {
                return Ok(None);
            }
            self.topics_left -= 1;
            let topic = self.version.topic(&mut self.r)?;
            self.partitions_left = self.r.array_len(flexible, min_partition)?;
            self.topic = Some(topic);
        }
        self.partitions_left -= 1;
        Ok(self.topic)
    }
}

fn check_decode(version: i16, r: &Reader<'_>) -> Result<Version, DecodeError> {
    let known = Version(version).is_known();
    known.then_some(Version(version)).ok_or_else(|| r.error(DecodeErrorKind::UnsupportedVersion))
}
