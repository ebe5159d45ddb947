//! Reads a command line in the manner of Kafka's tools: `--flag value` or `--flag=value`.

#![allow(dead_code, reason = "no example needs all of it")]

use std::error::Error;
use std::iter::Peekable;
use std::process::ExitCode;
use std::str::FromStr;

/// The command line, read from left to right.
pub(crate) struct Args {
    rest: Peekable<std::vec::IntoIter<String>>,
    flag: String,
    /// What followed the `=` of the flag.
    attached: Option<String>,
}

impl Args {
    /// The next flag, without a value that is attached to it.
    pub(crate) fn next_flag(&mut self) -> Result<Option<String>, String> {
        if let Some(value) = self.attached.take() {
            return Err(format!("{} takes no value, and was given {value:?}", self.flag));
        }
        let Some(word) = self.rest.next() else { return Ok(None) };
        if !word.starts_with("--") {
            return Err(format!("{word:?} is no option"));
        }
        self.flag = match word.split_once('=') {
            Some((flag, value)) => {
                self.attached = Some(value.to_owned());
                flag.to_owned()
            }
            None => word,
        };
        Ok(Some(self.flag.clone()))
    }

    /// The flag's value.
    pub(crate) fn value(&mut self) -> Result<String, String> {
        let value = self.attached.take().or_else(|| self.rest.next());
        value.ok_or_else(|| format!("{} needs a value", self.flag))
    }

    /// The flag's value, unless the next word is a flag too.
    pub(crate) fn optional_value(&mut self) -> Option<String> {
        self.attached.take().or_else(|| self.rest.next_if(|word| !word.starts_with("--")))
    }

    /// The flag's value as a number, or whatever else `T` reads.
    pub(crate) fn number<T: FromStr>(&mut self) -> Result<T, String> {
        let text = self.value()?;
        text.parse().map_err(|_| format!("{}: {text:?} is not a number it can take", self.flag))
    }

    /// The flag's value as `key=value`.
    pub(crate) fn pair(&mut self) -> Result<(String, String), String> {
        let text = self.value()?;
        split_pair(&self.flag, &text)
    }

    fn of_process() -> Result<Self, String> {
        let words: Result<Vec<String>, _> = std::env::args_os().skip(1).map(|a| a.into_string()).collect();
        let rest = words.map_err(|word| format!("{word:?} is not Unicode"))?.into_iter().peekable();
        Ok(Self { rest, flag: String::new(), attached: None })
    }
}

/// Cuts `key=value`.
pub(crate) fn split_pair(flag: &str, text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(format!("{flag}: {text:?} is not key=value")),
    }
}

/// What a `main` does: exit code 0 for success, 1 for a failure, 2 for a command line that makes no sense.
pub(crate) fn run<O>(
    name: &str,
    help: &str,
    parse: impl FnOnce(&mut Args) -> Result<O, String>,
    work: impl FnOnce(O) -> Result<(), Box<dyn Error>>,
) -> ExitCode {
    if std::env::args_os().skip(1).any(|word| word == "--help" || word == "-h") {
        println!("{help}");
        return ExitCode::SUCCESS;
    }
    let options = match Args::of_process().and_then(|mut args| parse(&mut args)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{name}: {error}; --help lists the options");
            return ExitCode::from(2);
        }
    };
    match work(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}
