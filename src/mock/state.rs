//! The cluster without sockets: bytes of a request in, bytes of its answer out.
//!
//! Sans-I/O: no thread, no lock, no clock, no randomness, so that a simulation can drive it in virtual time with the
//! same bytes that travel over sockets. `server` wraps it in one lock. Must not know what a correct client would send.
//! KIP-511 (a version of ApiVersions that the broker lacks is answered in version 0).

use super::coordinator::Coordinators;
use super::fault::{AnswerFault, ConnectionFault, Faults, Plan};
use super::handlers::{self, Answer, Handler};
use super::journal::{Journal, ReceivedRequest};
use super::log::AppendRules;
use super::stats::ClusterStats;
use super::topology::{Topic, Topology};
use super::versions::{ApiRange, BrokerVersion};
use crate::protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiVersionsRequest, CreateTopicsRequest,
    DeleteTopicsRequest, DescribeClusterRequest, EndTxnRequest, FetchRequest, FindCoordinatorRequest,
    InitProducerIdRequest, ListOffsetsRequest, MetadataRequest, OffsetCommitRequest, OffsetFetchRequest,
    ProduceRequest, TxnOffsetCommitRequest,
};
use crate::protocol::{ApiKey, ErrorCode, Message, Reader, Writer};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What holds for the whole cluster.
#[derive(Clone, Debug)]
pub(crate) struct ClusterOptions {
    pub(crate) version: BrokerVersion,
    pub(crate) auto_create: bool,
    pub(crate) default_partitions: i32,
    pub(crate) replication: usize,
    pub(crate) min_in_sync: usize,
    pub(crate) max_message_bytes: usize,
    pub(crate) log_append_time: bool,
    /// Entries of the journal; 0 keeps none.
    pub(crate) journal: usize,
    /// The level of the feature `transaction.version`; `None` as the release has it.
    pub(crate) transaction_version: Option<i16>,
    /// `transaction.max.timeout.ms`.
    pub(crate) max_transaction_timeout: Duration,
    /// How long after EndTxn the markers are written.
    pub(crate) marker_delay: Duration,
    /// How long a coordinator that has moved reads its log.
    pub(crate) coordinator_load_time: Duration,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            version: BrokerVersion::default(),
            auto_create: true,
            default_partitions: 4,
            replication: 3,
            min_in_sync: 1,
            max_message_bytes: 1_048_588,
            log_append_time: false,
            journal: 10_000,
            transaction_version: None,
            max_transaction_timeout: Duration::from_secs(900),
            marker_delay: Duration::ZERO,
            coordinator_load_time: Duration::ZERO,
        }
    }
}

/// What a broker does about one request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The answer with its length prefix; empty if there is none.
    pub(crate) bytes: Vec<u8>,
    pub(crate) then: Then,
    /// How much later the bytes leave and `then` happens.
    pub(crate) delay: Duration,
}

/// What becomes of the connection once the answer has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Continue,
    Close,
    /// It stays open and nothing is read from it any more.
    StopReading,
}

impl Reply {
    fn silent(then: Then) -> Self {
        Self { bytes: Vec::new(), then, delay: Duration::ZERO }
    }
}

/// One request's header, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) now: Instant,
    pub(crate) node: i32,
    pub(crate) connection: u64,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    client_id: Option<String>,
    size: usize,
}

/// Producer ids, never used twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProducerIds {
    next: (i64, i16),
}

impl ProducerIds {
    pub(super) fn take(&mut self) -> (i64, i16) {
        let (id, epoch) = self.next;
        self.next = (id.saturating_add(1), 0);
        (id, epoch)
    }
}

/// How many violations are remembered.
const MAX_VIOLATIONS: usize = 100;

/// Brokers, topics, logs, faults, journal: everything but the sockets.
#[derive(Debug)]
pub(crate) struct ClusterState {
    pub(crate) options: ClusterOptions,
    pub(crate) topology: Topology,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    /// Without the connections, which the caller counts.
    pub(crate) stats: ClusterStats,
    pub(crate) coordinators: Coordinators,
    pub(super) wall_ms: i64,
    pub(super) next_producer: ProducerIds,
    /// Rises with each change of a feature.
    features_epoch: i64,
    /// Whether batches are kept that come this way.
    pub(super) keep: bool,
    latency: Vec<(i32, Duration)>,
    violations: VecDeque<String>,
}

