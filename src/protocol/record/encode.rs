//! Writing one record into a batch's body: the hot path of `send`.
//!
//! Runs on application threads, the last two steps under the partition's lock; takes none itself, allocates nothing.
//! [`RecordBody::new`] measures once, before the lock; [`RecordBody::place`] adds the two deltas, which are only known
//! under it; [`PlacedRecord::write`] copies. [`SmallRecord`] is the short cut that nearly all records take. It knows neither chunks nor batches (KIP-98, headers KIP-82).

use crate::protocol::record::header::BATCH_HEADER_LEN;
use crate::protocol::varint::{PackedVarints, Preamble, StackBuffer, unsigned_len, varint_len};

/// What a record costs at most beside its key, value and headers: length 5, attributes 1, timestamp 10, offset 5.
const MAX_RECORD_OVERHEAD: usize = 21;

/// Where encoded bytes go: a batch's chunk list, a `Vec`.
pub trait RecordSink {
    /// Appends all of `bytes`.
    fn put(&mut self, bytes: &[u8]);
}

impl RecordSink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl<S: RecordSink + ?Sized> RecordSink for &mut S {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        (**self).put(bytes);
    }
}

/// One record's contents, measured: key, value and headers as they will be copied.
///
/// `headers` yields name and value in order; names may repeat, values may be null. It is cloned to measure and again to
/// write, so it must yield the same items each time.
#[derive(Clone, Debug)]
pub struct RecordBody<'a, H> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: H,
    header_count: usize,
    /// Key, value and headers with their lengths; the frame's other fields depend on the place in the batch.
    contents_len: usize,
}

/// A record whose place in its batch is fixed, so that its length is known to the byte.
#[derive(Clone, Copy, Debug)]
pub struct PlacedRecord<'r, 'a, H> {
    record: &'r RecordBody<'a, H>,
    offset_delta: i32,
    timestamp_delta: i64,
    /// What the record's length field says: everything after that field.
    body_len: usize,
}

impl<'a> RecordBody<'a, std::iter::Empty<(&'a str, Option<&'a [u8]>)>> {
    /// Measures a record without headers.
    #[inline]
    pub fn without_headers(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Self {
        Self::new(key, value, std::iter::empty())
    }
}

impl<'a, H> RecordBody<'a, H>
where
    H: Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
{
    /// Measures a record. Lengths are written as they are; a caller keeps [`Self::upper_bound`] within the limits of the
    /// format (2 GiB) before it writes.
    #[inline(always)]
    pub fn new(key: Option<&'a [u8]>, value: Option<&'a [u8]>, headers: H) -> Self {
        let mut header_count = 0;
        let mut contents_len = field_len(key) + field_len(value);
        // Most records have none, and iterators that know so need not be asked.
        if headers.size_hint() != (0, Some(0)) {
            for (name, value) in headers.clone() {
                header_count += 1;
                contents_len += field_len(Some(name.as_bytes())) + field_len(value);
            }
        }
        contents_len += len_of_len(header_count);
        Self { key, value, headers, header_count, contents_len }
    }

    /// What a batch of only this record takes at most, in bytes, before compression. It is Java's estimate, which
    /// `max.request.size` and a batch's first reservation go by.
    #[inline]
    pub fn upper_bound(&self) -> usize {
        BATCH_HEADER_LEN + MAX_RECORD_OVERHEAD + self.contents_len
    }

    /// Whether it has no headers and takes less than 8 KiB.
    #[inline(always)]
    pub fn is_small(&self) -> bool {
        // Each of its lengths, doubled as varints have them, is short if that of the whole is.
        const LIMIT: usize = PackedVarints::SHORT_LIMIT as usize / 2 - Preamble::CAPACITY;
        self.header_count == 0 && self.contents_len < LIMIT
    }

    /// Fixes the record's place: `offset_delta` is its index in the batch, `timestamp_delta` its distance in
    /// milliseconds from the batch's base timestamp. A record that does not fit there may be placed again elsewhere.
    #[inline]
    pub fn place(&self, offset_delta: i32, timestamp_delta: i64) -> PlacedRecord<'_, 'a, H> {
        let body_len =
            1 + varint_len(timestamp_delta) + varint_len(i64::from(offset_delta)) + self.contents_len;
        PlacedRecord { record: self, offset_delta, timestamp_delta, body_len }
    }
}

impl<'a, H> PlacedRecord<'_, 'a, H>
where
    H: Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
{
    /// The bytes that [`Self::write`] will put, exactly.
    #[inline]
    pub fn encoded_len(&self) -> usize {
        len_of_len(self.body_len) + self.body_len
    }

    /// Writes the record. The small fields between the payloads are gathered on the stack, so that a record costs one
    /// copy per payload and one per gap.
    #[inline]
    pub fn write<S: RecordSink + ?Sized>(self, sink: &mut S) {
        let record = self.record;
        let mut frame = StackBuffer::new();
        put_len(&mut frame, self.body_len);
        frame.byte(0);
        frame.varint(self.timestamp_delta);
        frame.varint(i64::from(self.offset_delta));
        put_field(&mut frame, sink, record.key);
        put_field(&mut frame, sink, record.value);
        put_len(&mut frame, record.header_count);
        if record.header_count != 0 {
            for (name, value) in record.headers.clone() {
                put_field(&mut frame, sink, Some(name.as_bytes()));
                put_field(&mut frame, sink, value);
            }
        }
        if !frame.as_slice().is_empty() {
            sink.put(frame.as_slice());
        }
    }
}

/// How much more room than the record's length [`SmallRecord::write`] needs.
pub const ROOM_BEHIND: usize = PackedVarints::CAPACITY;

/// A record without headers of less than 8 KiB, as most are, in its place: written a good deal cheaper than others.
#[derive(Clone, Copy, Debug)]
pub struct SmallRecord<'a> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    preamble: PackedVarints,
    body_len: usize,
}

