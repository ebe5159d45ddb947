//! Random numbers for a run, and running many of them.

use super::world::{Net, ms};
use crate::engine::backoff::Rng;

/// Numbers from a seed that the world does not share.
pub(super) struct Dice(Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0.next() % n.max(1)
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    pub(super) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// A network of any quality.
    pub(super) fn net(&mut self) -> Net {
        Net {
            latency: self.pick(&[(100, 900), (500, 20_000)]),
            slow: self.pick(&[0, 5, 30]),
            slow_by: ms(self.pick(&[50, 400, 1500])),
            connect_fails: self.pick(&[0, 100]),
            connect_hangs: self.pick(&[0, 100]),
            cuts: self.pick(&[0, 5, 30]),
            zombies: self.one_in(2),
        }
    }
}

/// To what batches grow in a seed's run, in every other one. Not from its dice: the other runs are what they have always
/// been, and so are the defects that they have found.
pub(super) fn growth(seed: u64, batch_size: usize) -> usize {
    let mut dice = Dice::new(seed ^ 0x67_726f_7774);
    if dice.one_in(2) { 0 } else { batch_size * dice.between(2, 16) as usize }
}

/// A number in the environment.
pub(super) fn number(key: &str) -> Option<u64> {
    std::env::var(key).ok()?.parse().ok()
}

/// Runs a seed, and says everything that happened if asked to.
pub(super) type Run = fn(u64, bool) -> (Result<(), String>, Vec<String>);

/// Runs as many seeds as the environment says, or the one that it names; fails with the story of the first that fails.
pub(super) fn run_seeds(name: &str, usual: u64, run: Run) {
    if let Some(seed) = number("KAFKA_PRODUCER_SIM_SEED") {
        let (result, trace) = run(seed, true);
        trace.iter().for_each(|line| println!("{line}"));
        return result.unwrap();
    }
    let seeds = number("KAFKA_PRODUCER_SIM_SEEDS").unwrap_or(usual);
    let from = number("KAFKA_PRODUCER_SIM_FROM").unwrap_or(0);
    let threads = 2;
    let failed: Vec<(u64, String)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|n| {
                let mine = (from + n..from + seeds).step_by(threads as usize);
                let failing = move |seed| Some((seed, run(seed, false).0.err()?));
                scope.spawn(move || mine.filter_map(failing).take(20).collect::<Vec<_>>())
            })
            .collect();
        workers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    for (seed, problem) in failed.iter().skip(1) {
        println!("seed {seed}: {problem}");
    }
    if let Some((seed, problem)) = failed.first() {
        tell(name, *seed, problem, run);
    }
    assert!(failed.is_empty(), "{} seeds failed", failed.len());
}

fn tell(name: &str, seed: u64, problem: &str, run: Run) {
    let (again, trace) = run(seed, true);
    let cut = trace.len().saturating_sub(80);
    for line in trace.iter().take(1).chain(trace.iter().skip(cut.max(1))) {
        println!("{line}");
    }
    println!("seed {seed}: {problem}");
    println!(
        "KAFKA_PRODUCER_SIM_SEED={seed} cargo test --lib engine::tests::{name} -- --nocapture   (again: {again:?})"
    );
}
