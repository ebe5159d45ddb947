//! Writing wire primitives into an owned buffer, with places for bytes that are held elsewhere.

use super::{EncodeError, MAX_STRING_LEN};
use crate::protocol::varint;
use byteorder::{BigEndian, ByteOrder};

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
