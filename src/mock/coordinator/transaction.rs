//! One transactional id: who may use it, which partitions its transaction has, how it ends.
//!
//! A pure state machine: time and fresh producer ids are arguments, and the markers are somebody else's to write. Runs
//! under the lock of the cluster's state; takes none. Must not know logs, groups' offsets or requests. KIP-98, KIP-360
//! (epochs that rise on request), KIP-588 (fencing after a timeout), KIP-890 (an epoch for each transaction).
//!
//! | state | `init` | `enrol` | `end` | timeout |
//! |---|---|---|---|---|
//! | `Empty` | next epoch | `Ongoing` | refused; an abort of version 2: next epoch | - |
//! | `Ongoing` | fence, `PrepareAbort`, ask again | more | `Prepare..` | fence, `PrepareAbort` |
//! | `Prepare..` | ask again | ask again | ask again | - |
//! | `Complete..` | next epoch | `Ongoing` | the same: done before; the other: refused | - |

use crate::clock;
use crate::protocol::ErrorCode;
use crate::sync::Arc;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The highest epoch is the coordinator's, to fence the last producer with.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// Where the transaction of a transactional id stands, in Kafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransactionState {
    /// None has begun since the id was initialised.
    Empty,
    /// It has partitions or groups, and nobody has ended it.
    Ongoing,
    /// It will commit; markers are being written.
    PrepareCommit,
    /// It will abort; markers are being written.
    PrepareAbort,
    /// It has committed.
    CompleteCommit,
    /// It has aborted.
    CompleteAbort,
}

/// A partition, by its topic's name.
pub(crate) type Place = (Arc<str>, i32);

/// A producer id and its epoch.
pub(crate) type Identity = (i64, i16);

#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) state: TransactionState,
    pub(crate) timeout: Duration,
    /// Those without their marker yet.
    pub(crate) partitions: BTreeSet<Place>,
    pub(crate) groups: BTreeSet<Arc<str>>,
    /// Set while `Ongoing`.
    pub(crate) started: Option<Instant>,
    /// The epoch before the last rise, if its owner asked for that rise and may ask again.
    last_epoch: Option<i16>,
    /// The id before the last rotation.
    previous_id: Option<i64>,
    /// The id to go on with once the markers are written: the epochs of this one are used up.
    next_id: Option<i64>,
    /// Whether the last end raised the epoch, as version 2 does.
    raised: bool,
    /// While `Prepare..`: no marker before this.
    markers_due: Option<Instant>,
}

/// How a transaction is to be ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) commit: bool,
    /// Version 2: the epoch rises with it.
    pub(crate) raises: bool,
    /// No marker is written before this.
    pub(crate) markers_due: Instant,
}

impl Transaction {
    /// As the first `init` makes it.
    pub(crate) fn new((producer_id, epoch): Identity, timeout: Duration) -> Self {
        Self {
            producer_id,
            epoch,
            state: TransactionState::Empty,
            timeout,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
            started: None,
            last_epoch: None,
            previous_id: None,
            next_id: None,
            raised: false,
            markers_due: None,
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        (self.producer_id, self.epoch)
    }

    /// A producer initialises the id; `expected` is what it goes by so far, if it does. An open transaction is aborted
    /// first, and the producer has to ask again.
    pub(crate) fn init(
        &mut self,
        timeout: Duration,
        expected: Option<Identity>,
        abort: End,
        mut fresh_id: impl FnMut() -> i64,
    ) -> Result<Identity, ErrorCode> {
        self.check_settled()?;
        if expected.is_some_and(|e| !self.recognises(e)) {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        match self.state {
            TransactionState::Ongoing => {
                self.fence(abort, fresh_id);
                Err(ErrorCode::CONCURRENT_TRANSACTIONS)
            }
            _ => {
                self.rise(expected, &mut fresh_id)?;
                self.timeout = timeout;
                self.state = TransactionState::Empty;
                Ok(self.identity())
            }
        }
    }

    fn recognises(&self, (id, epoch): Identity) -> bool {
        id == self.producer_id || (self.previous_id == Some(id) && epoch >= LAST_EPOCH)
    }

    /// The next epoch, or the same again for a producer that did not hear of it.
    fn rise(
        &mut self,
        expected: Option<Identity>,
        fresh_id: &mut impl FnMut() -> i64,
    ) -> Result<(), ErrorCode> {
        let claimed = expected.map(|(_, epoch)| epoch);
        if self.epoch >= LAST_EPOCH && claimed.is_none_or(|epoch| epoch == self.epoch) {
            self.last_epoch = claimed;
            self.previous_id = Some(self.producer_id);
            (self.producer_id, self.epoch) = (fresh_id(), 0);
            return Ok(());
        }
        match claimed {
            Some(epoch) if epoch == self.epoch => self.last_epoch = Some(self.epoch),
            Some(epoch) if self.last_epoch == Some(epoch) => return Ok(()),
            Some(_) => return Err(ErrorCode::PRODUCER_FENCED),
            None => self.last_epoch = None,
        }
        self.epoch += 1;
        Ok(())
    }

    /// Partitions and groups become part of the transaction, which begins with the first of them.
    pub(crate) fn enrol(
        &mut self,
        producer: Identity,
        partitions: impl IntoIterator<Item = Place>,
        group: Option<Arc<str>>,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        self.check_settled()?;
        self.check_owner(producer)?;
        match self.state {
            TransactionState::Ongoing => {}
            _ => {
                self.state = TransactionState::Ongoing;
                self.started = Some(now);
                self.partitions.clear();
                self.groups.clear();
            }
        }
        self.partitions.extend(partitions);
        self.groups.extend(group);
        Ok(())
    }

    /// Whether the transaction has this partition already, as leaders ask who were not told.
    pub(crate) fn verify_partition(&self, producer: Identity, place: &Place) -> Result<(), ErrorCode> {
        self.verify(producer, |t| t.partitions.contains(place))
    }

    pub(crate) fn verify_group(&self, producer: Identity, group: &str) -> Result<(), ErrorCode> {
        self.verify(producer, |t| t.groups.contains(group))
    }

    fn verify(&self, producer: Identity, has: impl Fn(&Self) -> bool) -> Result<(), ErrorCode> {
        self.check_owner(producer)?;
        match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
                Err(ErrorCode::CONCURRENT_TRANSACTIONS)
            }
            TransactionState::Ongoing if has(self) => Ok(()),
            _ => Err(ErrorCode::TRANSACTION_ABORTABLE),
        }
    }

