//! The record accumulator: where records wait, in batches per partition, until the sender takes them.
//!
//! Shared by application threads, which append, and the sender, which takes; owns the topics table, the partitions'
//! queues, `buffer.memory` and the list of unfinished batches. Locks: topics map, then where one partition's records enter,
//! then what of it is closed, is the only nesting; the others are leaves. Nothing waits, takes memory, compresses or
//! calls user code under a lock. Must not know connections, sequences or retries.

use std::time::{Duration, Instant};

mod append;
mod batch;
mod budget;
mod cache;
mod chunks;
mod closed;
mod destination;
mod entry;
mod helping;
mod intake;
mod memory;
mod owner;
mod pace;
mod seal;
mod settings;
mod short_cut;
mod signals;
mod sticky;
mod topics;
mod unfinished;

#[cfg(test)]
mod tests;

pub(crate) use batch::{Batch, SizeLimits};
pub(crate) use budget::{Budget, Wait};
pub(crate) use cache::TopicLease;
pub(crate) use chunks::Body;
pub(crate) use destination::Target;
pub(crate) use entry::{PartitionEntry, Peek};
pub(crate) use settings::Settings;
pub(crate) use signals::{Load, Pending, Signals};
pub(crate) use topics::{NoTopic, TopicEntry, TopicSnapshot};
pub(crate) use unfinished::Unfinished;

use crate::delivery::{BatchCompletion, Outcome, OwnerRef, PendingCallbacks, SplitPart};
use crate::error::{Error, ErrorKind};
use crate::metrics::{Event, Metrics, MetricsSnapshot, nanos};
use crate::partitioner::PartitionInfo;
use crate::protocol::record::compression::Compression;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, OnceLock, ProcessCounter, RwLock};
use closed::Taken;
use memory::MemoryPool;
use owner::UnseenLog;
use seal::Sealer;
use topics::TopicTable;

/// What taking a partition's front batch brought.
pub(crate) enum Take {
    Batch(Batch),
    NoRoom,
    Nothing,
}

/// Where ended batches with callbacks go. The body comes along: its memory is held until the callbacks have run.
pub(crate) type CallbackSink = Box<dyn Fn(PendingCallbacks, Option<Arc<Body>>) + Send + Sync>;

pub(crate) struct RecordAccumulator {
    /// Tells producers apart in thread-local tables and on callback threads.
    pub(crate) id: u64,
    settings: Settings,
    limits: SizeLimits,
    longest_record: usize,
    /// What counts against `buffer.memory` for a batch besides its bytes and its callbacks.
    batch_overhead: usize,
    pool: Arc<MemoryPool>,
    pub(crate) signals: Signals,
    pub(crate) unfinished: Unfinished,
    topics: TopicTable,
    sealer: Sealer,
    pub(crate) metrics: Arc<Metrics>,
    callbacks: OnceLock<CallbackSink>,
    /// Threads that are about to wait for memory or do: linger is over everywhere.
    pressure: AtomicUsize,
    closed: AtomicBool,
    /// The number of the open transaction; 0 if none is, or the producer has none. Looked at under the lock where a
    /// partition's records enter, with a batch at hand that counts as unfinished: who saw the number of the transaction that
    /// ends is waited for by its flush, and nobody gets in after that, nor into the next one.
    transaction: AtomicU64,
    /// Brokers that records without a key stay away from; nearly always none. Read once per batch, a leaf.
    stalled: RwLock<Vec<i32>>,
    availability_timeout: OnceLock<Duration>,
    /// Why there is no sender any more.
    dead: OnceLock<Error>,
    unseen: Mutex<UnseenLog>,
    /// Batches that ended before the sender had them.
    broken: AtomicU64,
    /// Set by the owner of `Self`: batches hold it to reach back.
    own: OnceLock<std::sync::Weak<Self>>,
}

