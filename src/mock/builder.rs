//! Options of a [`MockCluster`], and its start.
//!
//! Runs on the caller's thread; takes no lock.

use super::MockCluster;
use super::server::{self, Broker, Shared};
use super::sink::Sink;
use super::state::{ClusterOptions, ClusterState};
use super::versions::BrokerVersion;
use crate::sync::Arc;
use std::io;
use std::time::Duration;

/// Options of a [`MockCluster`]; from [`MockCluster::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder starts nothing until `start` is called"]
pub struct MockClusterBuilder {
    brokers: usize,
    first_port: u16,
    options: ClusterOptions,
    discard: bool,
    verify: bool,
    topics: Vec<(String, i32)>,
}

impl MockClusterBuilder {
    pub(super) fn new() -> Self {
        Self {
            brokers: 1,
            first_port: 0,
            options: ClusterOptions::default(),
            discard: false,
            verify: false,
            topics: Vec::new(),
        }
    }

    /// How many brokers; their node ids are 1, 2, 3 and so on. Default: 1; at least 1.
    pub fn brokers(mut self, brokers: usize) -> Self {
        self.brokers = brokers.max(1);
        self
    }

    /// The first broker listens on `port`, the next ones on the ports after it. Default: 0, any free ports.
    pub fn port(mut self, port: u16) -> Self {
        self.first_port = port;
        self
    }

    /// The Kafka release to answer like. Default: the newest preset.
    pub fn version(mut self, version: BrokerVersion) -> Self {
        self.options.version = version;
        self
    }

    /// A topic that is there from the start. May be repeated.
    pub fn topic(mut self, name: impl Into<String>, partitions: i32) -> Self {
        self.topics.push((name.into(), partitions));
        self
    }

    /// Whether a Metadata request creates the topics it names. Default: true.
    pub fn auto_create(mut self, yes: bool) -> Self {
        self.options.auto_create = yes;
        self
    }

    /// Partitions of a topic for which nobody said how many. Default: 4.
    pub fn default_partitions(mut self, partitions: i32) -> Self {
        self.options.default_partitions = partitions;
        self
    }

    /// Replicas of a topic for which nobody said how many, at most one per broker. Default: 3.
    pub fn replication(mut self, replicas: usize) -> Self {
        self.options.replication = replicas;
        self
    }

    /// `min.insync.replicas`: with fewer in-sync replicas, `acks=all` is answered NOT_ENOUGH_REPLICAS. Default: 1.
    pub fn min_in_sync(mut self, replicas: usize) -> Self {
        self.options.min_in_sync = replicas;
        self
    }

    /// `max.message.bytes`: the largest batch accepted, in bytes. Default: 1,048,588, as in Kafka.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.options.max_message_bytes = bytes;
        self
    }

    /// Whether brokers stamp records with their own clock (`message.timestamp.type=LogAppendTime`). Default: false.
    pub fn log_append_time(mut self, yes: bool) -> Self {
        self.options.log_append_time = yes;
        self
    }

    /// How many requests the journal keeps; 0 keeps none. Default: 10,000.
    pub fn journal(mut self, entries: usize) -> Self {
        self.options.journal = entries;
        self
    }

    /// Acknowledge at once and keep nothing, for measurements: records are counted and cannot be read back, and
    /// leaders, faults and the journal play no part in Produce. Default: false.
    pub fn discard(mut self, yes: bool) -> Self {
        self.discard = yes;
        self
    }

    /// Judge batches in discard mode as well: checksum, structure, sequences per partition. Default: false.
    pub fn verify(mut self, yes: bool) -> Self {
        self.verify = yes;
        self
    }

    /// The level of the feature `transaction.version`: 2 for transactions whose epoch rises with each end (KIP-890), 1
    /// for those before. Default: what a new cluster of the release has, 2 for 4.x; releases before 4.0 lack the feature
    /// and have transactions of version 1.
    pub fn transaction_version(mut self, level: i16) -> Self {
        self.options.transaction_version = Some(level);
        self
    }

    /// `transaction.max.timeout.ms`: a producer that asks for more gets INVALID_TRANSACTION_TIMEOUT. Default: 15 minutes,
    /// as in Kafka.
    pub fn max_transaction_timeout(mut self, timeout: Duration) -> Self {
        self.options.max_transaction_timeout = timeout;
        self
    }

    /// Binds the ports and starts the brokers; they accept connections when this returns.
    ///
    /// # Errors
    /// A port is taken, the system refuses a socket or a thread, or a topic of [`topic`](Self::topic) or the level of
    /// [`transaction_version`](Self::transaction_version) is not possible.
    pub fn start(self) -> io::Result<MockCluster> {
        let levels = self.options.version.transaction_versions();
        let level = self.options.transaction_version;
        if let Some(level) = level.filter(|l| *l > 1 && !levels.is_some_and(|levels| levels.contains(l))) {
            let message = format!("Kafka {} has no transaction.version {level}", self.options.version);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let ports = (0..self.brokers)
            .map(|i| self.port_of(i).and_then(server::bind))
            .collect::<Result<Vec<_>, _>>()?;
        let numbers: Vec<u16> = ports.iter().map(|p| p.address.port()).collect();
        let mut options = self.options;
        if self.discard {
            // Measurements must not pay for a journal of requests that nobody reads.
            options.journal = options.journal.min(1000);
        }
        let mut state = ClusterState::new(options, "127.0.0.1", &numbers);
        if self.discard {
            state.keep_nothing();
        }
        for (name, partitions) in &self.topics {
            let replicas = state.default_replication();
            state.topology.create_topic(name, *partitions, replicas).map_err(|code| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("topic {name:?}: {code}"))
            })?;
        }
        let sink = self.discard.then(|| Sink::new(self.verify));
        let shared = Arc::new(Shared::new(state, sink));
        let start = |(node, port)| Broker::start_on(node, Arc::clone(&shared), port);
        let brokers = (1..).zip(ports).map(start).collect::<io::Result<Vec<_>>>()?;
        Ok(MockCluster::from_parts(shared, brokers))
    }

    fn port_of(&self, broker: usize) -> io::Result<u16> {
        if self.first_port == 0 {
            return Ok(0);
        }
        let offset = u16::try_from(broker).ok().and_then(|b| self.first_port.checked_add(b));
        offset.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not enough ports above the first"))
    }
}
