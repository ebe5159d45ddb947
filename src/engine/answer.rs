//! Carrying out verdicts: what an answer changes for a batch, its partition, its topic.

use std::time::Instant;

use super::Engine;
use super::account::{Asked, retried};
use super::node::{InFlight, NodeId, Sent, What};
use super::parcel::Parcel;
use super::transaction::soon;
use super::verdict::{Answer, Facts, Proof, Verdict, judge};
use crate::delivery::Outcome;
use crate::error::{Error, ErrorKind};
use crate::metrics::RequestOutcome;
use crate::protocol::header::{decode_response, decode_response_header};
use crate::protocol::messages::produce_fast::{PartitionOutcome, ProduceResponseWalker, TopicRef};
use crate::protocol::messages::{InitProducerIdRequest, MetadataRequest};
use crate::protocol::{ApiKey, ErrorCode, Reader};

/// What a produce response says of one partition, kept until the frame has been read to its end: nothing is believed
/// of a frame that turns out broken.
#[derive(Debug)]
pub(super) struct PartAnswer {
    sent: Sent,
    code: ErrorCode,
    base_offset: Option<i64>,
    log_append_time: Option<i64>,
    message: Option<String>,
    records: Vec<(u32, Option<String>)>,
    leader: Option<(i32, i32)>,
}

/// Batches grow only where they are answered within this part of `request.timeout.ms`: five requests of large ones on a line of
/// some kilobytes a second would never be.
const QUICK_PART: u32 = 32;

impl Engine {
    /// Hands a response to whom it concerns.
    ///
    /// # Errors
    /// It cannot be read; the request counts as lost then.
    pub(super) fn answered(
        &mut self,
        node: NodeId,
        request: InFlight,
        frame: &[u8],
        now: Instant,
    ) -> Result<(), String> {
        let version = request.version;
        match request.what {
            What::Produce { .. } => self.produce_answered(node, request, frame, now),
            What::Metadata { ref topics, full } => match decode_response::<MetadataRequest>(frame, version) {
                Ok((_, answer)) => {
                    self.throttle(node, answer.throttle_time_ms, now);
                    self.metadata_answered(answer, topics, full, now);
                    Ok(())
                }
                Err(problem) => self.unreadable(node, request, &problem),
            },
            What::Coordinator(_) => self.coordinator_answered(node, request, frame, now),
            What::InitProducerId => match decode_response::<InitProducerIdRequest>(frame, version) {
                Ok((_, answer)) => {
                    self.throttle(node, answer.throttle_time_ms, now);
                    self.identity_answered(&answer, now);
                    Ok(())
                }
                Err(problem) => self.unreadable(node, request, &problem),
            },
        }
    }

    /// Puts the request back, so that it is counted as lost with the connection.
    pub(super) fn unreadable(
        &mut self,
        node: NodeId,
        request: InFlight,
        problem: &dyn std::fmt::Display,
    ) -> Result<(), String> {
        if let Some(connection) = self.nodes.get_mut(&node).and_then(|n| n.connection()) {
            connection.in_flight.push_front(request);
        }
        Err(format!("cannot read a response: {problem}"))
    }

    fn produce_answered(
        &mut self,
        node: NodeId,
        mut request: InFlight,
        frame: &[u8],
        now: Instant,
    ) -> Result<(), String> {
        let (version, started) = (request.version, request.sent);
        let What::Produce { parcels, .. } = &mut request.what else { return Ok(()) };
        let (mut waiting, mut answers) = self.recycled.answers();
        waiting.extend(parcels.drain(..).map(Some));
        match self.read_answers(frame, version, &mut waiting, &mut answers) {
            Err(problem) => {
                if let What::Produce { parcels, .. } = &mut request.what {
                    parcels.extend(answers.into_iter().map(|a| a.sent));
                    parcels.extend(waiting.into_iter().flatten());
                }
                return self.unreadable(node, request, &problem);
            }
            Ok((throttle, endpoints)) => {
                for (id, host, port) in endpoints {
                    self.add_node(id, &host, port);
                }
                // Before version 6 the broker was silent before it answered; no need to be silent twice (KIP-219).
                if version >= 6 {
                    self.throttle(node, throttle, now);
                }
            }
        }
        log::trace!(target: "kafka_producer::engine", "produce answered after {:?}", now - started);
        self.pace_transactions(started, now);
        for answer in answers.drain(..) {
            self.part_answered(answer, now);
        }
        for sent in waiting.drain(..).flatten() {
            let error = Error::new(ErrorKind::Protocol, "the response does not mention the partition");
            self.judge(sent, Answer::Omitted, Some(error), now);
        }
        self.recycled.keep_answers(waiting, answers);
        if let What::Produce { parcels, .. } = request.what {
            self.recycled.keep_parcels(parcels);
        }
        Ok(())
    }

