//! The walk without sockets: the same requests in one piece, cut anywhere, and spoiled.

use super::*;
use crate::mock::state::ClusterOptions;
use crate::protocol::Message;
use crate::protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
    TopicProduceResponse,
};

const SMALL: usize = 16;

struct Rig {
    sink: Sink,
    state: Mutex<ClusterState>,
    lane: Lane,
    inbox: Inbox,
    out: Vec<u8>,
}

impl Rig {
    fn new(verify: bool) -> Self {
        let mut state = ClusterState::new(ClusterOptions::default(), "localhost", &[9092]);
        state.topology.create_topic("a", 3, 1).unwrap();
        state.topology.create_topic("bb", 2, 1).unwrap();
        Self {
            sink: Sink::new(verify),
            state: Mutex::new(state),
            lane: Lane::default(),
            inbox: Inbox::new(SMALL),
            out: Vec::new(),
        }
    }

    /// Hands `bytes` over in one piece; what comes of it, up to where more bytes are needed.
    fn feed(&mut self, mut bytes: &[u8]) -> Vec<Step> {
        let mut steps = Vec::new();
        loop {
            let taken = self.inbox.take_in(bytes);
            bytes = &bytes[taken..];
            loop {
                let step = self.lane.next(&self.sink, &self.state, &mut self.inbox, &mut self.out).unwrap();
                match step {
                    Step::Waits => break,
                    Step::NotMine => {
                        let Some(_) = self.inbox.next_frame().unwrap() else { break };
                    }
                    Step::Answered | Step::Nonsense => {}
                }
                steps.push(step);
            }
            if bytes.is_empty() {
                return steps;
            }
        }
    }

    /// The counts of what has come to its end.
    fn tally(&mut self) -> [u64; 6] {
        let t = self.sink.tally();
        [t.requests, t.batches, t.compressed, t.records, t.bytes, t.refused]
    }

    fn topic_id(&self, name: &str) -> [u8; 16] {
        self.state.lock().topology.topic(name).map_or([7; 16], |t| t.id)
    }
}

/// No batch that a broker would take, but all that is looked at: codec and record count.
fn batch(len: usize, attributes: u8, records: u32) -> Vec<u8> {
    let mut bytes = vec![0xEE; len];
    bytes[22] = attributes;
    bytes[57..61].copy_from_slice(&records.to_be_bytes());
    bytes
}

struct Part(i32, Option<Vec<u8>>);

/// Two topics that there are and one that there is not; batches that are long, short, too short, null, misplaced.
fn parts() -> Vec<(&'static str, Vec<Part>)> {
    vec![
        (
            "a",
            vec![
                Part(0, Some(batch(300, 2, 5))),
                Part(2, Some(batch(61, 0, 1))),
                Part(0, Some(batch(62, 8, 7))),
            ],
        ),
        ("zzz", vec![Part(0, Some(batch(99, 1, 9)))]),
        ("bb", vec![]),
        (
            "bb",
            vec![
                Part(1, None),
                Part(-1, Some(batch(70, 0, 1))),
                Part(1, Some(vec![1; 60])),
                Part(1, Some(batch(90, 4, 2))),
            ],
        ),
    ]
}

fn request(rig: &Rig, version: i16, acks: i16) -> Vec<u8> {
    let topic = |(name, parts): (&str, Vec<Part>)| TopicProduceData {
        name: name.to_owned(),
        topic_id: rig.topic_id(name),
        partition_data: parts
            .into_iter()
            .map(|Part(index, records)| PartitionProduceData { index, records })
            .collect(),
    };
    let topic_data = parts().into_iter().map(topic).collect();
    framed(&ProduceRequest { acks, timeout_ms: 7, topic_data, ..Default::default() }, version)
}

fn framed(request: &ProduceRequest, version: i16) -> Vec<u8> {
    let mut w = Writer::new();
    let start = w.begin_frame();
    w.i16(0);
    w.i16(version);
    w.i32(77);
    w.nullable_string(Some("me"), false).unwrap();
    w.no_tagged_fields(version >= 9);
    request.encode(&mut w, version).unwrap();
    w.end_frame(start).unwrap();
    w.into_parts().0
}

