//! Carrying out what a coordinator answered.

use std::time::{Duration, Instant};

use super::rules::{Ask, Reaction, react};
use super::state::State;
use super::{Errand, Line, Protocol, Touched, Transactions};
use crate::engine::Engine;
use crate::engine::backoff::{Backoff, Rng};
use crate::engine::node::{InFlight, NodeId, What};
use crate::engine::parcel::Identity;
use crate::error::Error;
use crate::protocol::header::decode_response;
use crate::protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, EndTxnRequest,
    EndTxnResponse, FindCoordinatorRequest, InitProducerIdRequest, InitProducerIdResponse,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use crate::protocol::{DecodeError, ErrorCode};

/// The first wait for another transaction of ours to end; doubles.
const SOON: Duration = Duration::from_millis(1);
/// The longest wait for it, for a second or so (KAFKA-5494).
const SOON_MAX: Duration = Duration::from_millis(20);
const SOON_TIMES: u32 = 50;

/// How long to wait for another transaction of ours to end: it usually takes milliseconds.
pub(in crate::engine) fn soon(times: u32, backoff: &Backoff, rng: &mut Rng) -> Duration {
    match times {
        0..=SOON_TIMES => (SOON * (1 << times.saturating_sub(1).min(10))).min(SOON_MAX),
        more => backoff.after(more - SOON_TIMES, rng).max(SOON_MAX),
    }
}

impl Transactions {
    /// Whether an abort was refused because the coordinator has not finished the transaction before, whose end gave out
    /// the epoch of this one: in version 2 it then calls the epoch wrong, if no broker told it of this transaction. The
    /// question for the next epoch tells this apart from a producer that was fenced.
    fn may_be_early(&self, code: ErrorCode) -> bool {
        let wrong = matches!(code, ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        wrong && self.protocol == Protocol::V2 && self.ongoing.touched == Touched::Maybe
    }
}

impl Engine {
    /// Hands a coordinator's response to whom it concerns.
    ///
    /// # Errors
    /// It cannot be read; the request counts as lost then.
    pub(in crate::engine) fn coordinator_answered(
        &mut self,
        node: NodeId,
        request: InFlight,
        frame: &[u8],
        now: Instant,
    ) -> Result<(), String> {
        let What::Coordinator(errand) = &request.what else { return Ok(()) };
        match self.read_answer(node, errand, request.version, frame, now) {
            Ok(()) => Ok(()),
            Err(problem) => self.unreadable(node, request, &problem),
        }
    }

    fn read_answer(
        &mut self,
        node: NodeId,
        errand: &Errand,
        version: i16,
        frame: &[u8],
        now: Instant,
    ) -> Result<(), DecodeError> {
        let throttle = match errand.ask {
            Ask::FindTransaction | Ask::FindGroup => {
                let (_, answer) = decode_response::<FindCoordinatorRequest>(frame, version)?;
                let throttle = answer.throttle_time_ms;
                self.errand_back(errand);
                self.coordinator_found(errand, answer, version, now);
                throttle
            }
            Ask::Init | Ask::Bump => {
                let (_, answer) = decode_response::<InitProducerIdRequest>(frame, version)?;
                self.errand_back(errand);
                self.identity_told(errand, &answer, now);
                answer.throttle_time_ms
            }
            Ask::AddPartitions => {
                let (_, answer) = decode_response::<AddPartitionsToTxnRequest>(frame, version)?;
                self.errand_back(errand);
                self.partitions_added(errand, &answer, now);
                answer.throttle_time_ms
            }
            Ask::AddOffsets => {
                let (_, answer) = decode_response::<AddOffsetsToTxnRequest>(frame, version)?;
                self.errand_back(errand);
                self.offsets_added(errand, answer.error_code, now);
                answer.throttle_time_ms
            }
            Ask::CommitOffsets => {
                let (_, answer) = decode_response::<TxnOffsetCommitRequest>(frame, version)?;
                self.errand_back(errand);
                self.offsets_committed(errand, &answer, now);
                answer.throttle_time_ms
            }
            Ask::Commit | Ask::Abort => {
                let (_, answer) = decode_response::<EndTxnRequest>(frame, version)?;
                self.errand_back(errand);
                self.end_told(errand, &answer, now);
                answer.throttle_time_ms
            }
        };
        self.throttle(node, throttle, now);
        Ok(())
    }

