//! The suites that need a real Apache Kafka, and the harness that starts it.
//!
//! All of them are ignored by default, because they need a JDK (17 or later) and Maven, which fetches Kafka's jars once:
//!
//! ```text
//! cargo test --test real_kafka -- --ignored --test-threads=1 --skip long_run
//! ```
//!
//! What a run writes lies under `target/real-kafka`: class paths, compiled helpers, and one directory per run with the
//! data and the log of every node. A test that fails leaves its directory and says where it is.
//!
//! `cluster` starts and stops nodes, `java` finds and compiles what runs in a JVM, `helper` speaks with the JVM that asks
//! Kafka's own clients, `topics`, `reader`, `logs` and `partitions` say what can be asked, `wait` is the one place that
//! sleeps between two looks at something, `raw` asks by hand, `numbered` has the records and the check of what became of them,
//! `ledger` the same for transactions, `flames` does to nodes what `fire` and `long_run` have to survive. The other modules
//! are the suites.

mod cluster;
mod flames;
mod helper;
mod java;
mod load;
mod logs;
mod partitions;
mod proxy;
#[path = "../mock_cluster/client.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "the embedded cluster's own tests need all of it")]
mod raw;
mod reader;
mod topics;
mod wait;

mod answers;
mod bad_input;
mod config_keys;
mod coordinator;
mod copier;
mod delivery;
mod faults;
mod fire;
mod harness;
mod ledger;
mod long_run;
mod metrics;
mod network;
mod numbered;
mod one_bad_node;
mod placement;
mod plug_ins;
mod presets;
mod promises;
#[path = "../../examples/support/reader.rs"]
mod reader_of_examples;
mod transaction_faults;
mod transaction_rate;
mod transactions;
