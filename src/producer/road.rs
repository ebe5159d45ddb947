//! The road of a record on the application's thread, in reading order: intercept, serialize, partition, append.
//!
//! No lock is held while interceptors, serializers and partitioners run: they are user code, may take their time, and
//! if they panic that record alone is refused. A record that is refused on the way has left no trace but a count and the
//! interceptors' notice.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;

use super::KafkaProducer;
use crate::accumulator::{NoTopic, Target, TopicLease, Wait, closed_error};
use crate::clock;
use crate::delivery::{DeliveryFuture, Place, RecordFacts};
use crate::error::{BoxError, Error, ErrorKind, panic_text};
use crate::interceptor::Outcome;
use crate::partitioner::{
    Choice, KeyedRecord, PartitionInfo, TopicView, TypedPartitioner, TypedRecord, partition_for_key,
};
use crate::protocol::record::RecordBody;
use crate::record::{Headers, ProducerRecord, TopicPartition};
use crate::serializer::{Context, Role, Serializer};

/// Buffers that serializers append to, one pair per thread, reused from record to record.
#[derive(Default)]
struct Scratch {
    key: Vec<u8>,
    value: Vec<u8>,
}

/// A buffer that grew beyond this is not kept.
const KEEP_SCRATCH: usize = 64 * 1024;

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    /// The thread's buffers. A `send` inside a serializer finds none and makes its own.
    fn take() -> Box<Self> {
        SCRATCH.try_with(Cell::take).ok().flatten().unwrap_or_default()
    }

    fn put_back(mut self: Box<Self>) {
        for buffer in [&mut self.key, &mut self.value] {
            buffer.clear();
            if buffer.capacity() > KEEP_SCRATCH {
                *buffer = Vec::new();
            }
        }
        let _ = SCRATCH.try_with(|s| s.set(Some(self)));
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KafkaProducer<K, V> {
    /// The whole road, with interceptors at both ends. `entered` is called once the record has its place, under its
    /// partition's lock. Borrows the record: moving it costs a copy that waits for the caller's stores.
    pub(super) fn admit(
        &self,
        record: &mut ProducerRecord<'_, K, V>,
        wait: Wait<'_>,
        mut entered: impl FnMut(Place<'_>),
    ) -> Result<DeliveryFuture, Error> {
        if self.interceptors.is_empty() {
            return self
                .enter(record, wait, &mut entered)
                .inspect_err(|_| self.acc.metrics.records_refused.increment());
        }
        self.interceptors.on_send(record);
        let mut observed = |place: Place<'_>| {
            self.tell_interceptors(place);
            entered(place);
        };
        self.enter(record, wait, &mut observed).map_err(|error| self.refused(record, error))
    }

    fn tell_interceptors(&self, place: Place<'_>) {
        let interceptors = self.interceptors.clone();
        let TopicPartition { topic, partition } = place.topic_partition().clone();
        place.call_back(move |result| {
            let outcome = Outcome { topic: &topic, partition: Some(partition), result: &result };
            interceptors.on_acknowledgement(&outcome);
        });
    }

    #[cold]
    fn refused(&self, record: &ProducerRecord<'_, K, V>, error: Error) -> Error {
        self.acc.metrics.records_refused.increment();
        let result = Err(error.clone());
        // Other errors may be those of other records, which made the producer or the transaction fail.
        let is_own = matches!(error.kind(), ErrorKind::RecordTooLarge | ErrorKind::BufferExhausted);
        let chosen = error.topic_partition().filter(|_| is_own).map(|tp| tp.partition);
        let partition = record.partition_ref().or(chosen);
        let outcome = Outcome { topic: record.topic(), partition, result: &result };
        self.interceptors.on_acknowledgement(&outcome);
        error
    }

    fn enter(
        &self,
        record: &mut ProducerRecord<'_, K, V>,
        wait: Wait<'_>,
        entered: &mut impl FnMut(Place<'_>),
    ) -> Result<DeliveryFuture, Error> {
        self.status.check()?;
        let transaction = self.transactions.as_ref().map(|t| t.check_send()).transpose()?;
        let mut topic = self.topic(record, wait)?;
        if let Some(transaction) = transaction {
            topic.begin_in(transaction);
        }
        let result = match &self.lent {
            // No code of the user's runs, and nothing is written before the record itself.
            Some(lent) => {
                let serialized = (record.key_ref().map(lent.key), record.value_ref().map(lent.value));
                let target = match record.partition_ref() {
                    Some(partition) => Target::Partition(partition as usize),
                    None => self.by_key(serialized.0, &topic),
                };
                let rest = (record.topic(), record.headers_ref(), record.timestamp_ref());
                self.append(rest, &topic, serialized, target, wait, entered)
            }
            None => {
                let mut scratch = Scratch::take();
                let result = self.serialize_and_append(record, &topic, &mut scratch, wait, entered);
                scratch.put_back();
                result
            }
        };
        topic.give_back();
        result
    }

    /// The record's topic, with at least the partition that the record names.
    fn topic(&self, record: &ProducerRecord<'_, K, V>, wait: Wait<'_>) -> Result<TopicLease, Error> {
        if let Some(partition @ ..0) = record.partition_ref() {
            return Err(negative(record.topic(), partition));
        }
        let lease = match self.acc.remembered(record.topic()) {
            Some(lease) => lease,
            None => self.topic_slowly(record.topic(), wait)?,
        };
        match record.partition_ref() {
            None => Ok(lease),
            Some(partition) => self.with_partition(lease, record.topic(), partition, wait),
        }
    }

    #[cold]
    fn topic_slowly(&self, name: &str, wait: Wait<'_>) -> Result<TopicLease, Error> {
        check_topic_name(name)?;
        self.acc.lease(name, wait).map_err(|problem| self.no_topic(name, None, wait, problem))
    }

    /// Waits for a partition that does not exist yet, as Java does: partitions may have been added.
    fn with_partition(
        &self,
        lease: TopicLease,
        name: &str,
        partition: i32,
        wait: Wait<'_>,
    ) -> Result<TopicLease, Error> {
        let at = usize::try_from(partition).unwrap_or(usize::MAX);
        let known = lease.snapshot().partitions.len();
        if at < known {
            return Ok(lease);
        }
        lease.give_back();
        match self.acc.resolve_topic(name, at, wait) {
            Ok(_) => self.acc.lease(name, wait).map_err(|problem| self.no_topic(name, None, wait, problem)),
            Err(problem) => Err(self.no_topic(name, Some((partition, known)), wait, problem)),
        }
    }

    fn no_topic(
        &self,
        name: &str,
        partition: Option<(i32, usize)>,
        wait: Wait<'_>,
        problem: NoTopic,
    ) -> Error {
        let cause = match problem {
            NoTopic::Refused(error) => return error,
            NoTopic::Timeout(cause) => cause.or_else(|| self.status.trouble()),
        };
        let when = if matches!(wait, Wait::Never) {
            "yet, and this call does not wait"
        } else {
            "within max.block.ms"
        };
        let error = match partition {
            Some((partition, known)) => Error::new(
                ErrorKind::Partitioning,
                format!("topic {name} has {known} partition(s), and no partition {partition} {when}"),
            ),
            None => Error::new(
                ErrorKind::MetadataTimeout,
                format!("the partitions of topic {name} are not known {when}"),
            )
            .with_retriable(true),
        };
        let error = wait.explain(error);
        match cause {
            Some(cause) => match cause.code() {
                Some(code) => error.with_code(code).with_source(cause),
                None => error.with_source(cause),
            },
            None => error,
        }
    }

    fn serialize_and_append(
        &self,
        record: &mut ProducerRecord<'_, K, V>,
        topic: &TopicLease,
        scratch: &mut Scratch,
        wait: Wait<'_>,
        entered: &mut impl FnMut(Place<'_>),
    ) -> Result<DeliveryFuture, Error> {
        let partition = record.partition_ref();
        let timestamp = record.timestamp_ref();
        let (name, typed_key, typed_value, headers) = record.parts_mut();
        let stage = Cell::new(Stage::Key);
        let (key, value) = guarded(name, &stage, || {
            self.serialize_both(name, headers, (typed_key, typed_value), scratch, &stage)
        })?;
        let target = match (partition, &self.partitioner) {
            (Some(partition), _) => Target::Partition(partition as usize),
            (None, None) => self.by_key(key, topic),
            (None, Some(partitioner)) => {
                let serialized = KeyedRecord::new(name, key, value).with_headers(headers);
                let record = TypedRecord::new(typed_key, typed_value, serialized);
                let stage = Cell::new(Stage::Partition);
                guarded(name, &stage, || choose(&**partitioner, &record, topic))?
            }
        };
        self.append((name, headers, timestamp), topic, (key, value), target, wait, entered)
    }

    /// The end of the road: the record as bytes, and where it goes.
    fn append(
        &self,
        (name, headers, timestamp): (&str, &Headers<'_>, Option<SystemTime>),
        topic: &TopicLease,
        (key, value): Serialized<'_>,
        target: Target,
        wait: Wait<'_>,
        entered: &mut impl FnMut(Place<'_>),
    ) -> Result<DeliveryFuture, Error> {
        let body = RecordBody::new(key, value, headers.iter());
        if body.upper_bound() > self.longest_record {
            return Err(self.too_large(name, target, body.upper_bound()));
        }
        let timestamp = self::timestamp(timestamp);
        if timestamp < 0 {
            return Err(too_early(name));
        }
        let facts = RecordFacts::new(timestamp, key, value);
        self.acc.append(topic, target, &body, facts, wait, entered)
    }

    /// Key and value as bytes. `stage` says whose code is at work.
    fn serialize_both<'a>(
        &self,
        name: &str,
        headers: &mut Headers<'_>,
        (key, value): (Option<&'a K>, Option<&'a V>),
        scratch: &'a mut Scratch,
        stage: &Cell<Stage>,
    ) -> Result<Serialized<'a>, Error> {
        let key = serialize(&*self.key, (name, Role::Key), headers, key, &mut scratch.key)?;
        stage.set(Stage::Value);
        let value = serialize(&*self.value, (name, Role::Value), headers, value, &mut scratch.value)?;
        Ok((key, value))
    }

    /// Java's default: by the key's bytes, or where records without one go now.
    #[inline(always)]
    pub(super) fn by_key(&self, key: Option<&[u8]>, topic: &TopicLease) -> Target {
        match key {
            Some(key) if !self.ignore_keys => {
                let count = i32::try_from(topic.snapshot().partitions.len()).unwrap_or(i32::MAX);
                Target::Partition(partition_for_key(key, count) as usize)
            }
            _ => Target::Sticky,
        }
    }

    #[cold]
    fn too_large(&self, topic: &str, target: Target, size: usize) -> Error {
        let (key, limit) = if size > self.max_request_size {
            ("max.request.size", self.max_request_size)
        } else {
            ("buffer.memory", self.acc.metrics_snapshot().buffer_total_bytes as usize)
        };
        let message = format!(
            "topic {topic}: the record takes up to {size} bytes before compression, more than {key} ({limit})"
        );
        let error = Error::new(ErrorKind::RecordTooLarge, message);
        match target {
            Target::Partition(at) => {
                error.with_topic_partition(TopicPartition::new(topic, i32::try_from(at).unwrap_or(i32::MAX)))
            }
            Target::Sticky => error,
        }
    }

    pub(super) fn known_partitions(&self, topic: &str, wait: Wait<'_>) -> Result<Vec<PartitionInfo>, Error> {
        self.status.check()?;
        check_topic_name(topic)?;
        if self.acc.is_closed() {
            return Err(closed_error());
        }
        match self.acc.resolve_topic(topic, 0, wait) {
            Ok((_, _, snapshot)) => Ok(snapshot.infos.clone()),
            Err(problem) => Err(self.no_topic(topic, None, wait, problem)),
        }
    }
}

#[cold]
fn negative(topic: &str, partition: i32) -> Error {
    Error::new(ErrorKind::Partitioning, format!("topic {topic}: partition {partition} is negative"))
}

#[cold]
fn too_early(topic: &str) -> Error {
    let message =
        format!("topic {topic}: the record's timestamp lies before 1970, which Kafka does not allow");
    Error::new(ErrorKind::Misuse, message)
}

/// What a record is stamped with: its own time, or the coarse clock's. Negative, which Kafka does not allow, before 1970.
#[inline(always)]
pub(super) fn timestamp(own: Option<SystemTime>) -> i64 {
    match own {
        Some(at) => clock::to_millis(at),
        None => clock::coarse_wall_millis(),
    }
}

/// How key and value are seen as bytes where nothing needs to be written, run or asked for that.
pub(super) struct Lent<K: ?Sized, V: ?Sized> {
    pub(super) key: for<'a> fn(&'a K) -> &'a [u8],
    pub(super) value: for<'a> fn(&'a V) -> &'a [u8],
}

/// Key and value as bytes; `None` is Kafka's null.
type Serialized<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Runs user code. What a panic leaves behind is the user's own, and the scratch buffers, which are cleared.
fn guarded<T>(name: &str, stage: &Cell<Stage>, run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(stage.get().panicked(name, &*panic)))
}

