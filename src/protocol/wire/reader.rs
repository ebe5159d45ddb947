//! Reading wire primitives: a cursor over received bytes.

use super::{DecodeError, DecodeErrorKind, MAX_STRING_LEN};
use crate::protocol::varint;
use byteorder::{BigEndian, ByteOrder};

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
    pub(crate) fn length(&mut self, compact: bool, old_is_short: bool) -> Result<Option<usize>, DecodeError> {
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
