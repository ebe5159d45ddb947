//! The producer as users see it: where keys and values have types; below, everything is bytes.

mod builder;
mod lifecycle;
mod road;
mod settings;
mod short_cut;
mod transactions;

pub use builder::KafkaProducerBuilder;

use std::fmt;
use std::time::Duration;

use crate::accumulator::{Budget, RecordAccumulator, Wait};
use crate::api::{Producer, send_each};
use crate::config::ProducerConfig;
use crate::delivery::{Callback, DeliveryFuture, Place, SendAll, SendAllError, on_own_thread};
use crate::driver::{Callbacks, Monitor, SenderHandle, Status};
use crate::engine::TransactionPort;
use crate::error::Error;
use crate::interceptor::Interceptors;
use crate::metrics::MetricsSnapshot;
use crate::partitioner::{PartitionInfo, TypedPartitioner};
use crate::record::{ProducerRecord, RecordMetadata};
use crate::serializer::{DefaultSerializer, Role, Serializer, check_exactly};
use crate::sync::Arc;
use crate::sync::atomic::AtomicBool;
use crate::transaction::{ConsumerGroupMetadata, Offsets};

/// A Kafka producer: sends records from any number of threads, in batches, on threads of its own.
///
/// `Send + Sync`: share it by reference or in an `Arc`; one producer for a program is usually best, since batches fill
/// across threads. It starts two threads (`kafka-sender`, `kafka-callbacks`), `kafka-monitor` if there is a reporter or
/// event listener, and short-lived ones to connect.
///
/// ```
/// use kafka_producer::{BytesSerializer, KafkaProducer, ProducerConfig, ProducerRecord, StringSerializer};
/// use kafka_producer::mock::MockCluster;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = MockCluster::start(1)?;
/// let config = ProducerConfig::new(&cluster.bootstrap_servers())?;
/// let producer = KafkaProducer::<str, [u8]>::new(config, StringSerializer, BytesSerializer)?;
/// let handle = producer.send(ProducerRecord::new("orders", b"payload").key("user-1"))?;
/// println!("{}", handle.get()?);
/// producer.close()?;
/// # Ok(())
/// # }
/// ```
///
/// # What entered is accounted for
/// An `Err` from `send` means that the record did not enter: nothing was written and nothing will be. A record that
/// entered ends exactly once, through its handle or callback: acknowledged, or with an [`Error`] whose
/// [`may_have_been_written`](Error::may_have_been_written) says whether sending it again could double it.
///
/// # Closing
/// Call [`close`](Self::close) to see what could not be sent. Dropping the producer closes it within
/// `drop.close.timeout.ms` and logs what it lost.
pub struct KafkaProducer<K: ?Sized + 'static, V: ?Sized + 'static> {
    key: Box<dyn Serializer<K>>,
    value: Box<dyn Serializer<V>>,
    interceptors: Arc<Interceptors<K, V>>,
    partitioner: Option<Box<dyn TypedPartitioner<K, V>>>,
    ignore_keys: bool,
    max_block: Duration,
    max_request_size: usize,
    /// The most that a record may take: `max.request.size`, or what memory can hold.
    longest_record: usize,
    /// What a plain `flush` or `close` waits at most.
    patience: Duration,
    drop_timeout: Duration,
    /// Which process has the threads: not a child that was forked later.
    process: u32,
    acc: Arc<RecordAccumulator>,
    status: Arc<Status>,
    sender: SenderHandle,
    callbacks: Callbacks,
    /// Both serializers lend what they are given, and there is no partitioner of the user's.
    lent: Option<road::Lent<K, V>>,
    /// Only if somebody listens or wants reports.
    monitor: Option<Monitor>,
    close_called: AtomicBool,
    plug_ins_closed: AtomicBool,
    /// With a `transactional.id`.
    transactions: Option<Arc<TransactionPort>>,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KafkaProducer<K, V> {
    /// Opens a producer. Returns at once, also while no broker can be reached: it keeps trying in the background (see
    /// [`connect`](Self::connect)).
    ///
    /// # Errors
    /// The configuration asks for what this version does not have or names a serializer that does not fit the types, a
    /// plug-in cannot be configured, or a thread cannot be started.
    pub fn new(
        config: ProducerConfig,
        key: impl Serializer<K> + 'static,
        value: impl Serializer<V> + 'static,
    ) -> Result<Self, Error> {
        Self::builder(config, key, value).build()
    }

    /// Opens a producer with the serializers that belong to its types: those of Java for `str`, `String`, `[u8]`,
    /// `Vec<u8>`, numbers, `bool` and `()`, and what [`DefaultSerializer`] says of the caller's own. Otherwise as
    /// [`new`](Self::new).
    ///
    /// ```
    /// use kafka_producer::mock::MockCluster;
    /// use kafka_producer::{KafkaProducer, ProducerConfig, ProducerRecord};
    ///
    /// # let cluster = MockCluster::start(1)?;
    /// # let servers = cluster.bootstrap_servers();
    /// let producer = KafkaProducer::<i64, str>::open(ProducerConfig::new(&servers)?)?;
    /// producer.send(ProducerRecord::new("events", "started").key(&7))?.get()?;
    /// producer.close()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Config`](crate::ErrorKind::Config) also if `key.serializer` or `value.serializer` is set
    /// and is not the serializer of the type.
    pub fn open(config: ProducerConfig) -> Result<Self, Error>
    where
        K: DefaultSerializer,
        V: DefaultSerializer,
    {
        check_exactly::<K>(&config, Role::Key)?;
        check_exactly::<V>(&config, Role::Value)?;
        Self::new(config, K::Serializer::default(), V::Serializer::default())
    }

    /// For a producer with a partitioner or interceptors of its own.
    pub fn builder(
        config: ProducerConfig,
        key: impl Serializer<K> + 'static,
        value: impl Serializer<V> + 'static,
    ) -> KafkaProducerBuilder<K, V> {
        KafkaProducerBuilder::new(config, Box::new(key), Box::new(value))
    }

    /// Hands a record over and returns its handle; the bytes are taken when it returns.
    ///
    /// # Blocking
    /// At most `max.block.ms`, for the topic's metadata and for memory together; among that up to 5 ms, or twice that where
    /// the record changes its partition, whenever it needs memory while 2 MiB of full batches wait for its broker: who is
    /// faster than the broker goes at its pace. Inside a callback of this producer it
    /// does not block, as [`try_send`](Self::try_send).
    ///
    /// # Errors
    /// The record did not enter: closed, wrong topic or partition, too large, not serializable, metadata or memory not
    /// there in time; with a `transactional.id` also if no transaction is open, or the open one has failed.
    #[inline]
    pub fn send(&self, record: ProducerRecord<'_, K, V>) -> Result<DeliveryFuture, Error> {
        self.send_within(record, self.max_block, |_| {})
    }

    /// Like [`send`](Self::send) with another bound than `max.block.ms`.
    ///
    /// # Errors
    /// As `send`.
    pub fn send_timeout(
        &self,
        record: ProducerRecord<'_, K, V>,
        max_block: Duration,
    ) -> Result<DeliveryFuture, Error> {
        self.send_within(record, max_block, |_| {})
    }

    #[inline]
    fn send_within(
        &self,
        record: ProducerRecord<'_, K, V>,
        max: Duration,
        mut entered: impl FnMut(Place<'_>),
    ) -> Result<DeliveryFuture, Error> {
        let mut handle = DeliveryFuture::vacant();
        if self.admit_small(&record, &mut entered, &mut handle).is_some() {
            // Of a record that owns nothing, as most, none of the parts is looked at in turn.
            if !record.owns_anything() {
                std::mem::forget(record);
            }
            return Ok(handle);
        }
        self.send_any(record, max, entered)
    }

    /// The rest, out of line, where it costs the usual case no registers.
    #[inline(never)]
    fn send_any(
        &self,
        mut record: ProducerRecord<'_, K, V>,
        max: Duration,
        mut entered: impl FnMut(Place<'_>),
    ) -> Result<DeliveryFuture, Error> {
        let mut handle = DeliveryFuture::vacant();
        if self.admit_quickly(&record, true, &mut entered, &mut handle).is_some() {
            return Ok(handle);
        }
        let budget = Budget::new(max);
        let wait = if on_own_thread(self.acc.id) { Wait::Never } else { Wait::Within(&budget) };
        self.admit(&mut record, wait, entered)
    }

    /// Like [`send`](Self::send), but never waits, and never compresses on this thread.
    ///
    /// # Errors
    /// As `send`; [`BufferExhausted`](crate::ErrorKind::BufferExhausted) or
    /// [`MetadataTimeout`](crate::ErrorKind::MetadataTimeout) say what it would have waited for. The first record to a
    /// topic asks for its metadata and is refused; [`partitions_for`](Self::partitions_for) asks beforehand.
    pub fn try_send(&self, mut record: ProducerRecord<'_, K, V>) -> Result<DeliveryFuture, Error> {
        let mut handle = DeliveryFuture::vacant();
        match self.admit_quickly(&record, false, &mut |_| {}, &mut handle) {
            Some(()) => Ok(handle),
            None => self.admit(&mut record, Wait::Never, |_| {}),
        }
    }

    /// Hands a record over; `done` runs once with its outcome, on the callback thread.
    ///
    /// Callbacks of one partition run in the order of its records. On that thread `send` does not block, and what
    /// would wait for itself (`get` on a pending handle, `flush`, `close`) is refused. A slow callback delays other
    /// callbacks, and holds its batch's memory; it delays neither handles nor the network.
    ///
    /// # Errors
    /// As [`send`](Self::send); `done` is then dropped without being called.
    pub fn send_with(
        &self,
        record: ProducerRecord<'_, K, V>,
        done: impl FnOnce(Result<RecordMetadata, Error>) + Send + 'static,
    ) -> Result<(), Error> {
        let mut done = Some(done);
        let handle = self.send_within(record, self.max_block, |place| {
            if let Some(done) = done.take() {
                place.call_back(done);
            }
        })?;
        handle.leave_to_callback();
        Ok(())
    }

    /// Hands many records over, of any topics, in order; one handle for all.
    ///
    /// # Errors
    /// A record did not enter: which, why, and the handle of those before it. Those behind it were not looked at.
    pub fn send_all<'r>(
        &self,
        records: impl IntoIterator<Item = ProducerRecord<'r, K, V>>,
    ) -> Result<SendAll, SendAllError> {
        send_each(records, |record| self.send(record))
    }

    /// What was counted and measured until now; see docs/observability.md. Does not block. Costs some microseconds, and
    /// more with many topics.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.acc.metrics_snapshot()
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Producer<K, V> for KafkaProducer<K, V> {
    fn send(&self, record: ProducerRecord<'_, K, V>) -> Result<DeliveryFuture, Error> {
        Self::send(self, record)
    }
    fn try_send(&self, record: ProducerRecord<'_, K, V>) -> Result<DeliveryFuture, Error> {
        Self::try_send(self, record)
    }
    fn send_with_boxed(&self, record: ProducerRecord<'_, K, V>, done: Callback) -> Result<(), Error> {
        let mut done = Some(done);
        let handle = self.send_within(record, self.max_block, |place| {
            if let Some(done) = done.take() {
                place.call_back_boxed(done);
            }
        })?;
        handle.leave_to_callback();
        Ok(())
    }
    fn flush(&self) -> Result<(), Error> {
        Self::flush(self)
    }
    fn flush_timeout(&self, timeout: Duration) -> Result<(), Error> {
        Self::flush_timeout(self, timeout)
    }
    fn partitions_for(&self, topic: &str) -> Result<Vec<PartitionInfo>, Error> {
        Self::partitions_for(self, topic)
    }
    fn metrics(&self) -> MetricsSnapshot {
        Self::metrics(self)
    }
    fn close(&self) -> Result<(), Error> {
        Self::close(self)
    }
    fn close_timeout(&self, timeout: Duration) -> Result<(), Error> {
        Self::close_timeout(self, timeout)
    }
    fn init_transactions(&self) -> Result<(), Error> {
        Self::init_transactions(self)
    }
    fn begin_transaction(&self) -> Result<(), Error> {
        Self::begin_transaction(self)
    }
    fn send_offsets_to_transaction(
        &self,
        offsets: &Offsets,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), Error> {
        Self::send_offsets_to_transaction(self, offsets, group)
    }
    fn commit_transaction(&self) -> Result<(), Error> {
        Self::commit_transaction(self)
    }
    fn abort_transaction(&self) -> Result<(), Error> {
        Self::abort_transaction(self)
    }
    fn request_abort(&self) {
        Self::request_abort(self);
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> fmt::Debug for KafkaProducer<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaProducer").field("id", &self.acc.id).finish_non_exhaustive()
    }
}
