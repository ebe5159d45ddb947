//! The sender's one place to sleep: `poll` over its sockets and a waker.

use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::socket::Socket;
use crate::engine::ConnId;
use crate::sync::Arc;

/// Wakes the sender out of `poll`. Cheap to clone; a wake-up that is not consumed yet swallows further ones.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<imp::Signal>);

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(imp::Signal::new()?)))
    }

    pub(crate) fn wake(&self) {
        // The only failure is a full buffer, and then the sender is woken already.
        let _ = self.0.set();
    }
}

/// What is ready on a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readiness {
    pub(super) conn: ConnId,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

/// The waker and as many sockets as a producer has, nearly always.
const FEW: usize = 16;

/// Sleeps until a socket is ready, the waker is used, or `until` (`None`: for as long as it takes). Fills `ready`.
pub(super) fn wait<'s>(
    sockets: impl Iterator<Item = (ConnId, &'s Socket)> + Clone,
    waker: &Waker,
    timeout: Option<Duration>,
    ready: &mut Vec<Readiness>,
) -> io::Result<()> {
    ready.clear();
    let own = || PollFd::new(&*waker.0, PollFlags::IN);
    let each = sockets.clone().map(|(_, socket)| {
        let wanted = if socket.wants_to_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        PollFd::new(socket, wanted)
    });
    // Their borrows forbid to keep a list, so a usual number stands on the stack.
    let mut few: [PollFd<'_>; FEW] = std::array::from_fn(|_| own());
    let mut many = Vec::new();
    let count = 1 + sockets.clone().count();
    let fds = if count <= FEW {
        few.iter_mut().skip(1).zip(each).for_each(|(place, fd)| *place = fd);
        few.get_mut(..count).unwrap_or_default()
    } else {
        many.push(own());
        many.extend(each);
        &mut many[..]
    };
    let timeout = timeout.map(|t| Timespec {
        tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
        // The field is `i64` on Linux, `i32` on Windows; either holds a billion.
        tv_nsec: t.subsec_nanos() as _,
    });
    match poll(fds, timeout.as_ref()) {
        Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    let mut events = fds.iter().map(PollFd::revents);
    if events.next().is_some_and(|e| !e.is_empty()) {
        waker.0.reset();
    }
    let failed = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
    ready.extend(sockets.zip(events).filter(|(_, e)| !e.is_empty()).map(|((conn, _), e)| Readiness {
        conn,
        // A failure shows when it is read.
        readable: e.intersects(PollFlags::IN | failed),
        writable: e.contains(PollFlags::OUT),
    }));
    Ok(())
}

/// `until - now`, rounded up to the next millisecond where the system's `poll` counts in those, so that it never wakes
/// just before the time.
pub(super) fn sleep_time(until: Option<Instant>, now: Instant) -> Option<Duration> {
    until.map(|at| at.saturating_duration_since(now) + Duration::from_micros(50))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod imp {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use rustix::event::{EventfdFlags, eventfd};

    #[derive(Debug)]
    pub(super) struct Signal(OwnedFd);

    impl Signal {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
        }

        pub(super) fn set(&self) -> io::Result<()> {
            rustix::io::write(&self.0, &1u64.to_ne_bytes())?;
            Ok(())
        }

        pub(super) fn reset(&self) {
            let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
        }
    }

    impl AsFd for Signal {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
mod imp {
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;

    #[derive(Debug)]
    pub(super) struct Signal {
        reader: UnixStream,
        writer: UnixStream,
    }

    impl Signal {
        pub(super) fn new() -> io::Result<Self> {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            Ok(Self { reader, writer })
        }

        pub(super) fn set(&self) -> io::Result<()> {
            (&self.writer).write_all(&[1])
        }

        pub(super) fn reset(&self) {
            let _ = (&self.reader).read(&mut [0u8; 64]);
        }
    }

    impl AsFd for Signal {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.reader.as_fd()
        }
    }
}

#[cfg(windows)]
mod imp {
    use std::io;
    use std::net::{Ipv4Addr, UdpSocket};
    use std::os::windows::io::{AsSocket, BorrowedSocket};

    /// A datagram socket that talks to itself: what `WSAPoll` can wait for.
    #[derive(Debug)]
    pub(super) struct Signal(UdpSocket);

    impl Signal {
        pub(super) fn new() -> io::Result<Self> {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect(socket.local_addr()?)?;
            socket.set_nonblocking(true)?;
            Ok(Self(socket))
        }

        pub(super) fn set(&self) -> io::Result<()> {
            self.0.send(&[1]).map(|_| ())
        }

        pub(super) fn reset(&self) {
            while self.0.recv(&mut [0u8; 8]).is_ok() {}
        }
    }

    impl AsSocket for Signal {
        fn as_socket(&self) -> BorrowedSocket<'_> {
            self.0.as_socket()
        }
    }
}
