//! Where records enter a partition: its open batch, in the partition's lock, the one lock of a steady-state `send`.
//!
//! Pure but for the pace, which is told what is full: `now` comes in as an argument, waiting and memory are the caller's.
//! What is full goes to `closed`, whose lock is taken inside this one then, so that batches stand there in their order. Must not
//! know brokers.

use std::time::{Duration, Instant};

use super::batch::{Fit, Fresh, Growth, OpenBatch, SizeLimits};
use super::closed::ClosedBatches;
use super::entry::{PartitionEntry, Peek};
use super::memory::{Chunk, MemoryPool};
use crate::delivery::{BatchCompletion, DeliveryFuture, Place, RecordFacts};
use crate::protocol::record::{PlacedRecord, RecordBody};
use crate::sync::{Arc, Mutex};

#[derive(Debug, Default)]
pub(crate) struct Intake {
    open: Option<OpenBatch>,
    /// Bytes since records without a key last came to this partition.
    sticky_bytes: usize,
    /// The last batch was full several times before the sender came for it.
    outgrew: bool,
    /// No record enters any more.
    pub(super) closed: bool,
}

/// Its own function, so that nobody computes it who does not compress.
#[cold]
fn scaled(len: usize, ratio: f32) -> usize {
    (len as f32 * ratio) as usize
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
    /// The open batch was full, one of so many, and has grown or is closed; a record without a key goes elsewhere.
    Switch(usize),
    /// It has grown; a record that must go here comes back.
    Grown(usize),
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

/// What has become of a batch that is full.
pub(super) enum Full {
    /// It is closed, one of so many.
    Closed(usize),
    /// It has grown; of so many full ones.
    Grown(usize),
    /// It had grown for the record before, and has now for a larger one.
    Already,
}

impl Full {
    /// How many full batches wait; none that the sender was not told of.
    pub(super) fn waiting(self) -> usize {
        match self {
            Self::Closed(waiting) | Self::Grown(waiting) => waiting,
            Self::Already => 0,
        }
    }
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
    /// Whose records these are.
    pub(super) entry: &'s PartitionEntry,
    pub(super) growth: Growth,
}

/// What is to be done after a record has entered without any supplies.
pub(super) struct Quick {
    /// The batch is full: it is to grow, or to be closed, before the lock is let go of.
    pub(super) full: bool,
    /// Records without a key should go elsewhere from now on.
    pub(super) switch: bool,
}

impl Intake {
    pub(super) fn new(closed: bool) -> Self {
        Self { closed, ..Self::default() }
    }

    /// The usual case, with as little as it takes: there is a batch, and the record fits into its current chunk. Makes its
    /// `handle`, before the record is written: see `short_cut`. `IS_SMALL`: only a small record without headers is looked at.
    /// `None`: it takes more, of which [`try_append`](Self::try_append) knows, and nothing was done.
    #[inline(always)]
    pub(super) fn append_here<'a, H, const IS_SMALL: bool>(
        &mut self,
        record: &RecordBody<'a, H>,
        facts: RecordFacts,
        route: Route,
        limits: (SizeLimits, f32),
        entered: &mut impl FnMut(Place<'_>),
        handle: &mut DeliveryFuture,
    ) -> Option<Quick>
    where
        H: Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
    {
        let open = self.takes_records()?;
        let placed = open.place_here::<_, IS_SMALL>(record, facts.timestamp)?;
        let index = open.count();
        handle.fill(open.completion(), index, facts);
        let len = open.push_here(placed, facts.timestamp);
        entered(Place::new(open.completion(), index, facts));
        let full = open.is_full();
        let switch = route != Route::Fixed && self.wears_out(len, limits, full);
        Some(Quick { full, switch })
    }

    /// The open batch, unless callbacks have to be paid for first.
    #[inline(always)]
    fn takes_records(&mut self) -> Option<&mut OpenBatch> {
        let open = if self.closed { None } else { self.open.as_mut() };
        open.filter(|open| !open.owes())
    }

    /// Counts what records without a key bring, and says when they should go elsewhere. Twice the size of a batch, since
    /// a batch that is full counts on its own and one that lingers may stay small.
    #[inline(always)]
    fn wears_out(&mut self, len: usize, (limits, ratio): (SizeLimits, f32), full: bool) -> bool {
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
            let mut fit = open.fit(len, s.spare.len());
            if matches!(fit, Fit::No) {
                match self.grow_or_close(len, s.limits, s.growth, s.entry, s.pool) {
                    Full::Grown(waiting) | Full::Closed(waiting) if route == Route::Sticky => {
                        self.sticky_bytes = 0;
                        return Append::Switch(waiting);
                    }
                    Full::Grown(waiting) => return Append::Grown(waiting),
                    Full::Closed(waiting) => notice = Notice::Closed(waiting, None),
                    Full::Already => {}
                }
                fit = self.open.as_ref().map_or(Fit::No, |open| open.fit(len, s.spare.len()));
            }
            match fit {
                Fit::Yes => return self.push((placed, len), timestamp, route, s, notice),
                Fit::NeedsChunks(n) => return Append::NeedsChunks(n),
                // It is closed.
                Fit::No => {}
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
            let waiting = self.grow_or_close(0, s.limits, s.growth, s.entry, s.pool).waiting();
            let untold = match notice {
                Notice::Begun(at) | Notice::Closed(_, Some(at)) => Some(at),
                Notice::Closed(_, None) | Notice::Nothing => None,
            };
            notice = Notice::Closed(waiting, untold);
        }
        let switch = route != Route::Fixed && self.wears_out(len, (s.limits, s.ratio), full);
        Append::Done { completion, index, notice, switch }
    }

    /// The open batch is full, or would be with a record of `len` bytes: it grows on, as long as the sender has not come for
    /// the one before it, or would not have come for the last one so soon; or it is closed.
    #[cold]
    pub(super) fn grow_or_close(
        &mut self,
        len: usize,
        limits: SizeLimits,
        growth: Growth,
        entry: &PartitionEntry,
        pool: &Arc<MemoryPool>,
    ) -> Full {
        let pays = growth.most > 0 && (self.outgrew || !entry.closed.lock().is_empty());
        let grows = |open: &mut OpenBatch| pays && open.grow(len, limits.batch_size, growth);
        let Some(open) = self.open.as_mut().and_then(|open| grows(open).then_some(open)) else {
            return Full::Closed(self.close_open(pool, &entry.closed));
        };
        if open.tell(&pool.pace) == 0 {
            return Full::Already;
        }
        entry.batch_began(1);
        Full::Grown(entry.closed.lock().ripen(open.ripen()))
    }

    /// Bytes of the open batch, header included.
    pub(super) fn wire_len(&self) -> usize {
        self.open.as_ref().map_or(0, OpenBatch::wire_len)
    }

    /// How many closed batches wait now; none where there was no open one.
    #[cold]
    pub(super) fn close_open(&mut self, pool: &Arc<MemoryPool>, closed: &Mutex<ClosedBatches>) -> usize {
        let Some(mut open) = self.open.take() else { return 0 };
        open.tell(&pool.pace);
        self.outgrew = open.turns() > 2;
        closed.lock().push(open.close(pool))
    }

    /// Closes the open batch if its generation is `wanted`.
    pub(super) fn close_open_if(
        &mut self,
        pool: &Arc<MemoryPool>,
        closed: &Mutex<ClosedBatches>,
        wanted: impl Fn(u64) -> bool,
    ) {
        if self.open.as_ref().is_some_and(|open| wanted(open.generation())) {
            self.close_open(pool, closed);
        }
    }

    /// What the open batch allows where no closed one stands before it, given `linger` and whether a batch must go out.
    pub(super) fn peek(
        &self,
        now: Instant,
        linger: Duration,
        pressing: impl Fn(&BatchCompletion, u64) -> bool,
    ) -> Peek {
        let Some(open) = &self.open else { return Peek::Empty };
        let created = open.created();
        let until = crate::clock::deadline(created, linger);
        if self.closed || until <= now || pressing(open.completion(), open.generation()) {
            Peek::Ready { created, len: None }
        } else {
            Peek::Lingering { created, until }
        }
    }

    /// Records in the open batch.
    pub(super) fn records(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| u64::from(open.count()))
    }
}
