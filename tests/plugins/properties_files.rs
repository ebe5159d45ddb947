//! Files as public documentation gives them to users of Java's client: each opens a producer that works.

use crate::support::only_record;
use kafka_producer::config::CompressionType;
use kafka_producer::mock::MockCluster;
use kafka_producer::protocol::ApiKey;
use kafka_producer::{ErrorKind, KafkaProducer, ProducerConfig, ProducerConfigBuilder, ProducerRecord};
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", name].iter().collect()
}

/// Sends with the file's settings, changed only in where the brokers are.
fn works(builder: ProducerConfigBuilder, file: &str, codec: CompressionType) -> MockCluster {
    let cluster = MockCluster::builder().topic("output-topic", 1).start().unwrap();
    let config = builder.file(fixture(file)).unwrap();
    let config = config.bootstrap_servers([cluster.bootstrap_servers()]).build().unwrap();
    assert!(config.idempotence() && config.warnings().is_empty(), "{:?}", config.warnings());
    let producer = KafkaProducer::<str, str>::open(config).unwrap();
    let value = "all work and no play ".repeat(20);
    producer.send(ProducerRecord::new("output-topic", value.as_str()).key("k")).unwrap().get().unwrap();
    producer.close().unwrap();
    let record = only_record(&cluster, "output-topic");
    assert_eq!((record.key.as_deref(), record.value.as_deref()), (Some(&b"k"[..]), Some(value.as_bytes())));
    assert!(record.producer_id.is_some());
    assert_eq!(cluster.batches("output-topic", 0)[0].compression, codec);
    cluster
}

#[test]
fn the_file_that_kafka_ships() {
    works(ProducerConfigBuilder::new(), "kafka-distribution.properties", CompressionType::None);
}

#[test]
fn a_tutorial_whose_program_has_keys_of_its_own() {
    let error = ProducerConfig::from_file(fixture("confluent-tutorial.properties")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().starts_with("input.topic.name: unknown key"), "{error}");
    let declared = ProducerConfigBuilder::new().declare_keys(&["input.topic.name", "output.topic.name"]);
    works(declared, "confluent-tutorial.properties", CompressionType::None);
}

#[test]
#[cfg(feature = "gzip")]
fn a_guide_to_tuning() {
    let cluster = works(ProducerConfigBuilder::new(), "redhat-tuning.properties", CompressionType::Gzip);
    let produced = cluster.requests(ApiKey::PRODUCE);
    assert!(produced.iter().all(|r| r.client_id.as_deref() == Some("my-client")));
}