impl ClusterState {
    /// Brokers 1 to `ports.len()`, all alive.
    pub(crate) fn new(options: ClusterOptions, host: &str, ports: &[u16]) -> Self {
        Self {
            journal: Journal::new(options.journal),
            options,
            topology: Topology::new(host, ports),
            faults: Faults::default(),
            stats: ClusterStats::default(),
            coordinators: Coordinators::default(),
            wall_ms: 0,
            next_producer: ProducerIds { next: (1000, 0) },
            features_epoch: 1,
            keep: true,
            latency: Vec::new(),
            violations: VecDeque::new(),
        }
    }

    pub(crate) fn cluster_id(&self) -> &'static str {
        "mock-cluster"
    }

    /// The brokers' wall clock, for `LogAppendTime`, in milliseconds since 1970.
    pub(crate) fn set_wall_clock(&mut self, millis: i64) {
        self.wall_ms = millis;
    }

    /// Every answer of `node` leaves that much later.
    pub(crate) fn set_latency(&mut self, node: i32, latency: Duration) {
        self.latency.retain(|(n, _)| *n != node);
        self.latency.push((node, latency));
    }

    /// The producer id and epoch that the next InitProducerId gets.
    pub(crate) fn set_next_producer(&mut self, producer_id: i64, epoch: i16) {
        self.next_producer = ProducerIds { next: (producer_id, epoch) };
    }

    pub(crate) fn new_producer(&mut self) -> (i64, i16) {
        self.next_producer.take()
    }

    /// The level of the feature `transaction.version`.
    pub(crate) fn transaction_version(&self) -> i16 {
        let newest = || self.options.version.transaction_versions().map_or(0, |levels| *levels.end());
        self.options.transaction_version.unwrap_or_else(newest)
    }

    /// Settles on another level; connections opened from now on hear of it.
    pub(crate) fn set_transaction_version(&mut self, level: i16) -> Result<(), ErrorCode> {
        let levels = self.options.version.transaction_versions();
        if !levels.is_some_and(|levels| levels.contains(&level)) {
            return Err(ErrorCode::UNSUPPORTED_VERSION);
        }
        self.options.transaction_version = Some(level);
        self.features_epoch += 1;
        Ok(())
    }

    pub(crate) fn features_epoch(&self) -> i64 {
        self.features_epoch
    }

    /// From now on batches are judged, counted and dropped.
    pub(crate) fn keep_nothing(&mut self) {
        self.keep = false;
    }

    /// Topics get this many replicas: as many as asked for, as far as there are brokers.
    pub(crate) fn default_replication(&self) -> usize {
        self.options.replication.clamp(1, self.topology.node_ids().len().max(1))
    }

    /// Finds a topic, creating it if that is allowed.
    pub(crate) fn topic_or_create(&mut self, name: &str, may_create: bool) -> Option<&Topic> {
        if self.topology.topic(name).is_none() && may_create && self.options.auto_create {
            let (partitions, replicas) = (self.options.default_partitions, self.default_replication());
            self.topology.create_topic(name, partitions, replicas).ok()?;
        }
        self.topology.topic(name)
    }

    pub(crate) fn append_rules(&self, leader_epoch: i32, produce_version: i16) -> AppendRules {
        AppendRules {
            max_message_bytes: self.options.max_message_bytes,
            log_append_time: self.options.log_append_time.then_some(self.wall_ms),
            leader_epoch,
            refuse_unknown_producers: self.options.version.refuses_unknown_producers(),
            allow_zstd: produce_version >= 7,
            keep: self.keep,
            transactions: true,
        }
    }

    /// Notes something that no correct client does.
    pub(crate) fn violation(&mut self, what: String) {
        log::warn!(target: "kafka_producer::mock", "{what}");
        if self.violations.len() == MAX_VIOLATIONS {
            self.violations.pop_front();
        }
        self.violations.push_back(what);
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.violations.iter().cloned().collect()
    }

    /// The versions of `api` that this cluster speaks: the preset's, as far as the codec has them.
    pub(crate) fn range_of(&self, api: ApiKey) -> Option<ApiRange> {
        let preset = self.options.version.range_of(api)?;
        let ours = api.versions()?;
        let (min, max) = (preset.min.max(*ours.start()), preset.max.min(*ours.end()));
        (min <= max).then_some(ApiRange { key: api.0, min, max })
    }

    /// Handles one request: `frame` is what followed the length prefix. Total on any bytes; a broker hangs up on what it
    /// cannot read.
    pub(crate) fn handle(&mut self, now: Instant, node: i32, connection: u64, frame: &[u8]) -> Reply {
        self.advance(now);
        let mut body = Reader::new(frame);
        let Some(call) = Call::read(&mut body, now, node, connection) else {
            self.violation(format!(
                "connection {connection}: {} bytes that are no request header",
                frame.len()
            ));
            return Reply::silent(Then::Close);
        };
        let served = self.range_of(call.api).is_some_and(|r| (r.min..=r.max).contains(&call.version));
        if !served {
            if call.api == ApiKey::API_VERSIONS {
                return handlers::api_versions::refuse(self, &call);
            }
            self.violation(format!(
                "connection {connection}: {} version {} is not served",
                call.api, call.version
            ));
            return Reply::silent(Then::Close);
        }
        match call.api {
            ApiKey::PRODUCE => self.run::<ProduceRequest>(&call, body),
            ApiKey::FETCH => self.run::<FetchRequest>(&call, body),
            ApiKey::LIST_OFFSETS => self.run::<ListOffsetsRequest>(&call, body),
            ApiKey::METADATA => self.run::<MetadataRequest>(&call, body),
            ApiKey::API_VERSIONS => self.run::<ApiVersionsRequest>(&call, body),
            ApiKey::CREATE_TOPICS => self.run::<CreateTopicsRequest>(&call, body),
            ApiKey::DELETE_TOPICS => self.run::<DeleteTopicsRequest>(&call, body),
            ApiKey::INIT_PRODUCER_ID => self.run::<InitProducerIdRequest>(&call, body),
            ApiKey::FIND_COORDINATOR => self.run::<FindCoordinatorRequest>(&call, body),
            ApiKey::OFFSET_COMMIT => self.run::<OffsetCommitRequest>(&call, body),
            ApiKey::OFFSET_FETCH => self.run::<OffsetFetchRequest>(&call, body),
            ApiKey::ADD_PARTITIONS_TO_TXN => self.run::<AddPartitionsToTxnRequest>(&call, body),
            ApiKey::ADD_OFFSETS_TO_TXN => self.run::<AddOffsetsToTxnRequest>(&call, body),
            ApiKey::END_TXN => self.run::<EndTxnRequest>(&call, body),
            ApiKey::TXN_OFFSET_COMMIT => self.run::<TxnOffsetCommitRequest>(&call, body),
            ApiKey::DESCRIBE_CLUSTER => self.run::<DescribeClusterRequest>(&call, body),
            _ => Reply::silent(Then::Close),
        }
    }

    fn run<H: Handler>(&mut self, call: &Call, mut body: Reader<'_>) -> Reply {
        let request = match H::decode(&mut body, call.version).and_then(|r| body.finish().map(|()| r)) {
            Ok(request) => request,
            Err(error) => {
                self.violation(format!(
                    "connection {}: {} v{}: {error}",
                    call.connection, call.api, call.version
                ));
                return Reply::silent(Then::Close);
            }
        };
        self.stats.requests += 1;
        if call.api == ApiKey::PRODUCE {
            self.stats.produce_requests += 1;
            self.stats.produce_bytes += call.size as u64;
        }
        if self.journal.is_kept() {
            let body = request.summary(self);
            self.journal.push(call.entry(body));
        }
        let targets = request.targets(self);
        let plan = self.faults.plan(call.api, call.node, &targets);
        match plan.connection {
            Some(ConnectionFault::DropBefore) => return self.reply(call, &plan, Vec::new(), Then::Close),
            Some(ConnectionFault::StopReading) => {
                return self.reply(call, &plan, Vec::new(), Then::StopReading);
            }
            _ => {}
        }
        let answer = request.answer(self, call, &plan);
        match (plan.connection, answer) {
            (Some(ConnectionFault::DropAfter), _) | (_, Answer::HangUp) => {
                self.reply(call, &plan, Vec::new(), Then::Close)
            }
            (Some(_), _) | (None, Answer::Silence) => self.reply(call, &plan, Vec::new(), Then::Continue),
            (None, Answer::Respond(response)) => self.respond(call, &plan, &response, Duration::ZERO),
            (None, Answer::RespondAfter(response, wait)) => self.respond(call, &plan, &response, wait),
        }
    }

    fn respond<M: Message>(&self, call: &Call, plan: &Plan, response: &M, wait: Duration) -> Reply {
        let Some(mut bytes) = encode_answer(call, call.version, response) else {
            return self.reply(call, plan, Vec::new(), Then::Close);
        };
        let then = match plan.answer {
            Some(fault) => spoil(fault, &mut bytes),
            None => Then::Continue,
        };
        let mut reply = self.reply(call, plan, bytes, then);
        reply.delay = reply.delay.max(wait);
        reply
    }

    fn reply(&self, call: &Call, plan: &Plan, bytes: Vec<u8>, then: Then) -> Reply {
        let latency = self.latency.iter().find(|(n, _)| *n == call.node).map_or(Duration::ZERO, |(_, d)| *d);
        Reply { bytes, then, delay: plan.delay.saturating_add(latency) }
    }
}

