//! A Kafka client in two pages: raw sockets, hand-made record batches, the crate's codec for messages only.

use kafka_producer::mock::MockCluster;
use kafka_producer::protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use kafka_producer::protocol::{Message, Reader, Request, Writer};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Long enough for any machine; only a defect waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    stream: TcpStream,
    correlation: i32,
}

impl Client {
    pub(crate) fn connect(cluster: &MockCluster, node: i32) -> Self {
        Self::at(&cluster.address(node).unwrap())
    }

    /// A client of any broker, for comparisons.
    pub(crate) fn at(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, correlation: 0 }
    }

    pub(crate) fn send<R: Request>(&mut self, request: &R, version: i16) -> i32 {
        self.correlation += 1;
        self.stream.write_all(&frame(request, version, self.correlation)).unwrap();
        self.correlation
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn shutdown_write(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next four bytes, whatever they are.
    pub(crate) fn receive_prefix(&mut self) -> [u8; 4] {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).unwrap();
        prefix
    }

    /// The next frame without its length.
    pub(crate) fn receive_frame(&mut self) -> io::Result<Vec<u8>> {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix)?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(prefix)).unwrap()];
        self.stream.read_exact(&mut frame)?;
        Ok(frame)
    }

    /// Everything until the broker closes.
    pub(crate) fn receive_rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {}
            Err(e) => panic!("the broker did not close: {e}"),
        }
        rest
    }

    pub(crate) fn receive<R: Request>(&mut self, version: i16) -> io::Result<(i32, R::Response)> {
        let frame = self.receive_frame()?;
        let mut r = Reader::new(&frame);
        let correlation = r.i32().unwrap();
        if R::API_KEY.response_header_version(version) == 1 {
            r.skip_tagged_fields().unwrap();
        }
        let response = R::Response::decode(&mut r, version).unwrap();
        r.finish().unwrap();
        Ok((correlation, response))
    }

    pub(crate) fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let sent = self.send(request, version);
        let (correlation, response) = self.receive::<R>(version).unwrap();
        assert_eq!(correlation, sent);
        response
    }

    /// Whether the broker has closed the connection, or does so now.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0; 1]) {
            Ok(n) => n == 0,
            Err(e) => e.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Whether nothing arrives within a short while: for answers that must not come.
    pub(crate) fn stays_silent(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
        let read = self.stream.read(&mut [0; 1]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        read.is_err_and(|e| matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
    }

    pub(crate) fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: Vec<u8>,
    ) -> PartitionProduceResponse {
        only(self.call(&produce(topic, partition, batch, -1), 9))
    }
}

pub(crate) fn frame<R: Request>(request: &R, version: i16, correlation: i32) -> Vec<u8> {
    let mut w = Writer::new();
    let start = w.begin_frame();
    w.i16(R::API_KEY.0);
    w.i16(version);
    w.i32(correlation);
    w.nullable_string(Some("test"), false).unwrap();
    w.no_tagged_fields(R::API_KEY.is_flexible(version));
    request.encode(&mut w, version).unwrap();
    w.end_frame(start).unwrap();
    w.into_parts().0
}

pub(crate) fn produce(topic: &str, partition: i32, batch: Vec<u8>, acks: i16) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 1000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![PartitionProduceData { index: partition, records: Some(batch) }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub(crate) fn only(response: ProduceResponse) -> PartitionProduceResponse {
    assert_eq!(response.responses.len(), 1);
    let topic = response.responses.into_iter().next().unwrap();
    assert_eq!(topic.partition_responses.len(), 1);
    topic.partition_responses.into_iter().next().unwrap()
}

/// An uncompressed batch, put together by hand.
#[derive(Clone)]
pub(crate) struct Batch {
    pub(crate) producer: (i64, i16, i32),
    pub(crate) values: Vec<String>,
    pub(crate) attributes: i16,
    pub(crate) base_timestamp: i64,
}

pub(crate) fn batch(values: &[&str]) -> Batch {
    let values = values.iter().map(|&v| v.to_owned()).collect();
    Batch { producer: (-1, -1, -1), values, attributes: 0, base_timestamp: 1_700_000_000_000 }
}

impl Batch {
    pub(crate) fn by(mut self, id: i64, epoch: i16, sequence: i32) -> Self {
        self.producer = (id, epoch, sequence);
        self
    }

    /// As [`by`](Self::by), in a transaction.
    pub(crate) fn in_transaction_of(mut self, id: i64, epoch: i16, sequence: i32) -> Self {
        self.attributes |= 1 << 4;
        self.by(id, epoch, sequence)
    }

    /// The key of each record is `k`, its one header `h` = null, its timestamps rise by one millisecond.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (i, value) in self.values.iter().enumerate() {
            let mut record = vec![0];
            varint(&mut record, i as i64);
            varint(&mut record, i as i64);
            varint(&mut record, 1);
            record.push(b'k');
            varint(&mut record, value.len() as i64);
            record.extend_from_slice(value.as_bytes());
            varint(&mut record, 1);
            varint(&mut record, 1);
            record.push(b'h');
            varint(&mut record, -1);
            varint(&mut body, record.len() as i64);
            body.extend_from_slice(&record);
        }
        let last = self.values.len() as i32 - 1;
        let mut covered = Vec::new();
        covered.extend_from_slice(&self.attributes.to_be_bytes());
        covered.extend_from_slice(&last.to_be_bytes());
        covered.extend_from_slice(&self.base_timestamp.to_be_bytes());
        covered.extend_from_slice(&(self.base_timestamp + i64::from(last)).to_be_bytes());
        covered.extend_from_slice(&self.producer.0.to_be_bytes());
        covered.extend_from_slice(&self.producer.1.to_be_bytes());
        covered.extend_from_slice(&self.producer.2.to_be_bytes());
        covered.extend_from_slice(&(self.values.len() as i32).to_be_bytes());
        covered.extend_from_slice(&body);
        let mut bytes = vec![0; 8];
        bytes.extend_from_slice(&(covered.len() as i32 + 9).to_be_bytes());
        bytes.extend_from_slice(&(-1i32).to_be_bytes());
        bytes.push(2);
        bytes.extend_from_slice(&crc32c::crc32c(&covered).to_be_bytes());
        bytes.extend_from_slice(&covered);
        bytes
    }
}

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
