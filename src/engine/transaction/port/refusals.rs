//! Why a call is refused or has no outcome, in words.
//!
//! Runs on whichever thread calls, under the port's lock. Decides nothing: the table in `state` does.

use super::super::state::{Input, Refusal, State};
use super::{Inner, name};
use crate::error::{Error, ErrorKind};

impl Inner {
    /// Whether no other call is under way, and there is an engine to do what is asked.
    pub(super) fn check_free(&self, input: Input) -> Result<(), Error> {
        if self.state == State::Fatal {
            return Err(self.refused(name(input), Refusal::Fatal));
        }
        if let Some(error) = &self.stopped {
            return Err(if input == Input::Commit { self.left_behind(error) } else { error.clone() });
        }
        let Some(slot) = &self.slot else { return Ok(()) };
        let under_way = slot.call.name();
        let message = if slot.waited {
            format!("{} while another thread is in {under_way}", name(input))
        } else {
            format!("{}: {under_way} timed out, call it again until it says what became of it", name(input))
        };
        Err(Error::new(ErrorKind::Misuse, message))
    }

    pub(super) fn refused(&self, what: &str, refusal: Refusal) -> Error {
        let misuse = |text: &str| Error::new(ErrorKind::Misuse, format!("{what}: {text}"));
        match refusal {
            Refusal::InitFirst => misuse("call init_transactions() first"),
            Refusal::InitTwice => misuse("transactions are initialised already; call begin_transaction()"),
            Refusal::BeginFirst => misuse("no transaction is open; call begin_transaction() first"),
            Refusal::BeginTwice => {
                misuse("a transaction is open already; commit_transaction() or abort_transaction() ends it")
            }
            Refusal::IsCommitting => misuse(
                "the transaction is being committed; only commit_transaction() says what becomes of it",
            ),
            Refusal::IsAborting => {
                misuse("the transaction is being aborted; begin_transaction() waits for its end")
            }
            Refusal::AbortFirst => self.abort_first(what),
            Refusal::Fatal => {
                let unknown = || Error::new(ErrorKind::Internal, "the producer cannot go on");
                self.error.clone().unwrap_or_else(unknown)
            }
        }
    }

    fn abort_first(&self, what: &str) -> Error {
        let text = match self.failed_records {
            0 => format!("{what}: the transaction failed; call abort_transaction()"),
            n => format!("{what}: {n} record(s) of the transaction failed; call abort_transaction()"),
        };
        let text = match self.state {
            State::Suspect => text + ", which says whether another producer took over",
            _ => text,
        };
        let error =
            Error::new(ErrorKind::TransactionAbortable, text).with_failed_records(self.failed_records);
        let Some(cause) = &self.error else { return error };
        let error = match cause.code() {
            Some(code) => error.with_code(code),
            None => error,
        };
        let error = match cause.topic_partition() {
            Some(tp) => error.with_topic_partition(tp.clone()),
            None => error,
        };
        error.with_source(cause.clone())
    }

    pub(super) fn timed_out(&self, message: String) -> Error {
        let error = Error::new(ErrorKind::Timeout, message).with_retriable(true);
        match &self.trouble {
            Some(trouble) => error.with_source(trouble.clone()),
            None => error,
        }
    }

    /// Why a commit has no outcome: the coordinator may have been told to commit when the engine went.
    pub(super) fn left_behind(&self, error: &Error) -> Error {
        let error = error.clone();
        if self.state == State::Committing { error.with_maybe_written(true) } else { error }
    }
}
