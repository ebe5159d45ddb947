//! Transactions: the state machine, the coordinators, and what the sender thread does for both.
//!
//! Runs on the sender thread, but for the calls of [`TransactionPort`]. One file per subject:
//!
//! ```text
//! state.rs   the states and the table of moves    port.rs         where application threads meet the engine
//! plan.rs    what comes next                      coordinator.rs  which broker to ask, and reaching it
//! rules.rs   what an error code means             requests.rs     asking
//! members.rs what may be sent, what failed        answers.rs      carrying answers out
//! pace.rs    how soon the next one begins
//! ```
//!
//! Two protocols. In version 1 the coordinator is told of each partition and group before anything goes there. In
//! version 2 (KIP-890) the brokers tell it themselves, and each end of a transaction gives the producer a new epoch. Which
//! one holds is decided while no transaction is open.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

mod answers;
mod coordinator;
mod members;
mod pace;
mod plan;
mod port;
mod requests;
mod rules;
mod state;

pub(crate) use coordinator::Features;
#[cfg(test)]
pub(crate) use port::Call;
pub(crate) use port::TransactionPort;
#[cfg(test)]
pub(crate) use state::State as TransactionState;

pub(super) use answers::soon;
pub(super) use members::May;
pub(super) use requests::Errand;

use super::{Engine, Phase};
use crate::accumulator::RecordAccumulator;
use crate::error::{Error, ErrorKind};
use crate::sync::Arc;
use coordinator::{Coordinator, GroupCoordinator};
use pace::Pace;
use plan::{Facts, Offsets, Step, plan};
use port::OffsetsJob;
use rules::Ask;
use state::State;

/// What a transactional producer is told; see `transactional.id` and `transaction.timeout.ms`.
#[derive(Clone, Debug)]
pub(crate) struct TransactionSettings {
    pub(crate) id: String,
    pub(crate) timeout: Duration,
}

/// `transaction.version`: how producer and brokers speak about transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The producer tells the coordinator what is part of a transaction.
    V1,
    /// The brokers tell it (KIP-890).
    V2,
}

/// The sender thread's side of a transactional producer.
#[derive(Debug)]
pub(crate) struct Transactions {
    settings: TransactionSettings,
    pub(super) port: Arc<TransactionPort>,
    protocol: Protocol,
    features: Features,
    coordinator: Coordinator,
    group: GroupCoordinator,
    /// Questions to the transaction's coordinator, and to the group's: neither keeps the other back.
    line: Line,
    group_line: Line,
    pace: Pace,
    ongoing: Ongoing,
    /// A new epoch is needed before the next transaction: what is in doubt must not land in it.
    bump: bool,
    /// Batches that broke before the sender had them, as far as is known here.
    broken: u64,
}

/// Questions to one coordinator, one at a time.
#[derive(Debug, Default)]
struct Line {
    /// One is under way.
    asking: bool,
    /// Failures in a row.
    failures: u32,
    not_before: Option<Instant>,
}

impl Line {
    fn is_free(&self, now: Instant) -> bool {
        !self.asking && self.not_before.is_none_or(|at| at <= now)
    }

    fn next_due(&self) -> Option<Instant> {
        self.not_before.filter(|_| !self.asking)
    }
}

/// What is true of one transaction, from one end to the next.
#[derive(Debug, Default)]
struct Ongoing {
    /// Partitions, by number, that may get batches.
    members: BTreeSet<u32>,
    /// Partitions that have something to send and are no members yet.
    wanted: BTreeSet<u32>,
    /// Wanted partitions that brokers do not know; asked for apart from the others, not before that time.
    unknown: BTreeSet<u32>,
    unknown_until: Option<Instant>,
    groups: BTreeSet<String>,
    jobs: VecDeque<OffsetsJob>,
    touched: Touched,
    /// The coordinator was told to end it.
    ending: bool,
    /// An attempt to commit it has no answer that says what came of it.
    in_doubt: bool,
    /// A request to add something to it has no answer, and may be acted upon late.
    adds_late: bool,
    /// The coordinator has aborted it.
    ended: bool,
    /// What could not be sent any more was dropped.
    swept: bool,
}

