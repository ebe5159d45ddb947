//! What the suites share.

#[path = "../shared/eventually.rs"]
mod eventually;

pub(crate) use eventually::eventually;
use kafka_producer::mock::MockCluster;
use kafka_producer::{
    BytesSerializer, Error, KafkaProducer, ProducerConfig, ProducerConfigBuilder, StringSerializer,
};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Long enough that only a hang reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// What a call that does not wait may take on a busy machine: far below the deadlines it must not have waited for.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(5);

pub(crate) type Producer = KafkaProducer<str, [u8]>;

pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The cluster's address and a builder to go on with.
pub(crate) fn config(cluster: &MockCluster) -> ProducerConfigBuilder {
    ProducerConfig::builder(cluster.bootstrap_servers().split(','))
}

pub(crate) fn open(config: ProducerConfigBuilder) -> Producer {
    let config = config.build().expect("a valid configuration");
    KafkaProducer::new(config, StringSerializer, BytesSerializer).expect("a producer")
}

/// Waits for the topic's metadata, however short the producer's own deadline is and busy the machine.
#[track_caller]
pub(crate) fn meet(producer: &Producer, topic: &str) {
    eventually(|| producer.partitions_for(topic).is_ok());
}

/// What `call` returns, and how long it took.
#[expect(clippy::disallowed_methods, reason = "the tests' one clock, to judge how long a call took")]
pub(crate) fn timed<R>(call: impl FnOnce() -> R) -> (R, Duration) {
    let begin = Instant::now();
    let result = call();
    (result, begin.elapsed())
}

/// What `call` returns; it must not have waited for anything.
#[track_caller]
pub(crate) fn at_once<R>(call: impl FnOnce() -> R) -> R {
    let (result, took) = timed(call);
    assert!(took < AT_ONCE, "took {took:?}");
    result
}

/// What `call` returns; it must have waited for `deadline`, and not much longer.
#[track_caller]
pub(crate) fn after<R>(deadline: Duration, call: impl FnOnce() -> R) -> R {
    let (result, took) = timed(call);
    assert!(took >= deadline && took < deadline + AT_ONCE, "took {took:?}, not about {deadline:?}");
    result
}

/// Each of `parts` must stand in the text of the error.
#[track_caller]
pub(crate) fn says(error: &(impl std::fmt::Display + ?Sized), parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
}

/// The cause of an error, as this library's own error.
#[track_caller]
pub(crate) fn cause(error: &Error) -> &Error {
    let source = std::error::Error::source(error).expect("the error has a cause");
    source.downcast_ref().expect("the cause is an error of this library")
}

/// An address where nobody listens.
pub(crate) fn dead_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// What a peer that is no Kafka broker does with a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manners {
    /// Waits for a first byte, says this, and closes.
    Answers(&'static [u8]),
    /// Says this before it has heard anything.
    Greets(&'static [u8]),
    Silent,
    ClosesAtOnce,
    /// Announces an answer of some length, and says it a byte at a time.
    Drips,
    /// Closes with a reset once it has heard something.
    Resets,
    /// Will say nothing, and listens on.
    HalfCloses,
}

/// A listener that is no Kafka broker.
pub(crate) struct Stranger {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stranger {
    pub(crate) fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let accept = move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    kept.extend(treat(stream, manners));
                }
            }
        };
        let thread = std::thread::Builder::new().name("stranger".into()).spawn(accept).unwrap();
        Self { address, stop, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

fn treat(mut stream: TcpStream, manners: Manners) -> Option<TcpStream> {
    match manners {
        Manners::Answers(bytes) => {
            // All of the request, or closing would reset the connection and take the answer along.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(Shutdown::Write);
            None
        }
        Manners::Greets(bytes) => {
            let _ = stream.write_all(bytes);
            Some(stream)
        }
        Manners::Silent => Some(stream),
        Manners::ClosesAtOnce => None,
        Manners::Drips => {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&[0, 0, 4, 0]);
            let drip = move || {
                while stream.write_all(&[0]).is_ok() {
                    std::thread::park_timeout(Duration::from_millis(20));
                }
            };
            std::thread::spawn(drip);
            None
        }
        Manners::Resets => {
            let _ = stream.read(&mut [0; 4096]);
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            None
        }
        Manners::HalfCloses => {
            let _ = stream.shutdown(Shutdown::Write);
            Some(stream)
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        LINES.lock().unwrap().push(format!("{} {}: {}", record.level(), record.target(), record.args()));
    }
    fn flush(&self) {}
}

/// Keeps what is logged from now on; all tests of the process share it.
pub(crate) fn keep_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Lines).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
}

/// Whether a line with all of these was logged.
pub(crate) fn logged(parts: &[&str]) -> bool {
    LINES.lock().unwrap().iter().any(|line| parts.iter().all(|part| line.contains(part)))
}

/// A gate that a callback waits at until the test opens it.
pub(crate) fn gate() -> (crossbeam_channel::Sender<()>, crossbeam_channel::Receiver<()>) {
    crossbeam_channel::bounded(0)
}
