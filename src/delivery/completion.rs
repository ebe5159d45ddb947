//! The completion of one batch: set once, by whoever ends the batch, seen by all of its handles.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Instant;

use super::RecordFacts;
use super::callback::{CallbackEntry, PendingCallbacks, on_own_thread};
use crate::error::{Error, ErrorKind};
use crate::record::{RecordMetadata, TopicPartition};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Mutex, OnceLock, ProcessCounter, Weak};

/// How a batch ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Acknowledged. Without a base offset: acks=0, or a duplicate whose place the broker does not say.
    Delivered { base_offset: Option<i64>, log_append_time: Option<i64> },
    /// Failed; `records` holds what the broker said of single records (KIP-467).
    Failed { error: Error, records: Box<[(u32, Error)]> },
}

impl Outcome {
    pub(crate) fn of_record(
        &self,
        tp: &TopicPartition,
        index: u32,
        facts: RecordFacts,
    ) -> Result<RecordMetadata, Error> {
        match self {
            Self::Delivered { base_offset, log_append_time } => Ok(RecordMetadata {
                topic: tp.topic.clone(),
                partition: tp.partition,
                // The broker's number may be any.
                offset: base_offset.and_then(|base| base.checked_add(i64::from(index))),
                timestamp: Some(log_append_time.unwrap_or(facts.timestamp)),
                key_size: facts.key_size(),
                value_size: facts.value_size(),
            }),
            Self::Failed { error, records } => {
                let own = records.iter().find(|(i, _)| *i == index);
                Err(own.map_or(error, |(_, e)| e).clone())
            }
        }
    }
}

/// What a batch needs of the producer it belongs to.
pub(crate) trait BatchOwner: Send + Sync {
    /// Somebody waits for a record of this partition: its batch must not linger. `partition` is the owner's own
    /// number for it.
    fn hurry(&self, partition: u32);
    /// Runs callbacks of a batch that ended earlier, on the callback thread.
    fn call_back(&self, callbacks: PendingCallbacks);
    /// A batch was lost and ended by [`BatchCompletion::abandon`].
    fn abandoned(&self, partition: u32, generation: u64) {
        let _ = (partition, generation);
    }
    /// A failed record whose handle nobody looked at.
    fn failed_unseen(&self, tp: &TopicPartition, error: &Error, records: u32);
}

/// The producer of a batch, as far as it still exists: a batch must not keep alive what its producer owns.
#[derive(Clone)]
pub(crate) struct OwnerRef {
    owner: Weak<dyn BatchOwner>,
    /// Tells producers apart on the callback thread.
    id: u64,
}

impl OwnerRef {
    pub(crate) fn new(owner: Weak<dyn BatchOwner>, id: u64) -> Self {
        Self { owner, id }
    }

    fn get(&self) -> Option<Arc<dyn BatchOwner>> {
        self.owner.upgrade()
    }
}

/// One part of a batch that was split because the broker found it too large.
pub(crate) struct SplitPart {
    /// Index in the parent of the part's first record.
    pub(crate) first: u32,
    pub(crate) completion: Arc<BatchCompletion>,
}

#[derive(Default)]
struct Waiters {
    callbacks: Vec<CallbackEntry>,
    /// The callbacks that came before the end are on their way; later ones follow them directly.
    handed_over: bool,
    wakers: Vec<Waker>,
    /// Records whose handle was cloned before anybody had looked.
    clones: BTreeMap<u32, Clones>,
}

/// The handles of one record.
struct Clones {
    left: u32,
    /// Somebody looked through one of them.
    seen: bool,
}

/// In `unseen`: whoever ended the batch has read the count. Bigger than any batch.
const ENDED: u32 = 1 << 31;

/// How many threads may count in a batch without locked instructions.
const SEATS: usize = 4;

/// Handles dropped unseen before the batch ended, counted by one thread.
#[derive(Default)]
struct Seat {
    /// Written by its thread only.
    dropped: AtomicU32,
    /// How many of them were reported when the batch had ended.
    reported: AtomicU32,
}

impl Seat {
    /// How many were not reported yet; they count as reported now.
    fn take_unreported(&self) -> u32 {
        let dropped = self.dropped.load(Ordering::SeqCst);
        dropped.saturating_sub(self.reported.fetch_max(dropped, Ordering::SeqCst))
    }
}

