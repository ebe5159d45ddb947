//! One partition's log: judges batches as a broker does, gives them offsets, keeps them, reads them back.
//!
//! Owned by the cluster's state (or, in discard mode, by one lock per partition); takes no lock, reads no clock. It
//! re-derives everything from the bytes that arrived - checksum, lengths, counts, sequences - and must not know the
//! code that wrote them. KIP-98 (batches, transactions), KIP-32 (LogAppendTime), KIP-110 (zstd).

use super::coordinator::Identity;
use super::producer_state::{Decision, ProducerStates, SequenceError, Stamp};
use super::stored::{BatchInfo, StoredBatch, StoredRecord};
use super::transaction_index::TransactionIndex;
use crate::protocol::ErrorCode;
use crate::protocol::record::{BatchError, CompressionType, RecordBatchView};

/// A batch that decompresses to more than this is refused: a bomb, not a batch.
pub(super) const MAX_DECOMPRESSED: usize = 256 << 20;

/// What holds for an append besides the batch itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppendRules {
    /// `max.message.bytes`: the size of a whole batch.
    pub(crate) max_message_bytes: usize,
    /// The broker's wall clock in milliseconds, where the topic says `LogAppendTime`.
    pub(crate) log_append_time: Option<i64>,
    pub(crate) leader_epoch: i32,
    /// As brokers before 2.5.
    pub(crate) refuse_unknown_producers: bool,
    /// Produce versions below 7 may not carry it.
    pub(crate) allow_zstd: bool,
    /// Whether to keep the bytes; without, only offsets and producers are remembered.
    pub(crate) keep: bool,
    /// Whether a coordinator vouches for transactional batches.
    pub(crate) transactions: bool,
}

/// Where a batch came to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    pub(crate) log_append_time: Option<i64>,
    pub(crate) records: u32,
    pub(crate) duplicate: bool,
}

/// Why nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    /// The record at fault, if it is one (KIP-467).
    pub(crate) record: Option<i32>,
}

impl Rejection {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), record: None }
    }

    /// Whether a correct producer can never be the cause.
    pub(crate) fn is_violation(&self) -> bool {
        self.code == ErrorCode::CORRUPT_MESSAGE || self.code == ErrorCode::INVALID_RECORD
    }
}

#[derive(Debug, Default)]
pub(crate) struct PartitionLog {
    start_offset: i64,
    end_offset: i64,
    batches: Vec<StoredBatch>,
    producers: ProducerStates,
    transactions: TransactionIndex,
    /// Offsets that markers took.
    markers: i64,
}

impl PartitionLog {
    /// The first offset that can be read.
    pub(crate) fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// The offset that the next record gets.
    pub(crate) fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// How many of the offsets given so far are records and not markers.
    pub(crate) fn record_count(&self) -> i64 {
        self.end_offset - self.markers
    }

