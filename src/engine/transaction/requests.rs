//! Asking a coordinator: which request, in which version, with what in it.

use std::time::Instant;

use super::Touched;
use super::rules::Ask;
use crate::engine::Engine;
use crate::engine::node::{NodeId, What};
use crate::engine::parcel::Identity;
use crate::protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopic;
use crate::protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use crate::protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest,
    TxnOffsetCommitRequest,
};
use crate::protocol::{ApiKey, Request};

/// A question under way.
#[derive(Debug)]
pub(in crate::engine) struct Errand {
    pub(super) ask: Ask,
    /// The transactional id or the group.
    pub(super) key: String,
    /// The offsets it is about.
    pub(super) job: Option<u64>,
    pub(super) sent: Instant,
}

impl Errand {
    /// The request that it is.
    pub(in crate::engine) fn api(&self) -> ApiKey {
        match self.ask {
            Ask::FindTransaction | Ask::FindGroup => ApiKey::FIND_COORDINATOR,
            Ask::Init | Ask::Bump => ApiKey::INIT_PRODUCER_ID,
            Ask::AddPartitions => ApiKey::ADD_PARTITIONS_TO_TXN,
            Ask::AddOffsets => ApiKey::ADD_OFFSETS_TO_TXN,
            Ask::CommitOffsets => ApiKey::TXN_OFFSET_COMMIT,
            Ask::Commit | Ask::Abort => ApiKey::END_TXN,
        }
    }
}

impl Engine {
    /// Asks, if whom to ask is known and connected; else sees to that.
    pub(super) fn ask_coordinator(&mut self, ask: Ask, now: Instant) {
        let Some(node) = self.reach_coordinator(ask, now) else { return };
        match ask {
            Ask::Init => self.ask_for_identity(node, None, now),
            Ask::Bump => {
                let current = self.identities.current();
                self.ask_for_identity(node, current, now);
            }
            Ask::AddPartitions => self.ask_to_add_partitions(node, now),
            Ask::AddOffsets => self.ask_to_add_offsets(node, now),
            Ask::CommitOffsets => self.ask_to_commit_offsets(node, now),
            Ask::Commit | Ask::Abort => self.ask_to_end(node, ask, now),
            Ask::FindTransaction | Ask::FindGroup => {}
        }
    }

    pub(super) fn send_errand<R: Request>(
        &mut self,
        node: NodeId,
        version: i16,
        request: &R,
        errand: Errand,
        now: Instant,
    ) {
        let ask = errand.ask;
        let sent = self.send_request(node, version, request, What::Coordinator(Box::new(errand)), now);
        if let Some(t) = self.transactions.as_deref_mut() {
            let line = t.line(ask);
            line.asking |= sent;
            line.not_before = None;
        }
    }

    fn errand(&self, ask: Ask, now: Instant) -> Errand {
        Errand {
            ask,
            key: self.transactions.as_deref().map_or_else(String::new, |t| t.id().to_owned()),
            job: None,
            sent: now,
        }
    }

    fn identity_parts(&self) -> (i64, i16) {
        self.identities.current().map_or((-1, -1), |identity| (identity.id, identity.epoch))
    }

    fn ask_for_identity(&mut self, node: NodeId, current: Option<Identity>, now: Instant) {
        // The version that raises epochs (KIP-360).
        let Some(version) = self.version_with::<InitProducerIdRequest>(node, 3, i16::MAX) else { return };
        let Some(t) = self.transactions.as_deref() else { return };
        let request = InitProducerIdRequest {
            transactional_id: Some(t.id().to_owned()),
            transaction_timeout_ms: i32::try_from(t.settings.timeout.as_millis()).unwrap_or(i32::MAX),
            producer_id: current.map_or(-1, |identity| identity.id),
            producer_epoch: current.map_or(-1, |identity| identity.epoch),
        };
        let errand = self.errand(if current.is_some() { Ask::Bump } else { Ask::Init }, now);
        self.send_errand(node, version, &request, errand, now);
    }

