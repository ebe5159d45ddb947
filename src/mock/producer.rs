//! A producer without network: it keeps what is sent and ends it as the test says.
//!
//! Runs on the caller's threads alone. One lock, a leaf: keys, values, serializers, partitioners and callbacks are the
//! user's code and are called outside it. Each record is a batch of its own, since a test ends them one by one.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use super::calls::{Calls, Operation};
use super::producer_transactions::Transactions;
use crate::api::Producer;
use crate::clock;
use crate::delivery::{
    BatchCompletion, BatchOwner, Callback, DeliveryFuture, Outcome, OwnerRef, PendingCallbacks, RecordFacts,
};
use crate::error::{Error, ErrorKind};
use crate::metrics::{Metrics, MetricsSnapshot};
use crate::partitioner::{
    Choice, KeyedRecord, PartitionInfo, TopicView, TypedPartitioner, TypedRecord, partition_for_key,
};
use crate::record::{ProducerRecord, TopicPartition};
use crate::serializer::{Context, Role, Serializer};
use crate::sync::{Arc, Mutex, Weak};
use crate::transaction::{ConsumerGroupMetadata, Offsets};

/// A [`Producer`] for unit tests: no broker, no thread, no waiting.
///
/// [`auto_complete`](Self::auto_complete) acknowledges each record inside `send`; with [`manual`](Self::manual) the test
/// ends them, oldest first, by [`complete_next`](Self::complete_next) and [`fail_next`](Self::fail_next).
///
/// ```
/// use kafka_producer::mock::{MockError, MockProducer};
/// use kafka_producer::{Error, ErrorKind, Producer, ProducerRecord};
///
/// // The code under test takes any producer.
/// fn announce(producer: &dyn Producer<str, str>, user: &str) -> Result<(), Error> {
///     producer.send(ProducerRecord::new("users", "joined").key(user))?.get()?;
///     Ok(())
/// }
///
/// let producer = MockProducer::auto_complete();
/// announce(&producer, "ann").unwrap();
/// let sent = producer.sent();
/// assert_eq!((sent[0].topic(), sent[0].key_ref()), ("users", Some("ann")));
///
/// producer.fail_each_record(MockError::new(ErrorKind::Authorization, "no"));
/// assert_eq!(announce(&producer, "bob").unwrap_err().kind(), ErrorKind::Authorization);
/// ```
///
/// # What it does as the real one, and what not
/// Offsets count from 0 in each partition, without gaps. A record that names a partition goes there; one out of range of
/// a topic made with [`topic`](Self::topic) is refused. Others go where the partitioner says, or by the key's bytes as with
/// the default partitioner, if there are [`serializers`](Self::serializers); else to partition 0, which also stands for the
/// sticky choice. A topic that was not made has one partition, and takes any that a record names. `flush` and `close`
/// acknowledge what is pending, as `commit_transaction` does; an abort fails it.
///
/// Callbacks run on the thread that ends the record (in `send`, `complete_next`, `flush` and so on), and a panic in one
/// goes through to it, so that assertions in callbacks count. There is no batching, no linger, no memory limit, and
/// nothing blocks but [`get`](DeliveryFuture::get) on a record that nobody ends: dropping the mock fails it with
/// [`Closed`](ErrorKind::Closed).
pub struct MockProducer<K: ?Sized + 'static, V: ?Sized + 'static> {
    owner: Arc<Owner>,
    auto: bool,
    topics: HashMap<String, Vec<PartitionInfo>>,
    serializers: Option<Serializers<K, V>>,
    partitioner: Option<Box<dyn TypedPartitioner<K, V>>>,
    pub(super) state: Mutex<State<K, V>>,
}

type Serializers<K, V> = (Box<dyn Serializer<K>>, Box<dyn Serializer<V>>);

pub(super) struct State<K: ?Sized + 'static, V: ?Sized + 'static> {
    sent: Vec<Arc<ProducerRecord<'static, K, V>>>,
    pending: VecDeque<Pending>,
    next_offsets: HashMap<TopicPartition, i64>,
    calls: Calls,
    pub(super) transactions: Transactions<K, V>,
    closed: bool,
}

