//! Records on their way in and what is known of them on the way out.
//!
//! Plain data: runs on any thread, takes no lock. A [`ProducerRecord`] borrows what the caller has; `send` has taken
//! the bytes when it returns. It must not know how records are batched or sent.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

mod headers;
mod metadata;

pub use headers::{Header, Headers, HeadersIter};
pub use metadata::RecordMetadata;

/// A topic and one of its partitions.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Names partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A key or a value: the caller's own, or an interceptor's replacement.
pub enum Datum<'a, T: ?Sized> {
    /// What the caller lent.
    Borrowed(&'a T),
    /// What an interceptor, or [`ProducerRecord::into_owned`], put in its place.
    Owned(Box<T>),
}

impl<T: ?Sized> Deref for Datum<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        match self {
            Self::Borrowed(t) => t,
            Self::Owned(t) => t,
        }
    }
}

impl<T: ?Sized> Clone for Datum<'_, T>
where
    Box<T>: Clone,
{
    fn clone(&self) -> Self {
        match self {
            Self::Borrowed(t) => Self::Borrowed(t),
            Self::Owned(t) => Self::Owned(t.clone()),
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Datum<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// One record to send: a topic, and optionally a partition, key, value, headers and timestamp.
///
/// Key and value may each be absent (Kafka's null), which is not the same as empty. Everything is borrowed; nothing
/// is copied before `send`.
///
/// ```
/// use kafka_producer::ProducerRecord;
/// let payload = String::from("{\"id\":1}");
/// let record: ProducerRecord<'_, str, str> =
///     ProducerRecord::new("orders", &payload).key("user-1").header("source", b"web");
/// assert_eq!(record.topic(), "orders");
/// assert_eq!(record.key_ref(), Some("user-1"));
/// ```
///
/// A record that is never handed to a producer needs its types spelled out, as above; otherwise they follow from
/// the producer (without either, the compiler says E0282).
pub struct ProducerRecord<'a, K: ?Sized, V: ?Sized> {
    topic: Cow<'a, str>,
    partition: Option<i32>,
    timestamp: Option<SystemTime>,
    key: Option<Datum<'a, K>>,
    value: Option<Datum<'a, V>>,
    headers: Headers<'a>,
}

impl<'a, K: ?Sized, V: ?Sized> ProducerRecord<'a, K, V> {
    /// A record with null key and null value (a tombstone, once it has a key).
    pub fn to(topic: &'a str) -> Self {
        Self {
            topic: Cow::Borrowed(topic),
            partition: None,
            timestamp: None,
            key: None,
            value: None,
            headers: Headers::empty(),
        }
    }

    /// A record with a value: anything that borrows as `V`, such as `&String` for `str` or `b"..."` for `[u8]`.
    pub fn new<Q: Borrow<V> + ?Sized>(topic: &'a str, value: &'a Q) -> Self {
        Self::to(topic).value(value)
    }

    /// Sets the key. Records with equal keys go to the same partition with the default partitioner.
    pub fn key<Q: Borrow<K> + ?Sized>(mut self, key: &'a Q) -> Self {
        self.key = Some(Datum::Borrowed(key.borrow()));
        self
    }

    /// Sets the value.
    pub fn value<Q: Borrow<V> + ?Sized>(mut self, value: &'a Q) -> Self {
        self.value = Some(Datum::Borrowed(value.borrow()));
        self
    }

    /// Sends to exactly this partition; no partitioner is asked.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The record's timestamp, kept in milliseconds. Without it the time of `send` is taken.
    pub fn timestamp(mut self, at: SystemTime) -> Self {
        self.timestamp = Some(at);
        self
    }

    /// Sets all headers at once, borrowed: no allocation.
    pub fn headers(mut self, headers: &'a [Header<'a>]) -> Self {
        self.headers = Headers::Slice(headers);
        self
    }

    /// Adds one header; names may repeat and keep their order. Allocates.
    pub fn header(mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, [u8]>>) -> Self {
        self.headers.push(name, Some(value.into()));
        self
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition asked for, if any.
    pub fn partition_ref(&self) -> Option<i32> {
        self.partition
    }

    /// The timestamp asked for, if any.
    pub fn timestamp_ref(&self) -> Option<SystemTime> {
        self.timestamp
    }

    /// The key; `None` is Kafka's null.
    pub fn key_ref(&self) -> Option<&K> {
        self.key.as_deref()
    }

    /// The value; `None` is Kafka's null.
    pub fn value_ref(&self) -> Option<&V> {
        self.value.as_deref()
    }

    /// The headers.
    pub fn headers_ref(&self) -> &Headers<'a> {
        &self.headers
    }

    /// Replaces the topic (for interceptors).
    pub fn set_topic(&mut self, topic: impl Into<Cow<'a, str>>) {
        self.topic = topic.into();
    }

    /// Replaces the partition (for interceptors).
    pub fn set_partition(&mut self, partition: Option<i32>) {
        self.partition = partition;
    }

    /// Replaces the timestamp (for interceptors).
    pub fn set_timestamp(&mut self, at: Option<SystemTime>) {
        self.timestamp = at;
    }

    /// Replaces the key (for interceptors).
    pub fn set_key(&mut self, key: Option<Box<K>>) {
        self.key = key.map(Datum::Owned);
    }

    /// Replaces the value (for interceptors).
    pub fn set_value(&mut self, value: Option<Box<V>>) {
        self.value = value.map(Datum::Owned);
    }

    /// The headers, to be changed (for interceptors).
    pub fn headers_mut(&mut self) -> &mut Headers<'a> {
        &mut self.headers
    }

    /// Topic, key, value and headers apart, so that a serializer may change the headers while it reads the value.
    pub(crate) fn parts_mut(&mut self) -> (&str, Option<&K>, Option<&V>, &mut Headers<'a>) {
        (&self.topic, self.key.as_deref(), self.value.as_deref(), &mut self.headers)
    }

    /// Whether there is anything to be freed with it.
    #[inline(always)]
    pub(crate) fn owns_anything(&self) -> bool {
        matches!(self.topic, Cow::Owned(_))
            || matches!(self.key, Some(Datum::Owned(_)))
            || matches!(self.value, Some(Datum::Owned(_)))
            || matches!(self.headers, Headers::List(_))
    }

    /// The same record, owning everything.
    pub fn into_owned(self) -> ProducerRecord<'static, K, V>
    where
        K: ToOwned<Owned: Into<Box<K>>>,
        V: ToOwned<Owned: Into<Box<V>>>,
    {
        ProducerRecord {
            topic: Cow::Owned(self.topic.into_owned()),
            partition: self.partition,
            timestamp: self.timestamp,
            key: self.key.map(own),
            value: self.value.map(own),
            headers: self.headers.into_owned(),
        }
    }
}

