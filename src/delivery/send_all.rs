//! One handle for many records.

use std::fmt;
use std::time::Duration;

use super::DeliveryFuture;
use crate::clock;
use crate::error::Error;
use crate::record::RecordMetadata;

/// The handle that `send_all` returns: the records that entered, in order.
#[must_use = "call `get()`, or `detach()` to say that the outcomes do not matter"]
#[derive(Debug, Default)]
pub struct SendAll {
    futures: Vec<DeliveryFuture>,
}

impl SendAll {
    pub(crate) fn new(futures: Vec<DeliveryFuture>) -> Self {
        Self { futures }
    }

    /// How many records entered.
    pub fn len(&self) -> usize {
        self.futures.len()
    }

    /// Whether none did.
    pub fn is_empty(&self) -> bool {
        self.futures.is_empty()
    }

    /// Whether every outcome is known. Never blocks.
    pub fn is_done(&self) -> bool {
        self.futures.iter().all(DeliveryFuture::is_done)
    }

    /// Waits for all of them.
    ///
    /// # Blocking
    /// As [`DeliveryFuture::get`], for the slowest record.
    ///
    /// # Errors
    /// Which records failed, and why; the others were acknowledged.
    pub fn get(&self) -> Result<Vec<RecordMetadata>, SendAllError> {
        collect(self.futures.iter().map(DeliveryFuture::get))
    }

    /// Like [`get`](Self::get), but gives up after `timeout`: `None` means that some are still on their way.
    pub fn get_timeout(&self, timeout: Duration) -> Option<Result<Vec<RecordMetadata>, SendAllError>> {
        let deadline = clock::deadline(clock::now(), timeout);
        let results: Option<Vec<_>> = self
            .futures
            .iter()
            .map(|f| f.get_timeout(deadline.saturating_duration_since(clock::now())))
            .collect();
        Some(collect(results?.into_iter()))
    }

    /// Lets go of them: they are sent all the same.
    pub fn detach(self) {}

    /// The handles one by one, in the order of the records.
    pub fn into_futures(self) -> Vec<DeliveryFuture> {
        self.futures
    }
}

fn collect(
    results: impl Iterator<Item = Result<RecordMetadata, Error>>,
) -> Result<Vec<RecordMetadata>, SendAllError> {
    let mut delivered = Vec::with_capacity(results.size_hint().0);
    let mut failures = Vec::new();
    let mut entered = 0;
    for (index, result) in results.enumerate() {
        entered = index + 1;
        match result {
            Ok(metadata) => delivered.push(metadata),
            Err(error) => failures.push((index, error)),
        }
    }
    if failures.is_empty() {
        return Ok(delivered);
    }
    Err(SendAllError { failures, entered, handle: SendAll::default() })
}

/// Some records of a `send_all` failed: which, why, and how many had entered the producer.
#[derive(Debug)]
pub struct SendAllError {
    failures: Vec<(usize, Error)>,
    entered: usize,
    handle: SendAll,
}

impl SendAllError {
    /// The record after `handle`'s did not enter; those behind it were not looked at.
    pub(crate) fn stopped(handle: SendAll, error: Error) -> Self {
        let entered = handle.len();
        Self { failures: vec![(entered, error)], entered, handle }
    }

    /// The failed records by their place in the input, in order, never empty.
    pub fn failures(&self) -> &[(usize, Error)] {
        &self.failures
    }

    /// How many records had entered the producer; they are delivered or fail on their own.
    pub fn entered(&self) -> usize {
        self.entered
    }

    /// The handle of the records that entered, if `send_all` itself failed midway; empty if waiting failed.
    pub fn into_handle(self) -> SendAll {
        self.handle
    }
}

impl fmt::Display for SendAllError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} record(s) failed, {} had entered", self.failures.len(), self.entered)?;
        match self.failures.first() {
            Some((index, error)) => write!(f, "; first: record {index}: {error}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SendAllError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.failures.first().map(|(_, e)| e as _)
    }
}

/// The first failure, so that `?` works where one error is enough.
impl From<SendAllError> for Error {
    fn from(e: SendAllError) -> Self {
        e.failures.into_iter().next().map_or_else(
            || Self::new(crate::error::ErrorKind::Internal, "send_all failed without a failed record"),
            |(_, error)| error,
        )
    }
}
