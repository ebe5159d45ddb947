//! Faults: declared by what they match and what they do, consumed by the requests they meet.
//!
//! [`Fault`] is what users write, [`Faults`] the active ones inside the cluster's state, [`Plan`] what they add up to for
//! one request. No clock, no randomness, no lock: delays are numbers in the reply, carried out by the caller.

use crate::protocol::{ApiKey, ErrorCode};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Something that goes wrong, once unless said otherwise, when a request of some kind arrives.
///
/// What is not restricted matches everything. Effects may be combined; where several faults meet one request, delays
/// add up and the earliest injected fault wins the rest.
///
/// ```
/// use kafka_producer::mock::{Fault, MockCluster};
/// use kafka_producer::protocol::{ApiKey, ErrorCode};
/// use std::time::Duration;
///
/// let cluster = MockCluster::start(1)?;
/// let fault = cluster.inject(
///     Fault::on(ApiKey::PRODUCE).topic("orders").partition(0).times(2).error_before(ErrorCode::NOT_LEADER_OR_FOLLOWER),
/// );
/// cluster.inject(Fault::on(ApiKey::METADATA).always().delay(Duration::from_millis(5)));
/// assert_eq!(fault.hits(), 0);
/// fault.remove();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a fault does nothing until it is given to `MockCluster::inject`"]
pub struct Fault {
    trigger: Trigger,
    node: Option<i32>,
    topic: Option<String>,
    partition: Option<i32>,
    skip: u32,
    /// `None` is for ever.
    times: Option<u32>,
    effect: Effect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    Connect,
    Request(Option<ApiKey>),
}

#[derive(Clone, Debug, Default)]
struct Effect {
    error: Option<(When, ErrorCode)>,
    message: Option<String>,
    record_errors: Vec<(i32, String)>,
    delay: Duration,
    throttle: Duration,
    connection: Option<ConnectionFault>,
    answer: Option<AnswerFault>,
}

/// Whether the broker has acted (appended, created, ...) before it answers with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

/// What happens to the connection instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionFault {
    DropBefore,
    DropAfter,
    Swallow,
    StopReading,
}

/// What happens to the bytes of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerFault {
    /// Only so many bytes, counted from the length prefix, then the connection closes.
    Truncated(usize),
    /// The correlation id is right, the body is not.
    Corrupted,
    /// A correlation id that nobody asked with.
    WrongCorrelation,
    /// A length prefix of nearly 2 GiB.
    Oversized,
}

impl Fault {
    fn new(trigger: Trigger) -> Self {
        Self {
            trigger,
            node: None,
            topic: None,
            partition: None,
            skip: 0,
            times: Some(1),
            effect: Effect::default(),
        }
    }

    /// Meets requests of one API.
    pub fn on(api: ApiKey) -> Self {
        Self::new(Trigger::Request(Some(api)))
    }

    /// Meets every request.
    pub fn on_any() -> Self {
        Self::new(Trigger::Request(None))
    }

    /// Meets connections being accepted; each one met is closed at once, without a byte.
    pub fn refuse_connections() -> Self {
        Self::new(Trigger::Connect)
    }

    /// Only on this broker.
    pub fn node(mut self, node: i32) -> Self {
        self.node = Some(node);
        self
    }

    /// Only requests that name this topic. An error then strikes this topic alone. Requests of an API that has no topics,
    /// such as InitProducerId, are never met.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Only requests that name this partition. An error then strikes this partition alone.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Lets the first `n` matching requests pass.
    pub fn after(mut self, n: u32) -> Self {
        self.skip = n;
        self
    }

    /// Meets `n` requests and is spent. Without this it meets one.
    pub fn times(mut self, n: u32) -> Self {
        self.times = Some(n);
        self
    }

    /// Meets every matching request until it is removed.
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// The broker answers `code` and has done nothing.
    pub fn error_before(mut self, code: ErrorCode) -> Self {
        self.effect.error = Some((When::Before, code));
        self
    }

    /// The broker does what was asked, and answers `code` all the same.
    pub fn error_after(mut self, code: ErrorCode) -> Self {
        self.effect.error = Some((When::After, code));
        self
    }

