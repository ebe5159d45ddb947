//! What the producer said against what is in the log, pair by pair, in memory bounded by what is not paired yet.
//!
//! Offsets of a partition have no gaps, so a record in the log and an acknowledgement belong together by their place. When all
//! is paired, and each number had one outcome, then each acknowledged record is there once and nothing else is.

use super::process::{ABSENT, EVENT, LAST, PERHAPS, first_of, key_of, value_of};
use super::{PARTITIONS, THREADS};
use crate::reader::Record;
use crate::wait;
use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const WRONG_TOLD: usize = 10;
const PIECE: usize = EVENT << 12;

/// See the module.
#[derive(Debug)]
pub(crate) struct Account(Mutex<State>);

#[derive(Debug)]
struct State {
    partitions: Vec<Partition>,
    threads: Vec<Thread>,
    /// Of records that failed: whether they may have been written.
    failed: HashMap<u64, bool>,
    acknowledged: u64,
    /// Of the records that were acknowledged since somebody asked, in microseconds.
    latencies: Vec<u32>,
    longest_gap: Duration,
    wrong: Vec<String>,
}

#[derive(Debug, Default)]
struct Partition {
    /// The offset of the first slot; what lies before is paired.
    base: i64,
    slots: VecDeque<Slot>,
    next_read: i64,
    /// By thread, the number that was read last.
    last_read: Vec<Option<u64>>,
    last_ack: Option<Instant>,
}

/// A place in the log: whose the producer said that it is, and whose it is.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    said: Option<u64>,
    read: Option<u64>,
}

/// Which numbers of a thread have their outcome, as bits.
#[derive(Debug, Default)]
struct Thread {
    done: Vec<u64>,
    outcomes: u64,
    /// How many it sent, when it has ended.
    sent: Option<u64>,
}

impl Partition {
    fn slot(&mut self, offset: i64) -> Option<&mut Slot> {
        let at = usize::try_from(offset - self.base).ok()?;
        if self.slots.len() <= at {
            self.slots.resize(at + 1, Slot::default());
        }
        self.slots.get_mut(at)
    }

    fn settle(&mut self, failed: &HashMap<u64, bool>) -> Result<(), String> {
        while let Some(Slot { said, read: Some(read) }) = self.slots.front().copied() {
            match said {
                Some(said) if said == read => {}
                Some(said) => return Err(format!("at {}: said {said:x}, but {read:x}", self.base)),
                None if failed.get(&read) == Some(&true) => {}
                None => return Ok(()),
            }
            self.slots.pop_front();
            self.base += 1;
        }
        Ok(())
    }
}

impl State {
    fn wrong(&mut self, what: String) {
        if self.wrong.len() < WRONG_TOLD {
            eprintln!("WRONG: {what}");
            self.wrong.push(what);
        }
    }

    fn heard(&mut self, event: &[u8; EVENT], now: Instant) {
        let number = u64::from_be_bytes(event[..8].try_into().expect("8 bytes"));
        let partition = i32::from_be_bytes(event[8..12].try_into().expect("4 bytes"));
        let offset = i64::from_be_bytes(event[12..20].try_into().expect("8 bytes"));
        let micros = u32::from_be_bytes(event[20..].try_into().expect("4 bytes"));
        let thread = number >> 40;
        let i = number - first_of(thread);
        let of_thread = &mut self.threads[thread as usize];
        if partition == LAST {
            of_thread.sent = Some(i);
            return;
        }
        let (word, bit) = ((i / 64) as usize, 1 << (i % 64));
        if of_thread.done.len() <= word {
            of_thread.done.resize(word + 1, 0);
        }
        if of_thread.done[word] & bit != 0 {
            self.wrong(format!("a second outcome of {number:x}"));
            return;
        }
        of_thread.done[word] |= bit;
        of_thread.outcomes += 1;
        if partition == ABSENT || partition == PERHAPS {
            self.failed.insert(number, partition == PERHAPS);
            return self.wrong(format!("{number:x} was not acknowledged"));
        }
        self.acknowledged += 1;
        self.latencies.push(micros);
        let known = self.partitions.len();
        let Some(place) = usize::try_from(partition).ok().filter(|p| *p < known) else {
            return self.wrong(format!("{number:x} in partition {partition}"));
        };
        let place = &mut self.partitions[place];
        if let Some(last) = place.last_ack.replace(now) {
            self.longest_gap = self.longest_gap.max(now.duration_since(last));
        }
        match place.slot(offset) {
            Some(slot) if slot.said.is_none() => slot.said = Some(number),
            other => {
                let other = other.map(|slot| *slot);
                return self.wrong(format!("{number:x} at {partition}/{offset}, as {other:x?}"));
            }
        }
        self.settle(partition);
    }

