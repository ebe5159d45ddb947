//! The producer as a trait, for programs that want to swap the real one for a mock, and the transaction guard over it.

use std::sync::Arc;
use std::time::Duration;

use crate::delivery::{Callback, DeliveryFuture, SendAll, SendAllError};
use crate::error::Error;
use crate::metrics::MetricsSnapshot;
use crate::partitioner::PartitionInfo;
use crate::record::{ProducerRecord, RecordMetadata};
use crate::transaction::{ConsumerGroupMetadata, Offsets};

mod guard;

pub use guard::{CommitError, Transaction};

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

    /// Makes this the one producer with its `transactional.id`: fences those before it and waits until what they left open
    /// has ended. Once, before the first transaction; blocks at most `max.block.ms`, and goes on when called again.
    ///
    /// # Errors
    /// No `transactional.id`, not in time, or the brokers refuse it.
    fn init_transactions(&self) -> Result<(), Error>;

    /// Begins a transaction: what is sent from now on belongs to it. Asks no broker; waits, at most `max.block.ms`, only for
    /// the abort of a dropped [`Transaction`].
    ///
    /// # Errors
    /// Not initialised, one is open already, the last one has not ended, or the producer is unusable.
    fn begin_transaction(&self) -> Result<(), Error>;

    /// Makes the offsets of a consumer part of the transaction; none is no call at all. Blocks at most `max.block.ms`.
    ///
    /// # Errors
    /// No transaction is open, the group is empty, or its coordinator refuses the offsets: then
    /// [`requires_abort`](Error::requires_abort).
    fn send_offsets_to_transaction(
        &self,
        offsets: &Offsets,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), Error>;

    /// Waits for the outcome of every record of the transaction, then commits it. Blocks at most `max.block.ms`.
    ///
    /// # Errors
    /// [`requires_abort`](Error::requires_abort): records or offsets failed, nothing is committed; call
    /// `abort_transaction`. [`Timeout`](crate::ErrorKind::Timeout): nobody knows yet; only this call may be made, again.
    fn commit_transaction(&self) -> Result<(), Error>;

    /// Aborts the transaction; records that have no outcome yet fail. Blocks at most `max.block.ms`.
    ///
    /// # Errors
    /// No transaction is open, or the abort is not over in time: then only this call may be made, again.
    fn abort_transaction(&self) -> Result<(), Error>;

    /// What dropping a [`Transaction`] calls: aborts it without blocking and without a result. A producer that wraps
    /// another one should forward it; by default it is `abort_transaction`, which blocks.
    fn request_abort(&self) {
        let _ = self.abort_transaction();
    }

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
            fn init_transactions(&self) -> Result<(), Error> {
                (**self).init_transactions()
            }
            fn begin_transaction(&self) -> Result<(), Error> {
                (**self).begin_transaction()
            }
            fn send_offsets_to_transaction(
                &self,
                offsets: &Offsets,
                group: &ConsumerGroupMetadata,
            ) -> Result<(), Error> {
                (**self).send_offsets_to_transaction(offsets, group)
            }
            fn commit_transaction(&self) -> Result<(), Error> {
                (**self).commit_transaction()
            }
            fn abort_transaction(&self) -> Result<(), Error> {
                (**self).abort_transaction()
            }
            fn request_abort(&self) {
                (**self).request_abort();
            }
        }
    )*};
}

forward!(&P, Arc<P>, Box<P>);
