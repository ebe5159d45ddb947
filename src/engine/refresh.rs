//! Metadata requests and what their answers change: brokers, leaders, topics.

use std::collections::HashSet;
use std::time::Instant;

use super::Engine;
use super::action::Address;
use super::metadata::{PartitionMeta, TopicId};
use super::node::{Node, NodeId, What};
use super::partition::Partition;
use crate::error::{Error, ErrorKind};
use crate::metrics::Event;
use crate::partitioner::PartitionInfo;
use crate::protocol::ErrorCode;
use crate::protocol::messages::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::protocol::messages::{MetadataRequest, MetadataResponse};
use crate::sync::Arc;

impl Engine {
    /// Asks for metadata if that is due; begins anew from the bootstrap addresses if it was missing for too long.
    pub(super) fn refresh_metadata(&mut self, now: Instant) {
        if self.metadata.is_lost(now) && self.nodes.values().any(|n| !n.is_bootstrap()) {
            log::info!(target: "kafka_producer::engine", "no metadata for long; back to the bootstrap servers");
            self.rebootstrap(now);
        }
        let Some(ask) = self.metadata.due(now) else { return };
        let Some(node) = self.least_loaded(now) else { return };
        let Some(connection) = self.nodes.get_mut(&node).and_then(|n| n.connection()) else { return };
        let Some(version) = connection.versions.metadata else { return };
        let topic = |name: &Arc<str>| MetadataRequestTopic {
            name: Some(name.to_string()),
            topic_id: TopicId::default(),
        };
        let request = MetadataRequest {
            topics: Some(ask.topics.iter().map(topic).collect()),
            allow_auto_topic_creation: self.settings.allow_auto_create,
            ..MetadataRequest::default()
        };
        let what = What::Metadata { topics: ask.topics.clone(), full: ask.full };
        if self.send_request(node, version, &request, what, now) {
            self.metadata.asked(&ask);
        }
    }

    /// When metadata or a producer id should be asked for, or somebody can be connected to for that.
    pub(super) fn next_wish(&self) -> Option<Instant> {
        [
            self.metadata.next_due(),
            self.metadata.lost_at(),
            self.identities.next_due(),
            self.next_connect_chance(),
        ]
        .into_iter()
        .flatten()
        .filter(|at| self.is_ahead(*at))
        .min()
    }

    /// Gives up all known brokers.
    fn rebootstrap(&mut self, now: Instant) {
        for node in self.nodes.values_mut() {
            node.retired = !node.is_bootstrap();
        }
        self.bring_back_bootstrap();
        self.metadata.rebootstrap(now, &mut self.rng);
        let gone: Vec<_> = self.nodes.values().filter(|n| n.retired).map(|n| n.id).collect();
        for id in gone {
            self.close_node(id, now);
        }
    }

    pub(super) fn metadata_answered(
        &mut self,
        answer: MetadataResponse,
        asked: &[Arc<str>],
        full: bool,
        now: Instant,
    ) {
        self.answer.code(answer.error_code);
        if answer.error_code == ErrorCode::REBOOTSTRAP_REQUIRED {
            return self.rebootstrap(now);
        }
        if answer.error_code.is_error() || !self.update_brokers(&answer.brokers, now) {
            let message = format!("metadata without usable brokers: {}", answer.error_code);
            self.last_trouble = Some(Error::new(ErrorKind::Broker, message).with_code(answer.error_code));
            return self.metadata.failed(now, &mut self.rng);
        }
        if let Some((before, after)) = self.metadata.answered_by(answer.cluster_id) {
            log::warn!(target: "kafka_producer::engine",
                "the brokers are now those of cluster {after:?}, and were those of cluster {before:?}; check that all of \
                 bootstrap.servers belong to one cluster");
        }
        self.acc.metrics.metadata_applied(now);
        let (brokers, topics) = (answer.brokers.len(), answer.topics.len());
        self.acc.metrics.tell(|| Event::MetadataUpdated { brokers, topics });
        let mut missing: HashSet<&str> = asked.iter().map(|name| &**name).collect();
        let mut complete = true;
        for topic in answer.topics {
            let Some(name) = topic.name.clone() else { continue };
            missing.remove(name.as_str());
            complete &= self.update_topic(&name, topic, now);
        }
        for name in &missing {
            let message = "the broker's metadata does not mention the topic";
            self.report_topic(name, Error::new(ErrorKind::Broker, message), false);
        }
        let complete = complete && missing.is_empty();
        let known = |name: &Arc<str>| self.metadata.topics.get(name);
        let helps = asked.iter().filter_map(known).flat_map(|t| &t.partitions).all(|p| p.leader.is_some());
        self.metadata.answered(complete, helps, full, now, &mut self.rng);
        self.update_shares();
        self.leave_the_silent(now);
    }

