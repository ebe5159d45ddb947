//! The accumulator without and with threads; a small stand-in for the sender.

mod appending;
mod growing;
mod lifecycle;
#[cfg(shuttle)]
mod models;
mod sealing;
mod stress;

use super::*;
use crate::clock::now;
use crate::delivery::{DeliveryFuture, RecordFacts};
use crate::protocol::record::decode::RecordBatchView;
use crate::protocol::record::{BatchAttributes, BatchHeader, CompressionType, RecordBody, TimestampType};

const LONG: Duration = Duration::from_secs(3600);

pub(super) fn settings() -> Settings {
    Settings {
        batch_size: 1024,
        batch_max_size: 1024,
        linger: LONG,
        buffer_memory: 1 << 20,
        broker_share: 0.5,
        delivery_timeout: LONG,
        compression: Compression::default(),
        adaptive: true,
    }
}

fn infos(leaders: &[Option<i32>]) -> Vec<PartitionInfo> {
    let info = |(at, leader): (usize, &Option<i32>)| PartitionInfo {
        partition: at as i32,
        leader: *leader,
        replicas: Vec::new(),
        in_sync_replicas: Vec::new(),
    };
    leaders.iter().enumerate().map(info).collect()
}

/// An accumulator with one topic, `t`.
pub(super) struct Rig {
    pub(super) acc: Arc<RecordAccumulator>,
    topic: Arc<TopicEntry>,
    pub(super) partitions: Vec<Arc<PartitionEntry>>,
}

impl Rig {
    fn new(settings: Settings, leaders: &[Option<i32>]) -> Self {
        let acc = RecordAccumulator::new(settings, Arc::new(Metrics::default()));
        assert!(matches!(acc.lease("t", Wait::Never), Err(NoTopic::Timeout(None))));
        let mut pending = Pending::default();
        acc.signals.take(&mut pending);
        let topic = pending.topics.pop().expect("the sender is told of a new topic");
        let partitions = acc.publish_topic(&topic, infos(leaders)).partitions.clone();
        Self { acc, topic, partitions }
    }

    pub(super) fn one(settings: Settings) -> Self {
        Self::new(settings, &[Some(1)])
    }

    fn append(&self, target: Target, value: &[u8], wait: Wait<'_>) -> Result<DeliveryFuture, Error> {
        append(&self.acc, target, value, wait)
    }

    /// Into partition 0, without waiting.
    fn put(&self, len: usize) -> DeliveryFuture {
        self.append(Target::Partition(0), &vec![7; len], Wait::Never).unwrap()
    }

    fn peek(&self) -> Peek {
        self.acc.peek(&self.partitions[0], now())
    }

    fn notified(&self) -> usize {
        let mut pending = Pending::default();
        self.acc.signals.take(&mut pending);
        pending.partitions.iter().for_each(|p| p.clear_notified());
        pending.partitions.len()
    }

    fn take(&self) -> Option<Batch> {
        self.acc.take(&self.partitions[0])
    }

    fn succeed(&self, partition: usize, batch: &Batch) {
        assert!(self.acc.complete(&self.partitions[partition], batch, delivered(0)));
    }

    fn finish(&self) {
        for (at, entry) in self.partitions.iter().enumerate() {
            while let Some(batch) = self.acc.take(entry) {
                self.succeed(at, &batch);
            }
        }
    }

    /// Nothing is held and nothing is owed.
    fn assert_clean(&self) {
        assert_eq!(self.acc.pool.available(), self.acc.pool.total());
        assert!(self.acc.unfinished.is_empty());
        assert_eq!(self.acc.pending_records(), 0);
        assert_eq!(self.acc.pool.waiting(), 0);
        assert!(self.acc.pool.pace.is_idle());
        assert_eq!(self.acc.pressure.load(Ordering::SeqCst), 0);
        assert!(self.partitions.iter().all(|p| p.backlog() == 0));
    }
}

fn facts() -> RecordFacts {
    RecordFacts::new(1_000, None, None)
}

fn append(
    acc: &RecordAccumulator,
    target: Target,
    value: &[u8],
    wait: Wait<'_>,
) -> Result<DeliveryFuture, Error> {
    let lease = acc.lease("t", wait).map_err(|_| closed_error())?;
    let record = RecordBody::without_headers(None, Some(value));
    let result = acc.append_either_way(&lease, target, &record, facts(), wait);
    lease.give_back();
    result
}

fn delivered(base: i64) -> Outcome {
    Outcome::Delivered { base_offset: Some(base), log_append_time: None }
}

fn soon() -> Wait<'static> {
    Wait::Until(now() + Duration::from_secs(20))
}

/// The values in a batch, checked as a broker would.
fn values(batch: &Batch) -> Vec<Vec<u8>> {
    let header = BatchHeader {
        base_offset: 0,
        partition_leader_epoch: None,
        attributes: BatchAttributes {
            compression: batch.codec,
            timestamp_type: TimestampType::CreateTime,
            transactional: false,
            control: false,
        },
        last_offset_delta: batch.records as i32 - 1,
        base_timestamp: batch.base_timestamp,
        max_timestamp: batch.max_timestamp,
        producer: None,
        record_count: batch.records as i32,
    };
    let mut bytes = header.stamp(batch.body.len(), batch.body.slices()).to_vec();
    batch.body.slices().for_each(|s| bytes.extend_from_slice(s));
    assert_eq!(bytes.len(), batch.wire_len());
    let (view, rest) = RecordBatchView::parse(&bytes).unwrap();
    assert!(rest.is_empty());
    let records = view.validate(1 << 30).unwrap();
    records.iter().map(|r| r.unwrap().value.unwrap().to_vec()).collect()
}