impl Call {
    /// Reads request header version 1 or 2, as the API and version have it.
    fn read(r: &mut Reader<'_>, now: Instant, node: i32, connection: u64) -> Option<Self> {
        let size = r.remaining();
        let api = ApiKey(r.i16().ok()?);
        let version = r.i16().ok()?;
        let correlation_id = r.i32().ok()?;
        // Not compact in header version 2 either.
        let client_id = r.nullable_string(false).ok()?.map(str::to_owned);
        if api.is_flexible(version) {
            r.skip_tagged_fields().ok()?;
        }
        Some(Self { now, node, connection, api, version, correlation_id, client_id, size })
    }

    fn entry(&self, body: super::journal::RequestBody) -> ReceivedRequest {
        ReceivedRequest {
            at: self.now,
            node: self.node,
            connection: self.connection,
            api: self.api,
            version: self.version,
            correlation_id: self.correlation_id,
            client_id: self.client_id.clone(),
            size: self.size,
            body,
        }
    }
}

/// The answer as it goes over the wire; `None` if a handler built what `version` cannot say, which is logged.
pub(super) fn encode_answer<M: Message>(call: &Call, version: i16, response: &M) -> Option<Vec<u8>> {
    let mut w = Writer::new();
    let frame = w.begin_frame();
    w.i32(call.correlation_id);
    w.no_tagged_fields(call.api.response_header_version(version) == 1);
    if let Err(error) = response.encode(&mut w, version).and_then(|()| w.end_frame(frame)) {
        log::error!(target: "kafka_producer::mock", "cannot encode {} v{version}: {error}", M::NAME);
        return None;
    }
    Some(w.into_parts().0)
}

/// Length prefix and correlation id.
const ANSWER_HEAD: usize = 8;
const NEARLY_2_GIB: [u8; 4] = [0x7f, 0xff, 0xff, 0xf0];

fn spoil(fault: AnswerFault, bytes: &mut Vec<u8>) -> Then {
    match fault {
        AnswerFault::Truncated(len) => {
            bytes.truncate(len);
            return Then::Close;
        }
        AnswerFault::Corrupted => {
            // All ones: negative lengths, endless varints.
            bytes.iter_mut().skip(ANSWER_HEAD).for_each(|b| *b = 0xff);
        }
        AnswerFault::WrongCorrelation => bytes.iter_mut().skip(4).take(4).for_each(|b| *b = !*b),
        AnswerFault::Oversized => bytes.iter_mut().zip(NEARLY_2_GIB).for_each(|(b, n)| *b = n),
    }
    Then::Continue
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
