//! The embedded cluster's transactions against Kafka's, request by request: the same questions, put to both by hand, have
//! the same answers. What Kafka does a moment later - writing markers, noticing a timeout - is waited for in both.

use crate::cluster::RealKafka;
use crate::java::Version;
use crate::raw::{Batch, Client, batch, only, produce};
use crate::wait;
use kafka_producer::mock::{BrokerVersion, MockCluster};
use kafka_producer::protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopic;
use kafka_producer::protocol::messages::fetch::{FetchPartition, FetchTopic};
use kafka_producer::protocol::messages::find_coordinator::FindCoordinatorRequest;
use kafka_producer::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_producer::protocol::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopic};
use kafka_producer::protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_producer::protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, FetchRequest, InitProducerIdRequest,
    ListOffsetsRequest, OffsetFetchRequest, TxnOffsetCommitRequest,
};
use kafka_producer::protocol::{ErrorCode, Message, Request};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

/// Versions of the requests, as a producer speaks them.
#[derive(Clone, Copy, Debug)]
struct Speaks {
    produce: i16,
    init: i16,
    add: i16,
    end: i16,
    commit: i16,
}

/// As from 4.0 on, where the cluster has settled on it.
const VERSION_2: Speaks = Speaks { produce: 12, init: 5, add: 3, end: 5, commit: 5 };
/// As until then.
const VERSION_1: Speaks = Speaks { produce: 11, init: 5, add: 3, end: 4, commit: 4 };
/// As producers of 2.5 do.
const OLD: Speaks = Speaks { produce: 9, init: 3, add: 1, end: 1, commit: 3 };

/// A broker asked by hand, and what came of it.
struct Inquiry {
    client: Client,
    topic: String,
    speaks: Speaks,
    /// The newest version of Produce that names topics and that the broker has.
    newest: i16,
    /// Producer ids in the order in which they were given out, since they differ from cluster to cluster.
    ids: Vec<i64>,
    answers: Vec<String>,
}

type Identity = (i64, i16);

/// One record of now: Kafka begins a new segment between records that are days apart.
fn fresh() -> Batch {
    Batch { base_timestamp: wait::wall_millis(), ..batch(&["x"]) }
}

impl Inquiry {
    fn new(address: &str, topic: &str, speaks: Speaks, newest: i16) -> Self {
        let client = Client::at(address);
        let mut inquiry =
            Self { client, topic: topic.to_owned(), speaks, newest, ids: Vec::new(), answers: Vec::new() };
        for (key, kind) in [("id", 1), ("g", 0)] {
            let key = inquiry.name(key);
            let request = FindCoordinatorRequest { key, key_type: kind, ..Default::default() };
            wait::until("a coordinator", PATIENCE, || {
                (inquiry.client.call(&request, 3).error_code == ErrorCode::NONE).then_some(())
            });
        }
        inquiry
    }

    /// Ids of their own for each inquiry, since clusters are shared.
    fn name(&self, id: &str) -> String {
        format!("{}-{id}", self.topic)
    }

    fn note(&mut self, what: &str, answer: impl std::fmt::Debug) {
        self.answers.push(format!("{what}: {answer:?}"));
    }

    /// As a cluster-independent word.
    fn who(&mut self, (id, epoch): Identity) -> String {
        if id < 0 {
            return "nobody".to_owned();
        }
        let at = self.ids.iter().position(|known| *known == id).unwrap_or_else(|| {
            self.ids.push(id);
            self.ids.len() - 1
        });
        format!("producer {at} epoch {epoch}")
    }

    /// Asks until the coordinator has done what it is at.
    fn ask<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> R::Response {
        wait::until(R::Response::NAME, PATIENCE, || {
            let response = self.client.call(request, version);
            let busy = [
                ErrorCode::CONCURRENT_TRANSACTIONS,
                ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
                ErrorCode::COORDINATOR_NOT_AVAILABLE,
                ErrorCode::NOT_COORDINATOR,
                ErrorCode::NOT_ENOUGH_REPLICAS,
            ];
            (!busy.contains(&code(&response))).then_some(response)
        })
    }