    /// Where a reader of committed records has to stop: at the first record of the oldest open transaction.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        self.transactions.first_open().unwrap_or(self.end_offset)
    }

    /// Whether this producer has records of an open transaction here.
    pub(crate) fn has_open_transaction(&self, (producer_id, epoch): Identity) -> bool {
        self.transactions.is_open(producer_id) && self.producers.epoch(producer_id) == Some(epoch)
    }

    /// A transactional batch is about to be verified; `enrols` if that makes the partition part of the transaction.
    pub(crate) fn verify(&mut self, batch: &RecordBatchView<'_>, enrols: bool) {
        if let Ok(Some(stamp)) = stamp_of(batch) {
            self.producers.verify(&stamp, enrols);
        }
    }

    /// The aborted transactions with records in `from..to`, as producer id and first offset.
    pub(crate) fn aborted_in(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
        self.transactions.aborted_in(from, to)
    }

    /// The end of a transaction, written by its coordinator.
    pub(crate) fn append_marker(
        &mut self,
        producer: Identity,
        commit: bool,
        leader_epoch: i32,
        wall_ms: i64,
        keep: bool,
    ) {
        let marker = StoredBatch::marker(producer, commit, self.end_offset, leader_epoch, wall_ms);
        self.note_marker(producer, commit, self.end_offset);
        self.end_offset += 1;
        if keep {
            self.batches.push(marker);
        }
    }

    fn note_marker(&mut self, (producer_id, epoch): Identity, commit: bool, offset: i64) {
        self.markers += 1;
        self.producers.end_transaction(producer_id, epoch);
        self.transactions.close(producer_id, commit, offset);
    }

    /// Judges `bytes`, which must be exactly one batch, and appends it.
    pub(crate) fn append(&mut self, bytes: &[u8], rules: &AppendRules) -> Result<Appended, Rejection> {
        let batch = the_one_batch(bytes)?;
        if batch.encoded_len() > rules.max_message_bytes {
            let message = format!("batch of {} bytes, the limit is {}", bytes.len(), rules.max_message_bytes);
            return Err(Rejection::new(ErrorCode::MESSAGE_TOO_LARGE, message));
        }
        judge_batch(&batch, rules)?;
        let header = batch.header();
        let stamp = stamp_of(&batch)?;
        let records = header.record_count.unsigned_abs();
        if let Some(stamp) = &stamp {
            if let Decision::Duplicate { base_offset, log_append_time } =
                self.producers.check(stamp, rules.refuse_unknown_producers).map_err(|e| refuse(stamp, e))?
            {
                return Ok(Appended { base_offset, log_append_time, records, duplicate: true });
            }
        }
        let base_offset = self.end_offset;
        if let Some(stamp) = &stamp {
            self.note_transaction(stamp, header.attributes.transactional, base_offset)?;
            self.producers.remember(stamp, base_offset, rules.log_append_time);
        }
        self.end_offset += i64::from(records);
        if rules.keep {
            self.batches.push(StoredBatch::new(bytes, base_offset, i64::from(records), rules));
        }
        Ok(Appended { base_offset, log_append_time: rules.log_append_time, records, duplicate: false })
    }

    fn note_transaction(&mut self, stamp: &Stamp, transactional: bool, offset: i64) -> Result<(), Rejection> {
        let open = self.transactions.is_open(stamp.producer_id);
        if open && !transactional {
            let message = "a batch outside of the transaction that its producer has open";
            return Err(Rejection::new(ErrorCode::INVALID_TXN_STATE, message));
        }
        if transactional && !open {
            self.transactions.open(stamp.producer_id, offset);
        }
        Ok(())
    }

    /// Every record from the start of the log, in order, whatever becomes or became of its transaction.
    pub(crate) fn records(&self) -> Vec<StoredRecord> {
        self.read_records(|_| true)
    }

    /// What a reader of committed records sees.
    pub(crate) fn committed_records(&self) -> Vec<StoredRecord> {
        let end = self.last_stable_offset();
        self.read_records(|batch| {
            let aborted = |producer_id| self.transactions.was_aborted(producer_id, batch.base_offset());
            batch.base_offset() < end && !batch.transactional_producer().is_some_and(aborted)
        })
    }

    fn read_records(&self, wanted: impl Fn(&StoredBatch) -> bool) -> Vec<StoredRecord> {
        let mut records = Vec::new();
        for batch in self.batches.iter().filter(|b| wanted(b)) {
            batch.read_into(&mut records);
        }
        records.retain(|r| r.offset >= self.start_offset);
        records
    }

    pub(crate) fn batches(&self) -> Vec<BatchInfo> {
        self.batches.iter().map(StoredBatch::info).collect()
    }

    /// The raw batches that hold `offset` and what follows up to `end`, at least one if there is one, then up to
    /// `max_bytes`; and the offset after the last of them.
    pub(crate) fn read(&self, offset: i64, end: i64, max_bytes: usize) -> (Vec<u8>, i64) {
        let first = self.batches.partition_point(|b| b.last_offset() < offset);
        let mut bytes = Vec::new();
        let mut next = offset;
        for batch in self.batches.get(first..).unwrap_or_default() {
            let full = !bytes.is_empty() && bytes.len() + batch.bytes().len() > max_bytes;
            if full || batch.last_offset() >= end {
                break;
            }
            bytes.extend_from_slice(batch.bytes());
            next = batch.last_offset() + 1;
        }
        (bytes, next)
    }

    /// The first offset whose batch has a record at or after `timestamp`, and that timestamp.
    pub(crate) fn offset_for_time(&self, timestamp: i64) -> Option<(i64, i64)> {
        self.batches
            .iter()
            .filter(|b| b.max_timestamp() >= timestamp)
            .flat_map(|b| {
                let mut records = Vec::new();
                b.read_into(&mut records);
                records
            })
            .find(|r| r.timestamp >= timestamp)
            .map(|r| (r.offset, r.timestamp))
    }

    /// The first of the records with the highest timestamp, and that timestamp.
    pub(crate) fn offset_of_max_time(&self) -> Option<(i64, i64)> {
        let records = self.records();
        let max = records.iter().map(|r| r.timestamp).max()?;
        records.iter().find(|r| r.timestamp == max).map(|r| (r.offset, max))
    }

    /// Retention: nothing before `offset` can be read any more. Producers keep their state.
    pub(crate) fn delete_before(&mut self, offset: i64) {
        self.start_offset = offset.clamp(self.start_offset, self.end_offset);
        let start = self.start_offset;
        self.batches.retain(|b| b.last_offset() >= start);
        self.transactions.forget_before(start);
    }

    /// An unclean election: what stands at or after `offset` never happened. Cuts at a batch's edge, down.
    pub(crate) fn truncate(&mut self, offset: i64) {
        self.batches.retain(|b| b.last_offset() < offset);
        self.end_offset = self.batches.last().map_or(self.start_offset, |b| b.last_offset() + 1);
        self.producers.clear();
        self.transactions = TransactionIndex::default();
        self.markers = 0;
        for batch in std::mem::take(&mut self.batches) {
            if let Some((producer, commit)) = batch.ended() {
                self.note_marker(producer, commit, batch.base_offset());
            } else if let Some((stamp, log_append_time)) = batch.stamp() {
                self.producers.remember(&stamp, batch.base_offset(), log_append_time);
                if batch.transactional_producer().is_some_and(|id| !self.transactions.is_open(id)) {
                    self.transactions.open(stamp.producer_id, batch.base_offset());
                }
            }
            self.batches.push(batch);
        }
    }

    pub(crate) fn forget_producer(&mut self, producer_id: i64) -> bool {
        self.producers.forget(producer_id)
    }
}

