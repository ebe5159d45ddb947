//! What may be sent while which transaction is open, and what it means for a transaction when a batch fails.

use std::time::Instant;

use super::state::State;
use super::{Protocol, Touched, Transactions};
use crate::clock;
use crate::engine::Engine;
use crate::engine::parcel::Identity;
use crate::error::{Error, ErrorKind};
use crate::protocol::ErrorCode;

/// Whether a partition may send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum May {
    Send,
    /// Not yet.
    Wait,
    /// No transaction is open, or it can only be aborted: what waits there is dropped.
    Drop,
}

impl Transactions {
    /// A batch gets an error for its outcome; returns the error as its records are to see it.
    pub(in crate::engine) fn batch_fails(&mut self, error: Error, records: u32) -> Error {
        match self.port.state() {
            State::Open | State::Committing | State::Abortable | State::Suspect if !self.ongoing.ending => {
                if hints_at_another_producer(&error) {
                    self.port.suspected(&error, u64::from(records));
                } else {
                    self.port.failed(&error, u64::from(records));
                }
                self.bump |= self.protocol == Protocol::V1;
                error.with_requires_abort(true)
            }
            _ => error,
        }
    }
}

/// Whether a partition's leader may refuse a batch so because another producer has the transactional id, of which leaders
/// are told less than coordinators.
fn hints_at_another_producer(error: &Error) -> bool {
    matches!(error.code(), Some(ErrorCode::INVALID_PRODUCER_EPOCH | ErrorCode::INVALID_TXN_STATE))
}

impl Engine {
    /// Whether a partition that has something to send may do so. To be asked after the look at its queue: whoever puts
    /// a record there has begun the transaction before.
    pub(in crate::engine) fn may_send(&mut self, number: u32) -> May {
        let Some(t) = self.transactions.as_deref_mut() else { return May::Send };
        match t.port.state() {
            State::Open | State::Committing if t.ongoing.ending => May::Wait,
            State::Open | State::Committing => {
                let member = t.ongoing.members.contains(&number);
                if !member && t.protocol == Protocol::V1 && !t.ongoing.unknown.contains(&number) {
                    t.ongoing.wanted.insert(number);
                }
                let waits = t.bump && t.ongoing.touched == Touched::No;
                let waits = waits || (t.protocol == Protocol::V2 && t.pace.holds(number));
                if waits || (!member && t.protocol == Protocol::V1) { May::Wait } else { May::Send }
            }
            // The producer fails as a whole.
            State::Fatal => May::Wait,
            State::Uninitialized
            | State::Initializing
            | State::Ready
            | State::Aborting
            | State::Abortable
            | State::Suspect => May::Drop,
        }
    }

    /// Lets go what waited for the end of the transaction before.
    pub(super) fn release_held(&mut self, now: Instant) {
        let Some(t) = self.transactions.as_deref_mut() else { return };
        for number in t.pace.release(now) {
            self.evaluate(number, now);
        }
    }

    /// A request with batches that was sent at `sent` is answered.
    pub(in crate::engine) fn pace_transactions(&mut self, sent: Instant, now: Instant) {
        if let Some(t) = self.transactions.as_deref_mut() {
            t.pace.answered(sent, now);
        }
    }

    /// A batch of this partition is about to be sent.
    pub(in crate::engine) fn sends_in_transaction(&mut self, number: u32) {
        if let Some(t) = self.transactions.as_deref_mut() {
            t.ongoing.members.insert(number);
            t.touch(Touched::Maybe);
        }
    }

    /// A broker has appended a batch: the coordinator knows of the transaction.
    pub(in crate::engine) fn sent_in_transaction(&mut self) {
        if let Some(t) = self.transactions.as_deref_mut() {
            t.touch(Touched::Yes);
        }
    }

    /// Puts the partition's lane under the producer's present epoch; `false` if it has to wait. Epochs come from the
    /// coordinator only: one of our own making would leave behind what the transaction has.
    pub(in crate::engine) fn ready_transactional_lane(&mut self, number: u32) -> bool {
        let Some(current) = self.identities.current() else { return false };
        let Some(partition) = self.partition(number) else { return false };
        if partition.lane.identity() == Some(current) {
            return !partition.lane.needs_identity();
        }
        if !partition.lane.is_quiet() || !partition.lane.retries().is_empty() {
            return false;
        }
        let new = partition.lane.identity().is_none();
        if new && self.identities.is_stale() {
            let message =
                "a partition that was forgotten came back within a transaction; it needs a new epoch";
            self.fail_transaction(&Error::new(ErrorKind::TransactionAborted, message));
            return false;
        }
        let Some(partition) = self.partition(number) else { return false };
        partition.lane.adopt(current);
        true
    }