    /// `false` if the list has no broker that could be connected to.
    fn update_brokers(&mut self, brokers: &[MetadataResponseBroker], now: Instant) -> bool {
        let usable = |b: &&MetadataResponseBroker| {
            let clean = !b.host.bytes().any(|c| c.is_ascii_control() || c == b' ');
            b.node_id >= 0 && (1..=255).contains(&b.host.len()) && clean && (1..=65_535).contains(&b.port)
        };
        let listed: HashSet<NodeId> = brokers.iter().filter(usable).map(|b| b.node_id).collect();
        if listed.is_empty() {
            return false;
        }
        for broker in brokers.iter().filter(usable) {
            self.add_node(broker.node_id, &broker.host, broker.port);
        }
        for node in self.nodes.values_mut() {
            node.retired = !listed.contains(&node.id);
        }
        let _ = now;
        true
    }

    /// Makes a broker known, or notes its new address. A connection to the old one, where another broker may listen by
    /// now, ends with the last answer that it owes.
    pub(super) fn add_node(&mut self, id: NodeId, host: &str, port: i32) {
        let Ok(port) = u16::try_from(port) else { return };
        let address = Address { host: Arc::from(host), port };
        let node = self.nodes.entry(id).or_insert_with(|| Node::new(id, address.clone()));
        if node.address != address {
            node.address = address;
            if let Some(connection) = node.connection() {
                connection.outdated = true;
            }
        }
        node.retired = false;
    }

    /// `false` if the topic could not be described, or lacks a partition that somebody waits for.
    fn update_topic(&mut self, name: &str, topic: MetadataResponseTopic, now: Instant) -> bool {
        let Some(meta) = self.metadata.topics.get(name) else { return true };
        let (entry, known_id) = (meta.entry.clone(), meta.id);
        let code = topic.error_code;
        if code.is_error() {
            let final_ =
                matches!(code, ErrorCode::INVALID_TOPIC_EXCEPTION | ErrorCode::TOPIC_AUTHORIZATION_FAILED);
            let kind = match code {
                ErrorCode::INVALID_TOPIC_EXCEPTION => ErrorKind::InvalidTopic,
                ErrorCode::TOPIC_AUTHORIZATION_FAILED => ErrorKind::Authorization,
                _ => ErrorKind::Broker,
            };
            let message = format!("topic {name}: {}, {code}", code.description());
            let error = Error::new(kind, message).with_code(code);
            self.report_topic(name, error.with_retriable(code.is_retriable()), final_);
            return final_;
        }
        let Some(parts) = in_order(topic.partitions) else {
            let message = format!("the metadata of topic {name} has no partitions, or not each of them once");
            self.report_topic(name, Error::new(ErrorKind::Protocol, message), false);
            return false;
        };
        // A topic deleted and created anew: its leader epochs begin again (KIP-516).
        let told_id = if topic.topic_id == TopicId::default() { known_id } else { topic.topic_id };
        let recreated = known_id != TopicId::default() && told_id != known_id;
        // Without ids nobody can tell a new topic of the same name, whose epochs begin again, from an old answer.
        let reliable = told_id != TopicId::default() && !recreated;
        let known = if reliable { meta.partitions.clone() } else { Vec::new() };
        let infos: Vec<PartitionInfo> =
            parts.iter().map(|p| self.info(p, known.get(p.partition_index as usize))).collect();
        self.metadata.set_id(&entry.name, told_id);
        let leaders: Vec<(Option<i32>, Option<i32>)> = parts
            .iter()
            .zip(&infos)
            .map(|(p, info)| {
                let told = (p.leader_epoch >= 0).then_some(p.leader_epoch);
                let before = known.get(p.partition_index as usize).and_then(|k| k.epoch);
                (info.leader, told.max(before))
            })
            .collect();
        let snapshot = self.acc.publish_topic(&entry, infos);
        let mut partitions = Vec::with_capacity(leaders.len());
        for (entry, (leader, epoch)) in snapshot.partitions.iter().zip(leaders) {
            let number = self.partition_of(entry);
            if let Some(partition) = self.partition(number).filter(|_| recreated) {
                partition.lane.forgotten();
            }
            partitions.push(PartitionMeta { number, leader, epoch });
            self.set_leader(number, leader, now);
        }
        if let Some(meta) = self.metadata.topics.get_mut(name) {
            let before = std::mem::replace(&mut meta.partitions, partitions);
            let count = meta.partitions.len();
            self.abandon(before.iter().skip(count).map(|p| p.number));
        }
        // A partition that somebody waits for may be about to be added.
        !entry.awaits_more()
    }

