//! Reading a batch: for splits of batches that a broker found too large, for the mock cluster, for reading back.
//!
//! Runs on any thread; pure functions, no lock. Every byte is hostile: nothing here panics, and what is allocated is at
//! most the caller's limit. Reading is stricter than a consumer's and as strict as a broker's on what a producer sends
//! (KIP-98, KIP-82).

use std::borrow::Cow;
use std::fmt;

use super::checksum;
use super::compression::{self, CodecError, CompressionType};
use super::header::{self, BATCH_HEADER_LEN, BatchHeader, TimestampType};
use crate::protocol::varint;

/// The fewest bytes a record takes: length, attributes, two deltas, two nulls, no headers.
const MIN_RECORD_LEN: usize = 7;

/// Why bytes are not a record batch.
#[derive(Debug)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end before the batch does.
    Truncated,
    /// Another format than 2.
    Magic(i8),
    /// A field of the header holds what it cannot.
    Header(&'static str),
    /// The checksum does not match.
    Checksum {
        /// What the header says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// The body does not decompress.
    Codec(CodecError),
    /// A record is malformed or does not fit its batch.
    Record {
        /// The record's index in the batch.
        index: i32,
        /// What is wrong.
        reason: &'static str,
    },
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("record batch is cut short"),
            Self::Magic(magic) => write!(f, "record batch has format {magic}, not 2"),
            Self::Header(reason) => write!(f, "record batch header: {reason}"),
            Self::Checksum { stored, computed } => {
                write!(f, "record batch checksum is {stored:#010x}, its bytes give {computed:#010x}")
            }
            Self::Codec(error) => write!(f, "record batch body: {error}"),
            Self::Record { index, reason } => write!(f, "record {index} of its batch: {reason}"),
        }
    }
}

impl std::error::Error for BatchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Codec(error) => Some(error),
            _ => None,
        }
    }
}

/// A batch in somebody's buffer: the header read, the body untouched.
#[derive(Clone, Copy, Debug)]
pub struct RecordBatchView<'a> {
    header: BatchHeader,
    raw_header: &'a [u8; BATCH_HEADER_LEN],
    body: &'a [u8],
}

impl<'a> RecordBatchView<'a> {
    /// Reads the batch at the front of `bytes` and returns what follows it. Checks the header's own consistency; neither
    /// checksum nor records.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), BatchError> {
        let (raw_header, after) = bytes.split_first_chunk().ok_or(BatchError::Truncated)?;
        let [magic] = header::field(raw_header, header::MAGIC_FIELD);
        if magic as i8 != header::MAGIC {
            return Err(BatchError::Magic(magic as i8));
        }
        let body_len = usize::try_from(i32::from_be_bytes(header::field(raw_header, 8)))
            .ok()
            .and_then(|counted| counted.checked_sub(header::COUNTED_HEADER_LEN))
            .ok_or(BatchError::Header("length"))?;
        let (body, rest) = after.split_at_checked(body_len).ok_or(BatchError::Truncated)?;
        let header = BatchHeader::read(raw_header).map_err(BatchError::Header)?;
        if header.record_count < 0 {
            return Err(BatchError::Header("record count"));
        }
        if header.last_offset_delta < 0 {
            return Err(BatchError::Header("last offset delta"));
        }
        Ok((Self { header, raw_header, body }, rest))
    }

    /// The header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The body as it stands, perhaps compressed.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The whole batch's length in bytes, header included.
    pub fn encoded_len(&self) -> usize {
        BATCH_HEADER_LEN + self.body.len()
    }

    /// Compares the checksum with the bytes.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let covered = self.raw_header.get(header::CRC_START..).unwrap_or_default();
        let computed = checksum::crc32c(covered, [self.body]);
        let stored = u32::from_be_bytes(header::field(self.raw_header, header::CRC_FIELD));
        if stored == computed { Ok(()) } else { Err(BatchError::Checksum { stored, computed }) }
    }

    /// The records' bytes, decompressed if need be. Fails if they take more than `limit` bytes; no more than that is
    /// allocated. An uncompressed body is borrowed.
    pub fn records(&self, limit: usize) -> Result<Records<'a>, BatchError> {
        let body = match self.header.attributes.compression {
            CompressionType::None if self.body.len() <= limit => Cow::Borrowed(self.body),
            CompressionType::None => return Err(BatchError::Codec(CodecError::TooLarge { limit })),
            codec => {
                let mut body = Vec::new();
                compression::decompress(codec, self.body, limit, &mut body).map_err(BatchError::Codec)?;
                Cow::Owned(body)
            }
        };
        let fits = usize::try_from(self.header.record_count)
            .ok()
            .and_then(|count| count.checked_mul(MIN_RECORD_LEN))
            .is_some_and(|least| least <= body.len());
        if fits {
            Ok(Records { body, count: self.header.record_count })
        } else {
            Err(BatchError::Header("more records than the body has room for"))
        }
    }

    /// Judges the batch as a broker judges a producer's: checksum, as many records as the header says and at least one,
    /// offsets 0, 1, 2 and so on up to the last offset delta, the largest timestamp right, nothing left over. Returns
    /// the records, which then iterate without an error.
    pub fn validate(&self, limit: usize) -> Result<Records<'a>, BatchError> {
        self.verify_crc()?;
        let header = &self.header;
        if header.record_count == 0 {
            return Err(BatchError::Header("no records"));
        }
        if header.last_offset_delta != header.record_count - 1 {
            return Err(BatchError::Header("last offset delta and record count disagree"));
        }
        let records = self.records(limit)?;
        let mut max_timestamp = i64::MIN;
        for (index, record) in (0i32..).zip(&records) {
            let record = record?;
            let fail = |reason| BatchError::Record { index, reason };
            if record.offset_delta != index {
                return Err(fail("offset delta is not its index"));
            }
            let timestamp = header
                .base_timestamp
                .checked_add(record.timestamp_delta)
                .ok_or_else(|| fail("timestamp overflows"))?;
            max_timestamp = max_timestamp.max(timestamp);
        }
        let from_producer = header.attributes.timestamp_type == TimestampType::CreateTime;
        if from_producer && max_timestamp != header.max_timestamp {
            return Err(BatchError::Header("max timestamp is not the records' largest"));
        }
        Ok(records)
    }
}