    #[expect(clippy::type_complexity, reason = "throttle time and node endpoints, taken apart at once")]
    fn read_answers(
        &self,
        frame: &[u8],
        version: i16,
        waiting: &mut [Option<Sent>],
        answers: &mut Vec<PartAnswer>,
    ) -> Result<(i32, Vec<(i32, String, i32)>), crate::protocol::DecodeError> {
        let mut reader = Reader::new(frame);
        decode_response_header(&mut reader, ApiKey::PRODUCE, version)?;
        let mut walker = ProduceResponseWalker::new(reader, version)?;
        // Brokers answer in the order of the request, nearly always.
        let mut next = 0;
        for part in walker.by_ref() {
            let part = part?;
            let about = |w: &Option<Sent>| w.as_ref().is_some_and(|sent| self.is_about(&part, sent));
            let found = match waiting.get(next) {
                Some(expected) if about(expected) => Some(next),
                _ => waiting.iter().position(about),
            };
            let Some(at) = found else { continue };
            next = at + 1;
            if let Some(sent) = waiting.get_mut(at).and_then(Option::take) {
                answers.push(PartAnswer::of(sent, &part));
            }
        }
        let Some(tail) = walker.tail() else { return Ok((0, Vec::new())) };
        let endpoints =
            tail.node_endpoints.into_iter().map(|e| (e.node_id, e.host.to_owned(), e.port)).collect();
        Ok((tail.throttle_time_ms, endpoints))
    }

    fn is_about(&self, part: &PartitionOutcome<'_>, sent: &Sent) -> bool {
        let Some(partition) = self.partitions.get(sent.partition as usize).and_then(Option::as_deref) else {
            return false;
        };
        let tp = &partition.entry.tp;
        tp.partition == part.index
            && match part.topic {
                TopicRef::Name(name) => name == &*tp.topic,
                TopicRef::Id(id) => id == sent.topic_id,
            }
    }

    fn part_answered(&mut self, answer: PartAnswer, now: Instant) {
        let PartAnswer { sent, code, base_offset, log_append_time, message, records, leader } = answer;
        if !code.is_error() {
            return self.delivered(sent, base_offset, log_append_time, now);
        }
        self.answer.code(code);
        let tp = self.partition(sent.partition).map(|p| p.entry.tp.clone());
        // A topic made anew counts its leader epochs from the beginning: what is said of its predecessor, by an answer
        // that was under way meanwhile, would outrank every leader to come.
        let same_topic = sent.topic_id == self.topic_id(sent.partition);
        if let (true, Some((leader, epoch)), Some(tp)) = (same_topic, leader, &tp) {
            self.learn_leader(&tp.topic, tp.partition as usize, leader, epoch, now);
        }
        let error = super::failure::broker_error(code, message.as_deref());
        let mut sent = sent;
        sent.parcel.last_error = Some(error.clone());
        self.judge_with(sent, Answer::Code(code), Some(error), records, now);
    }

    fn delivered(
        &mut self,
        sent: Sent,
        base_offset: Option<i64>,
        log_append_time: Option<i64>,
        now: Instant,
    ) {
        let Sent { partition: number, parcel, .. } = sent;
        let acc = self.acc.clone();
        let Some(partition) = self.partition(number) else { return };
        partition.lane.landed(&parcel);
        partition.lane.delivered(&parcel);
        partition.backoff_until = None;
        let entry = partition.entry.clone();
        let quick = self.settings.request_timeout / QUICK_PART;
        if parcel.travels.in_flight(now) <= quick {
            entry.acknowledge(parcel.batch.raw_len);
        } else {
            entry.took_long();
        }
        // If it expired before, its first outcome stays.
        acc.complete(&entry, &parcel.batch, Outcome::Delivered { base_offset, log_append_time });
        drop(parcel);
        self.sent_in_transaction();
        self.evaluate(number, now);
    }

    /// With acks=0 a batch is done when it is written; where it stands is unknown.
    pub(super) fn unanswered_written(&mut self, node: NodeId, request: InFlight, now: Instant) {
        self.account_unanswered(node, Asked::of(&request), RequestOutcome::Written, now);
        if let What::Produce { parcels, .. } = request.what {
            for sent in parcels {
                self.delivered(sent, None, None, now);
            }
        }
    }

    /// Judges an answer and carries the verdict out.
    pub(super) fn judge(&mut self, sent: Sent, answer: Answer, error: Option<Error>, now: Instant) {
        self.judge_with(sent, answer, error, Vec::new(), now);
    }

