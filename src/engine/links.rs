//! Connections: who connects when, what a failure means for what was in flight, timeouts.

use std::time::{Duration, Instant};

use super::account::{AnswerNotes, Asked};
use super::action::{Action, ConnId, Peer};
use super::node::{Connection, InFlight, Link, Node, NodeId, Versions, What};
use super::verdict::Answer;
use super::{Engine, bootstrap_id};
use crate::error::{Error, ErrorKind};
use crate::metrics::{Event, RequestOutcome};
use crate::protocol::header::encode_request;
use crate::protocol::{ApiKey, Request, Writer};

/// A connection attempt goes over several addresses, each with its own timeout; after this many the engine stops
/// waiting for it and treats it as failed, as where name resolution hangs.
pub(crate) const SETUP_PATIENCE: u32 = 2;

/// Where any broker will do, the next one is tried after this part of the set-up timeout: 1.25 s by default.
const PARALLEL_AFTER: u32 = 8;

impl Engine {
    // ---- events ------------------------------------------------------------

    /// The connection stands and the broker told its versions.
    pub(crate) fn handle_connected(&mut self, conn: ConnId, peer: Peer, now: Instant) {
        self.note_features(peer.features);
        let node = self.conns.get(&conn).and_then(|id| self.nodes.get_mut(id));
        let since = node.as_ref().and_then(|n| match n.link {
            Link::Connecting { conn: c, since, .. } if c == conn => Some(since),
            Link::Connecting { .. } | Link::Idle | Link::Up(_) | Link::Backoff { .. } => None,
        });
        let (Some(node), Some(since)) = (node, since) else {
            // Given up meanwhile.
            self.conns.remove(&conn);
            self.actions.push_back(Action::Close { conn });
            return;
        };
        let versions = Versions::of(peer);
        let unusable =
            [(ApiKey::PRODUCE, versions.produce.is_none()), (ApiKey::METADATA, versions.metadata.is_none())];
        let missing = unusable.iter().find(|(_, missing)| *missing).map(|(key, _)| {
            let newer = versions.is_newer(*key);
            let needed = if newer { "a newer release of this library" } else { "Kafka 2.1 or later" };
            format!("{}; {needed} is needed", versions.describe(*key))
        });
        node.link = Link::Up(Connection::new(conn, versions, now));
        self.acc.metrics.connections_created.increment();
        if let Some(said) = missing {
            let message = format!("no common version: {said}");
            self.connection_lost(conn, Error::new(ErrorKind::UnsupportedVersion, message), now);
            self.actions.push_back(Action::Close { conn });
        } else {
            node.failures = 0;
            let (broker, took) = (node.broker(), now.saturating_duration_since(since));
            log::debug!(target: "kafka_producer::engine", "connected to {broker} within {took:?}");
            self.acc.metrics.tell(|| Event::Connected { broker, took });
        }
    }

    pub(crate) fn handle_connect_failed(&mut self, conn: ConnId, error: Error, now: Instant) {
        let Some(id) = self.conns.remove(&conn) else { return };
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if !matches!(node.link, Link::Connecting { conn: c, .. } if c == conn) {
            return;
        }
        let error = node.blame(error);
        log::debug!(target: "kafka_producer::engine", "{error}");
        node.failures = node.failures.saturating_add(1);
        let wait = self.settings.reconnect_backoff.after(node.failures, &mut self.rng);
        node.link = Link::Backoff { until: now + wait };
        self.acc.metrics.tell(|| Event::ConnectFailed { broker: node.broker(), error: error.clone() });
        self.last_trouble = Some(error);
        self.coordinator_unreachable(id);
        // The partitions of this node may have moved.
        self.metadata.invalidate(now);
    }

    /// The driver lost the connection, or read something it could not understand.
    pub(crate) fn handle_disconnected(&mut self, conn: ConnId, error: Error, now: Instant) {
        self.connection_lost(conn, error, now);
    }

