//! Every fault of the embedded cluster, by name.

use kafka_producer::mock::{Fault, MockCluster};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use std::time::Duration;

const AGES: Duration = Duration::from_secs(600);

/// A fault of one kind, that meets these requests until the cluster ends.
pub(crate) type Kind = fn(Fault) -> Fault;

/// What can happen to a request and its answer.
pub(crate) const KINDS: &[(&str, Kind)] = &[
    ("error before", |f| f.error_before(ErrorCode::REQUEST_TIMED_OUT)),
    ("error after", |f| f.error_after(ErrorCode::REQUEST_TIMED_OUT)),
    ("not the leader", |f| f.error_before(ErrorCode::NOT_LEADER_OR_FOLLOWER)),
    ("unknown error", |f| f.error_before(ErrorCode(-1))),
    ("delay", |f| f.delay(AGES)),
    ("throttle", |f| f.throttle(AGES)),
    ("drop before", Fault::drop_before),
    ("drop after", Fault::drop_after),
    ("swallow answer", Fault::swallow_answer),
    ("stop reading", Fault::stop_reading),
    ("truncate answer", |f| f.truncate_answer(7)),
    ("corrupt answer", Fault::corrupt_answer),
    ("wrong correlation id", Fault::wrong_correlation_id),
    ("oversized answer", Fault::oversized_answer),
];

/// Which requests it happens to.
pub(crate) const VICTIMS: &[(&str, fn() -> Fault)] = &[
    ("Produce", || Fault::on(ApiKey::PRODUCE)),
    ("Metadata", || Fault::on(ApiKey::METADATA)),
    ("InitProducerId", || Fault::on(ApiKey::INIT_PRODUCER_ID)),
    ("ApiVersions", || Fault::on(ApiKey::API_VERSIONS)),
    ("every request", Fault::on_any),
];

/// What can happen to brokers.
pub(crate) const OUTAGES: &[(&str, fn(&MockCluster))] = &[
    ("stopped", |c| c.stop_broker(1).unwrap()),
    ("paused", |c| c.pause_broker(1).unwrap()),
    ("refusing", |c| {
        c.inject(Fault::refuse_connections().always());
        c.disconnect(1).unwrap();
    }),
    ("leaderless", |c| c.remove_leader("t", 0).unwrap()),
    ("without topic", |c| c.delete_topic("t").unwrap()),
    ("too few replicas", |c| c.set_in_sync("t", 0, &[]).unwrap()),
    ("far away", |c| c.set_latency(1, AGES)),
];
