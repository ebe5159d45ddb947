//! The produce response, walked over.
//!
//! Runs on the sender, takes no lock; see the parent module.

use super::{TopicRef, Walk, check_decode};
use crate::protocol::ErrorCode;
use crate::protocol::wire::{DecodeError, Reader};

/// A partition's leader as the broker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentLeader {
    /// The leader's node id; -1 if unknown.
    pub leader_id: i32,
    /// The leader's epoch; -1 if unknown.
    pub leader_epoch: i32,
}

impl CurrentLeader {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let leader = Self { leader_id: r.i32()?, leader_epoch: r.i32()? };
        r.skip_tagged_fields()?;
        Ok(leader)
    }
}

/// One partition of a produce response, borrowed from the frame.
#[derive(Clone, Debug)]
pub struct PartitionOutcome<'a> {
    /// The topic.
    pub topic: TopicRef<'a>,
    /// The partition.
    pub index: i32,
    /// Whether the batch was appended.
    pub error_code: ErrorCode,
    /// The offset of the batch's first record; -1 if unknown.
    pub base_offset: i64,
    /// The broker's clock in milliseconds if the topic uses LogAppendTime, else -1.
    pub log_append_time_ms: i64,
    /// The partition's first offset; -1 if unknown.
    pub log_start_offset: i64,
    /// The records for which the broker refused the batch.
    pub record_errors: RecordErrors<'a>,
    /// Why the batch was refused.
    pub error_message: Option<&'a str>,
    /// The leader to ask instead, if the answer names one.
    pub current_leader: Option<CurrentLeader>,
}

/// A borrowed array whose bytes were checked when it was read, so that walking it again cannot fail.
#[derive(Clone, Copy, Debug)]
struct Checked<'a> {
    r: Reader<'a>,
    left: usize,
    flexible: bool,
}

impl<'a> Checked<'a> {
    const EMPTY: Self = Self { r: Reader::new(&[]), left: 0, flexible: false };

    /// Reads an array by reading each element once with `element`, and keeps where it was.
    fn read<T>(
        r: &mut Reader<'a>,
        flexible: bool,
        min_size: usize,
        element: impl Fn(&mut Reader<'a>, bool) -> Result<T, DecodeError>,
    ) -> Result<Self, DecodeError> {
        let left = r.array_len(flexible, min_size)?;
        let array = Self { r: *r, left, flexible };
        for _ in 0..left {
            element(r, flexible)?;
        }
        Ok(array)
    }

    #[inline]
    fn next<T>(&mut self, element: impl Fn(&mut Reader<'a>, bool) -> Result<T, DecodeError>) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        element(&mut self.r, self.flexible).ok()
    }
}

/// The records for which a batch was refused: place in the batch, and why.
#[derive(Clone, Copy, Debug)]
pub struct RecordErrors<'a>(Checked<'a>);

impl<'a> RecordErrors<'a> {
    fn element(r: &mut Reader<'a>, flexible: bool) -> Result<(i32, Option<&'a str>), DecodeError> {
        let error = (r.i32()?, r.nullable_string(flexible)?);
        if flexible {
            r.skip_tagged_fields()?;
        }
        Ok(error)
    }

    fn read(r: &mut Reader<'a>, flexible: bool) -> Result<Self, DecodeError> {
        Checked::read(r, flexible, 4 + 1, Self::element).map(Self)
    }
}

impl<'a> Iterator for RecordErrors<'a> {
    type Item = (i32, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(Self::element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.left, Some(self.0.left))
    }
}

impl ExactSizeIterator for RecordErrors<'_> {}

/// A broker's address, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeEndpointRef<'a> {
    /// The broker's node id.
    pub node_id: i32,
    /// Its host name.
    pub host: &'a str,
    /// Its port.
    pub port: i32,
    /// Its rack, if set.
    pub rack: Option<&'a str>,
}

/// Where the leaders named in a response live.
#[derive(Clone, Copy, Debug)]
pub struct NodeEndpoints<'a>(Checked<'a>);

