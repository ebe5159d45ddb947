//! One connection of one broker: bytes in, requests handled in order, answers out in order, each when it is due.
//!
//! Runs on its own thread, which blocks in `read` (with a timeout while an answer waits for its time) or at the gate.
//! Takes the state's lock for each request, and never during I/O. A delayed answer does not stop later requests from
//! being handled; it only holds back the answers after it.

use super::inbox::Inbox;
use super::server::Shared;
use super::sink_stream::{Lane, Step};
use super::state::{Reply, Then};
use crate::clock;
use crate::sync::{Arc, Condvar, Mutex};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

const INITIAL_BUFFER: usize = 16 << 10;
/// A sink reads as much at once as still stays in the core's own cache.
const SINK_BUFFER: usize = 256 << 10;

/// Whether a broker's connections may handle requests.
#[derive(Debug, Default)]
pub(super) struct Gate {
    mode: Mutex<Mode>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Open,
    Paused,
    /// Final.
    Stopping,
}

impl Gate {
    pub(super) fn set(&self, mode: Mode) {
        let mut current = self.mode.lock();
        if *current != Mode::Stopping {
            *current = mode;
        }
        self.changed.notify_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.mode.lock() == Mode::Stopping
    }

    /// Waits while paused; `false` if the broker stops.
    fn pass(&self) -> bool {
        let mut mode = self.mode.lock();
        while *mode == Mode::Paused {
            self.changed.wait(&mut mode);
        }
        *mode == Mode::Open
    }

    /// Waits until the broker stops (`true`) or until `deadline` (`false`).
    pub(super) fn wait_stopping_until(&self, deadline: Option<Instant>) -> bool {
        let mut mode = self.mode.lock();
        while *mode != Mode::Stopping {
            match deadline {
                None => self.changed.wait(&mut mode),
                Some(at) => {
                    if self.changed.wait_until(&mut mode, at).timed_out() {
                        return *mode == Mode::Stopping;
                    }
                }
            }
        }
        true
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    stream: TcpStream,
    node: i32,
    id: u64,
    inbox: Inbox,
    /// What goes out with the next write.
    out: Vec<u8>,
    /// In the order of the requests; due times never go back.
    delayed: VecDeque<Delayed>,
    /// Nothing is read any more.
    deaf: bool,
    timeout: Option<Duration>,
    lane: Option<Lane>,
}

#[derive(Debug)]
struct Delayed {
    due: Instant,
    bytes: Vec<u8>,
    then: Then,
}

enum Next {
    Go,
    End,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, gate: Arc<Gate>, stream: TcpStream, node: i32, id: u64) -> Self {
        let lane = shared.sink.as_ref().map(|_| Lane::default());
        let room = if lane.is_some() { SINK_BUFFER } else { INITIAL_BUFFER };
        Self {
            shared,
            gate,
            stream,
            node,
            id,
            inbox: Inbox::new(room),
            out: Vec::new(),
            delayed: VecDeque::new(),
            deaf: false,
            timeout: None,
            lane,
        }
    }

    /// Serves until either side ends it.
    pub(super) fn run(mut self) {
        while let Ok(Next::Go) = self.turn() {}
        // The peer's other handle would keep the connection open.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn turn(&mut self) -> io::Result<Next> {
        if let Next::End = self.send_due()? {
            return Ok(Next::End);
        }
        if self.deaf {
            let stopping = self.gate.wait_stopping_until(self.delayed.front().map(|d| d.due));
            return Ok(if stopping { Next::End } else { Next::Go });
        }
        if !self.receive()? {
            return Ok(Next::Go);
        }
        if !self.gate.pass() {
            return Ok(Next::End);
        }
        self.handle_all()
    }

    /// Sends what has waited long enough.
    fn send_due(&mut self) -> io::Result<Next> {
        while let Some(first) = self.delayed.front() {
            if first.due > clock::now() {
                break;
            }
            let Some(reply) = self.delayed.pop_front() else { break };
            self.out.extend_from_slice(&reply.bytes);
            if reply.then == Then::Close {
                self.flush()?;
                return Ok(Next::End);
            }
        }
        self.flush()?;
        Ok(Next::Go)
    }

    /// `false` if nothing came before the next answer is due. The end of the stream is an error like any other.
    fn receive(&mut self) -> io::Result<bool> {
        let wait = self.delayed.front().map(|d| d.due.saturating_duration_since(clock::now()));
        let wait = wait.map(|w| w.max(Duration::from_micros(1)));
        if wait != self.timeout {
            self.stream.set_read_timeout(wait)?;
            self.timeout = wait;
        }
        match self.inbox.receive(&self.stream) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(true),
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    /// Handles what has arrived, then sends the answers that are due with one write.
    fn handle_all(&mut self) -> io::Result<Next> {
        let handled = self.handle_each(clock::now());
        self.shared.notify();
        self.flush()?;
        handled
    }

    /// Every whole request, and of those that can be discarded as much as is there.
    fn handle_each(&mut self, now: Instant) -> io::Result<Next> {
        while !self.deaf {
            let reply = match self.discard(now)? {
                Step::Waits => break,
                Step::Answered => continue,
                Step::Nonsense => self.refuse(),
                Step::NotMine => {
                    let Some(frame) = self.inbox.next_frame()? else { break };
                    let mut state = self.shared.state.lock();
                    state.set_wall_clock(clock::wall_millis());
                    state.handle(now, self.node, self.id, frame)
                }
            };
            if self.queue(now, reply) {
                return Ok(Next::End);
            }
        }
        Ok(Next::Go)
    }

    /// Takes the next request, or more of it, into the sink, if there is one.
    fn discard(&mut self, now: Instant) -> io::Result<Step> {
        let (Some(lane), Some(sink)) = (&mut self.lane, &self.shared.sink) else { return Ok(Step::NotMine) };
        let mut late = Vec::new();
        let out = if self.delayed.is_empty() { &mut self.out } else { &mut late };
        let step = lane.next(sink, &self.shared.state, &mut self.inbox, out)?;
        if !late.is_empty() {
            self.queue(now, Reply { bytes: late, then: Then::Continue, delay: Duration::ZERO });
        }
        Ok(step)
    }

    /// A broker hangs up on what it cannot read.
    fn refuse(&self) -> Reply {
        let what = format!("connection {}: a Produce request that cannot be read", self.id);
        self.shared.state.lock().violation(what);
        Reply { bytes: Vec::new(), then: Then::Close, delay: Duration::ZERO }
    }

    /// `true` if the connection ends at once.
    fn queue(&mut self, now: Instant, reply: Reply) -> bool {
        let Reply { bytes, then, delay } = reply;
        if delay.is_zero() && self.delayed.is_empty() {
            self.out.extend_from_slice(&bytes);
            self.deaf = then == Then::StopReading;
            return then == Then::Close;
        }
        self.deaf = then != Then::Continue;
        let after = self.delayed.back().map_or(now, |d| d.due);
        let due = clock::deadline(now, delay).max(after);
        self.delayed.push_back(Delayed { due, bytes, then });
        false
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }
}
