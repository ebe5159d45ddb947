//! The monitor thread: the event listener and periodic reports. There is none if the user set neither.
//!
//! Its queue is bounded, and whoever tells an event does not wait for room. A panic of the user's code is caught and
//! logged; the next event or report comes all the same. It ends with the producer, after the last event, and reports
//! once more then. It counts as a callback thread: what would wait for itself is refused here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, at, bounded, never, select};

use crate::accumulator::RecordAccumulator;
use crate::clock;
use crate::delivery::enter_callback_thread;
use crate::error::{Error, ErrorKind, panic_text};
use crate::metrics::{Event, EventQueue, MetricsSnapshot};
use crate::sync::{Arc, Mutex};

/// Events that wait for the listener at most; more are dropped and counted.
const MAX_EVENTS: usize = 1024;

pub(crate) type Listener = Box<dyn FnMut(&Event) + Send>;

/// A reporter and when it is to be called.
pub(crate) struct Report {
    pub(crate) every: Duration,
    pub(crate) run: Box<dyn FnMut(&MetricsSnapshot) + Send>,
}

/// The monitor thread's handle. Dropping it lets the thread end.
#[derive(Debug)]
pub(crate) struct Monitor {
    stop: Mutex<Option<Sender<()>>>,
    ended: Receiver<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Monitor {
    /// Starts the thread, if there is something for it to do.
    pub(crate) fn start(
        acc: &Arc<RecordAccumulator>,
        listener: Option<Listener>,
        reports: Vec<Report>,
    ) -> Result<Option<Self>, Error> {
        if listener.is_none() && reports.is_empty() {
            return Ok(None);
        }
        let (stop, stopped) = bounded(0);
        let (ending, ended) = bounded(0);
        let events = match &listener {
            Some(_) => {
                let (queue, events) = bounded(MAX_EVENTS);
                acc.metrics.set_events(EventQueue::new(queue));
                events
            }
            None => never(),
        };
        let now = clock::now();
        let reports = reports.into_iter().map(|r| (clock::deadline(now, r.every), r)).collect();
        let watch = Watch { acc: acc.clone(), listener, events, reports, stopped };
        let thread = std::thread::Builder::new()
            .name("kafka-monitor".into())
            .spawn(move || {
                watch.run();
                drop(ending);
            })
            .map_err(|e| Error::new(ErrorKind::Internal, "cannot start the monitor thread").with_source(e))?;
        Ok(Some(Self { stop: Mutex::new(Some(stop)), ended, thread: Mutex::new(Some(thread)) }))
    }

    /// Lets the thread end behind the events that there are, and waits for that; `false` if `deadline` came first.
    pub(crate) fn stop(&self, deadline: Instant) -> bool {
        drop(self.stop.lock().take());
        if matches!(self.ended.recv_deadline(deadline), Err(RecvTimeoutError::Timeout)) {
            return false;
        }
        let thread = self.thread.lock().take();
        thread.is_none_or(|thread| thread.join().is_ok())
    }
}

struct Watch {
    acc: Arc<RecordAccumulator>,
    listener: Option<Listener>,
    events: Receiver<Event>,
    /// With the time of the next.
    reports: Vec<(Instant, Report)>,
    stopped: Receiver<()>,
}

impl Watch {
    fn run(mut self) {
        enter_callback_thread(self.acc.id);
        loop {
            let next = self.reports.iter().map(|(due, _)| *due).min().map_or_else(never, at);
            select! {
                recv(self.events) -> event => {
                    if let Ok(event) = event {
                        self.hear(&event);
                    }
                }
                recv(next) -> _ => self.report(Some(clock::now())),
                recv(self.stopped) -> _ => break,
            }
        }
        while let Ok(event) = self.events.try_recv() {
            self.hear(&event);
        }
        self.report(None);
    }

    fn hear(&mut self, event: &Event) {
        if let Some(listener) = &mut self.listener {
            guarded("the event listener", || listener(event));
        }
    }

    /// Calls the reporters that are due; all of them if the producer ends.
    fn report(&mut self, now: Option<Instant>) {
        let due = |at: Instant| now.is_none_or(|now| at <= now);
        if !self.reports.iter().any(|(at, _)| due(*at)) {
            return;
        }
        let snapshot = self.acc.metrics_snapshot();
        for (at, report) in self.reports.iter_mut().filter(|(at, _)| due(*at)) {
            guarded("a reporter", || (report.run)(&snapshot));
            // From now on, so that a slow reporter is not called again at once.
            *at = clock::deadline(clock::now(), report.every);
        }
    }
}

fn guarded(what: &str, call: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
        let text = panic_text(&*panic);
        log::error!(target: "kafka_producer::monitor", "{what} panicked; ignored: {text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accumulator::Settings;
    use crate::metrics::Metrics;
    use crate::protocol::record::CompressionType;
    use crate::protocol::record::compression::Compression;

    #[test]
    fn no_thread_without_work() {
        let settings = Settings {
            batch_size: 100,
            batch_max_size: 0,
            linger: Duration::ZERO,
            buffer_memory: 1000,
            broker_share: 1.0,
            delivery_timeout: Duration::from_secs(1),
            compression: Compression::new(CompressionType::None),
            adaptive: false,
        };
        let acc = RecordAccumulator::new(settings, Arc::new(Metrics::default()));
        assert!(Monitor::start(&acc, None, Vec::new()).unwrap().is_none());
        acc.metrics.tell(|| unreachable!("nobody listens"));
    }
}
