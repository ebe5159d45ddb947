//! Where Java's own producer would put a key.

use crate::cluster::RealKafka;
use std::fmt::Write as _;

impl RealKafka {
    /// The partition of each key among `partitions`, by Java's `BuiltInPartitioner`.
    pub(crate) fn java_partitions(&self, keys: &[Vec<u8>], partitions: u32) -> Vec<i32> {
        let mut request = format!("place {partitions} {}", keys.len());
        for key in keys {
            request.push('\n');
            for byte in key {
                write!(request, "{byte:02x}").expect("a string");
            }
        }
        self.demand(&request).iter().map(|line| line.parse().expect("a partition")).collect()
    }
}
