//! What the suites share.

use kafka_producer::mock::MockCluster;
use kafka_producer::{
    BytesSerializer, KafkaProducer, ProducerConfig, ProducerConfigBuilder, StringSerializer,
};

/// Long enough that only a hang reaches it.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

pub(crate) type Producer = KafkaProducer<str, [u8]>;

/// The cluster's address and a builder to go on with.
pub(crate) fn config(cluster: &MockCluster) -> ProducerConfigBuilder {
    ProducerConfig::builder(cluster.bootstrap_servers().split(','))
}

pub(crate) fn open(config: ProducerConfigBuilder) -> Producer {
    let config = config.build().expect("a valid configuration");
    KafkaProducer::new(config, StringSerializer, BytesSerializer).expect("a producer")
}
