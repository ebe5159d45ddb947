//! The callback thread: user callbacks and interceptor acknowledgements, in order, panics caught.
//!
//! Its queue is bounded by memory: a batch's body comes along and is held until its callbacks have run. A callback that
//! comes after the thread has ended runs on the thread that brings it.

use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use crate::accumulator::{Body, CallbackSink};
use crate::delivery::{PendingCallbacks, enter_callback_thread, run_callback};
use crate::error::{Error, ErrorKind};
use crate::sync::{Arc, Mutex};

enum Job {
    Run(PendingCallbacks, Option<Arc<Body>>),
    /// Says that everything before it has run.
    Barrier(Sender<()>),
    /// Wait for this, then stop behind what has been queued meanwhile.
    Last(Box<dyn FnOnce() + Send>, Sender<Self>),
    Stop,
}

/// The callback thread's handle.
#[derive(Debug)]
pub(crate) struct Callbacks {
    jobs: Sender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Callbacks {
    /// Starts the thread for producer `id`.
    pub(crate) fn start(id: u64) -> Result<Self, Error> {
        // Unbounded in number, bounded by the memory that the batches hold.
        let (jobs, queue) = unbounded();
        let thread = std::thread::Builder::new()
            .name("kafka-callbacks".into())
            .spawn(move || run(id, &queue))
            .map_err(|e| {
                Error::new(ErrorKind::Internal, "cannot start the callback thread").with_source(e)
            })?;
        Ok(Self { jobs, thread: Mutex::new(Some(thread)) })
    }

    /// Where ended batches with callbacks go.
    pub(crate) fn sink(&self) -> CallbackSink {
        let jobs = self.jobs.clone();
        Box::new(move |callbacks, body| {
            // After close the thread is gone; what it cannot take is dropped here, and runs as it is dropped.
            let _ = jobs.send(Job::Run(callbacks, body));
        })
    }

    /// Waits until every callback queued so far has run; `false` if `deadline` came first.
    pub(crate) fn wait(&self, deadline: Instant) -> bool {
        let (done, barrier) = bounded(1);
        // A thread that is gone, or goes while this waits, has run what came before.
        self.jobs.send(Job::Barrier(done)).is_err()
            || !matches!(barrier.recv_deadline(deadline), Err(RecvTimeoutError::Timeout))
    }

    /// Lets the thread end once it has run what is queued, and waits for that until `deadline`. May be called again, and
    /// by several threads: each waits.
    pub(crate) fn stop(&self, deadline: Instant) -> bool {
        let _ = self.jobs.send(Job::Stop);
        let (done, barrier) = bounded(1);
        if self.jobs.send(Job::Barrier(done)).is_ok() {
            // The thread drops its end of the queue, and with it the barrier, as it ends.
            if matches!(barrier.recv_deadline(deadline), Err(RecvTimeoutError::Timeout)) {
                return false;
            }
        }
        let thread = self.thread.lock().take();
        thread.is_none_or(|thread| thread.join().is_ok())
    }

    /// On the callback thread itself, which cannot wait for its own end: it ends once `last` has returned, there, and
    /// what was queued until then has run.
    pub(crate) fn stop_after(&self, last: impl FnOnce() + Send + 'static) {
        let _ = self.jobs.send(Job::Last(Box::new(last), self.jobs.clone()));
    }
}

fn run(id: u64, queue: &Receiver<Job>) {
    enter_callback_thread(id);
    for job in queue {
        match job {
            Job::Run(callbacks, body) => {
                callbacks.run_each(run_callback);
                drop(body);
            }
            Job::Barrier(done) => {
                let _ = done.send(());
            }
            Job::Last(wait, jobs) => {
                wait();
                let _ = jobs.send(Job::Stop);
            }
            Job::Stop => return,
        }
    }
}