/// What the first of them gets, by way of the codec's structs; each that follows of its kind adds 12 to `a`'s first
/// offset.
fn answer(rig: &Rig, version: i16, round: i64) -> Vec<u8> {
    let unknown =
        if version >= 13 { ErrorCode::UNKNOWN_TOPIC_ID } else { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION };
    let outcome = |index, outcome: Result<i64, ErrorCode>| PartitionProduceResponse {
        index,
        error_code: outcome.err().unwrap_or(ErrorCode::NONE),
        base_offset: outcome.unwrap_or(-1),
        log_start_offset: if outcome.is_ok() { 0 } else { -1 },
        ..Default::default()
    };
    let topic = |name: &str, partition_responses| TopicProduceResponse {
        name: name.to_owned(),
        topic_id: rig.topic_id(name),
        partition_responses,
    };
    let misplaced = Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let corrupt = Err(ErrorCode::CORRUPT_MESSAGE);
    let responses = vec![
        topic("a", vec![outcome(0, Ok(12 * round)), outcome(2, Ok(round)), outcome(0, Ok(12 * round + 5))]),
        topic("zzz", vec![outcome(0, Err(unknown))]),
        topic("bb", vec![]),
        topic(
            "bb",
            vec![outcome(1, corrupt), outcome(-1, misplaced), outcome(1, corrupt), outcome(1, Ok(2 * round))],
        ),
    ];
    let mut w = Writer::new();
    let start = w.begin_frame();
    w.i32(77);
    w.no_tagged_fields(version >= 9);
    ProduceResponse { responses, ..Default::default() }.encode(&mut w, version).unwrap();
    w.end_frame(start).unwrap();
    w.into_parts().0
}

/// Of `rounds` requests of this size.
fn tally_of(rounds: u64, len: usize) -> [u64; 6] {
    [rounds, 4 * rounds, 2 * rounds, 15 * rounds, rounds * (len as u64 - 4), 4 * rounds]
}

#[test]
fn a_request_is_answered_alike_wherever_it_is_cut() {
    for version in 3..=13 {
        let frame = request(&Rig::new(false), version, 1);
        for cut in 0..=frame.len() {
            let mut rig = Rig::new(false);
            let frame = request(&rig, version, 1);
            let expected = answer(&rig, version, 0);
            let mut steps = rig.feed(&frame[..cut]);
            if cut < frame.len() {
                assert_eq!((steps.len(), rig.out.len()), (0, 0), "v{version} cut at {cut}");
                assert_eq!(rig.tally(), [0; 6]);
                assert!(
                    rig.sink.end_offset("a", 0).is_none_or(|end| end == 0),
                    "nothing counts before the end"
                );
                steps = rig.feed(&frame[cut..]);
            }
            assert_eq!(steps, [Step::Answered]);
            assert_eq!(rig.out, expected, "v{version} cut at {cut}");
            assert_eq!(rig.tally(), tally_of(1, frame.len()));
        }
    }
}

#[test]
fn requests_behind_one_another_come_in_steps_of_any_size() {
    let mut seed = 1u64;
    let mut random = move |most: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        1 + (seed % most as u64) as usize
    };
    for most in [1, 3, 20, 100, 500, 5000] {
        for version in [3, 8, 9, 13] {
            let mut rig = Rig::new(false);
            let one = request(&rig, version, -1);
            let stream = one.repeat(7);
            let expected: Vec<u8> = (0..7).flat_map(|round| answer(&rig, version, round)).collect();
            let mut rest = &stream[..];
            while !rest.is_empty() {
                let step = random(most).min(rest.len());
                assert!(rig.feed(&rest[..step]).iter().all(|s| *s == Step::Answered));
                rest = &rest[step..];
            }
            assert_eq!(rig.out, expected);
            assert_eq!(rig.tally(), tally_of(7, one.len()));
        }
    }
}

#[test]
fn the_buffer_does_not_grow_with_batches() {
    let mut rig = Rig::new(false);
    let records = Some(batch(3 << 20, 0, 4));
    let topic_data = vec![TopicProduceData {
        name: "a".to_owned(),
        partition_data: (0..3)
            .map(|index| PartitionProduceData { index, records: records.clone() })
            .collect(),
        ..Default::default()
    }];
    let frame = framed(&ProduceRequest { acks: 1, topic_data, ..Default::default() }, 9);
    for part in frame.chunks(1000) {
        rig.feed(part);
    }
    assert_eq!(rig.tally(), [1, 3, 0, 12, frame.len() as u64 - 4, 0]);
    assert!(rig.inbox.capacity() <= 256, "{}", rig.inbox.capacity());
}

#[test]
fn without_acks_nothing_is_said() {
    for version in [3, 9] {
        let mut rig = Rig::new(false);
        let silent = request(&rig, version, 0);
        let answered = request(&rig, version, 1);
        let expected = answer(&rig, version, 1);
        assert_eq!(rig.feed(&[&silent[..], &answered].concat()), [Step::Answered; 2]);
        assert_eq!(rig.out, expected);
        assert_eq!(rig.tally(), tally_of(2, silent.len()));
    }
}

