//! What runs in a JVM: class paths through Maven, helpers through `javac`, each once per version of Kafka.
//!
//! The results stay in `target/real-kafka/<version>`; a stamp of the sources they came from says whether they still hold.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

/// A release of Apache Kafka that the suites run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// The newest release.
    V4_3,
    /// The last release of the 3.x line.
    V3_9,
}

impl Version {
    /// As Maven Central knows it.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::V4_3 => "4.3.0",
            Self::V3_9 => "3.9.1",
        }
    }

    /// The class of `DumpLogSegments`, which moved when it was rewritten in Java.
    pub(crate) fn dump_log_segments(self) -> &'static str {
        match self {
            Self::V4_3 => "org.apache.kafka.tools.DumpLogSegments",
            Self::V3_9 => "kafka.tools.DumpLogSegments",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

/// A class path that holds Kafka and the compiled helpers.
#[derive(Clone, Debug)]
pub(crate) struct Java {
    class_path: String,
}

impl Java {
    /// Resolves and compiles what is not there yet.
    ///
    /// Panics if Java or Maven is missing or fails, with what it printed.
    pub(crate) fn prepare(version: Version) -> Self {
        // Two tests of one process must not write the same files at once.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);

        let dir = work_dir().join(version.number());
        let jars = resolve(version, &dir);
        let classes = compile(&jars, &dir);
        Self { class_path: format!("{}{}{jars}", classes.display(), class_path_separator()) }
    }

    /// A JVM about to run `class` with at most `heap_mb` of heap.
    pub(crate) fn command(&self, class: &str, heap_mb: u32) -> Command {
        let mut command = Command::new("java");
        command.arg(format!("-Xmx{heap_mb}m"));
        // Small heaps on few cores: the serial collector starts faster and keeps its threads off the tests' cores.
        command.args(["-XX:+UseSerialGC", "-Djava.awt.headless=true"]);
        command.args([
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.showThreadName=false",
        ]);
        command.arg("-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS");
        command.args(["-cp", &self.class_path, class]);
        command
    }
}

/// Where everything that these tests write lies.
pub(crate) fn work_dir() -> PathBuf {
    // Cargo gives integration tests `<target>/tmp`, wherever the target directory is.
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().unwrap_or(tmp).join("real-kafka")
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_kafka")
}

fn resolve(version: Version, dir: &Path) -> String {
    let pom = sources().join("pom.xml");
    let list = dir.join("classpath.txt");
    let stamp = dir.join("pom.stamp");
    let wanted = fs::read(&pom).expect("tests/real_kafka/pom.xml is there");
    if let (Ok(found), Ok(jars)) = (fs::read(&stamp), fs::read_to_string(&list)) {
        if found == wanted && std::env::split_paths(jars.trim()).all(|jar| jar.exists()) {
            return jars.trim().to_owned();
        }
    }
    fs::create_dir_all(dir).expect("target is writable");
    let mut maven = Command::new("mvn");
    maven.args(["-B", "-q", "-f"]).arg(&pom);
    maven.arg(format!("-Dkafka.version={version}")).arg("dependency:build-classpath");
    maven.arg(format!("-Dmdep.outputFile={}", list.display()));
    run(maven);
    fs::write(&stamp, wanted).expect("target is writable");
    fs::read_to_string(&list).expect("Maven wrote the class path").trim().to_owned()
}

fn compile(jars: &str, dir: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(sources().join("java"))
        .expect("tests/real_kafka/java is there")
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.extension() == Some(OsStr::new("java")))
        .collect();
    files.sort();
    let mut wanted = jars.as_bytes().to_vec();
    for file in &files {
        wanted.extend(fs::read(file).expect("a readable source"));
    }
    let (classes, stamp) = (dir.join("classes"), dir.join("classes.stamp"));
    if fs::read(&stamp).is_ok_and(|found| found == wanted) && classes.is_dir() {
        return classes;
    }
    let mut javac = Command::new("javac");
    javac.args(["-proc:none", "-nowarn", "-cp", jars, "-d"]).arg(&classes).args(&files);
    run(javac);
    fs::write(&stamp, wanted).expect("target is writable");
    classes
}

fn run(mut command: Command) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("cannot run {program} ({e}): the real-Kafka suites need a JDK and Maven"));
    assert!(
        output.status.success(),
        "{program} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn class_path_separator() -> char {
    if cfg!(windows) { ';' } else { ':' }
}
