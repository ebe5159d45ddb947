//! The states of a transactional producer and the one table of moves between them (KIP-98, KIP-360, KIP-1050).
//!
//! Pure: no clock, no lock, no I/O. `port` applies what application threads call, the engine what brokers answered;
//! both only through [`next`].
//!
//! ```text
//! Uninitialized --init--> Initializing --initialized--> Ready --begin--> Open --commit--> Committing --ended--> Ready
//!                                                        ^                |                    |
//!                                                        |                +----- abortable ----+
//!                                                        |                v
//!                                                        |             Abortable --abort--> Aborting
//!                                                        +-------------------- ended ---------+
//!
//! Open, Committing --suspected--> Suspect --settled--> Abortable;  Suspect --abort--> Aborting
//! ```
//! Every state goes to `Fatal` when another producer took over, or a broker says that there is no going on.

/// Where a transactional producer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum State {
    /// No producer id yet.
    Uninitialized = 0,
    Initializing = 1,
    /// Between transactions.
    Ready = 2,
    /// Records and offsets go into a transaction.
    Open = 3,
    /// Its records are awaited, then the coordinator is told.
    Committing = 4,
    Aborting = 5,
    /// Something failed: the transaction can only be aborted.
    Abortable = 6,
    /// Nothing can be done with this producer any more.
    Fatal = 7,
    /// Something failed in a way that another producer with the same id may be the cause of. The coordinator is told to
    /// abort, which it refuses then; until it has answered, calls wait to know which of the two it is.
    Suspect = 8,
}

/// What happens to a transactional producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    // ---- an application's calls
    Init,
    Begin,
    Offsets,
    Commit,
    Abort,
    /// The guard of a transaction was dropped.
    Drop,
    Close,
    // ---- what became of them
    Initialized,
    /// Not initialised, but it may be tried again.
    InitRefused,
    /// The coordinator has committed or aborted.
    Ended,
    /// Something of the transaction failed.
    Failed,
    Fatal,
    /// Something of the transaction failed, perhaps because another producer took over.
    Suspected,
    /// None did.
    Settled,
}

/// What an input does in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    To(State),
    /// It changes nothing.
    Stay,
    /// The same call is under way: wait for its outcome.
    Join,
    /// Wait until what is under way has ended, and try again.
    Wait,
    /// It makes no sense here.
    Refuse(Refusal),
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    InitFirst,
    InitTwice,
    BeginFirst,
    BeginTwice,
    IsCommitting,
    IsAborting,
    /// The error of the transaction is the answer.
    AbortFirst,
    /// The error of the producer is the answer.
    Fatal,
}

impl State {
    pub(crate) const ALL: [Self; 9] = [
        Self::Uninitialized,
        Self::Initializing,
        Self::Ready,
        Self::Open,
        Self::Committing,
        Self::Aborting,
        Self::Abortable,
        Self::Fatal,
        Self::Suspect,
    ];

    /// The inverse of `as u8`.
    pub(crate) fn of(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Fatal)
    }
}

