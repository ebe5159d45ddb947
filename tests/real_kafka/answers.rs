//! Every message in every version that a real broker and this codec share: the answer is read to its last byte, and what is
//! written from it reads the same.
//!
//! With `KAFKA_PRODUCER_SAVE_ANSWERS=<directory>` the answers are kept, as `fuzz/corpus/answers` holds them.

use crate::cluster::RealKafka;
use crate::numbered::on_each_release;
use crate::wait;
use kafka_producer::protocol::header::{decode_response_header, encode_request};
use kafka_producer::protocol::messages::*;
use kafka_producer::protocol::{Message, Reader, Request, Writer, choose_version};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

const TOPIC: &str = "answers";
const GROUP: &str = "answers-group";

/// One connection, and the versions of its broker.
pub(crate) struct Asker {
    stream: TcpStream,
    ranges: Vec<(i16, i16, i16)>,
    keep: Option<PathBuf>,
    release: String,
    asked: usize,
}

impl Asker {
    /// Speaks with node `node`, counted from 0.
    pub(crate) fn connect(kafka: &RealKafka, node: usize) -> Self {
        let stream = TcpStream::connect(kafka.address(node)).expect("the broker listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let keep = std::env::var_os("KAFKA_PRODUCER_SAVE_ANSWERS").map(PathBuf::from);
        let release = format!("{:?}", kafka.version()).to_lowercase();
        let mut asker = Self { stream, ranges: Vec::new(), keep, release, asked: 0 };
        let answer = asker.ask(&ApiVersionsRequest::default(), 0);
        asker.ranges = answer.api_keys.iter().map(|r| (r.api_key, r.min_version, r.max_version)).collect();
        asker
    }

    /// Sends what `make` makes for each version that both sides know, and returns the newest answer.
    fn ask_all<R: Request>(&mut self, make: impl Fn(i16) -> R) -> R::Response
    where
        R::Response: PartialEq + std::fmt::Debug,
    {
        let theirs = self.ranges.iter().find(|r| r.0 == R::API_KEY.0).expect("the broker knows it");
        let theirs = (theirs.1, theirs.2);
        let newest = choose_version(R::VERSIONS, theirs).expect("a version in common");
        let oldest = theirs.0.max(*R::VERSIONS.start());
        let mut answers: Vec<_> =
            (oldest..=newest).map(|version| self.ask(&make(version), version)).collect();
        answers.pop().expect("one version at least")
    }

    pub(crate) fn ask<R: Request>(&mut self, request: &R, version: i16) -> R::Response
    where
        R::Response: PartialEq + std::fmt::Debug,
    {
        let name = R::Response::NAME;
        let mut writer = Writer::new();
        encode_request(&mut writer, version, 7, Some("answers"), request)
            .unwrap_or_else(|e| panic!("{name} {version}: {e}"));
        self.stream.write_all(&writer.into_parts().0).expect("the broker reads");
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).unwrap_or_else(|e| panic!("{name} {version}: {e}"));
        let mut frame = vec![0; i32::from_be_bytes(prefix) as usize];
        self.stream.read_exact(&mut frame).expect("a whole frame");

        let mut reader = Reader::new(&frame);
        assert_eq!(decode_response_header(&mut reader, R::API_KEY, version), Ok(7), "{name} {version}");
        let body = reader.rest();
        let answer = R::Response::decode(&mut reader, version)
            .and_then(|answer| reader.finish().map(|()| answer))
            .unwrap_or_else(|e| panic!("{name} {version}: {e}: {body:02x?}"));
        let mut writer = Writer::new();
        answer.encode(&mut writer, version).unwrap_or_else(|e| panic!("{name} {version}: {e}"));
        let written = writer.into_parts().0;
        let again = R::Response::decode(&mut Reader::new(&written), version);
        assert_eq!(again.as_ref(), Ok(&answer), "{name} {version}");
        if let Some(dir) = &self.keep {
            std::fs::create_dir_all(dir).expect("writable");
            let file = format!("{name}.{version}.{}.{}", self.release, self.asked);
            std::fs::write(dir.join(file), body).expect("writable");
        }
        self.asked += 1;
        answer
    }
}

