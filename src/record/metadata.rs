//! What is known of a record that was acknowledged.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::clock;

/// Where an acknowledged record stands. Prints as `topic-partition@offset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) offset: Option<i64>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) key_size: Option<u32>,
    pub(crate) value_size: Option<u32>,
}

impl RecordMetadata {
    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The offset; `None` with acks=0, and where a broker confirmed a duplicate without saying where it stands.
    pub fn offset(&self) -> Option<i64> {
        self.offset
    }

    /// The record's timestamp: the broker's where the topic uses LogAppendTime, else the producer's.
    pub fn timestamp(&self) -> Option<SystemTime> {
        self.timestamp.and_then(clock::from_millis)
    }

    /// The same in milliseconds since the Unix epoch.
    pub fn timestamp_millis(&self) -> Option<i64> {
        self.timestamp
    }

    /// Bytes of the serialized key; `None` if the key was null.
    pub fn serialized_key_size(&self) -> Option<usize> {
        self.key_size.map(|n| n as usize)
    }

    /// Bytes of the serialized value; `None` if the value was null.
    pub fn serialized_value_size(&self) -> Option<usize> {
        self.value_size.map(|n| n as usize)
    }
}

impl fmt::Display for RecordMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}@", self.topic, self.partition)?;
        match self.offset {
            Some(offset) => write!(f, "{offset}"),
            None => f.write_str("?"),
        }
    }
}
