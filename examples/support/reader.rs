//! A consumer in two pages, for examples and tests of transactions: it assigns a topic's partitions to itself, begins where
//! its group's committed offsets say, and sees only what is committed. A real program takes a consumer library.

#![allow(dead_code, reason = "not everybody who reads needs all of it")]

use kafka_producer::protocol::messages::fetch::{
    AbortedTransaction, FetchPartition, FetchRequest, FetchTopic, PartitionData,
};
use kafka_producer::protocol::messages::find_coordinator::FindCoordinatorRequest;
use kafka_producer::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use kafka_producer::protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic};
use kafka_producer::protocol::record::RecordBatchView;
use kafka_producer::protocol::{ErrorCode, Message, Reader as Bytes, Request, Writer};
use kafka_producer::{Offsets, TopicPartition};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Versions that Kafka 2.5 has, and 4.3 still has.
const METADATA: i16 = 9;
const FIND_COORDINATOR: i16 = 3;
const OFFSET_FETCH: i16 = 7;
const FETCH: i16 = 11;
const READ_COMMITTED: i8 = 1;
const MAX_BATCH: usize = 64 << 20;
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A record that was read.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Vec<u8>,
}

/// Reads one topic, all partitions.
pub(crate) struct Reader {
    bootstrap: String,
    topic: String,
    /// Leaders' addresses, by partition.
    leaders: BTreeMap<i32, String>,
    /// The next offset to read, by partition.
    next: BTreeMap<i32, i64>,
    /// Producers whose transaction is aborted from some offset on, by partition.
    aborting: HashSet<(i32, i64)>,
    brokers: HashMap<String, Broker>,
    /// How much one `poll` takes of a partition, give or take a batch.
    partition_max_bytes: i32,
}

impl Reader {
    /// Begins at the group's committed offsets, or at 0 where there are none.
    pub(crate) fn open(bootstrap: &str, topic: &str, group: Option<&str>) -> Result<Self> {
        let mut reader = Self {
            bootstrap: bootstrap.to_owned(),
            topic: topic.to_owned(),
            leaders: BTreeMap::new(),
            next: BTreeMap::new(),
            aborting: HashSet::new(),
            brokers: HashMap::new(),
            partition_max_bytes: 1 << 20,
        };
        reader.find_leaders()?;
        reader.next = reader.leaders.keys().map(|partition| (*partition, 0)).collect();
        if let Some(group) = group {
            let committed = reader.committed(group)?;
            reader.next.extend(committed);
        }
        Ok(reader)
    }

    /// The next offset to read of each partition: what `send_offsets` takes.
    pub(crate) fn positions(&self) -> Offsets {
        let at = |(partition, offset): (&i32, &i64)| (TopicPartition::new(&*self.topic, *partition), *offset);
        self.next.iter().map(at).collect()
    }

    /// Bytes of each partition in one `poll`, give or take a batch.
    pub(crate) fn fetch_at_most(&mut self, bytes: i32) {
        self.partition_max_bytes = bytes;
    }

