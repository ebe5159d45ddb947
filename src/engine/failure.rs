//! Ending batches with an error, and ending the producer.

use std::time::Instant;

use super::Engine;
use super::account::history;
use super::action::Action;
use super::answer::certain;
use super::node::{Link, NodeId, What};
use super::parcel::Parcel;
use crate::delivery::Outcome;
use crate::error::{Error, ErrorKind};
use crate::metrics::Event;
use crate::protocol::ErrorCode;

/// An error that a broker answered with. Its text is bounded and cleared of control characters: it goes into logs.
pub(super) fn broker_error(code: ErrorCode, message: Option<&str>) -> Error {
    let mut text = format!("{code}: {}", code.description());
    if let Some(message) = message {
        text.push_str(" (the broker says: ");
        text.extend(message.chars().filter(|c| !c.is_control()).take(500));
        text.push(')');
    }
    Error::new(ErrorKind::Broker, text).with_code(code).with_retriable(code.is_retriable())
}

impl Engine {
    /// The error of a batch that ends now, with the last failure as its cause.
    pub(super) fn final_error(&mut self, kind: ErrorKind, parcel: &Parcel) -> Error {
        let cause = parcel.last_error.clone().or_else(|| self.last_trouble.clone());
        let attempts = parcel.attempts;
        let error = match kind {
            ErrorKind::DeliveryTimeout => {
                let waited = if attempts == 0 { "it was never sent" } else { "no attempt was acknowledged" };
                Error::new(kind, format!("delivery.timeout.ms is over after {attempts} attempt(s): {waited}"))
                    .with_retriable(true)
            }
            ErrorKind::RetriesExhausted => {
                Error::new(kind, format!("gave up after {attempts} attempt(s), as retries says"))
                    .with_retriable(true)
            }
            kind => {
                // The broker's own words are the message.
                let said = cause.as_ref().map_or_else(|| kind_text(kind).to_owned(), ToString::to_string);
                let error = Error::new(kind, said);
                return match cause.and_then(|c| c.code()) {
                    Some(code) => certain(error.with_code(code), parcel),
                    None => certain(error, parcel),
                };
            }
        };
        certain(caused(error, cause), parcel)
    }

    /// Ends a parcel that is not in flight.
    pub(super) fn end(
        &mut self,
        number: u32,
        parcel: Parcel,
        error: Error,
        records: Vec<(u32, Option<String>)>,
    ) {
        self.settle_ended(number, &parcel);
        let acc = self.acc.clone();
        let Some(partition) = self.partition(number) else { return };
        let error =
            history(&parcel, &partition.leaderless, error).with_topic_partition(partition.entry.tp.clone());
        let entry = partition.entry.clone();
        // Before the outcome: who has seen it must not be able to commit.
        let error = if parcel.ended { error } else { self.batch_fails(error, parcel.batch.records) };
        let outcome = if records.is_empty() {
            Outcome::Failed { error, records: Box::default() }
        } else {
            by_record(error, &records)
        };
        acc.complete(&entry, &parcel.batch, outcome);
    }

    /// What the end of a parcel without success means for the sequence behind it.
    pub(super) fn settle_ended(&mut self, number: u32, parcel: &Parcel) {
        let Some(partition) = self.partition(number) else { return };
        if parcel.stamp.is_none() {
            return;
        }
        if parcel.pinned {
            partition.lane.doubtful();
            self.batch_in_doubt();
        } else {
            partition.lane.dropped(parcel);
        }
    }

    pub(super) fn end_expired(&mut self, number: u32, parcel: Parcel) {
        let error = self.final_error(ErrorKind::DeliveryTimeout, &parcel);
        self.end(number, parcel, error, Vec::new());
    }

    /// Ends the records of those parcels in flight for which `which` holds; the parcels stay with their requests.
    pub(super) fn end_in_flight(&mut self, which: impl Fn(NodeId, &Parcel) -> bool, error: &Error) {
        let error = error.clone().with_maybe_written(true);
        for node in self.nodes.values_mut() {
            let id = node.id;
            let Some(connection) = node.connection() else { continue };
            for request in &mut connection.in_flight {
                let What::Produce { parcels, .. } = &mut request.what else { continue };
                for sent in parcels.iter_mut().filter(|s| !s.parcel.ended && which(id, &s.parcel)) {
                    let slot = self.partitions.get_mut(sent.partition as usize);
                    let Some(partition) = slot.and_then(Option::as_deref_mut) else { continue };
                    sent.parcel.ended = true;
                    partition.lane.orphaned();
                    // Why earlier attempts failed is the best guess at why this one is not answered.
                    let error = caused(error.clone(), sent.parcel.last_error.clone());
                    let error = history(&sent.parcel, &partition.leaderless, error)
                        .with_topic_partition(partition.entry.tp.clone());
                    let error = match self.transactions.as_deref_mut() {
                        Some(transactions) => transactions.batch_fails(error, sent.parcel.batch.records),
                        None => error,
                    };
                    let outcome = Outcome::Failed { error, records: Box::default() };
                    self.acc.complete(&partition.entry, &sent.parcel.batch, outcome);
                }
            }
        }
    }