/// Asks the user's partitioner.
fn choose<K: ?Sized, V: ?Sized>(
    partitioner: &dyn TypedPartitioner<K, V>,
    record: &TypedRecord<'_, K, V>,
    topic: &TopicLease,
) -> Result<Target, Error> {
    let snapshot = topic.snapshot();
    let count = snapshot.partitions.len();
    let name = record.serialized.topic;
    let choice = partitioner
        .choose(record, &TopicView::new(&snapshot.infos))
        .map_err(|cause| Stage::Partition.failed(name, cause))?;
    match choice {
        Choice::Sticky => Ok(Target::Sticky),
        Choice::Exact(partition) => match usize::try_from(partition) {
            Ok(at) if at < count => Ok(Target::Partition(at)),
            _ => Err(Error::new(
                ErrorKind::Partitioning,
                format!("topic {name}: the partitioner chose partition {partition} of {count}"),
            )),
        },
    }
}

fn serialize<'a, T: ?Sized>(
    serializer: &dyn Serializer<T>,
    (topic, role): (&str, Role),
    headers: &mut Headers<'_>,
    datum: Option<&'a T>,
    scratch: &'a mut Vec<u8>,
) -> Result<Option<&'a [u8]>, Error> {
    let Some(datum) = datum else { return Ok(None) };
    serializer
        .serialize(&mut Context::new(topic, headers, role), datum, scratch)
        .map_err(|cause| Stage::of(role).failed(topic, cause))
}

