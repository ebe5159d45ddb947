//! Which brokers coordinate the transactional id and the consumer group, reaching them, and which protocol they speak
//! (KIP-584, KIP-699, KIP-890).
//!
//! A coordinator is asked for when it is needed, and again when it says that it is none, or cannot be reached.

use std::time::Instant;

use super::rules::{Ask, Reaction, react};
use super::{Errand, Protocol, Transactions};
use crate::engine::Engine;
use crate::engine::node::{Link, NodeId};
use crate::error::{Error, ErrorKind};
use crate::protocol::messages::{
    EndTxnRequest, FindCoordinatorRequest, FindCoordinatorResponse, ProduceRequest, TxnOffsetCommitRequest,
};
use crate::protocol::{ErrorCode, Request};

/// What the key of a FindCoordinator request is.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// From this version on a request asks for several keys.
const BATCHED: i16 = 4;

/// The broker that keeps the transactional id's state.
#[derive(Debug, Default)]
pub(super) struct Coordinator {
    pub(super) node: Option<NodeId>,
}

/// The broker that keeps a consumer group's offsets.
#[derive(Debug, Default)]
pub(super) struct GroupCoordinator {
    pub(super) group: String,
    pub(super) node: Option<NodeId>,
}

/// What the brokers have settled on, as far as transactions go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// Newer ones replace older ones; `None` if the broker told none.
    pub(crate) epoch: Option<i64>,
    /// The finalized `transaction.version`; 0 if there is none.
    pub(crate) transaction_version: i16,
}

impl Transactions {
    /// Decides which protocol the next transaction speaks. `versions`: those of the coordinator, if it is connected.
    pub(super) fn choose_protocol(&mut self, coordinator_has_all: Option<bool>) {
        let Some(has_all) = coordinator_has_all else { return };
        let next =
            if has_all && self.features.transaction_version >= 2 { Protocol::V2 } else { Protocol::V1 };
        if (self.protocol, next) == (Protocol::V1, Protocol::V2) {
            // So that no batch of a version 1 transaction carries the epoch of one of version 2.
            self.bump = true;
        }
        self.protocol = next;
    }

    /// Whom to ask about this.
    fn whom(&self, ask: Ask) -> Option<NodeId> {
        if ask == Ask::CommitOffsets {
            let group = self.ongoing.jobs.front().map(|job| job.group.group_id());
            self.group.node.filter(|_| group == Some(&self.group.group))
        } else {
            self.coordinator.node
        }
    }

    pub(super) fn forget_coordinator(&mut self, ask: Ask) {
        if matches!(ask, Ask::CommitOffsets | Ask::FindGroup) {
            self.group.node = None;
        } else {
            self.coordinator.node = None;
        }
    }
}

impl Engine {
    /// A broker told what the cluster has settled on.
    pub(in crate::engine) fn note_features(&mut self, told: Features) {
        if let Some(t) = self.transactions.as_deref_mut() {
            if told.epoch >= t.features.epoch {
                t.features = told;
            }
        }
    }

    /// Whether the coordinator has every version that version 2 needs; `None` if it is not connected.
    pub(super) fn coordinator_features(&mut self) -> Option<bool> {
        let id = self.transactions.as_deref()?.coordinator.node?;
        let versions = &self.nodes.get_mut(&id)?.connection()?.versions;
        let at_least = |version: Option<i16>, wanted| version.is_some_and(|v| v >= wanted);
        Some(
            at_least(versions.pick::<EndTxnRequest>(i16::MAX), 5)
                && at_least(versions.pick::<ProduceRequest>(i16::MAX), 12)
                && at_least(versions.pick::<TxnOffsetCommitRequest>(i16::MAX), 5),
        )
    }

    /// The broker to ask this now; `None` if it has to be found or connected to first, which is seen to.
    pub(super) fn reach_coordinator(&mut self, ask: Ask, now: Instant) -> Option<NodeId> {
        let known = self.transactions.as_deref()?.whom(ask);
        let Some(id) = known.filter(|id| self.nodes.get(id).is_some_and(|n| !n.retired)) else {
            self.find_coordinator(ask, now);
            return None;
        };
        let node = self.nodes.get_mut(&id)?;
        match &node.link {
            // As many as it takes: what bounds requests in flight is the order of batches.
            Link::Up(connection) if connection.has_room(usize::MAX, now) => return Some(id),
            Link::Up(_) | Link::Connecting { .. } => {}
            Link::Backoff { until } if *until > now => {
                let until = *until;
                self.transactions.as_deref_mut()?.line(ask).not_before = Some(until);
            }
            Link::Idle | Link::Backoff { .. } => self.connect(id, now),
        }
        None
    }

