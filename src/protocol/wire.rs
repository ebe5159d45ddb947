//! The primitives of Kafka's wire format: integers, varints, strings, bytes, arrays, uuids, tagged fields.
//!
//! Owns: the cursor over received bytes and the buffer that requests are written into. Runs on any thread, takes no
//! lock. Must not know: messages, versions, sockets. Reading is total: each read checks what is left, and a count is
//! believed only as far as the bytes behind it could carry it. KIP-482 (compact types, tagged fields).

use super::varint;
use byteorder::{BigEndian, ByteOrder};
use std::fmt;

/// The longest string that Kafka accepts, in bytes; old and compact strings share the limit.
pub const MAX_STRING_LEN: usize = i16::MAX as usize;

/// Why bytes could not be read as what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    kind: DecodeErrorKind,
    at: usize,
    field: &'static str,
}

/// What was wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes end before the value does.
    UnexpectedEnd,
    /// A length or count below -1.
    NegativeLength,
    /// An array count that the remaining bytes cannot hold.
    CountTooBig,
    /// A string longer than [`MAX_STRING_LEN`].
    StringTooLong,
    /// A string that is not UTF-8.
    InvalidUtf8,
    /// A varint with more bits than its type.
    VarintOverflow,
    /// Null where the version does not allow it.
    UnexpectedNull,
    /// Bytes are left behind the end of the value.
    TrailingBytes,
    /// A version that this codec does not know.
    UnsupportedVersion,
}

impl DecodeError {
    pub(crate) const fn new(kind: DecodeErrorKind, at: usize) -> Self {
        Self { kind, at, field: "" }
    }

    /// Names the field; the innermost name wins, since callers add theirs on the way out.
    #[cold]
    pub(crate) const fn in_field(self, field: &'static str) -> Self {
        if self.field.is_empty() { Self { field, ..self } } else { self }
    }

    /// What was wrong.
    pub const fn kind(&self) -> DecodeErrorKind {
        self.kind
    }

    /// The offset at which it was noticed.
    pub const fn position(&self) -> usize {
        self.at
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DecodeErrorKind::UnexpectedEnd => "the bytes end too early",
            DecodeErrorKind::NegativeLength => "negative length",
            DecodeErrorKind::CountTooBig => "more array elements than the bytes can hold",
            DecodeErrorKind::StringTooLong => "string too long",
            DecodeErrorKind::InvalidUtf8 => "string is not UTF-8",
            DecodeErrorKind::VarintOverflow => "varint too long",
            DecodeErrorKind::UnexpectedNull => "null where a value is required",
            DecodeErrorKind::TrailingBytes => "bytes left over",
            DecodeErrorKind::UnsupportedVersion => "unsupported version",
        };
        write!(f, "{what} at byte {}", self.at)?;
        if !self.field.is_empty() {
            write!(f, " in {}", self.field)?;
        }
        Ok(())
    }
}

impl std::error::Error for DecodeError {}

