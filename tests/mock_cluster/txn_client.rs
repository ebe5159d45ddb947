//! A transactional producer in one page: one request at a time, in the order that the test says.

use crate::client::{Batch, Client, batch, only, produce};
use kafka_producer::mock::MockCluster;
use kafka_producer::protocol::ErrorCode;
use kafka_producer::protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopic;
use kafka_producer::protocol::messages::produce::PartitionProduceResponse;
use kafka_producer::protocol::messages::{AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest};
use std::collections::HashMap;
use std::time::Duration;

pub(crate) struct Txn<'a> {
    cluster: &'a MockCluster,
    pub(crate) id: String,
    version: i16,
    /// To the coordinator.
    pub(crate) client: Client,
    pub(crate) producer: (i64, i16),
    sequences: HashMap<(String, i32), i32>,
    added: Vec<(String, i32)>,
    pub(crate) init_version: i16,
    pub(crate) add_version: i16,
    pub(crate) end_version: i16,
}

pub(crate) fn init(id: &str) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: Some(id.to_owned()),
        transaction_timeout_ms: 60_000,
        ..Default::default()
    }
}

impl<'a> Txn<'a> {
    /// Initialised, in transactions of version 1 or 2.
    pub(crate) fn start(cluster: &'a MockCluster, id: &str, version: i16) -> Self {
        let client = Client::connect(cluster, cluster.transaction_coordinator(id).unwrap());
        let mut txn = Self {
            cluster,
            id: id.to_owned(),
            version,
            client,
            producer: (-1, -1),
            sequences: HashMap::new(),
            added: Vec::new(),
            init_version: 4,
            add_version: 3,
            end_version: if version == 2 { 5 } else { 4 },
        };
        txn.initialise(Duration::from_secs(60));
        txn
    }

    pub(crate) fn initialise(&mut self, timeout: Duration) {
        let transaction_timeout_ms = timeout.as_millis() as i32;
        let request = InitProducerIdRequest { transaction_timeout_ms, ..init(&self.id) };
        let response = self.client.call(&request, self.init_version);
        assert_eq!(response.error_code, ErrorCode::NONE);
        self.producer = (response.producer_id, response.producer_epoch);
        self.sequences.clear();
    }

    pub(crate) fn add_all(&mut self, partitions: &[(&str, i32)]) -> Vec<ErrorCode> {
        let topic =
            |&(name, p): &(&str, i32)| AddPartitionsToTxnTopic { name: name.to_owned(), partitions: vec![p] };
        let request = AddPartitionsToTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            topics: partitions.iter().map(topic).collect(),
        };
        let response = self.client.call(&request, self.add_version);
        let results = response.results_by_topic.iter().flat_map(|t| &t.results_by_partition);
        results.map(|r| r.partition_error_code).collect()
    }

    pub(crate) fn add(&mut self, topic: &str, partition: i32) -> ErrorCode {
        self.add_all(&[(topic, partition)])[0]
    }

    /// One batch to the partition's leader, whatever the state is.
    pub(crate) fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: &Batch,
        version: i16,
    ) -> PartitionProduceResponse {
        let mut request = produce(topic, partition, batch.bytes(), -1);
        request.transactional_id = Some(self.id.clone());
        request.topic_data[0].topic_id = self.cluster.topic_id(topic).unwrap();
        let leader = self.cluster.leader(topic, partition).unwrap();
        only(Client::connect(self.cluster, leader).call(&request, version))
    }

    /// As a producer does it: adds the partition if the version needs that, then sends with the right sequence.
    pub(crate) fn send(&mut self, topic: &str, partition: i32, values: &[&str]) {
        let place = (topic.to_owned(), partition);
        if self.version == 1 && !self.added.contains(&place) {
            assert_eq!(self.add(topic, partition), ErrorCode::NONE);
            self.added.push(place.clone());
        }
        let sequence = self.sequences.entry(place).or_default();
        let batch = batch(values).in_transaction_of(self.producer.0, self.producer.1, *sequence);
        *sequence += values.len() as i32;
        let answer = self.produce(topic, partition, &batch, if self.version == 2 { 13 } else { 11 });
        assert_eq!(answer.error_code, ErrorCode::NONE, "{:?}", answer.error_message);
    }

    pub(crate) fn end(&mut self, committed: bool) -> ErrorCode {
        let request = EndTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            committed,
        };
        let response = self.client.call(&request, self.end_version);
        if response.error_code == ErrorCode::NONE {
            self.added.clear();
            if self.end_version >= 5 {
                self.producer = (response.producer_id, response.producer_epoch);
                self.sequences.clear();
            }
        }
        response.error_code
    }
}