    fn errand_back(&mut self, errand: &Errand) {
        if let Some(t) = self.transactions.as_deref_mut() {
            t.line(errand.ask).asking = false;
        }
    }

    /// The connection broke, or the answer did not come in time.
    pub(in crate::engine) fn errand_lost(&mut self, errand: &Errand, error: &Error, now: Instant) {
        self.errand_back(errand);
        self.errand_waits(errand, false, now);
        let Some(t) = self.transactions.as_deref_mut() else { return };
        t.forget_coordinator(errand.ask);
        t.port.note_trouble(error.clone());
        // It may be acted upon late. In version 1 the next transaction would have the same epoch, and be ended by it, or
        // get old offsets. What a late AddPartitionsToTxn adds is added again, unless the transaction is aborted.
        t.ongoing.adds_late |= matches!(errand.ask, Ask::AddPartitions | Ask::AddOffsets);
        t.ongoing.in_doubt |= errand.ask == Ask::Commit;
        let acts_late = matches!(errand.ask, Ask::Commit | Ask::Abort | Ask::CommitOffsets);
        t.bump |= t.protocol == Protocol::V1 && acts_late;
    }

    fn errand_waits(&mut self, errand: &Errand, soon_again: bool, now: Instant) {
        let Some(t) = self.transactions.as_deref_mut() else { return };
        let line = t.line(errand.ask);
        line.failures = line.failures.saturating_add(1);
        let wait = if soon_again {
            soon(line.failures, &self.settings.retry_backoff, &mut self.rng)
        } else {
            self.settings.retry_backoff.after(line.failures, &mut self.rng)
        };
        line.not_before = Some(now + wait);
    }

    fn errand_done(&mut self, errand: &Errand) {
        if let Some(t) = self.transactions.as_deref_mut() {
            *t.line(errand.ask) = Line::default();
        }
    }

    /// What is common to the reactions to every question.
    pub(super) fn errand_reacts(
        &mut self,
        errand: &Errand,
        code: ErrorCode,
        reaction: Reaction,
        now: Instant,
    ) {
        self.answer.code(code);
        let Some(t) = self.transactions.as_deref() else { return };
        let about = match errand.ask {
            Ask::FindGroup | Ask::CommitOffsets => format!(" for group {}", errand.key),
            _ => String::new(),
        };
        let error = errand.ask.error(code, t.id(), &about);
        let initializing = t.port.state() == State::Initializing;
        log::debug!(target: "kafka_producer::engine", "{error}: {reaction:?}");
        match reaction {
            Reaction::Done | Reaction::NothingThere => self.errand_done(errand),
            Reaction::Retry | Reaction::RetrySoon | Reaction::Rediscover => {
                self.errand_waits(errand, reaction == Reaction::RetrySoon, now);
                let Some(t) = self.transactions.as_deref_mut() else { return };
                // Such as a coordinator that wrote it and was none any more when it was to answer.
                t.ongoing.in_doubt |= errand.ask == Ask::Commit && reaction != Reaction::RetrySoon;
                if reaction == Reaction::Rediscover {
                    t.forget_coordinator(errand.ask);
                }
                t.port.note_trouble(error);
            }
            Reaction::RefuseInit if initializing => {
                self.errand_done(errand);
                if let Some(t) = self.transactions.as_deref() {
                    t.port.init_refused(error);
                }
            }
            Reaction::Fail => {
                self.errand_done(errand);
                self.fail_transaction(&error);
            }
            Reaction::RefuseInit | Reaction::Fatal => self.fail_for_good(error),
        }
    }

