//! What the suites share.

use kafka_producer::mock::{MockCluster, StoredRecord};
use kafka_producer::{ProducerConfig, ProducerConfigBuilder};

/// The cluster's address and a builder to go on with.
pub(crate) fn config(cluster: &MockCluster) -> ProducerConfigBuilder {
    ProducerConfig::builder(cluster.bootstrap_servers().split(','))
}

/// The one record of `topic`, which has one partition.
pub(crate) fn only_record(cluster: &MockCluster, topic: &str) -> StoredRecord {
    let mut records = cluster.records(topic, 0);
    assert_eq!(records.len(), 1);
    records.remove(0)
}
