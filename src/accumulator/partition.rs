//! One partition's queue of batches, from the open one that takes records to the front that the sender takes.
//!
//! Pure: `now` comes in as an argument, waiting and memory are the caller's. `entry` wraps it in the partition's lock. Must
//! not know brokers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::batch::{Batch, ClosedBatch, Fit, Fresh, OpenBatch, SizeLimits};
use super::memory::{Chunk, MemoryPool};
use crate::delivery::{BatchCompletion, DeliveryFuture, Place, RecordFacts};
use crate::protocol::record::{PlacedRecord, RecordBody};
use crate::sync::Arc;

/// Batches in order: `slots` are closed, `open` takes records.
#[derive(Debug, Default)]
pub(crate) struct PartitionQueue {
    slots: VecDeque<Slot>,
    open: Option<OpenBatch>,
    /// Bytes since records without a key last came to this partition.
    sticky_bytes: usize,
    next_ticket: u64,
    /// What is here was dropped, but for what an application thread compresses: nothing is sent until that is back.
    held: bool,
    /// No record enters any more.
    pub(super) closed: bool,
}

/// Its own function, so that nobody computes it who does not compress.
#[cold]
fn scaled(len: usize, ratio: f32) -> usize {
    (len as f32 * ratio) as usize
}

#[derive(Debug)]
enum Slot {
    Closed(ClosedBatch),
    /// An application thread compresses the batch that belongs here; nothing behind it may overtake.
    Sealing(Marker),
    Sealed(Batch),
}

/// Where a batch belongs that is being compressed outside the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marker {
    /// Tells apart batches that were begun within one tick of the clock.
    ticket: u64,
    created: Instant,
    records: u32,
}

/// What the sender should be told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Notice {
    Nothing,
    /// A batch was begun, then.
    Begun(Instant),
    /// A batch is full; so many wait now. When the batch was begun of which nobody told, if there is one.
    Closed(usize, Option<Instant>),
}

/// What became of an attempt to append.
pub(super) enum Append {
    Done {
        completion: Arc<BatchCompletion>,
        index: u32,
        notice: Notice,
        /// Records without a key should go elsewhere from now on.
        switch: bool,
    },
    /// Come back with this many chunks, and with what a new batch needs.
    NeedsBatch {
        chunks: usize,
        notice: Notice,
    },
    /// Come back with this many more chunks.
    NeedsChunks(usize),
    /// Come back when so many bytes more are counted for the callbacks that wait in the open batch.
    Owes(usize),
    /// The open batch was full and is closed now, one of so many; a record without a key goes elsewhere.
    Switch(usize),
    Closed,
}

/// How a record comes to this partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// By its key, or because it names the partition.
    Fixed,
    /// Because the sticky choice is here now.
    Sticky,
    /// As `Sticky`, but switching was tried already.
    StickyHere,
}

/// What an append works with besides the record.
pub(super) struct Supplies<'s> {
    pub(super) limits: SizeLimits,
    /// Compressed size by raw size, with a margin; 1 without a codec.
    pub(super) ratio: f32,
    pub(super) spare: &'s mut Vec<Chunk>,
    /// What was asked for because of [`Append::Owes`], and what came.
    pub(super) paper: (usize, &'s mut Vec<Chunk>),
    pub(super) fresh: &'s mut Option<Fresh>,
    pub(super) pool: &'s Arc<MemoryPool>,
}

/// What the front of a queue allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peek {
    Empty,
    /// Take it. `created` is the front batch's.
    Ready {
        created: Instant,
    },
    /// Its linger ends then.
    Lingering {
        created: Instant,
        until: Instant,
    },
    /// An application thread compresses the front batch and will notify.
    Sealing {
        created: Instant,
    },
}

/// What became of an attempt to append without any supplies.
pub(super) enum Quick {
    Done {
        future: DeliveryFuture,
        /// The batch is full and closed now: the sender should look.
        notify: bool,
        /// Records without a key should go elsewhere from now on.
        switch: bool,
    },
    /// Not so simple: [`PartitionQueue::try_append`] knows more.
    No,
}

