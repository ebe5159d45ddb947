//! A partition's batches that take no more records, in order, until the sender takes them; and a note of the open one behind
//! them, where that is full and grows on until then.
//!
//! Pure but for the pace, which is told what goes. In a lock of its own: the sender looks here many times for each
//! batch, and the application threads that append meanwhile have nothing to do with it until their batch is full. Must not
//! know brokers, nor the open batch itself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::batch::{Batch, ClosedBatch, Ripe};
use super::entry::Peek;
use super::memory::MemoryPool;
use crate::delivery::BatchCompletion;

#[derive(Debug, Default)]
pub(crate) struct ClosedBatches {
    slots: VecDeque<Slot>,
    /// The open batch, if it is full: to be closed by who takes it.
    ripe: Option<Ripe>,
    next_ticket: u64,
    /// What is here was dropped, but for what an application thread compresses: nothing is sent until that is back.
    held: bool,
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

/// What taking the front brought.
pub(super) enum Taken {
    /// Nothing stands there: the open batch is the next.
    Empty,
    /// What stands there cannot be taken yet.
    NotYet,
    /// It has more bytes than may be taken.
    TooLarge,
    Raw(ClosedBatch),
    Sealed(Batch),
}

impl Slot {
    /// Unless a thread compresses it.
    fn batch(&self) -> Option<&Batch> {
        match self {
            Self::Closed(batch) => Some(batch.get()),
            Self::Sealed(batch) => Some(batch),
            Self::Sealing(_) => None,
        }
    }
}

impl ClosedBatches {
    /// Behind all others; how many there are now.
    pub(super) fn push(&mut self, batch: ClosedBatch) -> usize {
        self.ripe = None;
        self.slots.push_back(Slot::Closed(batch));
        self.slots.len()
    }

    /// The open batch is full once more; how many full ones that makes.
    pub(super) fn ripen(&mut self, ripe: Ripe) -> usize {
        self.ripe = Some(ripe);
        self.full_batches()
    }

    /// Whether the open batch is the next.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What the front allows; `None` if nothing stands here.
    pub(super) fn peek(&self) -> Option<Peek> {
        let ready = |batch: &Batch| match self.held {
            true => Peek::Sealing { created: batch.created },
            false => Peek::Ready { created: batch.created, len: Some(batch.wire_len()) },
        };
        Some(match self.slots.front() {
            None => Peek::Ready { created: self.ripe.as_ref()?.created, len: None },
            Some(Slot::Closed(batch)) => ready(batch.get()),
            Some(Slot::Sealed(batch)) => ready(batch),
            Some(Slot::Sealing(place)) => Peek::Sealing { created: place.created },
        })
    }

    /// Until when the front would linger if it were not full, and how many full batches there are.
    pub(super) fn may_wait(
        &self,
        now: Instant,
        linger: Duration,
        pressing: impl Fn(&BatchCompletion, u64) -> bool,
    ) -> Option<(Instant, usize)> {
        let (created, completion, generation) = match self.slots.front() {
            Some(slot) => slot.batch().map(|batch| (batch.created, &batch.completion, batch.generation))?,
            None => self.ripe.as_ref().map(|ripe| (ripe.created, &ripe.completion, ripe.generation))?,
        };
        let until = crate::clock::deadline(created, linger);
        let wait = until > now && !pressing(completion, generation);
        wait.then(|| (until, self.full_batches()))
    }

    /// How many full batches there are, one that has grown counting as several.
    fn full_batches(&self) -> usize {
        let closed = self.slots.iter().map(|slot| slot.batch().map_or(1, |batch| batch.turns));
        let ripe = self.ripe.as_ref().map(|ripe| ripe.times_full);
        closed.chain(ripe).map(|batches| batches as usize).sum()
    }

    /// Batches that the sender has not taken.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn take_front(&mut self, pool: &MemoryPool) -> Taken {
        if self.held {
            return Taken::NotYet;
        }
        let Some(slot) = self.slots.pop_front() else { return Taken::Empty };
        if let Some(batch) = slot.batch() {
            pool.pace.left(batch.body.leader(), batch.raw_len);
        }
        match slot {
            Slot::Closed(batch) => Taken::Raw(batch),
            Slot::Sealed(batch) => Taken::Sealed(batch),
            Slot::Sealing(_) => {
                self.slots.push_front(slot);
                Taken::NotYet
            }
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

    /// Records in them.
    pub(super) fn records(&self) -> u64 {
        let records = self.slots.iter().map(|s| match s {
            Slot::Closed(batch) => batch.get().records,
            Slot::Sealed(batch) => batch.records,
            Slot::Sealing(place) => place.records,
        });
        records.map(u64::from).sum()
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
