//! Callbacks: what waits for a record, what is on its way to the callback thread, and which threads are a producer's own.
//!
//! A callback waits in its batch's completion, under that one's lock, and runs on the callback thread, or where it is
//! noticed that there is none any more. No lock here; user code runs under none.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{BatchCompletion, Callback, RecordFacts};
use crate::error::{Error, panic_text};
use crate::record::RecordMetadata;
use crate::sync::Arc;

/// A callback that waits for its record.
pub(crate) struct CallbackEntry {
    pub(super) index: u32,
    facts: RecordFacts,
    done: Callback,
}

impl CallbackEntry {
    pub(crate) fn new(index: u32, facts: RecordFacts, done: Callback) -> Self {
        Self { index, facts, done }
    }

    /// The same record in the part of a batch that was split.
    pub(super) fn at(self, index: u32) -> Self {
        Self { index, ..self }
    }

    /// Bytes that it takes: its place in a list that grows by doubling, and the box as allocators round it.
    pub(super) fn charge(&self) -> usize {
        let boxed = match size_of_val(&*self.done) {
            0 => 0,
            size => (size + 8).next_multiple_of(16).max(32),
        };
        2 * size_of::<Self>() + boxed
    }
}

/// Callbacks whose batch has ended, on their way to the callback thread.
pub(crate) struct PendingCallbacks {
    pub(super) batch: Arc<BatchCompletion>,
    pub(super) entries: Vec<CallbackEntry>,
}

impl PendingCallbacks {
    /// Hands each callback, with its record's outcome, to `run` in the order of the records.
    pub(crate) fn run_each(mut self, run: impl FnMut(Callback, Result<RecordMetadata, Error>)) {
        self.take_each(run);
    }

    fn take_each(&mut self, mut run: impl FnMut(Callback, Result<RecordMetadata, Error>)) {
        let entries = std::mem::take(&mut self.entries);
        let Some(outcome) = self.batch.outcome() else { return };
        for entry in entries {
            run(entry.done, outcome.of_record(self.batch.topic_partition(), entry.index, entry.facts));
        }
    }
}

/// Callbacks that find the callback thread gone, since the producer was closed, run where that is noticed: each runs
/// once, whatever happens.
impl Drop for PendingCallbacks {
    fn drop(&mut self) {
        self.take_each(run_callback);
    }
}

/// Runs a user's callback; what it breaks is its own.
pub(crate) fn run_callback(done: Callback, result: Result<RecordMetadata, Error>) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| done(result))) {
        let text = panic_text(&*panic);
        log::error!(target: "kafka_producer::callbacks", "a callback panicked; ignored: {text}");
    }
}

crate::sync::thread_local! {
    /// The producer that this thread works for.
    static WORKS_FOR: Cell<Option<u64>> = const { Cell::new(None) };
    static IS_SENDER: Cell<bool> = const { Cell::new(false) };
}

/// Marks the current thread as the callback thread of producer `id`.
pub(crate) fn enter_callback_thread(id: u64) {
    WORKS_FOR.with(|of| of.set(Some(id)));
}

/// Marks the current thread as the sender of producer `id`. It calls no user code but the program's logger, and runs
/// the callbacks that come too late for their own thread.
pub(crate) fn enter_sender_thread(id: u64) {
    enter_callback_thread(id);
    IS_SENDER.with(|is| is.set(true));
}

/// Whether the current thread is one of producer `id`'s own: nothing may wait for the producer here.
#[inline]
pub(crate) fn on_own_thread(id: u64) -> bool {
    WORKS_FOR.with(Cell::get) == Some(id)
}

/// Whether the current thread is the sender of producer `id`.
pub(crate) fn on_sender_thread(id: u64) -> bool {
    on_own_thread(id) && IS_SENDER.with(Cell::get)
}
