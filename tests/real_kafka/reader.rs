//! What a topic holds according to Kafka's Java consumer, which checks every CRC on its way.

use crate::cluster::RealKafka;

/// A record as the consumer saw it. Null and empty stay apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Milliseconds since the epoch.
    pub(crate) timestamp: i64,
    /// Whether the broker set the timestamp (`LogAppendTime`) and not the producer.
    pub(crate) appended_time: bool,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl RealKafka {
    /// Hands every record of a topic to `each`, partition by partition in the order of their offsets, partitions mixed.
    pub(crate) fn read(&self, topic: &str, mut each: impl FnMut(Record)) {
        self.read_as("read", topic, &mut each);
    }

    /// As [`read`](Self::read), but as a consumer sees it that reads only what is committed. Panics if a transaction stays
    /// open.
    pub(crate) fn read_committed(&self, topic: &str, mut each: impl FnMut(Record)) {
        self.read_as("read-committed", topic, &mut each);
    }

    fn read_as(&self, how: &str, topic: &str, each: &mut dyn FnMut(Record)) {
        let read = self.helper().read(&format!("{how} {topic}"), |frame| each(Frame(frame).record()));
        read.unwrap_or_else(|message| panic!("reading {topic}: {message}"));
    }

    /// Every record of a topic, sorted by partition and offset.
    pub(crate) fn read_all(&self, topic: &str) -> Vec<Record> {
        let mut records = Vec::new();
        self.read(topic, |record| records.push(record));
        records.sort_by_key(|r| (r.partition, r.offset));
        records
    }
}

/// What is left of a frame; `java/RecordReader.java` describes it.
pub(crate) struct Frame<'a>(pub(crate) &'a [u8]);

impl Frame<'_> {
    pub(crate) fn record(mut self) -> Record {
        let record = Record {
            partition: self.i32(),
            offset: self.i64(),
            timestamp: self.i64(),
            appended_time: self.take::<1>() == [1],
            key: self.bytes(),
            value: self.bytes(),
            headers: self.headers(),
        };
        assert!(self.0.is_empty(), "{} bytes behind {record:?}", self.0.len());
        record
    }

    fn headers(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        (0..self.i32())
            .map(|_| {
                let name = self.bytes().expect("a header has a name");
                (String::from_utf8(name).expect("a name in UTF-8"), self.bytes())
            })
            .collect()
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.i32()).ok()?;
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(bytes.to_vec())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }

    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take())
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (bytes, rest) = self.0.split_first_chunk().expect("a whole frame");
        self.0 = rest;
        *bytes
    }
}