    /// The text beside the error code, in versions that have one. Without a code it stands beside INVALID_RECORD.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.effect.message = Some(message.into());
        self
    }

    /// Names one record of the batch as the culprit (KIP-467), in versions that can; may be repeated. `index` counts
    /// from 0 within the batch. Without an error code that is INVALID_RECORD.
    pub fn record_error(mut self, index: i32, message: impl Into<String>) -> Self {
        self.effect.record_errors.push((index, message.into()));
        self
    }

    /// The answer leaves that much later. The broker acts at once; later requests of the connection are acted upon
    /// meanwhile, and their answers keep their order.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.effect.delay = delay;
        self
    }

    /// The answer says that the client has to be silent for so long, in whole milliseconds.
    pub fn throttle(mut self, time: Duration) -> Self {
        self.effect.throttle = time;
        self
    }

    /// The connection closes; the broker has done nothing.
    pub fn drop_before(mut self) -> Self {
        self.effect.connection = Some(ConnectionFault::DropBefore);
        self
    }

    /// The broker does what was asked; the connection closes without an answer.
    pub fn drop_after(mut self) -> Self {
        self.effect.connection = Some(ConnectionFault::DropAfter);
        self
    }

    /// The broker does what was asked and never answers; the connection stays and serves what follows.
    pub fn swallow_answer(mut self) -> Self {
        self.effect.connection = Some(ConnectionFault::Swallow);
        self
    }

    /// The broker does nothing, and reads no more from this connection, which stays open.
    pub fn stop_reading(mut self) -> Self {
        self.effect.connection = Some(ConnectionFault::StopReading);
        self
    }

    /// Only the first `bytes` of the answer are sent, counted from its length prefix; then the connection closes.
    pub fn truncate_answer(mut self, bytes: usize) -> Self {
        self.effect.answer = Some(AnswerFault::Truncated(bytes));
        self
    }

    /// The answer's length and correlation id are right, and its body is garbage.
    pub fn corrupt_answer(mut self) -> Self {
        self.effect.answer = Some(AnswerFault::Corrupted);
        self
    }

    /// The answer carries a correlation id that was not asked with.
    pub fn wrong_correlation_id(mut self) -> Self {
        self.effect.answer = Some(AnswerFault::WrongCorrelation);
        self
    }

    /// The answer claims to be nearly 2 GiB long.
    pub fn oversized_answer(mut self) -> Self {
        self.effect.answer = Some(AnswerFault::Oversized);
        self
    }

    fn matches(&self, trigger: Trigger, node: i32, targets: &[Target]) -> bool {
        let kind = match (self.trigger, trigger) {
            (Trigger::Connect, Trigger::Connect) | (Trigger::Request(None), Trigger::Request(_)) => true,
            (Trigger::Request(a), Trigger::Request(b)) => a == b,
            _ => false,
        };
        kind && self.node.is_none_or(|n| n == node)
            && ((self.topic.is_none() && self.partition.is_none())
                || targets
                    .iter()
                    .any(|t| strikes(self.topic.as_deref(), self.partition, &t.topic, t.partition)))
    }
}

/// A topic, or a partition of one, that a request names.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: Option<i32>,
}

fn strikes(
    rule_topic: Option<&str>,
    rule_partition: Option<i32>,
    topic: &str,
    partition: Option<i32>,
) -> bool {
    rule_topic.is_none_or(|t| t == topic) && rule_partition.is_none_or(|p| partition.is_none_or(|q| p == q))
}

/// An injected fault: how often it struck, and the way to take it back.
///
/// Dropping the handle leaves the fault in force.
#[derive(Clone, Debug)]
pub struct FaultHandle {
    hits: Arc<AtomicU64>,
    removed: Arc<AtomicBool>,
}

impl FaultHandle {
    /// How many requests (or connections) it has met. See also
    /// [`unspent_faults`](super::MockCluster::unspent_faults).
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Acquire)
    }

    /// Takes the fault back; it meets nothing from now on. Idempotent.
    pub fn remove(&self) {
        self.removed.store(true, Ordering::Release);
    }
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    active: Vec<Active>,
}

#[derive(Debug)]
struct Active {
    fault: Fault,
    handle: FaultHandle,
}

