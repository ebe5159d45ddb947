//! Appending one record: the end of `send`, on the application's thread.
//!
//! Two steps, as in Java: try under the partition's lock; if that needs memory or a new batch, let go of the lock, get
//! them, and try again (another thread may have begun a batch meanwhile).

use std::time::Instant;

use super::batch::{Fresh, Growth, SizeLimits};
use super::budget::{Wait, Waited};
use super::chunks::{Body, ChunkList};
use super::destination::Target;
use super::entry::PartitionEntry;
use super::intake::{Append, Notice, Route, Supplies};
use super::memory::{Ask, Bound, Chunk, MemoryPool};
use super::{RecordAccumulator, TopicLease, closed_error};
use crate::clock;
use crate::delivery::{DeliveryFuture, Place, RecordFacts};
use crate::error::{Error, ErrorKind};
use crate::metrics::nanos;
use crate::protocol::record::{BATCH_HEADER_LEN, RecordBody, RecordSink};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// A batch grows during this part of `delivery.timeout.ms`, which counts from its first record.
const GROWS_FOR: u32 = 16;

/// Where a record went.
enum Went {
    /// Into a batch. `switch`: records without a key should go elsewhere from now on.
    In { future: DeliveryFuture, switch: bool },
    /// Nowhere: the partition's batch was full, and the record may go to another partition.
    Full,
    /// Nowhere: the leader's share of memory is taken, and the record may go to another leader.
    Crowded,
}

/// What an append holds while it tries; goes back where it came from if it is not used.
struct Held<'a> {
    acc: &'a RecordAccumulator,
    entry: &'a PartitionEntry,
    spare: Vec<Chunk>,
    /// Memory on paper, for callbacks that wait in the open batch.
    paper: Vec<Chunk>,
    fresh: Option<Fresh>,
}

impl<'a> Held<'a> {
    fn new(acc: &'a RecordAccumulator, entry: &'a PartitionEntry) -> Self {
        Self { acc, entry, spare: Vec::new(), paper: Vec::new(), fresh: None }
    }

    /// Where what was asked for goes.
    fn list(&mut self, ask: Ask) -> &mut Vec<Chunk> {
        if ask.chunks == 0 { &mut self.paper } else { &mut self.spare }
    }

    fn release(&mut self) {
        if self.spare.capacity() > 0 {
            self.acc.pool.give_back_list(std::mem::take(&mut self.spare), None);
        }
        if self.paper.capacity() > 0 {
            self.acc.pool.give_back_list(std::mem::take(&mut self.paper), None);
        }
        if let Some(fresh) = self.fresh.take() {
            self.entry.batch_ended(1);
            self.acc.unfinished.end(fresh.generation);
            // A sender that drains may wait for nothing but this batch, and nobody else would tell it.
            if self.acc.is_closed() {
                self.acc.signals.sweep();
            }
        }
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}

impl RecordAccumulator {
    /// Appends `record`; returns its handle. `entered` is called while the partition is locked, so that callbacks
    /// stand in the order of the records whichever threads send them; it may register them and nothing else.
    ///
    /// # Errors
    /// The partition does not exist, memory is exhausted, or the producer is closed; the record did not enter.
    pub(crate) fn append<'r, H>(
        &self,
        topic: &TopicLease,
        target: Target,
        record: &RecordBody<'r, H>,
        facts: RecordFacts,
        wait: Wait<'_>,
        entered: &mut impl FnMut(Place<'_>),
    ) -> Result<DeliveryFuture, Error>
    where
        H: Iterator<Item = (&'r str, Option<&'r [u8]>)> + Clone,
    {
        let found = self.destination(topic, target, false);
        let (mut entry, route) = found.ok_or_else(|| no_partition(topic, target))?;
        let mut intake = match entry.intake.try_lock() {
            Some(intake) => intake,
            None => {
                entry = self.make_way(topic, entry, route);
                entry.intake.lock()
            }
        };
        if self.has_ended(topic) {
            drop(intake);
            return Err(shut_error());
        }
        let limits = (self.limits, entry.ratio());
        let mut handle = DeliveryFuture::vacant();
        if let Some(quick) =
            intake.append_here::<_, false>(record, facts, route, limits, entered, &mut handle)
        {
            self.entered_quickly(topic, entry, intake, quick, || wait.is_patient());
            return Ok(handle);
        }
        drop(intake);
        self.append_slowly(topic, target, record, facts, wait, entered)
    }