/// Why a value could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message has no such version.
    UnsupportedVersion {
        /// The message's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The field holds something, but the version has no such field.
    FieldNotInVersion {
        /// Struct and field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The field is null, but the version does not allow it.
    UnexpectedNull {
        /// Struct and field.
        field: &'static str,
    },
    /// A string, array or frame is longer than its length prefix can say.
    TooLong {
        /// Struct and field, if known.
        field: &'static str,
    },
    /// A streaming encoder was given more or fewer elements than announced.
    Miscounted,
}

impl EncodeError {
    #[cold]
    pub(crate) fn in_field(self, field: &'static str) -> Self {
        match self {
            Self::UnexpectedNull { field: "" } => Self::UnexpectedNull { field },
            Self::TooLong { field: "" } => Self::TooLong { field },
            other => other,
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedVersion { message, version } => write!(f, "{message} has no version {version}"),
            Self::FieldNotInVersion { field, version } => {
                write!(f, "{field} is set but version {version} has no such field")
            }
            Self::UnexpectedNull { field } => write!(f, "{field} is null where a value is required"),
            Self::TooLong { field: "" } => f.write_str("a value is too long for its length prefix"),
            Self::TooLong { field } => write!(f, "{field} is too long for its length prefix"),
            Self::Miscounted => f.write_str("more or fewer elements were written than announced"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// A cursor over received bytes. Every read either returns a value or an error and never panics.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    buf: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    /// Reads `buf` from its start.
    #[inline]
    pub const fn new(buf: &'a [u8]) -> Self {
        Self { buf, pos: 0 }
    }

    /// How many bytes are left.
    #[inline]
    pub const fn remaining(&self) -> usize {
        self.buf.len() - self.pos
    }

    /// How many bytes have been read.
    #[inline]
    pub const fn position(&self) -> usize {
        self.pos
    }

    /// What is left, without reading it.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.buf.get(self.pos..).unwrap_or_default()
    }

    /// Fails if bytes are left.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.remaining() == 0 { Ok(()) } else { Err(self.error(DecodeErrorKind::TrailingBytes)) }
    }

    #[cold]
    pub(crate) const fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(kind, self.pos)
    }

    /// The next `len` bytes.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        // Compared against what is left, so that no length can overflow the sum.
        match self.rest().get(..len) {
            Some(bytes) => {
                self.pos += len;
                Ok(bytes)
            }
            None => Err(self.error(DecodeErrorKind::UnexpectedEnd)),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest().first_chunk::<N>() {
            Some(bytes) => {
                self.pos += N;
                Ok(*bytes)
            }
            None => Err(self.error(DecodeErrorKind::UnexpectedEnd)),
        }
    }

    /// One byte; anything but 0 is true, as in Java.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.u8()? != 0)
    }

    /// One unsigned byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// One signed byte.
    #[inline]
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        Ok(self.u8()? as i8)
    }

    /// Two bytes, big endian.
    #[inline]
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(BigEndian::read_i16(&self.array::<2>()?))
    }

    /// Four bytes, big endian.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(BigEndian::read_i32(&self.array::<4>()?))
    }

    /// Four bytes, big endian, unsigned.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(BigEndian::read_u32(&self.array::<4>()?))
    }

    /// Eight bytes, big endian.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(BigEndian::read_i64(&self.array::<8>()?))
    }

    /// Sixteen bytes.
    #[inline]
    pub fn uuid(&mut self) -> Result<[u8; 16], DecodeError> {
        self.array::<16>()
    }

    /// An unsigned varint of at most 32 bits.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let read = varint::read_unsigned_32(self.rest());
        self.varint_read(read, varint::MAX_LEN_32)
    }

    /// A zigzag varint of at most 32 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let read = varint::read_varint_32(self.rest());
        self.varint_read(read, varint::MAX_LEN_32)
    }

    /// A zigzag varint of at most 64 bits.
    #[inline]
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let read = varint::read_varint_64(self.rest());
        self.varint_read(read, varint::MAX_LEN_64)
    }

    #[inline]
    fn varint_read<T>(&mut self, read: Option<(T, usize)>, max_len: usize) -> Result<T, DecodeError> {
        if let Some((value, used)) = read {
            self.pos += used;
            return Ok(value);
        }
        // Cut off if every byte that is left says that more follow, and there could be more; else too long.
        let rest = self.rest();
        let cut_off = rest.len() < max_len && rest.iter().all(|&byte| byte >= 0x80);
        let kind = if cut_off { DecodeErrorKind::UnexpectedEnd } else { DecodeErrorKind::VarintOverflow };
        Err(self.error(kind))
    }

    /// The length of a string (old: two bytes) or of bytes and arrays (old: four bytes); `None` is null.
    #[inline]
    fn length(&mut self, compact: bool, old_is_short: bool) -> Result<Option<usize>, DecodeError> {
        if compact {
            return Ok((self.uvarint()? as usize).checked_sub(1));
        }
        let len = if old_is_short { i32::from(self.i16()?) } else { self.i32()? };
        match usize::try_from(len) {
            Ok(len) => Ok(Some(len)),
            Err(_) if len == -1 => Ok(None),
            Err(_) => Err(self.error(DecodeErrorKind::NegativeLength)),
        }
    }

    /// A string or null. `compact`: the flexible versions' form.
    #[inline]
    pub fn nullable_string(&mut self, compact: bool) -> Result<Option<&'a str>, DecodeError> {
        let Some(len) = self.length(compact, true)? else { return Ok(None) };
        if len > MAX_STRING_LEN {
            return Err(self.error(DecodeErrorKind::StringTooLong));
        }
        let bytes = self.take(len)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self.error(DecodeErrorKind::InvalidUtf8)),
        }
    }

    /// A string that must not be null.
    #[inline]
    pub fn string(&mut self, compact: bool) -> Result<&'a str, DecodeError> {
        self.nullable_string(compact)?.ok_or_else(|| self.error(DecodeErrorKind::UnexpectedNull))
    }

    /// Bytes or null.
    #[inline]
    pub fn nullable_bytes(&mut self, compact: bool) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.length(compact, false)? {
            Some(len) => self.take(len).map(Some),
            None => Ok(None),
        }
    }

    /// Bytes that must not be null.
    #[inline]
    pub fn bytes(&mut self, compact: bool) -> Result<&'a [u8], DecodeError> {
        self.nullable_bytes(compact)?.ok_or_else(|| self.error(DecodeErrorKind::UnexpectedNull))
    }

    /// The count of an array whose elements take at least `min_size` bytes each; `None` is null. A count that the
    /// bytes left cannot hold is an error, so the caller may reserve room for what is returned.
    #[inline]
    pub fn nullable_array_len(
        &mut self,
        compact: bool,
        min_size: usize,
    ) -> Result<Option<usize>, DecodeError> {
        let Some(count) = self.length(compact, false)? else { return Ok(None) };
        if count > self.remaining() / min_size.max(1) {
            return Err(self.error(DecodeErrorKind::CountTooBig));
        }
        Ok(Some(count))
    }

    /// The count of an array that must not be null; see [`Self::nullable_array_len`].
    #[inline]
    pub fn array_len(&mut self, compact: bool, min_size: usize) -> Result<usize, DecodeError> {
        self.nullable_array_len(compact, min_size)?.ok_or_else(|| self.error(DecodeErrorKind::UnexpectedNull))
    }

    /// Reads the tagged fields. `take` gets each tag with a reader over exactly its bytes and says whether it knew
    /// the tag; a known one must have been read to its end, an unknown one is skipped.
    #[inline]
    pub fn tagged_fields(
        &mut self,
        mut take: impl FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            let size = self.uvarint()? as usize;
            let start = self.pos;
            self.take(size)?;
            // Shares the outer buffer's start, so that positions in errors stay those of the message.
            let mut inner = Self { buf: self.buf.get(..self.pos).unwrap_or_default(), pos: start };
            if take(tag, &mut inner)? {
                inner.finish()?;
            }
        }
        Ok(())
    }

    /// Skips all tagged fields.
    #[inline]
    pub fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        self.tagged_fields(|_, _| Ok(false))
    }
}

