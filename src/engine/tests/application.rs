//! A program that uses transactions: begins, sends, ends them in every way, gives up waiting and comes back. It knows
//! what it was told, and holds that against what readers of committed records see.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::dice::Dice;
use super::exactly_once::ID;
use super::oracle::Ledger;
use super::world::{World, ms};
use crate::engine::TransactionPort;
use crate::engine::transaction::{Call, TransactionState};
use crate::error::{Error, ErrorKind};
use crate::protocol::ApiKey;
use crate::sync::Arc;
use crate::transaction::{ConsumerGroupMetadata, Offsets};

pub(super) const GROUP: &str = "tellers";
/// The topic that the program's consumer reads.
const INPUT: &str = "orders";

/// What is known of a transaction's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    Committed,
    Aborted,
    /// All or nothing, but which of them was never told.
    Unknown,
}

#[derive(Debug)]
struct Transaction {
    records: Vec<usize>,
    /// The last offset that was handed over, and whether that was confirmed.
    offset: Option<(i64, bool)>,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Start,
    /// In a call, or back from one that timed out.
    Calling {
        call: Call,
        waits: bool,
    },
    Between,
    Open,
    MustAbort,
}

pub(super) struct Application {
    pub(super) ledger: Ledger,
    port: Arc<TransactionPort>,
    transactions: Vec<Transaction>,
    doing: Doing,
    next_offset: i64,
    job: Option<(u64, i64)>,
    fatal: Option<Error>,
    record: u64,
    /// InitProducerId requests before the first answer that said yes.
    asked_for_id: u64,
    places: u64,
}

impl Application {
    pub(super) fn new(world: &World, places: u64, record: u64) -> Self {
        Self {
            ledger: Ledger::default(),
            port: world.engine.transaction_port().expect("a transactional producer"),
            transactions: Vec::new(),
            doing: Doing::Start,
            next_offset: 1,
            job: None,
            fatal: None,
            record,
            asked_for_id: 0,
            places,
        }
    }

    pub(super) fn is_fatal(&self) -> bool {
        self.fatal.is_some()
    }

    /// A request for an id that was given up may be acted upon late, and fences whoever got the id meanwhile; so may one
    /// that was acted upon, but not answered, before the one that was. In version 1, what is added to a transaction
    /// after its end begins another one, in the middle of which the producer asks for its next epoch: coordinators take
    /// that for a second producer.
    pub(super) fn may_have_fenced_itself(&self, world: &World) -> bool {
        let count = |of: &HashMap<i16, u64>, api: ApiKey| of.get(&api.0).copied().unwrap_or(0);
        let late = [ApiKey::INIT_PRODUCER_ID, ApiKey::ADD_PARTITIONS_TO_TXN, ApiKey::ADD_OFFSETS_TO_TXN];
        let asked = count(&world.requests, ApiKey::INIT_PRODUCER_ID);
        late.iter().any(|api| count(&world.zombies, *api) > 0)
            || self.asked_for_id > 1
            || (self.asked_for_id == 0 && asked > 1)
    }

    fn current(&mut self) -> &mut Transaction {
        self.transactions.last_mut().expect("a transaction")
    }

    /// Does something that makes sense where the program stands, or waits.
    pub(super) fn step(
        &mut self,
        world: &mut World,
        dice: &mut Dice,
        topic: &str,
        partition: usize,
    ) -> Result<(), String> {
        self.notice_end(world)?;
        if self.is_fatal() {
            return Ok(());
        }
        match self.doing {
            Doing::Start => self.call(world, Call::Init),
            Doing::Calling { call, waits: true } if dice.one_in(12) => {
                let error = self.port.give_up(call);
                world.note(|_| format!("gives up: {error}"));
                if error.requires_abort() {
                    // Nothing is committed, whoever has the id now.
                    return self.failed(world, &error);
                }
                self.doing = Doing::Calling { call, waits: false };
                self.check_only_same_call(call)
            }
            Doing::Calling { waits: true, .. } => Ok(()),
            Doing::Calling { call, waits: false } if dice.one_in(2) => self.call(world, call),
            Doing::Calling { call, .. } => self.check_only_same_call(call),
            Doing::Between => self.begin(world),
            Doing::MustAbort if dice.one_in(4) => {
                self.drop_guard(world);
                Ok(())
            }
            Doing::MustAbort => self.call(world, Call::Abort),
            Doing::Open => self.use_transaction(world, dice, topic, partition),
        }
    }

