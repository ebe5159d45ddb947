//! A batch that the broker found too large is sent again in parts.
//!
//! Only a batch of which every attempt was definitely rejected comes here. Parts take the parent's sequences in order,
//! stand in its place, and inherit its deadline; each split at least halves, so it ends (KAFKA-8350).

use std::time::Instant;

use super::Engine;
use super::node::Sent;
use super::parcel::Parcel;
use crate::accumulator::Batch;
use crate::delivery::SplitPart;
use crate::error::{Error, ErrorKind};
use crate::protocol::record::compression::{Compressor, decompress};
use crate::protocol::record::decode::RecordBatchView;
use crate::protocol::record::{
    BATCH_HEADER_LEN, BatchAttributes, BatchHeader, CompressionType, RecordBody, TimestampType,
};
use crate::sync::Arc;

/// The bytes of one part before compression.
struct Piece {
    first: u32,
    records: u32,
    raw: Vec<u8>,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl Piece {
    fn new(first: u32, timestamp: i64) -> Self {
        Self { first, records: 0, raw: Vec::new(), base_timestamp: timestamp, max_timestamp: timestamp }
    }

    /// Whether it stays within `target` with the record in it. The whole batch is larger than that, so there are
    /// always several pieces; only a record that is larger by itself makes a larger piece.
    fn takes<'a, H>(&self, record: &RecordBody<'a, H>, timestamp: i64, target: usize) -> bool
    where
        H: Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
    {
        let delta = timestamp.wrapping_sub(self.base_timestamp);
        self.raw.len() + record.place(self.records as i32, delta).encoded_len() <= target
    }

    fn put<'a, H>(&mut self, record: &RecordBody<'a, H>, timestamp: i64)
    where
        H: Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
    {
        record.place(self.records as i32, timestamp.wrapping_sub(self.base_timestamp)).write(&mut self.raw);
        self.records += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
    }
}

impl Engine {
    pub(super) fn split(&mut self, sent: Sent, now: Instant) {
        let Sent { partition: number, parcel, .. } = sent;
        match self.pieces(&parcel).and_then(|pieces| self.parts(number, &parcel, pieces)) {
            Ok((parts, handles)) => {
                let acc = self.acc.clone();
                let Some(partition) = self.partition(number) else { return };
                let entry = partition.entry.clone();
                partition.lane.replace(&parcel, parts);
                // No wait: the parts are new to the broker.
                partition.backoff_until = None;
                acc.split(&entry, &parcel.batch, handles);
                entry.observe_ratio(1.0);
            }
            Err(problem) => {
                let error = Error::new(ErrorKind::Internal, format!("cannot split a batch: {problem}"))
                    .with_fatal(false);
                self.end(number, parcel, error, Vec::new());
            }
        }
        self.evaluate(number, now);
    }

    /// Takes the batch apart. What comes in is our own encoding, but nothing here relies on that.
    fn pieces(&self, parcel: &Parcel) -> Result<Vec<Piece>, String> {
        let batch = &parcel.batch;
        let joined: Vec<u8> = batch.body.slices().collect::<Vec<_>>().concat();
        let mut raw = Vec::new();
        decompress(batch.codec, &joined, batch.raw_len, &mut raw).map_err(|e| e.to_string())?;
        let bytes = framed(&raw, batch);
        let (view, _) = RecordBatchView::parse(&bytes).map_err(|e| e.to_string())?;
        let records = view.records(raw.len()).map_err(|e| e.to_string())?;
        // Halves, or `batch.size` where that is less: a broker's limit is usually near one of the two.
        let target = (batch.raw_len / 2).min(self.acc.batch_size());
        let mut pieces: Vec<Piece> = Vec::new();
        for record in &records {
            let record = record.map_err(|e| e.to_string())?;
            let timestamp = batch.base_timestamp.wrapping_add(record.timestamp_delta);
            let index = u32::try_from(record.offset_delta).map_err(|e| e.to_string())?;
            let body = RecordBody::new(record.key, record.value, record.headers.clone());
            match pieces.last_mut() {
                Some(piece) if piece.takes(&body, timestamp, target) => piece.put(&body, timestamp),
                _ => {
                    let mut piece = Piece::new(index, timestamp);
                    piece.put(&body, timestamp);
                    pieces.push(piece);
                }
            }
        }
        if pieces.len() < 2 { Err("it did not come apart".into()) } else { Ok(pieces) }
    }

    fn parts(
        &mut self,
        number: u32,
        parent: &Parcel,
        pieces: Vec<Piece>,
    ) -> Result<(Vec<Parcel>, Vec<SplitPart>), String> {
        let acc = self.acc.clone();
        let partition = self.partition(number).ok_or("unknown partition")?;
        let entry = partition.entry.clone();
        let mut compressor = Compressor::new();
        let mut parts = Vec::with_capacity(pieces.len());
        let mut handles = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let completion = acc.new_completion(&entry).ok_or("the producer is gone")?;
            let mut compressed = Vec::new();
            let compression = acc.compression();
            let smaller = compression.compresses()
                && compressor.compress(compression, std::iter::once(&piece.raw[..]), &mut compressed).is_ok()
                && compressed.len() < piece.raw.len();
            let (codec, bytes) = if smaller {
                (compression.codec(), &compressed)
            } else {
                (CompressionType::None, &piece.raw)
            };
            let batch = Batch {
                body: Arc::new(acc.body_for_split(&entry, bytes)),
                raw_len: piece.raw.len(),
                codec,
                records: piece.records,
                largest: parent.batch.largest,
                base_timestamp: piece.base_timestamp,
                max_timestamp: piece.max_timestamp,
                completion: completion.clone(),
                created: parent.batch.created,
                generation: parent.batch.generation,
                waited: parent.batch.waited,
                turns: 1,
            };
            let mut part = Parcel::new(batch, parent.deadline);
            part.last_error.clone_from(&parent.last_error);
            part.travels = parent.travels;
            parts.push(part);
            handles.push(SplitPart { first: piece.first, completion });
        }
        Ok((parts, handles))
    }
}

/// The records behind a header, as the reader wants them.
fn framed(raw: &[u8], batch: &Batch) -> Vec<u8> {
    let count = i32::try_from(batch.records).unwrap_or(i32::MAX);
    let header = BatchHeader {
        base_offset: 0,
        partition_leader_epoch: None,
        attributes: BatchAttributes {
            compression: CompressionType::None,
            timestamp_type: TimestampType::CreateTime,
            transactional: false,
            control: false,
        },
        last_offset_delta: count - 1,
        base_timestamp: batch.base_timestamp,
        max_timestamp: batch.max_timestamp,
        producer: None,
        record_count: count,
    };
    let mut bytes = Vec::with_capacity(BATCH_HEADER_LEN + raw.len());
    bytes.extend_from_slice(&header.stamp(raw.len(), std::iter::once(raw)));
    bytes.extend_from_slice(raw);
    bytes
}