fn own<T>(datum: Datum<'_, T>) -> Datum<'static, T>
where
    T: ?Sized + ToOwned<Owned: Into<Box<T>>>,
{
    Datum::Owned(match datum {
        Datum::Borrowed(t) => t.to_owned().into(),
        Datum::Owned(t) => t,
    })
}

impl<K: ?Sized, V: ?Sized> Clone for ProducerRecord<'_, K, V>
where
    Box<K>: Clone,
    Box<V>: Clone,
{
    fn clone(&self) -> Self {
        Self {
            topic: self.topic.clone(),
            partition: self.partition,
            timestamp: self.timestamp,
            key: self.key.clone(),
            value: self.value.clone(),
            headers: self.headers.clone(),
        }
    }
}

/// Prints where the record goes, never its key or value: payloads do not belong in logs.
impl<K: ?Sized, V: ?Sized> fmt::Debug for ProducerRecord<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerRecord")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("timestamp", &self.timestamp)
            .field("has_key", &self.key.is_some())
            .field("has_value", &self.value.is_some())
            .field("headers", &self.headers.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constructors_take_anything_that_borrows_as_the_type() {
        let text = String::from("v");
        let bytes = vec![1u8, 2];
        let _: ProducerRecord<'_, str, str> = ProducerRecord::new("t", &text).key(&text);
        let _: ProducerRecord<'_, str, str> = ProducerRecord::new("t", "v").key("k");
        let _: ProducerRecord<'_, [u8], [u8]> = ProducerRecord::new("t", &bytes).key(b"abc");
        let _: ProducerRecord<'_, [u8], [u8]> = ProducerRecord::new("t", &bytes[..]);
        let n = 7i32;
        let _: ProducerRecord<'_, i32, [u8]> = ProducerRecord::new("t", b"").key(&n);
    }

    #[test]
    fn null_and_empty_are_distinct_and_survive_into_owned() {
        let record: ProducerRecord<'_, str, [u8]> = ProducerRecord::to("t").key("").header("h", b"");
        let owned = record.into_owned();
        assert_eq!(owned.key_ref(), Some(""));
        assert!(owned.value_ref().is_none());
        assert_eq!(owned.headers_ref().iter().next(), Some(("h", Some(&b""[..]))));
    }

    #[test]
    fn debug_shows_no_payload() {
        let record: ProducerRecord<'_, str, str> = ProducerRecord::new("t", "secret").key("private");
        let text = format!("{record:?}");
        assert!(!text.contains("secret") && !text.contains("private"), "{text}");
    }
}