impl<'a> SmallRecord<'a> {
    /// The record, which [is small](RecordBody::is_small), behind its preamble, unless that is empty.
    #[inline(always)]
    pub fn new<H>(record: &RecordBody<'a, H>, preamble: PackedVarints) -> Option<Self> {
        let body_len = preamble.len() + record.contents_len;
        let small = Self { key: record.key, value: record.value, preamble, body_len };
        (!preamble.is_empty()).then_some(small)
    }

    /// The bytes that [`Self::write`] appends, exactly.
    #[inline(always)]
    pub fn encoded_len(&self) -> usize {
        1 + usize::from(self.body_len >= 64) + self.body_len
    }

    /// Writes the record. `out` needs [`ROOM_BEHIND`] bytes more room than that, or it grows.
    #[inline(always)]
    pub fn write(self, out: &mut Vec<u8>) {
        let mut frame = PackedVarints::default();
        frame.add_short((self.body_len as u64) << 1);
        frame.append(self.preamble);
        frame.put(out);
        let mut frame = PackedVarints::default();
        if let Some(key) = self.key {
            frame.add_short((key.len() as u64) << 1);
            frame.put(out);
            out.extend_from_slice(key);
            frame = PackedVarints::default();
        } else {
            frame.byte(NULL);
        }
        match self.value {
            Some(value) => {
                frame.add_short((value.len() as u64) << 1);
                frame.put(out);
                out.extend_from_slice(value);
            }
            None => {
                frame.byte(NULL);
                frame.put(out);
            }
        }
        // No headers.
        out.push(0);
    }
}

/// The length of a field that is null, as a varint: -1.
const NULL: u8 = 1;

/// Adds the field's length to what is gathered and, unless the field is null, sends both on their way.
#[inline]
fn put_field<S: RecordSink + ?Sized>(frame: &mut StackBuffer, sink: &mut S, field: Option<&[u8]>) {
    let Some(bytes) = field else {
        frame.varint(-1);
        return;
    };
    put_len(frame, bytes.len());
    sink.put(frame.as_slice());
    sink.put(bytes);
    frame.clear();
}

