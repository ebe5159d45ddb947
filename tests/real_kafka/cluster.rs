//! A real Kafka cluster of one or more nodes on this machine, each both broker and controller (KRaft).
//!
//! Nodes can be killed, terminated, paused and started again under the same address. Their processes end with this one,
//! however it ends (`java/Broker.java` watches its stdin).

use crate::helper::Helper;
use crate::java::{Java, Version, work_dir};
use crate::wait;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::time::Duration;

const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";
const HEAP_MB: u32 = 700;
/// Many times what a start takes on an idle machine, since the machines of CI are not idle.
const START_WITHIN: Duration = Duration::from_secs(300);
const STOP_WITHIN: Duration = Duration::from_secs(120);

/// A running cluster. Dropping it kills its nodes, and removes what they wrote unless the test is failing.
#[derive(Debug)]
pub(crate) struct RealKafka {
    version: Version,
    java: Java,
    dir: PathBuf,
    nodes: Vec<Node>,
    helper: Mutex<Helper>,
}

#[derive(Debug)]
struct Node {
    address: SocketAddr,
    /// What a proxy in front of it leads to, if it has one.
    behind: Option<SocketAddr>,
    dir: PathBuf,
    process: Mutex<Option<Child>>,
}

impl RealKafka {
    /// Starts `nodes` nodes and waits until each one serves requests and knows the others.
    ///
    /// Panics if they are not up in time; their logs stay.
    pub(crate) fn start(version: Version, nodes: usize) -> Self {
        Self::start_behind(version, nodes, &[])
    }

    /// Starts nodes each of which has a proxy as its second address: clients that come from a proxy (`fronts`, one for
    /// each node, or none) are told to come back through proxies, to [`behind`](Self::behind). The harness's own client
    /// does not come that way.
    pub(crate) fn start_behind(version: Version, nodes: usize, fronts: &[SocketAddr]) -> Self {
        let java = Java::prepare(version);
        let dir = new_run_dir();
        let addresses = free_addresses(2 * nodes + fronts.len());
        let (clients, others) = addresses.split_at(nodes);
        let (controllers, behind) = others.split_at(nodes);
        let front = |i: usize| Some((*behind.get(i)?, *fronts.get(i)?));
        let prepare = |i: usize| Node::prepare(&dir, i, clients, controllers, front(i));
        let nodes: Vec<Node> = (0..nodes).map(prepare).collect();
        let helper = Helper::start(&java, &join(clients), &dir.join("helper.log"));
        let cluster = Self { version, java, dir, nodes, helper: Mutex::new(helper) };
        for i in 0..cluster.nodes.len() {
            cluster.launch(i);
        }
        for i in 0..cluster.nodes.len() {
            cluster.wait_ready(i);
        }
        cluster
    }

