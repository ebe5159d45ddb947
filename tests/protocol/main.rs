//! The wire codec against two others: `kafka-protocol`, and a generator made from Kafka 4.3's message definitions.

mod oracle;
mod produce_fast;
mod schema;
