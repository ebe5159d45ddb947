//! The attempts to connect that are under way: at most eight at a time, and none after the producer has closed.
//!
//! Shared by connector threads and the sender, which closes it. It alone holds what leads back to the producer, the
//! queue of results and the waker: a thread that is inside the system's name look-up when the producer closes keeps
//! neither. One lock, a leaf; nothing is called under it that waits.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::ops::Deref;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::connect::Connected;
use super::wait::Waker;
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::sync::{Arc, Condvar, Mutex};

const MAX_CONNECTING: usize = 8;
/// How long closing waits for threads to notice that their socket was shut down.
const GRACE: Duration = Duration::from_millis(200);
/// A socket that was about to connect when it was shut down connects all the same: it is shut down again.
const AGAIN: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Attempts {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Where results go; `None`: the producer has closed.
    results: Option<(Sender<Connected>, Waker)>,
    /// Threads that connect, beside those that look names up or wait for their turn.
    connecting: usize,
    sockets: HashMap<u64, Arc<socket2::Socket>>,
    next_key: u64,
}

impl Attempts {
    pub(super) fn new(results: Sender<Connected>, waker: Waker) -> Self {
        let state =
            State { results: Some((results, waker)), connecting: 0, sockets: HashMap::new(), next_key: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits for one of the eight places.
    pub(super) fn take(self: &Arc<Self>, deadline: Instant) -> Result<Turn, Error> {
        let mut state = self.state.lock();
        while state.connecting >= MAX_CONNECTING && state.results.is_some() {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                let message = "eight other connections are being made, and none of them came to an end";
                return Err(Error::new(ErrorKind::Connection, message).with_retriable(true));
            }
        }
        if state.results.is_none() {
            return Err(Error::new(ErrorKind::Closed, "the producer was closed"));
        }
        state.connecting += 1;
        Ok(Turn(self.clone()))
    }

    /// Makes `socket` one that closing the producer shuts down.
    pub(super) fn watch(self: &Arc<Self>, socket: socket2::Socket) -> io::Result<Watched> {
        let mut state = self.state.lock();
        if state.results.is_none() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let key = state.next_key;
        state.next_key += 1;
        let socket = Arc::new(socket);
        state.sockets.insert(key, socket.clone());
        Ok(Watched { attempts: self.clone(), key, socket })
    }

    /// Hands a result to the sender, or lets go of it if the producer has closed.
    pub(super) fn deliver(&self, connected: Connected) {
        let state = self.state.lock();
        if let Some((results, waker)) = &state.results {
            if results.send(connected).is_ok() {
                waker.wake();
            }
        }
    }

    /// Ends all attempts, and waits shortly for their threads.
    pub(super) fn close(&self) {
        let deadline = clock::deadline(clock::now(), GRACE);
        let mut state = self.state.lock();
        state.results = None;
        self.changed.notify_all();
        while state.connecting > 0 {
            for socket in state.sockets.values() {
                let _ = socket.shutdown(Shutdown::Both);
            }
            let now = clock::now();
            if now >= deadline {
                return;
            }
            self.changed.wait_until(&mut state, clock::deadline(now, AGAIN));
        }
    }
}

/// One of the eight places.
#[derive(Debug)]
pub(super) struct Turn(Arc<Attempts>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.state.lock().connecting -= 1;
        self.0.changed.notify_all();
    }
}

/// A socket on its way to a connection.
#[derive(Debug)]
pub(super) struct Watched {
    attempts: Arc<Attempts>,
    key: u64,
    socket: Arc<socket2::Socket>,
}

impl Watched {
    /// It is connected: closing is the sender's from now on.
    pub(super) fn release(self) -> io::Result<socket2::Socket> {
        let socket = self.socket.clone();
        drop(self);
        // Others hold it only under the lock.
        Arc::into_inner(socket).ok_or_else(|| io::ErrorKind::ConnectionAborted.into())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.attempts.state.lock().sockets.remove(&self.key);
    }
}

impl Deref for Watched {
    type Target = socket2::Socket;

    fn deref(&self) -> &socket2::Socket {
        &self.socket
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, bounded, unbounded};
    use socket2::{Domain, SockAddr, Socket, Type};
    use std::io::Read;
    use std::net::{SocketAddr, TcpListener};

    const FAR: Duration = Duration::from_secs(600);

    fn attempts() -> (Arc<Attempts>, Receiver<Connected>) {
        let (results, queue) = unbounded();
        (Arc::new(Attempts::new(results, Waker::new().unwrap())), queue)
    }

    fn later() -> Instant {
        clock::deadline(clock::now(), FAR)
    }

    /// What a connector thread does at its slowest, with word of each step.
    fn connect(attempts: &Arc<Attempts>, address: SocketAddr, said: &Sender<&'static str>) -> io::Result<()> {
        let _turn = attempts.take(later()).map_err(io::Error::other)?;
        let socket = attempts.watch(Socket::new(Domain::IPV4, Type::STREAM, None)?)?;
        said.send("connecting").unwrap();
        socket.connect_timeout(&SockAddr::from(address), FAR)?;
        socket.set_read_timeout(Some(FAR))?;
        said.send("reading").unwrap();
        (&*socket).read_exact(&mut [0])
    }

    #[test]
    fn closing_ends_a_connector_that_waits_for_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (attempts, queue) = attempts();
        let (said, heard) = bounded(2);
        std::thread::scope(|s| {
            let thread = s.spawn(|| connect(&attempts, address, &said));
            assert_eq!((heard.recv(), heard.recv()), (Ok("connecting"), Ok("reading")));
            attempts.close();
            thread.join().unwrap().unwrap_err();
        });
        let state = attempts.state.lock();
        assert!(state.connecting == 0 && state.sockets.is_empty());
        queue.recv().expect_err("nothing leads back to the producer");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn closing_ends_a_connector_that_nobody_answers() {
        // A listener whose queue is full: packets to it are swallowed.
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let fill = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.connect_timeout(&SockAddr::from(address), Duration::from_millis(100)).map(|()| socket)
        };
        let filling: Vec<_> = std::iter::repeat_with(fill).take_while(Result::is_ok).take(64).collect();
        assert!(filling.len() < 64, "the queue has an end");
        let (attempts, _queue) = attempts();
        let (said, heard) = bounded(2);
        std::thread::scope(|s| {
            let thread = s.spawn(|| connect(&attempts, address, &said));
            assert_eq!(heard.recv(), Ok("connecting"));
            attempts.close();
            thread.join().unwrap().unwrap_err();
        });
    }

    #[test]
    fn the_ninth_waits_for_a_place_until_it_closes() {
        let (attempts, _queue) = attempts();
        let turns: Vec<_> = (0..MAX_CONNECTING).map(|_| attempts.take(later()).unwrap()).collect();
        assert_eq!(attempts.take(clock::now()).unwrap_err().kind(), ErrorKind::Connection);
        std::thread::scope(|s| {
            let ninth = s.spawn(|| attempts.take(later()).map(drop));
            attempts.close();
            assert_eq!(ninth.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
        });
        drop(turns);
        assert_eq!(attempts.state.lock().connecting, 0);
    }
}
