//! Waiting for everything, dropping everything, and the end: `connect`, `flush`, `purge`, `close`, `Drop`.
//!
//! Runs on application threads. Every wait has a deadline, and none of these may be called where it would wait for
//! itself: on the producer's own threads, in a callback or in the program's logger. A process that was forked later has the
//! producer without its threads, and is told so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use super::KafkaProducer;
use crate::accumulator::{Budget, Wait, closed_error};
use crate::clock;
use crate::delivery::{on_own_thread, on_sender_thread};
use crate::driver::{Command, Status};
use crate::error::{Error, ErrorKind, panic_text};
use crate::partitioner::{PartitionInfo, TypedPartitioner};
use crate::serializer::Serializer;
use crate::sync::atomic::Ordering;

/// How much longer than its timeout a close waits for the sender thread to say that it is done.
const GRACE: Duration = Duration::from_millis(500);
/// What a purge waits for the sender thread, which answers between two requests.
const PURGE_TIMEOUT: Duration = Duration::from_secs(10);

impl<K: ?Sized + 'static, V: ?Sized + 'static> KafkaProducer<K, V> {
    /// Waits until a broker has answered: for programs that would rather not start without one.
    ///
    /// # Blocking
    /// At most `timeout`.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout), with the last connection error as its source.
    pub fn connect(&self, timeout: Duration) -> Result<(), Error> {
        self.refuse_in_callback("connect()")?;
        if self.acc.is_closed() {
            return Err(closed_error());
        }
        self.acc.signals.wake();
        self.status.wait_connected(clock::deadline(clock::now(), timeout))
    }

    /// The partitions of a topic, for those who choose one themselves, or to have the metadata before the first send.
    ///
    /// # Blocking
    /// At most `max.block.ms`, the first time.
    ///
    /// # Errors
    /// The name is illegal, the broker refuses it, or the partitions were not known in time.
    pub fn partitions_for(&self, topic: &str) -> Result<Vec<PartitionInfo>, Error> {
        let budget = Budget::new(self.max_block);
        let wait = if on_own_thread(self.acc.id) { Wait::Never } else { Wait::Within(&budget) };
        self.known_partitions(topic, wait)
    }

    /// Sends everything that was handed over before, and waits until it has an outcome and its callbacks have run.
    ///
    /// # Blocking
    /// At most a little longer than `delivery.timeout.ms`, by when every record has an outcome. With a codec this thread
    /// compresses side by side with the sender, as long as a second is left.
    ///
    /// # Errors
    /// As [`flush_timeout`](Self::flush_timeout).
    pub fn flush(&self) -> Result<(), Error> {
        self.flush_timeout(self.patience)
    }

    /// Like [`flush`](Self::flush), but waits at most `timeout`. Records handed over later are not waited for.
    ///
    /// Success says that every record has an outcome, not that each was delivered: handles and callbacks tell.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout): how many records have no outcome yet; they stay on their way.
    pub fn flush_timeout(&self, timeout: Duration) -> Result<(), Error> {
        self.refuse_in_callback("flush()")?;
        let deadline = clock::deadline(clock::now(), timeout);
        self.acc.flush(deadline).map_err(|remaining| {
            let message = format!("flush: {remaining} record(s) have no outcome yet");
            self.with_trouble(Error::new(ErrorKind::Timeout, message).with_retriable(true))
        })?;
        if self.callbacks.wait(deadline) {
            Ok(())
        } else {
            Err(Error::new(
                ErrorKind::Timeout,
                "flush: every record has its outcome, but callbacks are still running",
            ))
        }
    }

    /// Fails every record that has no outcome with [`Purged`](ErrorKind::Purged). What is in flight may be written all
    /// the same, and its error says so; what was not sent is certain not to be.
    ///
    /// # Blocking
    /// Shortly: until the sender thread has done it, and until a batch is compressed that another thread is just compressing.
    /// Records that are sent meanwhile may fail with the others.
    ///
    /// # Errors
    /// The producer is closed, or the sender thread does not answer.
    pub fn purge(&self) -> Result<(), Error> {
        self.refuse_in_child("purge()")?;
        if on_sender_thread(self.acc.id) {
            return self.refuse_in_callback("purge()");
        }
        let (done, purged) = crossbeam_channel::bounded(1);
        if self.acc.is_closed() || !self.sender.command(Command::Purge { done }) {
            return Err(closed_error());
        }
        purged.recv_timeout(PURGE_TIMEOUT).map_err(|e| match e {
            // A close came in between.
            RecvTimeoutError::Disconnected => closed_error(),
            RecvTimeoutError::Timeout => {
                Error::new(ErrorKind::Timeout, "purge: the sender thread did not answer")
            }
        })
    }

    /// Refuses new records, sends what was handed over, waits for its outcomes and callbacks, and ends the threads.
    /// Calling it again waits for what is not over yet, and otherwise does nothing.
    ///
    /// # Blocking
    /// At most a little longer than `delivery.timeout.ms`.
    ///
    /// # Errors
    /// As [`close_timeout`](Self::close_timeout).
    pub fn close(&self) -> Result<(), Error> {
        self.close_timeout(self.patience)
    }