    /// All of one more frame is in the socket's hands; they get there in order.
    pub(crate) fn handle_written(&mut self, conn: ConnId, now: Instant) {
        let Some(node) = self.conns.get(&conn).copied() else { return };
        let Some(connection) = self.connection_by_id(conn) else { return };
        let number = connection.written;
        connection.written += 1;
        connection.last_used = now;
        let unanswered = |r: &InFlight| matches!(r.what, What::Produce { answered: false, .. });
        let at = connection.in_flight.iter().position(|r| r.number == number && unanswered(r));
        if let Some(request) = at.and_then(|at| connection.in_flight.remove(at)) {
            self.unanswered_written(node, request, now);
        }
    }

    /// One response frame, without its length.
    pub(crate) fn handle_frame(&mut self, conn: ConnId, frame: &[u8], now: Instant) {
        self.acc.metrics.responses.increment();
        if let Err(problem) = self.frame(conn, frame, now) {
            let error = Error::new(ErrorKind::Protocol, problem);
            self.connection_lost(conn, error, now);
            self.actions.push_back(Action::Close { conn });
        }
    }

    fn frame(&mut self, conn: ConnId, frame: &[u8], now: Instant) -> Result<(), String> {
        let Some(node) = self.conns.get(&conn).copied() else { return Ok(()) };
        let Some(connection) = self.connection_by_id(conn) else { return Ok(()) };
        let Some(request) = connection.in_flight.pop_front() else {
            return Err("a response that nothing asked for".into());
        };
        connection.last_used = now;
        connection.last_answer = now;
        match crate::protocol::header::peek_correlation_id(frame) {
            Ok(id) if id == request.correlation => {
                let asked = Asked::of(&request);
                self.answer = AnswerNotes::default();
                self.answered(node, request, frame, now)?;
                self.account_answer(node, asked, frame.len() + FRAME_LENGTH, now);
                Ok(())
            }
            got => {
                let expected = request.correlation;
                connection.in_flight.push_front(request);
                Err(match got {
                    Ok(got) => format!("a response to request {got} where {expected} was next"),
                    Err(_) => format!("a frame of {} bytes, too short for a response", frame.len()),
                })
            }
        }
    }

    // ---- what changes a link -------------------------------------------------

    pub(super) fn connection_by_id(&mut self, conn: ConnId) -> Option<&mut Connection> {
        let node = self.nodes.get_mut(self.conns.get(&conn)?)?;
        node.connection().filter(|c| c.id == conn)
    }

    /// Ends the connection and answers everything that was in flight on it with "lost".
    fn connection_lost(&mut self, conn: ConnId, error: Error, now: Instant) {
        let Some(id) = self.conns.get(&conn).copied() else { return };
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if matches!(node.link, Link::Connecting { .. }) {
            return self.handle_connect_failed(conn, error, now);
        }
        self.conns.remove(&conn);
        let error = node.blame(error);
        let in_flight = match &mut node.link {
            Link::Up(connection) if connection.id == conn => std::mem::take(&mut connection.in_flight),
            Link::Up(_) | Link::Idle | Link::Connecting { .. } | Link::Backoff { .. } => return,
        };
        node.failures = node.failures.saturating_add(1);
        let wait = self.settings.reconnect_backoff.after(node.failures, &mut self.rng);
        node.link = Link::Backoff { until: now + wait };
        self.acc.metrics.connections_closed.increment();
        log::debug!(target: "kafka_producer::engine", "connection lost with {} in flight: {error}", in_flight.len());
        let lost_requests = in_flight.len();
        self.tell_of(id, |broker| Event::Disconnected { broker, reason: Some(error.clone()), lost_requests });
        self.last_trouble = Some(error.clone());
        self.metadata.invalidate(now);
        for request in in_flight {
            self.account_unanswered(id, Asked::of(&request), RequestOutcome::Lost, now);
            match request.what {
                What::Produce { parcels, .. } => {
                    for sent in parcels {
                        self.judge(sent, Answer::Lost, Some(error.clone()), now);
                    }
                }
                What::Metadata { .. } => self.metadata.failed(now, &mut self.rng),
                What::InitProducerId => self.identity_failed(now),
                What::Coordinator(errand) => self.errand_lost(&errand, &error, now),
            }
        }
        self.coordinator_unreachable(id);
    }