impl Faults {
    pub(crate) fn inject(&mut self, fault: Fault) -> FaultHandle {
        let handle =
            FaultHandle { hits: Arc::new(AtomicU64::new(0)), removed: Arc::new(AtomicBool::new(false)) };
        self.active.push(Active { fault, handle: handle.clone() });
        handle
    }

    pub(crate) fn clear(&mut self) {
        self.active.clear();
    }

    /// Those that have met fewer than they were to meet.
    pub(crate) fn unspent(&self) -> Vec<Fault> {
        let waits = |active: &&Active| {
            !active.handle.removed.load(Ordering::Acquire)
                && active.fault.times.map_or_else(|| active.handle.hits() == 0, |left| left > 0)
        };
        self.active.iter().filter(waits).map(|active| active.fault.clone()).collect()
    }

    /// What happens to this request; consumes the faults that say so.
    pub(crate) fn plan(&mut self, api: ApiKey, node: i32, targets: &[Target]) -> Plan {
        let mut plan = Plan::default();
        self.strike(Trigger::Request(Some(api)), node, targets, |fault| plan.add(fault));
        plan
    }

    /// Whether a connection to `node` is to be closed as soon as it is accepted.
    pub(crate) fn refuses_connection(&mut self, node: i32) -> bool {
        let mut refused = false;
        self.strike(Trigger::Connect, node, &[], |_| refused = true);
        refused
    }

    fn strike(&mut self, trigger: Trigger, node: i32, targets: &[Target], mut effect: impl FnMut(&Fault)) {
        self.active.retain_mut(|active| {
            if active.handle.removed.load(Ordering::Acquire) || active.fault.times == Some(0) {
                return false;
            }
            if !active.fault.matches(trigger, node, targets) {
                return true;
            }
            if active.fault.skip > 0 {
                active.fault.skip -= 1;
                return true;
            }
            active.handle.hits.fetch_add(1, Ordering::AcqRel);
            effect(&active.fault);
            active.fault.times = active.fault.times.map(|n| n - 1);
            active.fault.times != Some(0)
        });
    }
}

/// What the faults that met one request add up to.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) delay: Duration,
    pub(crate) throttle: Duration,
    pub(crate) connection: Option<ConnectionFault>,
    pub(crate) answer: Option<AnswerFault>,
    errors: Vec<PlannedError>,
}

/// An error to answer with, and whom it strikes.
#[derive(Clone, Debug)]
pub(crate) struct PlannedError {
    topic: Option<String>,
    partition: Option<i32>,
    when: When,
    pub(crate) code: ErrorCode,
    pub(crate) message: Option<String>,
    pub(crate) record_errors: Vec<(i32, String)>,
}

impl Plan {
    fn add(&mut self, fault: &Fault) {
        let effect = &fault.effect;
        self.delay = self.delay.saturating_add(effect.delay);
        self.throttle = self.throttle.max(effect.throttle);
        self.connection = self.connection.or(effect.connection);
        self.answer = self.answer.or(effect.answer);
        let said = !(effect.message.is_none() && effect.record_errors.is_empty());
        let error = effect.error.or_else(|| said.then_some((When::Before, ErrorCode::INVALID_RECORD)));
        if let Some((when, code)) = error {
            self.errors.push(PlannedError {
                topic: fault.topic.clone(),
                partition: fault.partition,
                when,
                code,
                message: effect.message.clone(),
                record_errors: effect.record_errors.clone(),
            });
        }
    }

    /// The error for a partition, before or after the broker acts on it.
    pub(crate) fn error_for(&self, when: When, topic: &str, partition: Option<i32>) -> Option<&PlannedError> {
        self.errors
            .iter()
            .find(|e| e.when == when && strikes(e.topic.as_deref(), e.partition, topic, partition))
    }

    /// The error for a request that concerns no topic.
    pub(crate) fn error(&self, when: When) -> Option<&PlannedError> {
        self.errors.iter().find(|e| e.when == when)
    }

    /// `throttle_time_ms` of the answer.
    pub(crate) fn throttle_ms(&self) -> i32 {
        i32::try_from(self.throttle.as_millis()).unwrap_or(i32::MAX)
    }
}