    fn identity_told(&mut self, errand: &Errand, answer: &InitProducerIdResponse, now: Instant) {
        let given = Identity { id: answer.producer_id, epoch: answer.producer_epoch };
        let reaction = match react(errand.ask, answer.error_code, true) {
            // An id that no broker gives: ask again.
            Reaction::Done if given.id < 0 || given.epoch < 0 => Reaction::Retry,
            // Neither is what we have another epoch.
            Reaction::Done if errand.ask == Ask::Bump && self.identities.current() == Some(given) => {
                Reaction::Retry
            }
            reaction => reaction,
        };
        if reaction != Reaction::Done {
            return self.errand_reacts(errand, answer.error_code, reaction, now);
        }
        self.errand_done(errand);
        let bumps = errand.ask == Ask::Bump;
        let asked_in = self.transactions.as_deref().map(|t| t.port.state());
        if !bumps && asked_in != Some(State::Initializing) {
            // The producer closed meanwhile.
            return;
        }
        log::debug!(target: "kafka_producer::engine", "producer id {} epoch {}", given.id, given.epoch);
        self.take_identity(given);
        if !bumps {
            let features = self.coordinator_features();
            if let Some(t) = self.transactions.as_deref_mut() {
                t.choose_protocol(features);
                // Nothing was sent under this epoch.
                t.bump = false;
                t.port.initialized();
            }
        }
        for number in 0..self.partitions.len() as u32 {
            self.evaluate(number, now);
        }
    }

    fn partitions_added(&mut self, errand: &Errand, answer: &AddPartitionsToTxnResponse, now: Instant) {
        let (mut worst, mut code) = (Reaction::Done, ErrorCode::NONE);
        let mut about = None;
        let mut added = Vec::new();
        let mut split = false;
        let mut moot = (Reaction::Done, ErrorCode::NONE);
        let topics = answer.results_by_topic.iter();
        let results = topics.flat_map(|t| t.results_by_partition.iter().map(move |p| (&*t.name, p)));
        for (topic, result) in results {
            self.joining(result.partition_error_code);
            let reaction = react(errand.ask, result.partition_error_code, true);
            if reaction > moot.0 {
                moot = (reaction, result.partition_error_code);
            }
            let Some(number) = self.wanted_number(topic, result.partition_index) else { continue };
            if reaction == Reaction::Done {
                added.push(number);
            } else if result.partition_error_code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION {
                split |= self.partition_unknown(number);
            }
            if reaction > worst || (reaction == worst && code == ErrorCode::OPERATION_NOT_ATTEMPTED) {
                (worst, code) = (reaction, result.partition_error_code);
                about = Some((topic.to_owned(), result.partition_index));
            }
        }
        if self.answers_too_late(errand, moot, now) {
            return;
        }
        let Some(t) = self.transactions.as_deref_mut() else { return };
        for number in &added {
            t.ongoing.wanted.remove(number);
            t.ongoing.unknown.remove(number);
            t.ongoing.members.insert(*number);
        }
        let elsewhere =
            worst == Reaction::Retry && !t.ongoing.wanted.is_empty() && !t.ongoing.unknown.is_empty();
        if !t.ongoing.unknown.is_empty() {
            let wait = self.settings.retry_backoff.after(1, &mut self.rng);
            t.ongoing.unknown_until = Some(now + wait);
        }
        match worst {
            // Those that are in order are asked for again at once, without the others.
            _ if elsewhere && split => self.errand_done(errand),
            Reaction::Done if added.is_empty() => {
                // It answers for nothing of what was asked.
                self.errand_reacts(errand, ErrorCode::UNKNOWN_SERVER_ERROR, Reaction::Retry, now);
            }
            Reaction::Done => self.errand_done(errand),
            reaction => {
                log::debug!(target: "kafka_producer::engine", "not part of the transaction: {about:?}");
                self.errand_reacts(errand, code, reaction, now);
            }
        }
        for number in added {
            self.evaluate(number, now);
        }
    }

    /// The coordinator has made a partition or a group part of the transaction, or not.
    fn joining(&mut self, code: ErrorCode) {
        if let Some(t) = self.transactions.as_deref_mut().filter(|_| !code.is_error()) {
            t.touch(Touched::Yes);
        }
    }

    /// Whether the answer is for a transaction that is given up: nothing joins it any more, and what keeps something
    /// out must not keep back the abort. What no producer survives counts all the same.
    fn answers_too_late(
        &mut self,
        errand: &Errand,
        (worst, code): (Reaction, ErrorCode),
        now: Instant,
    ) -> bool {
        if !self.transactions.as_deref().is_some_and(|t| t.ongoing.swept) {
            return false;
        }
        if worst == Reaction::Fatal {
            self.errand_reacts(errand, code, worst, now);
            return true;
        }
        self.errand_done(errand);
        if let Some(t) = self.transactions.as_deref_mut().filter(|_| worst == Reaction::Rediscover) {
            t.forget_coordinator(errand.ask);
        }
        true
    }

