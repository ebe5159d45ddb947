//! Sealing: compressing a closed batch, once, outside every lock.
//!
//! Runs on the sender thread or, when that is behind, on the application thread that just closed a batch. One lock, a
//! leaf, around the list of idle compressors: there is one per core, and whoever gets none does not compress. It must
//! not know queues.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::batch::{Batch, ClosedBatch};
use crate::error::{Error, ErrorKind};
use crate::protocol::record::CodecError;
use crate::protocol::record::compression::{Compression, Compressor};
use crate::sync::Mutex;

/// A codec's state and the buffer it writes into.
#[derive(Default)]
struct Workbench {
    compressor: Compressor,
    out: Vec<u8>,
    /// Why the last batch goes out as it is. Logged when the batch has its place again: a logger may flush.
    complaint: Option<CodecError>,
}

impl Workbench {
    fn report(complaint: Option<CodecError>) {
        if let Some(error) = complaint {
            log::warn!(target: "kafka_producer::accumulator", "sent uncompressed: {error}");
        }
    }
}

/// A sealed batch, or one to be failed with this error.
pub(super) type Sealed = Result<Batch, (Batch, Error)>;

pub(crate) struct Sealer {
    compression: Compression,
    /// The sender's own, so that it never has to do without.
    sender: Mutex<Workbench>,
    /// One for each other core: the tickets of application threads.
    idle: Mutex<Vec<Workbench>>,
    #[cfg(test)]
    pub(super) panic_next: crate::sync::atomic::AtomicBool,
}

impl Sealer {
    pub(crate) fn new(compression: Compression, cores: usize) -> Self {
        let mut idle = Vec::new();
        if compression.compresses() {
            idle.resize_with(cores.saturating_sub(1).max(1), Workbench::default);
        }
        Self {
            compression,
            sender: Mutex::new(Workbench::default()),
            idle: Mutex::new(idle),
            #[cfg(test)]
            panic_next: crate::sync::atomic::AtomicBool::new(false),
        }
    }

    /// Whether there is anything to do.
    #[inline]
    pub(crate) fn compresses(&self) -> bool {
        self.compression.compresses()
    }

    /// Sender thread.
    pub(super) fn seal(&self, batch: ClosedBatch) -> Sealed {
        if !self.compresses() {
            return Ok(batch.into_batch());
        }
        // Uncontended: only the sender comes here.
        let mut bench = std::mem::take(&mut *self.sender.lock());
        let sealed = self.run(batch, &mut bench);
        let complaint = bench.complaint.take();
        *self.sender.lock() = bench;
        Workbench::report(complaint);
        sealed
    }

    /// Application thread: `work` gets a closed batch compressed if a core is free for it.
    pub(super) fn try_help(&self, work: impl FnOnce(&mut dyn FnMut(ClosedBatch) -> Sealed)) {
        let Some(mut bench) = self.idle.lock().pop() else { return };
        work(&mut |batch| self.run(batch, &mut bench));
        let complaint = bench.complaint.take();
        self.idle.lock().push(bench);
        Workbench::report(complaint);
    }

    /// A codec that fails costs its ratio, not the batch: it goes out as it is. One that panics costs the batch.
    fn run(&self, batch: ClosedBatch, bench: &mut Workbench) -> Sealed {
        let codec = self.compression.codec();
        bench.out.clear();
        let Workbench { compressor, out, .. } = bench;
        let compressed = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(test)]
            assert!(!self.panic_next.swap(false, crate::sync::atomic::Ordering::SeqCst), "a codec's defect");
            compressor.compress(self.compression, batch.slices(), out)
        }));
        match compressed {
            Ok(Ok(())) => Ok(batch.seal(codec, &bench.out)),
            Ok(Err(error)) => {
                bench.complaint = Some(error);
                Ok(batch.into_batch())
            }
            Err(_) => {
                *bench = Workbench::default();
                let message = format!("the {codec} codec panicked; the batch was dropped");
                Err((batch.into_batch(), Error::new(ErrorKind::Internal, message).with_fatal(false)))
            }
        }
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("compression", &self.compression).finish_non_exhaustive()
    }
}
