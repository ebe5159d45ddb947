//! What the driver needs of a real Kafka: topics made, counted and deleted. Run without arguments for the usage.

use compare::wire::Connection;
use kafka_producer::protocol::ErrorCode;
use kafka_producer::protocol::messages::create_topics::CreatableTopic;
use kafka_producer::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_producer::protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest};
use std::io;
use std::time::Duration;

/// The timestamp that asks for a partition's end.
const END: i64 = -1;
/// A new topic's leaders are at work within moments.
const TRIES: usize = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [bootstrap, "create", topic, partitions] => {
            let partitions = partitions.parse().map_err(io::Error::other)?;
            create(&mut Connection::open(bootstrap)?, topic, partitions)
        }
        [bootstrap, "count", topic] => {
            println!("{}", count(&mut Connection::open(bootstrap)?, topic)?);
            Ok(())
        }
        [bootstrap, "delete", topic] => {
            let topic_names = vec![topic.to_owned()];
            let request = DeleteTopicsRequest { topic_names, timeout_ms: 30_000, ..Default::default() };
            Connection::open(bootstrap)?.ask(4, &request).map(drop)
        }
        _ => Err(io::Error::other("admin BOOTSTRAP (create TOPIC PARTITIONS | count TOPIC | delete TOPIC)")),
    }
}

fn create(connection: &mut Connection, topic: &str, partitions: i32) -> io::Result<()> {
    let new = CreatableTopic {
        name: topic.to_owned(),
        num_partitions: partitions,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![new], timeout_ms: 30_000, ..Default::default() };
    let response = connection.ask(4, &request)?;
    for result in response.topics {
        if result.error_code != ErrorCode::NONE {
            return Err(io::Error::other(format!("{:?} {:?}", result.error_code, result.error_message)));
        }
    }
    // The metadata names leaders before they are at work.
    for _ in 0..TRIES {
        if count(connection, topic).is_ok() {
            return Ok(());
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
    count(connection, topic).map(drop)
}

/// The sum of all partitions' ends; everything is on one broker.
fn count(connection: &mut Connection, topic: &str) -> io::Result<i64> {
    let (_, found) = connection.metadata(topic)?;
    let partitions = found.partitions.iter().map(|p| ListOffsetsPartition {
        partition_index: p.partition_index,
        timestamp: END,
        ..Default::default()
    });
    let asked = ListOffsetsTopic { name: topic.to_owned(), partitions: partitions.collect() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![asked], ..Default::default() };
    let response = connection.ask(4, &request)?;
    let mut sum = 0;
    for partition in response.topics.iter().flat_map(|t| &t.partitions) {
        if partition.error_code != ErrorCode::NONE {
            return Err(io::Error::other(format!("{:?}", partition.error_code)));
        }
        sum += partition.offset;
    }
    Ok(sum)
}
