//! `buffer.memory`: chunks lent to batches, and the fair queue of those who wait for one.
//!
//! Owns every chunk that is not lent. Application threads take and wait, whoever drops a batch's body gives back. One
//! lock, a leaf; each waiter has a condition variable of its own. Must not know records or partitions, only which
//! leader a chunk is for: with several leaders in use one of them holds at most its share, so that a stalled broker
//! cannot take all memory from the others.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::pace::Pace;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Mutex};

/// The leader that chunks of a partition without one are counted under.
pub(crate) const NO_LEADER: i32 = -1;

/// A piece of a batch's body. `bytes.capacity()` never grows: writers stop at the pool's chunk size.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Has no capacity in a chunk on paper: see [`Ask::paper`].
    pub(crate) bytes: Vec<u8>,
    leader: i32,
    /// What it counts for.
    charge: usize,
}

/// What is asked of the pool.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ask {
    pub(crate) chunks: usize,
    /// Bytes that are counted and not lent: they are, or will be, taken elsewhere for the same batch. One of the chunks
    /// counts for them, or where none is asked for one without bytes.
    pub(crate) paper: usize,
}

impl From<usize> for Ask {
    fn from(chunks: usize) -> Self {
        Self { chunks, paper: 0 }
    }
}

/// Which bound kept a request for memory from being met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// All of `buffer.memory` is lent, or promised to those who waited longer.
    BufferMemory,
    /// This leader's partitions hold their share (`buffer.memory.per.broker.ratio`).
    BrokerShare,
    /// The producer closed.
    Closed,
}

impl Chunk {
    pub(super) fn leader(&self) -> i32 {
        self.leader
    }

    /// A chunk that the pool did not lend.
    pub(super) fn loose(size: usize, leader: i32) -> Self {
        Self { bytes: Vec::with_capacity(size), leader, charge: size }
    }

    /// Adds what another chunk on paper counts for, if both are for the same leader; gives it back otherwise.
    pub(super) fn merge(&mut self, other: Self) -> Option<Self> {
        if self.leader != other.leader {
            return Some(other);
        }
        self.charge += other.charge;
        None
    }
}

pub(crate) struct MemoryPool {
    total: usize,
    chunk_size: usize,
    /// What one leader may hold while several are in use.
    share: usize,
    waiting: AtomicUsize,
    /// A copy of `State::several_leaders`, read without the lock.
    several_leaders: AtomicBool,
    /// Asked before memory is taken by whoever may wait.
    pub(super) pace: Pace,
    state: Mutex<State>,
}

struct State {
    /// Bytes lent. Exceeds `total` only by what [`MemoryPool::take_anyway`] lent.
    lent: usize,
    spare: Vec<Vec<u8>>,
    /// Bytes by leader. Few, mostly, and looked up twice for each batch: no hash is as fast.
    held: BTreeMap<i32, usize>,
    several_leaders: bool,
    /// In order of arrival; granted ones stay until their thread has collected.
    waiters: VecDeque<Waiter>,
    next_ticket: u64,
    closed: bool,
    /// Emptied lists of chunks, and what waiters waited on: kept, so that a batch costs no allocation for them.
    lists: Vec<Vec<Chunk>>,
    bells: Vec<Arc<Condvar>>,
}

/// More than this is not kept of either, nor a list longer than this.
const KEEP: usize = 128;

struct Waiter {
    ticket: u64,
    leader: i32,
    ask: Ask,
    granted: Option<Vec<Chunk>>,
    wake: Arc<Condvar>,
}

impl MemoryPool {
    pub(crate) fn new(total: usize, chunk_size: usize, share_ratio: f64) -> Self {
        let share = ((total as f64 * share_ratio) as usize).clamp(chunk_size.min(total), total);
        Self {
            total,
            chunk_size,
            share,
            waiting: AtomicUsize::new(0),
            several_leaders: AtomicBool::new(false),
            pace: Pace::new(total),
            state: Mutex::new(State {
                lent: 0,
                spare: Vec::new(),
                held: BTreeMap::new(),
                several_leaders: false,
                waiters: VecDeque::new(),
                next_ticket: 0,
                closed: false,
                lists: Vec::new(),
                bells: Vec::new(),
            }),
        }
    }