    /// Comes before the question of whose it is: where epochs ran out, the next producer id is in use already but not
    /// yet the transaction's.
    fn check_settled(&self) -> Result<(), ErrorCode> {
        match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
                Err(ErrorCode::CONCURRENT_TRANSACTIONS)
            }
            _ => Ok(()),
        }
    }

    fn check_owner(&self, (id, epoch): Identity) -> Result<(), ErrorCode> {
        if id != self.producer_id {
            Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING)
        } else if epoch != self.epoch {
            Err(ErrorCode::PRODUCER_FENCED)
        } else {
            Ok(())
        }
    }

    /// The producer ends its transaction. Success comes before the markers are written, and says what to go on with.
    pub(crate) fn end(
        &mut self,
        producer: Identity,
        end: End,
        fresh_id: impl FnMut() -> i64,
    ) -> Result<Identity, ErrorCode> {
        if end.raises {
            self.check_settled()?;
        }
        let again = end.raises && self.heard_before(producer);
        if !again {
            self.check_owner(producer)?;
        }
        self.check_settled()?;
        let current = self.identity();
        match self.state {
            TransactionState::Ongoing => Ok(self.prepare(end, fresh_id)),
            // Version 2: an abort of nothing raises the epoch all the same, against batches that may still come.
            TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort
                if end.raises && !again && !end.commit =>
            {
                Ok(self.prepare(end, fresh_id))
            }
            // Version 2: with an epoch for each transaction, the same epoch cannot mean the last one.
            TransactionState::CompleteCommit | TransactionState::CompleteAbort if end.raises && !again => {
                Err(ErrorCode::INVALID_TXN_STATE)
            }
            TransactionState::CompleteCommit if end.commit => Ok(current),
            TransactionState::CompleteAbort if !end.commit => Ok(current),
            _ => Err(ErrorCode::INVALID_TXN_STATE),
        }
    }

    /// Whether a producer ends once more the transaction whose end raised the epoch, since it missed the answer.
    fn heard_before(&self, (id, epoch): Identity) -> bool {
        let raised = id == self.producer_id && epoch.checked_add(1) == Some(self.epoch);
        let rotated = self.previous_id == Some(id) && epoch == LAST_EPOCH && self.epoch == 0;
        let ended = !matches!(self.state, TransactionState::Empty | TransactionState::Ongoing);
        self.raised && ended && (raised || rotated)
    }

    /// Time is up, or somebody else takes the id over: abort, so that the owner's epoch is no longer good.
    pub(crate) fn fence(&mut self, abort: End, fresh_id: impl FnMut() -> i64) {
        if abort.raises {
            self.prepare(abort, fresh_id);
            return;
        }
        self.epoch = self.epoch.saturating_add(1);
        self.last_epoch = None;
        self.prepare(abort, fresh_id);
    }

    fn prepare(&mut self, end: End, mut fresh_id: impl FnMut() -> i64) -> Identity {
        self.raised = end.raises;
        if end.raises {
            if self.epoch >= LAST_EPOCH {
                self.next_id = Some(fresh_id());
            }
            self.last_epoch = Some(self.epoch);
            self.epoch = self.epoch.saturating_add(1);
        }
        self.state =
            if end.commit { TransactionState::PrepareCommit } else { TransactionState::PrepareAbort };
        self.started = None;
        self.markers_due = Some(end.markers_due);
        self.next_id.map_or_else(|| self.identity(), |id| (id, 0))
    }

    /// Whether markers may be written now; then whether they commit.
    pub(crate) fn ends_with(&self, now: Instant) -> Option<bool> {
        if self.markers_due.is_none_or(|due| due > now) {
            return None;
        }
        match self.state {
            TransactionState::PrepareCommit => Some(true),
            TransactionState::PrepareAbort => Some(false),
            _ => None,
        }
    }

    /// Every marker is written.
    pub(crate) fn complete(&mut self) {
        self.state = match self.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            TransactionState::PrepareAbort => TransactionState::CompleteAbort,
            other => other,
        };
        self.partitions.clear();
        self.groups.clear();
        self.markers_due = None;
        if let Some(id) = self.next_id.take() {
            self.previous_id = Some(self.producer_id);
            (self.producer_id, self.epoch) = (id, 0);
        }
    }

    /// When the transaction is aborted unless its owner ends it first.
    pub(crate) fn expires(&self) -> Option<Instant> {
        self.started.map(|at| clock::deadline(at, self.timeout))
    }

    /// When something happens by itself.
    pub(crate) fn next_event(&self) -> Option<Instant> {
        self.expires().or(self.markers_due)
    }
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
