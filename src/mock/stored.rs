//! Batches as they lie in a log, and what read-back shows of them.
//!
//! Plain data; no lock, no clock. Raw bytes are kept as a broker keeps them - offset and leader epoch written over the
//! producer's - so that they can be served to consumers and compared byte for byte.

use super::coordinator::Identity;
use super::log::{AppendRules, MAX_DECOMPRESSED};
use super::producer_state::Stamp;
use crate::protocol::record::checksum;
use crate::protocol::record::{
    BatchAttributes, BatchHeader, CompressionType, ProducerStamp, RecordBatchView, TimestampType,
};
use std::fmt;

/// One record read back from a [`MockCluster`](super::MockCluster). Printed for debugging, its bytes are text where they can
/// be.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredRecord {
    /// Its offset in the partition.
    pub offset: i64,
    /// Milliseconds since 1970: the producer's, or the broker's if the topic says `LogAppendTime`.
    pub timestamp: i64,
    /// The key, if it has one.
    pub key: Option<Vec<u8>>,
    /// The value, if it has one.
    pub value: Option<Vec<u8>>,
    /// Header names and values in order; names may repeat.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The idempotent producer that wrote it; `None` without idempotence.
    pub producer_id: Option<i64>,
    /// That producer's epoch; `None` without idempotence.
    pub producer_epoch: Option<i16>,
    /// The record's own sequence number; `None` without idempotence.
    pub sequence: Option<i32>,
    /// Whether it was written in a transaction.
    pub transactional: bool,
}

impl fmt::Debug for StoredRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name, Text::of(value))).collect();
        f.debug_struct("StoredRecord")
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp)
            .field("key", &Text::of(&self.key))
            .field("value", &Text::of(&self.value))
            .field("headers", &headers)
            .field("producer_id", &self.producer_id)
            .field("producer_epoch", &self.producer_epoch)
            .field("sequence", &self.sequence)
            .field("transactional", &self.transactional)
            .finish()
    }
}

/// Bytes as Rust would write them, the first of many.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn of(bytes: &'a Option<Vec<u8>>) -> Option<Self> {
        bytes.as_deref().map(Self)
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 200;
        match self.0.split_at_checked(SHOWN) {
            Some((shown, rest)) if !rest.is_empty() => {
                write!(f, "b\"{}\" and {} bytes more", shown.escape_ascii(), rest.len())
            }
            _ => write!(f, "b\"{}\"", self.0.escape_ascii()),
        }
    }
}

/// One record batch read back from a [`MockCluster`](super::MockCluster).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchInfo {
    /// The first record's offset.
    pub base_offset: i64,
    /// The last record's offset.
    pub last_offset: i64,
    /// How many records it holds; none if it is a marker.
    pub record_count: usize,
    /// How its body is compressed.
    pub compression: CompressionType,
    /// The idempotent producer that wrote it, and the first record's sequence; `None` without idempotence.
    pub producer: Option<ProducerStamp>,
    /// Whether it is part of a transaction, or the marker that ends one.
    pub transactional: bool,
    /// Set if it is no batch of records, but the end of its producer's transaction.
    pub marker: Option<Marker>,
    /// The batch as it lies in the log, header and body.
    pub bytes: Vec<u8>,
}

/// How a transaction ended, as its coordinator notes it in each partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// Its records count.
    Commit,
    /// Readers of committed records skip its records.
    Abort,
}

#[derive(Debug)]
pub(super) struct StoredBatch {
    base_offset: i64,
    last_offset: i64,
    bytes: Vec<u8>,
}

const LEADER_EPOCH_AT: usize = 12;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;
const LOG_APPEND_TIME_BIT: u8 = 1 << 3;
/// Where in a marker's body the low byte of its type is.
const MARKER_TYPE_AT: usize = 8;

impl StoredBatch {
    /// Takes a batch that has been judged; `records` is at least one.
    pub(super) fn new(bytes: &[u8], base_offset: i64, records: i64, rules: &AppendRules) -> Self {
        let mut bytes = bytes.to_vec();
        overwrite(&mut bytes, 0, &base_offset.to_be_bytes());
        overwrite(&mut bytes, LEADER_EPOCH_AT, &rules.leader_epoch.to_be_bytes());
        if let Some(now) = rules.log_append_time {
            if let Some(low) = bytes.get_mut(ATTRIBUTES_AT + 1) {
                *low |= LOG_APPEND_TIME_BIT;
            }
            overwrite(&mut bytes, MAX_TIMESTAMP_AT, &now.to_be_bytes());
            let crc = checksum::crc32c(bytes.get(ATTRIBUTES_AT..).unwrap_or_default(), []);
            overwrite(&mut bytes, CRC_AT, &crc.to_be_bytes());
        }
        Self { base_offset, last_offset: base_offset + records - 1, bytes }
    }

