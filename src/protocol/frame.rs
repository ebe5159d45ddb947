//! Splits a byte stream into frames: four bytes of length, then that many bytes.
//!
//! Owns: the receive buffer of one connection. Runs on whichever thread owns the connection, takes no lock, does no
//! I/O but what [`FrameBuffer::read_from`] is handed. Must not know: what is in a frame.
//!
//! The buffer grows as bytes arrive, never because a length says so, and is reused: in steady state a frame costs no
//! allocation. A length that cannot be one is usually the greeting of another protocol, and the error says which.

use byteorder::{BigEndian, ByteOrder};
use std::fmt;
use std::io::{self, Read};

/// The longest frame accepted by default, in bytes: what a Kafka broker accepts by default.
pub const DEFAULT_MAX_FRAME: usize = 100 * 1024 * 1024;

const PREFIX: usize = 4;
const MIN_ROOM: usize = 16 * 1024;
/// A buffer above this size goes back once frames have stayed far below it for a while.
const KEEP: usize = 1024 * 1024;
const SHRINK_AFTER: u32 = 64;

/// A length prefix that cannot be one: negative, or above the cap. The stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError {
    prefix: [u8; PREFIX],
    max: usize,
}

impl FrameError {
    /// The four bytes that should have been a length.
    pub const fn prefix(&self) -> [u8; 4] {
        self.prefix
    }

    /// What the peer probably speaks instead of Kafka's protocol, if the bytes tell.
    pub const fn likely_cause(&self) -> Option<&'static str> {
        match &self.prefix {
            [0x15, 0x03, ..] => Some("a TLS alert: the peer expects TLS, or refused the TLS handshake"),
            [0x16, 0x03, ..] => {
                Some("a TLS handshake: the peer speaks TLS on a connection meant to be plain")
            }
            b"HTTP" => Some("an HTTP response: the port belongs to a web server"),
            b"GET " | b"POST" | b"PUT " | b"HEAD" | b"OPTI" | b"CONN" => {
                Some("an HTTP request: the peer takes this for a web server")
            }
            b"SSH-" => Some("an SSH greeting: the port belongs to an SSH server"),
            _ => None,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = BigEndian::read_i32(&self.prefix);
        if size < 0 {
            write!(f, "received a frame of negative length {size}")?;
        } else {
            write!(f, "received a frame of {size} bytes, more than the {} allowed", self.max)?;
        }
        match self.likely_cause() {
            Some(cause) => write!(f, "; this is {cause}"),
            None => f.write_str("; the peer is probably not a Kafka broker"),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Collects received bytes and hands out whole frames, borrowed.
///
/// ```
/// use kafka_producer::protocol::frame::FrameBuffer;
/// let mut frames = FrameBuffer::new(1024);
/// frames.extend(&[0, 0, 0, 2, 7]);
/// assert_eq!(frames.next_frame(), Ok(None));
/// frames.extend(&[8]);
/// assert_eq!(frames.next_frame(), Ok(Some(&[7, 8][..])));
/// ```
#[derive(Debug)]
pub struct FrameBuffer {
    /// Zeroed memory; `start..end` is what was received and not yet handed out.
    buf: Vec<u8>,
    start: usize,
    end: usize,
    max: usize,
    /// Bytes handed out since the buffer was last empty, and how often in a row it emptied far below its size.
    since_empty: usize,
    small_rounds: u32,
}

impl Default for FrameBuffer {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_FRAME)
    }
}

impl FrameBuffer {
    /// An empty buffer that accepts frames of up to `max_frame` bytes. Allocates nothing until bytes arrive.
    pub fn new(max_frame: usize) -> Self {
        Self { buf: Vec::new(), start: 0, end: 0, max: max_frame, since_empty: 0, small_rounds: 0 }
    }

    /// Bytes received and not yet handed out; not 0 at the end of the stream means that a frame was cut off.
    pub fn buffered(&self) -> usize {
        self.end - self.start
    }

