//! A virtual clock and a virtual network between a real engine with a real accumulator and a mock cluster.
//!
//! Connections are FIFO in both directions, each frame with a random latency. What is on its way to a broker when the
//! client closes may still be acted upon, as by a broker that had read it already.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::super::backoff::Rng;
use super::super::node::{Link, What};
use super::super::{
    Action, Address, Backoff, ConnId, Engine, EngineSettings, Features, Frame, MetadataSettings, Peer,
};
use crate::accumulator::{RecordAccumulator, Settings};
use crate::clock::virtual_time;
use crate::error::{Error, ErrorKind};
use crate::metrics::Metrics;
use crate::mock::{ClusterOptions, ClusterState, Key, Then};
use crate::protocol::record::CompressionType;
use crate::protocol::record::compression::Compression;
use crate::protocol::{ApiKey, ErrorCode};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(super) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What the network does to frames and attempts to connect; chances are per mille.
#[derive(Clone, Copy, Debug)]
pub(super) struct Net {
    /// In microseconds, from and to.
    pub(super) latency: (u64, u64),
    /// A frame that takes `slow_by` longer.
    pub(super) slow: u64,
    pub(super) slow_by: Duration,
    pub(super) connect_fails: u64,
    pub(super) connect_hangs: u64,
    /// The connection breaks at a frame.
    pub(super) cuts: u64,
    /// What was on its way when the client closed still arrives.
    pub(super) zombies: bool,
}

impl Net {
    pub(super) const CALM: Self = Self {
        latency: (200, 900),
        slow: 0,
        slow_by: Duration::ZERO,
        connect_fails: 0,
        connect_hangs: 0,
        cuts: 0,
        zombies: false,
    };
}

#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) brokers: u16,
    pub(super) cluster: ClusterOptions,
    pub(super) engine: EngineSettings,
    pub(super) acc: Settings,
    pub(super) net: Net,
}

const FIRST_PORT: u16 = 9001;

fn backoff(initial: u64, max: u64) -> Backoff {
    Backoff { initial: ms(initial), max: ms(max), multiplier: 2.0, jitter: 0.2 }
}

impl Setup {
    /// Three brokers, idempotence, the defaults of Java in small.
    pub(super) fn new(seed: u64) -> Self {
        let address = |n: u16| Address { host: Arc::from("127.0.0.1"), port: FIRST_PORT + n };
        Self {
            seed,
            brokers: 3,
            cluster: ClusterOptions { journal: 100_000, ..ClusterOptions::default() },
            engine: EngineSettings {
                client_id: "sim".into(),
                bootstrap: vec![address(0), address(1)],
                acks: -1,
                idempotent: true,
                retries: i32::MAX as u32,
                max_in_flight: 5,
                max_request_size: 1 << 20,
                request_timeout: ms(1000),
                connections_max_idle: ms(60_000),
                retry_backoff: backoff(100, 1000),
                reconnect_backoff: backoff(50, 1000),
                setup_timeout: backoff(500, 1000),
                metadata: MetadataSettings {
                    max_age: ms(300_000),
                    max_idle: ms(300_000),
                    backoff: backoff(100, 1000),
                    rebootstrap_after: Some(ms(300_000)),
                },
                allow_auto_create: true,
                seed,
                transactional: None,
            },
            acc: Settings {
                batch_size: 1000,
                batch_max_size: 0,
                linger: ms(5),
                buffer_memory: 1 << 20,
                broker_share: 0.5,
                delivery_timeout: ms(10_000),
                compression: Compression::new(CompressionType::None),
                adaptive: true,
            },
            net: Net::CALM,
        }
    }
}

enum Event {
    Connected(ConnId),
    ConnectFailed(ConnId),
    Written(ConnId, Frame),
    AtBroker(ConnId, Vec<u8>),
    AtClient(ConnId, Vec<u8>),
    Closed(ConnId),
}

/// One attempt to connect and what came of it.
struct Wire {
    node: i32,
    /// The client has not closed it.
    open: bool,
    /// What is on its way to the broker does not arrive.
    lost: bool,
    /// The broker reads no more.
    deaf: bool,
    to_socket: Instant,
    to_broker: Instant,
    to_client: Instant,
}