// A length is never negative, so its zigzag form is its double; in 64 bits no length is cut.
#[inline]
fn put_len(frame: &mut StackBuffer, len: usize) {
    frame.unsigned((len as u64) << 1);
}

#[inline(always)]
fn len_of_len(len: usize) -> usize {
    unsigned_len((len as u64) << 1)
}

#[inline(always)]
fn field_len(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| len_of_len(bytes.len()) + bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode<'a>(
        record: &RecordBody<'a, impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone>,
        offset: i32,
        timestamp: i64,
    ) -> Vec<u8> {
        let placed = record.place(offset, timestamp);
        let mut out = Vec::new();
        let len = placed.encoded_len();
        placed.clone().write(&mut out);
        assert_eq!(out.len(), len);
        let preamble = Preamble::new().of(offset as u32, timestamp);
        if let Some(small) = SmallRecord::new(record, preamble).filter(|_| record.is_small()) {
            let mut bytes = Vec::with_capacity(len + ROOM_BEHIND);
            small.write(&mut bytes);
            assert_eq!(
                (&bytes, bytes.capacity()),
                (&out, len + ROOM_BEHIND),
                "the same, and it did not grow"
            );
            assert_eq!(small.encoded_len(), len);
        }
        out
    }

    #[test]
    fn small_records_are_the_same_bytes_at_every_length() {
        let bytes = vec![7u8; 9_000];
        for len in (0..300).chain(8_000..8_300) {
            let value = bytes.get(..len);
            encode(&RecordBody::without_headers(None, value), 1 << 13, 70);
            encode(&RecordBody::without_headers(value, None), 63, 0);
            encode(&RecordBody::without_headers(Some(b"key"), value), 64, -64);
        }
    }

    #[test]
    fn key_and_value() {
        let record = RecordBody::without_headers(Some(b"k"), Some(b"val"));
        // length 10, attributes, timestamp +5, offset 2, key 1, value 3, no headers
        assert_eq!(encode(&record, 2, 5), [0x14, 0x00, 0x0a, 0x04, 0x02, b'k', 0x06, b'v', b'a', b'l', 0x00]);
        assert_eq!(record.upper_bound(), 61 + 21 + 2 + 4 + 1);
    }

    #[test]
    fn nulls_are_minus_one_and_not_empty() {
        assert_eq!(encode(&RecordBody::without_headers(None, None), 0, 0), [0x0c, 0, 0, 0, 1, 1, 0]);
        assert_eq!(
            encode(&RecordBody::without_headers(Some(b""), Some(b"")), 0, 0),
            [0x0c, 0, 0, 0, 0, 0, 0]
        );
    }

    #[test]
    fn headers_keep_order_repeats_and_nulls() {
        let headers: [(&str, Option<&[u8]>); 4] =
            [("a", Some(b"1")), ("a", None), ("é", None), ("", Some(b""))];
        let record = RecordBody::new(None, Some(b"v"), headers.iter().copied());
        assert_eq!(
            encode(&record, 0, -1),
            [
                0x28, 0, 0x01, 0, 0x01, 0x02, b'v',
                0x08, // 20 bytes: frame, null key, value, four headers
                0x02, b'a', 0x02, b'1', 0x02, b'a', 0x01, 0x04, 0xc3, 0xa9, 0x01, 0x00, 0x00,
            ]
        );
    }

    #[test]
    fn widest_frame_fits_the_stack_buffer() {
        let value = vec![7u8; 3 << 20];
        let headers: [(&str, Option<&[u8]>); 1] = [("h", None)];
        let wide = RecordBody::new(None, Some(&value), headers.iter().copied());
        let bytes = encode(&wide, i32::MIN, i64::MIN);
        assert!(bytes.len() <= wide.upper_bound() - BATCH_HEADER_LEN);
        encode(&RecordBody::new(None, None, headers.iter().copied()), i32::MAX, i64::MAX);
    }
}
