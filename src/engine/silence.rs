//! Brokers that have stopped answering: asking the others about their partitions, and going on there.
//!
//! A process that is frozen, or a machine that has gone without a word, keeps its connections: Java's client waits for
//! `request.timeout.ms`, 30 s by default, although the cluster chose other leaders after a few seconds. Here a broker
//! that leaves a request unanswered for a second makes the sender ask another broker for metadata, and is given up when
//! that names other leaders. Only where the producer is idempotent: what is sent again then cannot be appended twice. A
//! broker that is merely slow keeps its partitions, and its requests their whole time.
//!
//! Pure, on the sender thread; no lock of its own.

use std::time::{Duration, Instant};

use super::Engine;
use super::action::{Action, ConnId};
use super::node::{Connection, Node, What};
use crate::error::{Error, ErrorKind};

/// An answer that takes that long is worth a question to somebody else: many times a round trip, and less than what a
/// cluster takes to miss a broker.
const SUSPICIOUS: Duration = Duration::from_secs(1);
/// Where requests have little time, it is this part of theirs.
const PART_OF_TIMEOUT: u32 = 4;
/// The questions become rarer, as the silence becomes longer, by this part of it.
const RARER: u32 = 4;

impl Engine {
    fn suspicious(&self) -> Duration {
        SUSPICIOUS.min(self.settings.request_timeout / PART_OF_TIMEOUT)
    }

    /// When to ask about the broker next; `None` while nothing is in flight.
    pub(super) fn silence_due(&self, connection: &Connection) -> Option<Instant> {
        let since = connection.silent_since()?;
        let first = since + self.suspicious();
        let next = connection.asked_about.filter(|at| *at >= since).map(|at| {
            let silent = at.saturating_duration_since(since);
            at + self.suspicious().max(silent / RARER)
        });
        Some(next.unwrap_or(first))
    }

    pub(super) fn is_silent(&self, connection: &Connection, now: Instant) -> bool {
        connection.silent_since().is_some_and(|since| since + self.suspicious() <= now)
    }

    /// Asks for metadata if a broker has become silent, or stays so.
    pub(super) fn watch_silence(&mut self, now: Instant) {
        let due = |node: &&Node| {
            let connection = node.up();
            connection.and_then(|c| self.silence_due(c)).is_some_and(|at| at <= now)
        };
        let silent: Vec<_> = self.nodes.values().filter(due).map(|node| node.id).collect();
        for id in silent {
            let Some(connection) = self.nodes.get_mut(&id).and_then(Node::connection) else { continue };
            connection.asked_about = Some(now);
            let asks = connection.in_flight.iter().any(|r| matches!(r.what, What::Metadata { .. }));
            self.metadata.invalidate(now);
            if asks {
                // Somebody else may answer sooner.
                self.metadata.not_awaited();
            }
        }
    }

    /// Gives up connections to silent brokers whose partitions others lead by now.
    pub(super) fn leave_the_silent(&mut self, now: Instant) {
        if !self.settings.idempotent {
            return;
        }
        let left: Vec<ConnId> = self
            .nodes
            .values()
            .filter_map(|node| {
                let connection = node.up().filter(|c| self.is_silent(c, now))?;
                self.others_lead(node, connection).then_some(connection.id)
            })
            .collect();
        for conn in left {
            let message =
                "no answer for long, and other brokers lead its partitions by now; connection closed";
            self.handle_disconnected(conn, Error::new(ErrorKind::Connection, message), now);
            self.actions.push_back(Action::Close { conn });
        }
    }

    /// Whether some partition whose batch is in flight there has another leader, or what it coordinated another place.
    fn others_lead(&self, node: &Node, connection: &Connection) -> bool {
        let leader = |number: u32| {
            let partition = self.partitions.get(number as usize).and_then(Option::as_deref);
            partition.and_then(|p| p.leader)
        };
        connection.in_flight.iter().any(|request| match &request.what {
            What::Produce { parcels, .. } => {
                parcels.iter().filter_map(|sent| leader(sent.partition)).any(|leader| leader != node.id)
            }
            // Not in the cluster any more, so others coordinate.
            What::Coordinator(_) => node.retired,
            What::Metadata { .. } | What::InitProducerId => false,
        })
    }
}

impl Connection {
    /// Since when a request waits and nothing was answered; the time for which the broker asked does not count. A broker
    /// that answers, however late, is not silent.
    fn silent_since(&self) -> Option<Instant> {
        let oldest = self.in_flight.front()?;
        let since = oldest.sent.max(self.last_answer);
        Some(self.throttled_until.map_or(since, |until| until.max(since)))
    }
}