    /// The control batch that ends a transaction: one record whose key says how, and whose value is the coordinator's
    /// epoch.
    pub(super) fn marker(
        (id, epoch): Identity,
        commit: bool,
        offset: i64,
        leader_epoch: i32,
        wall_ms: i64,
    ) -> Self {
        // Length 16 as a varint; attributes, two deltas; key: length 4, version 0, type; value: length 6, version 0,
        // epoch 0; no headers.
        let body = [32, 0, 0, 0, 8, 0, 0, 0, u8::from(commit), 12, 0, 0, 0, 0, 0, 0, 0];
        let header = BatchHeader {
            base_offset: offset,
            partition_leader_epoch: Some(leader_epoch),
            attributes: BatchAttributes { transactional: true, control: true, ..Default::default() },
            last_offset_delta: 0,
            base_timestamp: wall_ms,
            max_timestamp: wall_ms,
            producer: Some(ProducerStamp { id, epoch, base_sequence: None }),
            record_count: 1,
        };
        let mut bytes = header.stamp(body.len(), std::iter::once(&body[..])).to_vec();
        bytes.extend_from_slice(&body);
        Self { base_offset: offset, last_offset: offset, bytes }
    }

    /// If it is a marker: whose transaction it ends, and whether it commits.
    pub(super) fn ended(&self) -> Option<(Identity, bool)> {
        let view = self.view()?;
        let producer = view.header().producer.filter(|_| view.header().attributes.control)?;
        Some(((producer.id, producer.epoch), view.body().get(MARKER_TYPE_AT) == Some(&1)))
    }

    /// The producer of a batch of records in a transaction.
    pub(super) fn transactional_producer(&self) -> Option<i64> {
        let view = self.view()?;
        let attributes = view.header().attributes;
        view.header().producer.filter(|_| attributes.transactional && !attributes.control).map(|p| p.id)
    }

    pub(super) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    pub(super) fn last_offset(&self) -> i64 {
        self.last_offset
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn max_timestamp(&self) -> i64 {
        self.view().map_or(i64::MIN, |b| b.header().max_timestamp)
    }

    /// The producer's stamp, and the append time if the broker set it.
    pub(super) fn stamp(&self) -> Option<(Stamp, Option<i64>)> {
        let view = self.view()?;
        let header = view.header();
        let producer = header.producer?;
        let appended = header.attributes.timestamp_type == TimestampType::LogAppendTime;
        let stamp = Stamp {
            producer_id: producer.id,
            epoch: producer.epoch,
            base_sequence: producer.base_sequence?,
            last_offset_delta: header.last_offset_delta,
        };
        Some((stamp, appended.then_some(header.max_timestamp)))
    }

    pub(super) fn info(&self) -> BatchInfo {
        let header = self.view().map(|v| *v.header());
        let marker = self.ended().map(|(_, commit)| if commit { Marker::Commit } else { Marker::Abort });
        let offsets = self.last_offset - self.base_offset + 1;
        BatchInfo {
            base_offset: self.base_offset,
            last_offset: self.last_offset,
            record_count: if marker.is_some() { 0 } else { usize::try_from(offsets).unwrap_or(0) },
            transactional: header.is_some_and(|h| h.attributes.transactional),
            marker,
            compression: header.map_or(CompressionType::None, |h| h.attributes.compression),
            producer: header.and_then(|h| h.producer),
            bytes: self.bytes.clone(),
        }
    }

    /// Decodes the records; a marker has none. A batch whose codec this build lacks was accepted by its header and
    /// yields none.
    pub(super) fn read_into(&self, out: &mut Vec<StoredRecord>) {
        let Some(view) = self.view().filter(|v| !v.header().attributes.control) else { return };
        let Ok(records) = view.records(MAX_DECOMPRESSED) else { return };
        let header = view.header();
        let append_time = (header.attributes.timestamp_type == TimestampType::LogAppendTime)
            .then_some(header.max_timestamp);
        for record in records.iter().map_while(Result::ok) {
            out.push(StoredRecord {
                offset: self.base_offset + i64::from(record.offset_delta),
                timestamp: append_time
                    .unwrap_or_else(|| header.base_timestamp.wrapping_add(record.timestamp_delta)),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record.headers.map(|(n, v)| (n.to_owned(), v.map(<[u8]>::to_vec))).collect(),
                producer_id: header.producer.map(|p| p.id),
                producer_epoch: header.producer.map(|p| p.epoch),
                sequence: header
                    .producer
                    .and_then(|p| p.base_sequence)
                    .map(|s| s.wrapping_add(record.offset_delta) & i32::MAX),
                transactional: header.attributes.transactional,
            });
        }
    }

    fn view(&self) -> Option<RecordBatchView<'_>> {
        RecordBatchView::parse(&self.bytes).ok().map(|(view, _)| view)
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    if let Some(field) = bytes.get_mut(at..at + with.len()) {
        field.copy_from_slice(with);
    }
}