    pub(crate) fn chunk_size(&self) -> usize {
        self.chunk_size
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    pub(crate) fn available(&self) -> usize {
        self.total.saturating_sub(self.state.lock().lent)
    }

    /// Threads that wait. Ends linger everywhere: memory comes back only when batches go out.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether one leader's share is bounded.
    #[inline]
    pub(crate) fn shares_apply(&self) -> bool {
        self.several_leaders.load(Ordering::Relaxed)
    }

    /// Tells whether partitions of several leaders are in use, and so whether shares apply.
    pub(crate) fn set_several_leaders(&self, several: bool) {
        let mut state = self.state.lock();
        state.several_leaders = several;
        self.several_leaders.store(several, Ordering::Relaxed);
        self.grant(&mut state);
    }

    /// Moves `chunks` chunks into `into`, or says which bound forbids it. Never blocks, never overtakes a waiter.
    pub(crate) fn try_take(
        &self,
        leader: i32,
        ask: impl Into<Ask>,
        into: &mut Vec<Chunk>,
    ) -> Result<(), Bound> {
        let ask = ask.into();
        let mut state = self.state.lock();
        self.check(&state, leader, ask, None)?;
        self.lend(&mut state, leader, ask, into);
        Ok(())
    }

    /// Like [`try_take`](Self::try_take), but waits its turn until `deadline`.
    pub(crate) fn take(
        &self,
        leader: i32,
        ask: impl Into<Ask>,
        deadline: Instant,
        into: &mut Vec<Chunk>,
    ) -> Result<(), Bound> {
        let ask = ask.into();
        let mut state = self.state.lock();
        match self.check(&state, leader, ask, None) {
            Ok(()) => {
                self.lend(&mut state, leader, ask, into);
                return Ok(());
            }
            Err(Bound::Closed) => return Err(Bound::Closed),
            Err(Bound::BufferMemory | Bound::BrokerShare) => {}
        }
        let wake = state.bells.pop().unwrap_or_default();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiters.push_back(Waiter { ticket, leader, ask, granted: None, wake: wake.clone() });
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut late = false;
        let result = loop {
            let at = state.waiters.iter().position(|w| w.ticket == ticket);
            let Some(granted) = at.map(|at| state.waiters[at].granted.take()) else {
                break Err(Bound::Closed);
            };
            if let Some(mut chunks) = granted {
                if into.capacity() == 0 {
                    std::mem::swap(into, &mut chunks);
                }
                into.append(&mut chunks);
                state.keep_list(chunks);
                break Ok(());
            }
            if state.closed {
                break Err(Bound::Closed);
            }
            if late {
                break self.check(&state, leader, ask, Some(ticket)).and(Err(Bound::BufferMemory));
            }
            late = wake.wait_until(&mut state, deadline).timed_out();
        };
        state.waiters.retain(|w| w.ticket != ticket);
        if state.bells.len() < KEEP {
            state.bells.push(wake);
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        // Who leaves the queue may have been what those behind waited for.
        self.grant(&mut state);
        result
    }

    /// Lends without asking, for the parts of a split batch: it must not wait for memory that only its own end frees.
    pub(crate) fn take_anyway(&self, leader: i32, chunks: usize, into: &mut Vec<Chunk>) {
        self.lend(&mut self.state.lock(), leader, Ask::from(chunks), into);
    }

    /// Takes chunks back, with the list they are in.
    pub(crate) fn give_back_list(&self, mut list: Vec<Chunk>, one_more: Option<Chunk>) {
        let mut state = self.state.lock();
        self.take_back(&mut state, list.drain(..).chain(one_more));
        state.keep_list(list);
    }

    #[cfg(test)]
    pub(crate) fn give_back(&self, chunks: impl Iterator<Item = Chunk>) {
        self.take_back(&mut self.state.lock(), chunks);
    }

    /// Hands chunks that come back to whoever waits longest and may have them.
    fn take_back(&self, state: &mut State, chunks: impl Iterator<Item = Chunk>) {
        for mut chunk in chunks {
            state.lent = state.lent.saturating_sub(chunk.charge);
            if let Some(held) = state.held.get_mut(&chunk.leader) {
                *held = held.saturating_sub(chunk.charge);
            }
            chunk.bytes.clear();
            if chunk.bytes.capacity() >= self.chunk_size
                && (state.spare.len() + 1) * self.chunk_size + state.lent <= self.total
            {
                state.spare.push(chunk.bytes);
            }
        }
        self.grant(state);
    }

    /// Refuses all requests from now on and wakes those who wait.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        for waiter in &state.waiters {
            waiter.wake.notify_one();
        }
    }