    fn use_transaction(
        &mut self,
        world: &mut World,
        dice: &mut Dice,
        topic: &str,
        partition: usize,
    ) -> Result<(), String> {
        match dice.below(20) {
            0..=2 => self.call(world, Call::Commit),
            3 => self.call(world, Call::Abort),
            4 => {
                self.drop_guard(world);
                Ok(())
            }
            5 | 6 => self.send_offsets(world),
            7 => {
                world.acc.unfinished.flush();
                world.acc.signals.sweep();
                Ok(())
            }
            _ => {
                for _ in 0..dice.between(1, 8) {
                    let size = dice.below(self.record) as usize;
                    self.send(world, topic, partition, size)?;
                }
                Ok(())
            }
        }
    }

    fn begin(&mut self, world: &mut World) -> Result<(), String> {
        if self.port.state() == TransactionState::Aborting {
            // `begin` waits here.
            return Ok(());
        }
        match self.port.begin(Duration::ZERO) {
            Ok(()) => {}
            Err(error) if error.is_fatal() => {
                self.fatal = Some(error);
                return Ok(());
            }
            Err(error) => return Err(format!("cannot begin: {error}")),
        }
        world.note(|_| "begins".into());
        self.transactions.push(Transaction { records: Vec::new(), offset: None, fate: Fate::Open });
        self.doing = Doing::Open;
        Ok(())
    }

    fn send(&mut self, world: &mut World, topic: &str, partition: usize, size: usize) -> Result<(), String> {
        match self.port.check_send() {
            Ok(_) => {
                if let Some(at) = self.ledger.append(world, topic, partition, size) {
                    self.current().records.push(at);
                }
                Ok(())
            }
            Err(error) => self.failed(world, &error),
        }
    }

    fn send_offsets(&mut self, world: &mut World) -> Result<(), String> {
        let offset = self.next_offset;
        let offsets = Offsets::new().with(INPUT, 0, offset);
        match self.port.start_offsets(&offsets, &ConsumerGroupMetadata::new(GROUP)) {
            Ok(job) => {
                self.next_offset += 1;
                self.job = job.map(|id| (id, offset));
                self.current().offset = Some((offset, false));
                Ok(())
            }
            Err(error) => self.failed(world, &error),
        }
    }

    /// A call inside of a transaction said that it cannot go on.
    fn failed(&mut self, world: &mut World, error: &Error) -> Result<(), String> {
        world.note(|_| format!("is told: {error}"));
        if error.requires_abort() {
            self.doing = Doing::MustAbort;
            return Ok(());
        }
        if !error.is_fatal() {
            return Err(format!("neither abortable nor fatal: {error:?}"));
        }
        self.fatal = Some(error.clone());
        self.current().fate = Fate::Aborted;
        Ok(())
    }

    fn call(&mut self, world: &mut World, call: Call) -> Result<(), String> {
        world.note(|_| format!("calls {call:?}"));
        match self.port.start(call) {
            Ok(()) => {
                self.doing = Doing::Calling { call, waits: true };
                Ok(())
            }
            Err(error) => self.ended(world, call, Err(error)),
        }
    }

    fn drop_guard(&mut self, world: &mut World) {
        world.note(|_| "drops the transaction".into());
        self.port.request_abort();
        self.current().fate = Fate::Aborted;
        self.doing = Doing::Between;
    }

    /// After a timeout nothing else may be called.
    fn check_only_same_call(&mut self, call: Call) -> Result<(), String> {
        let mut others = vec![self.port.begin(Duration::ZERO)];
        if call != Call::Commit {
            others.push(self.port.start(Call::Commit));
        }
        if call != Call::Abort {
            others.push(self.port.start(Call::Abort));
        }
        let refused =
            |r: &Result<(), Error>| r.as_ref().is_err_and(|e| e.kind() == ErrorKind::Misuse || e.is_fatal());
        if others.iter().all(refused) { Ok(()) } else { Err(format!("after {call:?}: {others:?}")) }
    }

