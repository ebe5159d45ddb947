//! Once a second: what was acknowledged, how long it took, and what the producer's process has; and whether it stays so.

use super::account::Account;
use crate::flames::Kind;
use crate::wait;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much more memory the last third of a run may have than the first.
const GROWTH_KIB: f64 = 8.0 * 1024.0;
/// Seconds.
const LONG_ENOUGH: usize = 900;

/// One second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) acknowledged: u64,
    /// Milliseconds from when a record was due until its callback, of those acknowledged in this second.
    pub(crate) latency: Option<[f64; 2]>,
    pub(crate) resident_kib: u64,
    pub(crate) threads: u64,
    pub(crate) sockets: u64,
    /// The fault that began in this second.
    pub(crate) fault: Option<Kind>,
}

/// All seconds so far.
#[derive(Debug)]
pub(crate) struct Samples {
    begun: AtomicBool,
    over: AtomicBool,
    rows: Mutex<Vec<Row>>,
    fault: Mutex<Option<Kind>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The value below which the share `at` of sorted values lies.
fn quantile<T: Copy>(sorted: &[T], at: f64) -> Option<T> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * at).round() as usize).copied()
}

impl Samples {
    pub(crate) fn new() -> Self {
        let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { begun, over, rows: Mutex::default(), fault: Mutex::default() }
    }

    /// What comes from now on is kept.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn fault(&self, kind: Kind) {
        *lock(&self.fault) = Some(kind);
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        lock(&self.rows).clone()
    }

    /// Looks at `process` once a second until the end.
    pub(crate) fn run(&self, process: u32, account: &Account) {
        let start = wait::now();
        for second in 1.. {
            wait::for_a_while(Duration::from_secs(second).saturating_sub(start.elapsed()));
            let row = self.look(process, account.take_latencies());
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            if self.begun.load(Ordering::Relaxed) {
                lock(&self.rows).push(row);
            }
        }
    }

    fn look(&self, process: u32, mut latencies: Vec<u32>) -> Row {
        latencies.sort_unstable();
        let millis = |at| quantile(&latencies, at).map(|micros| f64::from(micros) / 1000.0);
        let proc = format!("/proc/{process}");
        let status = std::fs::read_to_string(format!("{proc}/status")).unwrap_or_default();
        let number = |key: &str| {
            let text = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            text.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
        };
        let files = std::fs::read_dir(format!("{proc}/fd")).into_iter().flatten().flatten();
        let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        let sockets = links.filter(|link| link.to_string_lossy().starts_with("socket:")).count() as u64;
        Row {
            acknowledged: latencies.len() as u64,
            latency: millis(0.5).zip(millis(0.99)).map(|(p50, p99)| [p50, p99]),
            resident_kib: number("VmRSS"),
            threads: number("Threads"),
            // Both handles of the line to this test are none of the producer's.
            sockets: sockets.saturating_sub(2),
            fault: lock(&self.fault).take(),
        }
    }

    pub(crate) fn csv(&self) -> String {
        let mut text =
            "second,acknowledged,p50_ms,p99_ms,resident_kib,threads,sockets,fault_begins\n".to_owned();
        for (second, row) in lock(&self.rows).iter().enumerate() {
            let [p50, p99] = row.latency.map_or_else(Default::default, |l| l.map(|ms| format!("{ms:.2}")));
            let fault = row.fault.map(|kind| kind.to_string().replace(',', "")).unwrap_or_default();
            let Row { acknowledged, resident_kib, threads, sockets, .. } = row;
            let _ = writeln!(
                text,
                "{second},{acknowledged},{p50},{p99},{resident_kib},{threads},{sockets},{fault}"
            );
        }
        text
    }

    /// By what: its median, or mean, in the first, second and last third of the run.
    fn thirds(&self) -> Vec<(&'static str, [f64; 3])> {
        let rows = lock(&self.rows);
        let third = rows.len().div_ceil(3).max(1);
        let median = |of: &dyn Fn(&Row) -> Option<f64>| {
            let mut medians = [0.0; 3];
            for (part, median) in rows.chunks(third).zip(&mut medians) {
                let mut values: Vec<f64> = part.iter().filter_map(of).collect();
                values.sort_by(f64::total_cmp);
                *median = quantile(&values, 0.5).unwrap_or_default();
            }
            medians
        };
        let mut rate = [0.0; 3];
        for (part, rate) in rows.chunks(third).zip(&mut rate) {
            *rate = part.iter().map(|row| row.acknowledged as f64).sum::<f64>() / part.len() as f64;
        }
        vec![
            ("records/s, mean", rate),
            ("p50, ms", median(&|row| Some(row.latency?[0]))),
            ("p99, ms", median(&|row| Some(row.latency?[1]))),
            ("resident, KiB", median(&|row| Some(row.resident_kib as f64))),
            ("threads", median(&|row| Some(row.threads as f64))),
            ("sockets", median(&|row| Some(row.sockets as f64))),
        ]
    }

    pub(crate) fn print(&self) {
        println!("| median | first third | second | last |");
        for (what, [first, second, last]) in self.thirds() {
            println!("| {what} | {first:.2} | {second:.2} | {last:.2} |");
        }
        let rows = lock(&self.rows);
        let most = |of: fn(&Row) -> u64| rows.iter().map(of).max().unwrap_or_default();
        let (resident, threads, sockets) =
            (most(|row| row.resident_kib), most(|row| row.threads), most(|row| row.sockets));
        println!("at most: {resident} KiB resident, {threads} threads, {sockets} sockets");
    }

    /// Nothing grows from the first third to the last, if they are long enough to hold all sorts of faults. Latency is the
    /// machine's as much as the producer's: it is shown.
    pub(crate) fn assert_flat(&self) {
        if lock(&self.rows).len() < LONG_ENOUGH {
            return;
        }
        for (what, [first, _, last]) in self.thirds() {
            let flat = match what {
                "records/s, mean" => last > first * 0.95,
                "resident, KiB" => last < first + GROWTH_KIB,
                "threads" | "sockets" => last <= first + 2.0,
                _ => true,
            };
            assert!(flat, "{what}: from {first} to {last}");
        }
    }
}