/// Produce version 3 and later carry exactly one batch per partition, in format 2.
fn the_one_batch(bytes: &[u8]) -> Result<RecordBatchView<'_>, Rejection> {
    if bytes.is_empty() {
        return Err(Rejection::new(ErrorCode::INVALID_RECORD, "no record batch"));
    }
    // Bytes that are not a whole batch are none to Kafka, whatever is wrong with them.
    let not_one = |e: BatchError| Rejection { code: ErrorCode::INVALID_RECORD, ..reject(&e) };
    let (batch, rest) = RecordBatchView::parse(bytes).map_err(not_one)?;
    if rest.is_empty() {
        Ok(batch)
    } else {
        Err(Rejection::new(ErrorCode::INVALID_RECORD, "more than one record batch for one partition"))
    }
}

fn judge_batch(batch: &RecordBatchView<'_>, rules: &AppendRules) -> Result<(), Rejection> {
    let header = batch.header();
    let attributes = header.attributes;
    if attributes.compression == CompressionType::Zstd && !rules.allow_zstd {
        let message = "zstd needs Produce version 7 or later";
        return Err(Rejection::new(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, message));
    }
    batch.verify_crc().map_err(|e| reject(&e))?;
    if attributes.control {
        return Err(Rejection::new(ErrorCode::INVALID_RECORD, "clients may not write control batches"));
    }
    if attributes.transactional && !rules.transactions {
        return Err(Rejection::new(ErrorCode::INVALID_TXN_STATE, "no transaction is open"));
    }
    if attributes.transactional && header.producer.is_none() {
        return Err(Rejection::new(ErrorCode::INVALID_RECORD, "a transactional batch without a producer id"));
    }
    if header.base_offset != 0 {
        let message = format!("base offset is {} and not 0", header.base_offset);
        return Err(Rejection::new(ErrorCode::INVALID_RECORD, message));
    }
    if attributes.compression.is_available() {
        batch.validate(MAX_DECOMPRESSED).map(drop).map_err(|e| reject(&e))
    } else if header.record_count > 0 && header.last_offset_delta == header.record_count - 1 {
        // Compressed with a codec that this build lacks: the header is all that can be judged.
        Ok(())
    } else {
        Err(Rejection::new(ErrorCode::INVALID_RECORD, "last offset delta and record count disagree"))
    }
}

fn stamp_of(batch: &RecordBatchView<'_>) -> Result<Option<Stamp>, Rejection> {
    let header = batch.header();
    let Some(producer) = header.producer else { return Ok(None) };
    let Some(base_sequence) = producer.base_sequence else {
        return Err(Rejection::new(ErrorCode::INVALID_RECORD, "a producer id without a sequence"));
    };
    let (producer_id, epoch) = (producer.id, producer.epoch);
    Ok(Some(Stamp { producer_id, epoch, base_sequence, last_offset_delta: header.last_offset_delta }))
}

fn reject(error: &BatchError) -> Rejection {
    let code = match error {
        BatchError::Truncated | BatchError::Checksum { .. } | BatchError::Codec(_) => {
            ErrorCode::CORRUPT_MESSAGE
        }
        _ => ErrorCode::INVALID_RECORD,
    };
    let record = match error {
        BatchError::Record { index, .. } => Some(*index),
        _ => None,
    };
    Rejection { code, message: error.to_string(), record }
}

fn refuse(stamp: &Stamp, error: SequenceError) -> Rejection {
    let Stamp { producer_id, epoch, base_sequence, .. } = *stamp;
    let who = format!("producer {producer_id} epoch {epoch} sequence {base_sequence}");
    match error {
        SequenceError::OldEpoch { current } => {
            Rejection::new(ErrorCode::INVALID_PRODUCER_EPOCH, format!("{who}: the epoch is {current} by now"))
        }
        SequenceError::OutOfOrder { expected } => {
            Rejection::new(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, format!("{who}: expected {expected}"))
        }
        SequenceError::UnknownProducer => {
            Rejection::new(ErrorCode::UNKNOWN_PRODUCER_ID, format!("{who}: no record of this producer"))
        }
    }
}