    /// Looks for the outcome of what is under way.
    fn notice_end(&mut self, world: &mut World) -> Result<(), String> {
        if let Some((id, offset)) = self.job {
            if let Some(outcome) = self.port.poll_offsets(id) {
                world.note(|_| format!("offset {offset}: {outcome:?}"));
                self.job = None;
                if outcome.is_ok() {
                    if let Some(last) = self.transactions.last_mut().and_then(|t| t.offset.as_mut()) {
                        last.1 |= last.0 == offset;
                    }
                }
            }
        }
        let Doing::Calling { call, waits: true } = self.doing else { return Ok(()) };
        match self.port.poll(call) {
            Some(outcome) => self.ended(world, call, outcome),
            None => Ok(()),
        }
    }

    fn ended(&mut self, world: &mut World, call: Call, outcome: Result<(), Error>) -> Result<(), String> {
        world.note(|_| format!("{call:?} ends: {outcome:?}"));
        match (call, outcome) {
            (Call::Init, Ok(())) => {
                self.doing = Doing::Between;
                let asked = world.requests.get(&ApiKey::INIT_PRODUCER_ID.0).copied();
                self.asked_for_id = asked.unwrap_or(0);
            }
            (Call::Commit, Ok(())) => {
                self.doing = Doing::Between;
                self.current().fate = Fate::Committed;
                let records = &self.transactions.last().expect("a transaction").records;
                if let Some(at) = records.iter().find(|at| !self.ledger.is_acked(**at)) {
                    return Err(format!("committed without {}", self.ledger.name(*at)));
                }
                let offset = self.current().offset;
                if offset.is_some_and(|(_, confirmed)| !confirmed) && self.job.is_some() {
                    return Err("committed while offsets were under way".into());
                }
            }
            (Call::Abort, Ok(())) => {
                self.doing = Doing::Between;
                self.current().fate = Fate::Aborted;
            }
            (Call::Commit, Err(error)) if error.requires_abort() => self.doing = Doing::MustAbort,
            (Call::Init, Err(error)) if !error.is_fatal() => self.doing = Doing::Start,
            (_, Err(error)) if error.is_fatal() => {
                self.fatal = Some(error);
                if let Some(last) = self.transactions.last_mut() {
                    last.fate = if call == Call::Commit { Fate::Unknown } else { Fate::Aborted };
                }
            }
            (call, Err(error)) => return Err(format!("{call:?} failed with {error:?}")),
        }
        Ok(())
    }

    // ---- the end ---------------------------------------------------------------------------

    /// Whether nothing is under way.
    pub(super) fn rests(&mut self, _world: &World) -> bool {
        let ended =
            self.is_fatal() || (self.doing == Doing::Between && self.port.state() == TransactionState::Ready);
        ended && self.ledger.pending() == 0
    }

    /// Ends whatever is open.
    pub(super) fn come_to_an_end(&mut self, world: &mut World) -> Result<(), String> {
        self.notice_end(world)?;
        if self.is_fatal() {
            return Ok(());
        }
        match self.doing {
            Doing::Start => self.call(world, Call::Init),
            Doing::Calling { call, waits: false } => self.call(world, call),
            Doing::Calling { .. } => Ok(()),
            Doing::Between if self.port.state() == TransactionState::Fatal => {
                let error = self.port.begin(Duration::ZERO).expect_err("fatal");
                self.fatal = Some(error);
                Ok(())
            }
            Doing::Between => Ok(()),
            Doing::Open => self.call(world, Call::Commit),
            Doing::MustAbort => self.call(world, Call::Abort),
        }
    }

    /// Every call of a producer that failed for good says so at once.
    pub(super) fn check_every_call_says_so(&self) -> Result<(), String> {
        let offsets = self.port.start_offsets(&Offsets::new(), &ConsumerGroupMetadata::new("g"));
        let calls = [
            self.port.check_send().map(|_| ()),
            self.port.begin(Duration::ZERO),
            self.port.start(Call::Commit),
            self.port.start(Call::Abort),
            self.port.start(Call::Init),
            offsets.map(|_| ()),
        ];
        match calls.iter().position(|c| !c.as_ref().is_err_and(Error::is_fatal)) {
            None => Ok(()),
            Some(n) => Err(format!("call {n} does not say that the producer is finished: {calls:?}")),
        }
    }

