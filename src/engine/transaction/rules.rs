//! What an error code means in the answer to each question about a transaction: one pure function (KIP-98, KIP-360,
//! KIP-890, KIP-1050). What it means for a produced batch is in `verdict`.
//!
//! Every question may be asked again: coordinators recognise a repeat, or lose nothing by it. So a code that says nothing
//! is a reason to repeat, not to guess.

use crate::error::{Error, ErrorKind};
use crate::protocol::ErrorCode;

/// What is asked of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    /// Who coordinates the transactional id.
    FindTransaction,
    /// Who coordinates the consumer group.
    FindGroup,
    /// A producer id.
    Init,
    /// The next epoch of the producer id.
    Bump,
    AddPartitions,
    AddOffsets,
    CommitOffsets,
    Commit,
    Abort,
}

/// What to do about an answer. Ordered: of several in one answer the last holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reaction {
    Done,
    /// Ask again after `retry.backoff.ms`.
    Retry,
    /// Ask again after milliseconds: another transaction of ours is about to end.
    RetrySoon,
    /// Ask for the coordinator, then again.
    Rediscover,
    /// There is nothing to abort.
    NothingThere,
    /// Producer ids are refused for now: the caller of `init_transactions` may try again.
    RefuseInit,
    /// The transaction can only be aborted.
    Fail,
    /// The producer cannot go on.
    Fatal,
}

/// The table. `certain`: the coordinator is known to have something of the transaction.
pub(crate) fn react(ask: Ask, code: ErrorCode, certain: bool) -> Reaction {
    use Ask::{Abort, AddOffsets, AddPartitions, Bump, Commit, CommitOffsets, FindTransaction, Init};
    match (code, ask) {
        (ErrorCode::NONE, _) => Reaction::Done,
        (ErrorCode::NOT_COORDINATOR, _) | (ErrorCode::COORDINATOR_NOT_AVAILABLE, _) => Reaction::Rediscover,
        // The group's log did not take it: its leader may have moved.
        (ErrorCode::REQUEST_TIMED_OUT, CommitOffsets) => Reaction::Rediscover,
        (ErrorCode::CONCURRENT_TRANSACTIONS, _) => Reaction::RetrySoon,

        (ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH, _) => Reaction::Fatal,
        (
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED | ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
            Init | FindTransaction,
        ) => Reaction::RefuseInit,
        (ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED | ErrorCode::CLUSTER_AUTHORIZATION_FAILED, _) => {
            Reaction::Fatal
        }

        (ErrorCode::INVALID_TXN_STATE | ErrorCode::UNKNOWN_PRODUCER_ID, Abort) if !certain => {
            Reaction::NothingThere
        }
        (ErrorCode::UNKNOWN_PRODUCER_ID, Abort) => Reaction::NothingThere,
        (ErrorCode::UNKNOWN_PRODUCER_ID, AddPartitions | AddOffsets | CommitOffsets | Commit) => {
            Reaction::Fail
        }
        (ErrorCode::INVALID_TXN_STATE, CommitOffsets) => Reaction::Fail,

        (ErrorCode::TRANSACTION_ABORTABLE, Init | FindTransaction) => Reaction::RefuseInit,
        // An abort that can only be aborted would go on for ever.
        (ErrorCode::TRANSACTION_ABORTABLE, Abort | Bump) => Reaction::Fatal,
        (ErrorCode::TRANSACTION_ABORTABLE, _) => Reaction::Fail,

        (code, _) if code.is_retriable() || code == ErrorCode::UNKNOWN_SERVER_ERROR || !is_known(code) => {
            Reaction::Retry
        }
        // Others of the same request are the reason; they say what to do.
        (ErrorCode::OPERATION_NOT_ATTEMPTED, AddPartitions) => Reaction::Retry,
        (
            ErrorCode::INVALID_PRODUCER_ID_MAPPING
            | ErrorCode::INVALID_TXN_STATE
            | ErrorCode::INVALID_TRANSACTION_TIMEOUT
            | ErrorCode::UNSUPPORTED_VERSION
            | ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
            _,
        ) => Reaction::Fatal,
        (_, Init | Bump | Commit | Abort | FindTransaction) => Reaction::Fatal,
        // The topic, the group, its member or its offsets are not in order: another transaction may do without.
        (_, AddPartitions | AddOffsets | CommitOffsets | Ask::FindGroup) => Reaction::Fail,
    }
}

