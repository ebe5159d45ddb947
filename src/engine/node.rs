//! One broker: its address, its connection, and what is in flight there.
//!
//! Pure. A node without a connection is idle, connecting, or waits after a failure; it connects only when somebody
//! wants something of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::action::{Address, ConnId, Peer};
use super::metadata::TopicId;
use super::parcel::Parcel;
use super::transaction::Errand;
use crate::error::Error;
use crate::protocol::messages::{InitProducerIdRequest, MetadataRequest, ProduceRequest};
use crate::protocol::{ApiKey, Request, choose_version};
use crate::sync::Arc;

/// A broker's node id; bootstrap addresses have negative ones of ours.
pub(crate) type NodeId = i32;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) address: Address,
    pub(crate) link: Link,
    /// Failed attempts to connect in a row.
    pub(crate) failures: u32,
    /// Partitions led by this node that have something to send, in turn.
    pub(crate) ready: VecDeque<u32>,
    /// Since when it has had something to send and no room for it; kept by `stall`.
    pub(crate) stalled_since: Option<Instant>,
    /// The metadata does not list it any more; it goes when nothing is in flight.
    pub(crate) retired: bool,
}

#[derive(Debug)]
pub(crate) enum Link {
    Idle,
    Connecting { conn: ConnId, since: Instant, give_up: Instant },
    Up(Connection),
    Backoff { until: Instant },
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    pub(crate) versions: Versions,
    pub(crate) in_flight: VecDeque<InFlight>,
    /// Requests handed to the driver, ever.
    pub(crate) launched: u64,
    /// Those of them that are all in the socket's hands: the first so many.
    pub(crate) written: u64,
    /// The broker has another address by now: it is sent nothing more, and goes when nothing is in flight.
    pub(crate) outdated: bool,
    pub(crate) next_correlation: i32,
    pub(crate) last_used: Instant,
    pub(crate) last_answer: Instant,
    /// The broker asked for silence until then.
    pub(crate) throttled_until: Option<Instant>,
    /// No parcel in flight expires before.
    pub(crate) next_expiry: Option<Instant>,
    /// What can be sent waits until then for more to go with it, or for an answer.
    pub(crate) gathers_until: Option<Instant>,
    /// When it was last sent batches.
    pub(crate) last_produce: Option<Instant>,
    /// When somebody else was asked about this broker, because it was silent; see `silence`.
    pub(crate) asked_about: Option<Instant>,
}

/// The version of each API to be used with a broker; `None` where there is none in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) produce: Option<i16>,
    pub(crate) produce_min: i16,
    pub(crate) metadata: Option<i16>,
    pub(crate) init_producer_id: Option<i16>,
    ranges: Vec<(i16, i16, i16)>,
}

impl Versions {
    pub(crate) fn of(peer: Peer) -> Self {
        let range =
            |key: ApiKey| peer.ranges.iter().find(|(k, ..)| *k == key.0).map(|(_, min, max)| (*min, *max));
        let produce = range(ApiKey::PRODUCE);
        Self {
            produce: produce.and_then(|theirs| choose_version(ProduceRequest::VERSIONS, theirs)),
            produce_min: produce.map_or(i16::MAX, |(min, _)| min),
            metadata: range(ApiKey::METADATA)
                .and_then(|theirs| choose_version(MetadataRequest::VERSIONS, theirs)),
            init_producer_id: range(ApiKey::INIT_PRODUCER_ID)
                .and_then(|theirs| choose_version(InitProducerIdRequest::VERSIONS, theirs)),
            ranges: peer.ranges,
        }
    }

    /// The version of any API, no newer than `cap`; `None` where there is none in common.
    pub(crate) fn pick<R: Request>(&self, cap: i16) -> Option<i16> {
        let (_, min, max) = self.ranges.iter().find(|(key, ..)| *key == R::API_KEY.0)?;
        choose_version(*R::VERSIONS.start()..=cap.min(*R::VERSIONS.end()), (*min, *max))
    }

    /// Whether all versions that the broker has of an API are newer than those here.
    pub(crate) fn is_newer(&self, key: ApiKey) -> bool {
        let theirs = self.ranges.iter().find(|(k, ..)| *k == key.0).map(|(_, min, _)| *min);
        theirs.zip(key.versions()).is_some_and(|(min, ours)| min > *ours.end())
    }

