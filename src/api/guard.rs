//! The transaction as a value: what is sent through it is committed as a whole, and dropping it aborts.
//!
//! Runs on application threads; takes no lock. Knows only the [`Producer`] trait, so that it works with any of them.
//! KIP-98, 447, 1050.

use std::fmt;

use super::{Producer, send_each};
use crate::delivery::{DeliveryFuture, SendAll, SendAllError};
use crate::error::{Error, ErrorKind};
use crate::record::{ProducerRecord, RecordMetadata};
use crate::transaction::{ConsumerGroupMetadata, Offsets};

/// An open transaction. [`commit`](Self::commit) it, or it is aborted: by [`abort`](Self::abort), or by dropping it.
///
/// From [`KafkaProducer::transaction`](crate::KafkaProducer::transaction), or [`begin`](Self::begin) with any
/// [`Producer`]. `Send + Sync`: several threads may send through it. A producer has one transaction at a time.
///
/// ```
/// use kafka_producer::mock::MockProducer;
/// use kafka_producer::{Error, Producer, ProducerRecord, Transaction};
///
/// fn transfer(producer: &dyn Producer<str, str>, amount: &str) -> Result<(), Error> {
///     let transaction = Transaction::begin(producer)?;
///     transaction.send(ProducerRecord::new("debits", amount).key("ann"))?.detach();
///     transaction.send(ProducerRecord::new("credits", amount).key("bob"))?.detach();
///     transaction.commit()?; // each `?` above and here aborts it
///     Ok(())
/// }
///
/// let producer = MockProducer::auto_complete();
/// producer.init_transactions().unwrap();
/// transfer(&producer, "10").unwrap();
/// assert_eq!(producer.commit_count(), 1);
/// ```
#[must_use = "dropping a transaction aborts it; call `commit()`"]
pub struct Transaction<'p, K: ?Sized, V: ?Sized> {
    producer: &'p dyn Producer<K, V>,
    left: Left,
}

/// What is left to do when the guard goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Abort.
    Open,
    /// Nobody may abort: the commit may have happened.
    Unresolved,
    /// Nothing.
    Ended,
}

impl<'p, K: ?Sized, V: ?Sized> Transaction<'p, K, V> {
    /// Begins a transaction of `producer`, whose transactions are initialised.
    ///
    /// # Blocking
    /// Asks no broker. If the previous transaction was dropped, this waits until it is aborted, at most `max.block.ms`.
    ///
    /// # Errors
    /// As [`Producer::begin_transaction`].
    pub fn begin(producer: &'p dyn Producer<K, V>) -> Result<Self, Error> {
        producer.begin_transaction()?;
        Ok(Self { producer, left: Left::Open })
    }

    /// Hands over a record of this transaction. Blocks at most `max.block.ms`.
    ///
    /// # Errors
    /// The record did not enter, and the transaction goes on without it; if
    /// [`requires_abort`](Error::requires_abort) says so, the transaction has failed meanwhile.
    pub fn send(&self, record: ProducerRecord<'_, K, V>) -> Result<DeliveryFuture, Error> {
        self.producer.send(record)
    }

    /// Like [`send`](Self::send), but never blocks.
    ///
    /// # Errors
    /// As `send`, and what it would have had to wait for.
    pub fn try_send(&self, record: ProducerRecord<'_, K, V>) -> Result<DeliveryFuture, Error> {
        self.producer.try_send(record)
    }

    /// Like [`send`](Self::send); `done` runs on the callback thread with the record's outcome.
    ///
    /// # Errors
    /// As `send`; the callback is then not called.
    pub fn send_with(
        &self,
        record: ProducerRecord<'_, K, V>,
        done: impl FnOnce(Result<RecordMetadata, Error>) + Send + 'static,
    ) -> Result<(), Error> {
        self.producer.send_with_boxed(record, Box::new(done))
    }

    /// Hands many records over, in order; one handle for all.
    ///
    /// # Errors
    /// A record did not enter: which, why, and the handle of those before it.
    pub fn send_all<'r, I>(&self, records: I) -> Result<SendAll, SendAllError>
    where
        I: IntoIterator<Item = ProducerRecord<'r, K, V>>,
        K: 'r,
        V: 'r,
    {
        send_each(records, |record| self.producer.send(record))
    }

    /// Makes the offsets of a consumer part of the transaction. Blocks at most `max.block.ms`.
    ///
    /// # Errors
    /// As [`Producer::send_offsets_to_transaction`].
    pub fn send_offsets(&self, offsets: &Offsets, group: &ConsumerGroupMetadata) -> Result<(), Error> {
        self.producer.send_offsets_to_transaction(offsets, group)
    }

