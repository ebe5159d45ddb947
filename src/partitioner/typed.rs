//! Partitioners that see keys and values as the program has them.
//!
//! What a producer holds is a `TypedPartitioner`; every [`Partitioner`] is one that does not look at the types.

use super::{Choice, KeyedRecord, Partitioner, TopicView};
use crate::config::PluginConfig;
use crate::error::BoxError;

/// What a [`TypedPartitioner`] sees of a record.
#[derive(Debug)]
#[non_exhaustive]
pub struct TypedRecord<'r, K: ?Sized, V: ?Sized> {
    /// The key; `None` is Kafka's null.
    pub key: Option<&'r K>,
    /// The value; `None` is Kafka's null.
    pub value: Option<&'r V>,
    /// Topic, headers, and key and value as bytes.
    pub serialized: KeyedRecord<'r>,
}

impl<'r, K: ?Sized, V: ?Sized> TypedRecord<'r, K, V> {
    /// What a producer shows; public so that a partitioner can be tested alone.
    #[inline]
    pub fn new(key: Option<&'r K>, value: Option<&'r V>, serialized: KeyedRecord<'r>) -> Self {
        Self { key, value, serialized }
    }
}

/// Chooses partitions by keys and values as the program has them, besides their bytes. Asked for every record that
/// names no partition itself. Every [`Partitioner`] is one; [`typed_fn`] makes one of a closure.
///
/// ```
/// use kafka_producer::BoxError;
/// use kafka_producer::partitioner::{Choice, TopicView, TypedPartitioner, TypedRecord};
///
/// struct Order { region: i32 }
/// struct ByRegion;
///
/// impl TypedPartitioner<str, Order> for ByRegion {
///     fn choose(&self, record: &TypedRecord<'_, str, Order>, topic: &TopicView<'_>) -> Result<Choice, BoxError> {
///         Ok(match record.value {
///             Some(order) => Choice::Exact(order.region.rem_euclid(topic.partition_count())),
///             None => Choice::Sticky,
///         })
///     }
/// }
/// ```
pub trait TypedPartitioner<K: ?Sized, V: ?Sized>: Send + Sync {
    /// The partition for `record`; as [`Partitioner::partition`].
    ///
    /// # Errors
    /// The partitioner's own cause; `send` reports it as
    /// [`ErrorKind::Partitioning`](crate::ErrorKind::Partitioning).
    fn choose(&self, record: &TypedRecord<'_, K, V>, topic: &TopicView<'_>) -> Result<Choice, BoxError>;

    /// As [`Partitioner::configure`].
    ///
    /// # Errors
    /// The partitioner's own cause; the producer is then not opened.
    fn configure(&mut self, config: &PluginConfig<'_>) -> Result<(), BoxError> {
        let _ = config;
        Ok(())
    }

    /// As [`Partitioner::is_adaptive`].
    fn is_adaptive(&self) -> bool {
        true
    }

    /// Called once when the producer closes, or when it could not be opened.
    fn close(&self) {}
}

impl<K: ?Sized, V: ?Sized, P: Partitioner> TypedPartitioner<K, V> for P {
    #[inline]
    fn choose(&self, record: &TypedRecord<'_, K, V>, topic: &TopicView<'_>) -> Result<Choice, BoxError> {
        self.partition(&record.serialized, topic)
    }

    fn configure(&mut self, config: &PluginConfig<'_>) -> Result<(), BoxError> {
        Partitioner::configure(self, config)
    }

    fn is_adaptive(&self) -> bool {
        Partitioner::is_adaptive(self)
    }

    fn close(&self) {
        Partitioner::close(self);
    }
}

/// A typed partitioner from a closure.
///
/// ```
/// use kafka_producer::partitioner::{Choice, typed_fn};
/// let by_account = typed_fn::<i64, [u8], _>(|record, topic| match record.key {
///     Some(account) => Choice::Exact((account % i64::from(topic.partition_count())) as i32),
///     None => Choice::Sticky,
/// });
/// # let _ = by_account;
/// ```
pub fn typed_fn<K: ?Sized, V: ?Sized, F>(choose: F) -> impl TypedPartitioner<K, V>
where
    F: Fn(&TypedRecord<'_, K, V>, &TopicView<'_>) -> Choice + Send + Sync,
{
    struct TypedFn<F>(F);
    impl<K: ?Sized, V: ?Sized, F> TypedPartitioner<K, V> for TypedFn<F>
    where
        F: Fn(&TypedRecord<'_, K, V>, &TopicView<'_>) -> Choice + Send + Sync,
    {
        fn choose(&self, record: &TypedRecord<'_, K, V>, topic: &TopicView<'_>) -> Result<Choice, BoxError> {
            Ok((self.0)(record, topic))
        }
    }
    TypedFn(choose)
}