impl<'a> NodeEndpoints<'a> {
    fn element(r: &mut Reader<'a>, flexible: bool) -> Result<NodeEndpointRef<'a>, DecodeError> {
        let node = NodeEndpointRef {
            node_id: r.i32()?,
            host: r.string(flexible)?,
            port: r.i32()?,
            rack: r.nullable_string(flexible)?,
        };
        r.skip_tagged_fields()?;
        Ok(node)
    }
}

impl<'a> Iterator for NodeEndpoints<'a> {
    type Item = NodeEndpointRef<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(Self::element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.left, Some(self.0.left))
    }
}

impl ExactSizeIterator for NodeEndpoints<'_> {}

/// What stands behind the topics of a produce response.
#[derive(Clone, Copy, Debug)]
pub struct ProduceTail<'a> {
    /// For how long a quota delayed the request, in milliseconds.
    pub throttle_time_ms: i32,
    /// Where the leaders named in the partitions' `current_leader` live.
    pub node_endpoints: NodeEndpoints<'a>,
}

/// Walks over the partitions of a produce response without allocating. After an error, and at the end, it yields
/// nothing more; [`tail`](Self::tail) is there only if the end was reached.
#[derive(Clone, Debug)]
pub struct ProduceResponseWalker<'a> {
    walk: Walk<'a>,
    tail: Option<ProduceTail<'a>>,
    done: bool,
}

impl<'a> ProduceResponseWalker<'a> {
    /// Begins at the body of a response, behind its header.
    ///
    /// # Errors
    /// The version is unknown, or there is no array of topics.
    pub fn new(mut r: Reader<'a>, version: i16) -> Result<Self, DecodeError> {
        let version = check_decode(version, &r)?;
        let topics_left = r.array_len(version.flexible(), version.min_topic())?;
        let walk = Walk { r, version, topics_left, partitions_left: 0, topic: None };
        Ok(Self { walk, tail: None, done: false })
    }

    /// What stands behind the topics, once all partitions were walked over without an error.
    pub fn tail(&self) -> Option<ProduceTail<'a>> {
        self.tail
    }

    /// What has not been read; behind the last partition, what follows the response.
    pub fn reader(&self) -> Reader<'a> {
        self.walk.r
    }

    #[inline]
    fn step(&mut self) -> Result<Option<PartitionOutcome<'a>>, DecodeError> {
        let Walk { version, .. } = self.walk;
        match self.walk.next_topic(version.min_response_partition())? {
            Some(topic) => self.partition(topic).map(Some),
            None => {
                self.tail = Some(self.read_tail()?);
                Ok(None)
            }
        }
    }

    #[inline]
    fn partition(&mut self, topic: TopicRef<'a>) -> Result<PartitionOutcome<'a>, DecodeError> {
        let Walk { r, version, .. } = &mut self.walk;
        let flexible = version.flexible();
        let mut outcome = PartitionOutcome {
            topic,
            index: r.i32()?,
            error_code: ErrorCode(r.i16()?),
            base_offset: r.i64()?,
            log_append_time_ms: r.i64()?,
            log_start_offset: if version.0 >= 5 { r.i64()? } else { -1 },
            record_errors: RecordErrors(Checked::EMPTY),
            error_message: None,
            current_leader: None,
        };
        if version.0 >= 8 {
            outcome.record_errors = RecordErrors::read(r, flexible)?;
            outcome.error_message = r.nullable_string(flexible)?;
        }
        if flexible {
            r.tagged_fields(|tag, r| {
                if tag != 0 || version.0 < 10 {
                    return Ok(false);
                }
                outcome.current_leader = Some(CurrentLeader::read(r)?);
                Ok(true)
            })?;
        }
        Ok(outcome)
    }

    fn read_tail(&mut self) -> Result<ProduceTail<'a>, DecodeError> {
        let Walk { r, version, .. } = &mut self.walk;
        let mut tail =
            ProduceTail { throttle_time_ms: r.i32()?, node_endpoints: NodeEndpoints(Checked::EMPTY) };
        if version.flexible() {
            r.tagged_fields(|tag, r| {
                if tag != 0 || version.0 < 10 {
                    return Ok(false);
                }
                let nodes = Checked::read(r, true, 4 + 1 + 4 + 1 + 1, NodeEndpoints::element)?;
                tail.node_endpoints = NodeEndpoints(nodes);
                Ok(true)
            })?;
        }
        Ok(tail)
    }
}

impl<'a> Iterator for ProduceResponseWalker<'a> {
    type Item = Result<PartitionOutcome<'a>, DecodeError>;

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