/// Whether a dropped handle was counted in its thread's seat.
#[derive(Clone, Copy)]
pub(super) enum Counted {
    Yes,
    /// Yes, but whoever ended the batch meanwhile may have read the count before: see [`BatchCompletion::check_seat`].
    Late {
        seat: usize,
    },
    /// There is no seat, or the batch has changed.
    No,
}

/// Set once, by [`complete`](Self::complete) or [`split`](Self::split); the first outcome stays.
pub(crate) struct BatchCompletion {
    outcome: OnceLock<Outcome>,
    parts: OnceLock<Box<[SplitPart]>>,
    /// One of the two is there: looked at for each handle.
    is_over: AtomicBool,
    /// Leaf lock. Whoever sets `outcome` or `parts` takes it afterwards, so a waiter that saw neither under the lock
    /// is in the list, or on the condition variable, by then.
    waiters: Mutex<Waiters>,
    changed: Condvar,
    /// Someone waits: linger is over. Set before the owner is told, so that whoever looks later sees it.
    urgent: AtomicBool,
    /// Handles dropped before the batch ended without anyone having looked; [`ENDED`] is added with the end.
    unseen: AtomicU32,
    /// The same, of the first threads that come.
    seats: [Seat; SEATS],
    next_seat: AtomicUsize,
    /// Never the same for two batches, and never 0.
    serial: u64,
    /// Bytes that callbacks take which wait here. Written under the lock of the waiters; looked at as records enter.
    charged: AtomicUsize,
    topic_partition: TopicPartition,
    partition_id: u32,
    owner: OwnerRef,
}

impl BatchCompletion {
    pub(crate) fn new(topic_partition: TopicPartition, partition_id: u32, owner: OwnerRef) -> Self {
        static NEXT_SERIAL: ProcessCounter = ProcessCounter::new(1);
        Self {
            seats: Default::default(),
            next_seat: AtomicUsize::new(0),
            serial: NEXT_SERIAL.fetch_add(1, Ordering::Relaxed),
            charged: AtomicUsize::new(0),
            outcome: OnceLock::new(),
            parts: OnceLock::new(),
            is_over: AtomicBool::new(false),
            waiters: Mutex::new(Waiters::default()),
            changed: Condvar::new(),
            urgent: AtomicBool::new(false),
            unseen: AtomicU32::new(0),
            topic_partition,
            partition_id,
            owner,
        }
    }

