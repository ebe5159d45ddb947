//! What stands in for `parking_lot` and `OnceLock` under the model checker `shuttle`, in their shape.
//!
//! The checker runs all threads of a model on one system thread, one at a time, so what is kept here in `std` cells is
//! never contended. Time stands still: a wait with a deadline ends by itself only after [`pass_time`] has reached it,
//! so a lost wake-up is a deadlock, which the checker reports.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use shuttle::rand::Rng;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::{self, atomic::AtomicBool};
use shuttle::thread::{self, Thread};
use shuttle::{Config, Runner};

/// Runs `model` under as many schedules as `KAFKA_PRODUCER_MODEL_RUNS` says, half of them random and half with few but
/// well-placed preemptions.
pub(crate) fn check(model: impl Fn() + Send + Sync + 'static) {
    let runs = std::env::var("KAFKA_PRODUCER_MODEL_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    let model = Arc::new(model);
    run(RandomScheduler::new(runs), model.clone());
    run(PctScheduler::new(3, runs), model);
}

fn run(scheduler: impl Scheduler + 'static, model: Arc<impl Fn() + Send + Sync + 'static>) {
    let mut config = Config::new();
    config.stack_size = 256 * 1024;
    Runner::new(scheduler, config).run(move || {
        TIME.with(|t| *t.borrow_mut() = Time::default());
        model();
    });
}

/// Lets every deadline up to `at` pass: those who wait for one of these wake.
pub(crate) fn pass_time(at: Instant) {
    let late = TIME.with(|time| {
        let mut time = time.borrow_mut();
        time.passed = time.passed.max(Some(at));
        let (late, early) = std::mem::take(&mut time.waiting).into_iter().partition(|(end, _)| *end <= at);
        time.waiting = early;
        late
    });
    late.into_iter().for_each(|(_, waiter): (Instant, Arc<Waiter>)| {
        waiter.end(LATE);
    });
}

#[derive(Default)]
struct Time {
    passed: Option<Instant>,
    waiting: Vec<(Instant, Arc<Waiter>)>,
}

thread_local! {
    static TIME: RefCell<Time> = RefCell::default();
}

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { lock: self, inner: Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)) }
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let inner = match self.0.try_lock() {
            Ok(guard) => guard,
            Err(sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(sync::TryLockError::WouldBlock) => return None,
        };
        Some(MutexGuard { lock: self, inner: Some(inner) })
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

/// `inner` is `None` only while its thread waits on a [`Condvar`].
pub(crate) struct MutexGuard<'a, T> {
    lock: &'a Mutex<T>,
    inner: Option<sync::MutexGuard<'a, T>>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.inner.as_ref().expect("held")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_mut().expect("held")
    }
}

#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> sync::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> sync::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

const WAITS: u8 = 0;
const NOTIFIED: u8 = 1;
const LATE: u8 = 2;

/// One thread in one wait.
#[derive(Debug)]
struct Waiter {
    thread: Thread,
    woken: AtomicU8,
}

impl Waiter {
    /// Ends the wait, if nobody has.
    fn end(&self, how: u8) -> bool {
        let first = self.woken.compare_exchange(WAITS, how, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if first {
            self.thread.unpark();
        }
        first
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar {
    /// Never held while another thread of the model may go on.
    waiting: std::sync::Mutex<Vec<Arc<Waiter>>>,
}

/// Whether a wait ended by its deadline.
pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self { waiting: std::sync::Mutex::new(Vec::new()) }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Waiter>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.park(guard, None);
    }

    pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, end: Instant) -> WaitTimeoutResult {
        WaitTimeoutResult(self.park(guard, Some(end)) == LATE)
    }

    fn park<T>(&self, guard: &mut MutexGuard<'_, T>, end: Option<Instant>) -> u8 {
        let waiter = Arc::new(Waiter { thread: thread::current(), woken: AtomicU8::new(WAITS) });
        if let Some(end) = end {
            let over = TIME.with(|time| {
                let mut time = time.borrow_mut();
                time.waiting.push((end, waiter.clone()));
                time.passed.is_some_and(|passed| passed >= end)
            });
            if over {
                waiter.woken.store(LATE, Ordering::SeqCst);
            }
        }
        self.waiting().push(waiter.clone());
        guard.inner = None;
        while waiter.woken.load(Ordering::SeqCst) == WAITS {
            thread::park();
        }
        self.waiting().retain(|w| !Arc::ptr_eq(w, &waiter));
        TIME.with(|time| time.borrow_mut().waiting.retain(|(_, w)| !Arc::ptr_eq(w, &waiter)));
        guard.inner = Some(guard.lock.0.lock().unwrap_or_else(PoisonError::into_inner));
        waiter.woken.load(Ordering::SeqCst)
    }

    /// Wakes one of those who wait, any of them.
    pub(crate) fn notify_one(&self) {
        loop {
            let one = {
                let mut waiting = self.waiting();
                if waiting.is_empty() {
                    return;
                }
                let at = shuttle::rand::thread_rng().gen_range(0..waiting.len());
                waiting.swap_remove(at)
            };
            if one.end(NOTIFIED) {
                return;
            }
        }
    }

    pub(crate) fn notify_all(&self) {
        let all = std::mem::take(&mut *self.waiting());
        all.iter().for_each(|waiter| {
            waiter.end(NOTIFIED);
        });
    }
}

/// Looking and setting are points where another thread may go on.
#[derive(Debug)]
pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    step: AtomicBool,
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> OnceLock<T> {
    pub(crate) const fn new() -> Self {
        Self { value: std::sync::OnceLock::new(), step: AtomicBool::new(false) }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.step.load(Ordering::SeqCst);
        self.value.get()
    }

    pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        self.step.store(true, Ordering::SeqCst);
        self.value.get_or_init(init)
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        self.step.store(true, Ordering::SeqCst);
        self.value.set(value)
    }
}