    fn judge_with(
        &mut self,
        mut sent: Sent,
        answer: Answer,
        error: Option<Error>,
        records: Vec<(u32, Option<String>)>,
        now: Instant,
    ) {
        let idempotent = self.settings.idempotent;
        let transactional = self.transactions.is_some();
        let Some(partition) = self.partition(sent.partition) else { return };
        partition.lane.landed(&sent.parcel);
        sent.parcel.travels.come_back(now);
        let facts = Facts {
            idempotent,
            transactional,
            several_records: sent.parcel.batch.records > 1,
            pinned: sent.parcel.pinned,
            first_in_line: partition.lane.is_first(&sent.parcel),
        };
        if let Some(error) = error {
            sent.parcel.last_error = Some(error);
        }
        let number = sent.partition;
        if facts.several_records && matches!(answer, Answer::Code(ErrorCode::MESSAGE_TOO_LARGE)) {
            partition.entry.stop_growing();
        }
        match judge(answer, facts) {
            Verdict::Delivered | Verdict::Duplicate => return self.delivered(sent, None, None, now),
            Verdict::Retry { proof, bump } => self.retry(sent, answer, proof, bump, now),
            // Its records have their outcome already.
            Verdict::Split if sent.parcel.ended => self.settle_ended(number, &sent.parcel),
            Verdict::Split => self.split(sent, now),
            Verdict::Fail { kind, proof, bump, fatal } => {
                sent.parcel.pinned |= proof == Proof::Unknown;
                let error = self.final_error(kind, &sent.parcel);
                if bump {
                    if let Some(partition) = self.partition(number) {
                        partition.lane.doubtful();
                    }
                }
                self.end(number, sent.parcel, error.clone(), records);
                if fatal {
                    self.fail_for_good(error);
                }
            }
        }
        self.evaluate(number, now);
    }

    fn retry(&mut self, sent: Sent, answer: Answer, proof: Proof, bump: bool, now: Instant) {
        let Sent { partition: number, node, mut parcel, .. } = sent;
        parcel.pinned |= proof == Proof::Unknown;
        if let Answer::Code(code) = answer {
            if code.invalidates_metadata() {
                self.metadata.invalidate(now);
            }
            if is_about_another_topic(code) {
                if let Some(partition) = self.partition(number) {
                    partition.lane.forgotten();
                }
            }
        }
        let soon_again = answer == Answer::Code(ErrorCode::CONCURRENT_TRANSACTIONS);
        let wait = if soon_again {
            soon(parcel.attempts, &self.settings.retry_backoff, &mut self.rng)
        } else {
            self.settings.retry_backoff.after(parcel.attempts, &mut self.rng)
        };
        let retries = self.settings.retries;
        let acc = self.acc.clone();
        let Some(partition) = self.partition(number) else { return };
        if bump {
            partition.lane.doubtful();
        }
        // Refused because another one before it was: nothing is wrong but that, and that one has its own wait.
        let echo = answer == Answer::Code(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)
            && !partition.lane.is_first(&parcel);
        // Nor did fail what waits for the transaction before it.
        parcel.excused += u32::from(echo || soon_again);
        if parcel.ended {
            // It has its outcome. Only what it did to the sequence still counts.
            return self.settle_ended(number, &parcel);
        }
        if parcel.deadline <= now {
            return self.end_expired(number, parcel);
        }
        if parcel.attempts.saturating_sub(parcel.excused) > retries {
            let error = self.final_error(ErrorKind::RetriesExhausted, &parcel);
            return self.end(number, parcel, error, Vec::new());
        }
        // No wait where another leader is known by now (KIP-951).
        if !echo && partition.leader.is_none_or(|leader| leader == node) {
            partition.backoff_until = Some(partition.backoff_until.unwrap_or(now).max(now + wait));
        }
        retried(&acc.metrics, &partition.entry, &parcel);
        partition.lane.repeat(parcel);
    }
}

impl PartAnswer {
    fn of(sent: Sent, part: &PartitionOutcome<'_>) -> Self {
        let known = |n: i64| (n >= 0).then_some(n);
        let indexed = |(index, message): (i32, Option<&str>)| {
            Some((u32::try_from(index).ok()?, message.map(str::to_owned)))
        };
        let errors = part.record_errors.into_iter();
        Self {
            sent,
            code: part.error_code,
            base_offset: known(part.base_offset),
            log_append_time: known(part.log_append_time_ms),
            message: part.error_message.map(str::to_owned),
            records: errors.filter_map(indexed).collect(),
            leader: part
                .current_leader
                .map(|l| (l.leader_id, l.leader_epoch))
                .filter(|(id, e)| *id >= 0 && *e >= 0),
        }
    }
}

/// The topic is gone; when it is back it is another one.
fn is_about_another_topic(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::UNKNOWN_TOPIC_ID
            | ErrorCode::INCONSISTENT_TOPIC_ID
    )
}

/// A parcel that is about to end, and the error its records get.
pub(super) fn certain(error: Error, parcel: &Parcel) -> Error {
    error.with_maybe_written(parcel.pinned)
}
