//! Making connections: name resolution, connect, and the exchange of versions, in plain blocking code on threads of
//! their own, so that a slow name server or a silent host delays nobody else.
//!
//! At most eight threads connect at a time, beside those inside name resolution, which nothing can bound in time
//! (`resolve.rs`). Closing the producer ends them (`attempts.rs`), but for those in name resolution.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use socket2::{Domain, Protocol, SockAddr, Type};

use super::attempts::{Attempts, Watched};
use super::resolve::Resolver;
use super::wait::Waker;
use crate::clock;
use crate::engine::{Address, ConnId, Features, Peer, SETUP_PATIENCE};
use crate::error::{Error, ErrorKind, panic_text};
use crate::protocol::header::{decode_response_header, encode_request};
use crate::protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use crate::protocol::{ApiKey, ErrorCode, FrameBuffer, Reader, Writer, choose_version};
use crate::sync::Arc;

/// What the exchange of versions may take: a broker lists some hundred APIs of a few bytes each.
const MAX_HANDSHAKE_FRAME: usize = 1024 * 1024;
const API_VERSIONS: i16 = 4;

/// How sockets are set up; see the configuration keys of the same names.
#[derive(Clone, Debug)]
pub(crate) struct SocketSettings {
    pub(crate) client_id: String,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) receive_buffer: Option<usize>,
    pub(crate) resolver: Resolver,
}

/// What a connector thread hands over.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) conn: ConnId,
    pub(super) result: Result<(socket2::Socket, Peer), Error>,
}

/// Starts connector threads.
#[derive(Debug)]
pub(super) struct Connector {
    settings: SocketSettings,
    slots: Arc<Attempts>,
}

/// One connection to make.
struct Task {
    address: Address,
    setup_timeout: Duration,
    request_timeout: Duration,
    settings: SocketSettings,
    slots: Arc<Attempts>,
}

impl Connector {
    pub(super) fn new(settings: SocketSettings, done: Sender<Connected>, waker: Waker) -> Self {
        Self { settings, slots: Arc::new(Attempts::new(done, waker)) }
    }

    /// Begins to connect; the result comes through the queue, also if no thread can be started.
    pub(super) fn connect(
        &self,
        conn: ConnId,
        address: Address,
        setup_timeout: Duration,
        request_timeout: Duration,
    ) {
        let settings = self.settings.clone();
        let task = Task { address, setup_timeout, request_timeout, settings, slots: self.slots.clone() };
        let thread = std::thread::Builder::new()
            .name("kafka-connector".into())
            .spawn(move || task.slots.deliver(Connected { conn, result: task.run() }));
        if let Err(error) = thread {
            let error =
                Error::new(ErrorKind::Connection, "cannot start a thread to connect").with_source(error);
            self.slots.deliver(Connected { conn, result: Err(error) });
        }
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        self.slots.close();
    }
}

impl Task {
    fn run(&self) -> Result<(socket2::Socket, Peer), Error> {
        // User code may be in it; a panic there must not cost the engine its answer.
        let addresses = catch_unwind(AssertUnwindSafe(|| self.settings.resolver.resolve(&self.address)))
            .unwrap_or_else(|panic| {
                let message = format!("the resolver panicked on {}", self.address.host);
                Err(Error::new(ErrorKind::Connection, message)
                    .with_retriable(true)
                    .with_source(panic_text(&*panic)))
            })?;
        let begin = clock::now();
        let _slot = self.slots.take(clock::deadline(begin, self.setup_timeout))?;
        // By then the engine has given this attempt up; the next one goes on with the next address.
        let patience = self.setup_timeout.saturating_mul(SETUP_PATIENCE).saturating_add(self.request_timeout);
        let give_up = clock::deadline(begin, patience);
        let mut last = None;
        for (at, address) in addresses.iter().enumerate() {
            if at > 0 && clock::now() >= give_up {
                break;
            }
            let result = self.try_address(*address);
            let next = if result.is_ok() { Some(address) } else { addresses.get((at + 1) % addresses.len()) };
            if let Some(next) = next {
                self.settings.resolver.begin_with(&self.address, *next);
            }
            match result {
                Ok(connected) => return Ok(connected),
                Err(error) => last = Some(error),
            }
        }
        Err(last
            .unwrap_or_else(|| Error::new(ErrorKind::Connection, format!("{} has no address", self.address))))
    }

    fn try_address(&self, address: SocketAddr) -> Result<(socket2::Socket, Peer), Error> {
        let failed = |error: io::Error| {
            // Where the name is an address, saying it twice explains nothing.
            let name = self.address.to_string();
            let at = if name == address.to_string() { name } else { format!("{name} ({address})") };
            Error::new(ErrorKind::Connection, format!("cannot connect to {at}"))
                .with_retriable(true)
                .with_source(error)
        };
        let socket = self.open(address).map_err(failed)?;
        let deadline = clock::deadline(clock::now(), self.request_timeout);
        let peer = self.exchange_versions(&socket, deadline)?;
        socket.set_read_timeout(None).and_then(|()| socket.set_write_timeout(None)).map_err(failed)?;
        Ok((socket.release().map_err(failed)?, peer))
    }