    /// How much memory the buffer holds.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// Room to receive into, at least 16 KiB. Then call [`Self::received`].
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.rewind();
        }
        if self.buf.len() - self.end < MIN_ROOM {
            self.make_room();
        }
        self.buf.get_mut(self.end..).unwrap_or_default()
    }

    /// Tells that `count` bytes were put at the start of [`Self::room`]. More than the room counts as all of it.
    pub fn received(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.buf.len());
    }

    /// Reads once. `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    /// What `source` reports; nothing is lost then.
    pub fn read_from(&mut self, source: &mut impl Read) -> io::Result<usize> {
        let count = source.read(self.room())?;
        self.received(count);
        Ok(count)
    }

    /// Appends a copy of `bytes`.
    pub fn extend(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.room();
            let count = room.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            if let Some(target) = room.get_mut(..count) {
                target.copy_from_slice(now);
            }
            self.received(count);
            bytes = later;
        }
    }

    /// The next whole frame without its length, or `None` if more bytes are needed. The frame counts as consumed.
    ///
    /// # Errors
    /// The length is negative or too big, and will stay so: close the connection.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let received = self.buf.get(self.start..self.end).unwrap_or_default();
        let Some((prefix, rest)) = received.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let error = FrameError { prefix: *prefix, max: self.max };
        let size = usize::try_from(BigEndian::read_i32(prefix)).map_err(|_| error)?;
        if size > self.max {
            return Err(error);
        }
        let Some(frame) = rest.get(..size) else { return Ok(None) };
        self.start += PREFIX + size;
        self.since_empty += PREFIX + size;
        Ok(Some(frame))
    }

    /// Everything was handed out: start again at the front, and give a buffer back that has grown too big for what
    /// comes now.
    fn rewind(&mut self) {
        self.start = 0;
        self.end = 0;
        if self.buf.len() > KEEP && self.since_empty < self.buf.len() / 8 {
            self.small_rounds += 1;
            if self.small_rounds >= SHRINK_AFTER {
                self.buf = Vec::new();
                self.small_rounds = 0;
            }
        } else {
            self.small_rounds = 0;
        }
        self.since_empty = 0;
    }

    /// Moves what is left to the front; if that is not enough, doubles the buffer. What is left is then at least half
    /// of it, so the memory stays below twice the bytes received, plus the minimal room.
    #[cold]
    fn make_room(&mut self) {
        if self.start > 0 {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buf.len() - self.end < MIN_ROOM {
            let len = (self.end * 2).max(self.end + MIN_ROOM);
            self.buf.reserve_exact(len - self.buf.len());
            self.buf.resize(len, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(sizes: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (i, &size) in sizes.iter().enumerate() {
            bytes.extend_from_slice(&(size as i32).to_be_bytes());
            bytes.extend(std::iter::repeat_n(i as u8, size));
        }
        bytes
    }

    fn sizes_at_chunk(bytes: &[u8], chunk: usize) -> Vec<(usize, bool)> {
        let mut frames = FrameBuffer::new(DEFAULT_MAX_FRAME);
        let mut seen = Vec::new();
        for part in bytes.chunks(chunk) {
            frames.extend(part);
            while let Some(frame) = frames.next_frame().unwrap() {
                let i = seen.len() as u8;
                seen.push((frame.len(), frame.iter().all(|&b| b == i)));
            }
        }
        assert_eq!(frames.buffered(), 0);
        seen
    }

    #[test]
    fn frames_do_not_depend_on_how_the_bytes_arrive() {
        let sizes = [0, 1, 5, 20_000, 3, 100_000, 0, 16_380, 7];
        let bytes = stream(&sizes);
        let expected: Vec<_> = sizes.iter().map(|&size| (size, true)).collect();
        for chunk in [1, 2, 3, 4, 5, 7, 100, 4096, 16_384, 16_385, 1_000_000] {
            assert_eq!(sizes_at_chunk(&bytes, chunk), expected, "chunk {chunk}");
        }
    }

    #[test]
    fn a_length_alone_allocates_nothing() {
        let mut frames = FrameBuffer::new(DEFAULT_MAX_FRAME);
        frames.extend(&(90 * 1024 * 1024_i32).to_be_bytes());
        assert_eq!(frames.next_frame(), Ok(None));
        assert!(frames.capacity() <= MIN_ROOM + PREFIX);
        for received in 1..200_usize {
            frames.extend(&[0; 4096]);
            assert_eq!(frames.next_frame(), Ok(None));
            assert!(frames.capacity() <= 2 * (received * 4096 + PREFIX) + 2 * MIN_ROOM);
        }
    }

    #[test]
    fn steady_state_keeps_its_memory() {
        let mut frames = FrameBuffer::new(DEFAULT_MAX_FRAME);
        let round = stream(&[10_000, 300, 0]);
        frames.extend(&round);
        while frames.next_frame().unwrap().is_some() {}
        let capacity = frames.capacity();
        for _ in 0..1000 {
            frames.extend(&round);
            while frames.next_frame().unwrap().is_some() {}
        }
        assert_eq!(frames.capacity(), capacity);
    }

    #[test]
    fn one_big_frame_does_not_hold_its_memory_for_ever() {
        let mut frames = FrameBuffer::new(DEFAULT_MAX_FRAME);
        frames.extend(&stream(&[8 * 1024 * 1024]));
        assert!(frames.next_frame().unwrap().is_some());
        assert!(frames.capacity() > KEEP);
        for _ in 0..=SHRINK_AFTER {
            frames.extend(&stream(&[100]));
            assert!(frames.next_frame().unwrap().is_some());
        }
        assert!(frames.capacity() <= KEEP);
    }

    #[test]
    fn a_length_that_cannot_be_one_names_the_likely_cause() {
        let cases: [(&[u8; 4], &str); 7] = [
            (&[0x15, 3, 3, 0], "TLS alert"),
            (&[0x16, 3, 1, 2], "TLS handshake"),
            (b"HTTP", "HTTP response"),
            (b"GET ", "HTTP request"),
            (b"SSH-", "SSH"),
            (&[0xff, 0xff, 0xff, 0xfe], "negative length -2"),
            (&[0x7f, 0, 0, 0], "not a Kafka broker"),
        ];
        for (bytes, cause) in cases {
            let mut frames = FrameBuffer::new(DEFAULT_MAX_FRAME);
            frames.extend(bytes);
            let error = frames.next_frame().unwrap_err();
            assert!(error.to_string().contains(cause), "{error}");
            assert_eq!(frames.next_frame(), Err(error), "the error stays");
        }
    }

    #[test]
    fn reads_from_a_source_until_its_end() {
        let bytes = stream(&[3, 40_000]);
        let mut source = &bytes[..];
        let mut frames = FrameBuffer::default();
        let mut seen = Vec::new();
        while frames.read_from(&mut source).unwrap() > 0 {
            while let Some(frame) = frames.next_frame().unwrap() {
                seen.push(frame.len());
            }
        }
        assert_eq!(seen, [3, 40_000]);
    }
}