    /// What is there, waiting for `wait` at most if that is nothing; the records of a partition in order. `true`: everything
    /// was read up to the end of the log.
    pub(crate) fn poll(&mut self, wait: Duration) -> Result<(Vec<Record>, bool)> {
        let mut records = Vec::new();
        let mut at_end = true;
        let addresses: HashSet<String> = self.leaders.values().cloned().collect();
        for address in addresses {
            let request = self.fetch_request(&address, wait)?;
            let answer = self.broker(&address)?.call(&request, FETCH)?;
            ok(answer.error_code, "Fetch")?;
            for partition in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
                if partition.error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER {
                    self.find_leaders()?;
                    return Ok((records, false));
                }
                self.take(&partition, &mut records)?;
                let next = self.next.get(&partition.partition_index).copied().unwrap_or(0);
                at_end &= next >= partition.high_watermark;
            }
        }
        Ok((records, at_end))
    }

    /// Everything that is committed, up to the end of the log.
    pub(crate) fn read_all(bootstrap: &str, topic: &str) -> Result<Vec<Record>> {
        let mut reader = Self::open(bootstrap, topic, None)?;
        let mut all = Vec::new();
        loop {
            let (mut records, at_end) = reader.poll(Duration::from_millis(100))?;
            all.append(&mut records);
            if at_end {
                return Ok(all);
            }
        }
    }

    fn fetch_request(&self, address: &str, wait: Duration) -> Result<FetchRequest> {
        let of_broker = self.leaders.iter().filter(|(_, leader)| *leader == address);
        let partition = |(partition, _): (&i32, _)| FetchPartition {
            partition: *partition,
            fetch_offset: self.next.get(partition).copied().unwrap_or(0),
            partition_max_bytes: self.partition_max_bytes,
            ..FetchPartition::default()
        };
        let partitions = of_broker.map(partition).collect();
        Ok(FetchRequest {
            max_wait_ms: i32::try_from(wait.as_millis())?,
            min_bytes: 1,
            max_bytes: 8 << 20,
            isolation_level: READ_COMMITTED,
            topics: vec![FetchTopic { topic: self.topic.clone(), partitions, ..FetchTopic::default() }],
            ..FetchRequest::default()
        })
    }

    /// Adds a partition's records, without those of aborted transactions.
    fn take(&mut self, data: &PartitionData, into: &mut Vec<Record>) -> Result {
        let partition = data.partition_index;
        ok(data.error_code, "Fetch")?;
        let mut aborted: Vec<&AbortedTransaction> = data.aborted_transactions.iter().flatten().collect();
        aborted.sort_by_key(|a| a.first_offset);
        let mut aborted = aborted.into_iter().peekable();
        let mut next = self.next.get(&partition).copied().unwrap_or(0);
        let mut rest = data.records.as_deref().unwrap_or_default();
        // The last batch may be cut off.
        while let Ok((batch, after)) = RecordBatchView::parse(rest) {
            rest = after;
            let header = batch.header();
            let (base, last) = (header.base_offset, header.base_offset + i64::from(header.last_offset_delta));
            while let Some(begun) = aborted.next_if(|a| a.first_offset <= last) {
                self.aborting.insert((partition, begun.producer_id));
            }
            let producer = header.producer.map(|stamp| (partition, stamp.id));
            if header.attributes.control {
                // The transaction's marker.
                producer.map(|p| self.aborting.remove(&p));
            } else if !(header.attributes.transactional
                && producer.is_some_and(|p| self.aborting.contains(&p)))
            {
                batch.verify_crc()?;
                for record in &batch.records(MAX_BATCH)? {
                    let record = record?;
                    let offset = base + i64::from(record.offset_delta);
                    if offset >= next {
                        let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.unwrap_or_default());
                        into.push(Record { partition, offset, key, value: value.to_vec() });
                    }
                }
            }
            next = next.max(last + 1);
        }
        self.next.insert(partition, next);
        Ok(())
    }

    fn find_leaders(&mut self) -> Result {
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic { name: Some(self.topic.clone()), ..Default::default() }]),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let bootstrap = self.bootstrap.clone();
        let mut answer = None;
        for address in bootstrap.split(',') {
            answer = self.broker(address).and_then(|broker| broker.call(&request, METADATA)).ok();
            if answer.is_some() {
                break;
            }
        }
        let answer = answer.ok_or("no bootstrap server answers")?;
        let address = |id: i32| {
            let broker = answer.brokers.iter().find(|b| b.node_id == id);
            broker.map(|b| format!("{}:{}", b.host, b.port)).ok_or("a partition has no leader")
        };
        let topic = answer.topics.first().ok_or("no answer for the topic")?;
        ok(topic.error_code, &self.topic)?;
        for partition in &topic.partitions {
            self.leaders.insert(partition.partition_index, address(partition.leader_id)?);
        }
        Ok(())
    }

    /// Waits until no transaction may change them any more.
    fn committed(&mut self, group: &str) -> Result<Vec<(i32, i64)>> {
        let partition_indexes: Vec<i32> = self.leaders.keys().copied().collect();
        let request = OffsetFetchRequest {
            group_id: group.to_owned(),
            topics: Some(vec![OffsetFetchRequestTopic { name: self.topic.clone(), partition_indexes }]),
            require_stable: true,
            ..OffsetFetchRequest::default()
        };
        loop {
            let address = self.coordinator(group)?;
            let answer = self.broker(&address)?.call(&request, OFFSET_FETCH)?;
            let offsets: Vec<_> = answer.topics.into_iter().flat_map(|topic| topic.partitions).collect();
            let errors = offsets.iter().map(|p| p.error_code).chain([answer.error_code]);
            match errors.into_iter().find(|code| *code != ErrorCode::NONE) {
                None => {
                    let known = offsets.iter().filter(|p| p.committed_offset >= 0);
                    return Ok(known.map(|p| (p.partition_index, p.committed_offset)).collect());
                }
                Some(code) if may_pass(code) => std::thread::yield_now(),
                Some(code) => return Err(format!("the offsets of group {group}: {code:?}").into()),
            }
        }
    }

    fn coordinator(&mut self, group: &str) -> Result<String> {
        let request = FindCoordinatorRequest { key: group.to_owned(), ..FindCoordinatorRequest::default() };
        let address = self.leaders.values().next().cloned().ok_or("the topic has no partitions")?;
        loop {
            let answer = self.broker(&address)?.call(&request, FIND_COORDINATOR)?;
            match answer.error_code {
                ErrorCode::NONE => return Ok(format!("{}:{}", answer.host, answer.port)),
                code if may_pass(code) => std::thread::yield_now(),
                code => return Err(format!("the coordinator of group {group}: {code:?}").into()),
            }
        }
    }

    fn broker(&mut self, address: &str) -> Result<&mut Broker> {
        if !self.brokers.contains_key(address) {
            self.brokers.insert(address.to_owned(), Broker::connect(address)?);
        }
        self.brokers.get_mut(address).ok_or_else(|| "just connected".into())
    }
}

fn ok(code: ErrorCode, what: &str) -> Result {
    if code == ErrorCode::NONE { Ok(()) } else { Err(format!("{what}: {code:?}").into()) }
}

/// Whether asking again may help.
fn may_pass(code: ErrorCode) -> bool {
    [
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::NOT_COORDINATOR,
        ErrorCode::UNSTABLE_OFFSET_COMMIT,
    ]
    .contains(&code)
}

/// A connection, one request at a time.
struct Broker {
    stream: TcpStream,
    correlation: i32,
}

impl Broker {
    fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self { stream, correlation: 0 })
    }

    fn call<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response> {
        self.correlation += 1;
        let mut w = Writer::new();
        let start = w.begin_frame();
        w.i16(R::API_KEY.0);
        w.i16(version);
        w.i32(self.correlation);
        w.nullable_string(Some("reader"), false)?;
        w.no_tagged_fields(R::API_KEY.is_flexible(version));
        request.encode(&mut w, version)?;
        w.end_frame(start)?;
        self.stream.write_all(&w.into_parts().0)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length))?];
        self.stream.read_exact(&mut frame)?;
        let mut r = Bytes::new(&frame);
        if r.i32()? != self.correlation {
            return Err("an answer to another request".into());
        }
        if R::API_KEY.response_header_version(version) == 1 {
            r.skip_tagged_fields()?;
        }
        Ok(R::Response::decode(&mut r, version)?)
    }
}
