//! The sender thread: runs the engine, performs its actions, sleeps in `poll`.
//!
//! It owns the engine and the sockets by value; nobody else touches them. It takes no lock for longer than the leaf
//! locks of accumulator and status need, and never waits anywhere but in `poll`.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender as Queue, unbounded};

use super::connect::{Connected, Connector, SocketSettings};
use super::socket::Socket;
use super::status::Status;
use super::wait::{Readiness, Waker, sleep_time, wait};
use crate::accumulator::RecordAccumulator;
use crate::clock;
use crate::delivery::enter_sender_thread;
use crate::engine::{Action, ConnId, Engine, Frame};
use crate::error::{Error, ErrorKind};
use crate::metrics::{Event, nanos};
use crate::sync::{Arc, Mutex};

/// What application threads ask of the sender.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send what is there until `deadline`, fail the rest, and end.
    Close { deadline: Instant },
    /// Fail everything that has no outcome; say so through `done`.
    Purge { done: Queue<()> },
}

/// The sender thread's handle.
#[derive(Debug)]
pub(crate) struct SenderHandle {
    commands: Queue<Command>,
    waker: Waker,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SenderHandle {
    /// Queues a command and wakes the sender; `false` if it has ended.
    pub(crate) fn command(&self, command: Command) -> bool {
        let sent = self.commands.send(command).is_ok();
        self.waker.wake();
        sent
    }

    /// Waits for the thread, which has said that it is at its end.
    pub(crate) fn join(&self) {
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

/// Starts the sender thread.
pub(crate) fn start(
    engine: Engine,
    acc: Arc<RecordAccumulator>,
    status: Arc<Status>,
    sockets: SocketSettings,
) -> Result<SenderHandle, Error> {
    let failed =
        |what: &str, e: std::io::Error| Error::new(ErrorKind::Internal, what.to_owned()).with_source(e);
    let waker = Waker::new().map_err(|e| failed("cannot make the sender's waker", e))?;
    // Both carry a handful of messages: one a close or purge, one a connection attempt.
    let (commands, command_queue) = unbounded();
    let (connected, connected_queue) = unbounded();
    let for_signals = waker.clone();
    acc.signals.set_waker(Box::new(move || for_signals.wake()));
    let sender = Sender {
        engine,
        acc: acc.clone(),
        sockets: HashMap::new(),
        connector: Connector::new(sockets, connected, waker.clone()),
        connected: connected_queue,
        commands: command_queue,
        purges: Vec::new(),
        status: status.clone(),
        told_connected: false,
        told_trouble: None,
        waker: waker.clone(),
        close_deadline: None,
        woke: clock::now(),
        queued: Vec::new(),
        ready: Vec::new(),
    };
    let thread = std::thread::Builder::new()
        .name("kafka-sender".into())
        .spawn(move || guarded(sender, &acc, &status))
        .map_err(|e| failed("cannot start the sender thread", e))?;
    Ok(SenderHandle { commands, waker, thread: Mutex::new(Some(thread)) })
}

/// Runs the sender; if it dies, the producer fails loudly and nobody is left waiting.
fn guarded(sender: Sender, acc: &Arc<RecordAccumulator>, status: &Status) {
    // The program's logger runs here, and may send.
    enter_sender_thread(acc.id);
    // Unwinding drops the engine, and each batch it held fails its records as it goes.
    let died = catch_unwind(AssertUnwindSafe(|| sender.run())).is_err();
    acc.metrics.all_closed();
    if died {
        let error =
            Error::new(ErrorKind::Internal, "the sender thread died; this is a defect, please report it");
        log::error!(target: "kafka_producer::driver", "{error}");
        acc.metrics.tell(|| Event::Fatal { error: error.clone() });
        status.set_fatal(error.clone());
        acc.close();
        acc.abandon(&error);
    }
    status.set_stopped();
}

struct Sender {
    engine: Engine,
    acc: Arc<RecordAccumulator>,
    sockets: HashMap<ConnId, Socket>,
    connector: Connector,
    connected: Receiver<Connected>,
    commands: Receiver<Command>,
    /// Who waits for a purge to be complete.
    purges: Vec<Queue<()>>,
    status: Arc<Status>,
    told_connected: bool,
    told_trouble: Option<Error>,
    waker: Waker,
    close_deadline: Option<Instant>,
    /// When it last came back from its sockets.
    woke: Instant,
    /// Connections that have got frames to write in this turn.
    queued: Vec<ConnId>,
    ready: Vec<Readiness>,
}

impl Sender {
    fn run(mut self) {
        self.run_until_closed();
        self.engine.tell_end();
    }

    fn run_until_closed(&mut self) {
        loop {
            let now = clock::now();
            self.take_commands(now);
            self.take_connections(now);
            self.engine.run(now);
            if !self.engine.is_dropping() {
                for done in self.purges.drain(..) {
                    // Who asked may have gone.
                    let _ = done.send(());
                }
            }
            let wrote = self.perform(now);
            self.tell_status();
            if self.engine.is_closed() {
                return;
            }
            if self.close_deadline.is_some_and(|at| at <= now) {
                let error = Error::new(
                    ErrorKind::Closed,
                    "the producer was closed before the record was acknowledged",
                );
                self.status.set_lost(self.acc.pending_records());
                self.engine.drop_everything(&error, now);
                // And what a thread is compressing at this moment, which ends when it is put back.
                self.acc.abandon(&error);
                return;
            }
            self.sleep(wrote);
        }
    }

    fn take_commands(&mut self, now: Instant) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Close { deadline } => {
                    self.engine.begin_close();
                    // A second close may only shorten the time.
                    self.close_deadline = self.close_deadline.into_iter().chain([deadline]).min();
                }
                Command::Purge { done } => {
                    let error =
                        Error::new(ErrorKind::Purged, "dropped by purge() before it was acknowledged");
                    self.engine.drop_everything(&error, now);
                    self.purges.push(done);
                }
            }
        }
    }

