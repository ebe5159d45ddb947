//! The crate's only door to locks, condition variables and atomics, so that a model checker can stand in for them.
//!
//! Owns nothing; runs on every thread. `parking_lot` has no poisoning: a thread that dies is noticed by the guard in
//! `driver`, not by whoever takes the lock next. With `--cfg shuttle` the unit tests get [`model`] instead: then every
//! lock, wait and atomic access is a point where the checker may let another thread go on.

#[cfg(all(test, shuttle))]
pub(crate) mod model;

#[cfg(all(test, shuttle))]
pub(crate) use model::{Condvar, Mutex, MutexGuard, OnceLock, RwLock};
#[cfg(not(all(test, shuttle)))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::{sync::atomic, thread_local};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::{
    sync::{OnceLock, atomic},
    thread_local,
};

/// For counters of the whole process, which outlive a model.
pub(crate) use std::sync::atomic::AtomicU64 as ProcessCounter;
pub(crate) use std::sync::{Arc, Weak};