    /// Where the record needs memory or a batch, or another partition than the first choice.
    #[cold]
    fn append_slowly<'r, H>(
        &self,
        topic: &TopicLease,
        target: Target,
        record: &RecordBody<'r, H>,
        facts: RecordFacts,
        wait: Wait<'_>,
        entered: &mut impl FnMut(Place<'_>),
    ) -> Result<DeliveryFuture, Error>
    where
        H: Iterator<Item = (&'r str, Option<&'r [u8]>)> + Clone,
    {
        let mut switched = false;
        // Leaders whose share of memory is taken; no allocation while there is none.
        let mut crowded: Vec<i32> = Vec::new();
        loop {
            let found = self.destination(topic, target, switched);
            let (entry, route) = found.ok_or_else(|| no_partition(topic, target))?;
            let leader = entry.leader();
            let may_leave = || route != Route::Fixed && self.has_other_leader(topic, leader, &crowded);
            let went = self.append_to((topic, entry, route), record, facts, wait, entered, may_leave)?;
            match went {
                Went::In { future, switch } => {
                    if switch {
                        self.leave_sticky(topic, &[]);
                    }
                    return Ok(future);
                }
                Went::Full => {
                    self.leave_sticky(topic, &crowded);
                    switched = true;
                }
                Went::Crowded => {
                    crowded.push(leader);
                    self.leave_sticky(topic, &crowded);
                    switched = true;
                }
            }
        }
    }

    /// One partition. `may_leave`: the record goes elsewhere rather than wait for a leader's share of memory.
    #[inline(always)]
    fn append_to<'r, H>(
        &self,
        (topic, entry, route): (&TopicLease, &Arc<PartitionEntry>, Route),
        record: &RecordBody<'r, H>,
        facts: RecordFacts,
        wait: Wait<'_>,
        entered: &mut impl FnMut(Place<'_>),
        may_leave: impl Fn() -> bool,
    ) -> Result<Went, Error>
    where
        H: Iterator<Item = (&'r str, Option<&'r [u8]>)> + Clone,
    {
        let mut held = Held::new(self, entry);
        let mut owed = 0;
        let ratio = entry.ratio();
        loop {
            let mut supplies = Supplies {
                limits: self.limits,
                ratio,
                spare: &mut held.spare,
                paper: (owed, &mut held.paper),
                fresh: &mut held.fresh,
                pool: &self.pool,
                entry,
                growth: self.growth(entry),
            };
            let mut intake = entry.intake.lock();
            if self.has_ended(topic) {
                drop(intake);
                return Err(shut_error());
            }
            let result = intake.try_append(record, facts.timestamp, route, &mut supplies);
            if let Append::Done { completion, index, .. } = &result {
                entered(Place::new(completion, *index, facts));
            }
            drop(intake);
            match result {
                Append::Done { completion, index, notice, switch } => {
                    // Before a codec's complaint can reach a logger that flushes: a batch that is not used is not waited for.
                    held.release();
                    self.announce(entry, notice, wait.is_patient());
                    return Ok(Went::In { future: DeliveryFuture::new(&completion, index, facts), switch });
                }
                Append::NeedsChunks(chunks) => {
                    if !self.supply(&mut held, Ask::from(chunks), wait, &may_leave)? {
                        return Ok(Went::Crowded);
                    }
                }
                Append::Owes(debt) => {
                    owed = debt;
                    // A callback may have captured more than there is.
                    let paper = debt.min(self.pool.total());
                    if !self.supply(&mut held, Ask { chunks: 0, paper }, wait, &may_leave)? {
                        return Ok(Went::Crowded);
                    }
                }
                Append::NeedsBatch { chunks, notice } => {
                    // At once: there may be no memory, and then this record never enters to announce it.
                    self.announce(entry, notice, false);
                    if !self.supply_batch(&mut held, chunks, wait, &may_leave)? {
                        return Ok(Went::Crowded);
                    }
                }
                Append::Switch(waiting) => {
                    held.release();
                    self.announce(entry, Notice::Closed(waiting, None), wait.is_patient());
                    return Ok(Went::Full);
                }
                Append::Grown(waiting) => self.announce(entry, Notice::Closed(waiting, None), false),
                Append::Closed => return Err(closed_error()),
            }
        }
    }