    fn wanted_number(&self, topic: &str, partition: i32) -> Option<u32> {
        let ongoing = &self.transactions.as_deref()?.ongoing;
        let mut numbers = ongoing.wanted.iter().chain(&ongoing.unknown);
        numbers.find(|n| self.place_of(**n) == Some((topic, partition))).copied()
    }

    /// Asked for apart from now on, so that it does not keep the others back; `false` if it is already.
    fn partition_unknown(&mut self, number: u32) -> bool {
        let Some(t) = self.transactions.as_deref_mut() else { return false };
        t.ongoing.wanted.remove(&number);
        t.ongoing.unknown.insert(number)
    }

    fn offsets_added(&mut self, errand: &Errand, code: ErrorCode, now: Instant) {
        self.joining(code);
        let reaction = react(errand.ask, code, true);
        if self.answers_too_late(errand, (reaction, code), now) {
            return;
        }
        if reaction != Reaction::Done {
            return self.errand_reacts(errand, code, reaction, now);
        }
        self.errand_done(errand);
        let Some(t) = self.transactions.as_deref_mut() else { return };
        if let Some(job) = t.ongoing.jobs.front().filter(|job| Some(job.id) == errand.job) {
            let group = job.group.group_id().to_owned();
            t.ongoing.groups.insert(group);
        }
    }

    fn offsets_committed(&mut self, errand: &Errand, answer: &TxnOffsetCommitResponse, now: Instant) {
        let codes = answer.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code);
        let worst =
            codes.map(|code| (react(errand.ask, code, true), code)).max_by_key(|(reaction, _)| *reaction);
        let (reaction, code) = worst.unwrap_or((Reaction::Retry, ErrorCode::UNKNOWN_SERVER_ERROR));
        if reaction != Reaction::Done {
            return self.errand_reacts(errand, code, reaction, now);
        }
        self.errand_done(errand);
        let Some(t) = self.transactions.as_deref_mut() else { return };
        t.touch(Touched::Yes);
        if t.ongoing.jobs.front().is_some_and(|job| Some(job.id) == errand.job) {
            if let Some(job) = t.ongoing.jobs.pop_front() {
                t.port.job_done(job.id, Ok(()));
            }
        }
    }

    /// The coordinator is done with the transaction. One that was aborted may need a new epoch before it is over.
    fn coordinator_is_done(&mut self, ask: Ask) {
        if ask == Ask::Commit {
            return self.transaction_ended();
        }
        if let Some(t) = self.transactions.as_deref_mut() {
            t.ongoing.touched = Touched::No;
            t.ongoing.ended = true;
            t.bump |= t.protocol == Protocol::V1 && t.ongoing.adds_late;
        }
    }

    fn end_told(&mut self, errand: &Errand, answer: &EndTxnResponse, now: Instant) {
        let code = answer.error_code;
        let Some(t) = self.transactions.as_deref_mut() else { return };
        if !code.is_error() && t.protocol == Protocol::V2 {
            t.pace.ended(now.saturating_duration_since(errand.sent), now);
        }
        let reaction = match react(errand.ask, code, t.ongoing.touched == Touched::Yes) {
            Reaction::Fatal if errand.ask == Ask::Abort && t.may_be_early(code) => Reaction::NothingThere,
            reaction => reaction,
        };
        match reaction {
            Reaction::Done => {
                self.errand_done(errand);
                if answer.producer_id >= 0 && answer.producer_epoch >= 0 {
                    self.take_identity(Identity { id: answer.producer_id, epoch: answer.producer_epoch });
                }
                self.coordinator_is_done(errand.ask);
            }
            Reaction::NothingThere => {
                self.errand_done(errand);
                if let Some(t) = self.transactions.as_deref_mut() {
                    // What was meant for it may still be under way.
                    t.bump = true;
                }
                self.coordinator_is_done(errand.ask);
            }
            reaction => self.errand_reacts(errand, code, reaction, now),
        }
    }
}