/// A place in a [`Writer`]'s bytes where `len` bytes held elsewhere belong: between `bytes[..at]` and `bytes[at..]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice {
    /// The offset in the writer's own bytes.
    pub at: usize,
    /// How many foreign bytes follow there.
    pub len: usize,
}

/// Where a frame started; see [`Writer::begin_frame`].
#[derive(Debug)]
#[must_use = "a frame whose length is never patched is not a frame"]
pub struct FrameStart {
    at: usize,
    spliced: usize,
}

/// Appends wire primitives to an owned buffer. Record batches are not copied in: [`Writer::splice`] notes their place
/// and length, and the caller sends everything with one vectored write.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    buf: Vec<u8>,
    splices: Vec<Splice>,
    spliced: usize,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer that reuses the memory of earlier parts.
    pub fn reuse(mut buf: Vec<u8>, mut splices: Vec<Splice>) -> Self {
        buf.clear();
        splices.clear();
        Self { buf, splices, spliced: 0 }
    }

    /// Forgets what was written but keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.splices.clear();
        self.spliced = 0;
    }

    /// The owned bytes and the places of the foreign ones, in ascending order.
    pub fn into_parts(self) -> (Vec<u8>, Vec<Splice>) {
        (self.buf, self.splices)
    }

    /// The owned bytes written so far, without the spliced ones.
    pub fn as_slice(&self) -> &[u8] {
        &self.buf
    }

    /// The places of the foreign bytes so far.
    pub fn splices(&self) -> &[Splice] {
        &self.splices
    }

    /// Bytes written so far, spliced ones included.
    pub fn total_len(&self) -> usize {
        self.buf.len() + self.spliced
    }

    /// Notes that `len` bytes held elsewhere belong here.
    #[inline]
    pub fn splice(&mut self, len: usize) {
        self.spliced += len;
        self.splices.push(Splice { at: self.buf.len(), len });
    }

    /// Leaves room for the frame's length.
    #[inline]
    pub fn begin_frame(&mut self) -> FrameStart {
        let start = FrameStart { at: self.buf.len(), spliced: self.spliced };
        self.buf.extend_from_slice(&[0; 4]);
        start
    }

    /// Writes the length of everything since `start`, spliced bytes included, into the room left for it.
    pub fn end_frame(&mut self, start: FrameStart) -> Result<(), EncodeError> {
        let own = self.buf.len().saturating_sub(start.at).saturating_sub(4);
        let foreign = self.spliced.saturating_sub(start.spliced);
        let len =
            i32::try_from(own.saturating_add(foreign)).map_err(|_| EncodeError::TooLong { field: "" })?;
        if let Some(room) = self.buf.get_mut(start.at..start.at + 4) {
            BigEndian::write_i32(room, len);
        }
        Ok(())
    }

    /// Appends bytes as they are.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// One byte, 1 or 0.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.buf.push(u8::from(value));
    }

    /// One byte.
    #[inline]
    pub fn i8(&mut self, value: i8) {
        self.buf.push(value as u8);
    }

    /// Two bytes, big endian.
    #[inline]
    pub fn i16(&mut self, value: i16) {
        let mut bytes = [0; 2];
        BigEndian::write_i16(&mut bytes, value);
        self.raw(&bytes);
    }

    /// Four bytes, big endian.
    #[inline]
    pub fn i32(&mut self, value: i32) {
        let mut bytes = [0; 4];
        BigEndian::write_i32(&mut bytes, value);
        self.raw(&bytes);
    }

    /// Eight bytes, big endian.
    #[inline]
    pub fn i64(&mut self, value: i64) {
        let mut bytes = [0; 8];
        BigEndian::write_i64(&mut bytes, value);
        self.raw(&bytes);
    }

    /// Sixteen bytes.
    #[inline]
    pub fn uuid(&mut self, value: &[u8; 16]) {
        self.raw(value);
    }

    /// An unsigned varint.
    #[inline]
    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buf.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.buf.push(value as u8);
    }

    /// A zigzag varint, of either width.
    #[inline]
    pub fn varint(&mut self, value: i64) {
        let mut bytes = varint::StackBuffer::new();
        bytes.varint(value);
        self.raw(bytes.as_slice());
    }

    /// A string or null. `compact`: the flexible versions' form.
    #[inline]
    pub fn nullable_string(&mut self, value: Option<&str>, compact: bool) -> Result<(), EncodeError> {
        let len = match value {
            None => -1,
            Some(text) if text.len() > MAX_STRING_LEN => return Err(EncodeError::TooLong { field: "" }),
            Some(text) => text.len() as i16,
        };
        if compact {
            self.uvarint((i32::from(len) + 1) as u32);
        } else {
            self.i16(len);
        }
        self.raw(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// A string.
    #[inline]
    pub fn string(&mut self, value: &str, compact: bool) -> Result<(), EncodeError> {
        self.nullable_string(Some(value), compact)
    }

    /// The length prefix of bytes or of an array; `None` is null.
    #[inline]
    pub fn length(&mut self, len: Option<usize>, compact: bool) -> Result<(), EncodeError> {
        let len = match len {
            None => -1,
            Some(len) => i32::try_from(len).map_err(|_| EncodeError::TooLong { field: "" })?,
        };
        if compact {
            self.uvarint((len as u32).wrapping_add(1));
        } else {
            self.i32(len);
        }
        Ok(())
    }

    /// Bytes or null, copied.
    #[inline]
    pub fn nullable_bytes(&mut self, value: Option<&[u8]>, compact: bool) -> Result<(), EncodeError> {
        self.length(value.map(<[u8]>::len), compact)?;
        self.raw(value.unwrap_or_default());
        Ok(())
    }

    /// The empty set of tagged fields, if the version is flexible.
    #[inline]
    pub fn no_tagged_fields(&mut self, flexible: bool) {
        if flexible {
            self.buf.push(0);
        }
    }

    /// One tagged field: tag, size, and what `put` writes. `put` must not splice.
    pub fn tagged_field(
        &mut self,
        tag: u32,
        put: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.uvarint(tag);
        let start = self.buf.len();
        put(self)?;
        // The size precedes the content but is known only now: written behind it and rotated to the front.
        let end = self.buf.len();
        let size = u32::try_from(end - start).map_err(|_| EncodeError::TooLong { field: "" })?;
        self.uvarint(size);
        let prefix = self.buf.len() - end;
        if let Some(tail) = self.buf.get_mut(start..) {
            tail.rotate_right(prefix);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(put: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut w = Writer::new();
        put(&mut w);
        w.into_parts().0
    }

    fn kind<T: fmt::Debug>(result: Result<T, DecodeError>) -> DecodeErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn integers_are_big_endian() {
        let bytes = written(|w| {
            w.i16(-2);
            w.i32(0x0102_0304);
            w.i64(-3);
            w.i8(-1);
            w.bool(true);
        });
        assert_eq!(bytes[..6], [0xff, 0xfe, 1, 2, 3, 4]);
        let mut r = Reader::new(&bytes);
        assert_eq!((r.i16(), r.i32(), r.i64()), (Ok(-2), Ok(0x0102_0304), Ok(-3)));
        assert_eq!((r.i8(), r.bool()), (Ok(-1), Ok(true)));
        assert_eq!(kind(r.u8()), DecodeErrorKind::UnexpectedEnd);
        assert_eq!(Reader::new(&[1, 0, 0, 0]).u32(), Ok(0x0100_0000));
    }

    #[test]
    fn varints_come_back_and_too_long_ones_do_not() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u32::MAX] {
            let bytes = written(|w| w.uvarint(value));
            assert_eq!(Reader::new(&bytes).uvarint(), Ok(value));
            let cut = &bytes[..bytes.len() - 1];
            assert_eq!(kind(Reader::new(cut).uvarint()), DecodeErrorKind::UnexpectedEnd);
        }
        for value in [0, -1, 1, i32::MIN, i32::MAX] {
            let bytes = written(|w| w.varint(value.into()));
            assert_eq!(Reader::new(&bytes).varint(), Ok(value));
            assert_eq!(Reader::new(&bytes).varlong(), Ok(value.into()));
        }
        let bytes = written(|w| w.varint(i64::MIN));
        assert_eq!(Reader::new(&bytes).varlong(), Ok(i64::MIN));
        for bytes in [&[0xff, 0xff, 0xff, 0xff, 0x1f][..], &[0x80; 5], &[0x80; 20]] {
            assert_eq!(kind(Reader::new(bytes).uvarint()), DecodeErrorKind::VarintOverflow);
        }
    }

    #[test]
    fn strings_in_both_forms() {
        for (compact, null, text) in [(false, &[0xff, 0xff][..], &[0, 1, b'x'][..]), (true, &[0], &[2, b'x'])]
        {
            assert_eq!(written(|w| w.nullable_string(None, compact).unwrap()), null);
            assert_eq!(written(|w| w.string("x", compact).unwrap()), text);
            assert_eq!(Reader::new(null).nullable_string(compact), Ok(None));
            assert_eq!(kind(Reader::new(null).string(compact)), DecodeErrorKind::UnexpectedNull);
            assert_eq!(Reader::new(text).string(compact), Ok("x"));
            let long = "x".repeat(MAX_STRING_LEN + 1);
            assert_eq!(Writer::new().string(&long, compact), Err(EncodeError::TooLong { field: "" }));
        }
        assert_eq!(kind(Reader::new(&[0xff, 0xfe]).string(false)), DecodeErrorKind::NegativeLength);
        assert_eq!(kind(Reader::new(&[2, 0xff]).string(true)), DecodeErrorKind::InvalidUtf8);
        assert_eq!(kind(Reader::new(&[0x81, 0x80, 0x02]).string(true)), DecodeErrorKind::StringTooLong);
        assert_eq!(kind(Reader::new(&[5, b'x']).string(true)), DecodeErrorKind::UnexpectedEnd);
    }

    #[test]
    fn counts_are_believed_only_as_far_as_bytes_could_carry_them() {
        let bytes = [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Reader::new(&bytes).array_len(false, 3), Ok(2));
        assert_eq!(kind(Reader::new(&bytes).array_len(false, 4)), DecodeErrorKind::CountTooBig);
        let most = [0x7f, 0xff, 0xff, 0xff];
        assert_eq!(kind(Reader::new(&most).array_len(false, 0)), DecodeErrorKind::CountTooBig);
        assert_eq!(Reader::new(&[0xff; 4]).nullable_array_len(false, 1), Ok(None));
        assert_eq!(kind(Reader::new(&[0xff; 4]).array_len(false, 1)), DecodeErrorKind::UnexpectedNull);
    }

    #[test]
    fn bytes_in_both_forms() {
        for compact in [false, true] {
            let bytes = written(|w| w.nullable_bytes(Some(&[7; 200]), compact).unwrap());
            assert_eq!(Reader::new(&bytes).bytes(compact), Ok(&[7; 200][..]));
            let null = written(|w| w.nullable_bytes(None, compact).unwrap());
            assert_eq!(Reader::new(&null).nullable_bytes(compact), Ok(None));
        }
    }

    #[test]
    fn a_known_tagged_field_must_fill_its_size() {
        let bytes = written(|w| {
            w.uvarint(2);
            w.tagged_field(0, |w| w.string("hello", true)).unwrap();
            w.tagged_field(7, |w| {
                w.raw(&[1; 300]);
                Ok(())
            })
            .unwrap();
        });
        let mut seen = String::new();
        let mut r = Reader::new(&bytes);
        r.tagged_fields(|tag, r| {
            if tag == 0 {
                seen.push_str(r.string(true)?);
            }
            Ok(tag == 0)
        })
        .unwrap();
        assert_eq!(seen, "hello");
        r.finish().unwrap();
        assert_eq!(kind(Reader::new(&bytes).tagged_fields(|_, _| Ok(true))), DecodeErrorKind::TrailingBytes);
        let cut = &bytes[..bytes.len() - 1];
        assert_eq!(kind(Reader::new(cut).skip_tagged_fields()), DecodeErrorKind::UnexpectedEnd);
    }

    #[test]
    fn a_frame_too_long_for_its_prefix_is_refused() {
        let mut w = Writer::new();
        let start = w.begin_frame();
        w.splice(i32::MAX as usize);
        w.i8(0);
        assert_eq!(w.end_frame(start), Err(EncodeError::TooLong { field: "" }));
    }

    #[test]
    fn a_reused_writer_starts_empty() {
        let mut w = Writer::new();
        w.i64(1);
        w.splice(3);
        let (buf, splices) = w.into_parts();
        let capacity = buf.capacity();
        let mut w = Writer::reuse(buf, splices);
        assert_eq!((w.total_len(), w.splices().len()), (0, 0));
        w.i64(2);
        assert_eq!(w.into_parts().0.capacity(), capacity);
    }

    #[test]
    fn errors_say_what_and_where() {
        let error = Reader::new(&[0, 5]).string(false).unwrap_err().in_field("Topic.name").in_field("outer");
        assert_eq!(error.to_string(), "the bytes end too early at byte 2 in Topic.name");
        assert_eq!(error.position(), 2);
        let error = EncodeError::TooLong { field: "" }.in_field("Topic.name");
        assert_eq!(error.to_string(), "Topic.name is too long for its length prefix");
    }
}
