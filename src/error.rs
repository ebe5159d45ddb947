//! The one error type: what happened, to which record or broker, whether it may have been written, what to do.
//!
//! Runs on any thread; takes no lock. One word wide and cheap to clone, since one failure is shared by every record
//! of a batch. KIP-1050 gave the classification its names.

use crate::protocol::ErrorCode;
use crate::record::TopicPartition;
use std::fmt;
use std::sync::Arc;

mod timings;

pub use timings::Timings;

/// What a serializer, partitioner or other plug-in reports as its own cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation failed. Cloneable, one word, `Send + Sync`.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    code: Option<ErrorCode>,
    message: Box<str>,
    topic_partition: Option<TopicPartition>,
    broker: Option<Box<str>>,
    may_have_been_written: bool,
    retriable: bool,
    fatal: bool,
    requires_abort: bool,
    /// Of the transaction that could not be committed.
    failed_records: u64,
    attempts: Option<u32>,
    timings: Option<Timings>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// The coarse cause of an [`Error`], to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is wrong, or two explicit settings contradict each other. Names the key.
    Config,
    /// A call that cannot be right at this place or time; the message says what to call instead.
    Misuse,
    /// The producer is closed, or closed while the call waited.
    Closed,
    /// The interceptor's, serializer's or partitioner's own failure; see `source()`.
    Serialization,
    /// The partitioner failed or named a partition that does not exist.
    Partitioning,
    /// The topic name breaks Kafka's rules; nothing was asked of a broker.
    InvalidTopic,
    /// The record alone is bigger than `max.request.size` or `buffer.memory`, or the broker refused its size.
    RecordTooLarge,
    /// `buffer.memory` (or one broker's share of it) stayed full for `max.block.ms`, or was full in `try_send`.
    BufferExhausted,
    /// The topic's partitions were not known within `max.block.ms`, or are not known yet in `try_send`.
    MetadataTimeout,
    /// The record was not acknowledged within `delivery.timeout.ms`.
    DeliveryTimeout,
    /// Every one of `retries` attempts failed; `source()` is the last failure.
    RetriesExhausted,
    /// A wait of the caller's own (`flush`, `close`, `connect`) reached its deadline.
    Timeout,
    /// No connection, or it broke.
    Connection,
    /// The peer's bytes are not what Kafka's protocol allows; perhaps it is no Kafka broker.
    Protocol,
    /// The broker answered with an error code; see [`Error::code`].
    Broker,
    /// The broker refuses this client the topic, the cluster or the transactional id.
    Authorization,
    /// Client and broker share no version of an API, or the broker lacks a feature in use.
    UnsupportedVersion,
    /// Another producer with the same transactional id took over.
    Fenced,
    /// The transaction this record belonged to was aborted.
    TransactionAborted,
    /// The transaction cannot be committed any more, only aborted; `source()` is the first thing that failed in it.
    TransactionAbortable,
    /// Dropped by `purge()` before it was sent, or while in flight.
    Purged,
    /// A defect of this library, or a thread of it that died. The producer is unusable.
    Internal,
}

