//! What an answer to a batch means: one pure function over every error code (`java_producer` semantics, KIP-360).
//!
//! Two questions are kept apart: what to do next, and whether this attempt proved that nothing was appended.

use crate::error::ErrorKind;
use crate::protocol::ErrorCode;

/// What came back for one batch of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The broker's code.
    Code(ErrorCode),
    /// The connection closed, or the request timed out.
    Lost,
    /// The response did not mention the partition.
    Omitted,
}

/// What is true of the batch when the answer comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) idempotent: bool,
    /// Epochs are not ours to raise, and what fails fails the transaction.
    pub(crate) transactional: bool,
    /// It can be split.
    pub(crate) several_records: bool,
    /// An earlier attempt ended without proof.
    pub(crate) pinned: bool,
    /// No earlier batch of the partition is without outcome.
    pub(crate) first_in_line: bool,
}

/// Whether an attempt may have appended the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The answer proves that this attempt appended nothing.
    Rejected,
    /// Nobody knows.
    Unknown,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is written, at the offset of the answer.
    Delivered,
    /// It was written by an earlier attempt; the broker does not say where.
    Duplicate,
    /// Send it again. `bump`: under a new epoch, for the broker's sequence and ours differ for good.
    Retry { proof: Proof, bump: bool },
    /// Send it again in parts.
    Split,
    /// Give up. `bump`: the broker refuses this epoch. `fatal`: and every other batch too.
    Fail { kind: ErrorKind, proof: Proof, bump: bool, fatal: bool },
}

/// Judges one answer.
pub(crate) fn judge(answer: Answer, facts: Facts) -> Verdict {
    let code = match answer {
        // Whether to repeat what may be written is the caller's choice, made by `retries`.
        Answer::Lost | Answer::Omitted => return Verdict::Retry { proof: Proof::Unknown, bump: false },
        Answer::Code(code) => code,
    };
    let fail = |kind| Verdict::Fail { kind, proof: proof_of(code), bump: false, fatal: false };
    match code {
        ErrorCode::NONE => Verdict::Delivered,
        ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Verdict::Duplicate,
        // The transaction has a hole: only the next one can be whole.
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER | ErrorCode::UNKNOWN_PRODUCER_ID
            if facts.transactional && facts.first_in_line && !facts.pinned =>
        {
            fail(ErrorKind::Broker)
        }
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER | ErrorCode::UNKNOWN_PRODUCER_ID if facts.idempotent => {
            // Behind an unanswered batch this is only the echo of that one's failure. A pinned batch keeps its stamp:
            // a new one could double what an earlier attempt wrote.
            let bump = facts.first_in_line && !facts.pinned;
            Verdict::Retry { proof: Proof::Rejected, bump }
        }
        ErrorCode::PRODUCER_FENCED if facts.transactional => {
            Verdict::Fail { kind: ErrorKind::Fenced, proof: Proof::Rejected, bump: false, fatal: true }
        }
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED | ErrorCode::INVALID_PRODUCER_ID_MAPPING
            if facts.transactional =>
        {
            let kind = match code {
                ErrorCode::INVALID_PRODUCER_ID_MAPPING => ErrorKind::Broker,
                _ => ErrorKind::Authorization,
            };
            Verdict::Fail { kind, proof: Proof::Rejected, bump: false, fatal: true }
        }
        ErrorCode::INVALID_PRODUCER_EPOCH => {
            let bump = facts.idempotent;
            Verdict::Fail { kind: ErrorKind::Broker, proof: Proof::Rejected, bump, fatal: false }
        }
        ErrorCode::MESSAGE_TOO_LARGE if facts.several_records && !facts.pinned => Verdict::Split,
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => fail(ErrorKind::RecordTooLarge),
        // The same bytes under the same sequence cannot be written twice, so an idempotent producer asks again.
        code if !is_known(code) || code == ErrorCode::UNKNOWN_SERVER_ERROR => {
            if facts.idempotent {
                Verdict::Retry { proof: Proof::Unknown, bump: false }
            } else {
                fail(ErrorKind::Broker)
            }
        }
        ErrorCode::CLUSTER_AUTHORIZATION_FAILED => {
            let fatal = facts.idempotent;
            Verdict::Fail { kind: ErrorKind::Authorization, proof: Proof::Rejected, bump: false, fatal }
        }
        ErrorCode::TOPIC_AUTHORIZATION_FAILED => fail(ErrorKind::Authorization),
        ErrorCode::INVALID_TOPIC_EXCEPTION => fail(ErrorKind::InvalidTopic),
        ErrorCode::UNSUPPORTED_VERSION | ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT => {
            fail(ErrorKind::UnsupportedVersion)
        }
        code if code.is_retriable() => Verdict::Retry { proof: proof_of(code), bump: false },
        _ => fail(ErrorKind::Broker),
    }
}

fn is_known(code: ErrorCode) -> bool {
    ErrorCode::ALL.contains(&code)
}