fn describe(asker: &mut Asker) {
    asker.ask_all(|_| ApiVersionsRequest {
        client_software_name: "kafka-producer".into(),
        client_software_version: "1".into(),
    });
    asker.ask_all(|version| MetadataRequest {
        topics: (version < 1).then(Vec::new),
        ..MetadataRequest::default()
    });
    asker.ask_all(|_| {
        let wanted =
            |name: &str| metadata::MetadataRequestTopic { name: Some(name.into()), topic_id: [0; 16] };
        MetadataRequest {
            topics: Some(vec![wanted(TOPIC), wanted("no-such-topic")]),
            allow_auto_topic_creation: true,
            ..MetadataRequest::default()
        }
    });
    asker.ask_all(|_| DescribeClusterRequest::default());
    asker.ask_all(|version| DescribeConfigsRequest {
        resources: vec![describe_configs::DescribeConfigsResource {
            resource_type: 2,
            resource_name: TOPIC.into(),
            configuration_keys: None,
        }],
        include_synonyms: true,
        include_documentation: version >= 3,
    });
    asker.ask_all(|version| CreateTopicsRequest {
        topics: vec![create_topics::CreatableTopic {
            name: format!("answers-{version}"),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        }],
        validate_only: true,
        ..CreateTopicsRequest::default()
    });
    asker.ask_all(|_| ListOffsetsRequest {
        replica_id: -1,
        topics: vec![list_offsets::ListOffsetsTopic {
            name: TOPIC.into(),
            partitions: vec![list_offsets::ListOffsetsPartition {
                timestamp: -1,
                ..list_offsets::ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    });
}

/// Refusals are answers too: an empty request, a topic that is not there, bytes that are no batch.
fn produce(asker: &mut Asker) {
    asker.ask_all(|_| ProduceRequest { acks: -1, timeout_ms: 1000, ..ProduceRequest::default() });
    asker.ask_all(|_| ProduceRequest {
        acks: -1,
        timeout_ms: 1000,
        topic_data: vec![produce::TopicProduceData {
            name: "no-such-topic".into(),
            topic_id: [9; 16],
            partition_data: vec![produce::PartitionProduceData { index: 0, records: None }],
        }],
        ..ProduceRequest::default()
    });
}

fn transactions(asker: &mut Asker) {
    for (key_type, key) in [(0, GROUP), (1, "answers-id")] {
        asker.ask_all(|version| FindCoordinatorRequest {
            key: if version < 4 { key.into() } else { String::new() },
            key_type: if version < 1 { 0 } else { key_type },
            coordinator_keys: if version < 4 { Vec::new() } else { vec![key.into()] },
        });
    }
    let wanted =
        |_| InitProducerIdRequest { transaction_timeout_ms: 60_000, ..InitProducerIdRequest::default() };
    wait::until("a producer id", Duration::from_secs(120), || {
        // A broker that has just started has none to give yet.
        (!asker.ask_all(wanted).error_code.is_error()).then_some(())
    });
    // Nobody has this id: each call is refused, in each version's own form.
    let id = || "answers-nobody".to_owned();
    asker.ask_all(|_| AddPartitionsToTxnRequest {
        transactional_id: id(),
        producer_id: 4,
        producer_epoch: 0,
        topics: vec![add_partitions_to_txn::AddPartitionsToTxnTopic {
            name: TOPIC.into(),
            partitions: vec![0],
        }],
    });
    asker.ask_all(|_| AddOffsetsToTxnRequest {
        transactional_id: id(),
        producer_id: 4,
        producer_epoch: 0,
        group_id: GROUP.into(),
    });
    asker.ask_all(|_| EndTxnRequest { transactional_id: id(), producer_id: 4, ..EndTxnRequest::default() });
    asker.ask_all(|_| TxnOffsetCommitRequest {
        transactional_id: id(),
        group_id: GROUP.into(),
        topics: vec![txn_offset_commit::TxnOffsetCommitRequestTopic {
            name: TOPIC.into(),
            partitions: vec![Default::default()],
        }],
        ..TxnOffsetCommitRequest::default()
    });
}

fn all_that_it_says_is_understood(kafka: &RealKafka) {
    kafka.create_topic(TOPIC, 3, 1, &[]);
    let mut asker = Asker::connect(kafka, 0);
    describe(&mut asker);
    produce(&mut asker);
    transactions(&mut asker);
    assert!(asker.asked > 60, "{} answers", asker.asked);
}

on_each_release!(all_that_it_says_is_understood);