    /// One node of `version` that all tests of the process share; each test takes topic names of its own.
    pub(crate) fn shared(version: Version) -> &'static Self {
        static V4_3: OnceLock<RealKafka> = OnceLock::new();
        static V3_9: OnceLock<RealKafka> = OnceLock::new();
        let cell = match version {
            Version::V4_3 => &V4_3,
            Version::V3_9 => &V3_9,
        };
        cell.get_or_init(|| Self::start(version, 1))
    }

    /// Which release it runs.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The addresses of all nodes, as `bootstrap.servers` takes them.
    pub(crate) fn bootstrap(&self) -> String {
        join(&self.nodes.iter().map(|n| n.address).collect::<Vec<_>>())
    }

    /// The address of node `i`, counted from 0. Its node id is `i + 1`.
    pub(crate) fn address(&self, i: usize) -> SocketAddr {
        self.nodes[i].address
    }

    /// Where the proxy in front of node `i` has to lead.
    pub(crate) fn behind(&self, i: usize) -> SocketAddr {
        self.nodes[i].behind.expect("a cluster behind proxies")
    }

    /// The data directory of node `i`.
    pub(crate) fn data_dir(&self, i: usize) -> PathBuf {
        self.nodes[i].dir.join("data")
    }

    /// The JVM settings of this version, for tools.
    pub(crate) fn java(&self) -> &Java {
        &self.java
    }

    /// Where a tool's stderr goes.
    pub(crate) fn tool_log(&self) -> File {
        File::options().create(true).append(true).open(self.dir.join("tools.log")).expect("writable")
    }

    /// The JVM that asks Kafka's own clients.
    pub(crate) fn helper(&self) -> MutexGuard<'_, Helper> {
        // A test that failed while it held the helper has failed already.
        self.helper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts node `i` without waiting for it.
    pub(crate) fn launch(&self, i: usize) {
        let node = &self.nodes[i];
        let mut process = node.process();
        assert!(process.is_none(), "node {i} runs already");
        let log =
            File::options().create(true).append(true).open(node.dir.join("node.log")).expect("writable");
        let mut command = self.java.command("Broker", HEAP_MB);
        command.arg(node.dir.join("server.properties")).arg(CLUSTER_ID).arg(node.dir.join("data"));
        command.stdin(Stdio::piped()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        *process = Some(command.spawn().expect("java runs"));
    }

    /// Waits until node `i` answers requests and the cluster knows it.
    pub(crate) fn wait_ready(&self, i: usize) {
        let node = &self.nodes[i];
        let log = node.dir.join("node.log");
        wait::until(&format!("node {i} up; see {}", log.display()), START_WITHIN, || {
            let ended = node.process().as_mut().and_then(|p| p.try_wait().expect("a child"));
            assert!(ended.is_none(), "node {i} ended at its start ({ended:?}); see {}", log.display());
            // A broker opens its port to requests only when the controller has let it in.
            speaks_kafka(node.address).then_some(())
        });
        let id = (i + 1).to_string();
        wait::until("the node known to the cluster", START_WITHIN, || {
            self.helper().ask("nodes").ok()?.contains(&id).then_some(())
        });
    }

    /// Ends node `i` as a crash does (SIGKILL).
    pub(crate) fn kill(&self, i: usize) {
        let mut process = self.nodes[i].process();
        let mut child = process.take().expect("the node runs");
        child.kill().expect("our child");
        child.wait().expect("our child");
    }

    /// Ends node `i` in order (SIGTERM): it hands its leaderships over first.
    pub(crate) fn terminate(&self, i: usize) {
        let mut process = self.nodes[i].process();
        let mut child = process.take().expect("the node runs");
        signal("-TERM", &child);
        wait::until("the node ends", STOP_WITHIN, || child.try_wait().expect("our child"));
    }

    /// Stops node `i` in its tracks (SIGSTOP): connections stay open and nothing is answered.
    pub(crate) fn pause(&self, i: usize) {
        signal("-STOP", self.nodes[i].process().as_ref().expect("the node runs"));
    }

    /// Lets a paused node go on.
    pub(crate) fn resume(&self, i: usize) {
        signal("-CONT", self.nodes[i].process().as_ref().expect("the node runs"));
    }

    /// Starts node `i`, which was stopped, with the data it had, and waits until it is ready.
    pub(crate) fn restart(&self, i: usize) {
        self.launch(i);
        self.wait_ready(i);
    }
}