    fn find_coordinator(&mut self, ask: Ask, now: Instant) {
        let Some(node) = self.least_loaded(now) else { return };
        let Some(connection) = self.nodes.get_mut(&node).and_then(|n| n.connection()) else { return };
        let Some(version) = connection.versions.pick::<FindCoordinatorRequest>(i16::MAX).filter(|v| *v >= 1)
        else {
            return self.transactions_unsupported::<FindCoordinatorRequest>(node);
        };
        let Some(t) = self.transactions.as_deref_mut() else { return };
        let (key, key_type, ask) = if ask == Ask::CommitOffsets {
            let group = t.ongoing.jobs.front().map_or("", |job| job.group.group_id());
            (group.to_owned(), GROUP, Ask::FindGroup)
        } else {
            (t.id().to_owned(), TRANSACTION, Ask::FindTransaction)
        };
        let errand = Errand { ask, key: key.clone(), job: None, sent: now };
        let request = if version >= BATCHED {
            FindCoordinatorRequest { key_type, coordinator_keys: vec![key], ..Default::default() }
        } else {
            FindCoordinatorRequest { key, key_type, ..Default::default() }
        };
        self.send_errand(node, version, &request, errand, now);
    }

    /// The answer to a FindCoordinator request.
    pub(super) fn coordinator_found(
        &mut self,
        errand: &Errand,
        answer: FindCoordinatorResponse,
        version: i16,
        now: Instant,
    ) {
        let (code, id, host, port) = if version >= BATCHED {
            match answer.coordinators.into_iter().find(|c| c.key == errand.key) {
                Some(c) => (c.error_code, c.node_id, c.host, c.port),
                None => (ErrorCode::COORDINATOR_NOT_AVAILABLE, -1, String::new(), -1),
            }
        } else {
            (answer.error_code, answer.node_id, answer.host, answer.port)
        };
        let usable = id >= 0 && (1..=255).contains(&host.len()) && (1..=65_535).contains(&port);
        let code = if code.is_error() || usable { code } else { ErrorCode::COORDINATOR_NOT_AVAILABLE };
        match react(errand.ask, code, true) {
            Reaction::Done => {}
            // Another question to find out who answers questions: simply the same one again, in a while.
            Reaction::Rediscover => return self.errand_reacts(errand, code, Reaction::Retry, now),
            reaction => return self.errand_reacts(errand, code, reaction, now),
        }
        self.add_node(id, &host, port);
        let Some(t) = self.transactions.as_deref_mut() else { return };
        log::debug!(target: "kafka_producer::engine", "{} is coordinated by node {id}", errand.key);
        if errand.ask == Ask::FindGroup {
            t.group.group.clone_from(&errand.key);
            t.group.node = Some(id);
        } else {
            t.coordinator.node = Some(id);
        }
    }

    /// A broker cannot be reached: whatever it coordinated may be elsewhere by now.
    pub(in crate::engine) fn coordinator_unreachable(&mut self, node: NodeId) {
        let Some(t) = self.transactions.as_deref_mut() else { return };
        if t.coordinator.node == Some(node) {
            t.coordinator.node = None;
        }
        if t.group.node == Some(node) {
            t.group.node = None;
        }
        if let Some(trouble) = &self.last_trouble {
            t.port.note_trouble(trouble.clone());
        }
    }

    /// The broker is too old.
    pub(super) fn transactions_unsupported<R: Request>(&mut self, node: NodeId) {
        let versions = self.nodes.get_mut(&node).and_then(|n| n.connection()).map(|c| c.versions.clone());
        let said = versions.unwrap_or_default().describe(R::API_KEY);
        let message = format!("{said}; transactions need Kafka 2.5 or later");
        let error = Error::new(ErrorKind::UnsupportedVersion, message);
        self.fail_for_good(error);
    }

    /// The version to speak with the transaction's coordinator.
    pub(super) fn version_with<R: Request>(&mut self, node: NodeId, least: i16, v1: i16) -> Option<i16> {
        let cap = match self.transactions.as_deref()?.protocol {
            Protocol::V1 => v1,
            Protocol::V2 => i16::MAX,
        };
        let connection = self.nodes.get_mut(&node)?.connection()?;
        let version = connection.versions.pick::<R>(cap).filter(|v| *v >= least);
        if version.is_none() {
            self.transactions_unsupported::<R>(node);
        }
        version
    }
}
