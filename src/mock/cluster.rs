//! [`MockCluster`]: what tests do to the cluster and ask of it.
//!
//! Runs on the caller's thread; each call takes the state's lock briefly, or joins threads where it says so.

use super::builder::MockClusterBuilder;
use super::fault::{Fault, FaultHandle};
use super::journal::ReceivedRequest;
use super::server::{Broker, Shared};
use super::state::ClusterState;
use super::stats::ClusterStats;
use super::stored::{BatchInfo, StoredRecord};
use super::topology::Partition;
use crate::clock;
use crate::protocol::{ApiKey, ErrorCode};
use crate::sync::Arc;
use crate::sync::MutexGuard;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;

/// A Kafka cluster inside this process, on real sockets of the loopback interface.
///
/// It is `Send + Sync`; share it by reference or in an `Arc`. Dropping it closes every connection and joins every
/// thread. Brokers have the node ids 1, 2, 3 and so on. See the [module](super) for an example.
pub struct MockCluster {
    shared: Arc<Shared>,
    brokers: Vec<Broker>,
}

impl MockCluster {
    /// Starts `brokers` brokers with the default options: newest version, topics created on demand.
    ///
    /// # Errors
    /// The system refuses a socket or a thread.
    pub fn start(brokers: usize) -> io::Result<Self> {
        Self::builder().brokers(brokers).start()
    }