    // ---- requests -------------------------------------------------------------------------------------------------

    fn init_as(&mut self, what: &str, id: &str, timeout_ms: i32, by: Identity, version: i16) -> Identity {
        let request = InitProducerIdRequest {
            transactional_id: Some(if id.is_empty() { String::new() } else { self.name(id) }),
            transaction_timeout_ms: timeout_ms,
            producer_id: by.0,
            producer_epoch: by.1,
        };
        let response = self.ask(&request, version, |r| r.error_code);
        let identity = (response.producer_id, response.producer_epoch);
        let who = self.who(identity);
        self.note(what, (response.error_code, who));
        identity
    }

    fn init(&mut self, what: &str) -> Identity {
        self.init_as(what, "id", 60_000, (-1, -1), self.speaks.init)
    }

    fn add(&mut self, what: &str, by: Identity, partitions: &[i32]) {
        let topic = |&p: &i32| AddPartitionsToTxnTopic { name: self.topic.clone(), partitions: vec![p] };
        let request = AddPartitionsToTxnRequest {
            transactional_id: self.name("id"),
            producer_id: by.0,
            producer_epoch: by.1,
            // All under one name: a topic that comes twice is merged by Kafka.
            topics: vec![AddPartitionsToTxnTopic {
                name: self.topic.clone(),
                partitions: partitions.iter().flat_map(|p| topic(p).partitions).collect(),
            }],
        };
        let version = self.speaks.add;
        let response = self.ask(&request, version, |r| {
            let first = r.results_by_topic.first().and_then(|t| t.results_by_partition.first());
            first.map_or(ErrorCode::NONE, |p| p.partition_error_code)
        });
        let results = response.results_by_topic.into_iter().flat_map(|t| t.results_by_partition);
        let mut codes: Vec<_> = results.map(|p| (p.partition_index, p.partition_error_code)).collect();
        codes.sort_by_key(|(partition, _)| *partition);
        self.note(what, codes);
    }

    fn produce_as(&mut self, what: &str, id: Option<&str>, partition: i32, batch: &Batch, version: i16) {
        let mut request = produce(&self.topic, partition, batch.bytes(), -1);
        request.transactional_id = id.map(|id| self.name(id));
        let response = self.ask(&request, version, |r| only(r.clone()).error_code);
        let answer = only(response);
        self.note(what, (answer.error_code, answer.base_offset));
    }

    fn produce(&mut self, what: &str, by: Identity, partition: i32, sequence: i32) {
        let batch = fresh().in_transaction_of(by.0, by.1, sequence);
        self.produce_as(what, Some("id"), partition, &batch, self.speaks.produce);
    }

    /// As a producer does it: adds the partition first where the version needs that.
    fn send(&mut self, what: &str, by: Identity, partition: i32, sequence: i32) {
        if self.speaks.end < 5 {
            self.add(what, by, &[partition]);
        }
        self.produce(what, by, partition, sequence);
    }

    /// What to go on with.
    fn end_as(&mut self, what: &str, id: &str, by: Identity, committed: bool) -> Identity {
        let request = EndTxnRequest {
            transactional_id: self.name(id),
            producer_id: by.0,
            producer_epoch: by.1,
            committed,
        };
        let response = self.ask(&request, self.speaks.end, |r| r.error_code);
        let next = (response.producer_id, response.producer_epoch);
        let who = self.who(next);
        self.note(what, (response.error_code, who));
        if next.0 < 0 { by } else { next }
    }

    fn end(&mut self, what: &str, by: Identity, committed: bool) -> Identity {
        self.end_as(what, "id", by, committed)
    }

    fn add_offsets(&mut self, what: &str, by: Identity) {
        let request = AddOffsetsToTxnRequest {
            transactional_id: self.name("id"),
            producer_id: by.0,
            producer_epoch: by.1,
            group_id: self.name("g"),
        };
        let response = self.ask(&request, 3, |r| r.error_code);
        self.note(what, response.error_code);
    }