/// Codes that can come after the append: the leader changed while it waited for replicas, the disk failed, or the
/// broker does not say what happened.
pub(crate) fn proof_of(code: ErrorCode) -> Proof {
    match code {
        ErrorCode::UNKNOWN_SERVER_ERROR
        | ErrorCode::NOT_LEADER_OR_FOLLOWER
        | ErrorCode::REQUEST_TIMED_OUT
        | ErrorCode::NETWORK_EXCEPTION
        | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
        | ErrorCode::KAFKA_STORAGE_ERROR => Proof::Unknown,
        code if !is_known(code) => Proof::Unknown,
        _ => Proof::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Facts = Facts {
        idempotent: false,
        transactional: false,
        several_records: true,
        pinned: false,
        first_in_line: true,
    };
    const IDEMPOTENT: Facts = Facts { idempotent: true, ..PLAIN };

    fn every_fact() -> impl Iterator<Item = Facts> {
        (0..32).map(|bits| Facts {
            idempotent: bits & 17 != 0,
            transactional: bits & 16 != 0,
            several_records: bits & 2 != 0,
            pinned: bits & 4 != 0,
            first_in_line: bits & 8 != 0,
        })
    }

    #[test]
    fn every_code_has_a_verdict_that_keeps_the_rules_of_certainty() {
        for code in (-2..200).map(ErrorCode) {
            for facts in every_fact() {
                let verdict = judge(Answer::Code(code), facts);
                match verdict {
                    Verdict::Delivered => assert_eq!(code, ErrorCode::NONE),
                    Verdict::Duplicate => assert_eq!(code, ErrorCode::DUPLICATE_SEQUENCE_NUMBER),
                    Verdict::Split => assert!(!facts.pinned && facts.several_records, "{code} {facts:?}"),
                    Verdict::Retry { proof, bump } => {
                        assert!(!bump || (facts.idempotent && !facts.pinned && proof == Proof::Rejected));
                        assert!(code.is_retriable() || facts.idempotent, "{code} {facts:?}");
                    }
                    Verdict::Fail { fatal, bump, .. } => assert!(facts.idempotent || !(fatal || bump)),
                }
            }
        }
    }

    #[test]
    fn java_s_retriable_codes_are_retried_and_its_other_codes_fail_without_idempotence() {
        for code in ErrorCode::ALL.iter().copied().filter(|c| c.is_error()) {
            let retried = matches!(judge(Answer::Code(code), PLAIN), Verdict::Retry { .. });
            assert_eq!(retried, code.is_retriable(), "{code}");
        }
    }

    #[test]
    fn the_codes_without_proof_are_those_that_can_follow_an_append() {
        let unknown: Vec<i16> =
            ErrorCode::ALL.iter().filter(|c| proof_of(**c) == Proof::Unknown).map(|c| c.0).collect();
        assert_eq!(unknown, [-1, 6, 7, 13, 20, 56]);
        assert_eq!(proof_of(ErrorCode(9999)), Proof::Unknown);
    }

    #[test]
    fn an_unanswered_batch_is_repeated_and_never_counted_as_rejected() {
        for answer in [Answer::Lost, Answer::Omitted] {
            for facts in every_fact() {
                assert_eq!(judge(answer, facts), Verdict::Retry { proof: Proof::Unknown, bump: false });
            }
        }
    }

    #[test]
    fn a_sequence_error_bumps_only_at_the_head_and_only_if_nothing_is_in_doubt() {
        let code = Answer::Code(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
        let bump = |facts| matches!(judge(code, facts), Verdict::Retry { bump: true, .. });
        assert!(bump(IDEMPOTENT));
        assert!(!bump(Facts { pinned: true, ..IDEMPOTENT }));
        assert!(!bump(Facts { first_in_line: false, ..IDEMPOTENT }));
        assert!(matches!(judge(code, PLAIN), Verdict::Fail { .. }));
    }

    #[test]
    fn in_a_transaction_no_epoch_is_raised_for_a_sequence_and_who_is_fenced_is_finished() {
        let facts = Facts { transactional: true, ..IDEMPOTENT };
        for code in [ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, ErrorCode::UNKNOWN_PRODUCER_ID] {
            let fails =
                |facts| matches!(judge(Answer::Code(code), facts), Verdict::Fail { fatal: false, .. });
            assert!(fails(facts));
            assert!(!fails(Facts { first_in_line: false, ..facts }), "the echo of another one's failure");
        }
        for code in [ErrorCode::PRODUCER_FENCED, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED] {
            assert!(matches!(judge(Answer::Code(code), facts), Verdict::Fail { fatal: true, .. }));
        }
        for code in [
            ErrorCode::INVALID_PRODUCER_EPOCH,
            ErrorCode::INVALID_TXN_STATE,
            ErrorCode::TRANSACTION_ABORTABLE,
        ] {
            assert!(matches!(judge(Answer::Code(code), facts), Verdict::Fail { fatal: false, .. }));
        }
    }

    #[test]
    fn a_batch_too_large_is_split_unless_it_is_one_record_or_in_doubt() {
        let code = Answer::Code(ErrorCode::MESSAGE_TOO_LARGE);
        assert_eq!(judge(code, IDEMPOTENT), Verdict::Split);
        let too_large =
            |facts| matches!(judge(code, facts), Verdict::Fail { kind: ErrorKind::RecordTooLarge, .. });
        assert!(too_large(Facts { several_records: false, ..IDEMPOTENT }));
        assert!(too_large(Facts { pinned: true, ..IDEMPOTENT }));
    }
}