pub(super) struct World {
    pub(super) base: Instant,
    pub(super) now: Instant,
    pub(super) acc: Arc<RecordAccumulator>,
    pub(super) engine: Engine,
    pub(super) cluster: ClusterState,
    pub(super) net: Net,
    pub(super) rng: Rng,
    /// Every run of the engine, and those that no event caused.
    pub(super) runs: u64,
    timer_runs: (u64, u64),
    pub(super) requests: HashMap<i16, u64>,
    /// Requests that were given up and acted upon all the same, later.
    pub(super) zombies: HashMap<i16, u64>,
    pub(super) trace: Option<Vec<String>>,
    /// Changes answers on their way, length excluded.
    pub(super) tamper: Option<Tamper>,
    /// A broker that takes for ever to accept connections.
    pub(super) hanging: Option<i32>,
    events: BTreeMap<(Instant, u64), Event>,
    next_event: u64,
    wires: HashMap<ConnId, Wire>,
    woken: Arc<AtomicBool>,
    wakes: Arc<AtomicU64>,
}

/// Gets the API, the version and the answer; returns what arrives instead.
pub(super) type Tamper = Box<dyn FnMut(ApiKey, i16, &[u8]) -> Vec<u8>>;

/// More runs than this without an event within a virtual second are a busy loop.
const MAX_TIMER_RUNS: u64 = 3000;

impl World {
    pub(super) fn new(setup: Setup) -> Self {
        // One base for all worlds of a process, so that seeds repeat.
        let base = crate::clock::now();
        virtual_time::set(Some(base));
        let ports: Vec<u16> = (0..setup.brokers).map(|n| FIRST_PORT + n).collect();
        let acc = RecordAccumulator::new(setup.acc, Arc::new(Metrics::default()));
        let woken = Arc::new(AtomicBool::new(true));
        let flag = woken.clone();
        let wakes = Arc::new(AtomicU64::new(0));
        let count = wakes.clone();
        acc.signals.set_waker(Box::new(move || {
            flag.store(true, Ordering::SeqCst);
            count.fetch_add(1, Ordering::SeqCst);
        }));
        Self {
            base,
            now: base,
            engine: Engine::new(setup.engine, acc.clone()),
            acc,
            cluster: ClusterState::new(setup.cluster, "127.0.0.1", &ports),
            net: setup.net,
            rng: Rng::new(setup.seed ^ 0x5eed),
            runs: 0,
            timer_runs: (0, 0),
            requests: HashMap::new(),
            zombies: HashMap::new(),
            trace: None,
            tamper: None,
            hanging: None,
            events: BTreeMap::new(),
            next_event: 0,
            wires: HashMap::new(),
            woken,
            wakes,
        }
    }