    fn commit_offset(&mut self, what: &str, by: Identity, offset: i64, version: i16) {
        let partition = TxnOffsetCommitRequestPartition { committed_offset: offset, ..Default::default() };
        let request = TxnOffsetCommitRequest {
            transactional_id: self.name("id"),
            group_id: self.name("g"),
            producer_id: by.0,
            producer_epoch: by.1,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: self.topic.clone(),
                partitions: vec![partition],
            }],
            ..Default::default()
        };
        let response = self.ask(&request, version, |r| r.topics[0].partitions[0].error_code);
        self.note(what, response.topics[0].partitions[0].error_code);
    }

    fn offset(&mut self, what: &str, stable: bool) {
        let topic = OffsetFetchRequestTopic { name: self.topic.clone(), partition_indexes: vec![0] };
        let group = OffsetFetchRequestGroup {
            group_id: self.name("g"),
            topics: Some(vec![topic]),
            ..Default::default()
        };
        let request =
            OffsetFetchRequest { groups: vec![group], require_stable: stable, ..Default::default() };
        let response = self.ask(&request, 8, |r| r.groups[0].error_code);
        let partition = &response.groups[0].topics[0].partitions[0];
        self.note(what, (partition.error_code, partition.committed_offset));
    }

    /// What a reader finds: batches, the last stable offset, aborted transactions, and where its end is.
    fn read(&mut self, what: &str, partition: i32, isolation_level: i8) {
        let wanted = FetchPartition { partition, partition_max_bytes: 1 << 20, ..Default::default() };
        let topic = FetchTopic { topic: self.topic.clone(), partitions: vec![wanted], ..Default::default() };
        let request = FetchRequest { isolation_level, topics: vec![topic], ..Default::default() };
        let response = self.client.call(&request, 11);
        let data = response.responses[0].partitions[0].clone();
        let mut bytes = &data.records.unwrap_or_default()[..];
        let mut batches = Vec::new();
        while bytes.len() > 61 {
            let len = 12 + u32::from_be_bytes(bytes[8..12].try_into().expect("four bytes")) as usize;
            // Offset, attributes, producer epoch, base sequence; what a marker says.
            let offset = i64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
            let epoch = i16::from_be_bytes(bytes[51..53].try_into().expect("two bytes"));
            let body = if bytes[22] & 32 != 0 { bytes[61..70].to_vec() } else { Vec::new() };
            batches.push((offset, bytes[22], epoch, body));
            bytes = &bytes[len..];
        }
        let aborted: Option<Vec<(String, i64)>> = data
            .aborted_transactions
            .map(|all| all.into_iter().map(|a| (self.who((a.producer_id, 0)), a.first_offset)).collect());
        self.note(what, (data.error_code, data.high_watermark, data.last_stable_offset, aborted, batches));
        let wanted = ListOffsetsPartition { partition_index: partition, timestamp: -1, ..Default::default() };
        let topic = ListOffsetsTopic { name: self.topic.clone(), partitions: vec![wanted] };
        let request =
            ListOffsetsRequest { replica_id: -1, isolation_level, topics: vec![topic], ..Default::default() };
        let end = self.client.call(&request, 5).topics[0].partitions[0].offset;
        self.note(what, end);
    }

    /// Waits until every marker of the id's last transaction is written: then a bump by its owner gets through.
    fn settle(&mut self, by: Identity) -> Identity {
        self.init_as("settle", "id", 60_000, by, 5)
    }

    // ---- scripts --------------------------------------------------------------------------------------------------

    fn ends_and_their_repetition(&mut self) {
        let p = self.init("init");
        let p = self.end("commit of nothing", p, true);
        let p = self.end("abort of nothing", p, false);
        self.send("first", p, 0, 0);
        self.produce("second", p, 0, 1);
        self.produce("second again", p, 0, 1);
        self.produce("with a gap", p, 0, 7);
        self.send("another partition", p, 1, 0);
        self.end("by a stranger", (p.0 + 999, p.1), true);
        self.end("by a future epoch", (p.0, p.1 + 5), true);
        self.end_as("of another id", "nobody", p, true);
        let next = self.end("commit", p, true);
        self.end("commit again", p, true);
        self.end("abort after commit", p, false);
        self.end("commit of nothing new", next, true);
        self.produce("late", p, 0, 2);
        let p = self.settle(next);
        self.send("to be aborted", p, 0, 0);
        let next = self.end("abort", p, false);
        self.end("abort again", p, false);
        self.end("commit after abort", p, true);
        let p = self.settle(next);
        self.send("to be committed", p, 0, 0);
        let p = self.end("last", p, true);
        let p = self.settle(p);
        self.send("open", p, 0, 0);
        self.read("uncommitted", 0, 0);
        self.read("committed", 0, 1);
        self.read("committed", 1, 1);
    }

    fn epochs(&mut self) {
        let first = self.init("init");
        let second = self.init_as("own bump", "id", 60_000, first, 5);
        self.init_as("own bump again", "id", 60_000, first, 5);
        let third = self.init("somebody else");
        for version in [3, 4, 5] {
            self.init_as("fenced bump", "id", 60_000, second, version);
        }
        self.init_as("a stranger's bump", "id", 60_000, (third.0 + 999, 0), 5);
        self.init_as("half an identity", "id", 60_000, (third.0, -1), 5);
        self.init_as("no timeout", "id", 0, (-1, -1), 5);
        self.init_as("a long timeout", "id", 900_001, (-1, -1), 5);
        self.init_as("no id", "", 60_000, (-1, -1), 5);
        self.send("open", third, 0, 0);
        self.init_as("own bump in a transaction", "id", 60_000, third, 5);
        let fourth = self.init("after it");
        self.send("open again", fourth, 0, 0);
        let fifth = self.init("taken over");
        self.end("fenced commit", fourth, true);
        self.end("fenced abort", fourth, false);
        self.add("fenced add", fourth, &[0]);
        self.produce("fenced batch", fourth, 0, 1);
        self.send("of the new owner", fifth, 0, 0);
        self.end("its commit", fifth, true);
    }

    fn strays(&mut self) {
        let p = self.init("init");
        self.add("known and unknown", p, &[0, 99]);
        self.add("known", p, &[0]);
        self.add("known again", p, &[0]);
        let stray = fresh().in_transaction_of(p.0, p.1, 0);
        for version in [8, 9, 10, 11] {
            self.produce_as("not added", Some("id"), 1, &stray, version);
        }
        self.produce_as("without an id", None, 0, &stray, 9);
        self.produce_as("of another id", Some("nobody"), 1, &stray, 11);
        self.produce_as("of another id, enrolling if it can", Some("nobody"), 1, &stray, self.newest);
        let stranger = fresh().in_transaction_of(p.0 + 999, 0, 0);
        self.produce_as("of a stranger", Some("id"), 1, &stranger, 11);
        self.produce_as("of a stranger, enrolling if it can", Some("id"), 1, &stranger, self.newest);
        let old = fresh().in_transaction_of(p.0, p.1 + 3, 0);
        self.produce_as("of another epoch", Some("id"), 1, &old, 11);
        self.produce_as("added", Some("id"), 0, &stray, 9);
        let plain = fresh().by(p.0, p.1, 1);
        self.produce_as("not transactional", Some("id"), 0, &plain, 9);
        self.produce_as("not transactional elsewhere", None, 2, &plain, 9);
        let late = fresh().in_transaction_of(p.0, p.1, 5);
        self.produce_as("in mid sequence", Some("id"), 1, &late, self.newest);
    }

    fn offsets(&mut self) {
        let p = self.init("init");
        for version in [3, 4] {
            self.commit_offset("not added", p, 5, version);
        }
        if self.speaks.commit < 5 {
            self.add_offsets("add", p);
        }
        self.commit_offset("offset", p, 7, self.speaks.commit);
        self.offset("open", false);
        self.offset("open, stable", true);
        let next = self.end("abort", p, false);
        let p = self.settle(next);
        self.offset("aborted", true);
        if self.speaks.commit < 5 {
            self.add_offsets("add", p);
        }
        self.commit_offset("offset", p, 8, self.speaks.commit);
        let next = self.end("commit", p, true);
        let p = self.settle(next);
        self.offset("committed", true);
        self.commit_offset("of a stranger", (p.0 + 999, 0), 9, self.speaks.commit);
        self.init("taken over");
        self.commit_offset("fenced", p, 9, self.speaks.commit);
        self.add_offsets("fenced add", p);
        self.offset("unchanged", true);
    }

    fn timeout(&mut self) {
        // Long enough that a machine that stands still for a second does not end it before its record is there.
        let p = self.init_as("init", "id", 2500, (-1, -1), self.speaks.init);
        self.send("open", p, 0, 0);
        wait::until("the timeout", PATIENCE, || {
            let wanted = ListOffsetsPartition { timestamp: -1, ..Default::default() };
            let topic = ListOffsetsTopic { name: self.topic.clone(), partitions: vec![wanted] };
            let request = ListOffsetsRequest {
                replica_id: -1,
                isolation_level: 1,
                topics: vec![topic],
                ..Default::default()
            };
            (self.client.call(&request, 5).topics[0].partitions[0].offset == 2).then_some(())
        });
        self.produce("late", p, 0, 1);
        self.end("commit", p, true);
        let next = self.end("abort", p, false);
        self.init_as("own bump", "id", 60_000, p, 5);
        self.send("going on", next, 0, 0);
        self.read("both", 0, 1);
    }

    fn run(mut self, script: fn(&mut Self)) -> Vec<String> {
        script(&mut self);
        self.answers
    }
}

