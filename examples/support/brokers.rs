//! Where the examples send: a cluster inside this process, or the one that `--bootstrap-server` names.

#![allow(dead_code, reason = "no example needs all of it")]

use kafka_producer::mock::{MockCluster, StoredRecord};
use std::collections::HashMap;

#[path = "reader.rs"]
pub(crate) mod reader;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

pub(crate) struct Brokers {
    servers: String,
    cluster: Option<MockCluster>,
}

impl Brokers {
    /// Reads the command line. Without `--bootstrap-server HOST:PORT` three brokers start in this process, where topics
    /// that nobody created have six partitions.
    pub(crate) fn from_args() -> Result<Self> {
        let mut args = std::env::args().skip(1);
        match (args.next().as_deref(), args.next(), args.next()) {
            (None, ..) => Ok(Self::find(None, 6)?),
            (Some("--bootstrap-server"), servers @ Some(_), None) => Ok(Self::find(servers, 6)?),
            _ => Err("the one option is --bootstrap-server HOST:PORT".into()),
        }
    }

    /// The brokers at `servers`, or three in this process with so many partitions in topics that nobody created.
    pub(crate) fn find(servers: Option<String>, partitions: i32) -> std::io::Result<Self> {
        if let Some(servers) = servers {
            return Ok(Self { servers, cluster: None });
        }
        let cluster = MockCluster::builder().brokers(3).default_partitions(partitions).start()?;
        Ok(Self { servers: cluster.bootstrap_servers(), cluster: Some(cluster) })
    }

    /// Says where they are.
    pub(crate) fn announce(&self) {
        let what = if self.cluster.is_some() { "three brokers in this process" } else { "Kafka" };
        println!("{what} at {}", self.servers);
    }

    /// The value of `bootstrap.servers`.
    pub(crate) fn servers(&self) -> &str {
        &self.servers
    }

    /// The cluster, if it is in this process.
    pub(crate) fn cluster(&self) -> Option<&MockCluster> {
        self.cluster.as_ref()
    }

    /// What a topic holds, partition by partition; `None` if the brokers are elsewhere.
    pub(crate) fn read_back(&self, topic: &str) -> Option<Vec<StoredRecord>> {
        let cluster = self.cluster.as_ref()?;
        Some(cluster.topic_records(topic).into_iter().map(|(_, record)| record).collect())
    }

    /// An error unless the topic holds exactly these values, in any order. Brokers elsewhere may hold more, from an earlier
    /// run.
    pub(crate) fn check(&self, topic: &str, values: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Result {
        let found: Vec<Vec<u8>> = match self.read_back(topic) {
            Some(records) => records.into_iter().map(|r| r.value.unwrap_or_default()).collect(),
            None => reader::Reader::read_all(&self.servers, topic)
                .map_err(|error| error.to_string())?
                .into_iter()
                .map(|record| record.value)
                .collect(),
        };
        let (mut more, mut sent) = (HashMap::<&[u8], i64>::new(), 0);
        found.iter().for_each(|value| *more.entry(value).or_default() += 1);
        for value in values {
            let value = value.into();
            sent += 1;
            match more.get_mut(&*value) {
                Some(left) if *left > 0 => *left -= 1,
                _ => return Err(format!("{topic} lacks {:?}", String::from_utf8_lossy(&value)).into()),
            }
        }
        let surplus: i64 = more.values().sum();
        if surplus > 0 && self.cluster.is_some() {
            return Err(format!("{topic} holds {surplus} records beside the {sent} that were sent").into());
        }
        println!("checked: {topic} holds {sent} records, as sent");
        Ok(())
    }
}