    /// What the broker said of an API, for messages.
    pub(crate) fn describe(&self, key: ApiKey) -> String {
        match self.ranges.iter().find(|(k, ..)| *k == key.0) {
            Some((_, min, max)) => {
                let ours =
                    key.versions().map_or_else(String::new, |v| format!("{} to {}", v.start(), v.end()));
                format!("the broker has {key} {min} to {max}, this library {ours}")
            }
            None => format!("the broker has no {key}"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct InFlight {
    /// How many were handed to the driver before it.
    pub(crate) number: u64,
    pub(crate) correlation: i32,
    pub(crate) version: i16,
    pub(crate) deadline: Instant,
    pub(crate) sent: Instant,
    /// Of the request, length included.
    pub(crate) bytes: usize,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    Produce {
        /// With acks=0 there is no answer: it ends when it is written.
        answered: bool,
        parcels: Vec<Sent>,
    },
    Metadata {
        topics: Vec<Arc<str>>,
        full: bool,
    },
    InitProducerId,
    /// A question about a transaction.
    Coordinator(Box<Errand>),
}

/// A parcel in flight.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) partition: u32,
    /// Where it went.
    pub(crate) node: NodeId,
    /// What the request called the topic: by now it may have another id.
    pub(crate) topic_id: TopicId,
    pub(crate) parcel: Parcel,
}

impl Node {
    pub(crate) fn new(id: NodeId, address: Address) -> Self {
        Self {
            id,
            address,
            link: Link::Idle,
            failures: 0,
            ready: VecDeque::new(),
            stalled_since: None,
            retired: false,
        }
    }

    pub(crate) fn connection(&mut self) -> Option<&mut Connection> {
        match &mut self.link {
            Link::Up(connection) => Some(connection),
            Link::Idle | Link::Connecting { .. } | Link::Backoff { .. } => None,
        }
    }

    /// Whether an answer to batches is missing.
    pub(crate) fn awaits_batches(&self) -> bool {
        let Link::Up(connection) = &self.link else { return false };
        connection.in_flight.iter().any(|request| matches!(request.what, What::Produce { .. }))
    }

    pub(crate) fn up(&self) -> Option<&Connection> {
        match &self.link {
            Link::Up(connection) => Some(connection),
            Link::Idle | Link::Connecting { .. } | Link::Backoff { .. } => None,
        }
    }

    pub(crate) fn is_bootstrap(&self) -> bool {
        self.id < 0
    }

    /// Adds to an error which broker it was.
    pub(crate) fn blame(&self, error: Error) -> Error {
        if self.is_bootstrap() {
            error.with_broker(format_args!("{} (bootstrap)", self.address))
        } else {
            error.with_broker(format_args!("{} (node {})", self.address, self.id))
        }
    }
}

impl Connection {
    pub(crate) fn new(id: ConnId, versions: Versions, now: Instant) -> Self {
        Self {
            id,
            versions,
            in_flight: VecDeque::new(),
            launched: 0,
            written: 0,
            outdated: false,
            next_correlation: 0,
            last_used: now,
            last_answer: now,
            throttled_until: None,
            next_expiry: None,
            gathers_until: None,
            last_produce: None,
            asked_about: None,
        }
    }

    /// Whether a request is not all in the socket's hands.
    pub(crate) fn is_writing(&self) -> bool {
        self.written < self.launched
    }

    /// Whether one more request may go out now.
    pub(crate) fn has_room(&self, max_in_flight: usize, now: Instant) -> bool {
        !self.is_writing() && self.may_follow(max_in_flight, now)
    }

    /// Whether one more request may go out behind those that are handed to the driver now.
    pub(crate) fn may_follow(&self, max_in_flight: usize, now: Instant) -> bool {
        !self.outdated
            && self.in_flight.len() < max_in_flight
            && self.throttled_until.is_none_or(|until| until <= now)
    }

    /// Until when batches gather after the last request, where that takes `pause`.
    pub(crate) fn rests_until(&self, pause: Duration) -> Option<Instant> {
        self.last_produce.map(|at| at + pause)
    }

    pub(crate) fn correlation(&mut self) -> i32 {
        let correlation = self.next_correlation;
        self.next_correlation = self.next_correlation.wrapping_add(1) & i32::MAX;
        correlation
    }
}