/// A batch's decompressed records.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    body: Cow<'a, [u8]>,
    count: i32,
}

impl Records<'_> {
    /// Iterates in order. The first malformed record, or bytes after the last, yield an error and end it.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter { cursor: Cursor { rest: &self.body }, index: 0, count: self.count, failed: false }
    }

    /// The records' bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }
}

impl<'r> IntoIterator for &'r Records<'_> {
    type Item = Result<RecordView<'r>, BatchError>;
    type IntoIter = RecordIter<'r>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One record, borrowed from its batch.
#[derive(Clone, Debug)]
pub struct RecordView<'r> {
    /// Its offset less the batch's base offset.
    pub offset_delta: i32,
    /// Its timestamp less the batch's base timestamp, in milliseconds.
    pub timestamp_delta: i64,
    /// The key.
    pub key: Option<&'r [u8]>,
    /// The value.
    pub value: Option<&'r [u8]>,
    /// The headers in order, names and values; names may repeat.
    pub headers: HeaderIter<'r>,
}

/// Iterates over a batch's records.
#[derive(Clone, Debug)]
pub struct RecordIter<'r> {
    cursor: Cursor<'r>,
    index: i32,
    count: i32,
    failed: bool,
}

impl<'r> Iterator for RecordIter<'r> {
    type Item = Result<RecordView<'r>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let read = if self.index < self.count {
            self.cursor.record()
        } else if self.cursor.rest.is_empty() {
            return None;
        } else {
            Err("bytes are left after the last record")
        };
        let index = self.index;
        self.failed = read.is_err();
        self.index = self.index.saturating_add(1);
        Some(read.map_err(|reason| BatchError::Record { index, reason }))
    }
}

/// Iterates over a record's headers.
#[derive(Clone, Debug)]
pub struct HeaderIter<'r> {
    cursor: Cursor<'r>,
    left: i32,
}

impl<'r> Iterator for HeaderIter<'r> {
    type Item = (&'r str, Option<&'r [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        // Read once before, when the record was: this cannot fail any more.
        self.cursor.header().ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).unwrap_or(0);
        (left, Some(left))
    }
}

#[derive(Clone, Copy, Debug)]
struct Cursor<'r> {
    rest: &'r [u8],
}

impl<'r> Cursor<'r> {
    fn record(&mut self) -> Result<RecordView<'r>, &'static str> {
        let len = usize::try_from(self.int("malformed length")?).map_err(|_| "negative length")?;
        let mut body = Cursor { rest: self.take(len).ok_or("is cut short")? };
        body.take(1).ok_or("no attributes")?;
        let timestamp_delta = body.long()?;
        let offset_delta = body.int("malformed offset delta")?;
        let key = body.bytes("malformed key")?;
        let value = body.bytes("malformed value")?;
        let left = body.int("malformed header count")?;
        if left < 0 {
            return Err("negative header count");
        }
        let headers = HeaderIter { cursor: body, left };
        for _ in 0..left {
            body.header()?;
        }
        if !body.rest.is_empty() {
            return Err("longer than its fields");
        }
        Ok(RecordView { offset_delta, timestamp_delta, key, value, headers })
    }