    /// Requests that are overdue, attempts to connect that are given up, idle connections, retired nodes.
    pub(super) fn check_links(&mut self, now: Instant) {
        let mut next = self.node_after(None);
        while let Some(id) = next {
            self.expire_in_flight(id, now);
            self.check_link(id, now);
            next = self.node_after(Some(id));
        }
        if self.next_idle_check.is_none_or(|at| at <= now) {
            self.next_idle_check = Some(now + IDLE_CHECK);
            self.forget_idle_topics(now);
        }
    }

    fn check_link(&mut self, id: NodeId, now: Instant) {
        let max_idle = self.settings.connections_max_idle;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        match &node.link {
            Link::Connecting { conn, give_up, .. } if *give_up <= now => {
                let conn = *conn;
                let message = "no connection within socket.connection.setup.timeout.ms";
                self.handle_connect_failed(conn, Error::new(ErrorKind::Connection, message), now);
            }
            Link::Up(connection) => {
                let conn = connection.id;
                let idle = now.saturating_duration_since(connection.last_used) >= max_idle;
                let overdue = connection.in_flight.iter().any(|r| r.deadline <= now);
                if overdue {
                    let message = "no answer within request.timeout.ms; connection closed";
                    self.connection_lost(conn, Error::new(ErrorKind::Connection, message), now);
                    self.actions.push_back(Action::Close { conn });
                } else if connection.in_flight.is_empty()
                    && !connection.is_writing()
                    && (idle || node.retired || connection.outdated)
                {
                    node.link = Link::Idle;
                    self.conns.remove(&conn);
                    self.acc.metrics.connections_closed.increment();
                    self.tell_of(id, |broker| Event::Disconnected { broker, reason: None, lost_requests: 0 });
                    self.actions.push_back(Action::Close { conn });
                    self.remove_if_retired(id, now);
                }
            }
            Link::Connecting { .. } => {}
            Link::Idle | Link::Backoff { .. } => self.remove_if_retired(id, now),
        }
    }

    fn remove_if_retired(&mut self, id: NodeId, now: Instant) {
        if self.nodes.get(&id).is_some_and(|n| n.retired) {
            if let Some(node) = self.nodes.remove(&id) {
                self.acc.metrics.forget_node(id);
                if !node.ready.is_empty() {
                    self.metadata.invalidate(now);
                }
                for number in node.ready {
                    if let Some(partition) = self.partition(number) {
                        partition.queued = false;
                    }
                }
            }
        }
    }

    /// When the link needs to be looked at.
    pub(super) fn link_events(&self, node: &Node) -> [Option<Instant>; 6] {
        match &node.link {
            Link::Idle => [None; 6],
            Link::Connecting { give_up, .. } => [Some(*give_up), None, None, None, None, None],
            Link::Backoff { until } => {
                let until = (!node.ready.is_empty()).then_some(*until);
                [until, None, None, None, None, None]
            }
            Link::Up(connection) => [
                connection.in_flight.iter().map(|r| r.deadline).min(),
                Some(connection.last_used + self.settings.connections_max_idle),
                connection.next_expiry,
                connection.throttled_until,
                connection.gathers_until,
                self.silence_due(connection),
            ],
        }
    }

    // ---- connecting ----------------------------------------------------------

    /// Connects to every broker that has something to send.
    pub(super) fn connect_where_wanted(&mut self, now: Instant) {
        let wanted: Vec<NodeId> =
            self.nodes.values().filter(|n| !n.ready.is_empty() && n.can_connect(now)).map(|n| n.id).collect();
        for id in wanted {
            self.connect(id, now);
        }
    }

