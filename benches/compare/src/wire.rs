//! One blocking connection that speaks Kafka through the library's public protocol module: for `floor` and `admin`.

use kafka_producer::protocol::header::decode_response;
use kafka_producer::protocol::messages::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use kafka_producer::protocol::messages::{MetadataRequest, MetadataResponse};
use kafka_producer::protocol::{ErrorCode, FrameBuffer, Request, Writer, header::encode_request};
use std::io::{self, Write};
use std::net::TcpStream;

/// Larger than any answer here.
const MAX_ANSWER: usize = 64 << 20;
/// Kafka 2.1 and all later brokers know it.
const METADATA_VERSION: i16 = 7;

pub struct Connection {
    pub stream: TcpStream,
    frames: FrameBuffer,
    correlation_id: i32,
}

impl Connection {
    pub fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, frames: FrameBuffer::new(MAX_ANSWER), correlation_id: 0 })
    }

    pub fn next_correlation_id(&mut self) -> i32 {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        self.correlation_id
    }

    /// Asks and waits for the answer.
    pub fn ask<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        let mut w = Writer::new();
        let id = self.next_correlation_id();
        encode_request(&mut w, version, id, Some("compare"), request).map_err(io::Error::other)?;
        self.stream.write_all(w.as_slice())?;
        self.answer(|frame| decode_response::<R>(frame, version).map(|(_, response)| response))
    }

    /// Waits for the next answer and reads it with `read`.
    pub fn answer<T, E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        &mut self,
        read: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> io::Result<T> {
        loop {
            if let Some(frame) = self.frames.next_frame().map_err(io::Error::other)? {
                return read(frame).map_err(io::Error::other);
            }
            if self.frames.read_from(&mut self.stream)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The brokers and one topic, which has all its leaders.
    pub fn metadata(&mut self, topic: &str) -> io::Result<(MetadataResponse, MetadataResponseTopic)> {
        loop {
            let asked = MetadataRequestTopic { name: Some(topic.to_owned()), ..Default::default() };
            let request = MetadataRequest { topics: Some(vec![asked]), ..Default::default() };
            let response = self.ask(METADATA_VERSION, &request)?;
            let found = response.topics.first().cloned().ok_or(io::ErrorKind::InvalidData)?;
            let ready = found.error_code == ErrorCode::NONE
                && found.partitions.iter().all(|p| p.error_code == ErrorCode::NONE && p.leader_id >= 0);
            if ready {
                return Ok((response, found));
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}