    fn take_connections(&mut self, now: Instant) {
        while let Ok(Connected { conn, result }) = self.connected.try_recv() {
            let result = result.and_then(|(socket, peer)| match Socket::new(socket) {
                Ok(socket) => Ok((socket, peer)),
                Err(e) => Err(Error::new(ErrorKind::Connection, "cannot set the socket up").with_source(e)),
            });
            match result {
                Ok((socket, peer)) => {
                    self.sockets.insert(conn, socket);
                    self.engine.handle_connected(conn, peer, now);
                }
                Err(error) => self.engine.handle_connect_failed(conn, error, now),
            }
        }
    }

    /// Performs what the engine asks for; `true` if the engine may have more now.
    fn perform(&mut self, now: Instant) -> bool {
        let mut more = false;
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Connect { conn, address, setup_timeout, request_timeout } => {
                    self.connector.connect(conn, address, setup_timeout, request_timeout);
                }
                Action::Send { conn, frame } => {
                    self.queue(conn, frame);
                    more = true;
                }
                Action::Close { conn } => {
                    self.sockets.remove(&conn);
                }
            }
        }
        let mut queued = std::mem::take(&mut self.queued);
        for conn in queued.drain(..) {
            self.write(conn, now);
        }
        self.queued = queued;
        more
    }

    /// It is written with what else there is for that connection.
    fn queue(&mut self, conn: ConnId, frame: Frame) {
        let Some(socket) = self.sockets.get_mut(&conn) else { return };
        socket.queue(frame);
        if self.queued.last() != Some(&conn) {
            self.queued.push(conn);
        }
    }

    fn write(&mut self, conn: ConnId, now: Instant) {
        let Some(socket) = self.sockets.get_mut(&conn) else { return };
        let result = socket.write();
        while let Some(frame) = socket.take_spent() {
            self.engine.recycle(frame);
            self.engine.handle_written(conn, now);
        }
        if let Err(e) = result {
            self.lost(conn, e, now);
        }
    }

    fn lost(&mut self, conn: ConnId, cause: std::io::Error, now: Instant) {
        self.sockets.remove(&conn);
        let error =
            Error::new(ErrorKind::Connection, "the connection broke").with_retriable(true).with_source(cause);
        self.engine.handle_disconnected(conn, error, now);
    }

    /// Sleeps until there is something to do, then reads and writes what is ready.
    fn sleep(&mut self, busy: bool) {
        let now = clock::now();
        let until = self.engine.poll_timeout().into_iter().chain(self.close_deadline).min();
        let asleep = !busy && self.acc.signals.fall_asleep(until);
        let timeout = if asleep { sleep_time(until, now) } else { Some(Duration::ZERO) };
        let mut ready = std::mem::take(&mut self.ready);
        let sockets = self.sockets.iter().map(|(conn, socket)| (*conn, socket));
        let result = wait(sockets, &self.waker, timeout, &mut ready);
        if asleep {
            self.acc.signals.woke_up();
        }
        if let Err(e) = result {
            // Nothing that this thread does can make `poll` fail; if the system does, do not spin.
            log::error!(target: "kafka_producer::driver", "poll failed: {e}");
            std::thread::yield_now();
        }
        let before = now;
        let now = clock::now();
        self.account(before, now);
        for readiness in ready.drain(..) {
            self.serve(readiness, now);
        }
        self.ready = ready;
    }

    /// It worked until `slept` and waited from then on.
    fn account(&mut self, slept: Instant, woke: Instant) {
        let metrics = &self.acc.metrics;
        metrics.tick(woke);
        metrics.polls.increment();
        metrics.io_nanos.add(nanos(slept.saturating_duration_since(self.woke)));
        metrics.io_wait_nanos.add(nanos(woke.saturating_duration_since(slept)));
        self.woke = woke;
    }

    fn serve(&mut self, readiness: Readiness, now: Instant) {
        let conn = readiness.conn;
        if readiness.readable {
            self.read(conn, now);
        }
        if readiness.writable {
            self.write(conn, now);
        }
    }

    fn read(&mut self, conn: ConnId, now: Instant) {
        let Some(socket) = self.sockets.get_mut(&conn) else { return };
        match socket.read() {
            Ok(None) => return,
            Ok(Some(0)) => return self.lost(conn, std::io::ErrorKind::UnexpectedEof.into(), now),
            Ok(Some(count)) => self.acc.metrics.bytes_in.add(count as u64),
            Err(e) => return self.lost(conn, e, now),
        }
        let frames = socket.incoming();
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => self.engine.handle_frame(conn, frame, now),
                Ok(None) => return,
                Err(problem) => {
                    self.sockets.remove(&conn);
                    let error = Error::new(ErrorKind::Protocol, problem.to_string());
                    return self.engine.handle_disconnected(conn, error, now);
                }
            }
        }
    }

    fn tell_status(&mut self) {
        if !self.told_connected && self.engine.has_metadata() {
            self.told_connected = true;
            self.status.set_connected();
        }
        if let Some(trouble) = self.engine.last_trouble() {
            if !self.told_trouble.as_ref().is_some_and(|told| told.is_same(trouble)) {
                self.status.set_trouble(trouble);
                self.told_trouble = Some(trouble.clone());
            }
        }
        if let Some(fatal) = self.engine.fatal() {
            if self.status.check().is_ok() {
                self.status.set_fatal(fatal.clone());
            }
        }
    }
}
