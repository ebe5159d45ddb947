//! The wire codec against two others: `kafka-protocol`, and a generator made from Kafka 4.3's message definitions.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod oracle;
mod produce_fast;
mod schema;