/// Whose code is at work.
#[derive(Clone, Copy)]
enum Stage {
    Key,
    Value,
    Partition,
}

impl Stage {
    fn of(role: Role) -> Self {
        match role {
            Role::Key => Self::Key,
            Role::Value => Self::Value,
        }
    }

    #[cold]
    fn failed(self, topic: &str, cause: BoxError) -> Error {
        self.error(topic, "failed").with_source(cause)
    }

    #[cold]
    fn panicked(self, topic: &str, panic: &(dyn Any + Send)) -> Error {
        self.error(topic, "panicked").with_source(panic_text(panic))
    }

    fn error(self, topic: &str, how: &str) -> Error {
        let (kind, who) = match self {
            Self::Key => (ErrorKind::Serialization, "key serializer"),
            Self::Value => (ErrorKind::Serialization, "value serializer"),
            Self::Partition => (ErrorKind::Partitioning, "partitioner"),
        };
        Error::new(kind, format!("topic {topic}: the {who} {how}"))
    }
}

/// Kafka's rules for topic names; checked here so that a typing error does not cost `max.block.ms`.
fn check_topic_name(name: &str) -> Result<(), Error> {
    const MAX: usize = 249;
    let problem = if name.is_empty() {
        "is empty"
    } else if name == "." || name == ".." {
        "is \".\" or \"..\""
    } else if name.len() > MAX {
        "is longer than 249 characters"
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        "has characters other than ASCII letters, digits, '.', '_' and '-'"
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(MAX).collect();
    Err(Error::new(ErrorKind::InvalidTopic, format!("illegal topic name {shown:?}: it {problem}")))
}