#[test]
fn what_is_not_for_the_sink_is_left_whole_to_the_state() {
    let mut rig = Rig::new(false);
    let mine = request(&rig, 9, 1);
    let transactional =
        ProduceRequest { transactional_id: Some("tx".to_owned()), acks: -1, ..Default::default() };
    let mut unknown = mine.clone();
    unknown[7] = 99;
    let mut other = mine.clone();
    other[5] = 3;
    for foreign in [
        framed(&transactional, 3),
        framed(&transactional, 9),
        unknown,
        other,
        vec![0; 4],
        vec![0, 0, 0, 1, 0],
    ] {
        let stream = [&mine[..], &foreign, &mine].concat();
        for step in [1, 7, stream.len()] {
            let steps: Vec<Step> = stream.chunks(step).flat_map(|part| rig.feed(part)).collect();
            assert_eq!(steps, [Step::Answered, Step::NotMine, Step::Answered]);
        }
    }
}

/// Whatever byte is changed: a request is answered, or given up after its last byte and not before. The next one is
/// read in any case, and in one piece or in many the same is seen.
#[test]
fn changed_bytes_are_seen_alike_in_one_piece_and_in_many() {
    for version in [3, 8, 9, 13] {
        let good = request(&Rig::new(false), version, 1);
        for at in 4..good.len() {
            for byte in [0, 0x7f, 0xff] {
                let seen = [good.len(), 5].map(|step| {
                    let mut rig = Rig::new(false);
                    let mut frame = request(&rig, version, 1);
                    frame[at] = byte;
                    let (last, before) = frame.split_last().unwrap();
                    let early: Vec<Step> = before.chunks(step).flat_map(|part| rig.feed(part)).collect();
                    assert_eq!(early, [], "v{version}, byte {at} as {byte}");
                    let step = rig.feed(&[*last]);
                    assert_eq!(step.len(), 1);
                    assert_eq!(rig.feed(&good).len(), 1);
                    (step, rig.tally(), rig.out)
                });
                assert!(seen.windows(2).all(|two| two[0] == two[1]), "v{version}, byte {at} as {byte}");
            }
        }
    }
}

/// Header, acks and timeout; a null string takes two bytes, or one and tagged fields another.
const BEFORE_TOPICS: usize = 8 + 4 + 2 + 6;

#[test]
fn lengths_that_do_not_fit_the_frame_are_nonsense() {
    for version in [3, 9] {
        let good = request(&Rig::new(false), version, 1);
        let body = &good[4..];
        // One topic, one partition, and a batch that says to be longer than the frame.
        let endless: &[u8] = if version >= 9 {
            &[2, 2, b'a', 2, 0, 0, 0, 0, 0xff, 0xff, 0x7f]
        } else {
            &[0, 0, 0, 1, 0, 1, b'a', 0, 0, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]
        };
        let endless = [&body[..BEFORE_TOPICS], endless, &[0; 100]].concat();
        let more_than_it_wants = [body, &[0]].concat();
        let less_than_it_wants = body[..body.len() - 1].to_vec();
        for body in [endless, more_than_it_wants, less_than_it_wants] {
            let frame = [&i32::try_from(body.len()).unwrap().to_be_bytes(), &body[..]].concat();
            let mut rig = Rig::new(false);
            assert_eq!(rig.feed(&frame), [Step::Nonsense]);
            assert_eq!((rig.tally(), rig.out.len()), ([0; 6], 0));
            assert!(rig.sink.end_offset("a", 0).is_none_or(|end| end == 0));
        }
    }
}

#[test]
fn to_be_judged_a_request_must_be_whole() {
    let mut rig = Rig::new(true);
    let frame = request(&rig, 9, 1);
    assert_eq!(rig.feed(&frame[..frame.len() - 1]), []);
    assert!(rig.lane.walk.is_none());
    assert_eq!(rig.feed(&frame[frame.len() - 1..]), [Step::Answered]);
    assert_eq!(rig.tally(), [1, 0, 0, 0, frame.len() as u64 - 4, 8], "no batch here is one");
}

#[test]
fn a_topic_made_anew_starts_at_0() {
    let mut rig = Rig::new(false);
    let frame = request(&rig, 9, 1);
    rig.feed(&frame);
    rig.sink.forget("a");
    rig.feed(&frame);
    assert_eq!(rig.sink.end_offset("a", 0), Some(12));
    assert_eq!(rig.sink.end_offset("bb", 1), Some(4));
}
