//! One broker connection once it is handed over: writing what fits, reading what is there.
//!
//! Runs on the sender thread. This file alone knows how not to block. Where a flag for it exists (Linux, Android, the
//! BSDs) sockets stay blocking and each call carries the flag; elsewhere the socket is switched to non-blocking.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use crate::engine::Frame;
use crate::protocol::FrameBuffer;

/// Slices per system call; the least maximum that systems guarantee is 16, the usual one 1024.
const MAX_SLICES: usize = 64;

#[derive(Debug)]
pub(super) struct Socket {
    socket: socket2::Socket,
    /// Frames that are not written to their end, and how far the first is.
    outgoing: VecDeque<Frame>,
    written: usize,
    /// Frames that are written, to be reported and used again.
    spent: VecDeque<Frame>,
    incoming: FrameBuffer,
}

impl Socket {
    pub(super) fn new(socket: socket2::Socket) -> io::Result<Self> {
        if !imp::HAS_FLAG {
            socket.set_nonblocking(true)?;
        }
        Ok(Self {
            socket,
            outgoing: VecDeque::new(),
            written: 0,
            spent: VecDeque::new(),
            incoming: FrameBuffer::default(),
        })
    }

    pub(super) fn wants_to_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Queues a frame behind those that are not written yet.
    pub(super) fn queue(&mut self, frame: Frame) {
        self.outgoing.push_back(frame);
    }

    /// Writes what fits, several frames at once. A frame's batches are let go of as soon as it is written to its end.
    pub(super) fn write(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let filled = fill(&mut slices, &self.outgoing, self.written);
            let slices = slices.get(..filled).unwrap_or_default();
            let offered: usize = slices.iter().map(|slice| slice.len()).sum();
            let count = match imp::send(&self.socket, slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            self.taken(count);
            if count < offered {
                // It is full, and `poll` tells when it is not.
                return Ok(());
            }
        }
        Ok(())
    }

    /// The socket took so many bytes more.
    fn taken(&mut self, count: usize) {
        self.written += count;
        while let Some(len) = self.outgoing.front().map(Frame::len).filter(|len| *len <= self.written) {
            self.written -= len;
            if let Some(mut frame) = self.outgoing.pop_front() {
                frame.batches.clear();
                self.spent.push_back(frame);
            }
        }
    }

    /// The next frame that was written to its end.
    pub(super) fn take_spent(&mut self) -> Option<Frame> {
        self.spent.pop_front()
    }

    /// Reads once. `Ok(0)`: the peer has closed; `None`: nothing was there after all.
    pub(super) fn read(&mut self) -> io::Result<Option<usize>> {
        match imp::recv(&self.socket, self.incoming.room()) {
            Ok(count) => {
                self.incoming.received(count);
                Ok(Some(count))
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub(super) fn incoming(&mut self) -> &mut FrameBuffer {
        &mut self.incoming
    }
}

/// The frames' slices from byte `skip` of the first on, as many as one call takes; returns how many.
fn fill<'f>(slices: &mut [IoSlice<'f>; MAX_SLICES], frames: &'f VecDeque<Frame>, mut skip: usize) -> usize {
    let mut filled = 0;
    for slice in frames.iter().flat_map(Frame::slices) {
        let Some(rest) = slice.get(skip..).filter(|rest| !rest.is_empty()) else {
            skip -= slice.len();
            continue;
        };
        skip = 0;
        let Some(place) = slices.get_mut(filled) else { break };
        *place = IoSlice::new(rest);
        filled += 1;
    }
    filled
}

#[cfg(unix)]
impl std::os::fd::AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for Socket {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        self.socket.as_socket()
    }
}

#[cfg(unix)]
mod imp {
    use std::io::{self, IoSlice};

