//! The line protocol of the long-lived JVM that asks Kafka's own clients (`java/Helper.java` is its other end).

use crate::java::Java;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

const HEAP_MB: u32 = 400;
/// A record that Kafka takes fits; a longer frame means that the two ends disagree.
const MAX_FRAME: usize = 256 << 20;

/// One JVM with an admin client, and whatever consumer a request needs. Ends with its stdin.
#[derive(Debug)]
pub(crate) struct Helper {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts the JVM; `bootstrap` need not be up yet.
    pub(crate) fn start(java: &Java, bootstrap: &str, log: &Path) -> Self {
        let stderr = File::create(log).expect("the run's directory is writable");
        let mut command = java.command("Helper", HEAP_MB);
        command.arg(bootstrap).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().expect("java runs");
        let requests = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout is piped");
        Self { child, requests, answers: BufReader::with_capacity(1 << 16, stdout) }
    }

    /// One request and the lines of its answer, or what went wrong on the other side.
    pub(crate) fn ask(&mut self, request: &str) -> Result<Vec<String>, String> {
        self.write(request);
        self.answer()
    }

    /// `read TOPIC` or `read-committed TOPIC`: each record as bytes to `frame`, in a buffer that the next one uses again.
    pub(crate) fn read(&mut self, request: &str, mut frame: impl FnMut(&[u8])) -> Result<(), String> {
        self.write(request);
        let mut bytes = Vec::new();
        loop {
            let mut length = [0; 4];
            self.answers.read_exact(&mut length).expect("the helper answers");
            let length = u32::from_be_bytes(length) as usize;
            assert!(length <= MAX_FRAME, "a frame of {length} bytes");
            if length == 0 {
                return self.answer().map(drop);
            }
            bytes.resize(length, 0);
            self.answers.read_exact(&mut bytes).expect("a whole frame");
            frame(&bytes);
        }
    }

    fn write(&mut self, request: &str) {
        let pipe = self.requests.as_mut().expect("open until dropped");
        pipe.write_all(request.as_bytes()).and_then(|()| pipe.write_all(b"\n")).expect("the helper reads");
        pipe.flush().expect("the helper reads");
    }

    fn answer(&mut self) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = self.answers.read_line(&mut line).expect("the helper answers in UTF-8");
            assert!(read > 0, "the helper's JVM ended; see helper.log");
            let line = line.trim_end();
            if line == "ok" {
                return Ok(lines);
            }
            match (line.strip_prefix("= "), line.strip_prefix("error ")) {
                (Some(text), _) => lines.push(text.to_owned()),
                (None, Some(message)) => return Err(message.to_owned()),
                (None, None) => panic!("unexpected answer: {line}"),
            }
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.requests.take());
        // Killed as well: a JVM that is stuck must not keep the test run.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
