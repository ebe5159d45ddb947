//! The limit of a compressed case: as many threads as the machine has processors encode batches and compress them, with the
//! library's own codecs, and throw them away. No client, no checksum, no socket.
//!
//! The threads share the records evenly from the start, and nothing else.

use compare::batches::{DEFAULT_BATCH, Maker};
use compare::{Mode, Options, Payloads, Stopwatch};
use kafka_producer::protocol::record::{BATCH_HEADER_LEN, CompressionType};
use std::io;
use std::ops::Range;
use std::thread;

/// What was made.
#[derive(Default)]
struct Made {
    batches: u64,
    /// As they would be sent.
    bytes: u64,
}

fn make(maker: &mut Maker<'_>, mut range: Range<usize>, limit: usize) -> io::Result<Made> {
    let mut made = Made::default();
    while !range.is_empty() {
        maker.fill(&mut range, limit);
        made.bytes += (BATCH_HEADER_LEN + maker.seal()?.len()) as u64;
        made.batches += 1;
    }
    Ok(made)
}

/// A share of `records` for each maker, on a thread of its own.
fn make_all(makers: &mut [Maker<'_>], records: usize, limit: usize) -> io::Result<Made> {
    let threads = makers.len();
    thread::scope(|scope| {
        let share = |n: usize| records * n / threads..records * (n + 1) / threads;
        let running: Vec<_> = makers
            .iter_mut()
            .enumerate()
            .map(|(n, maker)| scope.spawn(move || make(maker, share(n), limit)))
            .collect();
        running.into_iter().try_fold(Made::default(), |sum, thread| {
            let made = thread.join().expect("no codec panics")?;
            Ok(Made { batches: sum.batches + made.batches, bytes: sum.bytes + made.bytes })
        })
    })
}

fn main() -> io::Result<()> {
    let options = Options::from_args();
    assert_eq!(options.mode, Mode::Throughput, "nothing is waited for here");
    let payloads = Payloads::load(&options);
    let threads = thread::available_parallelism()?.get();
    let mut makers: Vec<_> = (0..threads).map(|_| Maker::new(&options, &payloads)).collect();
    assert_ne!(makers[0].codec(), CompressionType::None, "--compression says which codec");
    let limit = makers[0].steady_limit(options.batch_size.unwrap_or(DEFAULT_BATCH))?;
    make_all(&mut makers, options.warmup, limit)?;
    let watch = Stopwatch::start();
    let made = make_all(&mut makers, options.records, limit)?;
    watch.report_made(&options, made.batches, made.bytes);
    Ok(())
}