    /// Like [`close`](Self::close), but after `timeout` it fails the records that have no outcome yet with
    /// [`Closed`](ErrorKind::Closed). A timeout of zero drops what is not delivered, at once.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout): how many records were failed so, or that callbacks are still running.
    pub fn close_timeout(&self, timeout: Duration) -> Result<(), Error> {
        self.refuse_in_callback("close()")?;
        self.close_called.store(true, Ordering::SeqCst);
        let deadline = clock::deadline(clock::now(), timeout);
        let stopped = self.stop_sending(deadline);
        let called_back = self.callbacks.stop(clock::deadline(deadline, GRACE));
        let watched = self.monitor.as_ref().is_none_or(|m| m.stop(clock::deadline(deadline, GRACE)));
        self.close_plug_ins();
        match (stopped, self.status.take_lost()) {
            (false, _) => Err(Error::new(ErrorKind::Timeout, "close: the sender thread has not ended yet")),
            (true, 0) if called_back && watched => Ok(()),
            (true, 0) if called_back => Err(Error::new(
                ErrorKind::Timeout,
                "close: the event listener or a reporter is still running",
            )),
            (true, 0) => Err(Error::new(ErrorKind::Timeout, "close: callbacks are still running")),
            (true, lost) => {
                let message =
                    format!("close: the time was over, and {lost} record(s) without outcome were failed");
                Err(self.with_trouble(Error::new(ErrorKind::Timeout, message)))
            }
        }
    }

    /// Ends the sender thread; `false` if it has not ended shortly after `deadline`.
    fn stop_sending(&self, deadline: Instant) -> bool {
        self.acc.close();
        self.sender.command(Command::Close { deadline });
        let stopped = self.status.wait_stopped(clock::deadline(deadline, GRACE));
        if stopped {
            self.sender.join();
        }
        stopped
    }

    fn close_plug_ins(&self) {
        if self.plug_ins_closed.swap(true, Ordering::SeqCst) {
            return;
        }
        close_all(&*self.key, &*self.value, self.partitioner.as_deref());
        self.interceptors.close();
    }

    pub(super) fn refuse_in_callback(&self, what: &str) -> Result<(), Error> {
        self.refuse_in_child(what)?;
        if !on_own_thread(self.acc.id) {
            return Ok(());
        }
        let message = format!(
            "{what} inside a callback, or a logger on the producer's own thread, would wait for itself; call it on another thread"
        );
        Err(Error::new(ErrorKind::Misuse, message))
    }

    /// In a forked child there are no threads that could do anything, and the sockets are the parent's.
    fn refuse_in_child(&self, what: &str) -> Result<(), Error> {
        if !self.is_inherited() {
            return Ok(());
        }
        let message = format!(
            "{what} in a process forked from process {}, which has opened the producer and keeps it; open one after fork",
            self.process
        );
        Err(Error::new(ErrorKind::Misuse, message))
    }

    fn is_inherited(&self) -> bool {
        std::process::id() != self.process
    }

    fn with_trouble(&self, error: Error) -> Error {
        match self.status.trouble() {
            Some(trouble) => error.with_source(trouble),
            None => error,
        }
    }
}

/// A panic in one does not keep the others from being closed.
pub(super) fn close_all<K: ?Sized, V: ?Sized>(
    key: &dyn Serializer<K>,
    value: &dyn Serializer<V>,
    partitioner: Option<&dyn TypedPartitioner<K, V>>,
) {
    guarded("the key serializer", || key.close());
    guarded("the value serializer", || value.close());
    if let Some(partitioner) = partitioner {
        guarded("the partitioner", || partitioner.close());
    }
}

/// Closes within `drop.close.timeout.ms` and logs what was lost. Inside a callback it cannot wait: the threads end on
/// their own.
impl<K: ?Sized + 'static, V: ?Sized + 'static> Drop for KafkaProducer<K, V> {
    fn drop(&mut self) {
        if self.is_inherited() {
            // The parent has the threads, and what they are about to send.
            return;
        }
        if on_own_thread(self.acc.id) {
            self.acc.close();
            let deadline = clock::deadline(clock::now(), self.drop_timeout);
            self.sender.command(Command::Close { deadline });
            let status = self.status.clone();
            self.callbacks.stop_after(move || {
                status.wait_stopped(clock::deadline(deadline, GRACE));
                log_lost(&status);
            });
            self.close_plug_ins();
            return;
        }
        if self.close_called.load(Ordering::SeqCst) && self.status.is_stopped() {
            // What there was to say, `close` has said; a callback that is still running holds nothing of the producer.
            return;
        }
        if let Err(error) = self.close_timeout(self.drop_timeout) {
            log::warn!(target: "kafka_producer::producer", "dropped without close(): {error}");
        }
    }
}

/// Closes a plug-in; what it breaks is its own.
fn guarded(what: &str, close: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(close)) {
        let text = panic_text(&*panic);
        log::error!(target: "kafka_producer::producer", "{what} panicked in close; ignored: {text}");
    }
}

/// Says what a producer lost that was dropped where nobody could wait for it.
fn log_lost(status: &Status) {
    match status.take_lost() {
        0 => {}
        lost => log::warn!(
            target: "kafka_producer::producer",
            "dropped without close(), inside a callback: {lost} record(s) without outcome were failed"
        ),
    }
}