/// A record without outcome.
struct Pending {
    batch: Arc<BatchCompletion>,
    /// It belongs to the open transaction.
    transactional: bool,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> MockProducer<K, V> {
    fn new(auto: bool) -> Self {
        let state = State {
            sent: Vec::new(),
            pending: VecDeque::new(),
            next_offsets: HashMap::new(),
            calls: Calls::default(),
            transactions: Transactions::default(),
            closed: false,
        };
        Self {
            owner: Arc::default(),
            auto,
            topics: HashMap::new(),
            serializers: None,
            partitioner: None,
            state: Mutex::new(state),
        }
    }

    /// Acknowledges every record inside `send`.
    pub fn auto_complete() -> Self {
        Self::new(true)
    }

    /// Leaves every record pending until the test ends it.
    pub fn manual() -> Self {
        Self::new(false)
    }

    /// Gives a topic this many partitions (at least one), all led by broker 1.
    #[must_use]
    pub fn topic(mut self, name: impl Into<String>, partitions: i32) -> Self {
        let infos = (0..partitions.max(1)).map(|n| PartitionInfo::new(n, Some(1))).collect();
        self.topics.insert(name.into(), infos);
        self
    }

    /// Serializes keys and values as the real producer would: failures come out of `send`, sizes are known, and records
    /// with a key go where its bytes say.
    #[must_use]
    pub fn serializers(
        mut self,
        key: impl Serializer<K> + 'static,
        value: impl Serializer<V> + 'static,
    ) -> Self {
        self.serializers = Some((Box::new(key), Box::new(value)));
        self
    }

    /// Asks `partitioner` for every record that names no partition. Without [`serializers`](Self::serializers) it sees
    /// keys and values as null bytes, and as they are if it is a [`TypedPartitioner`].
    #[must_use]
    pub fn partitioner(mut self, partitioner: impl TypedPartitioner<K, V> + 'static) -> Self {
        self.partitioner = Some(Box::new(partitioner));
        self
    }

    /// Acknowledges the oldest pending record; `false` if there is none.
    pub fn complete_next(&self) -> bool {
        self.end_next(None)
    }

    /// Fails the oldest pending record; `false` if there is none. It takes no offset.
    pub fn fail_next(&self, error: impl Into<Error>) -> bool {
        self.end_next(Some(error.into()))
    }

    /// Makes each call of `operation` fail with `error`, until [`heal`](Self::heal). A `send` that fails so leaves no
    /// trace: the record did not enter.
    pub fn fail_on(&self, operation: Operation, error: impl Into<Error>) {
        self.state.lock().calls.fail(operation, u64::MAX, error.into());
    }

    /// Makes the next `times` calls of `operation` fail with `error`.
    pub fn fail_times(&self, operation: Operation, times: u64, error: impl Into<Error>) {
        self.state.lock().calls.fail(operation, times, error.into());
    }

    /// Lets `send` take records and then fails each with `error`, instead of acknowledging it, until
    /// [`heal`](Self::heal). Concerns [`auto_complete`](Self::auto_complete); otherwise use
    /// [`fail_next`](Self::fail_next).
    pub fn fail_each_record(&self, error: impl Into<Error>) {
        self.state.lock().calls.fail_records(error.into());
    }

    /// Takes back every injected error.
    pub fn heal(&self) {
        self.state.lock().calls.heal();
    }

    /// Every record that entered, in order, whatever became of it.
    pub fn sent(&self) -> Vec<ProducerRecord<'static, K, V>>
    where
        Box<K>: Clone,
        Box<V>: Clone,
    {
        // Cloning runs the user's code, so not under the lock.
        let sent = self.state.lock().sent.clone();
        sent.iter().map(|record| (**record).clone()).collect()
    }

    /// Hands every record that entered to `look`, in order: for keys and values that cannot be cloned.
    pub fn for_each_sent(&self, mut look: impl FnMut(&ProducerRecord<'static, K, V>)) {
        let sent = self.state.lock().sent.clone();
        sent.iter().for_each(|record| look(record));
    }

    /// How many records entered.
    pub fn sent_count(&self) -> usize {
        self.state.lock().sent.len()
    }

    /// How many records wait to be ended.
    pub fn pending(&self) -> usize {
        self.state.lock().pending.len()
    }

    /// Whether no record waits to be ended.
    pub fn flushed(&self) -> bool {
        self.pending() == 0
    }

    /// Whether it was closed.
    pub fn closed(&self) -> bool {
        self.state.lock().closed
    }

    /// What `metrics` shows from now on, for code that acts on metrics; `None` goes back to what was counted.
    pub fn set_metrics(&self, shown: impl Into<Option<MetricsSnapshot>>) {
        *self.owner.shown.lock() = shown.into();
    }

    /// How often `operation` was called, failed calls included.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.state.lock().calls.count(operation)
    }

    /// Forgets what was sent and committed, and fails what is pending with [`Purged`](ErrorKind::Purged). Offsets go on;
    /// injected errors and an open transaction stay.
    pub fn clear(&self) {
        self.fail_pending(ErrorKind::Purged, "cleared in the mock");
        let mut state = self.state.lock();
        state.sent.clear();
        state.transactions.clear();
    }

    fn end_next(&self, failure: Option<Error>) -> bool {
        // Not in the `let else`: its lock would last until the callbacks had run.
        let oldest = self.state.lock().pending.pop_front();
        let Some(pending) = oldest else { return false };
        self.end(&pending, failure);
        true
    }

    fn end(&self, Pending { batch, transactional }: &Pending, failure: Option<Error>) {
        let tp = batch.topic_partition();
        let (outcome, counter) = match failure {
            Some(error) => {
                let error = match error.topic_partition() {
                    Some(_) => error,
                    None => error.with_topic_partition(tp.clone()),
                };
                if *transactional {
                    self.state.lock().transactions.record_failed(&error);
                }
                (Outcome::Failed { error, records: Box::default() }, &self.owner.metrics.records_failed)
            }
            None => {
                let mut state = self.state.lock();
                let next = state.next_offsets.entry(tp.clone()).or_default();
                let base_offset = Some(*next);
                *next += 1;
                (
                    Outcome::Delivered { base_offset, log_append_time: None },
                    &self.owner.metrics.records_acknowledged,
                )
            }
        };
        counter.increment();
        batch.complete(outcome, |callbacks| self.owner.call_back(callbacks));
    }

    /// Those pending now: a callback may send more.
    pub(super) fn complete_all(&self) {
        for _ in 0..self.pending() {
            self.complete_next();
        }
    }

    pub(super) fn fail_pending(&self, kind: ErrorKind, message: &str) {
        for _ in 0..self.pending() {
            self.fail_next(Error::new(kind, message));
        }
    }

    /// Counts the call; `Err` if the producer is closed or the test wants the call to fail.
    pub(super) fn call(&self, operation: Operation) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.calls.begin(operation)?;
        if state.closed && operation != Operation::Close {
            return Err(Error::new(ErrorKind::Closed, "the producer is closed"));
        }
        Ok(())
    }

