//! A TCP proxy in front of one broker, and a bad network on demand.
//!
//! Each connection has a thread for either direction. A rule says what becomes of the bytes of a direction, on all
//! connections, from now on; rules change while connections are open.

use crate::wait;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How soon a connection without traffic notices a new rule.
const NOTICE: Duration = Duration::from_millis(10);
const PIECE: usize = 64 << 10;

/// What becomes of the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Rule {
    /// They arrive.
    #[default]
    Pass,
    /// They arrive later, by the first and up to the second more.
    Delay(Duration, Duration),
    /// That many a second.
    Rate(usize),
    /// One at a time.
    Drip(Duration),
    /// The connection ends in both directions behind that many; then the rule is `Pass` again.
    CutAfter(usize),
    /// The same, with a reset.
    ResetAfter(usize),
    /// They are read and lost; the connection stays.
    Swallow,
    /// Nobody reads: buffers fill up, the connection stays.
    Block,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toward {
    Broker,
    Client,
}

/// A broker's front. Dropping it ends every connection.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<Option<SocketAddr>>,
    rules: Mutex<[Rule; 2]>,
    open: Mutex<Vec<TcpStream>>,
    cuts: AtomicUsize,
    ended: AtomicBool,
}

impl Proxy {
    /// Listens on a port of its own. Connections wait until [`aim`](Self::aim) says where to.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            target: Mutex::new(None),
            rules: Mutex::default(),
            open: Mutex::default(),
            cuts: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        start("proxy-accept", move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where connections are led to, from now on.
    pub(crate) fn aim(&self, target: SocketAddr) {
        *lock(&self.shared.target) = Some(target);
    }

    /// What becomes of bytes that go that way, on connections old and new.
    pub(crate) fn rule(&self, toward: Toward, rule: Rule) {
        lock(&self.shared.rules)[toward as usize] = rule;
    }

    /// A good network again. Connections that are stuck stay so if bytes of theirs are lost.
    pub(crate) fn heal(&self) {
        *lock(&self.shared.rules) = [Rule::Pass; 2];
    }

    /// Ends all connections at once, with a reset.
    pub(crate) fn reset_all(&self) {
        for stream in lock(&self.shared.open).drain(..) {
            end(&stream, true);
        }
    }

    /// How many connections were cut by a rule.
    pub(crate) fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.reset_all();
        let _ = TcpStream::connect(self.address);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread");
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let target = *lock(&shared.target);
        // A broker that is down refuses; so does its front, as far as it can.
        let Some(Ok(broker)) = target.map(TcpStream::connect) else {
            end(&client, true);
            continue;
        };
        for stream in [&client, &broker] {
            stream.set_nodelay(true).expect("a socket");
            stream.set_read_timeout(Some(NOTICE)).expect("a socket");
            lock(&shared.open).push(stream.try_clone().expect("a second handle"));
        }
        for toward in [Toward::Broker, Toward::Client] {
            let ends = [client.try_clone(), broker.try_clone()].map(|s| s.expect("a second handle"));
            let shared = Arc::clone(shared);
            start("proxy-pump", move || Pump::new(ends, toward, shared).run());
        }
    }
}

/// Both ends of a connection; `reset` loses what was not yet delivered.
fn end(stream: &TcpStream, reset: bool) {
    if reset {
        let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// One direction of one connection.
struct Pump {
    from: TcpStream,
    to: TcpStream,
    toward: Toward,
    shared: Arc<Shared>,
    passed: usize,
    random: u64,
}

impl Pump {
    fn new([client, broker]: [TcpStream; 2], toward: Toward, shared: Arc<Shared>) -> Self {
        let (from, to) = match toward {
            Toward::Broker => (client, broker),
            Toward::Client => (broker, client),
        };
        Self { from, to, toward, shared, passed: 0, random: 0x9e37_79b9_7f4a_7c15 }
    }

    fn run(mut self) {
        let mut piece = vec![0; PIECE];
        let reset = self.pass_all(&mut piece);
        for stream in [&self.from, &self.to] {
            end(stream, reset);
        }
    }

    fn rule(&self) -> Rule {
        lock(&self.shared.rules)[self.toward as usize]
    }

    /// Until the connection ends; returns whether by a reset.
    fn pass_all(&mut self, piece: &mut [u8]) -> bool {
        loop {
            if self.rule() == Rule::Block {
                wait::for_a_while(NOTICE);
                if self.to.take_error().is_err() || self.shared.ended.load(Ordering::Relaxed) {
                    return true;
                }
                continue;
            }
            let len = match self.from.read(piece) {
                Ok(0) => return false,
                Ok(len) => len,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(_) => return true,
            };
            if let Some(reset) = self.pass(&piece[..len]) {
                return reset;
            }
        }
    }

    /// Treats bytes that were read as the rule says; `Some` ends the connection.
    fn pass(&mut self, bytes: &[u8]) -> Option<bool> {
        match self.rule() {
            Rule::Swallow => return None,
            Rule::Delay(least, more) => {
                self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                wait::for_a_while(least + more.mul_f64((self.random >> 40) as f64 / (1u64 << 24) as f64));
            }
            Rule::Rate(bytes_a_second) => {
                wait::for_a_while(Duration::from_secs_f64(bytes.len() as f64 / bytes_a_second as f64));
            }
            Rule::Drip(each) => {
                for byte in bytes {
                    // A rule that ends stops the dripping at once.
                    if self.rule() == Rule::Drip(each) {
                        wait::for_a_while(each);
                    }
                    if let Some(reset) = self.write(std::slice::from_ref(byte)) {
                        return Some(reset);
                    }
                }
                return None;
            }
            Rule::CutAfter(n) if self.passed + bytes.len() >= n => return Some(self.cut(bytes, n, false)),
            Rule::ResetAfter(n) if self.passed + bytes.len() >= n => return Some(self.cut(bytes, n, true)),
            _ => {}
        }
        self.write(bytes)
    }

    fn cut(&mut self, bytes: &[u8], after: usize, reset: bool) -> bool {
        let _ = self.to.write_all(&bytes[..after.saturating_sub(self.passed).min(bytes.len())]);
        self.shared.cuts.fetch_add(1, Ordering::Relaxed);
        lock(&self.shared.rules)[self.toward as usize] = Rule::Pass;
        reset
    }

    fn write(&mut self, bytes: &[u8]) -> Option<bool> {
        self.passed += bytes.len();
        if self.to.write_all(bytes).is_ok() { None } else { Some(true) }
    }
}