    /// A partition for those who look at topics. An answer with an older leader epoch than is known is out of date:
    /// the known leader stays (KIP-320).
    fn info(&self, told: &MetadataResponsePartition, known: Option<&PartitionMeta>) -> PartitionInfo {
        let outdated =
            known.and_then(|k| k.epoch).is_some_and(|epoch| (0..epoch).contains(&told.leader_epoch));
        let leader = if outdated {
            known.and_then(|k| k.leader)
        } else {
            Some(told.leader_id).filter(|id| *id >= 0 && self.nodes.get(id).is_some_and(|n| !n.retired))
        };
        PartitionInfo {
            partition: told.partition_index,
            leader,
            replicas: told.replica_nodes.clone(),
            in_sync_replicas: told.isr_nodes.clone(),
        }
    }

    fn report_topic(&self, name: &str, error: Error, final_: bool) {
        if let Some(topic) = self.metadata.topics.get(name) {
            topic.entry.report(error, final_);
        }
    }

    /// A produce response names the new leader itself (KIP-951). `true` if that is news.
    pub(super) fn learn_leader(
        &mut self,
        topic: &str,
        partition: usize,
        leader: i32,
        epoch: i32,
        now: Instant,
    ) -> bool {
        if self.nodes.get(&leader).is_none_or(|n| n.retired) {
            return false;
        }
        let Some(known) = self.metadata.topics.get_mut(topic).and_then(|t| t.partitions.get_mut(partition))
        else {
            return false;
        };
        if known.epoch.is_some_and(|e| e >= epoch) {
            return false;
        }
        known.epoch = Some(epoch);
        known.leader = Some(leader);
        let number = known.number;
        self.set_leader(number, Some(leader), now);
        true
    }

    /// Bounds what one leader may hold of the memory as soon as there are several.
    fn update_shares(&self) {
        let leaders: HashSet<i32> =
            self.metadata.topics.values().flat_map(|t| &t.partitions).filter_map(|p| p.leader).collect();
        self.acc.set_several_leaders(leaders.len() > 1);
    }

    /// Forgets topics that nobody used for `metadata.max.idle.ms` and that have nothing to send.
    pub(super) fn forget_idle_topics(&mut self, now: Instant) {
        let partitions = &self.partitions;
        let busy = |number: u32| {
            let partition = partitions.get(number as usize).and_then(Option::as_deref);
            partition.is_some_and(Partition::is_busy)
        };
        let members = self.transactions.as_ref().map(|t| t.members().clone()).unwrap_or_default();
        let idle = self.metadata.take_idle(now, |topic| {
            topic.partitions.iter().any(|p| busy(p.number) || members.contains(&p.number))
        });
        for topic in idle {
            self.acc.forget_topic(&topic.entry.name);
            self.abandon(topic.partitions.iter().map(|p| p.number));
        }
        self.drop_forgotten();
    }

    /// No topic in use has these partitions any more.
    fn abandon(&mut self, numbers: impl Iterator<Item = u32>) {
        for number in numbers {
            let identity = self.partition(number).and_then(|p| p.lane.identity());
            self.identities.forget(identity);
            self.forgotten.push(number);
        }
    }

    /// Lets go of partitions that nobody can reach: a thread within a `send` may still hold one for a while.
    fn drop_forgotten(&mut self) {
        let mut forgotten = std::mem::take(&mut self.forgotten);
        forgotten.retain(|number| {
            let partition = self.partitions.get(*number as usize).and_then(Option::as_deref);
            let gone = partition.is_none_or(|p| !p.is_busy() && Arc::strong_count(&p.entry) == 1);
            if gone {
                self.drop_partition(*number);
            }
            !gone
        });
        self.forgotten = forgotten;
    }
}

/// The partitions by index, if each from 0 to the last is there exactly once.
fn in_order(mut partitions: Vec<MetadataResponsePartition>) -> Option<Vec<MetadataResponsePartition>> {
    partitions.sort_by_key(|p| p.partition_index);
    let whole = partitions.iter().enumerate().all(|(at, p)| usize::try_from(p.partition_index) == Ok(at));
    (whole && !partitions.is_empty()).then_some(partitions)
}