    fn settle(&mut self, partition: i32) {
        if let Err(what) = self.partitions[partition as usize].settle(&self.failed) {
            self.wrong(format!("partition {partition}, {what}"));
        }
    }

    fn read(&mut self, record: &Record) -> Result<(), String> {
        let bytes = record.value.as_deref().and_then(|value| value.first_chunk());
        let number = u64::from_be_bytes(*bytes.ok_or("a record without a number")?);
        let what = || format!("{number:x} at {}/{}", record.partition, record.offset);
        let same = record.value.as_deref() == Some(&*value_of(number))
            && record.key.as_deref() == key_of(number).as_ref().map(<[u8; 4]>::as_slice)
            && record.headers.is_empty();
        if !same {
            return Err(format!("{} is not what was sent: {record:?}", what()));
        }
        let place = &mut self.partitions[record.partition as usize];
        if place.next_read != record.offset {
            return Err(format!("{}, where {} was expected", what(), place.next_read));
        }
        place.next_read += 1;
        let before = place.last_read[(number >> 40) as usize].replace(number);
        if before.is_some_and(|before| before >= number) {
            return Err(format!("{} behind {before:x?}", what()));
        }
        place.slot(record.offset).ok_or_else(|| format!("{} is there already", what()))?.read = Some(number);
        self.settle(record.partition);
        Ok(())
    }
}

impl Account {
    pub(crate) fn new() -> Self {
        let partition = || Partition { last_read: vec![None; THREADS as usize], ..Partition::default() };
        Self(Mutex::new(State {
            partitions: (0..PARTITIONS).map(|_| partition()).collect(),
            threads: (0..THREADS).map(|_| Thread::default()).collect(),
            failed: HashMap::new(),
            acknowledged: 0,
            latencies: Vec::new(),
            longest_gap: Duration::ZERO,
            wrong: Vec::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the producer's process says; `false` when it has nothing more to say.
    pub(crate) fn hear(&self, line: &mut TcpStream) -> bool {
        let mut piece = vec![0; PIECE];
        let mut len = line.read(&mut piece).unwrap_or(0);
        if len == 0 {
            return false;
        }
        let rest = len.next_multiple_of(EVENT);
        if line.read_exact(&mut piece[len..rest]).is_err() {
            return false;
        }
        len = rest;
        let now = wait::now();
        let mut state = self.state();
        for event in piece[..len].chunks_exact(EVENT) {
            state.heard(event.try_into().expect("a whole event"), now);
        }
        true
    }

    /// Takes what is in the log, in its order.
    pub(crate) fn read(&self, record: &Record) {
        let mut state = self.state();
        if let Err(what) = state.read(record) {
            state.wrong(what);
        }
    }

    pub(crate) fn note_wrong(&self, what: String) {
        self.state().wrong(what);
    }

    /// What is wrong so far; the first few.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.state().wrong.clone()
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.state().acknowledged
    }

    /// In microseconds, of the records that were acknowledged since this was asked last.
    pub(crate) fn take_latencies(&self) -> Vec<u32> {
        std::mem::take(&mut self.state().latencies)
    }

    /// By partition, the offset before which everything is paired.
    pub(crate) fn paired(&self) -> Vec<i64> {
        self.state().partitions.iter().map(|partition| partition.base).collect()
    }

    /// How many places are not paired yet.
    pub(crate) fn open(&self) -> usize {
        self.state().partitions.iter().map(|partition| partition.slots.len()).sum()
    }

    pub(crate) fn take_longest_gap(&self) -> Duration {
        let now = wait::now();
        let mut state = self.state();
        let mut longest = std::mem::take(&mut state.longest_gap);
        for last in state.partitions.iter_mut().filter_map(|partition| partition.last_ack.as_mut()) {
            longest = longest.max(now.duration_since(*last));
            *last = now;
        }
        longest
    }

    /// Call it when the producer is closed and the reader has come to the ends of the log, which are `offsets`.
    pub(crate) fn assert_all_there(&self, offsets: &[(u64, u64)]) {
        let state = self.state();
        assert!(state.wrong.is_empty(), "{:?}", state.wrong);
        for (number, partition) in state.partitions.iter().enumerate() {
            let open = partition.slots.iter().take(5).collect::<Vec<_>>();
            assert!(open.is_empty(), "partition {number}, not paired from {} on: {open:x?}", partition.base);
            assert_eq!(offsets[number].1, partition.base as u64, "the end of partition {number}");
        }
        for thread in &state.threads {
            assert_eq!(thread.sent, Some(thread.outcomes), "one outcome for each record");
        }
        let sent: u64 = state.threads.iter().filter_map(|thread| thread.sent).sum();
        assert_eq!(sent, state.acknowledged);
        println!("{sent} records, each acknowledged once and there once, in the order of its thread");
    }
}
