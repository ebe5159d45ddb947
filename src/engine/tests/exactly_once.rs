//! Thousands of random runs of transactions: commits, aborts and dropped guards over a network that breaks, coordinators
//! that move, answers that are lost before and after a broker acted, fencing, calls that time out. Each is made from its
//! seed alone, and judged by what a reader of committed records sees: all of a transaction or nothing, once, in order.
//!
//! ```text
//! cargo test --lib engine::tests::exactly_once                               500 seeds
//! KAFKA_PRODUCER_SIM_SEEDS=10000 cargo test --release --lib engine::tests::exactly_once
//! KAFKA_PRODUCER_SIM_SEED=4711 cargo test --lib engine::tests::exactly_once  one, with everything that happens
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::application::{Application, GROUP};
use super::dice::{Dice, growth};
use super::oracle::Promise;
use super::world::{Net, Setup, World, ms};
use crate::engine::TransactionSettings;
use crate::mock::{BrokerVersion, Fault, Key};
use crate::protocol::{ApiKey, ErrorCode};

const TOPICS: [&str; 2] = ["debits", "credits"];
pub(super) const ID: &str = "bank";

struct Sim {
    dice: Dice,
    world: World,
    app: Application,
    partitions: u64,
    brokers: i32,
    /// The coordinator gave the id to somebody else.
    fenced: bool,
    /// The producer may lose its id by its own doing: a transaction that took too long, or a request of its own that
    /// was acted upon late.
    may_lose_id: bool,
}

fn setup(seed: u64, dice: &mut Dice) -> Setup {
    let mut s = Setup::new(seed);
    s.brokers = dice.between(1, 4) as u16;
    let versions: Vec<BrokerVersion> =
        BrokerVersion::ALL.into_iter().filter(|v| *v != BrokerVersion::V2_1).collect();
    s.cluster.version = dice.pick(&versions);
    s.cluster.default_partitions = dice.between(1, 3) as i32;
    s.cluster.journal = 10;
    s.cluster.max_message_bytes = dice.pick(&[1 << 20, 1 << 20, 600]);
    s.cluster.marker_delay = ms(dice.pick(&[0, 0, 2, 30]));
    s.cluster.coordinator_load_time = ms(dice.pick(&[0, 20, 200]));
    if s.cluster.version.transaction_versions().is_some_and(|v| *v.end() >= 2) && dice.one_in(3) {
        s.cluster.transaction_version = Some(1);
    }
    let e = &mut s.engine;
    e.max_in_flight = dice.pick(&[1, 2, 5, 5]);
    e.retries = dice.pick(&[i32::MAX as u32, i32::MAX as u32, 3]);
    e.max_request_size = dice.pick(&[1 << 20, 2000]);
    e.request_timeout = ms(dice.pick(&[100, 300, 1000]));
    e.connections_max_idle = ms(dice.pick(&[500, 60_000]));
    e.metadata.max_age = ms(dice.pick(&[700, 300_000]));
    e.metadata.max_idle = ms(dice.pick(&[500, 300_000]));
    let timeout = ms(dice.pick(&[400, 3000, 60_000]));
    e.transactional = Some(TransactionSettings { id: ID.into(), timeout });
    s.acc.batch_size = dice.pick(&[1, 300, 1000, 4000]);
    s.acc.batch_max_size = growth(seed, s.acc.batch_size);
    s.acc.linger = ms(dice.pick(&[0, 0, 5, 30]));
    s.acc.buffer_memory = dice.pick(&[64 << 10, 1 << 20]);
    s.acc.delivery_timeout = ms(dice.pick(&[150, 400, 1500, 5000, 30_000]));
    s.net = dice.net();
    s
}

