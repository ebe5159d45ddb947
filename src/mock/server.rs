//! Listeners, accept threads and their connections: the shell around the cluster's state.
//!
//! Threads: one `mock-broker-N` per running broker accepts; one `mock-N-C` per connection reads, handles and answers.
//! Locks: the state's (handlers run under it), each broker's gate, each broker's list of connections, the counter of
//! changes; none is ever held while another is taken, nor during I/O. `Broker::stop` joins every thread it started.

use super::connection::{Connection, Gate, Mode};
use super::sink::Sink;
use super::state::ClusterState;
use crate::clock;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex};
use socket2::{Domain, SockRef, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const BACKLOG: i32 = 1024;
/// How long an accept thread waits before it tries again where the process has run out of descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(10);

/// What every thread of one cluster shares.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<ClusterState>,
    /// In discard mode, where Produce requests go instead of the state.
    pub(super) sink: Option<Sink>,
    connections: AtomicU64,
    changes: Mutex<u64>,
    changed: Condvar,
}

impl Shared {
    pub(super) fn new(state: ClusterState, sink: Option<Sink>) -> Self {
        Self {
            state: Mutex::new(state),
            sink,
            connections: AtomicU64::new(0),
            changes: Mutex::new(0),
            changed: Condvar::new(),
        }
    }

    /// How many connections were ever accepted.
    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Wakes whoever waits for a condition, since it may hold now.
    pub(super) fn notify(&self) {
        *self.changes.lock() += 1;
        self.changed.notify_all();
    }

    /// Waits until `condition` holds; it is asked after every change, and when the state changes by itself. `false` if
    /// `deadline` came first.
    pub(super) fn wait_until(&self, deadline: Instant, mut condition: impl FnMut() -> bool) -> bool {
        loop {
            let seen = *self.changes.lock();
            if condition() {
                return true;
            }
            let event = self.state.lock().next_event(clock::now());
            let until = event.map_or(deadline, |at| at.min(deadline));
            let mut changes = self.changes.lock();
            let mut late = until <= clock::now();
            while *changes == seen && !late {
                late = self.changed.wait_until(&mut changes, until).timed_out();
            }
            drop(changes);
            if late && until == deadline {
                return condition();
            }
        }
    }
}

/// One broker's sockets and threads.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) node: i32,
    shared: Arc<Shared>,
    place: Mutex<Place>,
    running: Mutex<Option<Running>>,
}

/// A port, and the socket that keeps others off it while the broker is stopped.
#[derive(Debug)]
struct Place {
    address: SocketAddr,
    _reservation: Option<Socket>,
}

#[derive(Debug)]
struct Running {
    gate: Arc<Gate>,
    listener: TcpListener,
    acceptor: JoinHandle<()>,
    peers: Arc<Mutex<Vec<Peer>>>,
}

