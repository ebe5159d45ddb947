//! The engine: what to send where, in which order, and what an answer means.
//!
//! A state machine without I/O, clock or thread, owned by value by the sender thread. It is driven by
//!
//! * events: `handle_connected`, `handle_connect_failed`, `handle_disconnected`, `handle_frame`, `handle_written`;
//! * [`Engine::run`], which looks at what application threads announced, at timers that are due, and at what can be
//!   sent; spurious calls do no harm;
//! * outputs: [`Engine::poll_action`] until it is empty, then [`Engine::poll_timeout`].
//!
//! `now` must never go back. It takes the accumulator's leaf locks, shortly, and never waits. It must not know sockets
//! or application types. One file per subject:
//!
//! ```text
//! node.rs      a broker's connection and requests     metadata.rs   when to ask, what is known
//! links.rs     connect, fail, time out                 refresh.rs    metadata requests and answers
//! partition.rs when a partition has something to send  lane.rs       sequences, order, gaps
//! drain.rs     which batches into which request        verdict.rs    what an answer means
//! answer.rs    carrying out verdicts                   split.rs      batches that are too large
//! silence.rs   brokers that stopped answering         stall.rs      brokers that take nothing more
//! transaction/ transactions and their coordinators
//! identity.rs  producer id and epoch                   backoff.rs    waits, randomness
//! flow.rs      how fast records come                   recycled.rs  lists that are used again
//! account.rs   metrics, events, times
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::time::{Duration, Instant};

mod account;
mod action;
mod answer;
mod backoff;
mod drain;
mod failure;
mod flow;
mod identity;
mod lane;
mod links;
mod metadata;
mod node;
mod parcel;
mod partition;
mod recycled;
mod refresh;
mod silence;
mod split;
mod stall;
mod transaction;
mod verdict;

#[cfg(test)]
mod tests;

pub(crate) use action::{Action, Address, ConnId, Frame, Peer};
pub(crate) use backoff::Backoff;
pub(crate) use links::SETUP_PATIENCE;
pub(crate) use metadata::MetadataSettings;
pub(crate) use transaction::{Features, TransactionPort, TransactionSettings};

use crate::accumulator::{Pending, RecordAccumulator};
use crate::clock;
use crate::error::Error;
use crate::sync::Arc;
use account::AnswerNotes;
use backoff::Rng;
use flow::Flow;
use identity::Identities;
use metadata::Metadata;
use node::{Node, NodeId};
use partition::{Partition, Timer};
use recycled::Recycled;
use transaction::Transactions;

/// What the engine is told; see the configuration keys of the same names.
#[derive(Clone, Debug)]
pub(crate) struct EngineSettings {
    pub(crate) client_id: String,
    pub(crate) bootstrap: Vec<Address>,
    /// As on the wire: 0, 1, or -1 for all.
    pub(crate) acks: i16,
    pub(crate) idempotent: bool,
    pub(crate) retries: u32,
    pub(crate) max_in_flight: usize,
    pub(crate) max_request_size: usize,
    pub(crate) request_timeout: Duration,
    pub(crate) connections_max_idle: Duration,
    pub(crate) retry_backoff: Backoff,
    pub(crate) reconnect_backoff: Backoff,
    /// For one address; doubles with each failure in a row, up to the second.
    pub(crate) setup_timeout: Backoff,
    pub(crate) metadata: MetadataSettings,
    pub(crate) allow_auto_create: bool,
    pub(crate) seed: u64,
    pub(crate) transactional: Option<TransactionSettings>,
}

/// How far closing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// No record enters; what is there is sent.
    Draining,
    /// Everything has its outcome.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Engine {
    settings: EngineSettings,
    acc: Arc<RecordAccumulator>,
    rng: Rng,
    actions: VecDeque<Action>,
    /// In order, as are topics: the same seed and events make the same run.
    nodes: BTreeMap<NodeId, Node>,
    /// Which node a live connection belongs to.
    conns: HashMap<ConnId, NodeId>,
    next_conn: u64,
    /// Which bootstrap address to try next.
    next_bootstrap: usize,
    metadata: Metadata,
    /// By the partition's number.
    partitions: Vec<Option<Box<Partition>>>,
    /// Partitions that no topic in use has any more; they go when no thread can put anything into them.
    forgotten: Vec<u32>,
    /// Partitions that were dropped, and why, where a batch is still being compressed.
    held: Vec<(u32, Error)>,
    timers: BTreeSet<Timer>,
    identities: Identities,
    transactions: Option<Box<Transactions>>,
    answer: AnswerNotes,
    /// Why nothing can be sent any more.
    fatal: Option<Error>,
    /// Why the last connection or metadata request failed; the cause of timeouts.
    last_trouble: Option<Error>,
    phase: Phase,
    pending: Pending,
    recycled: Recycled,
    next_idle_check: Option<Instant>,
    last_run: Option<Instant>,
    /// The last run in which application threads had told of batches.
    told_at: Option<Instant>,
    /// When somebody last waited for a record.
    hurried_at: Option<Instant>,
    flow: Flow,
}

/// For so long after somebody waited for a record, somebody may do so again.
const ATTENTIVE: Duration = Duration::from_millis(50);

