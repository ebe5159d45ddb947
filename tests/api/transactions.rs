//! Transactions against the embedded cluster: committed and aborted, the guard, the next one behind it.

use crate::harness::{eventually, fast, hasty, outcome};
use crate::support::{PATIENCE, Producer, config, ms, open};
use kafka_producer::mock::{BrokerVersion, Fault, MockCluster};
use kafka_producer::protocol::{ApiKey, ErrorCode};
use kafka_producer::{ConsumerGroupMetadata, ErrorKind, Offsets, ProducerRecord, Transaction};
use std::sync::Arc;

