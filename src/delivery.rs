//! What became of a record: one completion per batch, set once, and the handles that look at it.
//!
//! A handle is (batch, index), so a send allocates nothing for it; it carries sizes and timestamp itself, since the
//! batch's bytes are gone by the time it is asked. Handles live on application threads; the sender thread completes
//! batches. The one lock is the waiter list of a batch, a leaf: nothing is called under it. Must not know how a batch
//! is sent.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::record::{RecordMetadata, TopicPartition};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

mod callback;
mod completion;
mod hand;
mod send_all;

pub(crate) use callback::{
    CallbackEntry, PendingCallbacks, enter_callback_thread, enter_sender_thread, on_own_thread,
    on_sender_thread, run_callback,
};
pub(crate) use completion::{BatchCompletion, BatchOwner, Outcome, OwnerRef, SplitPart};
pub use send_all::{SendAll, SendAllError};

/// A user's callback: runs once, on the producer's callback thread.
pub type Callback = Box<dyn FnOnce(Result<RecordMetadata, Error>) + Send>;

/// What a handle knows of its record besides its place in the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordFacts {
    pub(crate) timestamp: i64,
    key: FieldSize,
    value: FieldSize,
}

impl RecordFacts {
    #[inline(always)]
    pub(crate) fn new(timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        Self { timestamp, key: FieldSize::of(key), value: FieldSize::of(value) }
    }

    pub(crate) fn key_size(self) -> Option<u32> {
        self.key.get()
    }

    pub(crate) fn value_size(self) -> Option<u32> {
        self.value.get()
    }
}

/// How many bytes a key or a value takes, or that it is null: keeps the handle at 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FieldSize(u32);

impl FieldSize {
    /// No size of a record that is sent reaches it.
    const NULL: Self = Self(u32::MAX);

    #[inline(always)]
    fn of(field: Option<&[u8]>) -> Self {
        // Records are below 2 GiB.
        field.map_or(Self::NULL, |bytes| Self(bytes.len() as u32))
    }

    fn get(self) -> Option<u32> {
        (self != Self::NULL).then_some(self.0)
    }
}

/// The outcome of one `send`, to be waited for, polled, awaited or given a callback.
///
/// Waiting ends linger: a caller in [`get`](Self::get) never waits for `linger.ms`. The producer bounds every record
/// by `delivery.timeout.ms`, so `get` returns. Dropping the handle cancels nothing. `Send + Sync`; clones look at the
/// same record.
#[must_use = "call `get()`, or `detach()` to say that the outcome does not matter"]
pub struct DeliveryFuture {
    /// There until the handle is dropped.
    batch: Option<Arc<BatchCompletion>>,
    /// The record's index plus one: what it is never, 0, lets a `Result` of a handle take no more room than the handle.
    ordinal: NonZeroU32,
    /// Whether someone saw the outcome through this handle; an unseen failure is counted and logged.
    observed: AtomicBool,
    /// Whether there are clones, which count as one: the batch knows how many are left.
    shared: AtomicBool,
    facts: RecordFacts,
}

/// Where a record entered, to add callbacks while its batch cannot end yet.
#[derive(Clone, Copy)]
pub(crate) struct Place<'p> {
    batch: &'p Arc<BatchCompletion>,
    index: u32,
    facts: RecordFacts,
}

impl<'p> Place<'p> {
    #[inline]
    pub(crate) fn new(batch: &'p Arc<BatchCompletion>, index: u32, facts: RecordFacts) -> Self {
        Self { batch, index, facts }
    }

    /// Runs `done` with the outcome, on the callback thread.
    pub(crate) fn call_back(&self, done: impl FnOnce(Result<RecordMetadata, Error>) + Send + 'static) {
        self.call_back_boxed(Box::new(done));
    }

    /// The same, of what is in a box already.
    pub(crate) fn call_back_boxed(&self, done: Callback) {
        BatchCompletion::add_callback(self.batch, CallbackEntry::new(self.index, self.facts, done));
    }

    pub(crate) fn topic_partition(&self) -> &'p TopicPartition {
        self.batch.topic_partition()
    }
}

impl DeliveryFuture {
    #[inline]
    pub(crate) fn new(batch: &Arc<BatchCompletion>, index: u32, facts: RecordFacts) -> Self {
        Self {
            batch: Some(hand::reference(batch)),
            ordinal: NonZeroU32::MIN.saturating_add(index),
            observed: AtomicBool::new(false),
            shared: AtomicBool::new(false),
            facts,
        }
    }

    /// The place for a handle that will be [made](Self::fill) where it is.
    #[inline(always)]
    pub(crate) fn vacant() -> Self {
        Self {
            batch: None,
            ordinal: NonZeroU32::MIN,
            observed: AtomicBool::new(false),
            shared: AtomicBool::new(false),
            facts: RecordFacts { timestamp: 0, key: FieldSize::NULL, value: FieldSize::NULL },
        }
    }

    /// Becomes the handle of record `index`.
    #[inline(always)]
    pub(crate) fn fill(&mut self, batch: &Arc<BatchCompletion>, index: u32, facts: RecordFacts) {
        debug_assert!(self.batch.is_none());
        // It was vacant, so there is nothing to drop.
        std::mem::forget(std::mem::replace(self, Self::new(batch, index, facts)));
    }

    #[inline]
    fn index(&self) -> u32 {
        self.ordinal.get() - 1
    }

    #[inline]
    fn batch(&self) -> &Arc<BatchCompletion> {
        match &self.batch {
            Some(batch) => batch,
            None => unreachable!("only drop takes it"),
        }
    }

