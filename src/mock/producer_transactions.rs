//! Transactions of the [`MockProducer`]: the rules of the real ones, and what was committed.
//!
//! Plain data under the mock's lock; records end, and callbacks run, outside it. Follows Java's `MockProducer` in what can
//! be asked and injected, and the real producer in what is refused.

use std::collections::BTreeMap;

use super::calls::Operation;
use super::producer::MockProducer;
use crate::api::Transaction;
use crate::error::{Error, ErrorKind};
use crate::record::ProducerRecord;
use crate::sync::Arc;
use crate::transaction::{ConsumerGroupMetadata, Offsets};

type Records<K, V> = Vec<Arc<ProducerRecord<'static, K, V>>>;
type GroupOffsets = BTreeMap<Arc<str>, Offsets>;

/// Where the mock is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// `init_transactions` was not called: a producer without transactions.
    #[default]
    Plain,
    Ready,
    Open,
    /// A commit, or an abort, is at work on some thread.
    Ending,
    /// A commit timed out, as the test wanted; only another one is allowed.
    Unresolved,
}

pub(super) struct Transactions<K: ?Sized + 'static, V: ?Sized + 'static> {
    phase: Phase,
    fenced: bool,
    /// Why the open transaction can only be aborted.
    failure: Option<Error>,
    failed_records: u64,
    uncommitted: Records<K, V>,
    committed: Records<K, V>,
    offsets: GroupOffsets,
    /// By transaction, those without offsets left out.
    offsets_history: Vec<GroupOffsets>,
    sent_offsets: bool,
    commits: u64,
    aborts: u64,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Default for Transactions<K, V> {
    fn default() -> Self {
        Self {
            phase: Phase::Plain,
            fenced: false,
            failure: None,
            failed_records: 0,
            uncommitted: Vec::new(),
            committed: Vec::new(),
            offsets: BTreeMap::new(),
            offsets_history: Vec::new(),
            sent_offsets: false,
            commits: 0,
            aborts: 0,
        }
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Transactions<K, V> {
    /// Whether a record may enter.
    pub(super) fn check_send(&self) -> Result<(), Error> {
        self.check_fenced()?;
        match self.phase {
            Phase::Plain => Ok(()),
            Phase::Open => self.failure.clone().map_or(Ok(()), Err),
            Phase::Ready => Err(misuse("send() outside a transaction; call begin_transaction() first")),
            Phase::Ending | Phase::Unresolved => {
                Err(misuse("send() while the transaction ends; begin the next one first"))
            }
        }
    }

    /// A record has entered; whether it belongs to a transaction.
    pub(super) fn entered(&mut self, record: &Arc<ProducerRecord<'static, K, V>>) -> bool {
        let open = self.phase == Phase::Open;
        if open {
            self.uncommitted.push(record.clone());
        }
        open
    }

    /// A record of the open transaction has failed.
    pub(super) fn record_failed(&mut self, error: &Error) {
        if matches!(self.phase, Phase::Open | Phase::Ending | Phase::Unresolved) {
            self.failed_records += 1;
            if self.failure.is_none() {
                let message = "a record of the transaction failed; call abort_transaction()";
                let failure = Error::new(ErrorKind::TransactionAbortable, message);
                self.failure = Some(failure.with_source(error.clone()));
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.uncommitted.clear();
        self.committed.clear();
        self.offsets.clear();
        self.offsets_history.clear();
        (self.sent_offsets, self.commits, self.aborts) = (false, 0, 0);
    }

    fn check_fenced(&self) -> Result<(), Error> {
        if !self.fenced {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Fenced, "another producer with the same transactional.id took over"))
    }

    fn init(&mut self) -> Result<(), Error> {
        self.check_fenced()?;
        if self.phase != Phase::Plain {
            return Err(misuse("init_transactions() was called before; call begin_transaction()"));
        }
        self.phase = Phase::Ready;
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.check_fenced()?;
        match self.phase {
            Phase::Ready => {
                self.phase = Phase::Open;
                Ok(())
            }
            Phase::Plain => Err(not_initialised("begin_transaction()")),
            Phase::Open => Err(misuse(
                "begin_transaction() inside a transaction; call commit_transaction() or abort_transaction() first",
            )),
            Phase::Ending => Err(elsewhere("begin_transaction()")),
            Phase::Unresolved => Err(unresolved("begin_transaction()")),
        }
    }

    fn add_offsets(&mut self, offsets: &Offsets, group: &ConsumerGroupMetadata) -> Result<(), Error> {
        self.check_fenced()?;
        let call = "send_offsets_to_transaction()";
        match self.phase {
            Phase::Open => {}
            Phase::Plain => return Err(not_initialised(call)),
            Phase::Ready => return Err(outside(call)),
            Phase::Ending => return Err(elsewhere(call)),
            Phase::Unresolved => return Err(unresolved(call)),
        }
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if !offsets.is_empty() {
            let of_group = self.offsets.entry(group.group_id().into()).or_default();
            of_group.extend(offsets.iter().map(|(tp, at)| (tp.clone(), at.clone())));
            self.sent_offsets = true;
        }
        Ok(())
    }

    /// Before records end: from here on none may enter.
    fn start_ending(&mut self, call: &str, commit: bool) -> Result<(), Error> {
        self.check_fenced()?;
        match self.phase {
            Phase::Plain => return Err(not_initialised(call)),
            Phase::Ready => return Err(outside(call)),
            Phase::Ending => return Err(elsewhere(call)),
            Phase::Unresolved if !commit => return Err(unresolved(call)),
            Phase::Open | Phase::Unresolved => self.phase = Phase::Ending,
        }
        Ok(())
    }

    /// Every record has its outcome.
    fn finish_commit(&mut self) -> Result<(), Error> {
        if self.phase != Phase::Ending {
            return Err(misuse("commit_transaction(): the producer was closed meanwhile"));
        }
        if let Some(failure) = &self.failure {
            self.phase = Phase::Open;
            return Err(failure.clone().with_failed_records(self.failed_records));
        }
        self.committed.append(&mut self.uncommitted);
        if !self.offsets.is_empty() {
            self.offsets_history.push(std::mem::take(&mut self.offsets));
        }
        self.commits += 1;
        self.phase = Phase::Ready;
        Ok(())
    }

    fn finish_abort(&mut self) {
        self.uncommitted.clear();
        self.offsets.clear();
        self.failure = None;
        self.failed_records = 0;
        self.aborts += 1;
        self.phase = Phase::Ready;
    }

    /// What an injected error does besides being returned.
    fn injected(&mut self, operation: Operation, error: &Error) {
        let in_transaction = matches!(self.phase, Phase::Open | Phase::Unresolved);
        if in_transaction && error.requires_abort() {
            self.phase = Phase::Open;
            self.failure.get_or_insert_with(|| error.clone());
        } else if in_transaction
            && operation == Operation::CommitTransaction
            && error.kind() == ErrorKind::Timeout
        {
            self.phase = Phase::Unresolved;
        }
    }
}

fn misuse(message: &str) -> Error {
    Error::new(ErrorKind::Misuse, message)
}

fn not_initialised(call: &str) -> Error {
    misuse(&format!("{call} before init_transactions(); call that first, once"))
}

fn outside(call: &str) -> Error {
    misuse(&format!("{call} outside a transaction; call begin_transaction() first"))
}

fn elsewhere(call: &str) -> Error {
    misuse(&format!(
        "{call} while another thread ends the transaction; let one thread begin and end transactions"
    ))
}

fn unresolved(call: &str) -> Error {
    misuse(&format!(
        "{call} while the commit has no outcome, and may have happened; call commit_transaction() again"
    ))
}

/// Transactions, as far as a test looks at them. The calls themselves are those of [`Producer`](crate::Producer).
///
/// A new mock has no transactions, and after `init_transactions` sending outside one is refused, as by a producer with a
/// `transactional.id`. A record that fails makes commit fail. An injected [`Timeout`](ErrorKind::Timeout) of
/// `commit_transaction` leaves the outcome open: only another commit is allowed, and it succeeds unless it fails too.
impl<K: ?Sized + 'static, V: ?Sized + 'static> MockProducer<K, V> {
    /// Begins a transaction; the first call initialises, as with the real producer.
    ///
    /// # Errors
    /// As `init_transactions` and `begin_transaction`.
    pub fn transaction(&self) -> Result<Transaction<'_, K, V>, Error>
    where
        K: ToOwned<Owned: Into<Box<K>>> + Send + Sync,
        V: ToOwned<Owned: Into<Box<V>>> + Send + Sync,
    {
        if !self.transactions_initialized() {
            self.init()?;
        }
        Transaction::begin(self)
    }

    /// Makes this producer one whose `transactional.id` another one took: every `send` and every call of transactions
    /// fails with [`Fenced`](ErrorKind::Fenced) from now on.
    pub fn fence_producer(&self) {
        self.state.lock().transactions.fenced = true;
    }

    /// Whether `init_transactions` has succeeded.
    pub fn transactions_initialized(&self) -> bool {
        self.state.lock().transactions.phase != Phase::Plain
    }

    /// Whether a transaction is open.
    pub fn transaction_in_flight(&self) -> bool {
        !matches!(self.state.lock().transactions.phase, Phase::Plain | Phase::Ready)
    }

    /// How many transactions were committed.
    pub fn commit_count(&self) -> u64 {
        self.state.lock().transactions.commits
    }

    /// How many transactions were aborted, by a call, a dropped guard or `close`.
    pub fn abort_count(&self) -> u64 {
        self.state.lock().transactions.aborts
    }

    /// Whether offsets were sent to any transaction.
    pub fn sent_offsets(&self) -> bool {
        self.state.lock().transactions.sent_offsets
    }

    /// The records of committed transactions, in order. [`sent`](Self::sent) has all that entered.
    pub fn committed(&self) -> Vec<ProducerRecord<'static, K, V>>
    where
        Box<K>: Clone,
        Box<V>: Clone,
    {
        let records = self.state.lock().transactions.committed.clone();
        records.iter().map(|record| (**record).clone()).collect()
    }

    /// The records of the open transaction, in order.
    pub fn uncommitted(&self) -> Vec<ProducerRecord<'static, K, V>>
    where
        Box<K>: Clone,
        Box<V>: Clone,
    {
        let records = self.state.lock().transactions.uncommitted.clone();
        records.iter().map(|record| (**record).clone()).collect()
    }

    /// The offsets of a group as committed transactions left them.
    pub fn committed_offsets(&self, group_id: &str) -> Offsets {
        let state = self.state.lock();
        let of_group =
            state.transactions.offsets_history.iter().filter_map(|by_group| by_group.get(group_id));
        of_group.flatten().map(|(tp, at)| (tp.clone(), at.clone())).collect()
    }

    /// The offsets that the open transaction has for a group.
    pub fn uncommitted_offsets(&self, group_id: &str) -> Offsets {
        self.state.lock().transactions.offsets.get(group_id).cloned().unwrap_or_default()
    }

    /// The offsets of each committed transaction that had some, by group.
    pub fn offsets_history(&self) -> Vec<Vec<(String, Offsets)>> {
        let state = self.state.lock();
        let plain =
            |by_group: &GroupOffsets| by_group.iter().map(|(g, o)| (g.to_string(), o.clone())).collect();
        state.transactions.offsets_history.iter().map(plain).collect()
    }

    pub(super) fn init(&self) -> Result<(), Error> {
        self.begin_call(Operation::InitTransactions)?;
        self.state.lock().transactions.init()
    }

    pub(super) fn begin(&self) -> Result<(), Error> {
        self.begin_call(Operation::BeginTransaction)?;
        self.state.lock().transactions.begin()
    }

    pub(super) fn add_offsets(&self, offsets: &Offsets, group: &ConsumerGroupMetadata) -> Result<(), Error> {
        self.begin_call(Operation::SendOffsets)?;
        group.check()?;
        offsets.check()?;
        self.state.lock().transactions.add_offsets(offsets, group)
    }

    pub(super) fn commit(&self) -> Result<(), Error> {
        self.begin_call(Operation::CommitTransaction)?;
        self.state.lock().transactions.start_ending("commit_transaction()", true)?;
        self.complete_all();
        self.state.lock().transactions.finish_commit()
    }

    pub(super) fn abort(&self) -> Result<(), Error> {
        self.begin_call(Operation::AbortTransaction)?;
        self.state.lock().transactions.start_ending("abort_transaction()", false)?;
        self.fail_pending(ErrorKind::TransactionAborted, "the transaction was aborted");
        self.state.lock().transactions.finish_abort();
        Ok(())
    }

    /// Unlike the real producer's this is over when it returns.
    pub(super) fn abort_dropped(&self) {
        let _ = self.begin_call(Operation::AbortTransaction);
        self.abort_open();
    }

    /// As `close` does, too.
    pub(super) fn abort_open(&self) {
        let ending = self.state.lock().transactions.start_ending("abort", false);
        if ending.is_ok() {
            self.fail_pending(ErrorKind::TransactionAborted, "the transaction was aborted");
            self.state.lock().transactions.finish_abort();
        }
    }

    fn begin_call(&self, operation: Operation) -> Result<(), Error> {
        self.call(operation).inspect_err(|error| self.state.lock().transactions.injected(operation, error))
    }
}