    /// A transaction with a record for every partition, committed; tried again where that was not possible.
    pub(super) fn whole_transaction(
        &mut self,
        world: &mut World,
        topics: &[&str],
        partitions: usize,
    ) -> Result<(), String> {
        for _ in 0..40 {
            let before = self.transactions.len();
            world.until(ms(20_000), |_| self.port.state() != TransactionState::Aborting);
            self.begin(world)?;
            for topic in topics {
                for partition in 0..partitions {
                    if self.doing == Doing::Open {
                        self.send(world, topic, partition, 5)?;
                    }
                }
            }
            if self.doing == Doing::Open {
                self.call(world, Call::Commit)?;
                let port = self.port.clone();
                let ends = [TransactionState::Committing, TransactionState::Suspect];
                let done = |_: &mut World| !ends.contains(&port.state());
                if !world.until(ms(20_000), done) {
                    return Err("a transaction that nothing disturbs is not committed in time".into());
                }
                self.notice_end(world)?;
            }
            if self.doing == Doing::MustAbort {
                self.drop_guard(world);
                continue;
            }
            if self.is_fatal() {
                return Err("fatal".into());
            }
            let done = self.transactions.get(before).is_some_and(|t| t.records.len() as u64 == self.places);
            if done {
                return Ok(());
            }
            // The metadata was not there yet.
            world.advance(ms(300));
        }
        Err("no whole transaction after many attempts".into())
    }

    /// What readers of committed records see against what the program was told.
    pub(super) fn audit(&self, world: &World) -> Result<(), String> {
        let seen = self.committed(world)?;
        let mut last_offset = None;
        for (n, transaction) in self.transactions.iter().enumerate() {
            let there = transaction.records.iter().filter(|at| seen.contains_key(at)).count();
            let all = transaction.records.len();
            let whole = there == all;
            let failed = |what: &str| {
                let records: Vec<String> =
                    transaction.records.iter().map(|at| self.ledger.name(*at)).collect();
                Err(format!("transaction {n}, {transaction:?}: {what}: {there} of {all}: {records:?}"))
            };
            match transaction.fate {
                Fate::Committed if !whole => return failed("NOT WHOLE"),
                Fate::Aborted if there > 0 => return failed("ABORTED AND SEEN"),
                Fate::Unknown if !whole && there > 0 => return failed("TORN"),
                Fate::Open => return failed("not ended"),
                _ => {}
            }
            let counts = transaction.fate == Fate::Committed
                || (transaction.fate == Fate::Unknown && whole && all > 0);
            match transaction.offset {
                Some((offset, _)) if counts => last_offset = Some((offset, offset)),
                // Offsets alone do not tell.
                Some((offset, _)) if transaction.fate == Fate::Unknown => {
                    last_offset = Some((last_offset.map_or(-1, |(low, _)| low), offset));
                }
                _ => {}
            }
        }
        let at = world.committed_offset(GROUP, INPUT).unwrap_or(-1);
        let (low, high) = last_offset.unwrap_or((-1, -1));
        if at == low || at == high {
            Ok(())
        } else {
            Err(format!("the group stands at {at} and not at {low} or {high}"))
        }
    }

    /// Committed records by their place in the ledger.
    fn committed(&self, world: &World) -> Result<BTreeMap<usize, i64>, String> {
        let mut seen = BTreeMap::new();
        for topic in world.cluster.topology.topics() {
            for (n, partition) in topic.partitions.iter().enumerate() {
                let (stable, end) = (partition.log.last_stable_offset(), partition.log.end_offset());
                if stable != end {
                    return Err(format!("{}-{n}: a transaction hangs at {stable} of {end}", topic.name));
                }
                let mut last = None;
                for record in partition.log.committed_records() {
                    let at = self.ledger.place(&record).ok_or("a record that nobody sent")?;
                    if seen.insert(at, record.offset).is_some() {
                        return Err(format!("DOUBLED: {}", self.ledger.name(at)));
                    }
                    if last.is_some_and(|last| last > at) {
                        return Err(format!("out of order: {}", self.ledger.name(at)));
                    }
                    last = Some(at);
                }
            }
        }
        Ok(seen)
    }
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct(ID)
            .field("doing", &self.doing)
            .field("port", &self.port)
            .field("fatal", &self.fatal)
            .field("transactions", &self.transactions.len())
            .field("last", &self.transactions.last())
            .finish_non_exhaustive()
    }
}