    fn open(&self, address: SocketAddr) -> io::Result<Watched> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_keepalive(true)?;
        if let Some(bytes) = self.settings.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.settings.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let socket = self.slots.watch(socket)?;
        socket.connect_timeout(&SockAddr::from(address), self.setup_timeout.max(Duration::from_millis(1)))?;
        Ok(socket)
    }

    /// Asks for the broker's versions. A broker that does not know ours says which it knows (KIP-511).
    fn exchange_versions(&self, socket: &socket2::Socket, deadline: Instant) -> Result<Peer, Error> {
        let mut version = API_VERSIONS;
        for correlation in 0..2 {
            let answer = self.ask_versions(socket, version, correlation, deadline)?;
            let ranges: Vec<_> =
                answer.api_keys.iter().map(|k| (k.api_key, k.min_version, k.max_version)).collect();
            match answer.error_code {
                ErrorCode::NONE => return Ok(Peer { ranges, features: features(&answer) }),
                ErrorCode::UNSUPPORTED_VERSION if correlation == 0 => {
                    let theirs = ranges.iter().find(|(key, ..)| *key == ApiKey::API_VERSIONS.0);
                    let common =
                        theirs.and_then(|(_, min, max)| choose_version(0..=API_VERSIONS, (*min, *max)));
                    version = common.unwrap_or(0);
                }
                code => {
                    let message = format!("{} refuses to tell its versions: {code}", self.address);
                    return Err(Error::new(ErrorKind::UnsupportedVersion, message).with_code(code));
                }
            }
        }
        Err(Error::new(ErrorKind::UnsupportedVersion, format!("{} agrees to no version", self.address)))
    }

    fn ask_versions(
        &self,
        socket: &socket2::Socket,
        version: i16,
        correlation: i32,
        deadline: Instant,
    ) -> Result<ApiVersionsResponse, Error> {
        let request = ApiVersionsRequest {
            client_software_name: env!("CARGO_PKG_NAME").into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
        };
        let mut writer = Writer::new();
        let protocol = |problem: &dyn std::fmt::Display| {
            let message = format!("{} does not answer as a Kafka broker: {problem}", self.address);
            Error::new(ErrorKind::Protocol, message)
        };
        encode_request(&mut writer, version, correlation, Some(&self.settings.client_id), &request)
            .map_err(|e| protocol(&e))?;
        let frame = self.round_trip(socket, writer.as_slice(), deadline)?;
        let mut reader = Reader::new(&frame);
        let header =
            decode_response_header(&mut reader, ApiKey::API_VERSIONS, version).map_err(|e| protocol(&e))?;
        if header != correlation {
            return Err(protocol(&format_args!("it answered request {header} instead of {correlation}")));
        }
        ApiVersionsResponse::decode_any(&mut reader, version).map_err(|e| protocol(&e))
    }

    /// Writes a request and reads one frame, within the deadline however slowly it drips.
    fn round_trip(
        &self,
        mut socket: &socket2::Socket,
        request: &[u8],
        deadline: Instant,
    ) -> Result<Vec<u8>, Error> {
        let failed = |error: io::Error| {
            let text = match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    "accepted the connection but did not answer within request.timeout.ms; is it a Kafka broker?"
                }
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    "closed the connection at once; perhaps the listener expects TLS or SASL, or is no Kafka broker"
                }
                _ => "the connection failed during the exchange of versions",
            };
            Error::new(ErrorKind::Connection, format!("{}: {text}", self.address))
                .with_retriable(true)
                .with_source(error)
        };
        let left = || match deadline.saturating_duration_since(clock::now()) {
            Duration::ZERO => Err(io::Error::from(io::ErrorKind::TimedOut)),
            // Sockets count microseconds, and 0 of them means without end.
            left => Ok(left.max(Duration::from_micros(1))),
        };
        left().and_then(|t| socket.set_write_timeout(Some(t))).map_err(failed)?;
        socket.write_all(request).map_err(failed)?;
        let mut frames = FrameBuffer::new(MAX_HANDSHAKE_FRAME);
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => return Ok(frame.to_vec()),
                Ok(None) => {}
                Err(problem) => {
                    let message = format!("{} does not answer as a Kafka broker: {problem}", self.address);
                    return Err(Error::new(ErrorKind::Protocol, message));
                }
            }
            left().and_then(|t| socket.set_read_timeout(Some(t))).map_err(failed)?;
            let count = match socket.read(frames.room()) {
                // As a read with a timeout is by a process that was stopped and goes on, whatever it does about signals.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(failed)?,
            };
            if count == 0 {
                return Err(failed(io::ErrorKind::UnexpectedEof.into()));
            }
            frames.received(count);
        }
    }
}

/// What the cluster has settled on, as far as this library cares.
fn features(answer: &ApiVersionsResponse) -> Features {
    let transactions = answer.finalized_features.iter().find(|f| f.name == "transaction.version");
    Features {
        epoch: (answer.finalized_features_epoch >= 0).then_some(answer.finalized_features_epoch),
        transaction_version: transactions.map_or(0, |f| f.max_version_level),
    }
}
