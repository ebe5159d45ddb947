//! Good inputs for each target.

use crate::mutate::Rng;
use crate::schema::{self, Schema};
use crate::targets::DECODERS;
use kafka_producer::protocol::ApiKey;
use kafka_producer::protocol::record::{
    BatchAttributes, BatchHeader, Compression, CompressionType, Compressor, ProducerStamp, RecordBody,
};
use std::path::Path;

/// Samples of each message and version.
const SAMPLES: u64 = 8;

/// The inputs of the target of that name.
pub(crate) fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "messages" => [messages(|_| true), answers()].concat(),
        "produce_answers" => messages(|name| name == "ProduceResponse"),
        "produce_requests" => produce_requests(),
        "headers" => headers(),
        "frames" => frames(),
        "record_batches" => batches(),
        "varints" => vec![vec![1], vec![0x80, 1], vec![0xff; 10], vec![0x80; 9]],
        unknown => panic!("no corpus for {unknown}"),
    }
}

/// Writes the inputs where `cargo fuzz run <target>` begins.
pub(crate) fn save(target: &str, inputs: &[Vec<u8>]) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&dir).unwrap();
    for (at, input) in inputs.iter().enumerate() {
        std::fs::write(dir.join(format!("{at:05}")), input).unwrap();
    }
}

fn choice(name: &str) -> u8 {
    let at = DECODERS.iter().position(|(known, _)| *known == name);
    u8::try_from(at.unwrap_or_else(|| panic!("{name} has no decoder"))).unwrap()
}

fn samples(schema: &Schema) -> impl Iterator<Item = (i16, Vec<u8>)> {
    let all = (schema.versions.0..=schema.versions.1).flat_map(|v| (0..SAMPLES).map(move |s| (v, s)));
    all.map(|(version, seed)| {
        let entropy = Rng::new(seed * 1000 + version as u64).bytes(400);
        (version, schema.sample(version, &entropy, seed % 4 == 3).bytes)
    })
}

fn messages(wanted: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    let schemas = schema::all();
    let wanted = schemas.iter().filter(|schema| wanted(&schema.name));
    wanted
        .flat_map(|schema| {
            let choice = choice(&schema.name);
            samples(schema).map(move |(version, bytes)| [&[choice, version as u8][..], &bytes].concat())
        })
        .collect()
}

/// What real brokers answered: files `<Message>.<version>.<anything>`, without header.
fn answers() -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/answers");
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            let mut parts = name.split('.');
            let (message, version) = (parts.next().unwrap(), parts.next().unwrap());
            let version: u8 = version.parse().unwrap();
            [&[choice(message), version][..], &std::fs::read(path).unwrap()].concat()
        })
        .collect()
}

/// Requests whose records are real batches.
fn produce_requests() -> Vec<Vec<u8>> {
    use kafka_producer::protocol::messages::ProduceRequest;
    use kafka_producer::protocol::messages::produce::{PartitionProduceData, TopicProduceData};
    use kafka_producer::protocol::{Message, Writer};
    let mut requests = messages(|name| name == "ProduceRequest");
    for (at, records) in batches().into_iter().enumerate() {
        let partition = PartitionProduceData { index: 3, records: Some(records) };
        let topic =
            TopicProduceData { name: "t".into(), partition_data: vec![partition], ..Default::default() };
        let request = ProduceRequest { acks: -1, topic_data: vec![topic], ..Default::default() };
        let version = 3 + (at % 10) as i16;
        let mut writer = Writer::new();
        request.encode(&mut writer, version).unwrap();
        requests.push([&[0, version as u8][..], &writer.into_parts().0].concat());
    }
    requests
}

fn headers() -> Vec<Vec<u8>> {
    let request = |key: ApiKey, version: i16| {
        let mut bytes = vec![0, version as u8];
        bytes.extend(key.0.to_be_bytes());
        bytes.extend(version.to_be_bytes());
        bytes.extend(7i32.to_be_bytes());
        bytes.extend([0, 2, b'm', b'e', 0, 1, 2, 3]);
        bytes
    };
    ApiKey::KNOWN
        .iter()
        .flat_map(|key| key.versions().unwrap().map(move |version| request(*key, version)))
        .collect()
}

fn frames() -> Vec<Vec<u8>> {
    let frame = |len: u32| [&len.to_be_bytes()[..], &vec![7; len as usize]].concat();
    let some = [3, 0, 200, 1].map(frame).concat();
    let greetings: [&[u8]; 4] =
        [b"HTTP/1.1 400 Bad Request\r\n", b"SSH-2.0-x\r\n", &[0x15, 3, 3, 0, 2, 2], &[0xff; 9]];
    let greetings = greetings.map(|bytes| [&[2][..], bytes].concat());
    [[&[1][..], &some].concat(), [&[100][..], &frame(3000)].concat()].into_iter().chain(greetings).collect()
}

/// Batches of a few records in each codec that was built in, alone and behind one another.
fn batches() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for codec in CompressionType::ALL.into_iter().filter(|codec| codec.is_available()) {
        for count in [1, 2, 30] {
            all.push(batch(codec, count));
        }
    }
    let both = [all[0].clone(), all[all.len() - 1].clone()].concat();
    all.push(both);
    all
}

fn batch(codec: CompressionType, count: i32) -> Vec<u8> {
    let mut plain = Vec::new();
    for index in 0..count {
        let value = format!("value {index} of {count}").repeat(1 + index as usize % 5);
        let headers: [(&str, Option<&[u8]>); 2] = [("h", Some(b"1")), ("null", None)];
        match index % 3 {
            0 => RecordBody::without_headers(None, Some(value.as_bytes())).place(index, 0).write(&mut plain),
            1 => RecordBody::without_headers(Some(b"key"), None).place(index, 0).write(&mut plain),
            _ => RecordBody::new(Some(b""), Some(value.as_bytes()), headers.into_iter())
                .place(index, 0)
                .write(&mut plain),
        };
    }
    let body = match codec {
        CompressionType::None => plain,
        codec => {
            let mut out = Vec::new();
            let pieces = std::iter::once(&plain[..]);
            Compressor::new().compress(Compression::new(codec), pieces, &mut out).unwrap();
            out
        }
    };
    let header = BatchHeader {
        base_offset: 0,
        partition_leader_epoch: None,
        attributes: BatchAttributes { compression: codec, ..BatchAttributes::default() },
        last_offset_delta: count - 1,
        base_timestamp: 1_700_000_000_000,
        max_timestamp: 1_700_000_000_000,
        producer: Some(ProducerStamp { id: 5, epoch: 0, base_sequence: Some(9) }),
        record_count: count,
    };
    let stamped = header.stamp(body.len(), std::iter::once(&body[..]));
    [&stamped[..], &body].concat()
}