    /// Whether full batches of this partition grow on.
    pub(super) fn growth(&self, entry: &PartitionEntry) -> Growth {
        let SizeLimits { batch_size, largest, .. } = self.limits;
        let most = if largest > batch_size { entry.grows_to(batch_size) } else { 0 };
        // Without a look at the clock.
        if most == 0 {
            return Growth::NONE;
        }
        Growth {
            most: most.min(largest.saturating_sub(BATCH_HEADER_LEN)),
            begun_since: clock::now().checked_sub(self.settings.delivery_timeout / GROWS_FOR),
        }
    }

    /// Whether the transaction in which the `send` began takes no more records. To be asked under the partition's lock.
    #[inline(always)]
    pub(super) fn has_ended(&self, topic: &TopicLease) -> bool {
        topic.transaction() != self.transaction()
    }

    /// Tells the sender what happened in a partition, and lends it a hand if the caller `helps`.
    pub(super) fn announce(&self, entry: &Arc<PartitionEntry>, notice: Notice, helps: bool) {
        match notice {
            Notice::Nothing => return,
            Notice::Begun(created) => {
                self.signals.begun(entry, clock::deadline(created, self.settings.linger));
            }
            Notice::Closed(waiting, untold) => {
                let until = untold.map(|created| clock::deadline(created, self.settings.linger));
                self.signals.closed(entry, waiting, until);
            }
        }
        if helps {
            self.help_sealing(entry);
        }
    }

    fn fresh(&self, entry: &PartitionEntry, waited: Waited) -> Result<Fresh, Error> {
        let completion = self.new_completion(entry).ok_or_else(closed_error)?;
        entry.batch_began(1);
        Ok(Fresh { completion, created: clock::now(), generation: self.unfinished.begin(1), waited })
    }

    /// Gets what a batch takes that begins in so many more chunks, as [`supply`](Self::supply) does.
    fn supply_batch(
        &self,
        held: &mut Held<'_>,
        chunks: usize,
        wait: Wait<'_>,
        may_leave: impl Fn() -> bool,
    ) -> Result<bool, Error> {
        let paper = if chunks > 0 { self.batch_overhead } else { 0 };
        if !self.supply(held, Ask { chunks, paper }, wait, may_leave)? {
            return Ok(false);
        }
        if held.fresh.is_none() {
            held.fresh = Some(self.fresh(held.entry, wait.waited())?);
        }
        Ok(true)
    }

    /// Gets more chunks, or memory on paper. What is held goes back first: nobody waits for memory while holding some.
    /// `false`: the leader's share is taken and the record `may_leave`.
    fn supply(
        &self,
        held: &mut Held<'_>,
        ask: Ask,
        wait: Wait<'_>,
        may_leave: impl Fn() -> bool,
    ) -> Result<bool, Error> {
        if ask.chunks + ask.paper == 0 {
            return Ok(true);
        }
        let leader = held.entry.leader();
        if ask.chunks > 0 {
            self.keep_pace(held, leader, wait);
        }
        match self.pool.try_take(leader, ask, held.list(ask)) {
            Ok(()) => return Ok(true),
            Err(Bound::BrokerShare) if may_leave() => return Ok(false),
            Err(Bound::BufferMemory | Bound::BrokerShare | Bound::Closed) => {}
        }
        // What is on paper is for a batch that may be gone by then; chunks are not.
        let chunks = if ask.chunks == 0 { 0 } else { ask.chunks + held.spare.len() };
        let wanted = Ask { chunks, ..ask };
        held.release();
        let taken = match wait.deadline() {
            None => self.pool.try_take(leader, wanted, held.list(wanted)),
            Some(deadline) => {
                self.metrics.buffer_waits.increment();
                self.pressure.fetch_add(1, Ordering::SeqCst);
                self.signals.sweep();
                let began = clock::now();
                let taken = self.pool.take(leader, wanted, deadline, held.list(wanted));
                self.pressure.fetch_sub(1, Ordering::SeqCst);
                self.waited_for_memory(began, wait);
                taken
            }
        };
        taken.map(|()| true).map_err(|bound| self.no_memory(bound, held.entry, wait))
    }