    /// Nothing can be sent any more: everything fails with `error`, now and later.
    pub(super) fn fail_for_good(&mut self, error: Error) {
        let error = error.with_fatal(true);
        log::error!(target: "kafka_producer::engine", "the producer cannot go on: {error}");
        if self.fatal.is_none() {
            self.fatal = Some(error.clone());
            self.acc.metrics.tell(|| Event::Fatal { error: error.clone() });
        }
        if let Some(t) = &self.transactions {
            t.port.fatal(&error, t.commit_in_doubt());
        }
        self.fail_everything(&error);
    }

    /// Why nothing can be sent any more.
    pub(crate) fn fatal(&self) -> Option<&Error> {
        self.fatal.as_ref()
    }

    /// Ends every batch that is not in flight.
    pub(super) fn fail_everything(&mut self, error: &Error) {
        for number in 0..self.partitions.len() as u32 {
            let Some(partition) = self.partition(number) else { continue };
            partition.queued = false;
            self.fail_partition(number, error);
        }
        for node in self.nodes.values_mut() {
            node.ready.clear();
        }
    }

    /// Ends every batch of a partition that is not in flight.
    pub(super) fn fail_partition(&mut self, number: u32, error: &Error) {
        let acc = self.acc.clone();
        let Some(partition) = self.partition(number) else { return };
        let entry = partition.entry.clone();
        let repeats = partition.lane.take_where(|_| true);
        for parcel in repeats {
            let error = certain(error.clone(), &parcel);
            self.end(number, parcel, error, Vec::new());
        }
        while let Some(batch) = acc.take(&entry) {
            let parcel = Parcel::new(batch, entry_deadline());
            self.end(number, parcel, error.clone(), Vec::new());
        }
    }

    /// Ends everything, in flight or not: `purge`, or a close whose time is over. What is in flight may be written.
    pub(crate) fn drop_everything(&mut self, error: &Error, now: Instant) {
        self.take_signals(now);
        // In this order, so that callbacks hear of a partition's records in theirs.
        self.end_in_flight(|_, _| true, error);
        self.fail_everything(error);
        for number in 0..self.partitions.len() as u32 {
            let Some(partition) = self.partition(number) else { continue };
            let entry = partition.entry.clone();
            if self.acc.hold(&entry) && !self.held.iter().any(|(held, _)| *held == number) {
                self.held.push((number, error.clone()));
            }
        }
    }

    /// Whether something is still to be dropped that an application thread compresses at this moment.
    pub(crate) fn is_dropping(&self) -> bool {
        !self.held.is_empty()
    }

    /// Drops what had to wait for application threads. What entered meanwhile goes with it.
    pub(super) fn drop_held(&mut self) {
        for (number, error) in std::mem::take(&mut self.held) {
            let Some(partition) = self.partition(number) else { continue };
            let entry = partition.entry.clone();
            if self.acc.let_go(&entry) {
                self.fail_partition(number, &error);
            } else {
                self.held.push((number, error));
            }
        }
    }

    /// Closes a broker's connection, if any; what was in flight counts as lost.
    pub(super) fn close_node(&mut self, id: NodeId, now: Instant) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let conn = match &node.link {
            Link::Up(connection) => connection.id,
            Link::Idle | Link::Connecting { .. } | Link::Backoff { .. } => return,
        };
        let error = Error::new(ErrorKind::Connection, "closed to begin anew from the bootstrap servers");
        self.handle_disconnected(conn, error, now);
        self.actions.push_back(Action::Close { conn });
    }
}

/// The broker named the records it objects to; the others fail with it, since it drops the whole batch (KIP-467).
fn by_record(error: Error, records: &[(u32, Option<String>)]) -> Outcome {
    let own = records.iter().map(|(index, message)| {
        let text = match message {
            Some(m) => format!(
                "the broker refuses this record: {}",
                m.chars().filter(|c| !c.is_control()).take(500).collect::<String>()
            ),
            None => "the broker refuses this record".to_owned(),
        };
        (*index, like(&error, text))
    });
    let records = own.collect();
    let text = "another record of the same batch was refused, and the broker drops the batch".to_owned();
    let others = like(&error, text).with_source(error);
    Outcome::Failed { error: others, records }
}

/// The same failure in other words.
fn like(error: &Error, text: String) -> Error {
    let mut new = Error::new(error.kind(), text).with_maybe_written(error.may_have_been_written());
    if let Some(code) = error.code() {
        new = new.with_code(code);
    }
    if let (Some(attempts), Some(timings)) = (error.attempts(), error.timings()) {
        new = new.with_attempts(attempts).with_timings(*timings);
    }
    match error.topic_partition() {
        Some(tp) => new.with_topic_partition(tp.clone()),
        None => new,
    }
}

fn caused(error: Error, cause: Option<Error>) -> Error {
    let Some(cause) = cause else { return error };
    match cause.code() {
        Some(code) => error.with_code(code).with_source(cause),
        None => error.with_source(cause),
    }
}

fn kind_text(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::RecordTooLarge => "the record is too large",
        ErrorKind::Authorization => "not authorized",
        _ => "the batch failed",
    }
}

/// A parcel that ends at once needs no deadline of its own.
fn entry_deadline() -> Instant {
    crate::clock::now()
}