    use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv as sys_recv, sendmsg};

    /// macOS and its kin ignore the flag on some calls.
    pub(super) const HAS_FLAG: bool = cfg!(not(target_vendor = "apple"));

    pub(super) fn send(socket: &socket2::Socket, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // A library must not die of a peer that closed, whatever the process does about SIGPIPE.
        #[cfg(not(target_vendor = "apple"))]
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        #[cfg(target_vendor = "apple")]
        let flags = SendFlags::DONTWAIT;
        Ok(sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags)?)
    }

    pub(super) fn recv(socket: &socket2::Socket, room: &mut [u8]) -> io::Result<usize> {
        Ok(sys_recv(socket, room, RecvFlags::DONTWAIT)?.0)
    }
}

#[cfg(windows)]
mod imp {
    use std::io::{self, IoSlice, Read};

    pub(super) const HAS_FLAG: bool = false;

    pub(super) fn send(socket: &socket2::Socket, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        socket.send_vectored(slices)
    }

    pub(super) fn recv(socket: &socket2::Socket, room: &mut [u8]) -> io::Result<usize> {
        let mut socket = socket;
        socket.read(room)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    /// A frame of so many bytes, which say where in the stream they stand.
    fn frame(at: &mut usize, len: usize) -> Frame {
        let head = (*at..*at + len).map(|at| (at % 251) as u8).collect();
        *at += len;
        Frame { head, ..Frame::default() }
    }

    fn pair() -> io::Result<(Socket, UnixStream)> {
        let (near, far) = UnixStream::pair()?;
        far.set_nonblocking(true)?;
        let near = socket2::Socket::from(std::os::fd::OwnedFd::from(near));
        near.set_send_buffer_size(4096)?;
        Ok((Socket::new(near)?, far))
    }

    fn spent(socket: &mut Socket) -> Vec<usize> {
        std::iter::from_fn(|| socket.take_spent()).map(|frame| frame.len()).collect()
    }

    #[test]
    fn several_frames_go_out_at_once() {
        let (mut socket, mut far) = pair().unwrap();
        let mut at = 0;
        for len in [10, 1, 300] {
            socket.queue(frame(&mut at, len));
        }
        assert!(socket.wants_to_write() && socket.take_spent().is_none());
        socket.write().unwrap();
        assert_eq!((spent(&mut socket), socket.wants_to_write()), (vec![10, 1, 300], false));
        let mut arrived = [0; 1000];
        assert_eq!(far.read(&mut arrived).unwrap(), 311);
        assert!(arrived.iter().take(at).enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
    }

    #[test]
    fn what_does_not_fit_goes_on_where_it_stopped() {
        let lens = [1, 70_000, 3, 5_000, 1, 40_000, 9_000, 200_000, 2];
        let (mut socket, mut far) = pair().unwrap();
        let (mut at, mut next) = (0, lens.iter());
        let (mut written, mut arrived, mut room) = (Vec::new(), Vec::new(), vec![0; 3_333]);
        while written.len() < lens.len() {
            // Frames join those that are half written.
            for len in next.by_ref().take(2) {
                socket.queue(frame(&mut at, *len));
            }
            socket.write().unwrap();
            written.extend(spent(&mut socket));
            match far.read(&mut room) {
                Ok(count) => arrived.extend_from_slice(&room[..count]),
                Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!(written, lens, "each is told once, in order");
        assert!(!socket.wants_to_write());
        while arrived.len() < at {
            let count = far.read(&mut room).unwrap();
            arrived.extend_from_slice(&room[..count]);
        }
        assert!(arrived.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
    }

    #[test]
    fn a_frame_in_the_midst_is_not_told_as_written() {
        let (mut socket, mut far) = pair().unwrap();
        let mut at = 0;
        for len in [100, 1 << 20, 100] {
            socket.queue(frame(&mut at, len));
        }
        socket.write().unwrap();
        assert_eq!((spent(&mut socket), socket.wants_to_write()), (vec![100], true));
        let mut room = vec![0; 1 << 20];
        assert!(far.read(&mut room).unwrap() > 100, "the second has begun");
        drop(far);
        assert!(socket.write().is_err());
        assert!(socket.take_spent().is_none());
    }
}
