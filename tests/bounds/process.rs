//! Child processes, and what `/proc` and the allocator say of this one.

#[path = "../shared/eventually.rs"]
mod eventually;

pub(crate) use eventually::eventually;
use kafka_producer::mock::MockCluster;
use kafka_producer::{
    BytesSerializer, KafkaProducer, ProducerConfig, ProducerConfigBuilder, StringSerializer,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

pub(crate) type Producer = KafkaProducer<str, [u8]>;

const CHILD: &str = "KAFKA_PRODUCER_TEST_CHILD";

pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) fn open(config: ProducerConfigBuilder) -> Producer {
    KafkaProducer::new(config.build().unwrap(), StringSerializer, BytesSerializer).unwrap()
}

/// What the parent gave this process on its way, if it is a child.
pub(crate) fn child() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// A producer's configuration for the parent's cluster.
pub(crate) fn config(address: &str) -> ProducerConfigBuilder {
    ProducerConfig::builder(address.split(','))
}

fn again(name: &str, word: &str) -> Command {
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, word);
    again.stdout(Stdio::piped()).stderr(Stdio::inherit());
    again
}

/// Starts test `name` again in a process of its own, where [`child`] is `word`.
pub(crate) fn start(name: &str, word: &str) -> Child {
    again(name, word).spawn().unwrap()
}

/// What the child printed; it must have passed.
#[track_caller]
pub(crate) fn finish(mut child: Child) -> String {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success() && text.contains("1 passed"), "{status}: {text}");
    text
}

/// Runs test `name` in a process of its own against `cluster`.
#[track_caller]
pub(crate) fn run_child(name: &str, cluster: &MockCluster) -> String {
    // A thread that finds no addresses for an allocator of its own shares the one there is.
    let mut child = again(name, &cluster.bootstrap_servers());
    finish(child.env("MALLOC_ARENA_MAX", "1").spawn().unwrap())
}

/// The threads of this process whose names begin so.
pub(crate) fn threads(prefix: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with(prefix)).count()
}

pub(crate) fn open_files() -> usize {
    // One of them is the directory itself.
    std::fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

/// Bytes on the heap.
pub(crate) fn heap() -> usize {
    let stats = crate::GLOBAL.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// A line of `/proc/self/status`, which counts in KiB, in bytes.
pub(crate) fn status(key: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// A shell that changes limits of this process, which may be unable to start one by the time it wants that.
pub(crate) struct Limiter {
    shell: Child,
    done: BufReader<ChildStdout>,
}

impl Limiter {
    pub(crate) fn start() -> Self {
        let script =
            format!("while read -r l; do prlimit --pid {} \"$l\"; echo $?; done", std::process::id());
        let mut sh = Command::new("sh");
        let mut shell =
            sh.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let done = BufReader::new(shell.stdout.take().unwrap());
        Self { shell, done }
    }

    /// The soft limit `what` becomes `value`.
    pub(crate) fn set(&mut self, what: &str, value: &str) {
        writeln!(self.shell.stdin.as_mut().unwrap(), "--{what}={value}:").unwrap();
        let mut answer = String::new();
        self.done.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim(), "0");
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
