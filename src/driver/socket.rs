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
    /// A frame that is written, to be used again.
    spent: Option<Frame>,
    incoming: FrameBuffer,
}

/// How far writing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Everything is in the socket's hands.
    All,
    /// The socket takes no more now.
    Part,
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
            spent: None,
            incoming: FrameBuffer::default(),
        })
    }

    pub(super) fn wants_to_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Queues a frame and writes what fits.
    pub(super) fn send(&mut self, frame: Frame) -> io::Result<Written> {
        self.outgoing.push_back(frame);
        self.write()
    }

    /// Writes what fits. A frame's batches are let go of as soon as it is written to its end.
    pub(super) fn write(&mut self) -> io::Result<Written> {
        while let Some(frame) = self.outgoing.front() {
            let left = frame.len() - self.written;
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let filled = fill(&mut slices, frame, self.written);
            let count = match imp::send(&self.socket, slices.get(..filled).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Written::Part),
                Err(e) => return Err(e),
            };
            if count >= left {
                self.spent = self.outgoing.pop_front();
                if let Some(frame) = &mut self.spent {
                    frame.batches.clear();
                }
                self.written = 0;
            } else {
                self.written += count;
            }
        }
        Ok(Written::All)
    }

    /// The frame that was last written to its end.
    pub(super) fn take_spent(&mut self) -> Option<Frame> {
        self.spent.take()
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

/// The frame's slices from byte `skip` on, as many as one call takes; returns how many.
fn fill<'f>(slices: &mut [IoSlice<'f>; MAX_SLICES], frame: &'f Frame, mut skip: usize) -> usize {
    let mut filled = 0;
    for slice in frame.slices() {
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