#[derive(Debug)]
struct Peer {
    stream: TcpStream,
    /// Cleared before the last notification; `is_finished` turns true after it, when nobody looks any more.
    open: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Binds the loopback interface; port 0 picks one.
pub(super) fn bind(port: u16) -> io::Result<BoundPort> {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // Elsewhere than on Linux two sockets cannot share an address, so a stopped broker's port is free for all.
    let reservation = if cfg!(target_os = "linux") { Some(bound_socket(wanted)?) } else { None };
    let address = match &reservation {
        Some(socket) => socket.local_addr()?.as_socket().unwrap_or(wanted),
        None => wanted,
    };
    let socket = bound_socket(address)?;
    let address = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok(BoundPort { socket, address, reservation })
}

/// An address that is taken and not yet listened on.
#[derive(Debug)]
pub(super) struct BoundPort {
    socket: Socket,
    pub(super) address: SocketAddr,
    reservation: Option<Socket>,
}

fn bound_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // On Windows this option would let another process share the port.
    if cfg!(unix) {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

impl Broker {
    /// Listens and accepts.
    pub(super) fn start_on(node: i32, shared: Arc<Shared>, port: BoundPort) -> io::Result<Self> {
        let BoundPort { socket, address, reservation } = port;
        let place = Place { address, _reservation: reservation };
        let running = run(node, &shared, socket)?;
        Ok(Self { node, shared, place: Mutex::new(place), running: Mutex::new(Some(running)) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.place.lock().address
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.lock().is_some()
    }

    /// Listens again where it did before; does nothing if it runs.
    pub(super) fn start(&self) -> io::Result<()> {
        let mut running = self.running.lock();
        if running.is_none() {
            let socket = bound_socket(self.address())?;
            *running = Some(run(self.node, &self.shared, socket)?);
        }
        Ok(())
    }

    /// Moves a stopped broker to another port, which the system picks.
    pub(super) fn move_to_new_port(&self) -> io::Result<SocketAddr> {
        let mut running = self.running.lock();
        if running.is_some() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "the broker runs; stop it first"));
        }
        let BoundPort { socket, address, reservation } = bind(0)?;
        *self.place.lock() = Place { address, _reservation: reservation };
        *running = Some(run(self.node, &self.shared, socket)?);
        Ok(address)
    }

    /// Closes the listener and every connection, and joins their threads.
    pub(super) fn stop(&self) {
        let Some(Running { gate, listener, acceptor, peers }) = self.running.lock().take() else { return };
        gate.set(Mode::Stopping);
        wake_acceptor(&listener);
        drop(listener);
        join(acceptor);
        let peers = std::mem::take(&mut *peers.lock());
        for peer in &peers {
            // Fails if the peer has gone already.
            let _ = peer.stream.shutdown(Shutdown::Both);
        }
        peers.into_iter().for_each(|peer| join(peer.thread));
    }

    /// Accepts and keeps connections but handles nothing, until resumed.
    pub(super) fn pause(&self, paused: bool) {
        if let Some(running) = &*self.running.lock() {
            running.gate.set(if paused { Mode::Paused } else { Mode::Open });
        }
    }

    /// Closes every connection and goes on listening.
    pub(super) fn disconnect_all(&self) {
        let peers = self.running.lock().as_ref().map(|r| Arc::clone(&r.peers));
        let Some(peers) = peers else { return };
        for peer in peers.lock().iter() {
            let _ = peer.stream.shutdown(Shutdown::Both);
        }
    }

    /// How many connections are open.
    pub(super) fn open_connections(&self) -> usize {
        let peers = self.running.lock().as_ref().map(|r| Arc::clone(&r.peers));
        peers.map_or(0, |peers| peers.lock().iter().filter(|p| p.open.load(Ordering::Acquire)).count())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        log::error!(target: "kafka_producer::mock", "a thread of the mock cluster panicked");
    }
}

/// `accept` has no timeout. Linux ends it when the listener is shut down; elsewhere a connection does.
fn wake_acceptor(listener: &TcpListener) {
    if SockRef::from(listener).shutdown(Shutdown::Both).is_err() || !cfg!(target_os = "linux") {
        if let Ok(address) = listener.local_addr() {
            let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        }
    }
}

fn run(node: i32, shared: &Arc<Shared>, socket: Socket) -> io::Result<Running> {
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let gate = Arc::new(Gate::default());
    let peers = Arc::new(Mutex::new(Vec::new()));
    let acceptor = Acceptor {
        node,
        shared: Arc::clone(shared),
        gate: Arc::clone(&gate),
        listener: listener.try_clone()?,
        peers: Arc::clone(&peers),
    };
    let acceptor = spawn(format!("mock-broker-{node}"), move || acceptor.run())?;
    Ok(Running { gate, listener, acceptor, peers })
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(work)
}

struct Acceptor {
    node: i32,
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    listener: TcpListener,
    peers: Arc<Mutex<Vec<Peer>>>,
}

impl Acceptor {
    fn run(self) {
        loop {
            let accepted = self.listener.accept();
            if self.gate.is_stopping() {
                return;
            }
            let served = accepted.and_then(|(stream, _)| self.serve(stream));
            if let Err(error) = served {
                log::warn!(target: "kafka_producer::mock", "broker {}: accept: {error}", self.node);
                if self.gate.wait_stopping_until(Some(clock::deadline(clock::now(), ACCEPT_RETRY))) {
                    return;
                }
            }
        }
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let id = self.shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let refused = self.shared.state.lock().faults.refuses_connection(self.node);
        self.shared.notify();
        if refused {
            return Ok(());
        }
        stream.set_nodelay(true)?;
        let peer = stream.try_clone()?;
        let connection =
            Connection::new(Arc::clone(&self.shared), Arc::clone(&self.gate), stream, self.node, id);
        let shared = Arc::clone(&self.shared);
        let open = Arc::new(AtomicBool::new(true));
        let still_open = Arc::clone(&open);
        let work = move || {
            connection.run();
            still_open.store(false, Ordering::Release);
            shared.notify();
        };
        let thread = spawn(format!("mock-{}-{id}", self.node), work)?;
        let mut peers = self.peers.lock();
        // Dropping the handle of a thread that has ended detaches nothing.
        peers.retain(|p| !p.thread.is_finished());
        peers.push(Peer { stream: peer, open, thread });
        Ok(())
    }
}
