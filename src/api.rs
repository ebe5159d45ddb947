//! The producer as a trait, for programs that want to swap the real one for a mock.

use std::sync::Arc;
use std::time::Duration;

use crate::delivery::{Callback, DeliveryFuture, SendAll, SendAllError};
use crate::error::Error;
use crate::metrics::MetricsSnapshot;
use crate::partitioner::PartitionInfo;
use crate::record::{ProducerRecord, RecordMetadata};

/// What can be asked of a producer. Dyn-compatible: `Arc<dyn Producer<str, [u8]>>` works, and so do `&P`, `Arc<P>`
/// and `Box<P>`.
///
/// The methods are documented on [`KafkaProducer`](crate::KafkaProducer), which has them inherent as well.
pub trait Producer<K: ?Sized, V: ?Sized>: Send + Sync {
    /// Hands a record over; blocks at most `max.block.ms`.
    ///
    /// # Errors
    /// The record did not enter; nothing was written.
    fn send(&self, record: ProducerRecord<'_, K, V>) -> Result<DeliveryFuture, Error>;

    /// Like [`send`](Self::send), but never blocks.
    ///
    /// # Errors
    /// As `send`, and what it would have had to wait for.
    fn try_send(&self, record: ProducerRecord<'_, K, V>) -> Result<DeliveryFuture, Error>;

    /// [`send_with`](Self::send_with) for callbacks that are boxed already.
    ///
    /// # Errors
    /// As `send`; the callback is then not called.
    fn send_with_boxed(&self, record: ProducerRecord<'_, K, V>, done: Callback) -> Result<(), Error>;

    /// Waits until every record sent before has an outcome, at most `delivery.timeout.ms` and a little.
    ///
    /// # Errors
    /// As [`flush_timeout`](Self::flush_timeout).
    fn flush(&self) -> Result<(), Error>;

    /// Waits until every record sent before has an outcome.
    ///
    /// # Errors
    /// The time is over; the error says how many records remain.
    fn flush_timeout(&self, timeout: Duration) -> Result<(), Error>;

    /// The partitions of a topic; blocks at most `max.block.ms` until they are known.
    ///
    /// # Errors
    /// They were not known in time, or the broker refuses them.
    fn partitions_for(&self, topic: &str) -> Result<Vec<PartitionInfo>, Error>;

    /// The counters now.
    fn metrics(&self) -> MetricsSnapshot;

    /// [`close_timeout`](Self::close_timeout), bounded by `delivery.timeout.ms` and a little.
    ///
    /// # Errors
    /// Some records had to be failed.
    fn close(&self) -> Result<(), Error>;

    /// Refuses new records, sends what it has for at most `timeout`, then fails what remains.
    ///
    /// # Errors
    /// Some records had to be failed.
    fn close_timeout(&self, timeout: Duration) -> Result<(), Error>;

    /// Hands a record over; `done` runs on the callback thread with its outcome.
    ///
    /// # Errors
    /// As `send`; the callback is then not called.
    fn send_with<F>(&self, record: ProducerRecord<'_, K, V>, done: F) -> Result<(), Error>
    where
        F: FnOnce(Result<RecordMetadata, Error>) + Send + 'static,
        Self: Sized,
    {
        self.send_with_boxed(record, Box::new(done))
    }

    /// Hands many records over, of any topics, in order; one handle for all.
    ///
    /// # Errors
    /// A record did not enter: which, why, and the handle of those before it.
    fn send_all<'r, I>(&self, records: I) -> Result<SendAll, SendAllError>
    where
        I: IntoIterator<Item = ProducerRecord<'r, K, V>>,
        K: 'r,
        V: 'r,
        Self: Sized,
    {
        send_each(records, |record| self.send(record))
    }
}

/// Sends in order until one is refused.
pub(crate) fn send_each<'r, K: ?Sized + 'r, V: ?Sized + 'r>(
    records: impl IntoIterator<Item = ProducerRecord<'r, K, V>>,
    mut send: impl FnMut(ProducerRecord<'r, K, V>) -> Result<DeliveryFuture, Error>,
) -> Result<SendAll, SendAllError> {
    let records = records.into_iter();
    let mut futures = Vec::with_capacity(records.size_hint().0);
    for record in records {
        match send(record) {
            Ok(future) => futures.push(future),
            Err(error) => return Err(SendAllError::stopped(SendAll::new(futures), error)),
        }
    }
    Ok(SendAll::new(futures))
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<K: ?Sized, V: ?Sized, P: Producer<K, V> + ?Sized> Producer<K, V> for $pointer {
            fn send(&self, record: ProducerRecord<'_, K, V>) -> Result<DeliveryFuture, Error> {
                (**self).send(record)
            }
            fn try_send(&self, record: ProducerRecord<'_, K, V>) -> Result<DeliveryFuture, Error> {
                (**self).try_send(record)
            }
            fn send_with_boxed(&self, record: ProducerRecord<'_, K, V>, done: Callback) -> Result<(), Error> {
                (**self).send_with_boxed(record, done)
            }
            fn flush(&self) -> Result<(), Error> {
                (**self).flush()
            }
            fn flush_timeout(&self, timeout: Duration) -> Result<(), Error> {
                (**self).flush_timeout(timeout)
            }
            fn partitions_for(&self, topic: &str) -> Result<Vec<PartitionInfo>, Error> {
                (**self).partitions_for(topic)
            }
            fn metrics(&self) -> MetricsSnapshot {
                (**self).metrics()
            }
            fn close(&self) -> Result<(), Error> {
                (**self).close()
            }
            fn close_timeout(&self, timeout: Duration) -> Result<(), Error> {
                (**self).close_timeout(timeout)
            }
        }
    )*};
}

forward!(&P, Arc<P>, Box<P>);