    fn header(&mut self) -> Result<(&'r str, Option<&'r [u8]>), &'static str> {
        let name = self.bytes("malformed header name")?.ok_or("header without a name")?;
        let name = std::str::from_utf8(name).map_err(|_| "header name is not UTF-8")?;
        Ok((name, self.bytes("malformed header value")?))
    }

    fn bytes(&mut self, what: &'static str) -> Result<Option<&'r [u8]>, &'static str> {
        match self.int(what)? {
            -1 => Ok(None),
            len => usize::try_from(len).ok().and_then(|len| self.take(len)).map(Some).ok_or(what),
        }
    }

    fn int(&mut self, what: &'static str) -> Result<i32, &'static str> {
        let (value, used) = varint::read_varint_32(self.rest).ok_or(what)?;
        self.take(used);
        Ok(value)
    }

    fn long(&mut self) -> Result<i64, &'static str> {
        let (value, used) = varint::read_varint_64(self.rest).ok_or("malformed timestamp delta")?;
        self.take(used);
        Ok(value)
    }

    fn take(&mut self, len: usize) -> Option<&'r [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::record::{BatchAttributes, ProducerStamp, RecordBody};

    const BASE: i64 = 1_700_000_000_000;
    /// One record, value "hello"; no producer id. Made by hand with a bit-by-bit checksum.
    const PLAIN: &str = "00000000000000000000003dffffffff02e641a44b0000000000000000018bcfe568000000018bcf\
                         e56800ffffffffffffffffffffffffffff0000000116000000010a68656c6c6f00";
    /// Two records: key "k", value "v1"; 7 ms later key "k", null value, headers h=1 and h=null. Transactional,
    /// producer 0x1234, epoch 2, sequence 5.
    const FULL: &str = "00000000000000000000004affffffff02418af3f90010000000010000018bcfe568000000018bcf\
                        e5680700000000000012340002000000050000000212000000026b047631001c000e02026b010402\
                        680231026801";

    fn unhex(hex: &str) -> Vec<u8> {
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
        hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }

    fn header() -> BatchHeader {
        BatchHeader {
            base_offset: 0,
            partition_leader_epoch: None,
            attributes: BatchAttributes::default(),
            last_offset_delta: 1,
            base_timestamp: BASE,
            max_timestamp: BASE + 7,
            producer: None,
            record_count: 2,
        }
    }

    /// Two good records, 7 ms apart.
    fn body() -> Vec<u8> {
        let mut body = Vec::new();
        RecordBody::without_headers(None, Some(b"a")).place(0, 0).write(&mut body);
        RecordBody::without_headers(None, Some(b"b")).place(1, 7).write(&mut body);
        body
    }

    fn validate(header: &BatchHeader, body: &[u8]) -> Result<(), String> {
        let stamped = header.stamp(body.len(), std::iter::once(body));
        let bytes = [&stamped[..], body].concat();
        let (batch, rest) = RecordBatchView::parse(&bytes).map_err(|error| error.to_string())?;
        assert!(rest.is_empty());
        batch.validate(1 << 20).map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn golden_plain() {
        let bytes = unhex(PLAIN);
        let (batch, rest) = RecordBatchView::parse(&bytes).unwrap();
        assert!(rest.is_empty());
        let records = batch.validate(100).unwrap();
        let record = records.iter().next().unwrap().unwrap();
        assert_eq!((record.key, record.value), (None, Some(&b"hello"[..])));
        let expected = BatchHeader { last_offset_delta: 0, max_timestamp: BASE, record_count: 1, ..header() };
        assert_eq!(*batch.header(), expected);
        let mut ours = Vec::new();
        RecordBody::without_headers(None, Some(b"hello")).place(0, 0).write(&mut ours);
        let stamped = expected.stamp(ours.len(), std::iter::once(&ours[..]));
        assert_eq!([&stamped[..], &ours].concat(), bytes);
    }

    #[test]
    fn golden_full() {
        let bytes = unhex(FULL);
        let (batch, _) = RecordBatchView::parse(&bytes).unwrap();
        let expected = BatchHeader {
            attributes: BatchAttributes { transactional: true, ..BatchAttributes::default() },
            producer: Some(ProducerStamp { id: 0x1234, epoch: 2, base_sequence: Some(5) }),
            ..header()
        };
        assert_eq!(*batch.header(), expected);
        let records = batch.validate(100).unwrap();
        let last = records.iter().last().unwrap().unwrap();
        assert_eq!((last.offset_delta, last.timestamp_delta), (1, 7));
        assert_eq!((last.key, last.value), (Some(&b"k"[..]), None));
        assert_eq!(last.headers.collect::<Vec<_>>(), [("h", Some(&b"1"[..])), ("h", None)]);

        let headers: [(&str, Option<&[u8]>); 2] = [("h", Some(b"1")), ("h", None)];
        let mut ours = Vec::new();
        RecordBody::without_headers(Some(b"k"), Some(b"v1")).place(0, 0).write(&mut ours);
        RecordBody::new(Some(b"k"), None, headers.into_iter()).place(1, 7).write(&mut ours);
        let stamped = expected.stamp(ours.len(), ours.chunks(3));
        assert_eq!([&stamped[..], &ours].concat(), bytes);
    }

    #[test]
    fn headers_that_disagree_with_the_records() {
        assert_eq!(validate(&header(), &body()), Ok(()));
        let bad = |change: fn(&mut BatchHeader)| {
            let mut header = header();
            change(&mut header);
            validate(&header, &body()).unwrap_err()
        };
        assert!(bad(|h| h.last_offset_delta = 2).contains("last offset delta"));
        assert!(bad(|h| h.last_offset_delta = -1).contains("last offset delta"));
        assert!(bad(|h| h.record_count = -1).contains("record count"));
        assert!(bad(|h| h.max_timestamp += 1).contains("max timestamp"));
        assert!(bad(|h| h.base_timestamp = i64::MAX).contains("overflows"));
        assert!(bad(|h| (h.record_count, h.last_offset_delta) = (1, 0)).contains("left after"));
        assert!(bad(|h| (h.record_count, h.last_offset_delta) = (0, 0)).contains("no records"));
        let many = bad(|h| (h.record_count, h.last_offset_delta) = (i32::MAX, i32::MAX - 1));
        assert!(many.contains("more records"));
    }

    #[test]
    fn records_that_disagree_with_the_header() {
        let bad = |body: &[u8]| validate(&header(), body).unwrap_err();
        assert!(bad(&[body(), vec![0]].concat()).contains("left after"));
        assert!(bad(&body()[..body().len() - 1]).contains("cut short"));
        let mut gap = Vec::new();
        RecordBody::without_headers(None, Some(b"a")).place(0, 0).write(&mut gap);
        RecordBody::without_headers(None, Some(b"b")).place(2, 7).write(&mut gap);
        assert!(bad(&gap).contains("not its index"));
        for (reason, record) in [
            ("negative length", &[0x01, 0, 0, 0, 1, 1, 0][..]),
            ("longer than its fields", &[0x0e, 0, 0, 0, 1, 1, 0, 0]),
            ("negative header count", &[0x0c, 0, 0, 0, 1, 1, 1]),
            ("header without a name", &[0x10, 0, 0, 0, 1, 1, 2, 1, 1]),
            ("not UTF-8", &[0x12, 0, 0, 0, 1, 1, 2, 2, 0xff, 1]),
            ("malformed key", &[0x0c, 0, 0, 0, 3, 1, 0]),
            ("malformed value", &[0x0c, 0, 0, 0, 1, 4, 0]),
        ] {
            let padded = [record, &[0; 7]].concat();
            assert!(bad(&padded).contains(reason), "{reason}: {}", bad(&padded));
        }
    }

    #[test]
    fn headers_that_cannot_be() {
        let good = unhex(FULL);
        let bad = |at: usize, to: &[u8]| {
            let mut bytes = good.clone();
            bytes[at..at + to.len()].copy_from_slice(to);
            RecordBatchView::parse(&bytes).unwrap_err()
        };
        assert!(matches!(bad(16, &[1]), BatchError::Magic(1)));
        assert!(matches!(bad(8, &[0xff]), BatchError::Header("length")));
        assert!(matches!(bad(8, &[0, 0, 0, 48]), BatchError::Header("length")));
        assert!(matches!(bad(8, &[0x7f]), BatchError::Truncated));
        assert!(matches!(bad(22, &[0x15]), BatchError::Header(_)));
        assert!(matches!(bad(43, &[0xff]), BatchError::Header(_)));
        assert!(matches!(bad(53, &[0xff]), BatchError::Header(_)));
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let (batch, _) = RecordBatchView::parse(&flipped).unwrap();
        assert!(matches!(batch.verify_crc(), Err(BatchError::Checksum { .. })));
    }
}