    fn enter(&self, record: ProducerRecord<'_, K, V>) -> Result<DeliveryFuture, Error>
    where
        K: ToOwned<Owned: Into<Box<K>>>,
        V: ToOwned<Owned: Into<Box<V>>>,
    {
        self.call(Operation::Send)?;
        self.state.lock().transactions.check_send()?;
        let mut record = record.into_owned();
        let (partition, facts) = self.place(&mut record)?;
        let tp = TopicPartition::new(record.topic(), partition);
        let owner: Weak<dyn BatchOwner> = Arc::downgrade(&self.owner) as _;
        // No thread is marked as a mock's callback thread, and producers number themselves from 1.
        let owner = OwnerRef::new(owner, 0);
        let batch = Arc::new(BatchCompletion::new(tp, 0, owner));
        let handle = DeliveryFuture::new(&batch, 0, facts);
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::new(ErrorKind::Closed, "the producer was closed meanwhile"));
        }
        state.transactions.check_send()?;
        let record = Arc::new(record);
        let transactional = state.transactions.entered(&record);
        state.sent.push(record);
        let pending = Pending { batch, transactional };
        if !self.auto {
            state.pending.push_back(pending);
            return Ok(handle);
        }
        let failure = state.calls.record_failure();
        drop(state);
        self.end(&pending, failure);
        Ok(handle)
    }

    fn place(&self, record: &mut ProducerRecord<'_, K, V>) -> Result<(i32, RecordFacts), Error> {
        let (named, at) = (record.partition_ref(), record.timestamp_ref());
        let timestamp = at.map_or_else(clock::wall_millis, clock::to_millis);
        if timestamp < 0 {
            let message = "the record's timestamp lies before 1970, which Kafka does not allow";
            return Err(Error::new(ErrorKind::Misuse, message));
        }
        let (topic, key, value, headers) = record.parts_mut();
        let (mut key_scratch, mut value_scratch) = (Vec::new(), Vec::new());
        let (mut key_bytes, mut value_bytes) = (None, None);
        if let Some((keys, values)) = &self.serializers {
            let mut cx = Context::new(topic, headers, Role::Key);
            key_bytes = serialize(&**keys, &mut cx, key, &mut key_scratch)?;
            cx.role = Role::Value;
            value_bytes = serialize(&**values, &mut cx, value, &mut value_scratch)?;
        }
        let facts = RecordFacts::new(timestamp, key_bytes, value_bytes);
        let partitions = self.topics.get(topic).map(Vec::as_slice);
        if let Some(partition) = named {
            return in_range(topic, partition, partitions).map(|()| (partition, facts));
        }
        let serialized = KeyedRecord::new(topic, key_bytes, value_bytes).with_headers(headers);
        let record = TypedRecord::new(key, value, serialized);
        let alone = [PartitionInfo::new(0, Some(1))];
        let partition = self.choose(&record, &TopicView::new(partitions.unwrap_or(&alone)))?;
        in_range(topic, partition, Some(partitions.unwrap_or(&alone)))?;
        Ok((partition, facts))
    }

    fn choose(&self, record: &TypedRecord<'_, K, V>, topic: &TopicView<'_>) -> Result<i32, Error> {
        let Some(partitioner) = &self.partitioner else {
            return Ok(record
                .serialized
                .key
                .map_or(0, |key| partition_for_key(key, topic.partition_count())));
        };
        let choice = partitioner.choose(record, topic).map_err(|cause| {
            Error::new(ErrorKind::Partitioning, "the partitioner failed").with_source(cause)
        })?;
        Ok(match choice {
            Choice::Exact(partition) => partition,
            Choice::Sticky => 0,
        })
    }
}