/// Whether a coordinator knows of the transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Touched {
    #[default]
    No,
    /// It was told, or a broker was, and nobody knows what came of it.
    Maybe,
    Yes,
}

impl Transactions {
    pub(super) fn new(settings: TransactionSettings, acc: Arc<RecordAccumulator>) -> Self {
        Self {
            settings,
            port: TransactionPort::new(acc),
            protocol: Protocol::V1,
            features: Features::default(),
            coordinator: Coordinator::default(),
            group: GroupCoordinator::default(),
            line: Line::default(),
            group_line: Line::default(),
            pace: Pace::default(),
            ongoing: Ongoing::default(),
            bump: false,
            broken: 0,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.settings.id
    }

    /// Newer produce requests would add partitions by themselves, which version 1 must not do.
    pub(super) fn max_produce_version(&self) -> i16 {
        match self.protocol {
            Protocol::V1 => 11,
            Protocol::V2 => i16::MAX,
        }
    }

    /// Partitions of the open transaction.
    pub(super) fn members(&self) -> &BTreeSet<u32> {
        &self.ongoing.members
    }

    /// The line in which this is asked.
    fn line(&mut self, ask: Ask) -> &mut Line {
        if matches!(ask, Ask::CommitOffsets | Ask::FindGroup) { &mut self.group_line } else { &mut self.line }
    }

    /// Whether this may be asked now. What is not part of a transaction must not overtake what is.
    fn may_ask(&mut self, ask: Ask, now: Instant) -> bool {
        let beside = matches!(ask, Ask::AddPartitions | Ask::AddOffsets | Ask::CommitOffsets);
        let alone = beside || !(self.line.asking || self.group_line.asking);
        alone && self.line(ask).is_free(now)
    }

    fn touch(&mut self, touched: Touched) {
        self.ongoing.touched = self.ongoing.touched.max(touched);
    }

    fn offsets(&self) -> Offsets {
        match self.ongoing.jobs.front() {
            None => Offsets::None,
            Some(job) if self.ongoing.groups.contains(job.group.group_id()) => Offsets::KnownGroup,
            Some(_) => Offsets::NewGroup,
        }
    }

    /// Fails offsets that will not be committed, those not looked at yet too. To be called when none can be added.
    fn fail_jobs(&mut self, error: &Error) {
        self.port.take_jobs(&mut self.ongoing.jobs);
        for job in self.ongoing.jobs.drain(..) {
            self.port.job_done(job.id, Err(error.clone()));
        }
    }

    /// Tells whoever waits that the transaction can only be aborted; those that wait for offsets what went wrong, since it
    /// may be the offsets. None are added any more.
    fn tell_failed(&mut self) {
        if let Some(cause) = self.port.cause() {
            self.fail_jobs(&cause.with_requires_abort(true));
        }
        self.port.tell_failed();
    }

    /// Whether a transaction is being ended, or is about to be, which a close waits for.
    pub(super) fn is_ending(&self) -> bool {
        let state = self.port.state();
        matches!(state, State::Committing | State::Aborting | State::Suspect) || self.is_abortable()
    }

    /// Whether it may be committed, whatever keeps the producer from learning it.
    pub(super) fn commit_in_doubt(&self) -> bool {
        self.ongoing.in_doubt && self.port.state() == State::Committing
    }

    /// Whether the transaction failed and nothing has asked for its abort yet.
    pub(super) fn is_abortable(&self) -> bool {
        self.port.state() == State::Abortable
    }

    /// When something is due that no event will bring.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let unknown = self.ongoing.unknown_until.filter(|_| !self.ongoing.unknown.is_empty());
        let lines = [self.line.next_due(), self.group_line.next_due()];
        let job = self.ongoing.jobs.front().and_then(|job| job.deadline);
        lines.into_iter().chain([unknown, self.pace.next_due(), job]).flatten().min()
    }
}

impl Ongoing {
    /// Whether it is time to ask for what brokers did not know.
    fn asks_again(&self, now: Instant) -> bool {
        !self.unknown.is_empty() && self.unknown_until.is_none_or(|at| at <= now)
    }
}

