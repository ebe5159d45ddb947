//! A Kafka cluster inside the process: real sockets on the loopback interface, no Java, no installation.

mod fault;
mod handlers;
mod journal;
mod log;
mod producer_state;
mod state;
mod stored;
mod topology;
mod versions;

pub use fault::{Fault, FaultHandle};
pub use journal::{ProducedBatch, ReceivedRequest, RequestBody};
pub use stored::{BatchInfo, StoredRecord};
pub use versions::BrokerVersion;
