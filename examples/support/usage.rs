//! What this process has used of the machine, as Linux tells it; elsewhere unknown.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

/// CPU time of all threads, ended ones included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Cpu {
    /// So far, exact to 10 ms.
    pub(crate) fn now() -> Option<Self> {
        // Every architecture that Rust's Linux targets cover reports in hundredths of a second.
        let ticks = |text: &str| text.parse().ok().map(|n: u64| Duration::from_millis(n * 10));
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the program's name in parentheses, and may hold anything.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace().skip(11);
        Some(Self { user: ticks(fields.next()?)?, system: ticks(fields.next()?)? })
    }
}

impl Sub for Cpu {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        Self { user: self.user - earlier.user, system: self.system - earlier.system }
    }
}

/// The most bytes of memory that were resident at once.
pub(crate) fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok().map(|kib: u64| kib * 1024)
}
