//! The words in which stories are told: one topic `t`, led by brokers in turn, a batch for each record.

use std::time::Duration;

use super::oracle::{Ledger, Promise};
use super::world::{Setup, World, ms};
use crate::error::Error;
use crate::metrics::MetricsSnapshot;
use crate::mock::{Fault, ProducedBatch, RequestBody};
use crate::protocol::{ApiKey, ErrorCode};

pub(super) struct Story {
    pub(super) world: World,
    pub(super) ledger: Ledger,
    promise: Promise,
}

impl Story {
    /// `t` has three partitions, of the brokers 1, 2 and 3, and the producer knows it.
    pub(super) fn new(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::new(1);
        setup.cluster.default_partitions = 3;
        setup.acc.batch_size = 1;
        setup.acc.linger = Duration::ZERO;
        change(&mut setup);
        let promise = Promise {
            idempotent: setup.engine.idempotent,
            acks: setup.engine.acks,
            ordered: setup.engine.idempotent || setup.engine.max_in_flight == 1,
            ghosts: !setup.engine.idempotent,
        };
        let mut world = World::new(setup);
        let replication = world.cluster.default_replication();
        world.cluster.topology.create_topic("t", 3, replication).unwrap();
        let mut story = Self { world, ledger: Ledger::default(), promise };
        assert!(story.ledger.append(&mut story.world, "t", 0, 0).is_none(), "not known yet");
        story.pass(ms(150));
        story
    }

    /// As `new`, after a first record to each partition was acknowledged.
    pub(super) fn going(change: impl FnOnce(&mut Setup)) -> Self {
        let mut story = Self::new(change);
        for partition in 0..3 {
            story.send(partition);
        }
        story.all_done(ms(1000));
        story
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.world.advance(time);
    }

    pub(super) fn send(&mut self, partition: usize) -> usize {
        self.send_sized(partition, 10)
    }

    pub(super) fn send_sized(&mut self, partition: usize, size: usize) -> usize {
        self.ledger.append(&mut self.world, "t", partition, size).expect("it enters")
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.world.cluster.faults.inject(fault);
    }

    /// The producer asks for metadata and gets it.
    pub(super) fn refresh(&mut self) {
        self.world.engine.metadata.invalidate(self.world.now);
        self.world.turn();
        self.pass(ms(150));
    }

    pub(super) fn lead(&mut self, partition: i32, node: Option<i32>) {
        self.world.cluster.topology.set_leader("t", partition, node).unwrap();
    }

    /// Everything sent has its outcome within that time.
    #[track_caller]
    pub(super) fn all_done(&mut self, within: Duration) {
        let ledger = &mut self.ledger;
        let done = self.world.until(within, |_| ledger.pending() == 0);
        assert!(done, "{} records have no outcome after {within:?}", ledger.pending());
    }

    /// Everything sent is acknowledged within that time.
    #[track_caller]
    pub(super) fn all_acked(&mut self, within: Duration) {
        self.all_done(within);
        for at in 0..self.ledger.entered.len() {
            let outcome = self.ledger.entered[at].handle.try_get();
            assert!(matches!(outcome, Some(Ok(_))), "record {at}: {outcome:?}");
        }
    }

    #[track_caller]
    pub(super) fn error(&self, at: usize) -> Error {
        self.ledger.entered[at].handle.try_get().expect("an outcome").expect_err("a failure")
    }

    pub(super) fn is_open(&self, at: usize) -> bool {
        !self.ledger.entered[at].handle.is_done()
    }

    pub(super) fn is_acked(&self, at: usize) -> bool {
        self.ledger.is_acked(at)
    }

    pub(super) fn metrics(&self) -> MetricsSnapshot {
        self.world.acc.metrics_snapshot()
    }

    pub(super) fn requests(&self, api: ApiKey) -> u64 {
        self.world.requests.get(&api.0).copied().unwrap_or(0)
    }

    /// What was sent to `t-partition`, in order.
    pub(super) fn batches(&self, partition: i32) -> Vec<ProducedBatch> {
        let requests = self.world.cluster.journal.of(ApiKey::PRODUCE).into_iter();
        let batches = requests.flat_map(|r| match r.body {
            RequestBody::Produce { batches, .. } => batches,
            _ => Vec::new(),
        });
        batches.filter(|b| b.topic == "t" && b.partition == partition).collect()
    }

    /// How many records `t-partition` holds.
    pub(super) fn written(&self, partition: i32) -> usize {
        self.world.cluster.topology.partition("t", partition).map_or(0, |p| p.log.records().len())
    }

    /// The logs agree with what was reported, and nothing holds memory.
    #[track_caller]
    pub(super) fn audit(mut self) {
        self.pass(ms(5000));
        assert!(self.world.acc.unfinished.is_empty());
        let metrics = self.metrics();
        assert_eq!(metrics.buffer_available_bytes, metrics.buffer_total_bytes, "memory is missing");
        assert_eq!(self.world.cluster.violations(), Vec::<String>::new());
        self.ledger.audit(&self.world, self.promise).unwrap();
    }
}

/// A produce request to partition 0.
pub(super) fn produce() -> Fault {
    Fault::on(ApiKey::PRODUCE).topic("t").partition(0)
}

pub(super) const NO_REPLICAS: ErrorCode = ErrorCode::NOT_ENOUGH_REPLICAS;
