//! Brokers, topics, partitions: who leads what, which replicas are in sync, what happens when a broker stops.
//!
//! Owned by the cluster's state and reached under its lock; takes none, reads no clock. Replication itself is not played:
//! a partition has one log, which every replica is deemed to share. KIP-516 (topic ids), KIP-320 (leader epochs).

use super::log::PartitionLog;
use crate::protocol::ErrorCode;
use crate::sync::Arc;
use std::collections::{BTreeMap, HashMap};

/// The id of a topic on the wire; all zeros means none.
pub(crate) type TopicId = [u8; 16];

const MAX_TOPIC_NAME: usize = 249;
/// More partitions than this for one topic is a mistake, or an attack on this process's memory.
const MAX_PARTITIONS: i32 = 100_000;

/// One broker as Metadata shows it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) alive: bool,
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) id: TopicId,
    pub(crate) partitions: Vec<Partition>,
}

#[derive(Debug)]
pub(crate) struct Partition {
    /// `None` while no in-sync replica is alive.
    pub(crate) leader: Option<i32>,
    /// Rises with every election, also with one that finds nobody.
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    /// Never empty: the last one stays even when its broker stops, since only it may lead again.
    pub(crate) in_sync: Vec<i32>,
    pub(crate) log: PartitionLog,
}

#[derive(Debug)]
pub(crate) struct Topology {
    nodes: BTreeMap<i32, Node>,
    topics: BTreeMap<Arc<str>, Topic>,
    names: HashMap<TopicId, Arc<str>>,
    created: u64,
}

impl Topology {
    /// Brokers 1 to `ports.len()`.
    pub(crate) fn new(host: &str, ports: &[u16]) -> Self {
        let node = |(id, &port): (i32, &u16)| (id, Node { id, host: host.to_owned(), port, alive: true });
        Self {
            nodes: (1..).zip(ports).map(node).collect(),
            topics: BTreeMap::new(),
            names: HashMap::new(),
            created: 0,
        }
    }

