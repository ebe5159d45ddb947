//! Transactions as users call them: which call may be made where, and how long it may take.
//!
//! Runs on application threads. Takes no lock; what happens to the transaction is the engine's. KIP-98, 447.

use super::KafkaProducer;
use crate::api::Transaction;
use crate::error::{Error, ErrorKind};
use crate::transaction::{ConsumerGroupMetadata, Offsets};

impl<K: ?Sized + 'static, V: ?Sized + 'static> KafkaProducer<K, V> {
    /// Begins a transaction, and initialises transactions if that has not been done.
    ///
    /// # Errors
    /// As [`init_transactions`](Self::init_transactions) and [`begin_transaction`](Self::begin_transaction).
    pub fn transaction(&self) -> Result<Transaction<'_, K, V>, Error> {
        self.init_transactions()?;
        Transaction::begin(self)
    }

    /// Fences other producers with this `transactional.id` and takes over what they left.
    ///
    /// # Errors
    /// There is no `transactional.id`.
    pub fn init_transactions(&self) -> Result<(), Error> {
        Err(not_transactional("init_transactions()"))
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// There is no `transactional.id`.
    pub fn begin_transaction(&self) -> Result<(), Error> {
        Err(not_transactional("begin_transaction()"))
    }

    /// Makes a consumer's offsets part of the transaction.
    ///
    /// # Errors
    /// There is no `transactional.id`.
    pub fn send_offsets_to_transaction(
        &self,
        offsets: &Offsets,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), Error> {
        group.check()?;
        offsets.check()?;
        Err(not_transactional("send_offsets_to_transaction()"))
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// There is no `transactional.id`.
    pub fn commit_transaction(&self) -> Result<(), Error> {
        Err(not_transactional("commit_transaction()"))
    }

    /// Aborts the transaction.
    ///
    /// # Errors
    /// There is no `transactional.id`.
    pub fn abort_transaction(&self) -> Result<(), Error> {
        Err(not_transactional("abort_transaction()"))
    }

    #[expect(clippy::unused_self, reason = "the transaction is the engine's")]
    pub(super) fn request_abort(&self) {}
}

fn not_transactional(call: &str) -> Error {
    let message = format!("{call} needs transactional.id; set it in the configuration");
    Error::new(ErrorKind::Misuse, message)
}
