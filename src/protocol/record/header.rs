//! The 61 bytes before a batch's body, and the checksum over both.
//!
//! Runs on the sender thread (stamping) and wherever batches are read; pure functions, no lock. The header is made anew
//! for every attempt, because producer id, epoch and sequence may change between attempts while the body never does;
//! so it lives beside the body, not in it (KIP-98, KIP-185 for the sequence).

use crate::protocol::record::checksum::crc32c;
use crate::protocol::record::compression::CompressionType;

/// The length of a batch's header, in bytes.
pub const BATCH_HEADER_LEN: usize = 61;
/// Where the format's number stands, in this format and all before it.
pub(crate) const MAGIC_FIELD: usize = 16;
/// The format that this module reads and writes.
pub(crate) const MAGIC: i8 = 2;
/// The bytes of a header that its own length field counts: all after that field.
pub(crate) const COUNTED_HEADER_LEN: usize = BATCH_HEADER_LEN - LENGTH_END;
/// Where the length field ends, and so the smallest prefix that tells how long a batch is.
pub(crate) const LENGTH_END: usize = 12;
/// Where the checksum's coverage starts: with the attributes. Leader epoch and offset are the broker's to change.
pub(crate) const CRC_START: usize = 21;

/// Where the checksum itself stands.
pub(crate) const CRC_FIELD: usize = 17;

/// Where a batch's timestamps come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TimestampType {
    /// From the producer.
    #[default]
    CreateTime,
    /// From the broker, one for the whole batch.
    LogAppendTime,
}

/// A batch's attribute bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BatchAttributes {
    /// How the body is compressed.
    pub compression: CompressionType,
    /// Where the timestamps come from.
    pub timestamp_type: TimestampType,
    /// Whether the batch is part of a transaction.
    pub transactional: bool,
    /// Whether it holds a transaction's marker and not data.
    pub control: bool,
}

impl BatchAttributes {
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;

    /// The bits as they stand in the header.
    pub fn bits(self) -> i16 {
        let flag = |set: bool, bit: i16| if set { bit } else { 0 };
        i16::from(self.compression.id())
            | flag(self.timestamp_type == TimestampType::LogAppendTime, Self::LOG_APPEND_TIME)
            | flag(self.transactional, Self::TRANSACTIONAL)
            | flag(self.control, Self::CONTROL)
    }

    /// Reads the bits; `None` if the codec is unknown. Bits without a meaning here are ignored, as brokers do.
    pub fn from_bits(bits: i16) -> Option<Self> {
        let compression = CompressionType::from_id((bits & 0x7) as u8)?;
        let timestamp_type = if bits & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        };
        Some(Self {
            compression,
            timestamp_type,
            transactional: bits & Self::TRANSACTIONAL != 0,
            control: bits & Self::CONTROL != 0,
        })
    }
}

/// Who wrote a batch, so that a broker recognises a repeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerStamp {
    /// The producer's id, not negative.
    pub id: i64,
    /// The id's epoch, not negative.
    pub epoch: i16,
    /// The sequence of the first record; absent only in markers, which brokers write.
    pub base_sequence: Option<i32>,
}

/// A batch's header without its derived fields (length, magic, checksum).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchHeader {
    /// The first record's offset; a producer sends 0, the broker overwrites it.
    pub base_offset: i64,
    /// The leader's epoch as the broker notes it; a producer sends none.
    pub partition_leader_epoch: Option<i32>,
    /// Codec, timestamp type, transactional, control.
    pub attributes: BatchAttributes,
    /// The last record's offset less the base offset: for a producer's batch, the record count less one.
    pub last_offset_delta: i32,
    /// What timestamp deltas count from: the first record's timestamp, milliseconds since 1970.
    pub base_timestamp: i64,
    /// The largest timestamp in the batch, milliseconds since 1970.
    pub max_timestamp: i64,
    /// Who wrote it; absent without idempotence.
    pub producer: Option<ProducerStamp>,
    /// How many records the body holds.
    pub record_count: i32,
}