type Script = (&'static str, fn(&mut Inquiry));

const SCRIPTS: [Script; 5] = [
    ("ends", Inquiry::ends_and_their_repetition),
    ("epochs", Inquiry::epochs),
    ("strays", Inquiry::strays),
    ("offsets", Inquiry::offsets),
    ("timeout", Inquiry::timeout),
];

/// `level` of the feature `transaction.version`, which Kafka has been brought to.
fn both_answer_the_same(version: Version, level: i16, speaks: &[Speaks]) {
    let kafka = RealKafka::shared(version);
    let (preset, newest) = match version {
        Version::V4_3 => (BrokerVersion::V4_3, 12),
        Version::V3_9 => (BrokerVersion::V3_9, 11),
    };
    let builder = MockCluster::builder().version(preset).transaction_version(level).auto_create(false);
    let cluster = builder.start().expect("a free port");
    let address = cluster.address(1).expect("there is one");
    let mut differences = Vec::new();
    for speaks in speaks {
        for (name, script) in SCRIPTS {
            let topic = format!("coordinator-{name}-{}-{}-{level}", speaks.end, speaks.produce);
            kafka.create_topic(&topic, 3, 1, &[]);
            cluster.create_topic(&topic, 3).expect("a new topic");
            let real = Inquiry::new(&kafka.address(0).to_string(), &topic, *speaks, newest).run(script);
            let ours = Inquiry::new(&address, &topic, *speaks, newest).run(script);
            for (real, ours) in real.iter().zip(&ours).filter(|(real, ours)| real != ours) {
                differences.push(format!("{topic}\n  Kafka {version}: {real}\n  embedded: {ours}"));
            }
            assert_eq!(real.len(), ours.len());
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn transactions_are_coordinated_as_by_4_3() {
    both_answer_the_same(Version::V4_3, 2, &[VERSION_2, VERSION_1, OLD]);
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn transactions_are_coordinated_as_by_4_3_before_it_settles_on_version_2() {
    let kafka = RealKafka::shared(Version::V4_3);
    kafka.demand("feature transaction.version 1");
    let outcome = std::panic::catch_unwind(|| both_answer_the_same(Version::V4_3, 1, &[VERSION_1, OLD]));
    // The other suites share it.
    kafka.demand("feature transaction.version 2");
    if let Err(difference) = outcome {
        std::panic::resume_unwind(difference);
    }
}

#[test]
#[ignore = "needs Java and Maven: see README"]
fn transactions_are_coordinated_as_by_3_9() {
    both_answer_the_same(Version::V3_9, 1, &[VERSION_1, OLD]);
}