    /// Whether a request may be met now. `own` is the ticket of the asker if it stands in the queue itself.
    fn check(&self, state: &State, leader: i32, ask: Ask, own: Option<u64>) -> Result<(), Bound> {
        if state.closed {
            return Err(Bound::Closed);
        }
        let bytes = self.bytes(ask);
        if self.over_share(state, leader, bytes) {
            return Err(Bound::BrokerShare);
        }
        let overtakes = state
            .waiters
            .iter()
            .take_while(|w| Some(w.ticket) != own)
            .filter(|w| w.granted.is_none())
            .any(|w| w.leader == leader || !self.over_share(state, w.leader, self.bytes(w.ask)));
        if overtakes || state.lent + bytes > self.total {
            return Err(Bound::BufferMemory);
        }
        Ok(())
    }

    fn bytes(&self, ask: Ask) -> usize {
        ask.chunks * self.chunk_size + ask.paper
    }

    /// A request bigger than the share itself is met once its leader holds nothing, or it would wait for ever.
    fn over_share(&self, state: &State, leader: i32, bytes: usize) -> bool {
        if !state.several_leaders {
            return false;
        }
        let held = state.held.get(&leader).copied().unwrap_or(0);
        held > 0 && held + bytes > self.share
    }

    fn lend(&self, state: &mut State, leader: i32, ask: Ask, into: &mut Vec<Chunk>) {
        let bytes = self.bytes(ask);
        state.lent += bytes;
        *state.held.entry(leader).or_insert(0) += bytes;
        if into.capacity() == 0 {
            *into = state.lists.pop().unwrap_or_default();
        }
        let mut paper = ask.paper;
        for _ in 0..ask.chunks {
            let bytes = state.spare.pop().unwrap_or_else(|| Vec::with_capacity(self.chunk_size));
            into.push(Chunk { bytes, leader, charge: self.chunk_size + std::mem::take(&mut paper) });
        }
        if paper > 0 {
            into.push(Chunk { bytes: Vec::new(), leader, charge: paper });
        }
    }

    /// Serves the queue in order. A waiter over its leader's share is passed by; one that lacks memory stops the queue,
    /// so that a big request is not starved by small ones.
    fn grant(&self, state: &mut State) {
        let mut at = 0;
        while let Some(waiter) = state.waiters.get(at) {
            let (leader, ask, open) = (waiter.leader, waiter.ask, waiter.granted.is_none());
            let bytes = self.bytes(ask);
            let earlier_of_same_leader =
                state.waiters.iter().take(at).any(|w| w.leader == leader && w.granted.is_none());
            if open && !earlier_of_same_leader && !self.over_share(state, leader, bytes) {
                if state.lent + bytes > self.total {
                    return;
                }
                let mut granted = Vec::new();
                self.lend(state, leader, ask, &mut granted);
                if let Some(waiter) = state.waiters.get_mut(at) {
                    waiter.granted = Some(granted);
                    waiter.wake.notify_one();
                }
            }
            at += 1;
        }
    }
}

impl State {
    /// Keeps an emptied list for the next batch.
    fn keep_list(&mut self, list: Vec<Chunk>) {
        if (1..=KEEP).contains(&list.capacity()) && self.lists.len() < KEEP {
            self.lists.push(list);
        }
    }
}

