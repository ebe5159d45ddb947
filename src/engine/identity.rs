//! The producer's id and epoch, and asking brokers for them (KIP-98, KIP-360).
//!
//! After a failure that left a partition's sequence in doubt, that partition goes on under the next epoch: only the
//! epoch fences a request that is still under way. A new id is asked for only when the epochs are used up.

use std::time::Instant;

use super::Engine;
use super::node::What;
use super::parcel::Identity;
use crate::error::{Error, ErrorKind};
use crate::protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use crate::protocol::{ApiKey, ErrorCode};

#[derive(Debug)]
pub(crate) struct Identities {
    current: Option<Identity>,
    wanted: bool,
    /// A partition that was written to has been forgotten. If it comes back it begins at sequence 0, which brokers
    /// would take for a repeat of what they have: the next lane begins with a new epoch.
    stale: bool,
    in_flight: bool,
    attempts: u32,
    not_before: Option<Instant>,
}

impl Identities {
    pub(crate) fn new(idempotent: bool) -> Self {
        Self {
            current: None,
            wanted: idempotent,
            stale: false,
            in_flight: false,
            attempts: 0,
            not_before: None,
        }
    }

    pub(crate) fn current(&self) -> Option<Identity> {
        self.current
    }

    /// An identity for a lane that has none.
    pub(crate) fn first(&mut self) -> Option<Identity> {
        let current = self.current?;
        if std::mem::take(&mut self.stale) { self.after(Some(current)) } else { Some(current) }
    }

    /// A lane under this identity was forgotten.
    pub(crate) fn forget(&mut self, lane: Option<Identity>) {
        self.stale |= lane.is_some() && lane == self.current;
    }

    /// An identity for a lane that must leave `old`: a newer one there is already, or the next epoch; `None` if a new
    /// id has to be asked for first.
    pub(crate) fn after(&mut self, old: Option<Identity>) -> Option<Identity> {
        let current = self.current?;
        if old != Some(current) {
            return Some(current);
        }
        match current.epoch.checked_add(1) {
            Some(epoch) => {
                self.current = Some(Identity { epoch, ..current });
                self.current
            }
            None => {
                self.current = None;
                self.wanted = true;
                None
            }
        }
    }

    /// For a transactional producer, whose ids come from its coordinator.
    pub(crate) fn set(&mut self, given: Identity) {
        self.current = Some(given);
        self.stale = false;
    }

    /// Whether a new epoch is needed before a forgotten partition comes back.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        if self.wanted && !self.in_flight { self.not_before } else { None }
    }

    #[cfg(test)]
    pub(crate) fn exhaust_epochs(&mut self) {
        if let Some(current) = &mut self.current {
            current.epoch = i16::MAX;
        }
    }
}

impl Engine {
    /// Asks any broker for a producer id if one is needed. Nothing is sent before there is one.
    pub(super) fn request_identity(&mut self, now: Instant) {
        let ids = &self.identities;
        if !ids.wanted || ids.in_flight || ids.not_before.is_some_and(|at| at > now) {
            return;
        }
        let Some(node) = self.least_loaded(now) else { return };
        let Some(connection) = self.nodes.get_mut(&node).and_then(|n| n.connection()) else { return };
        let Some(version) = connection.versions.init_producer_id else {
            let said = connection.versions.describe(ApiKey::INIT_PRODUCER_ID);
            let message =
                format!("idempotence needs InitProducerId, and {said}; set enable.idempotence=false");
            return self.fail_for_good(Error::new(ErrorKind::UnsupportedVersion, message));
        };
        let request = InitProducerIdRequest {
            // Java sends the same for a producer without transactions.
            transaction_timeout_ms: i32::MAX,
            ..InitProducerIdRequest::default()
        };
        if self.send_request(node, version, &request, What::InitProducerId, now) {
            self.identities.in_flight = true;
        }
    }

    pub(super) fn identity_answered(&mut self, answer: &InitProducerIdResponse, now: Instant) {
        self.identities.in_flight = false;
        self.answer.code(answer.error_code);
        let given = Identity { id: answer.producer_id, epoch: answer.producer_epoch };
        match answer.error_code {
            ErrorCode::NONE if given.id >= 0 && given.epoch >= 0 => {
                let ids = &mut self.identities;
                ids.current = Some(given);
                ids.wanted = false;
                ids.attempts = 0;
                log::debug!(target: "kafka_producer::engine", "producer id {} epoch {}", given.id, given.epoch);
                for number in 0..self.partitions.len() {
                    self.evaluate(number as u32, now);
                }
            }
            ErrorCode::CLUSTER_AUTHORIZATION_FAILED => {
                let message = "not authorized for idempotent writes (InitProducerId); set enable.idempotence=false \
                               or grant IDEMPOTENT_WRITE";
                let error = Error::new(ErrorKind::Authorization, message).with_code(answer.error_code);
                self.fail_for_good(error);
            }
            code => {
                let message = if code.is_error() {
                    format!("no producer id: {code}")
                } else {
                    format!("the broker gave the impossible producer id {} epoch {}", given.id, given.epoch)
                };
                self.last_trouble = Some(Error::new(ErrorKind::Broker, message).with_code(code));
                self.identity_failed(now);
            }
        }
    }

    pub(super) fn identity_failed(&mut self, now: Instant) {
        let ids = &mut self.identities;
        ids.in_flight = false;
        ids.attempts = ids.attempts.saturating_add(1);
        ids.not_before = Some(now + self.settings.retry_backoff.after(ids.attempts, &mut self.rng));
    }
}