impl Engine {
    pub(crate) fn new(settings: EngineSettings, acc: Arc<RecordAccumulator>) -> Self {
        let bootstrap = settings.bootstrap.iter().enumerate();
        let nodes = bootstrap.map(|(at, address)| {
            let id = bootstrap_id(at);
            (id, Node::new(id, address.clone()))
        });
        let mut rng = Rng::new(settings.seed);
        let next_bootstrap = (rng.next() as usize) % settings.bootstrap.len().max(1);
        Self {
            nodes: nodes.collect(),
            metadata: Metadata::new(settings.metadata),
            identities: Identities::new(settings.idempotent && settings.transactional.is_none()),
            transactions: (settings.transactional.clone())
                .map(|transactional| Box::new(Transactions::new(transactional, acc.clone()))),
            actions: VecDeque::new(),
            conns: HashMap::new(),
            next_conn: 0,
            next_bootstrap,
            partitions: Vec::new(),
            forgotten: Vec::new(),
            held: Vec::new(),
            timers: BTreeSet::new(),
            answer: AnswerNotes::default(),
            fatal: None,
            last_trouble: None,
            phase: Phase::Running,
            pending: Pending::default(),
            recycled: Recycled::default(),
            next_idle_check: None,
            last_run: None,
            told_at: None,
            hurried_at: None,
            flow: Flow::default(),
            rng,
            settings,
            acc,
        }
    }

    /// Looks at everything that could have changed and queues what is to be done.
    pub(crate) fn run(&mut self, now: Instant) {
        self.last_run = Some(now);
        self.take_signals(now);
        self.drop_held();
        self.run_timers(now);
        self.check_links(now);
        self.watch_silence(now);
        self.refresh_metadata(now);
        self.request_identity(now);
        self.run_transactions(now);
        self.drain(now);
        // Draining may have used up the epochs, or found partitions without a leader.
        self.request_identity(now);
        self.run_transactions(now);
        self.refresh_metadata(now);
        self.connect_where_wanted(now);
        self.publish_loads(now);
        self.finish_if_closed(now);
    }

    /// Takes back what carried a request, once that is written.
    pub(crate) fn recycle(&mut self, frame: Frame) {
        self.recycled.keep_frame(frame);
    }

    /// The node that follows `id` in order, or the first: a walk that may change what it walks over.
    fn node_after(&self, id: Option<NodeId>) -> Option<NodeId> {
        let from = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.nodes.range((from, Bound::Unbounded)).next().map(|(id, _)| *id)
    }

    /// The next thing to do, until `None`.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`run`](Self::run) again if nothing happens before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let timer = self.timers.first().map(Timer::at);
        let links = self.nodes.values().flat_map(|node| self.link_events(node)).flatten();
        let links = links.filter(|at| self.is_ahead(*at)).min();
        let transaction = self.transactions.as_ref().and_then(|t| t.next_due());
        let events = [timer, links, self.next_wish(), self.next_idle_check, self.next_look(), transaction];
        events.into_iter().flatten().filter(|at| self.is_ahead(*at)).min()
    }

    /// A batch that is begun wakes the sender for its linger, unless it wakes by itself within that. So it does while
    /// records come: batches that stand behind what cannot be sent yet have no timer, and each would wake it. Whoever
    /// waits for each record would, besides, wake it a second time, by asking not to linger.
    fn next_look(&self) -> Option<Instant> {
        let last = self.last_run?;
        let told = self.told_at == Some(last);
        let hurried = self.hurried_at.is_some_and(|at| last < at + ATTENTIVE);
        (told || hurried).then(|| clock::deadline(last, self.acc.linger()))
    }

    /// What was due at the last run was looked at then; it waits for an event, not for time.
    fn is_ahead(&self, at: Instant) -> bool {
        self.last_run.is_none_or(|last| at > last)
    }

    /// No record enters any more; sends what is there.
    pub(crate) fn begin_close(&mut self) {
        if self.phase == Phase::Running {
            self.phase = Phase::Draining;
            self.close_transactions();
        }
    }

    /// Whether everything has its outcome and the connections may be dropped.
    pub(crate) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    fn finish_if_closed(&mut self, now: Instant) {
        if self.phase != Phase::Draining {
            return;
        }
        let fails = self.transactions.as_ref().is_some_and(|t| t.is_abortable());
        if fails {
            // Since the last look.
            self.run_transactions(now);
        }
        let ending = self.transactions.as_ref().is_some_and(|t| t.is_ending());
        if self.acc.unfinished.is_empty() && !ending {
            self.phase = Phase::Closed;
        }
    }

    /// Why the last connection or metadata request failed.
    pub(crate) fn last_trouble(&self) -> Option<&Error> {
        self.last_trouble.as_ref()
    }

    /// Whether a broker has answered.
    pub(crate) fn has_metadata(&self) -> bool {
        self.metadata.has_succeeded()
    }

    fn take_signals(&mut self, now: Instant) {
        let mut pending = std::mem::take(&mut self.pending);
        self.acc.signals.take(&mut pending);
        if std::mem::take(&mut pending.transaction) {
            self.take_transaction_calls();
        }
        for topic in pending.topics.drain(..) {
            self.metadata.want(&topic, now);
        }
        if !pending.partitions.is_empty() {
            self.told_at = Some(now);
        }
        for entry in pending.partitions.drain(..) {
            entry.clear_notified();
            let number = self.partition_of(&entry);
            self.evaluate(number, now);
        }
        for number in pending.hurried.drain(..) {
            self.hurried_at = Some(now);
            if let Some(partition) = self.partition(number) {
                partition.hurried = true;
            }
            self.evaluate(number, now);
        }
        if std::mem::take(&mut pending.sweep) {
            for number in 0..self.partitions.len() {
                self.evaluate(number as u32, now);
            }
        }
        self.pending = pending;
    }
}

fn bootstrap_id(at: usize) -> NodeId {
    -1 - i32::try_from(at).unwrap_or(i32::MAX - 1)
}