    pub(crate) fn node(&self, id: i32) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(crate) fn set_port(&mut self, id: i32, port: u16) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.port = port;
        }
    }

    pub(crate) fn node_ids(&self) -> Vec<i32> {
        self.nodes.keys().copied().collect()
    }

    /// All brokers by id, stopped ones included.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    pub(crate) fn live_nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|n| n.alive)
    }

    fn is_alive(&self, id: i32) -> bool {
        self.node(id).is_some_and(|n| n.alive)
    }

    pub(crate) fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values()
    }

    pub(crate) fn name_of(&self, id: &TopicId) -> Option<&Arc<str>> {
        self.names.get(id)
    }

    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.topics.get(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }

    pub(crate) fn partition_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Partition> {
        self.topics.get_mut(topic)?.partitions.get_mut(usize::try_from(partition).ok()?)
    }

    fn partition_or_unknown(&mut self, topic: &str, partition: i32) -> Result<&mut Partition, ErrorCode> {
        self.partition_mut(topic, partition).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
    }

    /// What `create_topic` would answer.
    pub(crate) fn check_new_topic(
        &self,
        name: &str,
        partitions: i32,
        replicas: usize,
    ) -> Result<(), ErrorCode> {
        if !is_legal_name(name) {
            return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
        }
        if self.topics.contains_key(name) {
            return Err(ErrorCode::TOPIC_ALREADY_EXISTS);
        }
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return Err(ErrorCode::INVALID_PARTITIONS);
        }
        if replicas == 0 || replicas > self.nodes.len() {
            return Err(ErrorCode::INVALID_REPLICATION_FACTOR);
        }
        Ok(())
    }

    /// Creates a topic whose partitions are led by each broker in turn.
    pub(crate) fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        replicas: usize,
    ) -> Result<(), ErrorCode> {
        self.check_new_topic(name, partitions, replicas)?;
        let name: Arc<str> = Arc::from(name);
        self.created += 1;
        let id = topic_id(self.created);
        let partitions = (0..partitions).map(|p| self.new_partition(p, replicas)).collect();
        self.names.insert(id, Arc::clone(&name));
        self.topics.insert(Arc::clone(&name), Topic { name, id, partitions });
        Ok(())
    }

    fn new_partition(&self, index: i32, replicas: usize) -> Partition {
        let ids = self.node_ids();
        let first = usize::try_from(index).unwrap_or(0);
        let replicas: Vec<i32> = ids
            .iter()
            .cycle()
            .skip(first % ids.len().max(1))
            .take(replicas.min(ids.len()))
            .copied()
            .collect();
        let mut in_sync: Vec<i32> = replicas.iter().copied().filter(|&r| self.is_alive(r)).collect();
        if in_sync.is_empty() {
            in_sync.extend(replicas.first());
        }
        let leader = in_sync.iter().copied().find(|&r| self.is_alive(r));
        Partition { leader, leader_epoch: 0, replicas, in_sync, log: PartitionLog::default() }
    }

    pub(crate) fn delete_topic(&mut self, name: &str) -> Result<(), ErrorCode> {
        let topic = self.topics.remove(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        self.names.remove(&topic.id);
        Ok(())
    }

    /// Raises the number of partitions to `total`.
    pub(crate) fn grow_topic(&mut self, name: &str, total: i32) -> Result<(), ErrorCode> {
        let topic = self.topics.get(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let now = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        if total <= now || total > MAX_PARTITIONS {
            return Err(ErrorCode::INVALID_PARTITIONS);
        }
        let replicas = topic.partitions.first().map_or(1, |p| p.replicas.len());
        let more: Vec<Partition> = (now..total).map(|p| self.new_partition(p, replicas)).collect();
        if let Some(topic) = self.topics.get_mut(name) {
            topic.partitions.extend(more);
        }
        Ok(())
    }

    /// Makes `node` the leader; it joins the replicas and the in-sync replicas if it was none. `None` leaves the
    /// partition without a leader.
    pub(crate) fn set_leader(
        &mut self,
        topic: &str,
        partition: i32,
        node: Option<i32>,
    ) -> Result<(), ErrorCode> {
        if node.is_some_and(|n| !self.is_alive(n)) {
            return Err(ErrorCode::BROKER_NOT_AVAILABLE);
        }
        let p = self.partition_or_unknown(topic, partition)?;
        for set in [&mut p.replicas, &mut p.in_sync] {
            if let Some(node) = node.filter(|n| !set.contains(n)) {
                set.push(node);
            }
        }
        p.lead(node);
        Ok(())
    }

    /// Sets the in-sync replicas to those of `nodes` that are replicas; the leader always stays one.
    pub(crate) fn set_in_sync(
        &mut self,
        topic: &str,
        partition: i32,
        nodes: &[i32],
    ) -> Result<(), ErrorCode> {
        let p = self.partition_or_unknown(topic, partition)?;
        let set: Vec<i32> =
            p.replicas.iter().copied().filter(|r| nodes.contains(r) || p.leader == Some(*r)).collect();
        if set.is_empty() {
            return Err(ErrorCode::INVALID_REPLICA_ASSIGNMENT);
        }
        p.in_sync = set;
        Ok(())
    }

    /// The broker is gone: it leaves the in-sync replicas, and what it led goes to the next one, or to nobody.
    pub(crate) fn stop_node(&mut self, id: i32) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.alive = false;
        let alive: Vec<i32> = self.live_nodes().map(|n| n.id).collect();
        for p in self.topics.values_mut().flat_map(|t| t.partitions.iter_mut()) {
            if p.in_sync.len() > 1 {
                p.in_sync.retain(|&r| r != id);
            }
            if p.leader == Some(id) {
                let next = p.replicas.iter().copied().find(|r| p.in_sync.contains(r) && alive.contains(r));
                p.lead(next);
            }
        }
    }

    /// The broker is back: it catches up at once, and leads what nobody leads.
    pub(crate) fn start_node(&mut self, id: i32) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.alive = true;
        for p in self.topics.values_mut().flat_map(|t| t.partitions.iter_mut()) {
            if !p.replicas.contains(&id) {
                continue;
            }
            if p.leader.is_some() && !p.in_sync.contains(&id) {
                p.in_sync.push(id);
            } else if p.leader.is_none() && p.in_sync.contains(&id) {
                p.lead(Some(id));
            }
        }
        self.rejoin();
    }

    /// Replicas that came back before their leader did join it now.
    fn rejoin(&mut self) {
        let alive: Vec<i32> = self.live_nodes().map(|n| n.id).collect();
        for p in self.topics.values_mut().flat_map(|t| t.partitions.iter_mut()) {
            if p.leader.is_some() {
                let back = p.replicas.iter().filter(|r| alive.contains(r) && !p.in_sync.contains(r));
                let back: Vec<i32> = back.copied().collect();
                p.in_sync.extend(back);
            }
        }
    }
}

