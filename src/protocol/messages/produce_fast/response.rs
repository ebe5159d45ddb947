//! The produce response, streamed out.
//!
//! Runs in the mock, takes no lock; see the parent module.

use super::{Announced, CurrentLeader, NodeEndpointRef, TOPIC_IDS_FROM, TopicRef, Version, check_encode};
use crate::protocol::ErrorCode;
use crate::protocol::messages::{Message, ProduceResponse};
use crate::protocol::wire::{EncodeError, Writer};

/// The outcome of one partition, to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionAnswer<'a> {
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
    /// Why the batch was refused.
    pub error_message: Option<&'a str>,
    /// The leader to ask instead; dropped by versions below 10.
    pub current_leader: Option<CurrentLeader>,
}

/// Writes a produce response partition by partition, without per-record errors. The order of calls is that of
/// [`super::ProduceRequestWriter`].
#[derive(Debug)]
#[must_use = "a response without its end is not a response"]
pub struct ProduceResponseWriter<'w> {
    w: &'w mut Writer,
    version: Version,
    announced: Announced,
}

impl<'w> ProduceResponseWriter<'w> {
    /// Begins the body of a response, behind its header.
    ///
    /// # Errors
    /// The version is unknown.
    pub fn begin(w: &'w mut Writer, version: i16, topic_count: usize) -> Result<Self, EncodeError> {
        let version = check_encode(version, ProduceResponse::NAME)?;
        w.length(Some(topic_count), version.flexible())?;
        Ok(Self { w, version, announced: Announced { topics: topic_count, partitions: 0, in_topic: false } })
    }

    /// Begins a topic, named as the request named it.
    ///
    /// # Errors
    /// One topic more than announced, the last one not ended, a name that is too long, or an id where the version takes
    /// a name, or the other way round.
    pub fn topic(&mut self, topic: TopicRef<'_>, partition_count: usize) -> Result<(), EncodeError> {
        self.announced.topic(partition_count)?;
        let by_id = self.version.0 >= TOPIC_IDS_FROM;
        match topic {
            TopicRef::Id(id) if by_id => self.version.put_topic(self.w, "", &id)?,
            TopicRef::Name(name) if !by_id => self.version.put_topic(self.w, name, &[0; 16])?,
            _ => {
                let field = if by_id { "TopicProduceResponse.name" } else { "TopicProduceResponse.topic_id" };
                return Err(EncodeError::FieldNotInVersion { field, version: self.version.0 });
            }
        }
        self.w.length(Some(partition_count), self.version.flexible())
    }

    /// Writes a partition.
    ///
    /// # Errors
    /// One partition more than announced, or a message that is too long.
    #[inline]
    pub fn partition(&mut self, answer: &PartitionAnswer<'_>) -> Result<(), EncodeError> {
        self.announced.partition()?;
        let (w, version, flexible) = (&mut *self.w, self.version.0, self.version.flexible());
        w.i32(answer.index);
        w.i16(answer.error_code.0);
        w.i64(answer.base_offset);
        w.i64(answer.log_append_time_ms);
        if version >= 5 {
            w.i64(answer.log_start_offset);
        }
        if version >= 8 {
            w.length(Some(0), flexible)?;
            w.nullable_string(answer.error_message, flexible)?;
        }
        match answer.current_leader {
            Some(leader) if version >= 10 => {
                w.uvarint(1);
                w.tagged_field(0, |w| {
                    w.i32(leader.leader_id);
                    w.i32(leader.leader_epoch);
                    w.no_tagged_fields(true);
                    Ok(())
                })
            }
            _ => {
                w.no_tagged_fields(flexible);
                Ok(())
            }
        }
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

    /// Ends the response. `node_endpoints` are dropped by versions below 10.
    ///
    /// # Errors
    /// Fewer topics than announced, or a host name that is too long.
    pub fn finish(
        self,
        throttle_time_ms: i32,
        node_endpoints: &[NodeEndpointRef<'_>],
    ) -> Result<(), EncodeError> {
        self.announced.finish()?;
        self.w.i32(throttle_time_ms);
        if self.version.0 < 10 || node_endpoints.is_empty() {
            self.w.no_tagged_fields(self.version.flexible());
            return Ok(());
        }
        self.w.uvarint(1);
        self.w.tagged_field(0, |w| {
            w.length(Some(node_endpoints.len()), true)?;
            node_endpoints.iter().try_for_each(|node| {
                w.i32(node.node_id);
                w.string(node.host, true)?;
                w.i32(node.port);
                w.nullable_string(node.rack, true)?;
                w.no_tagged_fields(true);
                Ok(())
            })
        })
    }
}