    fn ask_to_add_partitions(&mut self, node: NodeId, now: Instant) {
        let Some(version) = self.version_with::<AddPartitionsToTxnRequest>(node, 0, 3) else { return };
        let Some(t) = self.transactions.as_deref() else { return };
        let known = !t.ongoing.wanted.is_empty();
        let numbers = if known { t.ongoing.wanted.clone() } else { t.ongoing.unknown.clone() };
        let mut topics: Vec<AddPartitionsToTxnTopic> = Vec::new();
        let mut places: Vec<(&str, i32)> = numbers.iter().filter_map(|n| self.place_of(*n)).collect();
        places.sort_unstable();
        for (topic, partition) in places {
            match topics.last_mut().filter(|last| last.name == topic) {
                Some(last) => last.partitions.push(partition),
                None => topics
                    .push(AddPartitionsToTxnTopic { name: topic.to_owned(), partitions: vec![partition] }),
            }
        }
        let (producer_id, producer_epoch) = self.identity_parts();
        let transactional_id = t.id().to_owned();
        let request = AddPartitionsToTxnRequest { transactional_id, producer_id, producer_epoch, topics };
        let errand = self.errand(Ask::AddPartitions, now);
        self.send_errand(node, version, &request, errand, now);
        if let Some(t) = self.transactions.as_deref_mut() {
            t.touch(Touched::Maybe);
        }
    }

    /// A partition's topic and number in it.
    pub(super) fn place_of(&self, number: u32) -> Option<(&str, i32)> {
        let partition = self.partitions.get(number as usize)?.as_deref()?;
        Some((&partition.entry.tp.topic, partition.entry.tp.partition))
    }

    fn ask_to_add_offsets(&mut self, node: NodeId, now: Instant) {
        let Some(version) = self.version_with::<AddOffsetsToTxnRequest>(node, 0, 4) else { return };
        let Some(t) = self.transactions.as_deref() else { return };
        let Some(job) = t.ongoing.jobs.front() else { return };
        let (producer_id, producer_epoch) = self.identity_parts();
        let request = AddOffsetsToTxnRequest {
            transactional_id: t.id().to_owned(),
            producer_id,
            producer_epoch,
            group_id: job.group.group_id().to_owned(),
        };
        let errand = Errand { job: Some(job.id), ..self.errand(Ask::AddOffsets, now) };
        self.send_errand(node, version, &request, errand, now);
        if let Some(t) = self.transactions.as_deref_mut() {
            t.touch(Touched::Maybe);
        }
    }

    fn ask_to_commit_offsets(&mut self, node: NodeId, now: Instant) {
        // The version that knows the group's members (KIP-447).
        let Some(version) = self.version_with::<TxnOffsetCommitRequest>(node, 3, 4) else { return };
        let Some(t) = self.transactions.as_deref() else { return };
        let Some(job) = t.ongoing.jobs.front() else { return };
        let mut topics: Vec<TxnOffsetCommitRequestTopic> = Vec::new();
        for (tp, at) in &job.offsets {
            let partition = TxnOffsetCommitRequestPartition {
                partition_index: tp.partition,
                committed_offset: at.offset(),
                committed_leader_epoch: at.leader_epoch().unwrap_or(-1),
                // As Java sends a note that was not given.
                committed_metadata: Some(at.metadata().unwrap_or_default().to_owned()),
            };
            match topics.last_mut().filter(|last| *last.name == *tp.topic) {
                Some(last) => last.partitions.push(partition),
                None => topics.push(TxnOffsetCommitRequestTopic {
                    name: tp.topic.to_string(),
                    partitions: vec![partition],
                }),
            }
        }
        let (producer_id, producer_epoch) = self.identity_parts();
        let group = &job.group;
        let request = TxnOffsetCommitRequest {
            transactional_id: t.id().to_owned(),
            group_id: group.group_id().to_owned(),
            producer_id,
            producer_epoch,
            generation_id: group.generation_id().unwrap_or(-1),
            member_id: group.member_id().unwrap_or_default().to_owned(),
            group_instance_id: group.group_instance_id().map(str::to_owned),
            topics,
        };
        let errand = Errand {
            ask: Ask::CommitOffsets,
            key: group.group_id().to_owned(),
            job: Some(job.id),
            sent: now,
        };
        self.send_errand(node, version, &request, errand, now);
        if let Some(t) = self.transactions.as_deref_mut() {
            // In version 2 this makes the group part of the transaction.
            t.touch(Touched::Maybe);
        }
    }

    fn ask_to_end(&mut self, node: NodeId, ask: Ask, now: Instant) {
        let Some(version) = self.version_with::<EndTxnRequest>(node, 0, 4) else { return };
        let Some(t) = self.transactions.as_deref_mut() else { return };
        t.ongoing.ending = true;
        let transactional_id = t.id().to_owned();
        let (producer_id, producer_epoch) = self.identity_parts();
        let committed = ask == Ask::Commit;
        let request = EndTxnRequest { transactional_id, producer_id, producer_epoch, committed };
        let errand = self.errand(ask, now);
        self.send_errand(node, version, &request, errand, now);
    }
}