impl BatchHeader {
    /// Writes the header for a body of `body_len` bytes, whose pieces `body` yields in order. One pass over the body,
    /// for the checksum; nothing is copied.
    ///
    /// `body_len` must be the sum of the pieces and, with the header, stay below 2 GiB.
    pub fn stamp<'a>(&self, body_len: usize, body: impl Iterator<Item = &'a [u8]>) -> [u8; BATCH_HEADER_LEN] {
        let mut out = [0u8; BATCH_HEADER_LEN];
        let producer = self.producer;
        let mut writer = FieldWriter { rest: &mut out };
        writer.put(self.base_offset.to_be_bytes());
        writer.put(i32::try_from(COUNTED_HEADER_LEN + body_len).unwrap_or(i32::MAX).to_be_bytes());
        writer.put(self.partition_leader_epoch.unwrap_or(-1).to_be_bytes());
        writer.put(MAGIC.to_be_bytes());
        writer.put([0; 4]);
        writer.put(self.attributes.bits().to_be_bytes());
        writer.put(self.last_offset_delta.to_be_bytes());
        writer.put(self.base_timestamp.to_be_bytes());
        writer.put(self.max_timestamp.to_be_bytes());
        writer.put(producer.map_or(-1, |stamp| stamp.id).to_be_bytes());
        writer.put(producer.map_or(-1, |stamp| stamp.epoch).to_be_bytes());
        writer.put(producer.and_then(|stamp| stamp.base_sequence).unwrap_or(-1).to_be_bytes());
        writer.put(self.record_count.to_be_bytes());
        debug_assert!(writer.rest.is_empty(), "the fields fill the header");

        let mut seen = 0;
        let crc = crc32c(&out[CRC_START..], body.inspect(|piece| seen += piece.len()));
        debug_assert_eq!(seen, body_len, "the body's pieces add up to its length");
        out[CRC_FIELD..CRC_START].copy_from_slice(&crc.to_be_bytes());
        out
    }
}

impl BatchHeader {
    /// Reads a header whose length, magic and checksum are somebody else's to judge. `Err` names the field that holds
    /// what no writer writes.
    pub(crate) fn read(bytes: &[u8; BATCH_HEADER_LEN]) -> Result<Self, &'static str> {
        let attributes = BatchAttributes::from_bits(i16::from_be_bytes(field(bytes, CRC_START)))
            .ok_or("attributes: unknown compression type")?;
        let id = i64::from_be_bytes(field(bytes, 43));
        let epoch = i16::from_be_bytes(field(bytes, 51));
        let sequence = i32::from_be_bytes(field(bytes, 53));
        let producer = match (id, epoch, sequence) {
            // Without an id brokers look at neither epoch nor sequence, and franz-go counts the sequence all the same.
            (-1, ..) => None,
            (0.., 0.., -1) => Some(ProducerStamp { id, epoch, base_sequence: None }),
            (0.., 0.., 0..) => Some(ProducerStamp { id, epoch, base_sequence: Some(sequence) }),
            _ => return Err("producer id, epoch and sequence do not go together"),
        };
        Ok(Self {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            partition_leader_epoch: match i32::from_be_bytes(field(bytes, LENGTH_END)) {
                epoch if epoch >= 0 => Some(epoch),
                _ => None,
            },
            attributes,
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)),
            producer,
            record_count: i32::from_be_bytes(field(bytes, 57)),
        })
    }
}

/// The `N` bytes at `at`; zeros if they are not all there, which no caller's constant makes happen.
pub(crate) fn field<const N: usize>(bytes: &[u8; BATCH_HEADER_LEN], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

struct FieldWriter<'a> {
    rest: &'a mut [u8],
}

impl FieldWriter<'_> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some((field, rest)) = std::mem::take(&mut self.rest).split_first_chunk_mut::<N>() {
            *field = bytes;
            self.rest = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_the_format_says() {
        let header = BatchHeader {
            base_offset: 0x0102_0304_0506_0708,
            partition_leader_epoch: Some(0x1112_1314),
            attributes: BatchAttributes {
                compression: CompressionType::Lz4,
                timestamp_type: TimestampType::LogAppendTime,
                transactional: true,
                control: false,
            },
            last_offset_delta: 0x2122_2324,
            base_timestamp: 0x3132_3334_3536_3738,
            max_timestamp: 0x4142_4344_4546_4748,
            producer: Some(ProducerStamp {
                id: 0x5152_5354_5556_5758,
                epoch: 0x6162,
                base_sequence: Some(0x7172_7374),
            }),
            record_count: 0x0a0b_0c0d,
        };
        let bytes = header.stamp(3, [&b"a"[..], b"", b"bc"].into_iter());
        assert_eq!(bytes[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(bytes[8..12], [0, 0, 0, 52]);
        assert_eq!(bytes[12..17], [0x11, 0x12, 0x13, 0x14, 2]);
        assert_eq!(bytes[21..27], [0, 0b1_1011, 0x21, 0x22, 0x23, 0x24]);
        assert_eq!(bytes[27..35], [0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38]);
        assert_eq!(bytes[35..43], [0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48]);
        assert_eq!(bytes[43..51], [0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58]);
        assert_eq!(bytes[51..57], [0x61, 0x62, 0x71, 0x72, 0x73, 0x74]);
        assert_eq!(bytes[57..], [0x0a, 0x0b, 0x0c, 0x0d]);
        let whole: Vec<u8> = bytes[21..].iter().chain(b"abc").copied().collect();
        assert_eq!(bytes[17..21], crc32c(&whole, []).to_be_bytes());
        assert_eq!(BatchHeader::read(&bytes), Ok(header));
    }
}
