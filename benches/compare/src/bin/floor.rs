//! The limit of the machine: one thread encodes batches, writes them on one socket and reads the answers. No queue, no
//! lock, no other thread, no partitioner, no record that waits for another. One batch to a request, five in flight.
//!
//! Keys are encoded but do not choose the partition. All partitions must have one leader.

use compare::batches::{DEFAULT_BATCH, Maker};
use compare::wire::Connection;
use compare::{Latencies, Mode, Options, Payloads, Stopwatch};
use kafka_producer::protocol::header::{begin_request, decode_response_header};
use kafka_producer::protocol::messages::InitProducerIdRequest;
use kafka_producer::protocol::messages::produce_fast::{
    ProduceHead, ProduceRequestWriter, ProduceResponseWalker,
};
use kafka_producer::protocol::record::{BATCH_HEADER_LEN, BatchAttributes, BatchHeader, ProducerStamp};
use kafka_producer::protocol::{ApiKey, ErrorCode, Reader, RequestHeader, Writer};
use std::io::{self, IoSlice, Write};
use std::ops::Range;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The last version that names topics instead of numbering them.
const PRODUCE_VERSION: i16 = 9;
const IN_FLIGHT: usize = 5;

struct Floor<'o> {
    connection: Connection,
    options: &'o Options,
    batches: Maker<'o>,
    /// Id and epoch, if idempotent.
    identity: Option<(i64, i16)>,
    next_sequence: Vec<i32>,
    partition: usize,
    in_flight: usize,
    errors: u64,
    frame: Writer,
}

impl<'o> Floor<'o> {
    fn open(options: &'o Options, payloads: &'o Payloads) -> io::Result<Self> {
        let first = options.bootstrap.split(',').next().unwrap_or_default();
        let mut connection = Connection::open(first)?;
        let (cluster, topic) = connection.metadata(&options.topic)?;
        let leader = topic.partitions.first().map_or(-1, |p| p.leader_id);
        assert!(
            topic.partitions.iter().all(|p| p.leader_id == leader),
            "floor has one socket, for one leader"
        );
        let broker = cluster.brokers.iter().find(|b| b.node_id == leader).expect("the leader is a broker");
        let mut connection = Connection::open(&format!("{}:{}", broker.host, broker.port))?;
        let identity = match options.idempotence {
            false => None,
            true => {
                let answer = connection.ask(4, &InitProducerIdRequest::default())?;
                assert_eq!(answer.error_code, ErrorCode::NONE);
                Some((answer.producer_id, answer.producer_epoch))
            }
        };
        Ok(Self {
            connection,
            options,
            batches: Maker::new(options, payloads),
            identity,
            next_sequence: vec![0; topic.partitions.len()],
            partition: 0,
            in_flight: 0,
            errors: 0,
            frame: Writer::new(),
        })
    }

    /// Writes the batch that was filled to the next partition, as a request of its own.
    fn write(&mut self, count: i32) -> io::Result<()> {
        let codec = self.batches.codec();
        let body = self.batches.seal()?;
        self.partition = (self.partition + 1) % self.next_sequence.len();
        let sequence = &mut self.next_sequence[self.partition];
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
        let header = BatchHeader {
            base_offset: 0,
            partition_leader_epoch: None,
            attributes: BatchAttributes { compression: codec, ..Default::default() },
            last_offset_delta: count - 1,
            base_timestamp: now,
            max_timestamp: now,
            producer: self.identity.map(|(id, epoch)| ProducerStamp {
                id,
                epoch,
                base_sequence: Some(*sequence),
            }),
            record_count: count,
        };
        *sequence = (i64::from(*sequence) + i64::from(count)).rem_euclid(1 << 31) as i32;
        let stamp = header.stamp(body.len(), std::iter::once(body));
        let correlation_id = self.connection.next_correlation_id();
        let at = request(
            &mut self.frame,
            self.options,
            correlation_id,
            self.partition as i32,
            stamp.len() + body.len(),
        )
        .map_err(io::Error::other)?;
        let (before, after) = self.frame.as_slice().split_at(at);
        let mut pieces = [before, &stamp, body, after].map(IoSlice::new);
        let mut left = &mut pieces[..];
        while !left.is_empty() {
            let written = self.connection.stream.write_vectored(left)?;
            IoSlice::advance_slices(&mut left, written);
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        let errors = self.connection.answer(|frame| {
            let mut r = Reader::new(frame);
            decode_response_header(&mut r, ApiKey::PRODUCE, PRODUCE_VERSION)?;
            let walker = ProduceResponseWalker::new(r, PRODUCE_VERSION)?;
            let mut errors = 0;
            for outcome in walker {
                let code = outcome?.error_code;
                if code != ErrorCode::NONE {
                    eprintln!("floor: {code:?}");
                    errors += 1;
                }
            }
            Ok::<u64, kafka_producer::protocol::DecodeError>(errors)
        })?;
        self.errors += errors;
        self.in_flight -= 1;
        Ok(())
    }

    fn send_all(&mut self, mut range: Range<usize>, limit: usize) -> io::Result<()> {
        while !range.is_empty() {
            let count = self.batches.fill(&mut range, limit.saturating_sub(BATCH_HEADER_LEN));
            self.write(count)?;
            if self.options.acks == "0" {
                continue;
            }
            self.in_flight += 1;
            if self.in_flight == IN_FLIGHT {
                self.read()?;
            }
        }
        while self.in_flight > 0 {
            self.read()?;
        }
        Ok(())
    }
}

/// Lays the request out without its batch; returns where that belongs.
fn request(
    w: &mut Writer,
    options: &Options,
    correlation_id: i32,
    partition: i32,
    len: usize,
) -> Result<usize, kafka_producer::protocol::EncodeError> {
    w.clear();
    let api_key = ApiKey::PRODUCE;
    let header =
        RequestHeader { api_key, api_version: PRODUCE_VERSION, correlation_id, client_id: Some("floor") };
    let start = begin_request(w, &header)?;
    let acks = match options.acks.as_str() {
        "all" => -1,
        "0" => 0,
        _ => 1,
    };
    let head = ProduceHead { transactional_id: None, acks, timeout_ms: 30_000 };
    let mut body = ProduceRequestWriter::begin(w, PRODUCE_VERSION, &head, 1)?;
    body.topic(&options.topic, &[0; 16], 1)?;
    body.partition(partition, len)?;
    body.end_topic()?;
    body.finish()?;
    w.end_frame(start)?;
    Ok(w.splices()[0].at)
}

fn main() -> io::Result<()> {
    let options = Options::from_args();
    assert_eq!(options.threads, 1, "floor has one thread");
    let payloads = Payloads::load(&options);
    let mut floor = Floor::open(&options, &payloads)?;
    match options.mode {
        Mode::Throughput => {
            let limit = options.batch_size.unwrap_or(DEFAULT_BATCH);
            floor.send_all(0..options.warmup, limit)?;
            let watch = Stopwatch::start();
            floor.send_all(0..options.records, limit)?;
            watch.report(&options, floor.errors, None);
        }
        Mode::Sync => {
            for n in 0..options.warmup {
                floor.send_all(n..n + 1, 0)?;
            }
            let mut latencies = Latencies::with_capacity(options.records);
            let watch = Stopwatch::start();
            for n in 0..options.records {
                let before = Instant::now();
                floor.send_all(n..n + 1, 0)?;
                latencies.add(before.elapsed());
            }
            watch.report(&options, floor.errors, Some(latencies));
        }
        Mode::Paced(_) => panic!("this arm has no --pace"),
    }
    Ok(())
}
