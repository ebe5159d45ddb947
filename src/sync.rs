//! The crate's only door to locks, condition variables and atomics, so that a model checker can stand in for them.
//!
//! Owns nothing; runs on every thread. `parking_lot` has no poisoning: a thread that dies is noticed by the guard in
//! `driver`, not by whoever takes the lock next.

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
pub(crate) use std::sync::atomic;
pub(crate) use std::sync::{Arc, OnceLock, Weak};
