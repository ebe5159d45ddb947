//! Errors for tests to inject: the crate makes its own, and nobody else could.

use crate::error::{BoxError, Error, ErrorKind};
use crate::protocol::ErrorCode;

/// An [`Error`] to be made up for a test, for [`MockProducer`](super::MockProducer) to report.
///
/// ```
/// use kafka_producer::mock::MockError;
/// use kafka_producer::{Error, ErrorKind};
///
/// let error: Error = MockError::new(ErrorKind::DeliveryTimeout, "late").may_have_been_written().into();
/// assert!(error.may_have_been_written());
/// ```
#[derive(Clone, Debug)]
#[must_use = "give it to a mock, or turn it into an `Error`"]
pub struct MockError(Error);

impl MockError {
    /// An error of this kind. `Internal` and `Fenced` are fatal.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Error::new(kind, message))
    }

    /// What a broker would have answered.
    pub fn code(self, code: ErrorCode) -> Self {
        Self(self.0.with_code(code))
    }

    /// Nobody knows whether the record was written.
    pub fn may_have_been_written(self) -> Self {
        Self(self.0.with_maybe_written(true))
    }

    /// The same call may succeed later.
    pub fn retriable(self) -> Self {
        Self(self.0.with_retriable(true))
    }

    /// The producer cannot be used any more.
    pub fn fatal(self) -> Self {
        Self(self.0.with_fatal(true))
    }

    /// The transaction can only be aborted.
    pub fn requires_abort(self) -> Self {
        Self(self.0.with_requires_abort(true))
    }

    /// The cause.
    pub fn source(self, source: impl Into<BoxError>) -> Self {
        Self(self.0.with_source(source))
    }
}

impl From<MockError> for Error {
    fn from(error: MockError) -> Self {
        error.0
    }
}