/// The table.
pub(crate) fn next(state: State, input: Input) -> Move {
    use Move::{Join, Refuse, Stay, To, Wait};
    use State::{Abortable, Aborting, Committing, Fatal, Initializing, Open, Ready, Suspect, Uninitialized};
    match (state, input) {
        (Fatal, Input::Init | Input::Begin | Input::Offsets | Input::Commit | Input::Abort) => {
            Refuse(Refusal::Fatal)
        }
        (_, Input::Fatal) => To(Fatal),

        (Uninitialized, Input::Init) => To(Initializing),
        (Initializing, Input::Init) => Join,
        (Ready | Open | Committing | Aborting | Abortable | Suspect, Input::Init) => {
            Refuse(Refusal::InitTwice)
        }

        (Uninitialized | Initializing, Input::Begin | Input::Offsets | Input::Commit | Input::Abort) => {
            Refuse(Refusal::InitFirst)
        }

        (Ready, Input::Begin) => To(Open),
        (Open, Input::Begin) => Refuse(Refusal::BeginTwice),
        (Committing, Input::Begin) => Refuse(Refusal::IsCommitting),
        // A guard that is dropped does not wait; whoever begins next does.
        (Aborting, Input::Begin) => Wait,
        (Abortable, Input::Begin | Input::Offsets | Input::Commit) => Refuse(Refusal::AbortFirst),
        // Until it is known what to say.
        (Suspect, Input::Begin | Input::Offsets | Input::Commit) => Wait,

        (Open, Input::Offsets) => Stay,
        (Ready, Input::Offsets | Input::Commit | Input::Abort) => Refuse(Refusal::BeginFirst),
        (Committing, Input::Offsets) => Refuse(Refusal::IsCommitting),
        (Aborting, Input::Offsets | Input::Commit) => Refuse(Refusal::IsAborting),

        (Open, Input::Commit) => To(Committing),
        (Committing, Input::Commit) => Join,

        (Open | Abortable | Suspect, Input::Abort | Input::Drop | Input::Close) => To(Aborting),
        (Aborting, Input::Abort) => Join,
        // Perhaps it is committed already: an abort would have to lie.
        (Committing, Input::Abort) => Refuse(Refusal::IsCommitting),
        // Nobody waits for it any more.
        (Initializing, Input::Close) => To(Uninitialized),

        (Initializing, Input::Initialized) => To(Ready),
        (Initializing, Input::InitRefused) => To(Uninitialized),
        (Committing | Aborting, Input::Ended) => To(Ready),
        (Open | Committing, Input::Failed) => To(Abortable),
        (Open | Committing, Input::Suspected) => To(Suspect),
        (Suspect, Input::Settled) => To(Abortable),

        (
            Uninitialized | Ready | Committing | Aborting | Fatal | Initializing,
            Input::Drop | Input::Close | Input::Failed,
        )
        | (Abortable | Suspect, Input::Failed)
        | (_, Input::Initialized | Input::InitRefused | Input::Ended | Input::Suspected | Input::Settled) => {
            Stay
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUTS: [Input; 14] = [
        Input::Init,
        Input::Begin,
        Input::Offsets,
        Input::Commit,
        Input::Abort,
        Input::Drop,
        Input::Close,
        Input::Initialized,
        Input::InitRefused,
        Input::Ended,
        Input::Failed,
        Input::Fatal,
        Input::Suspected,
        Input::Settled,
    ];

    /// In the order of [`INPUTS`]. `-` stays, `=` joins, `~` waits, `!` refuses; else the state to go to.
    const TABLE: [(State, &str); 9] = [
        (State::Uninitialized, "Initializing !Init !Init !Init !Init - - - - - - Fatal - -"),
        (State::Initializing, "= !Init !Init !Init !Init - Uninitialized Ready Uninitialized - - Fatal - -"),
        (State::Ready, "!Twice Open !Begin !Begin !Begin - - - - - - Fatal - -"),
        (
            State::Open,
            "!Twice !Twice - Committing Aborting Aborting Aborting - - - Abortable Fatal Suspect -",
        ),
        (State::Committing, "!Twice !Commits !Commits = !Commits - - - - Ready Abortable Fatal Suspect -"),
        (State::Aborting, "!Twice ~ !Aborts !Aborts = - - - - Ready - Fatal - -"),
        (State::Abortable, "!Twice !Abort !Abort !Abort Aborting Aborting Aborting - - - - Fatal - -"),
        (State::Fatal, "!Fatal !Fatal !Fatal !Fatal !Fatal - - - - - - Fatal - -"),
        (State::Suspect, "!Twice ~ ~ ~ Aborting Aborting Aborting - - - - Fatal - Abortable"),
    ];

    fn spelled(step: Move) -> String {
        match step {
            Move::To(state) => format!("{state:?}"),
            Move::Stay => "-".into(),
            Move::Join => "=".into(),
            Move::Wait => "~".into(),
            Move::Refuse(refusal) => {
                let why = match refusal {
                    Refusal::InitFirst => "Init",
                    Refusal::InitTwice | Refusal::BeginTwice => "Twice",
                    Refusal::BeginFirst => "Begin",
                    Refusal::IsCommitting => "Commits",
                    Refusal::IsAborting => "Aborts",
                    Refusal::AbortFirst => "Abort",
                    Refusal::Fatal => "Fatal",
                };
                format!("!{why}")
            }
        }
    }

    #[test]
    fn every_input_in_every_state() {
        assert_eq!(TABLE.map(|(state, _)| state), State::ALL);
        for (state, row) in TABLE {
            let expected: Vec<&str> = row.split(' ').collect();
            assert_eq!(expected.len(), INPUTS.len(), "{state:?}");
            for (input, expected) in INPUTS.into_iter().zip(expected) {
                assert_eq!(spelled(next(state, input)), expected, "{state:?} {input:?}");
            }
        }
    }

    #[test]
    fn what_is_being_committed_is_never_aborted_and_what_is_fatal_stays_so() {
        for input in INPUTS {
            assert_ne!(next(State::Committing, input), Move::To(State::Aborting));
            assert!(!matches!(next(State::Fatal, input), Move::To(s) if s != State::Fatal));
        }
    }

    #[test]
    fn states_survive_being_numbers() {
        assert!(State::ALL.into_iter().all(|state| State::of(state as u8) == state));
        assert_eq!(State::of(200), State::Fatal);
    }
}
