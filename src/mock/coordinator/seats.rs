//! Which broker coordinates which group or transactional id.
//!
//! Owned by the cluster's state, under its lock; takes none. In Kafka a key's coordinator is the leader of a partition
//! of an internal topic; here each key has a seat of its own, which moves when its broker stops or a test says so. What
//! a coordinator knows is not lost by a move: it is read back from a log in Kafka, and simply kept here.

use crate::clock;
use crate::protocol::ErrorCode;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a coordinator is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key<'a> {
    Group(&'a str),
    Transaction(&'a str),
}

#[derive(Debug, Default)]
pub(crate) struct Seats {
    groups: BTreeMap<String, Seat>,
    transactions: BTreeMap<String, Seat>,
}

#[derive(Clone, Copy, Debug)]
struct Seat {
    node: i32,
    /// Until then it reads its log and answers COORDINATOR_LOAD_IN_PROGRESS.
    loads_until: Option<Instant>,
}

/// The brokers, and how long a new coordinator loads.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances {
    /// Id and whether it is alive, by id.
    pub(crate) nodes: Vec<(i32, bool)>,
    pub(crate) load_time: Duration,
    pub(crate) now: Instant,
}

impl Seats {
    /// The broker that coordinates `key`; another one if the last one has stopped. `None` if none is alive.
    pub(crate) fn find(&mut self, key: Key<'_>, of: &Circumstances) -> Option<i32> {
        let alive = |id: i32| of.nodes.iter().any(|&(n, alive)| n == id && alive);
        let known = self.seat(key);
        if let Some(seat) = known.filter(|s| alive(s.node)) {
            return Some(seat.node);
        }
        let start = usize::try_from(hash(key) % of.nodes.len().max(1) as u64).unwrap_or(0);
        let ring = of.nodes.iter().cycle().skip(start).take(of.nodes.len());
        let node = ring.filter(|(_, alive)| *alive).map(|(id, _)| *id).next()?;
        match known {
            Some(_) => self.move_to(key, node, of),
            None => self.set(key, Seat { node, loads_until: None }),
        }
        Some(node)
    }

    /// Whether `node` may answer for `key`.
    pub(crate) fn check(&mut self, key: Key<'_>, node: i32, of: &Circumstances) -> Result<(), ErrorCode> {
        if self.find(key, of) != Some(node) {
            return Err(ErrorCode::NOT_COORDINATOR);
        }
        self.check_loaded(key, of)
    }

    /// Whether the coordinator of `key`, whoever it is, can be asked by another broker.
    pub(crate) fn check_reachable(&mut self, key: Key<'_>, of: &Circumstances) -> Result<(), ErrorCode> {
        self.find(key, of).ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
        self.check_loaded(key, of)
    }

    fn check_loaded(&self, key: Key<'_>, of: &Circumstances) -> Result<(), ErrorCode> {
        let loads = self.seat(key).and_then(|s| s.loads_until).is_some_and(|until| until > of.now);
        if loads { Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) } else { Ok(()) }
    }

    /// `node` coordinates `key` from now on, and loads first.
    pub(crate) fn move_to(&mut self, key: Key<'_>, node: i32, of: &Circumstances) {
        let loads_until = (!of.load_time.is_zero()).then(|| clock::deadline(of.now, of.load_time));
        self.set(key, Seat { node, loads_until });
    }

    fn seat(&self, key: Key<'_>) -> Option<Seat> {
        match key {
            Key::Group(key) => self.groups.get(key).copied(),
            Key::Transaction(key) => self.transactions.get(key).copied(),
        }
    }

    fn set(&mut self, key: Key<'_>, seat: Seat) {
        match key {
            Key::Group(key) => self.groups.insert(key.to_owned(), seat),
            Key::Transaction(key) => self.transactions.insert(key.to_owned(), seat),
        };
    }
}

/// FNV-1a: the same in every run.
fn hash(key: Key<'_>) -> u64 {
    let (Key::Group(text) | Key::Transaction(text)) = key;
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(alive: [bool; 3], load_time: Duration, now: Instant) -> Circumstances {
        Circumstances { nodes: (1..).zip(alive).collect(), load_time, now }
    }

    #[test]
    fn a_seat_stays_until_its_broker_stops_and_then_with_the_next() {
        let now = clock::now();
        let all = with([true; 3], Duration::ZERO, now);
        let mut seats = Seats::default();
        let first = seats.find(Key::Transaction("t"), &all).unwrap();
        assert_eq!(seats.check(Key::Transaction("t"), first, &all), Ok(()));
        let rest = with([1, 2, 3].map(|n| n != first), Duration::from_secs(1), now);
        let second = seats.find(Key::Transaction("t"), &rest).unwrap();
        assert_ne!(first, second);
        let check =
            |seats: &mut Seats, node, of: &Circumstances| seats.check(Key::Transaction("t"), node, of);
        assert_eq!(check(&mut seats, second, &rest), Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
        let later = with([true; 3], Duration::from_secs(1), now + Duration::from_secs(1));
        assert_eq!(check(&mut seats, second, &later), Ok(()));
        assert_eq!(check(&mut seats, first, &later), Err(ErrorCode::NOT_COORDINATOR));
        assert_eq!(seats.find(Key::Group("g"), &with([false; 3], Duration::ZERO, now)), None);
    }
}