impl PartitionQueue {
    pub(super) fn new(closed: bool) -> Self {
        Self { closed, ..Self::default() }
    }

    /// The usual case, with as little as it takes: there is a batch, and the record is small and fits into its current chunk.
    #[inline(always)]
    pub(super) fn append_quickly<'a, H>(
        &mut self,
        record: &RecordBody<'a, H>,
        facts: RecordFacts,
        route: Route,
        (limits, ratio): (SizeLimits, f32),
        entered: &mut impl FnMut(Place<'_>),
    ) -> Quick
    where
        H: Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
    {
        let (false, Some(open)) = (self.closed, &mut self.open) else { return Quick::No };
        if open.owes() {
            return Quick::No;
        }
        let pushed = open.push_small(record, facts.timestamp);
        let Some((index, len)) = pushed.or_else(|| open.push_here(record, facts.timestamp)) else {
            return Quick::No;
        };
        entered(Place::new(open.completion(), index, facts));
        let future = DeliveryFuture::new(open.completion(), index, facts);
        let notify = open.is_full();
        let switch = route != Route::Fixed && self.wears_out(len, limits, ratio, notify);
        Quick::Done { future, notify, switch }
    }

    /// Counts what records without a key bring, and says when they should go elsewhere. Twice the size of a batch, since
    /// a batch that is full counts on its own and one that lingers may stay small.
    #[inline(always)]
    fn wears_out(&mut self, len: usize, limits: SizeLimits, ratio: f32, full: bool) -> bool {
        self.sticky_bytes += if ratio >= 1.0 { len } else { scaled(len, ratio) };
        let switch = self.sticky_bytes >= 2 * limits.batch_size || full;
        if switch {
            self.sticky_bytes = 0;
        }
        switch
    }