    pub(crate) fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.get()
    }

    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::SeqCst)
    }

    /// Linger is over, and the owner knows.
    pub(crate) fn set_urgent(&self) {
        self.urgent.store(true, Ordering::SeqCst);
    }

    /// Ends linger for this batch.
    pub(crate) fn hurry(&self) {
        if !self.urgent.swap(true, Ordering::SeqCst) {
            if let Some(owner) = self.owner.get() {
                owner.hurry(self.partition_id);
            }
        }
    }

    /// Ends the batch and hands the callbacks to `queue`, in the order of the records. `false` if the batch had ended
    /// before (expired, and answered late) or was split: then the first outcome stays.
    pub(crate) fn complete(
        self: &Arc<Self>,
        outcome: Outcome,
        mut queue: impl FnMut(PendingCallbacks),
    ) -> bool {
        if self.parts.get().is_some() || self.outcome.set(outcome).is_err() {
            return false;
        }
        self.is_over.store(true, Ordering::SeqCst);
        let wakers = std::mem::take(&mut self.waiters.lock().wakers);
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        while let Some(callbacks) = self.take_callbacks() {
            queue(callbacks);
        }
        let unseen = self.end_unseen();
        self.report_unseen(unseen);
        true
    }

    /// The handles dropped so far; those to come count themselves.
    fn end_unseen(&self) -> u32 {
        let seats: u32 = self.seats.iter().map(Seat::take_unreported).sum();
        self.unseen.fetch_or(ENDED, Ordering::SeqCst) + seats
    }

    fn report_unseen(&self, records: u32) {
        if let (Some(Outcome::Failed { error, .. }), 1..) = (self.outcome.get(), records) {
            if let Some(owner) = self.owner.get() {
                owner.failed_unseen(&self.topic_partition, error, records);
            }
        }
    }

    /// Bytes that the callbacks of its records take, all there were so far.
    #[inline(always)]
    pub(crate) fn charged(&self) -> usize {
        self.charged.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    #[inline]
    pub(super) fn partition_id(&self) -> u32 {
        self.partition_id
    }

    /// A place for the calling thread to count in; beyond the last one, where there is none left.
    pub(super) fn claim_seat(&self) -> usize {
        self.next_seat.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a handle that was dropped unseen, on the thread that has this seat.
    #[inline(always)]
    pub(super) fn count_unseen(&self, seat: usize) -> Counted {
        match self.seats.get(seat) {
            Some(own) if !self.has_changed() => {
                own.dropped.store(own.dropped.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                if self.has_changed() { Counted::Late { seat } } else { Counted::Yes }
            }
            _ => Counted::No,
        }
    }

    /// As where a processor held the count of a dropped handle back until the end of the batch had passed.
    #[cfg(test)]
    pub(super) fn count_too_late(&self, seat: usize) {
        self.seats[seat].dropped.fetch_add(1, Ordering::SeqCst);
    }

    #[inline(always)]
    fn has_changed(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Reports what the seat's thread counted while the batch ended, too late to be read then. The thread calls it when it
    /// notices, and, since a processor may hold its count back for a moment, when it leaves the seat.
    #[cold]
    pub(super) fn check_seat(&self, seat: usize) {
        if let Some(seat) = self.seats.get(seat).filter(|_| self.has_changed()) {
            match seat.take_unreported() {
                0 => {}
                left if self.parts.get().is_some() => self.share_out_unseen(left),
                left => self.report_unseen(left),
            }
        }
    }

    /// Callbacks that wait, until there are none. Only then do later ones go their own way: a callback that is added
    /// while the batch ends must not overtake those of earlier records on their way from here to the queue.
    fn take_callbacks(self: &Arc<Self>) -> Option<PendingCallbacks> {
        let mut waiters = self.waiters.lock();
        let mut entries = std::mem::take(&mut waiters.callbacks);
        waiters.handed_over = entries.is_empty();
        drop(waiters);
        // Threads append in order but may register callbacks out of it.
        if !entries.is_sorted_by_key(|entry| entry.index) {
            entries.sort_by_key(|entry| entry.index);
        }
        (!entries.is_empty()).then(|| PendingCallbacks { batch: self.clone(), entries })
    }

    /// Ends the batch if nobody has: whoever held it is gone. `generation` is the owner's.
    pub(crate) fn abandon(self: &Arc<Self>, generation: u64) {
        if self.outcome.get().is_some() || self.parts.get().is_some() {
            return;
        }
        let error = Error::new(
            ErrorKind::Internal,
            "the batch was lost inside the producer; please report this defect",
        )
        .with_topic_partition(self.topic_partition.clone())
        .with_maybe_written(true);
        let outcome = Outcome::Failed { error, records: Box::default() };
        // Without an owner they run as they are dropped.
        let owner = self.owner.get();
        let call_back = |callbacks| match &owner {
            Some(owner) => owner.call_back(callbacks),
            None => drop::<PendingCallbacks>(callbacks),
        };
        if self.complete(outcome, call_back) {
            if let Some(owner) = &owner {
                owner.abandoned(self.partition_id, generation);
            }
        }
    }

    /// Replaces the batch by its parts, which its handles and callbacks follow.
    pub(crate) fn split(self: &Arc<Self>, parts: Vec<SplitPart>) {
        if self.parts.set(parts.into_boxed_slice()).is_err() {
            return;
        }
        self.is_over.store(true, Ordering::SeqCst);
        let mut waiters = self.waiters.lock();
        let (callbacks, wakers) =
            (std::mem::take(&mut waiters.callbacks), std::mem::take(&mut waiters.wakers));
        drop(waiters);
        callbacks.into_iter().for_each(|entry| Self::add_callback(self, entry));
        if self.is_urgent() {
            for part in self.parts.get().into_iter().flatten() {
                part.completion.urgent.store(true, Ordering::SeqCst);
            }
        }
        self.share_out_unseen(self.end_unseen());
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Which records the dropped handles belonged to is not known; where all were dropped, the usual case, this is
    /// exact.
    fn share_out_unseen(&self, mut left: u32) {
        let Some(parts) = self.parts.get() else { return };
        for (at, part) in parts.iter().enumerate() {
            let records = parts.get(at + 1).map_or(u32::MAX, |next| next.first.saturating_sub(part.first));
            part.completion.unseen.fetch_add(left.min(records), Ordering::SeqCst);
            left = left.saturating_sub(records);
        }
    }

    /// The part that holds record `index` and the record's index there, if the batch was split.
    pub(crate) fn part_of(&self, index: u32) -> Option<(Arc<Self>, u32)> {
        let parts = self.parts.get()?;
        let at = parts.partition_point(|part| part.first <= index).checked_sub(1)?;
        let part = parts.get(at)?;
        Some((part.completion.clone(), index - part.first))
    }

    /// Keeps `entry` until the batch ends; runs it soon if it has ended.
    pub(crate) fn add_callback(self: &Arc<Self>, entry: CallbackEntry) {
        let mut waiters = self.waiters.lock();
        if let Some((part, index)) = self.part_of(entry.index) {
            drop(waiters);
            return part.add_callback(entry.at(index));
        }
        if !waiters.handed_over {
            self.charged.store(self.charged.load(Ordering::Relaxed) + entry.charge(), Ordering::Relaxed);
            waiters.callbacks.push(entry);
            return;
        }
        drop(waiters);
        let late = PendingCallbacks { batch: self.clone(), entries: vec![entry] };
        if let Some(owner) = self.owner.get() {
            owner.call_back(late);
        }
    }

    /// Waits until the batch ends or is split; `false` if `deadline` came first.
    pub(super) fn wait_for_change(&self, deadline: Option<Instant>) -> bool {
        let mut waiters = self.waiters.lock();
        while self.outcome.get().is_none() && self.parts.get().is_none() {
            match deadline {
                None => self.changed.wait(&mut waiters),
                Some(at) => {
                    if self.changed.wait_until(&mut waiters, at).timed_out() {
                        return self.outcome.get().is_some() || self.parts.get().is_some();
                    }
                }
            }
        }
        true
    }

    /// Registers a task; `false` if the batch has changed meanwhile and the caller should look again.
    pub(super) fn register(&self, waker: &Waker) -> bool {
        // Not under the lock: it is the executor's code.
        let own = waker.clone();
        let mut waiters = self.waiters.lock();
        if self.outcome.get().is_some() || self.parts.get().is_some() {
            return false;
        }
        if !waiters.wakers.iter().any(|w| w.will_wake(waker)) {
            waiters.wakers.push(own);
        }
        true
    }

    /// The handle of record `index`, or one of its clones, is cloned.
    pub(super) fn shared(&self, index: u32) {
        let mut waiters = self.waiters.lock();
        waiters.clones.entry(index).or_insert(Clones { left: 1, seen: false }).left += 1;
    }

    /// One of several handles of record `index` goes; whether it is the last, and nobody looked through any.
    pub(super) fn last_unseen(&self, index: u32, observed: bool) -> bool {
        let mut waiters = self.waiters.lock();
        let Some(clones) = waiters.clones.get_mut(&index) else { return false };
        clones.seen |= observed;
        clones.left -= 1;
        let (last, seen) = (clones.left == 0, clones.seen);
        if last {
            waiters.clones.remove(&index);
        }
        last && !seen
    }

    /// The handle of record `index` went away and nobody had looked through it.
    pub(super) fn dropped_unseen(&self, index: u32) {
        // The one who ends the batch counts what was dropped before, everybody after that himself.
        if self.outcome.get().is_none()
            && self.parts.get().is_none()
            && self.unseen.fetch_add(1, Ordering::SeqCst) & ENDED == 0
        {
            return;
        }
        if let Some((part, index)) = self.part_of(index) {
            part.dropped_unseen(index);
        } else {
            self.report_unseen(1);
        }
    }

    pub(crate) fn owned_by_this_thread(&self) -> bool {
        on_own_thread(self.owner.id)
    }
}

impl std::fmt::Debug for BatchCompletion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchCompletion")
            .field("topic_partition", &self.topic_partition)
            .field("outcome", &self.outcome.get())
            .finish_non_exhaustive()
    }
}