impl Partition {
    fn lead(&mut self, leader: Option<i32>) {
        self.leader = leader;
        self.leader_epoch += 1;
    }
}

/// Distinct for every topic ever created in this cluster, also for two of one name; the same from run to run.
fn topic_id(number: u64) -> TopicId {
    let mut id = *b"mock-top\0\0\0\0\0\0\0\0";
    if let Some(tail) = id.last_chunk_mut::<8>() {
        *tail = number.to_be_bytes();
    }
    id
}

fn is_legal_name(name: &str) -> bool {
    let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= MAX_TOPIC_NAME && name != "." && name != ".." && name.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Topology {
        let mut t = Topology::new("127.0.0.1", &[1, 2, 3]);
        t.create_topic("t", 3, 2).unwrap();
        t
    }

    fn leaders(t: &Topology) -> Vec<Option<i32>> {
        t.topic("t").unwrap().partitions.iter().map(|p| p.leader).collect()
    }

    #[test]
    fn partitions_are_led_by_each_broker_in_turn() {
        assert_eq!(leaders(&three()), [Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn a_stopped_broker_hands_its_partitions_over_and_comes_back_as_a_follower() {
        let mut t = three();
        t.stop_node(1);
        assert_eq!(leaders(&t), [Some(2), Some(2), Some(3)]);
        let p = t.partition("t", 0).unwrap();
        assert_eq!((p.leader_epoch, p.in_sync.as_slice()), (1, &[2][..]));
        t.start_node(1);
        let p = t.partition("t", 0).unwrap();
        assert_eq!((p.leader, p.in_sync.as_slice()), (Some(2), &[2, 1][..]));
    }

    #[test]
    fn only_the_last_in_sync_replica_leads_again() {
        let mut t = three();
        t.stop_node(1);
        t.stop_node(2);
        assert_eq!(t.partition("t", 0).unwrap().leader, None);
        t.start_node(1);
        assert_eq!(t.partition("t", 0).unwrap().leader, None);
        t.start_node(2);
        let p = t.partition("t", 0).unwrap();
        assert_eq!((p.leader, p.in_sync.as_slice()), (Some(2), &[2, 1][..]));
    }

    #[test]
    fn a_topic_created_again_has_another_id() {
        let mut t = three();
        let old = t.topic("t").unwrap().id;
        t.delete_topic("t").unwrap();
        t.create_topic("t", 1, 1).unwrap();
        assert_ne!(t.topic("t").unwrap().id, old);
        assert!(t.name_of(&old).is_none());
    }

    #[test]
    fn nonsense_is_refused() {
        let mut t = three();
        assert_eq!(t.create_topic("t", 1, 1), Err(ErrorCode::TOPIC_ALREADY_EXISTS));
        assert_eq!(t.create_topic("a b", 1, 1), Err(ErrorCode::INVALID_TOPIC_EXCEPTION));
        assert_eq!(t.create_topic("u", 0, 1), Err(ErrorCode::INVALID_PARTITIONS));
        assert_eq!(t.create_topic("u", 1, 4), Err(ErrorCode::INVALID_REPLICATION_FACTOR));
        assert_eq!(t.grow_topic("t", 3), Err(ErrorCode::INVALID_PARTITIONS));
        assert_eq!(t.set_leader("t", 0, Some(9)), Err(ErrorCode::BROKER_NOT_AVAILABLE));
    }
}