    fn waited_for_memory(&self, began: Instant, wait: Wait<'_>) {
        let time = clock::now().saturating_duration_since(began);
        self.metrics.buffer_wait_nanos.add(nanos(time));
        wait.note(|waited| waited.memory += time);
    }

    /// Lets the sender catch up. Who holds anything that others may wait for does not stop, nor does who could compress.
    #[inline]
    fn keep_pace(&self, held: &Held<'_>, leader: i32, wait: Wait<'_>) {
        let holds = !held.spare.is_empty() || !held.paper.is_empty() || held.fresh.is_some();
        if !self.pool.pace.is_ahead(leader) || holds || self.sealer.compresses() {
            return;
        }
        if let Some(deadline) = wait.deadline() {
            let began = clock::now();
            self.pool.pace.stop(leader, deadline);
            self.waited_for_memory(began, wait);
        }
    }

    fn no_memory(&self, bound: Bound, entry: &PartitionEntry, wait: Wait<'_>) -> Error {
        let how_long = if matches!(wait, Wait::Never) { "is taken" } else { "stayed taken for max.block.ms" };
        let what = match bound {
            Bound::Closed => return closed_error(),
            Bound::BufferMemory => format!("buffer.memory ({} bytes) {how_long}", self.pool.total()),
            Bound::BrokerShare => format!(
                "the share of buffer.memory that one broker's partitions may hold \
                 (buffer.memory.per.broker.ratio) {how_long} for broker {}",
                entry.leader()
            ),
        };
        self.metrics.buffer_exhausted.increment();
        let error = Error::new(ErrorKind::BufferExhausted, what)
            .with_topic_partition(entry.tp.clone())
            .with_retriable(true);
        wait.explain(error)
    }
}

#[cold]
fn no_partition(topic: &TopicLease, target: Target) -> Error {
    let which = match target {
        Target::Partition(at) => format!("partition {at} does not exist"),
        Target::Sticky => "there is no partition to choose".to_owned(),
    };
    let known = topic.snapshot().partitions.len();
    Error::new(ErrorKind::Partitioning, format!("{which}; the topic has {known}"))
}

#[cold]
fn shut_error() -> Error {
    let message = "send(): the transaction ended on another thread while the record was on its way in";
    Error::new(ErrorKind::Misuse, message)
}

/// A body outside the pool's bounds, for the parts of a split batch.
pub(super) fn body_of(pool: &Arc<MemoryPool>, leader: i32, bytes: &[u8]) -> Body {
    let size = pool.chunk_size();
    let mut chunks = Vec::new();
    pool.take_anyway(leader, bytes.len().div_ceil(size).max(1), &mut chunks);
    // At least one chunk was taken.
    let first = chunks.pop().unwrap_or_else(|| Chunk::loose(bytes.len(), leader));
    let mut list = ChunkList::new(first, size);
    list.across(&mut chunks).put(bytes);
    Body::new(list, bytes.len(), Vec::new(), pool.clone())
}

#[cfg(test)]
mod tests {
    use super::super::Pending;
    use super::super::tests::{Rig, settings};
    use super::*;

    #[test]
    fn a_batch_that_never_began_does_not_hold_up_a_close() {
        let rig = Rig::one(settings());
        let entry = &rig.partitions[0];
        let mut held = Held::new(&rig.acc, entry);
        held.fresh = Some(rig.acc.fresh(entry, Waited::default()).unwrap());
        rig.acc.close();
        rig.acc.signals.take(&mut Pending::default());
        assert!(!rig.acc.unfinished.is_empty(), "the sender waits for it");
        drop(held);
        assert!(rig.acc.unfinished.is_empty());
        assert!(!rig.acc.signals.fall_asleep(None), "the sender is told");
    }
}
