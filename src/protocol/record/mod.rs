//! Record batches, format v2 (KIP-98): encoding, header and checksum, reading, compression.
//!
//! Runs on any thread, takes no lock, reads no clock. A body is written record by record into a sink of the caller's
//! choice, then compressed or not, then left alone; the header is stamped apart from it for every attempt.

pub(crate) mod checksum;
pub mod compression;
pub mod decode;
pub mod encode;
pub mod header;

pub use compression::{CodecError, Compression, CompressionType, Compressor};
pub use decode::{BatchError, HeaderIter, RecordBatchView, RecordIter, RecordView, Records};
pub use encode::{PlacedRecord, ROOM_BEHIND, RecordBody, RecordSink, SmallRecord};
pub use header::{BATCH_HEADER_LEN, BatchAttributes, BatchHeader, ProducerStamp, TimestampType};