    /// The coordinator gave the producer this identity.
    pub(super) fn take_identity(&mut self, given: Identity) {
        let old = self.identities.current();
        if old == Some(given) {
            return;
        }
        if old.is_some() {
            self.acc.metrics.epoch_bumps.increment();
        }
        self.identities.set(given);
        if let Some(t) = self.transactions.as_deref_mut() {
            t.bump = false;
        }
    }

    /// A batch gets an error for its outcome; returns the error as its records are to see it.
    pub(in crate::engine) fn batch_fails(&mut self, error: Error, records: u32) -> Error {
        match self.transactions.as_deref_mut() {
            Some(transactions) => transactions.batch_fails(error, records),
            None => error,
        }
    }

    /// A batch ended and nobody knows whether it is written: it may come late, and must not land in the next
    /// transaction (KAFKA-14053, KAFKA-17754). In version 2 the end of the transaction sees to that.
    pub(in crate::engine) fn batch_in_doubt(&mut self) {
        if let Some(t) = self.transactions.as_deref_mut() {
            t.bump |= t.protocol == Protocol::V1;
        }
    }

    /// The transaction can only be aborted; nobody is told before the sweep.
    pub(super) fn fail_transaction(&mut self, error: &Error) {
        let Some(t) = self.transactions.as_deref_mut() else { return };
        t.ongoing.ending = false;
        t.bump |= t.protocol == Protocol::V1;
        t.port.failed(error, 0);
        t.port.note_trouble(error.clone());
        self.sweep_transaction();
    }

    /// Offsets get as long as records do: a commit would wait for ever for some that no broker takes.
    pub(super) fn expire_offsets(&mut self, now: Instant) {
        let timeout = self.acc.delivery_timeout();
        let Some(t) = self.transactions.as_deref_mut() else { return };
        if !matches!(t.port.state(), State::Open | State::Committing) {
            return;
        }
        let expires = clock::deadline(now, timeout);
        let deadlines = t.ongoing.jobs.iter_mut().map(|job| *job.deadline.get_or_insert(expires));
        if deadlines.min().is_none_or(|deadline| deadline > now) {
            return;
        }
        let message = "no broker took the offsets within delivery.timeout.ms";
        let error = Error::new(ErrorKind::Timeout, message);
        let error = match t.port.trouble() {
            Some(trouble) => error.with_source(trouble),
            None => error,
        };
        self.fail_transaction(&error);
    }

    /// Batches that broke in the accumulator, as where a codec panics, never come to the engine.
    pub(super) fn notice_broken_batches(&mut self) {
        let broken = self.acc.broken_batches();
        let Some(t) = self.transactions.as_deref_mut() else { return };
        if std::mem::replace(&mut t.broken, broken) != broken {
            let message = "a batch could not be compressed; its records have the cause";
            self.fail_transaction(&Error::new(ErrorKind::Internal, message).with_fatal(false));
        }
    }

    /// Drops what will not be sent any more, as soon as that is clear: nobody needs to wait for it.
    pub(super) fn sweep_transaction(&mut self) {
        let Some(t) = self.transactions.as_deref_mut() else { return };
        let state = t.port.state();
        if !matches!(state, State::Abortable | State::Aborting | State::Suspect) || t.ongoing.swept {
            return;
        }
        t.ongoing.swept = true;
        t.ongoing.wanted.clear();
        t.ongoing.unknown.clear();
        let error = self.dropped_error();
        self.fail_everything(&error);
        let Some(t) = self.transactions.as_deref_mut() else { return };
        match state {
            // They wait for what the coordinator says; brokers are not asked any more.
            State::Suspect => t.ongoing.jobs.iter_mut().for_each(|job| job.deadline = None),
            State::Abortable => t.tell_failed(),
            _ => t.fail_jobs(&error),
        }
    }

    /// The coordinator still knows the producer that a partition's leader did not want: the transaction simply failed.
    pub(super) fn settle_suspicion(&mut self) {
        if let Some(t) = self.transactions.as_deref_mut() {
            log::debug!(target: "kafka_producer::engine", "no other producer took over: the transaction failed");
            t.port.settled();
            t.tell_failed();
        }
    }

    /// What waits in this partition is dropped.
    pub(in crate::engine) fn drop_unsent(&mut self, number: u32) {
        let error = self.dropped_error();
        self.fail_partition(number, &error);
    }

    fn dropped_error(&self) -> Error {
        let state = self.transactions.as_deref().map(|t| t.port.state());
        let cause = self.transactions.as_deref().and_then(|t| t.port.cause());
        let aborted = |text: &str| Error::new(ErrorKind::TransactionAborted, text);
        match (state, cause) {
            (Some(State::Abortable | State::Suspect), Some(cause)) => {
                aborted("not sent, since the transaction failed before and can only be aborted")
                    .with_source(cause)
                    .with_requires_abort(true)
            }
            (Some(State::Abortable | State::Suspect | State::Aborting), _) => {
                aborted("not sent, since the transaction was aborted")
            }
            _ => aborted("not sent, since no transaction is open any more"),
        }
    }
}