impl Sim {
    fn new(seed: u64, traced: bool) -> Self {
        let mut dice = Dice::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 99);
        let setup = setup(seed, &mut dice);
        let timeout = setup.engine.transactional.as_ref().map_or(Duration::ZERO, |t| t.timeout);
        let (partitions, brokers) = (setup.cluster.default_partitions as u64, i32::from(setup.brokers));
        let description = format!("{setup:?}");
        let mut world = World::new(setup);
        if dice.one_in(5) {
            world.cluster.set_next_producer(4000, dice.pick(&[i16::MAX - 1, i16::MAX - 2, i16::MAX - 5]));
        }
        if traced {
            world.trace = Some(vec![description]);
        }
        let record = dice.pick(&[10, 100]);
        let app = Application::new(&world, TOPICS.len() as u64 * partitions, record);
        Self { may_lose_id: timeout < ms(10_000), dice, world, app, partitions, brokers, fenced: false }
    }

    fn run(&mut self) -> Result<(), String> {
        let steps = self.dice.between(30, 200);
        let pace = self.dice.pick(&[2000, 20_000, 60_000]);
        for _ in 0..steps {
            self.use_it()?;
            if self.dice.one_in(5) {
                self.disturb();
            }
            let wait = Duration::from_micros(self.dice.below(pace));
            self.world.advance(wait);
        }
        self.heal();
        self.settle()?;
        if !self.app.is_fatal() {
            self.go_on()?;
        }
        self.finish()
    }

    fn use_it(&mut self) -> Result<(), String> {
        let place = self.dice.below(TOPICS.len() as u64 * self.partitions);
        let (topic, partition) = (TOPICS[(place / self.partitions) as usize], place % self.partitions);
        self.app.step(&mut self.world, &mut self.dice, topic, partition as usize)
    }

    // ---- what goes wrong ---------------------------------------------------------------

    fn disturb(&mut self) {
        let node = self.dice.between(1, self.brokers as u64) as i32;
        let topic = self.dice.pick(&TOPICS);
        let partition = self.dice.below(self.partitions) as i32;
        let now = self.world.now;
        match self.dice.below(16) {
            0 => self.world.stop_broker(node),
            1 | 2 => self.world.start_broker(node),
            3 => {
                let to = (!self.dice.one_in(5)).then_some(node);
                let moved = self.world.cluster.topology.set_leader(topic, partition, to);
                self.world.note(|_| format!("{topic}-{partition} is led by {to:?}: {moved:?}"));
            }
            4 | 5 => {
                let key = if self.dice.one_in(3) { Key::Group(GROUP) } else { Key::Transaction(ID) };
                let moved = self.world.move_coordinator(key, node);
                self.world.note(|_| format!("the coordinator of {key:?} moves to {node}: {moved:?}"));
            }
            6 => {
                let lost = self.dice.one_in(2);
                self.world.cut(node, lost);
            }
            7 if self.dice.one_in(25) => {
                // Where it says that another transaction is being ended, that of the producer is.
                let taken = self.world.cluster.fence_transaction(ID, now);
                self.fenced |= matches!(taken, Ok(_) | Err(ErrorCode::CONCURRENT_TRANSACTIONS));
                self.world.note(|_| "somebody takes the id over".into());
            }
            8 if self.dice.one_in(25) => {
                self.may_lose_id |= self.world.cluster.time_out_transaction(ID, now);
                self.world.note(|_| "the coordinator says that it took too long".into());
            }
            _ => {
                let fault = self.fault(topic, partition, node);
                self.world.note(|_| format!("{fault:?}"));
                self.world.cluster.faults.inject(fault);
            }
        }
    }

    fn fault(&mut self, topic: &str, partition: i32, node: i32) -> Fault {
        let api = self.dice.pick(&[
            ApiKey::PRODUCE,
            ApiKey::PRODUCE,
            ApiKey::PRODUCE,
            ApiKey::METADATA,
            ApiKey::FIND_COORDINATOR,
            ApiKey::INIT_PRODUCER_ID,
            ApiKey::ADD_PARTITIONS_TO_TXN,
            ApiKey::ADD_OFFSETS_TO_TXN,
            ApiKey::TXN_OFFSET_COMMIT,
            ApiKey::END_TXN,
            ApiKey::END_TXN,
        ]);
        let mut fault = Fault::on(api).times(self.dice.between(1, 3) as u32);
        if api == ApiKey::PRODUCE && self.dice.one_in(2) {
            fault = fault.topic(topic).partition(partition);
        }
        if self.dice.one_in(3) {
            fault = fault.node(node);
        }
        match self.dice.below(20) {
            0 => fault.drop_before(),
            1..=3 => fault.drop_after(),
            4 => fault.swallow_answer(),
            5 => fault.truncate_answer(self.dice.below(30) as usize),
            6 => fault.corrupt_answer(),
            7 => fault.wrong_correlation_id(),
            8 => fault.throttle(ms(self.dice.between(1, 300))),
            9 => fault.delay(ms(self.dice.between(1, 600))),
            10..=12 => fault.error_after(self.code_after(api)),
            _ => fault.error_before(self.code_before(api)),
        }
    }

    /// Codes that say nothing about whether the broker acted.
    fn code_after(&mut self, api: ApiKey) -> ErrorCode {
        match api {
            ApiKey::PRODUCE => self.dice.pick(&[
                ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
                ErrorCode::UNKNOWN_SERVER_ERROR,
                ErrorCode::REQUEST_TIMED_OUT,
                ErrorCode::NOT_LEADER_OR_FOLLOWER,
                ErrorCode::KAFKA_STORAGE_ERROR,
            ]),
            ApiKey::METADATA | ApiKey::FIND_COORDINATOR => self.code_before(api),
            _ => self.dice.pick(&[
                ErrorCode::UNKNOWN_SERVER_ERROR,
                ErrorCode::NOT_COORDINATOR,
                ErrorCode::COORDINATOR_NOT_AVAILABLE,
                ErrorCode::REQUEST_TIMED_OUT,
                ErrorCode(9999),
            ]),
        }
    }

    fn code_before(&mut self, api: ApiKey) -> ErrorCode {
        const COORDINATOR: [ErrorCode; 4] = [
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            ErrorCode::COORDINATOR_NOT_AVAILABLE,
            ErrorCode::NOT_COORDINATOR,
            ErrorCode::CONCURRENT_TRANSACTIONS,
        ];
        let own: &[ErrorCode] = match api {
            ApiKey::METADATA => &[ErrorCode::LEADER_NOT_AVAILABLE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION],
            ApiKey::FIND_COORDINATOR => &[ErrorCode::COORDINATOR_NOT_AVAILABLE],
            ApiKey::INIT_PRODUCER_ID => &COORDINATOR,
            ApiKey::ADD_PARTITIONS_TO_TXN => &[
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                ErrorCode::TOPIC_AUTHORIZATION_FAILED,
                ErrorCode::CONCURRENT_TRANSACTIONS,
                ErrorCode::TRANSACTION_ABORTABLE,
                ErrorCode::NOT_COORDINATOR,
            ],
            ApiKey::ADD_OFFSETS_TO_TXN => {
                &[ErrorCode::GROUP_AUTHORIZATION_FAILED, ErrorCode::CONCURRENT_TRANSACTIONS]
            }
            ApiKey::TXN_OFFSET_COMMIT => &[
                ErrorCode::ILLEGAL_GENERATION,
                ErrorCode::REQUEST_TIMED_OUT,
                ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ],
            ApiKey::END_TXN => &COORDINATOR,
            _ => &[
                ErrorCode::NOT_ENOUGH_REPLICAS,
                ErrorCode::NOT_LEADER_OR_FOLLOWER,
                ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
                ErrorCode::UNKNOWN_PRODUCER_ID,
                ErrorCode::MESSAGE_TOO_LARGE,
                ErrorCode::INVALID_RECORD,
                ErrorCode::INVALID_TXN_STATE,
                ErrorCode::TRANSACTION_ABORTABLE,
                ErrorCode::CONCURRENT_TRANSACTIONS,
                ErrorCode::TOPIC_AUTHORIZATION_FAILED,
                ErrorCode::REQUEST_TIMED_OUT,
            ],
        };
        self.dice.pick(own)
    }

    // ---- what must hold -------------------------------------------------------------------

    /// Whatever is broken is whole again.
    fn heal(&mut self) {
        let world = &mut self.world;
        world.note(|_| "all is well again".into());
        world.cluster.faults.clear();
        world.net = Net { zombies: world.net.zombies, ..Net::CALM };
        for node in 1..=self.brokers {
            world.start_broker(node);
        }
        for topic in TOPICS {
            for partition in 0..self.partitions as i32 {
                let known = world.cluster.topology.partition(topic, partition);
                if known.is_some_and(|p| p.leader.is_none()) {
                    let to = 1 + partition % self.brokers;
                    world.cluster.topology.set_leader(topic, partition, Some(to)).expect("alive");
                }
            }
        }
    }

    /// The call that is under way ends, and so does the transaction.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..2000 {
            if self.app.rests(&self.world) {
                return self.check_fatal();
            }
            self.app.come_to_an_end(&mut self.world)?;
            self.world.advance(ms(30));
        }
        Err(format!("stuck: {:?}", self.app))
    }

    /// A producer may only fail for good if it was fenced, or may have been.
    fn check_fatal(&self) -> Result<(), String> {
        let fatal = self.app.is_fatal();
        if fatal && !self.fenced && !self.may_lose_id && !self.app.may_have_fenced_itself(&self.world) {
            return Err(format!("nobody fenced it: {:?}", self.app));
        }
        if fatal { self.app.check_every_call_says_so() } else { Ok(()) }
    }

    /// One transaction after another, without delay.
    fn go_on(&mut self) -> Result<(), String> {
        for _ in 0..3 {
            match self.app.whole_transaction(&mut self.world, &TOPICS, self.partitions as usize) {
                Err(_) if self.app.is_fatal() => return self.check_fatal(),
                other => other?,
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        self.world.acc.close();
        self.world.engine.begin_close();
        let closed = self.world.until(ms(5000), |w| w.engine.is_closed());
        if !closed {
            return Err("does not close".into());
        }
        // What is on its way arrives, and what nobody ended times out.
        self.world.advance(ms(70_000));
        let now = self.world.now;
        self.world.cluster.advance(now);
        let violations = self.world.cluster.violations();
        if !violations.is_empty() {
            return Err(format!("the cluster objects: {violations:?}"));
        }
        let promise = Promise { idempotent: true, acks: -1, ordered: true, ghosts: false };
        self.app.ledger.audit(&self.world, promise)?;
        self.app.audit(&self.world)
    }
}

/// Runs a seed; what went wrong, and what happened if that is wanted.
fn run(seed: u64, traced: bool) -> (Result<(), String>, Vec<String>) {
    let mut sim = Sim::new(seed, traced);
    let result = catch_unwind(AssertUnwindSafe(|| sim.run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default())
    });
    let trace = sim.world.trace.take().unwrap_or_default();
    (result, trace)
}

#[test]
fn a_reader_of_committed_records_sees_whole_transactions() {
    super::dice::run_seeds("exactly_once", 500, run);
}