impl Drop for RealKafka {
    fn drop(&mut self) {
        for node in &self.nodes {
            if let Some(mut child) = node.process().take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        if std::thread::panicking() {
            eprintln!("the logs of this cluster are in {}", self.dir.display());
        } else {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

impl Node {
    /// `front`: where it listens for a proxy, and the proxy's own address.
    fn prepare(
        run: &Path,
        i: usize,
        clients: &[SocketAddr],
        controllers: &[SocketAddr],
        front: Option<(SocketAddr, SocketAddr)>,
    ) -> Self {
        let dir = run.join(format!("node-{}", i + 1));
        fs::create_dir_all(&dir).expect("target is writable");
        let mut properties = properties(&dir, i, clients, controllers);
        if let Some((behind, proxy)) = front {
            properties += &format!(
                "listeners=PLAINTEXT://{client},CONTROLLER://{controller},FRONT://{behind}\n\
                 advertised.listeners=PLAINTEXT://{client},FRONT://{proxy}\n\
                 listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,FRONT:PLAINTEXT\n",
                client = clients[i],
                controller = controllers[i],
            );
        }
        fs::write(dir.join("server.properties"), properties).expect("target is writable");
        Self { address: clients[i], behind: front.map(|f| f.0), dir, process: Mutex::new(None) }
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn properties(dir: &Path, i: usize, clients: &[SocketAddr], controllers: &[SocketAddr]) -> String {
    let replication = clients.len().min(3);
    let voters: Vec<String> = controllers.iter().enumerate().map(|(n, a)| format!("{}@{a}", n + 1)).collect();
    let mut text = String::new();
    let mut set =
        |key: &str, value: &dyn std::fmt::Display| writeln!(text, "{key}={value}").expect("a string");
    set("process.roles", &"broker,controller");
    set("node.id", &(i + 1));
    set("controller.quorum.voters", &voters.join(","));
    set("listeners", &format!("PLAINTEXT://{},CONTROLLER://{}", clients[i], controllers[i]));
    set("advertised.listeners", &format!("PLAINTEXT://{}", clients[i]));
    set("listener.security.protocol.map", &"PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT");
    set("controller.listener.names", &"CONTROLLER");
    set("inter.broker.listener.name", &"PLAINTEXT");
    set("log.dirs", &dir.join("data").display());
    set("num.network.threads", &2);
    set("num.io.threads", &4);
    set("auto.create.topics.enable", &false);
    set("group.initial.rebalance.delay.ms", &0);
    for prefix in ["offsets.topic", "transaction.state.log"] {
        set(&format!("{prefix}.replication.factor"), &replication);
        set(&format!("{prefix}.num.partitions"), &4);
    }
    set("transaction.state.log.min.isr", &replication.min(2));
    // Timestamps of the tests lie in the past; retention would remove such records under their feet.
    set("log.retention.ms", &-1);
    // What a test gives up for deletion is gone in seconds.
    set("log.retention.check.interval.ms", &5000);
    set("log.cleaner.dedupe.buffer.size", &(4 << 20));
    // Transactions that take too long are looked for every ten seconds otherwise.
    set("transaction.abort.timed.out.transaction.cleanup.interval.ms", &500);
    // A killed node is missed after 4 s instead of 9, so that tests of leader moves take seconds.
    set("broker.session.timeout.ms", &4000);
    set("broker.heartbeat.interval.ms", &500);
    // A node that cannot join in a minute ends itself otherwise, and three that start at once on two busy cores are slow.
    set("initial.broker.registration.timeout.ms", &START_WITHIN.as_millis());
    text
}

/// Sends a signal that `std` has no call for.
pub(crate) fn signal(name: &str, child: &Child) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill runs");
    assert!(status.success(), "kill {name} {}", child.id());
}

/// Whether something at `address` answers ApiVersions (version 0, which every broker knows) without an error.
fn speaks_kafka(address: SocketAddr) -> bool {
    let exchange = || -> std::io::Result<bool> {
        let limit = Duration::from_secs(2);
        let mut socket = TcpStream::connect_timeout(&address, limit)?;
        socket.set_read_timeout(Some(limit))?;
        // Length 10; API 18, version 0, correlation id 7, no client id.
        socket.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff])?;
        let mut answer = [0; 10];
        socket.read_exact(&mut answer)?;
        Ok(answer[4..8] == [0, 0, 0, 7] && answer[8..10] == [0, 0])
    };
    exchange().unwrap_or(false)
}

/// Ports that are free now. Below the range from which systems take the ports of outgoing connections: a node that is
/// down for a while must find its port again, and on loopback a client that keeps trying could connect to itself.
fn free_addresses(count: usize) -> Vec<SocketAddr> {
    const FIRST: u16 = 15_000;
    const RANGE: u16 = 15_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id().wrapping_mul(97) % u32::from(RANGE)) as u16;
    let mut found = Vec::new();
    for _ in 0..RANGE {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % RANGE;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            found.push(address);
        }
        if found.len() == count {
            return found;
        }
    }
    panic!("no {count} free ports from {FIRST} on");
}

fn join(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// `target/real-kafka/run/<process>-<n>`. What runs of processes that are gone left behind is removed first.
fn new_run_dir() -> PathBuf {
    static SWEEP: Once = Once::new();
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let runs = work_dir().join("run");
    SWEEP.call_once(|| sweep(&runs));
    let dir = runs.join(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir_all(&dir).expect("target is writable");
    dir
}

fn sweep(runs: &Path) {
    for entry in fs::read_dir(runs).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_string_lossy().split('-').next().unwrap_or("").to_owned();
        let alive = Command::new("kill").args(["-0", &owner]).stderr(Stdio::null()).status();
        if !alive.is_ok_and(|status| status.success()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