impl RecordAccumulator {
    pub(crate) fn new(settings: Settings, metrics: Arc<Metrics>) -> Arc<Self> {
        static NEXT_ID: ProcessCounter = ProcessCounter::new(1);
        let (chunk_size, batch_overhead) = (settings.chunk_size(), settings.batch_overhead());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let acc = Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            limits: settings.limits(),
            longest_record: settings.buffer_memory.saturating_sub(batch_overhead) / chunk_size * chunk_size,
            batch_overhead,
            pool: Arc::new(MemoryPool::new(settings.buffer_memory, chunk_size, settings.broker_share)),
            signals: Signals::new(settings.gathering()),
            unfinished: Unfinished::default(),
            topics: TopicTable::default(),
            sealer: Sealer::new(settings.compression, cores),
            metrics,
            callbacks: OnceLock::new(),
            pressure: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            transaction: AtomicU64::new(0),
            stalled: RwLock::default(),
            availability_timeout: OnceLock::new(),
            dead: OnceLock::new(),
            unseen: Mutex::new(UnseenLog::default()),
            broken: AtomicU64::new(0),
            own: OnceLock::new(),
            settings,
        });
        let _ = acc.own.set(Arc::downgrade(&acc));
        acc
    }

    /// Where callbacks go; set once, before the first record.
    pub(crate) fn set_callback_sink(&self, sink: CallbackSink) {
        let _ = self.callbacks.set(sink);
    }

    /// Which transaction records may enter, for a producer whose records belong to transactions: each has a number of its
    /// own, above 0. `None` before the flush that begins the end of one.
    pub(crate) fn let_in(&self, transaction: Option<u64>) {
        self.transaction.store(transaction.unwrap_or(0), Ordering::SeqCst);
    }

    /// The number of the open transaction; 0 without one.
    #[inline]
    pub(crate) fn transaction(&self) -> u64 {
        self.transaction.load(Ordering::Acquire)
    }

    /// `partitioner.availability.timeout.ms`, if it is on; set once, before the first record.
    pub(crate) fn set_availability_timeout(&self, timeout: Duration) {
        let _ = self.availability_timeout.set(timeout);
    }

    /// The longest record, by its upper bound, that could ever be held.
    #[inline]
    pub(crate) fn longest_record(&self) -> usize {
        self.longest_record
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    // ---- application threads: topics ------------------------------------

    /// The topic for one `send`, if this thread remembers it.
    #[inline(always)]
    pub(crate) fn remembered(&self, name: &str) -> Option<TopicLease> {
        TopicLease::remembered(self, name)
    }

    /// The topic for one `send`, waiting for its metadata where `wait` allows.
    pub(crate) fn lease(&self, name: &str, wait: Wait<'_>) -> Result<TopicLease, NoTopic> {
        if let Some(lease) = self.remembered(name) {
            return Ok(lease);
        }
        let (entry, epoch, snapshot) = self.resolve_topic(name, 0, wait)?;
        Ok(TopicLease::new(self, entry, epoch, snapshot))
    }

    /// Waits until `name` has a partition of this number.
    pub(crate) fn resolve_topic(
        &self,
        name: &str,
        partition: usize,
        wait: Wait<'_>,
    ) -> Result<(Arc<TopicEntry>, u64, Arc<TopicSnapshot>), NoTopic> {
        let (entry, new) = self.topics.get_or_add(name);
        if let Some((epoch, snapshot)) = entry.snapshot().filter(|(_, s)| s.partitions.len() > partition) {
            entry.mark_used();
            return Ok((entry, epoch, snapshot));
        }
        // After the entry stands in the table: `close` either finds it there or has set the flag before.
        if self.is_closed() {
            return Err(NoTopic::Refused(closed_error()));
        }
        if !new {
            entry.ask_again();
        }
        entry.mark_used();
        self.signals.topic(&entry);
        match wait.deadline() {
            None => Err(NoTopic::Timeout(None)),
            Some(deadline) => {
                let began = crate::clock::now();
                let found = entry.wait(partition, deadline);
                let time = crate::clock::now().saturating_duration_since(began);
                self.metrics.metadata_wait_nanos.add(nanos(time));
                wait.note(|waited| waited.metadata += time);
                found.map(|(epoch, snapshot)| (entry, epoch, snapshot))
            }
        }
    }

    // ---- application threads: flush and close ----------------------------

    /// Ends linger for everything there is and waits for its outcomes; `Err` says how many records remain.
    pub(crate) fn flush(&self, deadline: Instant) -> Result<(), u64> {
        self.metrics.time(
            |m| &m.flush_nanos,
            || {
                let generation = self.unfinished.flush();
                self.signals.sweep();
                self.help_flush(deadline);
                if self.unfinished.wait(generation, deadline) { Ok(()) } else { Err(self.pending_records()) }
            },
        )
    }

    /// Refuses new records and wakes everybody who waits to put one in.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.topics.close(&closed_error());
        self.pool.close();
        self.unfinished.flush();
        self.signals.sweep();
        cache::forget(self.id);
    }

    /// Records that entered and have no outcome.
    pub(crate) fn pending_records(&self) -> u64 {
        let queued: u64 = self.topics.each().iter().flat_map(|t| t.known()).map(|p| p.records()).sum();
        queued + self.unfinished.taken_records()
    }

    pub(crate) fn metrics_snapshot(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            buffer_total_bytes: self.pool.total() as u64,
            buffer_available_bytes: self.pool.available() as u64,
            waiting_threads: self.pool.waiting() as u64,
            records_pending: self.pending_records(),
            ..self.metrics.snapshot()
        }
    }

    // ---- sender: topics ----------------------------------------------------

    /// Publishes what a metadata response says of a topic.
    pub(crate) fn publish_topic(&self, topic: &TopicEntry, infos: Vec<PartitionInfo>) -> Arc<TopicSnapshot> {
        self.metrics.keep_topic(&topic.name, &topic.counters, crate::clock::now());
        self.topics.publish(topic, infos)
    }

    /// Forgets a topic that was not used for `metadata.max.idle.ms`.
    pub(crate) fn forget_topic(&self, name: &str) {
        self.metrics.forget_topic(name);
        self.topics.forget(name);
    }

    /// Whether partitions of several leaders are in use, and so whether one leader's share of memory is bounded.
    pub(crate) fn set_several_leaders(&self, several: bool) {
        self.pool.set_several_leaders(several);
    }

    /// After how long the sticky choice stays away from a broker that takes nothing; `None`: never.
    pub(crate) fn availability_timeout(&self) -> Option<Duration> {
        self.availability_timeout.get().copied()
    }

    /// The brokers that have taken nothing for so long.
    pub(crate) fn set_stalled(&self, brokers: Vec<i32>) {
        if *self.stalled.read() != brokers {
            log::debug!(target: "kafka_producer::accumulator", "partitions of brokers {brokers:?} are passed over");
            *self.stalled.write() = brokers;
        }
    }

    // ---- sender: batches -----------------------------------------------------

    /// What the front of this partition's queue allows.
    pub(crate) fn peek(&self, entry: &PartitionEntry, now: Instant) -> Peek {
        let pressing = |batch: &BatchCompletion, generation| self.is_pressing(batch, generation);
        entry.peek(|intake| intake.peek(now, self.settings.linger, pressing))
    }

    /// Until when the front of this partition's queue may wait for others to share its request, and how many full batches
    /// there are; `None`: not at all, since its time has come, or a second batch stands behind it, which takes a request
    /// of its own or, if it grows, would soon do.
    pub(crate) fn may_wait(&self, entry: &PartitionEntry, now: Instant) -> Option<(Instant, usize)> {
        let pressing = |batch: &BatchCompletion, generation| self.is_pressing(batch, generation);
        if self.is_closed() {
            return None;
        }
        let waits = entry.closed.lock().may_wait(now, self.settings.linger, pressing);
        waits.filter(|(_, batches)| *batches == 1 || self.signals.is_fast())
    }

    /// Whether linger is over for a batch, however long it has lasted.
    fn is_pressing(&self, batch: &BatchCompletion, generation: u64) -> bool {
        self.pressure.load(Ordering::SeqCst) > 0
            || batch.is_urgent()
            || self.unfinished.is_flushing(generation)
    }

    pub(crate) fn linger(&self) -> Duration {
        self.settings.linger
    }

    /// The front batch, whatever its size.
    pub(crate) fn take(&self, entry: &PartitionEntry) -> Option<Batch> {
        match self.take_within(entry, usize::MAX) {
            Take::Batch(batch) => Some(batch),
            Take::NoRoom | Take::Nothing => None,
        }
    }

    /// Takes the front batch, compressing it if nobody has; a batch whose codec panicked is failed and the next one
    /// taken. `room`: an open one that has more bytes stays, since nobody could tell before how many it would have.
    pub(crate) fn take_within(&self, entry: &PartitionEntry, room: usize) -> Take {
        loop {
            let batch = match entry.take(room, &self.pool) {
                Taken::Empty | Taken::NotYet => return Take::Nothing,
                Taken::TooLarge => return Take::NoRoom,
                Taken::Sealed(batch) => batch,
                Taken::Raw(closed) => match self.sealer.seal(closed) {
                    Ok(sealed) => {
                        self.learn_ratio(entry, &sealed);
                        sealed
                    }
                    Err((batch, error)) => {
                        self.fail(entry, &batch, error);
                        continue;
                    }
                },
            };
            self.unfinished.taken(batch.records);
            // Who waits from now on need not tell anybody.
            batch.completion.set_urgent();
            return Take::Batch(batch);
        }
    }

    /// Everything of this partition was to be dropped. `true` if something is left, since an application thread compresses
    /// a batch: nothing is sent until [`let_go`](Self::let_go), and the thread tells when it is done.
    pub(crate) fn hold(&self, entry: &PartitionEntry) -> bool {
        entry.closed.lock().hold()
    }

    /// What was held may be taken, unless something is still being compressed.
    pub(crate) fn let_go(&self, entry: &PartitionEntry) -> bool {
        entry.closed.lock().let_go()
    }

    /// The sender died: fails everything that it had not taken.
    pub(crate) fn abandon(&self, error: &Error) {
        // First: who puts a compressed batch back after this has passed its place looks here.
        let _ = self.dead.set(error.clone());
        for entry in self.topics.each().iter().flat_map(|topic| topic.known()) {
            self.let_go(&entry);
            while let Some(batch) = self.take(&entry) {
                let outcome = Outcome::Failed { error: error.clone(), records: Box::default() };
                self.complete(&entry, &batch, outcome);
            }
        }
    }

    /// How many batches ended before the sender had them; counted before their records are told.
    pub(crate) fn broken_batches(&self) -> u64 {
        self.broken.load(Ordering::SeqCst)
    }

    fn learn_ratio(&self, entry: &PartitionEntry, batch: &Batch) {
        if self.sealer.compresses() && batch.raw_len > 0 {
            entry.observe_ratio(batch.body.len() as f32 / batch.raw_len as f32);
        }
    }

    /// Gives a taken batch its outcome and runs what waits for it. `false` if it had one.
    pub(crate) fn complete(&self, entry: &PartitionEntry, batch: &Batch, outcome: Outcome) -> bool {
        // Before anybody can see the outcome, as in `end`: who does finds the records no longer pending.
        if batch.completion.outcome().is_none() {
            self.unfinished.taken_ended(batch.records);
        }
        self.end(entry, batch, outcome)
    }

    /// Ends a batch that the sender has not taken.
    fn fail(&self, entry: &PartitionEntry, batch: &Batch, error: Error) {
        self.broken.fetch_add(1, Ordering::SeqCst);
        let error = error.with_topic_partition(entry.tp.clone());
        self.end(entry, batch, Outcome::Failed { error, records: Box::default() });
    }

    fn end(&self, entry: &PartitionEntry, batch: &Batch, outcome: Outcome) -> bool {
        // Before anybody can see the outcome: who does finds it counted. Only the batch's owner ends it, so that nobody
        // can come between the look and the end.
        if batch.completion.outcome().is_none() {
            self.count_outcome(entry, batch, &outcome);
        }
        let queue = |callbacks| {
            if let Some(sink) = self.callbacks.get() {
                sink(callbacks, Some(batch.body.clone()));
            }
        };
        if !batch.completion.complete(outcome, queue) {
            return false;
        }
        entry.batch_ended(batch.turns);
        // Last: who waits in flush may rely on the callbacks being queued.
        self.unfinished.end(batch.generation);
        true
    }

    fn count_outcome(&self, entry: &PartitionEntry, batch: &Batch, outcome: &Outcome) {
        let records = u64::from(batch.records);
        let Outcome::Failed { error, .. } = outcome else {
            return self.metrics.records_acknowledged.add(records);
        };
        self.metrics.records_failed.add(records);
        entry.counters.records_failed.add(records);
        self.metrics.tell(|| Event::Failed {
            topic_partition: entry.tp.clone(),
            records: batch.records,
            error: error.clone(),
        });
    }

    /// Puts `parts` in the place of a taken batch: handles, callbacks and flushes follow them.
    pub(crate) fn split(&self, entry: &PartitionEntry, batch: &Batch, parts: Vec<SplitPart>) {
        let count = parts.len();
        self.unfinished.begin_in(batch.generation, count);
        entry.batch_began(u32::try_from(count).unwrap_or(u32::MAX));
        batch.completion.split(parts);
        self.unfinished.end(batch.generation);
        entry.batch_ended(batch.turns);
        self.metrics.batches_split.increment();
        let (topic_partition, records) = (entry.tp.clone(), batch.records);
        self.metrics.tell(|| Event::Split { topic_partition, records });
    }

    /// A body for a part of a split batch, beyond `buffer.memory` if need be.
    pub(crate) fn body_for_split(&self, entry: &PartitionEntry, bytes: &[u8]) -> Body {
        append::body_of(&self.pool, entry.leader(), bytes)
    }

    /// Compresses the parts of a split batch as the batch was.
    pub(crate) fn compression(&self) -> Compression {
        self.settings.compression
    }

    pub(crate) fn batch_size(&self) -> usize {
        self.settings.batch_size
    }

    /// No batch counts any more, for the sticky choice or for the pace.
    #[cfg(test)]
    pub(crate) fn is_settled(&self) -> bool {
        let topics = self.topics.each();
        let no_backlog = topics.iter().flat_map(|topic| topic.known()).all(|entry| entry.backlog() == 0);
        no_backlog && self.pool.pace.is_idle()
    }

    /// Bytes on the wire that no batch of several records exceeds.
    #[cfg(test)]
    pub(crate) fn largest_batch(&self) -> usize {
        self.limits.largest
    }

    pub(crate) fn delivery_timeout(&self) -> Duration {
        self.settings.delivery_timeout
    }

    /// A completion for a new batch of this partition.
    pub(crate) fn new_completion(&self, entry: &PartitionEntry) -> Option<Arc<BatchCompletion>> {
        let owner = self.own.get()?.clone();
        Some(Arc::new(BatchCompletion::new(entry.tp.clone(), entry.id, OwnerRef::new(owner, self.id))))
    }
}

pub(crate) fn closed_error() -> Error {
    Error::new(ErrorKind::Closed, "the producer is closed; open a new one to send")
}

impl std::fmt::Debug for RecordAccumulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordAccumulator").field("id", &self.id).finish_non_exhaustive()
    }
}
