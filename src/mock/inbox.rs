//! What a connection has received: bytes on their way to being requests.
//!
//! Belongs to the connection's thread. Frames are handed out whole, or byte by byte to who reads them as a stream. What
//! such a reader has no use for is never copied: it is discarded as it arrives, on Linux within the kernel.

use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;

/// `socket.request.max.bytes`: a broker hangs up on a bigger request.
const MAX_REQUEST: usize = 100 << 20;
/// Bytes to be discarded from which on it pays to read less at once, see [`Inbox::modest`]: to discard less than this takes
/// longer, by two system calls for each batch, than to copy it.
const LARGE: usize = 64 << 10;
/// Enough for the end of one batch, and what stands before the next and at its start.
const MODEST_READ: usize = 1 << 10;

/// Grows as bytes arrive, never because a length says so.
#[derive(Debug)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes that are consumed and have not arrived. Above 0 the buffer is empty.
    owed: usize,
    /// Much was discarded just now, so what comes is probably a few bytes and then much to discard again: the less of
    /// that is read, the less is copied for nothing. Ends with a read that fills its room.
    modest: bool,
}

impl Inbox {
    pub(super) fn new(room: usize) -> Self {
        Self { bytes: vec![0; room], start: 0, end: 0, owed: 0, modest: false }
    }

    /// Reads once. `Ok(0)`: the peer has closed.
    pub(super) fn receive(&mut self, mut stream: &TcpStream) -> io::Result<usize> {
        if self.owed > 0 {
            let most = self.owed.min(self.bytes.len());
            let count = imp::discard(stream, self.bytes.get_mut(..most).unwrap_or_default())?;
            self.owed -= count.min(most);
            return Ok(count);
        }
        let modest = self.modest;
        let mut room = self.room();
        if modest {
            let most = room.len().min(MODEST_READ);
            room = room.get_mut(..most).unwrap_or_default();
        }
        let most = room.len();
        let count = stream.read(room)?;
        self.received(count);
        self.modest &= count < most;
        Ok(count)
    }

    /// As [`Self::receive`], from `arrived` instead of a socket.
    #[cfg(test)]
    pub(super) fn take_in(&mut self, arrived: &[u8]) -> usize {
        if self.owed > 0 {
            let count = self.owed.min(arrived.len());
            self.owed -= count;
            return count;
        }
        let room = self.room();
        let count = room.len().min(arrived.len());
        let (Some(room), Some(bytes)) = (room.get_mut(..count), arrived.get(..count)) else { return 0 };
        room.copy_from_slice(bytes);
        self.received(count);
        count
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Free room at the end, at least a quarter of the buffer.
    fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.bytes.len() - self.end < self.bytes.len() / 4 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.bytes.len() - self.end < self.bytes.len() / 4 {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    fn received(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// The bytes that are there.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Lets go of the next `count` bytes, whether or not they have arrived.
    pub(super) fn consume(&mut self, count: usize) {
        let here = count.min(self.end - self.start);
        self.start += here;
        self.owed += count - here;
        self.modest |= self.owed >= LARGE;
    }

    /// Whether consumed bytes are still to arrive.
    pub(super) fn owes(&self) -> bool {
        self.owed > 0
    }

    /// The length of the frame at the front, and what is there of it. A length beyond all measure is an error.
    pub(super) fn front(&self) -> io::Result<Option<(usize, &[u8])>> {
        let Some((prefix, rest)) = self.bytes().split_first_chunk() else { return Ok(None) };
        let len = usize::try_from(i32::from_be_bytes(*prefix)).ok().filter(|&len| len <= MAX_REQUEST);
        let Some(len) = len else { return Err(ErrorKind::InvalidData.into()) };
        Ok(Some((len, rest.get(..len).unwrap_or(rest))))
    }

    /// The next whole frame without its length.
    pub(super) fn next_frame(&mut self) -> io::Result<Option<&[u8]>> {
        let Some((len, received)) = self.front()? else { return Ok(None) };
        if received.len() < len {
            return Ok(None);
        }
        self.start += PREFIX + len;
        Ok(self.bytes.get(self.start - len..self.start))
    }
}

/// The length before a frame.
pub(super) const PREFIX: usize = 4;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod imp {
    use rustix::net::{RecvFlags, recv};
    use std::io;
    use std::net::TcpStream;

    /// Takes up to `room` bytes off the stream. `room` is not written to: for TCP the flag means not to copy.
    pub(super) fn discard(stream: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
        let (_, discarded) = recv(stream, room, RecvFlags::TRUNC)?;
        Ok(discarded)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod imp {
    use std::io::{self, Read};
    use std::net::TcpStream;

    /// Takes up to `room` bytes off the stream, by way of `room`.
    pub(super) fn discard(mut stream: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
        stream.read(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn frames_are_cut_wherever_the_bytes_are() {
        let sizes = [0usize, 3, 40, 1000, 7];
        let mut stream = Vec::new();
        for &n in &sizes {
            stream.extend_from_slice(&i32::try_from(n).unwrap().to_be_bytes());
            stream.extend(std::iter::repeat_n(7u8, n));
        }
        for step in [1, 2, 5, 64, 5000] {
            let mut inbox = Inbox::new(16);
            let mut seen = Vec::new();
            for part in stream.chunks(step) {
                let mut rest = part;
                while !rest.is_empty() {
                    let n = inbox.take_in(rest);
                    rest = &rest[n..];
                    while let Some(frame) = inbox.next_frame().unwrap() {
                        seen.push(frame.len());
                    }
                }
            }
            assert_eq!(seen, sizes, "in steps of {step}");
        }
    }

    #[test]
    fn impossible_lengths_end_the_stream() {
        for prefix in [[0xff; 4], [0x7f, 0, 0, 0]] {
            let mut inbox = Inbox::new(16);
            inbox.room()[..4].copy_from_slice(&prefix);
            inbox.received(4);
            assert!(inbox.next_frame().is_err());
        }
    }

    /// Through a socket, since it is the system that discards: not a byte too many, nor too few.
    #[test]
    fn what_is_discarded_is_counted_exactly() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = listener.accept().unwrap().0;
        let rounds = 40u8;
        let len = |round: u8| usize::from(round) * 9_973;
        let writer = std::thread::Builder::new().spawn(move || {
            for round in 0..rounds {
                peer.write_all(&[round; 3]).unwrap();
                peer.write_all(&vec![0xEE; len(round)]).unwrap();
            }
        });
        let mut inbox = Inbox::new(8 << 10);
        for round in 0..rounds {
            while inbox.owes() || inbox.bytes().len() < 3 {
                assert!(inbox.receive(&stream).unwrap() > 0);
            }
            assert_eq!(inbox.bytes()[..3], [round; 3]);
            inbox.consume(3 + len(round));
        }
        while inbox.owes() {
            assert!(inbox.receive(&stream).unwrap() > 0);
        }
        writer.unwrap().join().unwrap();
        assert_eq!((inbox.bytes().len(), inbox.receive(&stream).unwrap(), inbox.capacity()), (0, 0, 8 << 10));
    }
}
