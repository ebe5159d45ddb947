//! Where the examples send: a cluster inside this process, or the one that `--bootstrap-server` names.

#![allow(dead_code, reason = "no example needs all of it")]

use kafka_producer::mock::{MockCluster, StoredRecord};

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
        let partitions = 0..i32::try_from(cluster.partition_count(topic).unwrap_or(0)).unwrap_or(0);
        Some(partitions.flat_map(|p| cluster.records(topic, p)).collect())
    }

    /// An error unless the topic holds exactly these values, in any order. Brokers elsewhere are not asked.
    pub(crate) fn check(&self, topic: &str, values: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Result {
        let mut expected: Vec<Vec<u8>> = values.into_iter().map(Into::into).collect();
        let Some(records) = self.read_back(topic) else {
            println!("not checked: what the brokers hold of {topic}");
            return Ok(());
        };
        let mut found: Vec<Vec<u8>> = records.into_iter().map(|r| r.value.unwrap_or_default()).collect();
        expected.sort();
        found.sort();
        if expected != found {
            let (found, expected) = (found.len(), expected.len());
            return Err(format!("{topic} has {found} records, not just the {expected} that were sent").into());
        }
        println!("checked: {topic} holds {} records, as sent", found.len());
        Ok(())
    }
}
