//! What a topic holds according to `DumpLogSegments --deep-iteration`: the batches as they lie on disk.

use crate::cluster::RealKafka;
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

const HEAP_MB: u32 = 400;

/// A record batch on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) partition: i32,
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) count: i32,
    /// `None` if the producer was not idempotent.
    pub(crate) producer: Option<Stamp>,
    /// Java's name of the codec, in lower case; `none` for raw batches.
    pub(crate) codec: String,
    /// Bytes on disk, header included.
    pub(crate) size: usize,
    /// Whether its CRC is right.
    pub(crate) valid: bool,
    /// Records found inside it.
    pub(crate) records_seen: i32,
}

/// What an idempotent producer stamps on a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
}

impl RealKafka {
    /// All batches of a topic on node `node` (counted from 0), in the order in which they lie in each partition.
    ///
    /// Panics if the tool complains about anything.
    pub(crate) fn dump_log(&self, node: usize, topic: &str) -> Vec<Batch> {
        let segments = segments(self, node, topic);
        let files: Vec<String> = segments.iter().map(|(_, file)| file.display().to_string()).collect();
        let mut command = self.java().command(self.version().dump_log_segments(), HEAP_MB);
        command.args(["--deep-iteration", "--files", &files.join(",")]);
        // Streamed: a million records are 150 MB of text.
        let mut child = command.stdout(Stdio::piped()).stderr(self.tool_log()).spawn().expect("java runs");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut partition = -1;
        let mut batches: Vec<Batch> = Vec::new();
        for line in output.lines() {
            let line = line.expect("text");
            if line.starts_with("| offset:") {
                batches.last_mut().expect("records follow their batch").records_seen += 1;
            } else if line.starts_with("baseOffset:") {
                batches.push(Batch::parse(partition, &line));
            } else if let Some(file) = line.strip_prefix("Dumping ") {
                partition = segments.iter().find(|(_, f)| f.as_os_str() == file).expect("a file we named").0;
            } else {
                // Anything else it prints is a complaint.
                assert!(line.starts_with("Log starting offset:") || line.is_empty(), "{topic}: {line}");
            }
        }
        let status = child.wait().expect("our child");
        assert!(status.success(), "DumpLogSegments of {topic}: {status}");
        batches
    }

    /// Dumps a topic and checks what holds for every log that idempotent producers wrote; returns the batches.
    ///
    /// Each CRC is right, offsets have no gap, and in each partition the sequences of a producer id and epoch
    /// begin at 0 and follow one another.
    pub(crate) fn check_log(&self, node: usize, topic: &str) -> Vec<Batch> {
        let batches = self.dump_log(node, topic);
        let mut next_offset: HashMap<i32, i64> = HashMap::new();
        let mut next_sequence: HashMap<(i32, i64, i16), i32> = HashMap::new();
        for batch in &batches {
            assert!(batch.valid, "{topic}: a CRC is wrong: {batch:?}");
            let offset = next_offset.entry(batch.partition).or_insert(0);
            assert_eq!(batch.base_offset, *offset, "{topic}: a gap before {batch:?}");
            assert_eq!(
                batch.last_offset - batch.base_offset + 1,
                i64::from(batch.count),
                "{topic}: {batch:?}"
            );
            assert_eq!(batch.records_seen, batch.count, "{topic}: {batch:?}");
            *offset = batch.last_offset + 1;
            let Some(stamp) = batch.producer else { continue };
            let sequence = next_sequence.entry((batch.partition, stamp.id, stamp.epoch)).or_insert(0);
            assert_eq!(stamp.first_sequence, *sequence, "{topic}: out of sequence: {batch:?}");
            assert_eq!(advance(*sequence, batch.count - 1), stamp.last_sequence, "{topic}: {batch:?}");
            *sequence = advance(stamp.last_sequence, 1);
        }
        batches
    }
}

/// Sequences wrap from `i32::MAX` to 0.
fn advance(sequence: i32, by: i32) -> i32 {
    sequence.wrapping_add(by) & i32::MAX
}

/// The segments of a topic with their partitions, in order.
fn segments(cluster: &RealKafka, node: usize, topic: &str) -> Vec<(i32, PathBuf)> {
    let mut found = Vec::new();
    for dir in fs::read_dir(cluster.data_dir(node)).expect("the data directory").flatten() {
        let name = dir.file_name().to_string_lossy().into_owned();
        let Some((owner, partition)) = name.rsplit_once('-') else { continue };
        let Ok(partition) = partition.parse() else { continue };
        if owner != topic {
            continue;
        }
        for file in fs::read_dir(dir.path()).expect("a partition's directory").flatten() {
            if file.path().extension().is_some_and(|e| e == "log") {
                found.push((partition, file.path()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no log of {topic} on node {node}");
    found
}

impl Batch {
    /// A line of `name: value` pairs, such as `baseOffset: 0 lastOffset: 9 count: 10 ... isvalid: true`.
    fn parse(partition: i32, line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let fields: HashMap<&str, &str> =
            words.windows(2).filter_map(|pair| Some((pair[0].strip_suffix(':')?, pair[1]))).collect();
        let text = |name: &str| *fields.get(name).unwrap_or_else(|| panic!("no {name} in: {line}"));
        let number = |name: &str| text(name).parse::<i64>().unwrap_or_else(|_| panic!("{name} in: {line}"));
        let small = |name: &str| i32::try_from(number(name)).expect("32 bits");
        let producer = (number("producerId") >= 0).then(|| Stamp {
            id: number("producerId"),
            epoch: i16::try_from(number("producerEpoch")).expect("16 bits"),
            first_sequence: small("baseSequence"),
            last_sequence: small("lastSequence"),
        });
        Self {
            partition,
            base_offset: number("baseOffset"),
            last_offset: number("lastOffset"),
            count: small("count"),
            producer,
            codec: text("compresscodec").to_ascii_lowercase(),
            size: usize::try_from(number("size")).expect("a size"),
            valid: text("isvalid") == "true",
            records_seen: 0,
        }
    }
}