impl std::fmt::Debug for MemoryPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryPool").field("total", &self.total).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn soon() -> Instant {
        crate::clock::now() + Duration::from_secs(20)
    }

    fn wait_for_waiters(pool: &MemoryPool, n: usize) {
        while pool.state.lock().waiters.iter().filter(|w| w.granted.is_none()).count() < n {
            std::thread::yield_now();
        }
    }

    #[test]
    fn lends_up_to_the_total_and_reuses_what_comes_back() {
        let pool = MemoryPool::new(40, 10, 1.0);
        let mut chunks = Vec::new();
        pool.try_take(1, 4, &mut chunks).unwrap();
        assert_eq!(pool.try_take(1, 1, &mut Vec::new()), Err(Bound::BufferMemory));
        let address = chunks[3].bytes.as_ptr();
        pool.give_back(chunks.drain(3..));
        pool.try_take(1, 1, &mut chunks).unwrap();
        assert_eq!(chunks[3].bytes.as_ptr(), address);
        pool.give_back(chunks.into_iter());
        assert_eq!(pool.available(), 40);
    }

    #[test]
    fn what_is_on_paper_counts_and_is_not_lent() {
        let pool = MemoryPool::new(40, 10, 1.0);
        let (mut chunks, mut paper) = (Vec::new(), Vec::new());
        pool.try_take(1, 2, &mut chunks).unwrap();
        pool.try_take(1, Ask { chunks: 0, paper: 15 }, &mut paper).unwrap();
        assert_eq!((pool.available(), paper.len(), paper[0].bytes.capacity()), (5, 1, 0));
        assert_eq!(pool.try_take(1, 1, &mut chunks), Err(Bound::BufferMemory));
        let mut more = Vec::new();
        pool.try_take(1, Ask { chunks: 0, paper: 5 }, &mut more).unwrap();
        assert!(paper[0].merge(more.remove(0)).is_none());
        pool.give_back(paper.into_iter());
        assert_eq!(pool.available(), 20);
        pool.give_back(chunks.drain(..));
        pool.try_take(1, Ask { chunks: 2, paper: 7 }, &mut chunks).unwrap();
        assert_eq!((pool.available(), chunks.len()), (13, 2));
        pool.give_back(chunks.into_iter());
        assert_eq!(pool.available(), 40);
        pool.try_take(1, 4, &mut more).unwrap();
        assert!(more.iter().all(|chunk| chunk.bytes.capacity() == 10), "paper is not lent later");
    }

    #[test]
    fn waiters_are_served_in_order_and_a_big_one_is_not_starved() {
        let pool = MemoryPool::new(40, 10, 1.0);
        let mut held = Vec::new();
        pool.try_take(1, 4, &mut held).unwrap();
        let order = Mutex::new(Vec::new());
        std::thread::scope(|s| {
            let wait = |name: &'static str, n: usize, queued: usize| {
                let (pool, order) = (&pool, &order);
                s.spawn(move || {
                    let mut got = Vec::new();
                    pool.take(1, n, soon(), &mut got).unwrap();
                    order.lock().push(name);
                    pool.give_back(got.into_iter());
                });
                wait_for_waiters(pool, queued);
            };
            wait("big", 3, 1);
            wait("small", 1, 2);
            pool.give_back(held.drain(2..));
            assert_eq!(pool.try_take(1, 1, &mut Vec::new()), Err(Bound::BufferMemory), "no overtaking");
            pool.give_back(held.drain(..));
        });
        assert_eq!(order.lock().len(), 2);
        assert_eq!(pool.available(), 40);
    }

    #[test]
    fn one_leader_keeps_to_its_share_and_only_its_own_senders_wait() {
        let pool = MemoryPool::new(40, 10, 0.5);
        pool.set_several_leaders(true);
        let (mut stalled, mut other) = (Vec::new(), Vec::new());
        pool.try_take(1, 2, &mut stalled).unwrap();
        assert_eq!(pool.try_take(1, 1, &mut stalled), Err(Bound::BrokerShare));
        std::thread::scope(|s| {
            s.spawn(|| {
                // Until the others below have seen it wait, on a busy machine too.
                let deadline = crate::clock::now() + Duration::from_secs(1);
                assert_eq!(pool.take(1, 1, deadline, &mut Vec::new()), Err(Bound::BrokerShare));
            });
            wait_for_waiters(&pool, 1);
            pool.try_take(2, 2, &mut other)
                .expect("the waiter of the other leader does not stand in the way");
        });
        pool.give_back(stalled.drain(..1));
        pool.try_take(1, 1, &mut stalled).unwrap();
    }

    #[test]
    fn closing_wakes_and_refuses() {
        let pool = MemoryPool::new(10, 10, 1.0);
        let mut held = Vec::new();
        pool.try_take(1, 1, &mut held).unwrap();
        std::thread::scope(|s| {
            let waiter = s.spawn(|| pool.take(1, 1, soon(), &mut Vec::new()));
            wait_for_waiters(&pool, 1);
            pool.close();
            assert_eq!(waiter.join().unwrap(), Err(Bound::Closed));
        });
        assert_eq!(pool.waiting(), 0);
    }

    #[test]
    fn a_wait_that_times_out_leaves_the_queue() {
        let pool = MemoryPool::new(10, 10, 1.0);
        let mut held = Vec::new();
        pool.try_take(1, 1, &mut held).unwrap();
        assert_eq!(pool.take(1, 1, crate::clock::now(), &mut Vec::new()), Err(Bound::BufferMemory));
        pool.give_back(held.into_iter());
        pool.try_take(1, 1, &mut Vec::new()).unwrap();
    }
}