    /// How often the application woke the sender.
    pub(super) fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::SeqCst)
    }

    pub(super) fn note(&mut self, what: impl FnOnce(&mut Self) -> String) {
        if self.trace.is_some() {
            let line = format!("{:>9.3} ms  {}", (self.now - self.base).as_secs_f64() * 1e3, what(self));
            self.trace.get_or_insert_default().push(line);
        }
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.rng.next() % n.max(1)
    }

    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    // ---- time ------------------------------------------------------------------

    /// Lets time pass.
    pub(super) fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while self.step(until) {}
    }

    /// The process stands still for so long: what the network does meanwhile is found at once afterwards.
    pub(super) fn stand_still(&mut self, by: Duration) {
        self.now += by;
        virtual_time::set(Some(self.now));
    }

    /// Lets time pass until `done`, at most so long; says whether it came true.
    pub(super) fn until(&mut self, at_most: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let until = self.now + at_most;
        loop {
            if done(self) {
                return true;
            }
            if !self.step(until) {
                return done(self);
            }
        }
    }

    /// Goes on to the next event or timer; `false` if there is none before `until`, which is the present then.
    fn step(&mut self, until: Instant) -> bool {
        let timer = self.engine.poll_timeout();
        if self.woken.swap(false, Ordering::SeqCst) || !self.acc.signals.fall_asleep(timer) {
            self.acc.signals.woke_up();
            self.turn();
            return true;
        }
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        let next = event.into_iter().chain(timer).min().filter(|at| *at <= until);
        self.now = next.map_or(until, |at| at.max(self.now));
        virtual_time::set(Some(self.now));
        if next.is_none() {
            return false;
        }
        self.acc.signals.woke_up();
        let mut events = 0;
        while let Some(entry) = self.events.first_entry().filter(|e| e.key().0 <= self.now) {
            let event = entry.remove();
            self.happen(event);
            events += 1;
        }
        self.watch_for_busy_loops(events);
        self.turn();
        true
    }

    fn watch_for_busy_loops(&mut self, events: u32) {
        let second = (self.now - self.base).as_secs();
        if self.timer_runs.0 != second {
            self.timer_runs = (second, 0);
        }
        self.timer_runs.1 += u64::from(events == 0);
        assert!(self.timer_runs.1 <= MAX_TIMER_RUNS, "busy loop: {} runs in a second", self.timer_runs.1);
    }

    /// What the sender thread does after it woke up.
    pub(super) fn turn(&mut self) {
        self.runs += 1;
        self.engine.run(self.now);
        while let Some(action) = self.engine.poll_action() {
            self.act(action);
        }
        self.check_invariants();
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.next_event += 1;
        self.events.insert((at, self.next_event), event);
    }

    fn latency(&mut self) -> Duration {
        let (from, to) = self.net.latency;
        let usual = Duration::from_micros(from + self.below(to - from + 1));
        if self.chance(self.net.slow) { usual + self.net.slow_by } else { usual }
    }

    // ---- actions -----------------------------------------------------------------

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect { conn, address, setup_timeout, .. } => {
                self.connect(conn, &address, setup_timeout);
            }
            Action::Send { conn, frame } => {
                let wait = self.latency() / 4;
                self.note(|_| {
                    format!("{conn:?} send {} bytes, {} batches", frame.len(), frame.batches.len())
                });
                let Some(wire) = self.wires.get_mut(&conn) else { return };
                let at = (self.now + wait).max(wire.to_socket);
                wire.to_socket = at;
                self.at(at, Event::Written(conn, frame));
            }
            Action::Close { conn } => {
                self.note(|_| format!("{conn:?} close"));
                let zombies = self.net.zombies && self.chance(700);
                if let Some(wire) = self.wires.get_mut(&conn) {
                    wire.open = false;
                    wire.lost |= !zombies;
                }
            }
        }
    }

    fn connect(&mut self, conn: ConnId, address: &Address, setup_timeout: Duration) {
        let node = i32::from(address.port) - i32::from(FIRST_PORT) + 1;
        self.note(|_| format!("{conn:?} connect to {node}"));
        let now = self.now;
        let (to_socket, to_broker, to_client) = (now, now, now);
        let wire = Wire { node, open: true, lost: false, deaf: false, to_socket, to_broker, to_client };
        self.wires.insert(conn, wire);
        let wait = self.latency() * 2;
        let alive = self.cluster.topology.node(node).is_some_and(|n| n.alive);
        if self.hanging == Some(node) || self.chance(self.net.connect_hangs) {
            self.at(self.now + setup_timeout, Event::ConnectFailed(conn));
        } else if !alive || self.chance(self.net.connect_fails) {
            self.at(self.now + wait, Event::ConnectFailed(conn));
        } else {
            self.at(self.now + wait, Event::Connected(conn));
        }
    }

    // ---- events --------------------------------------------------------------------

    fn happen(&mut self, event: Event) {
        match event {
            Event::Connected(conn) => self.connected(conn),
            Event::ConnectFailed(conn) => {
                self.note(|_| format!("{conn:?} failed to connect"));
                self.wires.remove(&conn);
                let error = Error::new(ErrorKind::Connection, "refused");
                self.engine.handle_connect_failed(conn, error, self.now);
            }
            Event::Written(conn, frame) => self.written(conn, &frame),
            Event::AtBroker(conn, bytes) => self.at_broker(conn, &bytes),
            Event::AtClient(conn, bytes) => self.at_client(conn, &bytes),
            Event::Closed(conn) => self.closed(conn, "connection reset"),
        }
    }

    fn connected(&mut self, conn: ConnId) {
        self.note(|_| format!("{conn:?} connected"));
        let ranges = ApiKey::KNOWN.iter().filter_map(|api| self.cluster.range_of(*api));
        let ranges = ranges.map(|r| (r.key, r.min, r.max)).collect();
        let features = Features {
            epoch: Some(self.cluster.features_epoch()),
            transaction_version: self.cluster.transaction_version(),
        };
        self.engine.handle_connected(conn, Peer { ranges, features }, self.now);
    }

    fn written(&mut self, conn: ConnId, frame: &Frame) {
        let latency = self.latency();
        let cut = self.chance(self.net.cuts);
        let Some(wire) = self.wires.get_mut(&conn).filter(|w| w.open) else { return };
        let bytes: Vec<u8> = frame.slices().flatten().copied().collect();
        assert_eq!(bytes.len(), frame.len());
        if cut {
            // Nobody knows how far it came.
            wire.lost = true;
            return self.closed(conn, "broken pipe");
        }
        let at = (self.now + latency).max(wire.to_broker);
        wire.to_broker = at;
        self.engine.handle_written(conn, self.now);
        self.at(at, Event::AtBroker(conn, bytes));
    }

    fn at_broker(&mut self, conn: ConnId, bytes: &[u8]) {
        let latency = self.latency();
        let Some(wire) = self.wires.get(&conn) else { return };
        let node = wire.node;
        let alive = self.cluster.topology.node(node).is_some_and(|n| n.alive);
        if wire.lost || wire.deaf || !alive {
            return;
        }
        let (length, frame) = bytes.split_first_chunk::<4>().expect("a length");
        assert_eq!(u32::from_be_bytes(*length) as usize, frame.len(), "frame length");
        let api = i16::from_be_bytes([frame[0], frame[1]]);
        *self.requests.entry(api).or_insert(0) += 1;
        if !wire.open {
            *self.zombies.entry(api).or_insert(0) += 1;
        }
        let version = i16::from_be_bytes([frame[2], frame[3]]);
        let mut reply = self.cluster.handle(self.now, node, conn.0, frame);
        if let Some(tamper) = self.tamper.as_mut().filter(|_| reply.bytes.len() > 4) {
            let body = tamper(ApiKey(api), version, &reply.bytes[4..]);
            reply.bytes = (body.len() as u32).to_be_bytes().into_iter().chain(body).collect();
        }
        self.note(|w| {
            let zombie = if w.wires[&conn].open { "" } else { " (zombie)" };
            format!(
                "{conn:?} broker {node} got {}{zombie}, answers {} bytes, {:?}; {}",
                ApiKey(api),
                reply.bytes.len(),
                reply.then,
                w.last_request()
            )
        });
        let Some(wire) = self.wires.get_mut(&conn) else { return };
        let at = (self.now + reply.delay + latency).max(wire.to_client);
        wire.to_client = at;
        match reply.then {
            Then::Continue => {}
            Then::Close => wire.lost = true,
            Then::StopReading => wire.deaf = true,
        }
        if !reply.bytes.is_empty() {
            self.at(at, Event::AtClient(conn, reply.bytes));
        }
        if reply.then == Then::Close {
            self.at(at, Event::Closed(conn));
        }
    }

    fn last_request(&self) -> String {
        self.cluster.journal.all().last().map_or_else(String::new, |r| format!("v{} {:?}", r.version, r.body))
    }

    fn at_client(&mut self, conn: ConnId, bytes: &[u8]) {
        if !self.wires.get(&conn).is_some_and(|w| w.open) {
            return;
        }
        if self.chance(self.net.cuts) {
            return self.closed(conn, "reset before the answer");
        }
        match bytes.split_first_chunk::<4>() {
            Some((length, frame)) if u32::from_be_bytes(*length) as usize == frame.len() => {
                self.note(|_| format!("{conn:?} answer of {} bytes: {frame:02x?}", frame.len()));
                self.engine.handle_frame(conn, frame, self.now);
            }
            _ => self.closed(conn, "no frame"),
        }
    }

    fn closed(&mut self, conn: ConnId, why: &str) {
        let Some(wire) = self.wires.get_mut(&conn).filter(|w| w.open) else { return };
        wire.open = false;
        self.note(|_| format!("{conn:?} closed: {why}"));
        self.engine.handle_disconnected(conn, Error::new(ErrorKind::Connection, why), self.now);
    }

    // ---- what may happen to a cluster --------------------------------------------------

    pub(super) fn stop_broker(&mut self, node: i32) {
        self.note(|_| format!("broker {node} stops"));
        self.cluster.topology.stop_node(node);
        let mut conns: Vec<ConnId> =
            self.wires.iter().filter(|(_, w)| w.node == node && w.open).map(|(c, _)| *c).collect();
        conns.sort_unstable();
        for conn in conns {
            if let Some(wire) = self.wires.get_mut(&conn) {
                wire.lost = true;
            }
            let wait = self.latency();
            self.at(self.now + wait, Event::Closed(conn));
        }
    }

    pub(super) fn start_broker(&mut self, node: i32) {
        self.note(|_| format!("broker {node} starts"));
        self.cluster.topology.start_node(node);
    }

    /// Another broker coordinates the transactional id, or the group, from now on.
    pub(super) fn move_coordinator(&mut self, key: Key<'_>, node: i32) -> Result<(), ErrorCode> {
        self.cluster.move_coordinator(key, node, self.now)
    }

    /// What a group has committed for a partition 0.
    pub(super) fn committed_offset(&self, group: &str, topic: &str) -> Option<i64> {
        self.cluster.coordinators.groups.committed(group, topic, 0).map(|at| at.offset)
    }

    /// Breaks every connection to a broker; what is on its way arrives or does not.
    pub(super) fn cut(&mut self, node: i32, lost: bool) {
        self.note(|_| format!("network to {node} breaks, lost: {lost}"));
        let mut conns: Vec<ConnId> =
            self.wires.iter().filter(|(_, w)| w.node == node && w.open).map(|(c, _)| *c).collect();
        conns.sort_unstable();
        for conn in conns {
            if let Some(wire) = self.wires.get_mut(&conn) {
                wire.lost |= lost;
            }
            self.closed(conn, "cut");
        }
    }

    // ---- invariants ---------------------------------------------------------------------

    /// What holds of the engine's insides after every run.
    fn check_invariants(&self) {
        let engine = &self.engine;
        for node in engine.nodes.values() {
            for number in &node.ready {
                let p = engine.partitions[*number as usize].as_deref().expect("a partition");
                assert!(p.queued && p.leader == Some(node.id), "partition {number} stands in the wrong list");
            }
            let unique: std::collections::HashSet<_> = node.ready.iter().collect();
            assert_eq!(unique.len(), node.ready.len(), "a partition stands in a list twice");
            if let Link::Up(c) = &node.link {
                assert_eq!(engine.conns.get(&c.id), Some(&node.id));
            }
        }
        let queued = engine.partitions.iter().flatten().filter(|p| p.queued).count();
        assert_eq!(queued, engine.nodes.values().map(|n| n.ready.len()).sum::<usize>(), "lost from a list");
        let mut flying: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        let links = engine.nodes.values().filter_map(|n| match &n.link {
            Link::Up(c) => Some(c),
            Link::Idle | Link::Connecting { .. } | Link::Backoff { .. } => None,
        });
        for request in links.flat_map(|c| &c.in_flight) {
            let What::Produce { parcels, .. } = &request.what else { continue };
            for sent in parcels {
                flying.entry(sent.partition).or_default().push(sent.parcel.order);
            }
        }
        for (number, p) in engine.partitions.iter().enumerate() {
            let Some(p) = p else { continue };
            let mut orders = flying.remove(&(number as u32)).unwrap_or_default();
            orders.sort_unstable();
            assert!(p.lane.flies(&orders), "partition {number} has {orders:?} in flight: {:?}", p.lane);
        }
        if let Some(at) = engine.poll_timeout() {
            assert!(at > self.now, "a time-out that is over");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        virtual_time::set(None);
    }
}