    pub(super) fn connect(&mut self, id: NodeId, now: Instant) {
        let conn = ConnId(self.next_conn);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        self.next_conn += 1;
        let setup_timeout = self.settings.setup_timeout.after(node.failures + 1, &mut self.rng);
        let give_up = now + setup_timeout * SETUP_PATIENCE + self.settings.request_timeout;
        node.link = Link::Connecting { conn, since: now, give_up };
        self.conns.insert(conn, id);
        self.actions.push_back(Action::Connect {
            conn,
            address: node.address.clone(),
            setup_timeout,
            request_timeout: self.settings.request_timeout,
        });
    }

    /// The broker to ask something that any broker can answer. Connects to one if none is there, so that a later call
    /// finds it: known brokers first, and where none of them can be reached the bootstrap addresses again (KIP-899).
    pub(super) fn least_loaded(&mut self, now: Instant) -> Option<NodeId> {
        let max = self.settings.max_in_flight;
        let up = self.nodes.values().filter(|n| !n.retired).filter_map(|n| {
            let connection = n.up()?;
            let silent = self.is_silent(connection, now);
            Some((silent, !connection.has_room(max, now), connection.in_flight.len(), n.id))
        });
        if let Some((silent, full, _, id)) = up.min() {
            // Brokers answer in order: behind what a silent one has not answered, nothing would be. Others may.
            let other = |n: &Node| n.id >= 0 && !n.retired && (n.can_connect(now) || self.is_hopeful(n, now));
            if !silent || !self.nodes.values().any(other) {
                return (!silent && !full).then_some(id);
            }
        }
        let known = |n: &&Node| !n.is_bootstrap() && !n.retired;
        let some_known = self.nodes.values().any(|n| known(&n));
        if some_known {
            if self.nodes.values().filter(known).any(|n| self.is_hopeful(n, now)) {
                return None;
            }
            let candidates: Vec<NodeId> =
                self.nodes.values().filter(|n| known(n) && n.can_connect(now)).map(|n| n.id).collect();
            if !candidates.is_empty() {
                let at = (self.rng.next() % candidates.len() as u64) as usize;
                if let Some(id) = candidates.get(at) {
                    self.connect(*id, now);
                }
                return None;
            }
        }
        if !some_known || self.metadata.may_rebootstrap() {
            self.connect_to_bootstrap(now);
        }
        None
    }

    /// Whether an attempt to connect is under way that has not taken suspiciously long. One that has does not keep the
    /// next address from being tried.
    fn is_hopeful(&self, node: &Node, now: Instant) -> bool {
        match node.link {
            Link::Connecting { since, .. } => since + self.patience() > now,
            Link::Idle | Link::Up(_) | Link::Backoff { .. } => false,
        }
    }

    /// How long an attempt to connect may take before another broker is tried beside it.
    fn patience(&self) -> Duration {
        self.settings.setup_timeout.initial / PARALLEL_AFTER
    }

    /// Makes a node of every bootstrap address, or keeps the one there is from being retired.
    pub(super) fn bring_back_bootstrap(&mut self) {
        for (at, address) in self.settings.bootstrap.iter().enumerate() {
            let id = bootstrap_id(at);
            self.nodes.entry(id).or_insert_with(|| Node::new(id, address.clone())).retired = false;
        }
    }

    /// Tries the bootstrap addresses in turn, the next one when the last has failed or takes long.
    fn connect_to_bootstrap(&mut self, now: Instant) {
        let count = self.settings.bootstrap.len();
        self.bring_back_bootstrap();
        if self.nodes.values().any(|n| n.is_bootstrap() && self.is_hopeful(n, now)) {
            return;
        }
        for _ in 0..count {
            let id = bootstrap_id(self.next_bootstrap % count);
            self.next_bootstrap = self.next_bootstrap.wrapping_add(1);
            if self.nodes.get(&id).is_some_and(|n| n.can_connect(now)) {
                return self.connect(id, now);
            }
        }
    }