    #[inline(always)]
    pub(super) fn try_append<'a, H>(
        &mut self,
        record: &RecordBody<'a, H>,
        timestamp: i64,
        route: Route,
        s: &mut Supplies<'_>,
    ) -> Append
    where
        H: Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
    {
        if self.closed {
            return Append::Closed;
        }
        let mut notice = Notice::Nothing;
        if let Some(open) = &mut self.open {
            if open.owes() {
                if s.paper.1.is_empty() {
                    return Append::Owes(open.debt());
                }
                open.pay(s.paper.0, s.paper.1);
            }
            let placed = open.place(record, timestamp);
            let len = placed.encoded_len();
            match open.fit(len, s.spare.len()) {
                Fit::Yes => return self.push((placed, len), timestamp, route, s, notice),
                Fit::NeedsChunks(n) => return Append::NeedsChunks(n),
                Fit::No => {
                    self.close_open(s.pool);
                    notice = Notice::Closed(self.slots.len(), None);
                    if route == Route::Sticky {
                        self.sticky_bytes = 0;
                        return Append::Switch(self.slots.len());
                    }
                }
            }
        }
        self.begin(record, timestamp, route, s, notice)
    }

    /// Begins a batch with this record, once there is what it takes.
    #[cold]
    fn begin<'a, H>(
        &mut self,
        record: &RecordBody<'a, H>,
        timestamp: i64,
        route: Route,
        s: &mut Supplies<'_>,
        notice: Notice,
    ) -> Append
    where
        H: Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
    {
        // The bound counts the header, which is not in the chunks: never too few.
        let chunks = record.upper_bound().div_ceil(s.pool.chunk_size()).max(1);
        if s.spare.len() < chunks {
            return Append::NeedsBatch { chunks: chunks - s.spare.len(), notice };
        }
        let Some(life) = s.fresh.take() else { return Append::NeedsBatch { chunks: 0, notice } };
        let Some(first) = s.spare.pop() else { return Append::NeedsBatch { chunks, notice } };
        let begun = match notice {
            Notice::Closed(waiting, _) => Notice::Closed(waiting, Some(life.created)),
            Notice::Begun(_) | Notice::Nothing => Notice::Begun(life.created),
        };
        let open = self.open.insert(OpenBatch::new(
            first,
            s.pool.chunk_size(),
            (s.limits, s.ratio),
            timestamp,
            life,
        ));
        let placed = open.place(record, timestamp);
        let len = placed.encoded_len();
        self.push((placed, len), timestamp, route, s, begun)
    }

    /// Puts a record of `len` encoded bytes into the open batch, where it fits.
    #[inline(always)]
    fn push<'a, H>(
        &mut self,
        (placed, len): (PlacedRecord<'_, 'a, H>, usize),
        timestamp: i64,
        route: Route,
        s: &mut Supplies<'_>,
        mut notice: Notice,
    ) -> Append
    where
        H: Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
    {
        let Some(open) = &mut self.open else { return Append::NeedsBatch { chunks: 1, notice } };
        let index = open.push(placed, len, timestamp, s.spare);
        let completion = open.completion().clone();
        let full = open.is_full();
        if full {
            self.close_open(s.pool);
            let untold = match notice {
                Notice::Begun(at) | Notice::Closed(_, Some(at)) => Some(at),
                Notice::Closed(_, None) | Notice::Nothing => None,
            };
            notice = Notice::Closed(self.slots.len(), untold);
        }
        let switch = route != Route::Fixed && self.wears_out(len, s.limits, s.ratio, full);
        Append::Done { completion, index, notice, switch }
    }

    #[cold]
    pub(super) fn close_open(&mut self, pool: &Arc<MemoryPool>) {
        if let Some(open) = self.open.take() {
            let batch = open.close(pool);
            pool.pace.queued(batch.get().body.leader(), batch.get().raw_len);
            self.slots.push_back(Slot::Closed(batch));
        }
    }

    /// What the front allows, given `linger` and whether a batch must go out.
    pub(super) fn peek(
        &self,
        now: Instant,
        linger: Duration,
        pressing: impl Fn(&BatchCompletion, u64) -> bool,
    ) -> Peek {
        let ready = |created| if self.held { Peek::Sealing { created } } else { Peek::Ready { created } };
        match self.slots.front() {
            Some(Slot::Closed(batch)) => return ready(batch.get().created),
            Some(Slot::Sealed(batch)) => return ready(batch.created),
            Some(Slot::Sealing(place)) => return Peek::Sealing { created: place.created },
            None => {}
        }
        let Some(open) = &self.open else { return Peek::Empty };
        let created = open.created();
        let until = crate::clock::deadline(created, linger);
        if self.closed || until <= now || pressing(open.completion(), open.generation()) {
            Peek::Ready { created }
        } else {
            Peek::Lingering { created, until }
        }
    }

    /// Until when a lone full batch would linger if it were not full.
    pub(super) fn may_wait(
        &self,
        now: Instant,
        linger: Duration,
        pressing: impl Fn(&BatchCompletion, u64) -> bool,
    ) -> Option<Instant> {
        let batch = match self.slots.front()? {
            Slot::Closed(batch) => batch.get(),
            Slot::Sealed(batch) => batch,
            Slot::Sealing(_) => return None,
        };
        let until = crate::clock::deadline(batch.created, linger);
        let wait = self.slots.len() == 1
            && !self.closed
            && until > now
            && !pressing(&batch.completion, batch.generation);
        wait.then_some(until)
    }

    /// Closed batches that the sender has not taken.
    pub(super) fn waiting(&self) -> usize {
        self.slots.len()
    }

    /// Bytes the front batch takes at most on the wire, once it is closed.
    pub(super) fn front_len(&self) -> Option<usize> {
        match self.slots.front() {
            Some(Slot::Closed(batch)) => Some(batch.get().wire_len()),
            Some(Slot::Sealed(batch)) => Some(batch.wire_len()),
            Some(Slot::Sealing(_)) | None => None,
        }
    }

    /// Closes the open batch if nothing stands before it, and takes the front.
    pub(super) fn take_front(&mut self, pool: &Arc<MemoryPool>) -> Option<Result<Batch, ClosedBatch>> {
        if self.held {
            return None;
        }
        if self.slots.is_empty() {
            self.close_open(pool);
        }
        let left = |batch: &Batch| pool.pace.left(batch.body.leader(), batch.raw_len);
        match self.slots.pop_front()? {
            Slot::Closed(batch) => {
                left(batch.get());
                Some(Err(batch))
            }
            Slot::Sealed(batch) => {
                left(&batch);
                Some(Ok(batch))
            }
            sealing @ Slot::Sealing(_) => {
                self.slots.push_front(sealing);
                None
            }
        }
    }

    /// Closes the open batch if its generation is `wanted`.
    pub(super) fn close_open_if(&mut self, pool: &Arc<MemoryPool>, wanted: impl Fn(u64) -> bool) {
        if self.open.as_ref().is_some_and(|open| wanted(open.generation())) {
            self.close_open(pool);
        }
    }

    /// Application thread: takes the oldest batch that nobody has compressed, if it is `wanted`, leaving its place marked.
    pub(super) fn take_to_seal(&mut self, wanted: impl Fn(&Batch) -> bool) -> Option<(Marker, ClosedBatch)> {
        if self.held {
            return None;
        }
        let slot = self.slots.iter_mut().find(|s| matches!(s, Slot::Closed(_)))?;
        let Slot::Closed(batch) = slot else { return None };
        if !wanted(batch.get()) {
            return None;
        }
        let place =
            Marker { ticket: self.next_ticket, created: batch.get().created, records: batch.get().records };
        self.next_ticket += 1;
        match std::mem::replace(slot, Slot::Sealing(place)) {
            Slot::Closed(batch) => Some((place, batch)),
            _ => None,
        }
    }

    /// Puts the compressed batch where it was taken from.
    pub(super) fn put_sealed(&mut self, place: Marker, batch: Batch) {
        let own = |s: &&mut Slot| matches!(s, Slot::Sealing(p) if p.ticket == place.ticket);
        if let Some(slot) = self.slots.iter_mut().find(own) {
            *slot = Slot::Sealed(batch);
        }
    }

    /// Gives up the place of a batch whose compression panicked.
    pub(super) fn forget_sealing(&mut self, place: Marker, batch: &Batch, pool: &MemoryPool) {
        pool.pace.left(batch.body.leader(), batch.raw_len);
        self.slots.retain(|s| !matches!(s, Slot::Sealing(p) if p.ticket == place.ticket));
    }

    /// Holds everything here if something is left, as behind a batch that is being compressed.
    pub(super) fn hold(&mut self) -> bool {
        self.held = !self.slots.is_empty();
        self.held
    }

    /// Ends that, unless something is still being compressed.
    pub(super) fn let_go(&mut self) -> bool {
        self.held = self.held && self.slots.iter().any(|s| matches!(s, Slot::Sealing(_)));
        !self.held
    }

    /// How many batches wait to be compressed.
    pub(super) fn unsealed(&self) -> usize {
        self.slots.iter().filter(|s| matches!(s, Slot::Closed(_))).count()
    }

    /// Records that the sender has not taken.
    pub(super) fn records(&self) -> u64 {
        let closed: u64 = self
            .slots
            .iter()
            .map(|s| match s {
                Slot::Closed(batch) => u64::from(batch.get().records),
                Slot::Sealed(batch) => u64::from(batch.records),
                Slot::Sealing(place) => u64::from(place.records),
            })
            .sum();
        closed + self.open.as_ref().map_or(0, |open| u64::from(open.count()))
    }

    /// As if the clock had not moved while the batches were begun.
    #[cfg(test)]
    pub(super) fn same_instant(&mut self) {
        let mut first = None;
        for slot in &mut self.slots {
            if let Slot::Closed(batch) = slot {
                let created = *first.get_or_insert_with(|| batch.get().created);
                batch.set_created(created);
            }
        }
    }
}