fn is_known(code: ErrorCode) -> bool {
    ErrorCode::ALL.contains(&code)
}

impl Ask {
    /// As Kafka calls the request.
    fn request(self) -> &'static str {
        match self {
            Self::FindTransaction | Self::FindGroup => "FindCoordinator",
            Self::Init | Self::Bump => "InitProducerId",
            Self::AddPartitions => "AddPartitionsToTxn",
            Self::AddOffsets => "AddOffsetsToTxn",
            Self::CommitOffsets => "TxnOffsetCommit",
            Self::Commit | Self::Abort => "EndTxn",
        }
    }

    /// A code as an error for people, with what can be done about it.
    pub(crate) fn error(self, code: ErrorCode, id: &str, about: &str) -> Error {
        let kind = match code {
            ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH => ErrorKind::Fenced,
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
            | ErrorCode::GROUP_AUTHORIZATION_FAILED
            | ErrorCode::TOPIC_AUTHORIZATION_FAILED => ErrorKind::Authorization,
            ErrorCode::UNSUPPORTED_VERSION => ErrorKind::UnsupportedVersion,
            ErrorCode::INVALID_TRANSACTION_TIMEOUT => ErrorKind::Config,
            _ => ErrorKind::Broker,
        };
        let advice = match code {
            ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH => {
                "; another producer with this id took over, or a transaction outlived transaction.timeout.ms: close \
                 this producer"
            }
            ErrorCode::INVALID_TRANSACTION_TIMEOUT => {
                "; transaction.timeout.ms must not be above transaction.max.timeout.ms of the brokers"
            }
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED => {
                "; grant WRITE and DESCRIBE on the transactional id"
            }
            ErrorCode::GROUP_AUTHORIZATION_FAILED => "; grant READ on the group",
            ErrorCode::TOPIC_AUTHORIZATION_FAILED => "; grant WRITE on the topic",
            ErrorCode::INVALID_PRODUCER_ID_MAPPING => {
                "; the brokers have forgotten the id (transactional.id.expiration.ms): open a new producer"
            }
            ErrorCode::ILLEGAL_GENERATION
            | ErrorCode::UNKNOWN_MEMBER_ID
            | ErrorCode::FENCED_INSTANCE_ID
            | ErrorCode::STALE_MEMBER_EPOCH => {
                "; the consumer has lost its partitions: abort, and read from the committed offsets"
            }
            _ => "",
        };
        let request = self.request();
        let text = format!(
            "transactional.id {id}: {request} refused{about}: {code}, {}{advice}",
            code.description()
        );
        Error::new(kind, text).with_code(code).with_retriable(code.is_retriable())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKS: [Ask; 9] = [
        Ask::FindTransaction,
        Ask::FindGroup,
        Ask::Init,
        Ask::Bump,
        Ask::AddPartitions,
        Ask::AddOffsets,
        Ask::CommitOffsets,
        Ask::Commit,
        Ask::Abort,
    ];

    fn all() -> impl Iterator<Item = (Ask, ErrorCode, bool, Reaction)> {
        ASKS.into_iter().flat_map(|ask| {
            (-2..200).map(ErrorCode).flat_map(move |code| {
                [false, true].into_iter().map(move |c| (ask, code, c, react(ask, code, c)))
            })
        })
    }

    #[test]
    fn every_code_has_a_reaction_that_keeps_the_rules() {
        for (ask, code, certain, reaction) in all() {
            let what = format!("{ask:?} {code} {certain}: {reaction:?}");
            assert_eq!(reaction == Reaction::Done, code == ErrorCode::NONE, "{what}");
            if code.is_retriable() || !is_known(code) || code == ErrorCode::UNKNOWN_SERVER_ERROR {
                let again = [Reaction::Retry, Reaction::RetrySoon, Reaction::Rediscover];
                assert!(again.contains(&reaction), "nothing is known, so ask again: {what}");
            }
            match reaction {
                Reaction::RefuseInit => {
                    assert!(matches!(ask, Ask::Init | Ask::FindTransaction), "{what}");
                }
                Reaction::NothingThere => assert_eq!(ask, Ask::Abort, "{what}"),
                // What is being aborted cannot be aborted.
                Reaction::Fail => {
                    assert!(
                        !matches!(ask, Ask::Abort | Ask::Bump | Ask::Init | Ask::FindTransaction),
                        "{what}"
                    );
                }
                _ => {}
            }
        }
    }

    #[test]
    fn who_is_fenced_hears_it_from_every_request() {
        for (ask, code, _, reaction) in all() {
            if matches!(code, ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH) {
                assert_eq!(reaction, Reaction::Fatal);
                let error = ask.error(code, "id", "");
                assert!(error.kind() == ErrorKind::Fenced && error.is_fatal());
            }
        }
    }

    #[test]
    fn the_rules_that_differ_by_request() {
        use ErrorCode as C;
        let rules = [
            (Ask::Init, C::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Reaction::RefuseInit),
            (Ask::Bump, C::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Reaction::Fatal),
            (Ask::Commit, C::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Reaction::Fatal),
            (Ask::Init, C::INVALID_TRANSACTION_TIMEOUT, Reaction::Fatal),
            (Ask::Commit, C::TRANSACTION_ABORTABLE, Reaction::Fail),
            (Ask::Abort, C::TRANSACTION_ABORTABLE, Reaction::Fatal),
            (Ask::AddPartitions, C::TOPIC_AUTHORIZATION_FAILED, Reaction::Fail),
            (Ask::AddPartitions, C::UNKNOWN_TOPIC_OR_PARTITION, Reaction::Retry),
            (Ask::AddPartitions, C::OPERATION_NOT_ATTEMPTED, Reaction::Retry),
            (Ask::AddPartitions, C::INVALID_PRODUCER_ID_MAPPING, Reaction::Fatal),
            (Ask::AddPartitions, C::CONCURRENT_TRANSACTIONS, Reaction::RetrySoon),
            (Ask::AddOffsets, C::GROUP_AUTHORIZATION_FAILED, Reaction::Fail),
            (Ask::CommitOffsets, C::ILLEGAL_GENERATION, Reaction::Fail),
            (Ask::CommitOffsets, C::UNKNOWN_MEMBER_ID, Reaction::Fail),
            (Ask::CommitOffsets, C::FENCED_INSTANCE_ID, Reaction::Fail),
            (Ask::CommitOffsets, C::REQUEST_TIMED_OUT, Reaction::Rediscover),
            (Ask::CommitOffsets, C::UNSUPPORTED_FOR_MESSAGE_FORMAT, Reaction::Fatal),
            (Ask::Commit, C::INVALID_TXN_STATE, Reaction::Fatal),
            (Ask::Commit, C::UNKNOWN_PRODUCER_ID, Reaction::Fail),
            (Ask::Commit, C::UNKNOWN_SERVER_ERROR, Reaction::Retry),
            (Ask::Abort, C::UNKNOWN_PRODUCER_ID, Reaction::NothingThere),
            (Ask::Abort, C::INVALID_TXN_STATE, Reaction::Fatal),
            (Ask::FindGroup, C::GROUP_AUTHORIZATION_FAILED, Reaction::Fail),
            (Ask::Init, C::COORDINATOR_LOAD_IN_PROGRESS, Reaction::Retry),
            (Ask::Commit, C::NOT_COORDINATOR, Reaction::Rediscover),
        ];
        for (ask, code, reaction) in rules {
            assert_eq!(react(ask, code, true), reaction, "{ask:?} {code}");
        }
        assert_eq!(react(Ask::Abort, C::INVALID_TXN_STATE, false), Reaction::NothingThere);
    }
}
