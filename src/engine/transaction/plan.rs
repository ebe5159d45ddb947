//! What comes next in a transaction: one pure function over what is true now.
//!
//! One question at a time is asked about a transaction; data to partitions that are part of it never waits for that.

use super::Protocol;
use super::rules::Ask;
use super::state::State;

/// What is true of the transaction now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) state: State,
    pub(crate) protocol: Protocol,
    /// A new epoch is needed before anything is sent.
    pub(crate) bump: bool,
    /// A coordinator may have something of the transaction.
    pub(crate) touched: bool,
    /// The coordinator has aborted it.
    pub(crate) ended: bool,
    /// Partitions wait for being made part of the transaction.
    pub(crate) wanted: bool,
    pub(crate) offsets: Offsets,
    /// Every batch has its outcome, and no answer is missing.
    pub(crate) quiet: bool,
}

/// The first offsets that are to be committed with the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offsets {
    None,
    /// Their group is not part of the transaction yet.
    NewGroup,
    KnownGroup,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something else has to happen first.
    Rest,
    Ask(Ask),
    /// The transaction has ended, and nobody needs to be told.
    Finish,
    /// The coordinator still knows this producer: the transaction simply failed.
    Settle,
}

pub(crate) fn plan(facts: &Facts) -> Step {
    match facts.state {
        State::Uninitialized | State::Abortable | State::Fatal => Step::Rest,
        State::Initializing => Step::Ask(Ask::Init),
        State::Ready if facts.bump => Step::Ask(Ask::Bump),
        State::Ready => Step::Rest,
        State::Open => grow(facts).map_or(Step::Rest, Step::Ask),
        State::Committing => match grow(facts) {
            Some(ask) => Step::Ask(ask),
            None if !facts.quiet => Step::Rest,
            // Brokers know nothing of an empty transaction.
            None if facts.touched => Step::Ask(Ask::Commit),
            None => Step::Finish,
        },
        State::Aborting => undo(facts).unwrap_or(Step::Finish),
        // Nothing is left but an abort. The coordinator knows whether this producer may still ask for it.
        State::Suspect => undo(facts).unwrap_or(Step::Settle),
    }
}

/// What has to be done before a transaction is aborted.
fn undo(facts: &Facts) -> Option<Step> {
    if !facts.quiet {
        return Some(Step::Rest);
    }
    if facts.touched {
        return Some(Step::Ask(Ask::Abort));
    }
    // What may come late must not land in the next transaction.
    (facts.ended && facts.bump).then_some(Step::Ask(Ask::Bump))
}

/// What has to become part of the transaction.
fn grow(facts: &Facts) -> Option<Ask> {
    let empty = facts.quiet && !facts.wanted && facts.offsets == Offsets::None;
    if facts.bump && !facts.touched {
        return (facts.state == State::Open || !empty).then_some(Ask::Bump);
    }
    if facts.wanted {
        return Some(Ask::AddPartitions);
    }
    match (facts.offsets, facts.protocol) {
        (Offsets::None, _) => None,
        (Offsets::NewGroup, Protocol::V1) => Some(Ask::AddOffsets),
        (Offsets::NewGroup, Protocol::V2) | (Offsets::KnownGroup, _) => Some(Ask::CommitOffsets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Facts = Facts {
        state: State::Open,
        protocol: Protocol::V1,
        bump: false,
        touched: true,
        ended: false,
        wanted: false,
        offsets: Offsets::None,
        quiet: true,
    };

    fn every_fact() -> impl Iterator<Item = Facts> {
        State::ALL.into_iter().flat_map(|state| {
            (0..192u32).map(move |n| Facts {
                state,
                protocol: if n & 1 == 0 { Protocol::V1 } else { Protocol::V2 },
                bump: n & 2 != 0,
                touched: n & 4 != 0,
                wanted: n & 8 != 0,
                quiet: n & 16 != 0,
                ended: n & 32 != 0,
                offsets: [Offsets::None, Offsets::NewGroup, Offsets::KnownGroup][n as usize / 64],
            })
        })
    }

    #[test]
    fn nothing_ends_before_all_of_it_is_there_and_nothing_empty_is_told_to_brokers() {
        for facts in every_fact() {
            let step = plan(&facts);
            let ends = matches!(step, Step::Finish | Step::Ask(Ask::Commit | Ask::Abort));
            if ends {
                assert!(facts.quiet, "{facts:?}");
                assert_eq!(step == Step::Finish, !facts.touched, "{facts:?}");
            }
            if matches!(step, Step::Ask(Ask::Commit)) {
                assert!(!facts.wanted && facts.offsets == Offsets::None, "{facts:?}");
            }
            if matches!(step, Step::Ask(Ask::AddPartitions | Ask::AddOffsets | Ask::CommitOffsets)) {
                assert!(matches!(facts.state, State::Open | State::Committing), "{facts:?}");
                assert!(!facts.bump || facts.touched, "under an epoch that is about to go: {facts:?}");
            }
            // A new epoch in the middle would leave what was sent behind.
            if step == Step::Ask(Ask::Bump) {
                assert!(facts.state == State::Ready || !facts.touched, "{facts:?}");
            }
        }
    }

    #[test]
    fn version_2_adds_no_groups() {
        for facts in every_fact().filter(|f| f.protocol == Protocol::V2) {
            assert_ne!(plan(&facts), Step::Ask(Ask::AddOffsets));
        }
    }

    #[test]
    fn a_commit_waits_for_offsets_and_batches_and_an_empty_one_for_nothing() {
        let committing = Facts { state: State::Committing, ..QUIET };
        assert_eq!(plan(&committing), Step::Ask(Ask::Commit));
        assert_eq!(plan(&Facts { quiet: false, ..committing }), Step::Rest);
        assert_eq!(plan(&Facts { offsets: Offsets::NewGroup, ..committing }), Step::Ask(Ask::AddOffsets));
        assert_eq!(plan(&Facts { touched: false, bump: true, ..committing }), Step::Finish);
        let aborting = Facts { state: State::Aborting, wanted: true, ..QUIET };
        assert_eq!(plan(&aborting), Step::Ask(Ask::Abort));
        assert_eq!(plan(&Facts { touched: false, ..aborting }), Step::Finish);
    }

    #[test]
    fn an_abort_that_leaves_something_in_doubt_raises_the_epoch_before_it_is_over() {
        let aborting = Facts { state: State::Aborting, bump: true, ..QUIET };
        assert_eq!(plan(&aborting), Step::Ask(Ask::Abort));
        let aborted = Facts { touched: false, ended: true, ..aborting };
        assert_eq!(plan(&aborted), Step::Ask(Ask::Bump));
        assert_eq!(plan(&Facts { bump: false, ..aborted }), Step::Finish);
        // No coordinator has heard of it.
        assert_eq!(plan(&Facts { ended: false, ..aborted }), Step::Finish);
    }

    #[test]
    fn a_suspicion_is_settled_by_what_an_abort_asks() {
        for facts in every_fact().filter(|f| f.state == State::Suspect) {
            let expected = match plan(&Facts { state: State::Aborting, ..facts }) {
                Step::Finish => Step::Settle,
                step => step,
            };
            assert_eq!(plan(&facts), expected, "{facts:?}");
        }
    }
}
