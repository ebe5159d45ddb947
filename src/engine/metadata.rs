//! When to ask for metadata, and what is known: topics in use, their ids and leader epochs (KIP-320, 516, 526, 899,
//! 1102).
//!
//! Pure: `now` is an argument. What is published to application threads is the accumulator's business.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::backoff::{Backoff, Rng};
use crate::accumulator::TopicEntry;
use crate::sync::Arc;

/// A topic's id; zeros where the brokers are too old to have any.
pub(crate) type TopicId = [u8; 16];

/// What is known of a topic in use.
#[derive(Debug)]
pub(crate) struct TopicMeta {
    pub(crate) entry: Arc<TopicEntry>,
    pub(crate) id: TopicId,
    /// By partition.
    pub(crate) partitions: Vec<PartitionMeta>,
    /// Nothing is known yet, or someone asked again: it goes into the next request.
    pub(crate) wanted: bool,
    pub(crate) last_used: Instant,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionMeta {
    /// The engine's number of the partition.
    pub(crate) number: u32,
    pub(crate) leader: Option<i32>,
    /// `None` where the brokers are too old to tell.
    pub(crate) epoch: Option<i32>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct MetadataSettings {
    pub(crate) max_age: Duration,
    pub(crate) max_idle: Duration,
    pub(crate) backoff: Backoff,
    /// `None`: never go back to the bootstrap addresses.
    pub(crate) rebootstrap_after: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Metadata {
    settings: MetadataSettings,
    pub(crate) topics: BTreeMap<Arc<str>, TopicMeta>,
    /// A refresh of everything is due.
    stale: bool,
    /// Some topic is wanted: spares a look at each of them.
    some_wanted: bool,
    in_flight: bool,
    /// Answers in a row that failed or changed nothing that was hoped for.
    attempts: u32,
    not_before: Option<Instant>,
    last_success: Option<Instant>,
    /// Since when an answer is missing.
    needed_since: Option<Instant>,
    /// Which cluster answered last, if it said so.
    cluster: Option<String>,
}

const MAX_SHOWN: usize = 100;

/// What the next request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) topics: Vec<Arc<str>>,
    /// All topics in use, not only new ones.
    pub(crate) full: bool,
}

impl Metadata {
    pub(crate) fn new(settings: MetadataSettings) -> Self {
        Self {
            settings,
            topics: BTreeMap::new(),
            stale: false,
            some_wanted: false,
            in_flight: false,
            attempts: 0,
            not_before: None,
            last_success: None,
            needed_since: None,
            cluster: None,
        }
    }

    /// Notes which cluster answers. The one before and this one, if they differ.
    pub(crate) fn answered_by(&mut self, cluster: Option<String>) -> Option<(String, String)> {
        // It is printed, and a broker may say anything.
        let cluster: String = cluster?.chars().take(MAX_SHOWN).collect();
        if self.cluster.as_ref() == Some(&cluster) {
            return None;
        }
        let before = self.cluster.replace(cluster.clone())?;
        Some((before, cluster))
    }

    /// A topic comes into use, or somebody waits for it again.
    pub(crate) fn want(&mut self, entry: &Arc<TopicEntry>, now: Instant) {
        let known = self.topics.contains_key(&entry.name);
        let topic = self.topics.entry(entry.name.clone()).or_insert_with(|| TopicMeta {
            entry: entry.clone(),
            id: TopicId::default(),
            partitions: Vec::new(),
            wanted: true,
            last_used: now,
        });
        topic.last_used = now;
        topic.wanted = true;
        self.some_wanted = true;
        if !Arc::ptr_eq(&topic.entry, entry) {
            topic.entry = entry.clone();
        }
        if !known {
            // A new topic does not wait for the failures of others.
            self.not_before = None;
            self.attempts = 0;
        }
        self.needed_since.get_or_insert(now);
    }

    /// What is known turned out wrong, or is missing: ask again soon.
    pub(crate) fn invalidate(&mut self, now: Instant) {
        self.stale = true;
        self.needed_since.get_or_insert(now);
    }

    /// The request that is due now, if any.
    pub(crate) fn due(&self, now: Instant) -> Option<Ask> {
        if self.in_flight || self.not_before.is_some_and(|at| at > now) {
            return None;
        }
        let aged =
            self.last_success.is_none_or(|at| now.saturating_duration_since(at) >= self.settings.max_age);
        let full = self.stale || aged;
        if !full && !self.some_wanted {
            return None;
        }
        let topics: Vec<_> =
            self.topics.values().filter(|t| full || t.wanted).map(|t| t.entry.name.clone()).collect();
        (full || !topics.is_empty()).then_some(Ask { topics, full })
    }

    /// When to look again.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        if self.in_flight {
            return None;
        }
        let wanted = self.stale || self.last_success.is_none() || self.some_wanted;
        let aged = self.last_success.map(|at| at + self.settings.max_age);
        if wanted { self.not_before } else { aged.max(self.not_before) }
    }