fn serialize<'a, T: ?Sized>(
    serializer: &dyn Serializer<T>,
    cx: &mut Context<'_, '_>,
    value: Option<&'a T>,
    scratch: &'a mut Vec<u8>,
) -> Result<Option<&'a [u8]>, Error> {
    let Some(value) = value else { return Ok(None) };
    let what = cx.role.name();
    serializer.serialize(cx, value, scratch).map_err(|cause| {
        Error::new(ErrorKind::Serialization, format!("the {what} serializer failed")).with_source(cause)
    })
}

/// A topic that was not made takes any partition.
fn in_range(topic: &str, partition: i32, partitions: Option<&[PartitionInfo]>) -> Result<(), Error> {
    let count = partitions.map_or(usize::MAX, <[_]>::len);
    match usize::try_from(partition) {
        Ok(at) if at < count => Ok(()),
        Ok(_) => {
            let message = format!("topic {topic} has {count} partition(s), and no partition {partition}");
            Err(Error::new(ErrorKind::Partitioning, message))
        }
        Err(_) => Err(Error::new(ErrorKind::Partitioning, format!("partition {partition} is negative"))),
    }
}

impl<K, V> Producer<K, V> for MockProducer<K, V>
where
    K: ?Sized + ToOwned<Owned: Into<Box<K>>> + Send + Sync + 'static,
    V: ?Sized + ToOwned<Owned: Into<Box<V>>> + Send + Sync + 'static,
{
    fn send(&self, record: ProducerRecord<'_, K, V>) -> Result<DeliveryFuture, Error> {
        self.enter(record).inspect_err(|_| self.owner.metrics.records_refused.increment())
    }

    fn try_send(&self, record: ProducerRecord<'_, K, V>) -> Result<DeliveryFuture, Error> {
        self.send(record)
    }

    fn send_with_boxed(&self, record: ProducerRecord<'_, K, V>, done: Callback) -> Result<(), Error> {
        self.send(record)?.on_complete(done);
        Ok(())
    }

    fn flush(&self) -> Result<(), Error> {
        self.call(Operation::Flush)?;
        self.complete_all();
        Ok(())
    }

    fn flush_timeout(&self, _: Duration) -> Result<(), Error> {
        self.flush()
    }

    fn partitions_for(&self, topic: &str) -> Result<Vec<PartitionInfo>, Error> {
        self.call(Operation::PartitionsFor)?;
        Ok(self.topics.get(topic).cloned().unwrap_or_else(|| vec![PartitionInfo::new(0, Some(1))]))
    }

    fn metrics(&self) -> MetricsSnapshot {
        let shown = self.owner.shown.lock().clone();
        shown.unwrap_or_else(|| MetricsSnapshot {
            records_pending: self.pending() as u64,
            ..self.owner.metrics.snapshot()
        })
    }

    fn close(&self) -> Result<(), Error> {
        self.call(Operation::Close)?;
        self.abort_open();
        let before = std::mem::replace(&mut self.state.lock().closed, true);
        self.complete_all();
        if !before {
            if let Some((key, value)) = &self.serializers {
                key.close();
                value.close();
            }
            if let Some(partitioner) = &self.partitioner {
                partitioner.close();
            }
        }
        Ok(())
    }

    fn close_timeout(&self, _: Duration) -> Result<(), Error> {
        self.close()
    }

    fn init_transactions(&self) -> Result<(), Error> {
        self.init()
    }

    fn begin_transaction(&self) -> Result<(), Error> {
        self.begin()
    }

    fn send_offsets_to_transaction(
        &self,
        offsets: &Offsets,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), Error> {
        self.add_offsets(offsets, group)
    }

    fn commit_transaction(&self) -> Result<(), Error> {
        self.commit()
    }

    fn abort_transaction(&self) -> Result<(), Error> {
        self.abort()
    }

    fn request_abort(&self) {
        self.abort_dropped();
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Drop for MockProducer<K, V> {
    fn drop(&mut self) {
        self.fail_pending(ErrorKind::Closed, "the mock producer was dropped");
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> fmt::Debug for MockProducer<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("MockProducer")
            .field("auto", &self.auto)
            .field("sent", &state.sent.len())
            .field("pending", &state.pending.len())
            .field("closed", &state.closed)
            .finish_non_exhaustive()
    }
}

/// What handles reach back to: nothing lingers, and callbacks run at once.
#[derive(Default)]
struct Owner {
    metrics: Metrics,
    /// What a test wants to be shown instead.
    shown: Mutex<Option<MetricsSnapshot>>,
}

impl BatchOwner for Owner {
    fn hurry(&self, _: u32) {}

    fn call_back(&self, callbacks: PendingCallbacks) {
        callbacks.run_each(|done, result| done(result));
    }

    fn failed_unseen(&self, _: &TopicPartition, _: &Error, records: u32) {
        self.metrics.records_failed_unseen.add(u64::from(records));
    }
}