    /// When the next bootstrap attempt can begin, where one is wanted.
    pub(super) fn next_connect_chance(&self) -> Option<Instant> {
        self.nodes
            .values()
            .filter_map(|n| match n.link {
                Link::Backoff { until } => Some(until),
                Link::Connecting { since, .. } => Some(since + self.patience()),
                Link::Idle | Link::Up(_) => None,
            })
            // Nodes that nobody wants stay where their wait ended long ago; that must not hide the waits of others.
            .filter(|at| self.is_ahead(*at))
            .min()
    }

    // ---- sending ---------------------------------------------------------------

    /// Encodes and queues a request without batches; `false` if it cannot be encoded.
    pub(super) fn send_request<R: Request>(
        &mut self,
        node: NodeId,
        version: i16,
        request: &R,
        what: What,
        now: Instant,
    ) -> bool {
        let mut writer = Writer::new();
        let client_id = self.settings.client_id.clone();
        let Some(connection) = self.nodes.get_mut(&node).and_then(|n| n.connection()) else { return false };
        let correlation = connection.correlation();
        if let Err(problem) = encode_request(&mut writer, version, correlation, Some(&client_id), request) {
            log::error!(target: "kafka_producer::engine", "cannot encode {}: {problem}", R::NAME);
            return false;
        }
        let (head, splices) = writer.into_parts();
        let frame = super::Frame { head, splices, batches: Vec::new() };
        self.launch(node, correlation, version, what, frame, now);
        true
    }

    /// Notes a request as in flight and hands its bytes to the driver.
    pub(super) fn launch(
        &mut self,
        node: NodeId,
        correlation: i32,
        version: i16,
        what: What,
        frame: super::Frame,
        now: Instant,
    ) {
        let timeout = self.settings.request_timeout;
        let Some(connection) = self.nodes.get_mut(&node).and_then(|n| n.connection()) else { return };
        // A broker that asked for silence may keep its answer back as long.
        let from = connection.throttled_until.map_or(now, |until| until.max(now));
        let deadline = from + timeout;
        let number = connection.launched;
        connection.launched += 1;
        connection.last_used = now;
        if matches!(what, What::Produce { .. }) {
            connection.last_produce = Some(now);
        }
        let conn = connection.id;
        let bytes = frame.len();
        let request = InFlight { number, correlation, version, deadline, sent: now, bytes, what };
        connection.in_flight.push_back(request);
        self.acc.metrics.request_sent(node, bytes, now);
        self.actions.push_back(Action::Send { conn, frame });
    }

    /// Honours a broker's wish for silence (KIP-219); other brokers are not concerned.
    pub(super) fn throttle(&mut self, node: NodeId, millis: i32, now: Instant) {
        self.answer.throttle_millis = millis;
        let Ok(millis @ 1..) = u64::try_from(millis) else { return };
        self.acc.metrics.throttle_millis.add(millis);
        let Some(connection) = self.nodes.get_mut(&node).and_then(|n| n.connection()) else { return };
        let pause = Duration::from_millis(millis);
        log::debug!(target: "kafka_producer::engine", "broker {node} asks for silence of {pause:?}");
        connection.throttled_until = Some(now + pause);
        for request in &mut connection.in_flight {
            request.deadline += pause;
        }
        self.tell_of(node, |broker| Event::Throttled { broker, time: pause });
    }
}

/// The length that stands before a response.
const FRAME_LENGTH: usize = 4;
/// How often topics are looked through for idle ones.
const IDLE_CHECK: Duration = Duration::from_secs(10);

impl Node {
    pub(super) fn can_connect(&self, now: Instant) -> bool {
        match self.link {
            Link::Idle => true,
            Link::Backoff { until } => until <= now,
            Link::Connecting { .. } | Link::Up(_) => false,
        }
    }
}