/// Whoever waits for a call must not wait for an engine that is gone.
impl Drop for Transactions {
    fn drop(&mut self) {
        self.port.stop(&Error::new(ErrorKind::Closed, "the producer was closed while the call waited"));
    }
}

impl Engine {
    /// Where the calls of a transactional producer go; `None` without `transactional.id`.
    pub(crate) fn transaction_port(&self) -> Option<Arc<TransactionPort>> {
        self.transactions.as_ref().map(|t| t.port.clone())
    }

    /// Takes over what application threads want of the transaction.
    pub(super) fn take_transaction_calls(&mut self) {
        if let Some(t) = self.transactions.as_deref_mut() {
            t.port.runs_here();
            t.port.take_jobs(&mut t.ongoing.jobs);
        }
    }

    /// Does what is due for the transaction.
    pub(super) fn run_transactions(&mut self, now: Instant) {
        self.notice_broken_batches();
        self.sweep_transaction();
        if self.phase == Phase::Draining {
            // A commit that the close found under way may have failed since: nobody else would abort it.
            self.close_transactions();
        }
        self.release_held(now);
        self.expire_offsets(now);
        loop {
            let Some(facts) = self.transaction_facts(now) else { return };
            let Some(t) = self.transactions.as_deref_mut() else { return };
            match plan(&facts) {
                Step::Finish if !t.line.asking && !t.group_line.asking => self.transaction_ended(),
                Step::Settle if !t.line.asking && !t.group_line.asking => self.settle_suspicion(),
                Step::Ask(ask) if t.may_ask(ask, now) => return self.ask_coordinator(ask, now),
                Step::Rest | Step::Finish | Step::Settle | Step::Ask(_) => return,
            }
        }
    }

    fn transaction_facts(&mut self, now: Instant) -> Option<Facts> {
        let stale = self.identities.is_stale();
        self.transactions.as_deref_mut()?.bump |= stale;
        let t = self.transactions.as_deref_mut()?;
        let ends = matches!(t.port.state(), State::Committing | State::Aborting);
        let suspects = t.port.state() == State::Suspect;
        if ends {
            // Offsets that were handed over before the end was asked for: none come after it.
            t.port.take_jobs(&mut t.ongoing.jobs);
            self.sweep_transaction();
        }
        let quiet = (ends || suspects) && self.is_quiet();
        // After the look at what is unfinished: application threads close batches too, and what fails there is counted
        // before it is finished.
        self.notice_broken_batches();
        let t = self.transactions.as_deref()?;
        Some(Facts {
            state: t.port.state(),
            protocol: t.protocol,
            bump: t.bump,
            touched: t.ongoing.touched != Touched::No,
            ended: t.ongoing.ended,
            wanted: !t.ongoing.wanted.is_empty() || t.ongoing.asks_again(now),
            offsets: t.offsets(),
            quiet,
        })
    }

    /// Whether every batch has its outcome and every answer is there.
    fn is_quiet(&self) -> bool {
        self.acc.unfinished.is_empty() && !self.nodes.values().any(|node| node.awaits_batches())
    }

    /// The transaction has ended as was asked, or there was nothing to end.
    fn transaction_ended(&mut self) {
        if !self.acc.unfinished.is_empty() {
            // A thread was in `send` while another one ended the transaction.
            let message = "the transaction ended while the record was handed over; it was not sent";
            self.fail_everything(&Error::new(ErrorKind::TransactionAborted, message));
        }
        let features = self.coordinator_features();
        let Some(t) = self.transactions.as_deref_mut() else { return };
        t.fail_jobs(&Error::new(
            ErrorKind::TransactionAborted,
            "the transaction ended before the offsets were sent",
        ));
        t.ongoing = Ongoing::default();
        t.choose_protocol(features);
        t.port.ended();
        // Calls that came in the meantime are looked at now.
        self.take_transaction_calls();
    }

    /// The producer closes: an open transaction is aborted.
    pub(super) fn close_transactions(&mut self) {
        if let Some(t) = &self.transactions {
            t.port.close();
        }
    }
}
