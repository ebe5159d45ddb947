//! The embedded cluster answers as Kafka does: the same requests, byte for byte, to both.

use crate::cluster::RealKafka;
use crate::java::Version;
use crate::numbered::on_each_release;
use crate::raw::{Batch, Client, batch, only, produce};
use crate::wait;
use kafka_producer::mock::{BrokerVersion, MockCluster};
use kafka_producer::protocol::messages::{ApiVersionsRequest, InitProducerIdRequest};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use std::collections::BTreeMap;
use std::time::Duration;

on_each_release!(the_same_versions_are_offered, the_same_batches_are_taken_and_refused);

/// Both, with one topic of one partition.
struct Pair {
    _cluster: MockCluster,
    mock: Client,
    real: Client,
}

impl Pair {
    fn new(kafka: &RealKafka, topic: &str) -> Self {
        let version = match kafka.version() {
            Version::V4_3 => BrokerVersion::V4_3,
            Version::V3_9 => BrokerVersion::V3_9,
        };
        let cluster = MockCluster::builder().version(version).auto_create(false).topic(topic, 1).start();
        let cluster = cluster.expect("a loopback port");
        kafka.create_topic(topic, 1, 1, &[]);
        Self { mock: Client::connect(&cluster, 1), real: Client::at(&kafka.bootstrap()), _cluster: cluster }
    }
}

fn the_same_versions_are_offered(kafka: &RealKafka) {
    let mut pair = Pair::new(kafka, "presets-versions");
    let request = ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1".to_owned(),
    };
    let offered = |client: &mut Client| -> BTreeMap<i16, (i16, i16)> {
        let answer = client.call(&request, 3);
        answer.api_keys.iter().map(|k| (k.api_key, (k.min_version, k.max_version))).collect()
    };
    let (mock, real) = (offered(&mut pair.mock), offered(&mut pair.real));
    for (key, (min, max)) in mock {
        let api = ApiKey(key);
        let known = api.versions().expect("what the cluster offers is known");
        let (real_min, real_max) = real[&key];
        let fits = min == real_min || min == *known.start() && min > real_min;
        assert!(fits, "{api}: {min} to {max}, Kafka {real_min} to {real_max}");
        assert_eq!(max, real_max.min(*known.end()), "{api}: Kafka {real_min} to {real_max}");
    }
}

/// One request after the other, each with what tells it.
fn batches(id: i64) -> Vec<(&'static str, Vec<u8>)> {
    let good = batch(&["abc", "def"]).bytes();
    let mut flipped = good.clone();
    *flipped.last_mut().expect("a batch") ^= 1;
    let mut old_format = good.clone();
    old_format[16] = 1;
    let mut control = batch(&["abc"]);
    control.attributes = 1 << 5;
    let stamped = |epoch, sequence, values: &[&str]| batch(values).by(id, epoch, sequence).bytes();
    let without_id = |epoch, sequence| Batch::by(batch(&["x"]), -1, epoch, sequence).bytes();
    vec![
        ("good", good.clone()),
        ("wrong checksum", flipped),
        ("two batches", [good.clone(), good.clone()].concat()),
        ("old format", old_format),
        ("cut", good[..good.len() - 1].to_vec()),
        ("nothing", Vec::new()),
        ("control", control.bytes()),
        ("no records", batch(&[]).bytes()),
        ("a sequence without an id", without_id(-1, 0)),
        ("an epoch without an id", without_id(3, -1)),
        ("first", stamped(0, 0, &["a", "b"])),
        ("second", stamped(0, 2, &["c"])),
        ("second again", stamped(0, 2, &["c"])),
        ("first again", stamped(0, 0, &["a", "b"])),
        ("a gap", stamped(0, 4, &["d"])),
        ("part of a batch again", stamped(0, 1, &["b"])),
        ("next epoch in the middle", stamped(1, 3, &["d"])),
        ("next epoch", stamped(1, 0, &["d"])),
        ("the old epoch again", stamped(0, 3, &["e"])),
        ("an id without a sequence", stamped(1, -1, &["e"])),
        ("an unknown id in the middle", batch(&["x"]).by(id + 1_000_000, 0, 5).bytes()),
    ]
}

fn the_same_batches_are_taken_and_refused(kafka: &RealKafka) {
    let topic = "presets-batches";
    let mut pair = Pair::new(kafka, topic);
    // An id that the real broker gave out; the other one does not ask where an id is from.
    let request = InitProducerIdRequest { transaction_timeout_ms: 1000, ..Default::default() };
    let id = wait::within(Duration::from_secs(120), || {
        let answer = pair.real.call(&request, 1);
        (answer.error_code == ErrorCode::NONE).then_some(answer.producer_id)
    });
    let id = id.expect("the broker gives out ids when it has fetched some");
    let mut differences = Vec::new();
    let mut compare = |what: &str, bytes: Vec<u8>, topic: &str, partition: i32, acks: i16| {
        for version in [3, 7, 8, 9, 11] {
            if version != 9 && what.starts_with(|c: char| c.is_ascii_lowercase()) {
                continue;
            }
            let ask = |client: &mut Client| {
                let answer = only(client.call(&produce(topic, partition, bytes.clone(), acks), version));
                (answer.error_code, answer.base_offset)
            };
            let (mock, real) = (ask(&mut pair.mock), ask(&mut pair.real));
            if mock != real {
                differences.push(format!("{what} in v{version}: {mock:?}, Kafka {real:?}"));
            }
        }
    };
    for (what, bytes) in batches(id) {
        compare(what, bytes, topic, 0, -1);
    }
    compare("Every version", batch(&["x"]).bytes(), topic, 0, 1);
    compare("Unknown topic", batch(&["x"]).bytes(), "presets-unknown", 0, 1);
    compare("Unknown partition", batch(&["x"]).bytes(), topic, 7, 1);
    compare("Acks of 2", batch(&["x"]).bytes(), topic, 0, 2);
    assert!(differences.is_empty(), "{differences:#?}");
}
