//! Transactions as users call them: which call may be made on which thread, and how long it may take.
//!
//! Runs on application threads. Takes no lock; the states, and what is refused in which, are the engine's (its
//! `TransactionPort`). Every call is bounded by `max.block.ms`. KIP-98, 447, 890.

use super::KafkaProducer;
use crate::api::Transaction;
use crate::clock;
use crate::engine::TransactionPort;
use crate::error::{Error, ErrorKind};
use crate::transaction::{ConsumerGroupMetadata, Offsets};

impl<K: ?Sized + 'static, V: ?Sized + 'static> KafkaProducer<K, V> {
    /// Begins a transaction as a value that aborts when it is dropped. The first call initialises transactions, as
    /// [`init_transactions`](Self::init_transactions).
    ///
    /// ```
    /// use kafka_producer::{Error, KafkaProducer, ProducerRecord};
    ///
    /// fn transfer(producer: &KafkaProducer<str, str>) -> Result<(), Error> {
    ///     let transaction = producer.transaction()?;
    ///     transaction.send(ProducerRecord::new("debits", "10").key("ann"))?.detach();
    ///     transaction.send(ProducerRecord::new("credits", "10").key("bob"))?.detach();
    ///     // Fails if one of the records did, so their handles need no look.
    ///     transaction.commit()?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Blocking
    /// At most `max.block.ms`: the first time for the coordinator, later only if the last transaction was dropped and is
    /// still being aborted.
    ///
    /// # Errors
    /// As [`init_transactions`](Self::init_transactions) and [`begin_transaction`](Self::begin_transaction).
    pub fn transaction(&self) -> Result<Transaction<'_, K, V>, Error> {
        if !self.port("transaction()")?.is_initialized() {
            self.init_transactions()?;
        }
        Transaction::begin(self)
    }

    /// Makes this the one producer with its `transactional.id`: fences those before it, and waits until a transaction that
    /// one of them left open is aborted, or a commit that it began is over.
    ///
    /// # Blocking
    /// At most `max.block.ms`. A call that timed out may be repeated and goes on waiting.
    ///
    /// # Errors
    /// [`Misuse`](ErrorKind::Misuse) without a `transactional.id` or if it has succeeded before;
    /// [`Timeout`](ErrorKind::Timeout); [`Authorization`](ErrorKind::Authorization), after which it may be called again;
    /// [`Config`](ErrorKind::Config) if `transaction.timeout.ms` is above the broker's `transaction.max.timeout.ms`.
    pub fn init_transactions(&self) -> Result<(), Error> {
        let call = "init_transactions()";
        let port = self.port(call)?;
        self.refuse_in_callback(call)?;
        self.acc.metrics.time(|m| &m.txn_init_nanos, || port.init(self.max_block))
    }

    /// Begins a transaction: what is sent from now on, by any thread, belongs to it. [`transaction`](Self::transaction) is
    /// the same as a value that cannot be forgotten.
    ///
    /// # Blocking
    /// Asks no broker. Waits, at most `max.block.ms`, only for the abort of a dropped [`Transaction`].
    ///
    /// # Errors
    /// [`Misuse`](ErrorKind::Misuse) before `init_transactions`, inside a transaction, or while another thread ends one;
    /// what made the producer unusable, as [`Fenced`](ErrorKind::Fenced).
    pub fn begin_transaction(&self) -> Result<(), Error> {
        let call = "begin_transaction()";
        let port = self.port(call)?;
        self.refuse_in_callback(call)?;
        self.acc.metrics.time(|m| &m.txn_begin_nanos, || port.begin(self.max_block))
    }

    /// Makes the offsets that a consumer has reached part of the transaction, so that what was read and what was written
    /// count together. They become visible with the commit. The consumer must not commit them itself
    /// (`enable.auto.commit=false`).
    ///
    /// # Blocking
    /// At most `max.block.ms`. Without offsets this is no call at all.
    ///
    /// # Errors
    /// [`Misuse`](ErrorKind::Misuse) outside a transaction, without a group, or for a negative offset; else, if
    /// [`requires_abort`](Error::requires_abort), the group's coordinator refused them: the consumer has lost its partitions
    /// or may not commit.
    pub fn send_offsets_to_transaction(
        &self,
        offsets: &Offsets,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), Error> {
        let call = "send_offsets_to_transaction()";
        let port = self.port(call)?;
        self.refuse_in_callback(call)?;
        group.check()?;
        offsets.check()?;
        self.acc
            .metrics
            .time(|m| &m.txn_send_offsets_nanos, || port.send_offsets(offsets, group, self.max_block))
    }

    /// Sends what was handed over, waits for its outcomes and callbacks, and commits the transaction.
    ///
    /// # Blocking
    /// At most `max.block.ms`.
    ///
    /// # Errors
    /// * [`requires_abort`](Error::requires_abort): a record or the offsets failed (`source()` is the first failure).
    ///   Nothing is committed; call [`abort_transaction`](Self::abort_transaction).
    /// * [`Timeout`](ErrorKind::Timeout): nobody knows yet. The producer is still at it; only this call may be made again.
    /// * [`Closed`](ErrorKind::Closed) with [`may_have_been_written`](Error::may_have_been_written): the producer was closed
    ///   meanwhile, and nobody will know.
    /// * [`is_fatal`](Error::is_fatal): another producer has the `transactional.id`, for instance. Close this one.
    /// * [`Misuse`](ErrorKind::Misuse): no transaction is open, or another thread ends it. Nothing has happened.
    pub fn commit_transaction(&self) -> Result<(), Error> {
        let call = "commit_transaction()";
        let port = self.port(call)?;
        self.refuse_in_callback(call)?;
        let deadline = clock::deadline(clock::now(), self.max_block);
        self.acc.metrics.time(|m| &m.txn_commit_nanos, || port.commit(self.max_block))?;
        // As with `flush`: who returns from it has seen what the callbacks did. They cannot change the outcome any more.
        self.callbacks.wait(deadline);
        Ok(())
    }

    /// Aborts the transaction. Records that were not sent yet fail with
    /// [`TransactionAborted`](ErrorKind::TransactionAborted); those under way are waited for. Consumers that read only what
    /// is committed see none of them.
    ///
    /// # Blocking
    /// At most `max.block.ms`. A call that timed out may be repeated and goes on waiting.
    ///
    /// # Errors
    /// [`Misuse`](ErrorKind::Misuse) if no transaction is open or its commit was tried and has no outcome;
    /// [`Timeout`](ErrorKind::Timeout); what made the producer unusable.
    pub fn abort_transaction(&self) -> Result<(), Error> {
        let call = "abort_transaction()";
        let port = self.port(call)?;
        self.refuse_in_callback(call)?;
        self.acc.metrics.time(|m| &m.txn_abort_nanos, || port.abort(self.max_block))
    }

    /// For the guard, wherever it is dropped: a callback may do that.
    pub(super) fn request_abort(&self) {
        if let Some(port) = &self.transactions {
            port.request_abort();
        }
    }

    fn port(&self, call: &str) -> Result<&TransactionPort, Error> {
        self.transactions.as_deref().ok_or_else(|| {
            let message = format!("{call} needs transactional.id; set it in the configuration");
            Error::new(ErrorKind::Misuse, message)
        })
    }
}