    /// Waits for the outcome; may be called again.
    ///
    /// # Blocking
    /// At most until `delivery.timeout.ms` has passed since the record's batch was begun. On the callback thread of
    /// this producer a handle that is still pending is a [`Misuse`](ErrorKind::Misuse) error at once, since waiting
    /// there would stop the very thread that runs callbacks.
    ///
    /// # Errors
    /// Why the record failed; [`Error::may_have_been_written`] says whether sending it again could double it.
    pub fn get(&self) -> Result<RecordMetadata, Error> {
        self.wait(None)
            .unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "the wait ended without an outcome")))
    }

    /// Like [`get`](Self::get), but gives up waiting after `timeout`: `None` means that the record is still on its way.
    pub fn get_timeout(&self, timeout: Duration) -> Option<Result<RecordMetadata, Error>> {
        self.wait(Some(clock::deadline(clock::now(), timeout)))
    }

    /// The outcome, if there is one yet. Never blocks.
    pub fn try_get(&self) -> Option<Result<RecordMetadata, Error>> {
        let (batch, index) = resolve(self.batch(), self.index());
        let outcome = batch.outcome()?;
        Some(self.see(&batch, index, outcome))
    }

    /// Whether the outcome is known. Never blocks.
    pub fn is_done(&self) -> bool {
        resolve(self.batch(), self.index()).0.outcome().is_some()
    }

    /// Runs `done` with the outcome, on the producer's callback thread, also if the outcome is known already.
    ///
    /// Callbacks of one partition that are added before their records end run in the order of the records. Panics are
    /// caught and logged. Once the producer is closed there is no callback thread: `done` runs in this call.
    pub fn on_complete(self, done: impl FnOnce(Result<RecordMetadata, Error>) + Send + 'static) {
        self.observed.store(true, Ordering::Relaxed);
        BatchCompletion::add_callback(
            self.batch(),
            CallbackEntry::new(self.index(), self.facts, Box::new(done)),
        );
    }

    /// Where the record goes.
    #[cfg(test)]
    pub(crate) fn topic_partition(&self) -> (Arc<str>, i32) {
        let tp = self.batch().topic_partition();
        (tp.topic.clone(), tp.partition)
    }

    /// Lets go of a record whose outcome a callback will see.
    pub(crate) fn leave_to_callback(self) {
        self.observed.store(true, Ordering::Relaxed);
    }

    /// Lets go of the record: it is sent all the same. A failure is counted, seen by interceptors and logged.
    #[inline]
    pub fn detach(self) {}

    fn see(&self, batch: &BatchCompletion, index: u32, outcome: &Outcome) -> Result<RecordMetadata, Error> {
        self.observed.store(true, Ordering::Relaxed);
        outcome.of_record(batch.topic_partition(), index, self.facts)
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<Result<RecordMetadata, Error>> {
        loop {
            let (batch, index) = resolve(self.batch(), self.index());
            if let Some(outcome) = batch.outcome() {
                return Some(self.see(&batch, index, outcome));
            }
            if batch.owned_by_this_thread() {
                let error = Error::new(
                    ErrorKind::Misuse,
                    "get() on a pending handle inside a callback, or a logger on the producer's own thread, would wait for \
                     itself; use on_complete()",
                );
                // Nothing is known of the record, so nothing may be promised.
                return Some(Err(error.with_maybe_written(true)));
            }
            batch.hurry();
            if !batch.wait_for_change(deadline) {
                return None;
            }
        }
    }
}

/// Follows splits down to the batch that holds the record now.
fn resolve(batch: &Arc<BatchCompletion>, index: u32) -> (Arc<BatchCompletion>, u32) {
    let (mut batch, mut index) = (batch.clone(), index);
    while let Some((child, local)) = batch.part_of(index) {
        (batch, index) = (child, local);
    }
    (batch, index)
}

impl Clone for DeliveryFuture {
    fn clone(&self) -> Self {
        let clone = Self::new(self.batch(), self.index(), self.facts);
        if self.observed.load(Ordering::Relaxed) {
            clone.observed.store(true, Ordering::Relaxed);
        } else {
            self.batch().shared(self.index());
            self.shared.store(true, Ordering::Relaxed);
            clone.shared.store(true, Ordering::Relaxed);
        }
        clone
    }
}

impl Drop for DeliveryFuture {
    #[inline]
    fn drop(&mut self) {
        let Some(batch) = self.batch.take() else { return };
        let observed = self.observed.load(Ordering::Relaxed);
        let shared = self.shared.load(Ordering::Relaxed);
        let unseen = if shared { batch.last_unseen(self.index(), observed) } else { !observed };
        hand::take_back(batch, self.index(), unseen);
    }
}

impl fmt::Debug for DeliveryFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryFuture")
            .field("topic_partition", self.batch().topic_partition())
            .field("index", &self.index())
            .field("done", &self.is_done())
            .finish_non_exhaustive()
    }
}

/// Needs no runtime; not lazy, and dropping it cancels nothing.
impl Future for DeliveryFuture {
    type Output = Result<RecordMetadata, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            if let Some(result) = this.try_get() {
                return Poll::Ready(result);
            }
            let (batch, _) = resolve(this.batch(), this.index());
            batch.hurry();
            if batch.register(cx.waker()) {
                return Poll::Pending;
            }
        }
    }
}

#[cfg(all(test, shuttle))]
mod models;
#[cfg(test)]
mod tests;
