//! A broker that says what a test makes up: its answers are built from the crate's own messages, or are raw bytes.

use kafka_producer::protocol::header::begin_response;
use kafka_producer::protocol::messages::api_versions::ApiVersion;
use kafka_producer::protocol::messages::metadata::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_producer::protocol::messages::produce::{PartitionProduceResponse, TopicProduceResponse};
use kafka_producer::protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, InitProducerIdRequest, InitProducerIdResponse, MetadataRequest,
    MetadataResponse, ProduceRequest, ProduceResponse,
};
use kafka_producer::protocol::{ApiKey, Message, Reader, Request, RequestHeader, Writer};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// One answer that a test replaces; the number counts the requests of that API from 0.
type Script<R> = Box<dyn Fn(usize, <R as Request>::Response) -> <R as Request>::Response + Send + Sync>;

/// Everything is answered as a one-broker cluster would that has every topic with two partitions, unless scripted.
#[derive(Default)]
pub(crate) struct Scripted {
    pub(crate) api_versions: Option<Script<ApiVersionsRequest>>,
    pub(crate) metadata: Option<Script<MetadataRequest>>,
    pub(crate) init_producer_id: Option<Script<InitProducerIdRequest>>,
    pub(crate) produce: Option<Script<ProduceRequest>>,
    /// Changes the bytes of any answer, length prefix included.
    pub(crate) bytes: Option<Box<dyn Fn(ApiKey, usize, &mut Vec<u8>) + Send + Sync>>,
}

pub(crate) struct ScriptedBroker {
    address: String,
    counts: Arc<Mutex<HashMap<i16, usize>>>,
    open: Arc<AtomicUsize>,
    /// Value bytes are not looked at; this is what was asked of `Produce`.
    produced: Arc<Mutex<Vec<ProduceRequest>>>,
}

struct Shared {
    script: Scripted,
    port: u16,
    counts: Arc<Mutex<HashMap<i16, usize>>>,
    produced: Arc<Mutex<Vec<ProduceRequest>>>,
}

impl ScriptedBroker {
    /// Its threads end with the process.
    pub(crate) fn start(script: Scripted) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (counts, produced) = (Arc::default(), Arc::default());
        let open = Arc::new(AtomicUsize::new(0));
        let broker = Self {
            address: address.to_string(),
            counts: Arc::clone(&counts),
            open: Arc::clone(&open),
            produced: Arc::clone(&produced),
        };
        let shared = Arc::new(Shared { script, port: address.port(), counts, produced });
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (shared, open) = (Arc::clone(&shared), Arc::clone(&open));
                open.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    shared.serve(stream);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        broker
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// How many requests of an API came.
    pub(crate) fn count(&self, api: ApiKey) -> usize {
        self.counts.lock().unwrap().get(&api.0).copied().unwrap_or(0)
    }

    /// The port it listens on, as metadata has it.
    pub(crate) fn port(&self) -> i32 {
        self.address.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// How many connections are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(crate) fn produced(&self) -> Vec<ProduceRequest> {
        self.produced.lock().unwrap().clone()
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        loop {
            let mut prefix = [0; 4];
            if stream.read_exact(&mut prefix).is_err() {
                return;
            }
            let mut frame = vec![0; u32::from_be_bytes(prefix) as usize];
            if stream.read_exact(&mut frame).is_err() {
                return;
            }
            let mut reader = Reader::new(&frame);
            let header = RequestHeader::decode(&mut reader).unwrap();
            let n = {
                let mut counts = self.counts.lock().unwrap();
                let count = counts.entry(header.api_key.0).or_default();
                std::mem::replace(count, *count + 1)
            };
            let mut answer = self.answer(&header, n, &mut reader);
            if let Some(change) = &self.script.bytes {
                change(header.api_key, n, &mut answer);
            }
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    }

    fn answer(&self, header: &RequestHeader<'_>, n: usize, body: &mut Reader<'_>) -> Vec<u8> {
        match header.api_key {
            ApiKey::API_VERSIONS => {
                let served =
                    [ApiKey::PRODUCE, ApiKey::METADATA, ApiKey::API_VERSIONS, ApiKey::INIT_PRODUCER_ID];
                let range = |key: ApiKey| {
                    let versions = key.versions().unwrap();
                    let max = if key == ApiKey::PRODUCE { 12 } else { *versions.end() };
                    ApiVersion { api_key: key.0, min_version: *versions.start(), max_version: max }
                };
                let answer =
                    ApiVersionsResponse { api_keys: served.map(range).to_vec(), ..Default::default() };
                reply::<ApiVersionsRequest>(header, n, &self.script.api_versions, answer)
            }
            ApiKey::METADATA => {
                let request = MetadataRequest::decode(body, header.api_version).unwrap();
                let names = request.topics.unwrap_or_default().into_iter().filter_map(|t| t.name);
                reply::<MetadataRequest>(header, n, &self.script.metadata, self.metadata(names))
            }
            ApiKey::INIT_PRODUCER_ID => {
                let answer =
                    InitProducerIdResponse { producer_id: 5000, producer_epoch: 0, ..Default::default() };
                reply::<InitProducerIdRequest>(header, n, &self.script.init_producer_id, answer)
            }
            ApiKey::PRODUCE => {
                let request = ProduceRequest::decode(body, header.api_version).unwrap();
                let answer = accept(&request);
                self.produced.lock().unwrap().push(request);
                reply::<ProduceRequest>(header, n, &self.script.produce, answer)
            }
            other => panic!("nobody asks {other}"),
        }
    }

    fn metadata(&self, names: impl Iterator<Item = String>) -> MetadataResponse {
        let broker = MetadataResponseBroker {
            node_id: 1,
            host: "127.0.0.1".into(),
            port: i32::from(self.port),
            ..Default::default()
        };
        let partition = |index| MetadataResponsePartition {
            partition_index: index,
            leader_id: 1,
            leader_epoch: 3,
            replica_nodes: vec![1],
            isr_nodes: vec![1],
            ..Default::default()
        };
        let topic = |name: String| MetadataResponseTopic {
            name: Some(name),
            partitions: vec![partition(0), partition(1)],
            ..Default::default()
        };
        MetadataResponse { brokers: vec![broker], topics: names.map(topic).collect(), ..Default::default() }
    }
}

fn accept(request: &ProduceRequest) -> ProduceResponse {
    let topics = request.topic_data.iter().map(|topic| TopicProduceResponse {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partition_responses: topic
            .partition_data
            .iter()
            .map(|p| PartitionProduceResponse { index: p.index, base_offset: 100, ..Default::default() })
            .collect(),
    });
    ProduceResponse { responses: topics.collect(), ..Default::default() }
}

fn reply<R: Request>(
    header: &RequestHeader<'_>,
    n: usize,
    script: &Option<Script<R>>,
    usual: R::Response,
) -> Vec<u8> {
    let answer = match script {
        Some(script) => script(n, usual),
        None => usual,
    };
    let mut writer = Writer::new();
    let start = begin_response(&mut writer, header.api_key, header.api_version, header.correlation_id);
    answer.encode(&mut writer, header.api_version).unwrap();
    writer.end_frame(start).unwrap();
    writer.into_parts().0
}