    /// Waits for the outcome of every record, then commits them all with the offsets. Blocks at most `max.block.ms`.
    ///
    /// # Errors
    /// Nothing of it can be read by read-committed consumers if a record failed; the error tells. If nobody knows whether it
    /// happened, the guard that comes back may only be committed again: see [`CommitError`].
    pub fn commit(mut self) -> Result<(), CommitError<'p, K, V>> {
        match self.producer.commit_transaction() {
            Ok(()) => {
                self.left = Left::Ended;
                Ok(())
            }
            Err(error) => {
                self.left = self.left.after(&error);
                Err(CommitError { error, transaction: self })
            }
        }
    }

    /// Takes everything back: consumers that read only what is committed will not see it. Blocks at most `max.block.ms`.
    ///
    /// # Errors
    /// The abort is not over in time and goes on in the background, and the next transaction waits for it; or the producer
    /// is unusable. [`Misuse`](ErrorKind::Misuse) if a commit was tried whose outcome is unknown: nothing is aborted then.
    pub fn abort(mut self) -> Result<(), Error> {
        if self.left == Left::Unresolved {
            return Err(Error::new(
                ErrorKind::Misuse,
                "the transaction may be committed already, since its commit has no outcome yet; \
                 call commit_transaction() until it has",
            ));
        }
        self.producer.abort_transaction()?;
        self.left = Left::Ended;
        Ok(())
    }
}

impl Left {
    /// After a commit that failed.
    fn after(self, error: &Error) -> Self {
        if error.is_fatal() || error.kind() == ErrorKind::Closed {
            // There is nobody left to ask again.
            Self::Ended
        } else if error.requires_abort() {
            Self::Open
        } else if error.kind() == ErrorKind::Timeout || error.may_have_been_written() {
            Self::Unresolved
        } else {
            // Refused, as on a callback thread: everything is as it was.
            self
        }
    }
}

/// Aborts without blocking, unless the transaction has ended; the next one waits for that. A transaction whose commit has
/// no outcome is left alone.
impl<K: ?Sized, V: ?Sized> Drop for Transaction<'_, K, V> {
    fn drop(&mut self) {
        match self.left {
            Left::Open => self.producer.request_abort(),
            Left::Unresolved => log::warn!(
                target: "kafka_producer::transaction",
                "dropped without knowing whether it is committed; call commit_transaction() to learn it"
            ),
            Left::Ended => {}
        }
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for Transaction<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Why [`Transaction::commit`] failed, and the transaction.
///
/// * [`outcome_unknown`](Self::outcome_unknown): it may be committed or not, and the producer is still at it. Call
///   [`into_transaction`](Self::into_transaction) and `commit()` again; nothing else is allowed, and dropping the guard
///   aborts nothing.
/// * Else, unless [`is_fatal`](Error::is_fatal), nothing is committed: records or offsets
///   [failed](Self::failed_records). Dropping this aborts the transaction, and the next one may begin.
/// * Fatal: the producer is unusable, for instance [`Fenced`](ErrorKind::Fenced). Close it. Nothing is committed, unless
///   [`may_have_been_written`](Error::may_have_been_written) says that an earlier attempt may have got through.
///
/// A producer that was closed while it committed leaves the outcome unknown, too
/// ([`may_have_been_written`](Error::may_have_been_written)): then only the next producer with the `transactional.id` ends
/// the transaction, one way or the other.
///
/// `?` in a function that returns [`Error`] drops it; so does [`into_error`](Self::into_error).
pub struct CommitError<'p, K: ?Sized, V: ?Sized> {
    error: Error,
    transaction: Transaction<'p, K, V>,
}

impl<'p, K: ?Sized, V: ?Sized> CommitError<'p, K, V> {
    /// What happened.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Whether the transaction may be committed all the same, and only another `commit()` can tell.
    pub fn outcome_unknown(&self) -> bool {
        self.transaction.left == Left::Unresolved
    }

    /// How many records of the transaction are known to have failed. What was refused by `send` does not count.
    pub fn failed_records(&self) -> u64 {
        self.error.failed_records()
    }

    /// Why the first of them failed; its [`topic_partition`](Error::topic_partition) says where.
    pub fn first_failure(&self) -> Option<&Error> {
        if self.failed_records() == 0 {
            return None;
        }
        std::error::Error::source(&self.error)?.downcast_ref()
    }

    /// The transaction, to commit it again or to abort it and wait for that.
    pub fn into_transaction(self) -> Transaction<'p, K, V> {
        self.transaction
    }

    /// The error alone. Aborts the transaction without blocking, unless its outcome is unknown.
    pub fn into_error(self) -> Error {
        self.error
    }
}

impl<K: ?Sized, V: ?Sized> From<CommitError<'_, K, V>> for Error {
    fn from(error: CommitError<'_, K, V>) -> Self {
        error.into_error()
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Display for CommitError<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for CommitError<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitError")
            .field("error", &self.error)
            .field("transaction", &self.transaction)
            .finish()
    }
}

impl<K: ?Sized, V: ?Sized> std::error::Error for CommitError<'_, K, V> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}