impl Error {
    /// A new error of `kind`; the `with_*` methods add what is known.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            code: None,
            message: message.into().into_boxed_str(),
            topic_partition: None,
            broker: None,
            may_have_been_written: false,
            retriable: false,
            fatal: matches!(kind, ErrorKind::Internal | ErrorKind::Fenced),
            requires_abort: kind == ErrorKind::TransactionAbortable,
            failed_records: 0,
            attempts: None,
            timings: None,
            source: None,
        }))
    }

    /// A setting is wrong: `key` is its Java name.
    pub(crate) fn config(key: &str, message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Config, format!("{key}: {message}"))
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    pub(crate) fn with_code(self, code: ErrorCode) -> Self {
        self.edit(|e| e.code = Some(code))
    }

    pub(crate) fn with_topic_partition(self, tp: TopicPartition) -> Self {
        self.edit(|e| e.topic_partition = Some(tp))
    }

    pub(crate) fn with_broker(self, broker: impl fmt::Display) -> Self {
        self.edit(|e| e.broker = Some(broker.to_string().into_boxed_str()))
    }

    pub(crate) fn with_maybe_written(self, yes: bool) -> Self {
        self.edit(|e| e.may_have_been_written = yes)
    }

    pub(crate) fn with_retriable(self, yes: bool) -> Self {
        self.edit(|e| e.retriable = yes)
    }

    pub(crate) fn with_fatal(self, yes: bool) -> Self {
        self.edit(|e| e.fatal = yes)
    }

    /// The transaction cannot be committed any more, but another one may follow.
    pub(crate) fn with_requires_abort(self, yes: bool) -> Self {
        self.edit(|e| e.requires_abort = yes)
    }

    /// How many records of a transaction failed; `source` is then the first one's error.
    pub(crate) fn with_failed_records(self, records: u64) -> Self {
        self.edit(|e| e.failed_records = records)
    }

    pub(crate) fn with_source(self, source: impl Into<BoxError>) -> Self {
        let source = Arc::from(source.into());
        self.edit(|e| e.source = Some(source))
    }

    pub(crate) fn with_attempts(self, attempts: u32) -> Self {
        self.edit(|e| e.attempts = Some(attempts))
    }

    pub(crate) fn with_timings(self, timings: Timings) -> Self {
        self.edit(|e| e.timings = Some(timings))
    }

    /// Whether both are clones of one error.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The coarse cause.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The code the broker answered with, if it answered.
    pub fn code(&self) -> Option<ErrorCode> {
        self.0.code
    }

    /// The partition concerned, if the failure belongs to one.
    pub fn topic_partition(&self) -> Option<&TopicPartition> {
        self.0.topic_partition.as_ref()
    }

    /// The broker concerned, as `host:port (node)`, if the failure belongs to one.
    pub fn broker(&self) -> Option<&str> {
        self.0.broker.as_deref()
    }

    /// How often the record was sent to a broker, if it entered: 0 where it never was.
    pub fn attempts(&self) -> Option<u32> {
        self.0.attempts
    }

    /// Where the time went, of a record that was not delivered or for which `send` waited in vain.
    pub fn timings(&self) -> Option<&Timings> {
        self.0.timings.as_ref()
    }

    /// Whether the time was up, so that its text says where it went.
    fn is_about_time(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::DeliveryTimeout
                | ErrorKind::RetriesExhausted
                | ErrorKind::MetadataTimeout
                | ErrorKind::BufferExhausted
        )
    }

    /// Whether the same call may succeed later without any change. The producer itself has already retried.
    pub fn is_retriable(&self) -> bool {
        self.0.retriable
    }

    /// Whether the current transaction must be aborted before the producer can go on.
    pub fn requires_abort(&self) -> bool {
        self.0.requires_abort
    }

    /// How many records of the transaction are known to have failed, if this says why it cannot be committed.
    pub(crate) fn failed_records(&self) -> u64 {
        self.0.failed_records
    }

    /// Whether this producer cannot be used any more: close it and open a new one.
    pub fn is_fatal(&self) -> bool {
        self.0.fatal
    }

    /// Whether a broker may have written the record all the same. `false` is a promise that it has not, so that
    /// sending it again cannot double it; `true` means that nobody knows.
    pub fn may_have_been_written(&self) -> bool {
        self.0.may_have_been_written
    }
}

/// What a caught panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "(no message)",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &*self.0;
        f.write_str(&e.message)?;
        if let Some(tp) = &e.topic_partition {
            write!(f, " [{tp}]")?;
        }
        if let Some(broker) = &e.broker {
            write!(f, " [broker {broker}]")?;
        }
        if let Some(timings) = e.timings.filter(|t| self.is_about_time() && !t.total().is_zero()) {
            write!(f, " [time: {timings}]")?;
        }
        if e.may_have_been_written {
            f.write_str(" (may have been written)")?;
        }
        if let Some(source) = &e.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &*self.0;
        f.debug_struct("Error")
            .field("kind", &e.kind)
            .field("code", &e.code.map(|c| c.0))
            .field("message", &e.message)
            .field("topic_partition", &e.topic_partition)
            .field("broker", &e.broker)
            .field("may_have_been_written", &e.may_have_been_written)
            .field("retriable", &e.retriable)
            .field("requires_abort", &e.requires_abort)
            .field("fatal", &e.fatal)
            .field("attempts", &e.attempts)
            .field("timings", &e.timings)
            .field("source", &e.source.as_ref().map(ToString::to_string))
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|s| s as &(dyn std::error::Error + 'static))
    }
}
