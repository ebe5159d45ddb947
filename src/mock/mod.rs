//! Tests without a broker: a producer that sends nothing, and a Kafka cluster inside the process.
//!
//! [`MockProducer`] stands in for the producer where the code around it is tested; no network, no threads. Where the
//! sending itself matters there is the cluster: real sockets on the loopback interface, no Java, no installation.
//!
//! [`MockCluster`] judges what it receives as a broker does - checksums, structure, sequences, epochs, leadership - and
//! gives back what was written. [`Fault`]s make it misbehave on demand. Producers in other languages can use it too; see
//! `examples/mock_cluster.rs`. Transactions work as in Kafka, in both versions; of consumer groups it keeps the offsets
//! only. It does not implement joining a group, SASL, TLS, ACLs or quotas.
//!
//! ```
//! use kafka_producer::mock::{Fault, MockCluster};
//! use kafka_producer::protocol::{ApiKey, ErrorCode};
//! use std::time::Duration;
//!
//! let cluster = MockCluster::start(3)?;
//! cluster.create_topic("orders", 6).expect("the name is legal and new");
//!
//! // The first Produce request is answered with an error, and nothing is appended.
//! let fault = cluster.inject(Fault::on(ApiKey::PRODUCE).error_before(ErrorCode::NOT_LEADER_OR_FOLLOWER));
//! println!("bootstrap.servers={}", cluster.bootstrap_servers());
//!
//! // ... a producer sends; then wait for what it wrote, without sleeping:
//! let arrived = cluster.wait_until(Duration::ZERO, |c| c.record_count("orders") == 1);
//! assert!(!arrived && fault.hits() == 0);
//!
//! cluster.stop_broker(1)?;
//! assert_ne!(cluster.leader("orders", 0), Some(1));
//! cluster.start_broker(1)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Structure
//! `state` is the cluster without sockets: bytes of a request in, bytes of the answer out, time as an argument. It owns
//! `topology` (brokers, topics, leaders), a `log` per partition with its `producer_state` and `transaction_index`, the
//! `coordinator`s, the `fault`s, the `journal`; `handlers` has one file per API. `server` and
//! `connection` are threads and sockets around it, with an `inbox` each. `sink` replaces the logs in discard mode, and
//! `sink_stream` reads what goes there. Nothing of the cluster is shared with the producer except the wire codec and the
//! reading of record batches. `producer` is the mock producer, `calls` the calls it was told to fail.

mod builder;
mod calls;
mod cluster;
mod connection;
mod coordinator;
mod error;
mod fault;
mod handlers;
mod inbox;
mod journal;
mod log;
mod producer;
mod producer_state;
mod producer_transactions;
mod server;
mod sink;
mod sink_stream;
pub(crate) mod state;
mod stats;
mod stored;
mod topology;
mod transaction_index;
mod transactions;
mod versions;

pub use builder::MockClusterBuilder;
pub use calls::Operation;
pub use cluster::MockCluster;
pub use coordinator::{CommittedOffset, TransactionState};
pub use error::MockError;
pub use fault::{Fault, FaultHandle};
pub use journal::{ProducedBatch, ReceivedRequest, RequestBody};
pub use producer::MockProducer;
pub use stats::ClusterStats;
pub use stored::{BatchInfo, Marker, StoredRecord};
pub use transactions::TransactionInfo;
pub use versions::BrokerVersion;

/// The engine's simulation drives the cluster in virtual time.
#[cfg(test)]
pub(crate) use coordinator::Key;
#[cfg(test)]
pub(crate) use state::{ClusterOptions, ClusterState, Then};