    /// For everything else.
    ///
    /// ```
    /// use kafka_producer::mock::{BrokerVersion, MockCluster};
    /// let cluster = MockCluster::builder()
    ///     .brokers(3)
    ///     .version(BrokerVersion::V2_8)
    ///     .auto_create(false)
    ///     .topic("orders", 6)
    ///     .min_in_sync(2)
    ///     .start()?;
    /// assert_eq!(cluster.leader("orders", 1), Some(2));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn builder() -> MockClusterBuilder {
        MockClusterBuilder::new()
    }

    pub(super) fn from_parts(shared: Arc<Shared>, brokers: Vec<Broker>) -> Self {
        Self { shared, brokers }
    }

    fn state(&self) -> MutexGuard<'_, ClusterState> {
        self.shared.state.lock()
    }

    /// The state once everything is done that is due by now.
    pub(super) fn settled(&self) -> MutexGuard<'_, ClusterState> {
        let mut state = self.state();
        state.set_wall_clock(clock::wall_millis());
        state.advance(clock::now());
        state
    }

    /// Changes the state and wakes whoever waits for a change.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut ClusterState) -> R) -> R {
        let result = change(&mut self.settled());
        // What waited for this change, such as markers for a leader, is done now.
        drop(self.settled());
        self.shared.notify();
        result
    }

    fn broker(&self, node: i32) -> io::Result<&Broker> {
        let none = || io::Error::new(io::ErrorKind::NotFound, format!("there is no broker {node}"));
        self.brokers.iter().find(|b| b.node == node).ok_or_else(none)
    }

    // ---- addresses ------------------------------------------------------------------------------------------------

    /// `host:port` of every broker, stopped ones included, separated by commas: the value of `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> String {
        let addresses: Vec<String> = self.brokers.iter().map(|b| b.address().to_string()).collect();
        addresses.join(",")
    }

    /// `host:port` of one broker; `None` if there is no such broker.
    pub fn address(&self, node: i32) -> Option<String> {
        self.broker(node).ok().map(|b| b.address().to_string())
    }

    /// The node ids of all brokers, stopped ones included.
    pub fn nodes(&self) -> Vec<i32> {
        self.brokers.iter().map(|b| b.node).collect()
    }

    // ---- topics ---------------------------------------------------------------------------------------------------

    /// Creates a topic; its partitions are led by each broker in turn.
    ///
    /// # Errors
    /// What a broker would answer: TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION, INVALID_PARTITIONS.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), ErrorCode> {
        self.change(|s| {
            let replicas = s.default_replication();
            s.topology.create_topic(name, partitions, replicas)
        })
    }

    /// Deletes a topic with its records.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION.
    pub fn delete_topic(&self, name: &str) -> Result<(), ErrorCode> {
        let result = self.change(|s| s.topology.delete_topic(name));
        self.reshaped(name);
        result
    }

    /// Deletes a topic and creates it again with as many partitions, empty and with another topic id.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION.
    pub fn recreate_topic(&self, name: &str) -> Result<(), ErrorCode> {
        let result = self.change(|s| {
            let partitions = s.topology.topic(name).map_or(0, |t| t.partitions.len());
            s.topology.delete_topic(name)?;
            let replicas = s.default_replication();
            s.topology.create_topic(name, i32::try_from(partitions).unwrap_or(i32::MAX), replicas)
        });
        self.reshaped(name);
        result
    }

    /// Raises the number of partitions to `total`.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION; INVALID_PARTITIONS if that is no raise.
    pub fn add_partitions(&self, name: &str, total: i32) -> Result<(), ErrorCode> {
        let result = self.change(|s| s.topology.grow_topic(name, total));
        self.reshaped(name);
        result
    }

    fn reshaped(&self, name: &str) {
        if let Some(sink) = &self.shared.sink {
            sink.forget(name);
        }
    }

    /// The names of all topics, sorted.
    pub fn topics(&self) -> Vec<String> {
        self.state().topology.topics().map(|t| t.name.to_string()).collect()
    }

    /// How many partitions a topic has; `None` if there is no such topic.
    pub fn partition_count(&self, topic: &str) -> Option<usize> {
        self.state().topology.topic(topic).map(|t| t.partitions.len())
    }

    /// The 16 bytes of a topic's id; `None` if there is no such topic.
    pub fn topic_id(&self, topic: &str) -> Option<[u8; 16]> {
        self.state().topology.topic(topic).map(|t| t.id)
    }

    // ---- reading back ---------------------------------------------------------------------------------------------

    /// The records of a partition in order, whatever becomes or became of their transactions; none if there is no such partition, or in discard mode.
    pub fn records(&self, topic: &str, partition: i32) -> Vec<StoredRecord> {
        self.state().topology.partition(topic, partition).map_or_else(Vec::new, |p| p.log.records())
    }

    /// The records of all partitions of a topic, each with the partition it lies in, partition by partition; as
    /// [`records`](Self::records) otherwise.
    pub fn topic_records(&self, topic: &str) -> Vec<(i32, StoredRecord)> {
        let state = self.state();
        let partitions = state.topology.topic(topic).map(|t| t.partitions.as_slice()).unwrap_or_default();
        let of = |(index, p): (i32, &Partition)| p.log.records().into_iter().map(move |r| (index, r));
        (0..).zip(partitions).flat_map(of).collect()
    }

    /// The batches of a partition in order; none if there is no such partition, or in discard mode.
    pub fn batches(&self, topic: &str, partition: i32) -> Vec<BatchInfo> {
        self.state().topology.partition(topic, partition).map_or_else(Vec::new, |p| p.log.batches())
    }

    /// The offset that the next record of a partition gets; `None` if there is no such partition. Counts in discard
    /// mode too.
    pub fn end_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        let kept = self.state().topology.partition(topic, partition).map(|p| p.log.end_offset())?;
        Some(self.shared.sink.as_ref().and_then(|s| s.end_offset(topic, partition)).unwrap_or(kept))
    }

    /// How many records all partitions of a topic have together, aborted ones included, markers not.
    pub fn record_count(&self, topic: &str) -> usize {
        let kept: Vec<i64> = {
            let state = self.state();
            let partitions = state.topology.topic(topic).map(|t| t.partitions.as_slice()).unwrap_or_default();
            partitions.iter().map(|p| p.log.record_count()).collect()
        };
        let sunk = |(index, kept): (i32, i64)| {
            self.shared.sink.as_ref().and_then(|s| s.end_offset(topic, index)).unwrap_or(kept)
        };
        usize::try_from((0..).zip(kept).map(sunk).sum::<i64>()).unwrap_or(0)
    }

    /// The requests of one API in the order they were handled, as far back as the journal goes. In discard mode Produce
    /// is not in it.
    pub fn requests(&self, api: ApiKey) -> Vec<ReceivedRequest> {
        self.state().journal.of(api)
    }

    /// All requests in the order they were handled, as far back as the journal goes.
    pub fn journal(&self) -> Vec<ReceivedRequest> {
        self.state().journal.all()
    }

    /// Forgets the journal's entries.
    pub fn clear_journal(&self) {
        self.change(|s| s.journal.clear());
    }

    /// What no correct producer does and somebody did: batches with a wrong checksum or structure, requests that
    /// cannot be read, versions that were never offered. The newest 100, as text. Not gathered in discard mode.
    pub fn violations(&self) -> Vec<String> {
        self.state().violations()
    }

    /// What was received since the start.
    pub fn stats(&self) -> ClusterStats {
        let mut stats = self.state().stats;
        stats.connections = self.shared.connections();
        if let Some(sink) = &self.shared.sink {
            let tally = sink.tally();
            stats.requests += tally.requests;
            stats.produce_requests += tally.requests;
            stats.produce_bytes += tally.bytes;
            stats.batches += tally.batches;
            stats.compressed_batches += tally.compressed;
            stats.records += tally.records;
            stats.refused_batches += tally.refused;
        }
        stats
    }

    /// How many connections a broker has open at the moment; 0 if there is no such broker.
    pub fn open_connections(&self, node: i32) -> usize {
        self.broker(node).map_or(0, Broker::open_connections)
    }

    /// Waits until `condition` holds, for at most `timeout`, and says whether it does. The condition is asked at once
    /// and after each change, so a test needs no sleeping.
    ///
    /// ```
    /// use kafka_producer::mock::MockCluster;
    /// use std::time::Duration;
    /// let cluster = MockCluster::start(1)?;
    /// assert!(!cluster.wait_until(Duration::from_millis(1), |c| c.record_count("orders") == 3));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_until(&self, timeout: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        self.shared.wait_until(clock::deadline(clock::now(), timeout), || condition(self))
    }

    // ---- leaders and replicas -------------------------------------------------------------------------------------

    /// The node id of a partition's leader; `None` if it has none, or there is no such partition.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        self.state().topology.partition(topic, partition)?.leader
    }

    /// A partition's leader epoch; `None` if there is no such partition.
    pub fn leader_epoch(&self, topic: &str, partition: i32) -> Option<i32> {
        self.state().topology.partition(topic, partition).map(|p| p.leader_epoch)
    }

    /// Makes a running broker the leader, a new replica if need be; the leader epoch rises.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION; BROKER_NOT_AVAILABLE if the broker is stopped or does not exist.
    pub fn set_leader(&self, topic: &str, partition: i32, node: i32) -> Result<(), ErrorCode> {
        self.change(|s| s.topology.set_leader(topic, partition, Some(node)))
    }

    /// Takes a partition's leader away; the leader epoch rises.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION.
    pub fn remove_leader(&self, topic: &str, partition: i32) -> Result<(), ErrorCode> {
        self.change(|s| s.topology.set_leader(topic, partition, None))
    }

    /// The node ids of the replicas in sync; empty if there is no such partition.
    pub fn in_sync(&self, topic: &str, partition: i32) -> Vec<i32> {
        self.state().topology.partition(topic, partition).map_or_else(Vec::new, |p| p.in_sync.clone())
    }

    /// Sets the replicas in sync; the leader stays one in any case.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION; INVALID_REPLICA_ASSIGNMENT if none of them is a replica.
    pub fn set_in_sync(&self, topic: &str, partition: i32, nodes: &[i32]) -> Result<(), ErrorCode> {
        self.change(|s| s.topology.set_in_sync(topic, partition, nodes))
    }

    /// Loses every record from the batch that holds `offset` on, as an unclean leader election does; the leader epoch
    /// rises.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION.
    pub fn truncate(&self, topic: &str, partition: i32, offset: i64) -> Result<(), ErrorCode> {
        self.change(|s| {
            let p =
                s.topology.partition_mut(topic, partition).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
            p.log.truncate(offset);
            let leader = p.leader;
            s.topology.set_leader(topic, partition, leader)
        })
    }

    /// Deletes the records before `offset`, as retention does: the log starts there.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION.
    pub fn delete_records(&self, topic: &str, partition: i32, offset: i64) -> Result<(), ErrorCode> {
        self.change(|s| {
            let p =
                s.topology.partition_mut(topic, partition).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
            p.log.delete_before(offset);
            Ok(())
        })
    }

    /// Forgets what a partition remembers of an idempotent producer; says whether it remembered anything.
    pub fn forget_producer(&self, topic: &str, partition: i32, producer_id: i64) -> bool {
        self.change(|s| {
            s.topology.partition_mut(topic, partition).is_some_and(|p| p.log.forget_producer(producer_id))
        })
    }

    /// The producer id and epoch that the next InitProducerId gets; later ones count on from there.
    pub fn set_next_producer(&self, producer_id: i64, epoch: i16) {
        self.change(|s| s.set_next_producer(producer_id, epoch));
    }

    // ---- brokers --------------------------------------------------------------------------------------------------

    /// Kills a broker: its port refuses connections, its connections close, and partitions it led go to an in-sync
    /// replica that runs, or have no leader. Blocks until its threads have ended. Does nothing if it is stopped.
    ///
    /// # Errors
    /// There is no such broker.
    pub fn stop_broker(&self, node: i32) -> io::Result<()> {
        self.broker(node)?.stop();
        self.change(|s| s.topology.stop_node(node));
        Ok(())
    }

    /// Starts a stopped broker on its old port. It catches up at once and leads what nobody leads. Does nothing if it
    /// runs.
    ///
    /// # Errors
    /// There is no such broker; its port was taken meanwhile (not on Linux, where it stays reserved).
    pub fn start_broker(&self, node: i32) -> io::Result<()> {
        self.broker(node)?.start()?;
        self.change(|s| s.topology.start_node(node));
        Ok(())
    }

    /// Starts a stopped broker on a new port. [`bootstrap_servers`](Self::bootstrap_servers) changes with it.
    ///
    /// # Errors
    /// There is no such broker, or it runs.
    pub fn start_broker_on_new_port(&self, node: i32) -> io::Result<()> {
        let address = self.broker(node)?.move_to_new_port()?;
        self.change(|s| {
            s.topology.set_port(node, address.port());
            s.topology.start_node(node);
        });
        Ok(())
    }

    /// Whether a broker listens; `false` if there is no such broker.
    pub fn is_running(&self, node: i32) -> bool {
        self.broker(node).is_ok_and(Broker::is_running)
    }

    /// The broker accepts connections and keeps those it has, but handles nothing, as a stopped process does. It stays
    /// the leader of what it leads. Does nothing if the broker is stopped; one that is started is not paused.
    ///
    /// # Errors
    /// There is no such broker.
    pub fn pause_broker(&self, node: i32) -> io::Result<()> {
        self.broker(node)?.pause(true);
        Ok(())
    }

    /// Lets a paused broker go on with what has arrived meanwhile.
    ///
    /// # Errors
    /// There is no such broker.
    pub fn resume_broker(&self, node: i32) -> io::Result<()> {
        self.broker(node)?.pause(false);
        Ok(())
    }

    /// Closes every connection to a broker, which goes on listening.
    ///
    /// # Errors
    /// There is no such broker.
    pub fn disconnect(&self, node: i32) -> io::Result<()> {
        self.broker(node)?.disconnect_all();
        Ok(())
    }

    /// Every answer of a broker leaves that much later; zero ends it. A number that no broker has does nothing.
    pub fn set_latency(&self, node: i32, latency: Duration) {
        self.change(|s| s.set_latency(node, latency));
    }

    // ---- faults ---------------------------------------------------------------------------------------------------

    /// Puts a fault in force. In discard mode, Produce requests meet none.
    pub fn inject(&self, fault: Fault) -> FaultHandle {
        self.change(|s| s.faults.inject(fault))
    }

    /// The faults in force that have met fewer requests (or connections) than they were to meet, as they were given;
    /// one for [`always`](Fault::always) is among them until it has met something. A test that ends with none has seen
    /// all it asked for, and misspelt no topic.
    ///
    /// ```
    /// use kafka_producer::mock::{Fault, MockCluster};
    /// use kafka_producer::protocol::ApiKey;
    /// let cluster = MockCluster::start(1)?;
    /// cluster.inject(Fault::on(ApiKey::PRODUCE).topic("ordres").drop_after());
    /// assert_eq!(cluster.unspent_faults().len(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn unspent_faults(&self) -> Vec<Fault> {
        self.state().faults.unspent()
    }

    /// Takes every fault back.
    pub fn clear_faults(&self) {
        self.change(|s| s.faults.clear());
    }
}

impl fmt::Debug for MockCluster {
    /// Its shape, and no record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let ends =
            |partitions: &[Partition]| partitions.iter().map(|p| p.log.end_offset()).collect::<Vec<_>>();
        let topics: BTreeMap<&str, Vec<i64>> =
            state.topology.topics().map(|t| (&*t.name, ends(&t.partitions))).collect();
        f.debug_struct("MockCluster")
            .field("version", &state.options.version)
            .field("brokers", &state.topology.nodes().map(|n| (n.id, n.port, n.alive)).collect::<Vec<_>>())
            .field("end_offsets", &topics)
            .field("unspent_faults", &state.faults.unspent())
            .field("violations", &state.violations())
            .finish_non_exhaustive()
    }
}