    /// The answer that is awaited may be long in coming: another one may be asked for meanwhile.
    pub(crate) fn not_awaited(&mut self) {
        self.in_flight = false;
    }

    pub(crate) fn asked(&mut self, ask: &Ask) {
        self.in_flight = true;
        if ask.full {
            self.stale = false;
        }
        self.some_wanted = false;
        for name in &ask.topics {
            if let Some(topic) = self.topics.get_mut(name) {
                topic.wanted = false;
            }
        }
    }

    /// The request failed, or no broker could be reached.
    pub(crate) fn failed(&mut self, now: Instant, rng: &mut Rng) {
        self.in_flight = false;
        self.stale = true;
        self.needed_since.get_or_insert(now);
        self.wait_before_next(now, rng);
    }

    /// An answer came. `complete`: it told everything that was asked for. `helps`: and every partition has a leader.
    /// The next question waits in any case, since the answer may turn out to be old; it waits longer and longer while
    /// answers do not help. Only a new topic is asked for at once.
    pub(crate) fn answered(&mut self, complete: bool, helps: bool, full: bool, now: Instant, rng: &mut Rng) {
        self.in_flight = false;
        if full {
            self.last_success = Some(now);
        }
        self.last_success.get_or_insert(now);
        self.needed_since = None;
        self.stale |= !complete;
        if complete && helps {
            self.attempts = 0;
        }
        self.wait_before_next(now, rng);
    }

    fn wait_before_next(&mut self, now: Instant, rng: &mut Rng) {
        self.attempts = self.attempts.saturating_add(1);
        self.not_before = Some(now + self.settings.backoff.after(self.attempts, rng));
    }

    /// Whether metadata was missing for so long that the known brokers are given up (KIP-1102).
    pub(crate) fn is_lost(&self, now: Instant) -> bool {
        let Some(after) = self.settings.rebootstrap_after else { return false };
        self.needed_since.is_some_and(|since| now.saturating_duration_since(since) >= after)
    }

    /// When [`is_lost`](Self::is_lost) becomes true if nothing comes.
    pub(crate) fn lost_at(&self) -> Option<Instant> {
        Some(self.needed_since? + self.settings.rebootstrap_after?)
    }

    /// Whether brokers that cannot be reached may be replaced by the bootstrap addresses (KIP-899).
    pub(crate) fn may_rebootstrap(&self) -> bool {
        self.settings.rebootstrap_after.is_some()
    }

    /// Begins anew from the bootstrap addresses; not at once, since those may say the same.
    pub(crate) fn rebootstrap(&mut self, now: Instant, rng: &mut Rng) {
        self.failed(now, rng);
        self.needed_since = Some(now);
    }

    pub(crate) fn set_id(&mut self, name: &Arc<str>, id: TopicId) {
        if let Some(topic) = self.topics.get_mut(name) {
            topic.id = id;
        }
    }

    pub(crate) fn has_succeeded(&self) -> bool {
        self.last_success.is_some()
    }

    /// Takes out topics that nobody used for `metadata.max.idle.ms`; `keep` says which still have something to send.
    pub(crate) fn take_idle(&mut self, now: Instant, keep: impl Fn(&TopicMeta) -> bool) -> Vec<TopicMeta> {
        let max_idle = self.settings.max_idle;
        for topic in self.topics.values_mut() {
            if topic.entry.take_used() {
                topic.last_used = now;
            }
        }
        let idle: Vec<Arc<str>> = self
            .topics
            .values()
            .filter(|t| now.saturating_duration_since(t.last_used) >= max_idle && !keep(t))
            .map(|t| t.entry.name.clone())
            .collect();
        idle.iter().filter_map(|name| self.topics.remove(name)).collect()
    }
}
