//! Events: what the producer does and meets, told as it happens to a listener of the user's.
//!
//! The sender offers them to a bounded queue and never waits; the listener runs on the monitor thread.

use std::fmt;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};

use crate::error::Error;
use crate::protocol::{ApiKey, ErrorCode};
use crate::record::TopicPartition;

/// Something that happened inside the producer, for the listener of
/// [`KafkaProducerBuilder::on_event`](crate::KafkaProducerBuilder::on_event).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A connection stands and the broker has told its versions.
    #[non_exhaustive]
    Connected {
        /// Whom to.
        broker: Broker,
        /// Name resolution, connecting and the exchange of versions.
        took: Duration,
    },
    /// An attempt to connect failed; the next one waits for `reconnect.backoff.ms` or longer.
    #[non_exhaustive]
    ConnectFailed {
        /// Whom to.
        broker: Broker,
        /// Why.
        error: Error,
    },
    /// A connection is gone.
    #[non_exhaustive]
    Disconnected {
        /// Whom to.
        broker: Broker,
        /// Why; `None`: the producer closed it: idle, its broker left the cluster, or the
        /// producer itself closed.
        reason: Option<Error>,
        /// Requests that were not answered.
        lost_requests: usize,
    },
    /// A request is over.
    #[non_exhaustive]
    RequestDone {
        /// Who was asked.
        broker: Broker,
        /// What was asked.
        api: ApiKey,
        /// In which version.
        version: i16,
        /// Length of the request.
        bytes_out: usize,
        /// Length of the answer; 0 without one.
        bytes_in: usize,
        /// From the request to the answer, or to the end of the connection.
        took: Duration,
        /// What came of it.
        outcome: RequestOutcome,
    },
    /// A batch will be sent again.
    #[non_exhaustive]
    Retry {
        /// The batch's partition.
        topic_partition: TopicPartition,
        /// Records in the batch.
        records: u32,
        /// Attempts made so far.
        attempts: u32,
        /// Why the last one failed.
        error: Option<Error>,
    },
    /// A batch that the broker found too large was taken apart.
    #[non_exhaustive]
    Split {
        /// The batch's partition.
        topic_partition: TopicPartition,
        /// Records in the batch.
        records: u32,
    },
    /// A broker asks for silence because a quota is used up.
    #[non_exhaustive]
    Throttled {
        /// Who asks.
        broker: Broker,
        /// How long.
        time: Duration,
    },
    /// A partition has another leader, or has lost or found one.
    #[non_exhaustive]
    LeaderChanged {
        /// The partition.
        topic_partition: TopicPartition,
        /// Node id of the old one.
        old: Option<i32>,
        /// Node id of the new one.
        new: Option<i32>,
    },
    /// Records of one batch ended with an error.
    #[non_exhaustive]
    Failed {
        /// Their partition.
        topic_partition: TopicPartition,
        /// How many.
        records: u32,
        /// Why.
        error: Error,
    },
    /// A metadata response was applied.
    #[non_exhaustive]
    MetadataUpdated {
        /// Brokers that it lists.
        brokers: usize,
        /// Topics that it describes.
        topics: usize,
    },
    /// The producer cannot go on: close it and open a new one.
    #[non_exhaustive]
    Fatal {
        /// Why.
        error: Error,
    },
}

/// A broker, as events name it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broker {
    /// Its node id; negative for an address of `bootstrap.servers`.
    pub id: i32,
    /// Host and port.
    pub address: String,
}

impl Broker {
    pub(crate) fn new(id: i32, address: impl fmt::Display) -> Self {
        Self { id, address: address.to_string() }
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.id < 0 {
            write!(f, "{} (bootstrap)", self.address)
        } else {
            write!(f, "{} (node {})", self.address, self.id)
        }
    }
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestOutcome {
    /// Answered without an error.
    Answered,
    /// Answered with this error code, at least for a part of it.
    Refused(ErrorCode),
    /// The connection ended before an answer came.
    Lost,
    /// Written; `acks=0` expects no answer.
    Written,
}

/// The listener's queue, from the side of those who fill it.
#[derive(Debug)]
pub(crate) struct EventQueue(Sender<Event>);

impl EventQueue {
    pub(crate) fn new(queue: Sender<Event>) -> Self {
        Self(queue)
    }

    /// `false`: there was no room. Whether anybody still listens does not matter.
    pub(super) fn offer(&self, event: Event) -> bool {
        !matches!(self.0.try_send(event), Err(TrySendError::Full(_)))
    }
}
