//! Values: from text or from the builder's types, checked against the table.
//!
//! Pure functions on any thread. A message states the key, the value given and what is valid; values of keys that may
//! be secret never come here.

use super::table::{Key, Kind};
use crate::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

/// What a longer time counts as: 100 years, which no clock's arithmetic overflows on.
pub(super) const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// One checked setting.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Int(i64),
    Real(f64),
    Time(Duration),
    Text(String),
    List(Vec<String>),
    /// -1, where the key has it.
    Off,
}

/// Reads `text` as the key's table row says. As in Java, blanks around it count in free text alone: an id with one is
/// another id.
pub(super) fn parse(key: &Key, text: &str) -> Result<Value, Error> {
    let whole = text;
    let text = text.trim();
    let value = match key.kind {
        Kind::Text | Kind::NonEmpty => Some(Value::Text(whole.to_owned())),
        Kind::Bool if text.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
        Kind::Bool if text.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
        Kind::Bool => None,
        Kind::Int { off, .. } => match text.parse() {
            Ok(-1) if off => Some(Value::Off),
            Ok(number) => Some(Value::Int(number)),
            Err(_) => None,
        },
        Kind::Millis { off, max, .. } => match text.parse::<i64>() {
            Ok(-1) if off => Some(Value::Off),
            Ok(number) => u64::try_from(number).ok().filter(|&n| n <= max).map(millis),
            Err(_) => None,
        },
        Kind::Real { .. } => text.parse().ok().map(Value::Real),
        Kind::List => Some(Value::List(list(text))),
        Kind::OneOf { .. } | Kind::Class | Kind::Password => Some(Value::Text(text.to_owned())),
    };
    value.and_then(|value| fit(key, value).ok()).ok_or_else(|| invalid(key, &format!("{text:?}")))
}

fn millis(number: u64) -> Value {
    Value::Time(Duration::from_millis(number))
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Holds a typed value against the key's range.
pub(super) fn check(key: &Key, value: Value) -> Result<Value, Error> {
    fit(key, value).map_err(|value| invalid(key, &shown(&value)))
}

/// Gives a valid value back, in the table's spelling and with [`FOREVER`] for more; else the value as it came.
fn fit(key: &Key, value: Value) -> Result<Value, Value> {
    let valid = match (&value, key.kind) {
        (Value::Bool(_), Kind::Bool) | (Value::List(_), Kind::List) => true,
        (Value::Off, Kind::Int { off, .. } | Kind::Millis { off, .. }) => off,
        (Value::Int(number), Kind::Int { min, max, .. }) => (min..=max).contains(number),
        (Value::Real(number), Kind::Real { min, max, above_min }) => {
            (min..=max).contains(number) && (*number > min || !above_min)
        }
        // A Java long holds more than anybody waits: the longest durations are taken for it.
        (Value::Time(time), Kind::Millis { min, max, .. }) => {
            let is_long = max > i32::MAX as u64;
            *time >= Duration::from_millis(min) && (is_long || *time <= Duration::from_millis(max))
        }
        (Value::Text(text), Kind::OneOf { names, any_case }) => {
            let is_meant = |name: &&&str| **name == text || any_case && name.eq_ignore_ascii_case(text);
            let found = names.iter().find(is_meant).map(|name| Value::Text((*name).to_owned()));
            return found.ok_or(value);
        }
        (Value::Text(text), Kind::NonEmpty) => !text.trim().is_empty(),
        (Value::Text(_), Kind::Text | Kind::Class | Kind::Password) => true,
        _ => false,
    };
    match value {
        Value::Time(time) if valid => Ok(Value::Time(time.min(FOREVER))),
        value if valid => Ok(value),
        value => Err(value),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Real(value) => value.to_string(),
        Value::Time(time) => format!("{time:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::List(list) => format!("{:?}", list.join(",")),
        Value::Off => "-1".to_owned(),
    }
}

fn invalid(key: &Key, given: &str) -> Error {
    Error::config(key.name, format_args!("{given} is not valid; give {}", valid_values(key.kind)))
}

/// What a key takes, in words.
pub(super) fn valid_values(kind: Kind) -> String {
    let mut words = String::new();
    match kind {
        Kind::Bool => words.push_str("true or false"),
        Kind::Int { min, max, off } => {
            words.push_str("a whole number");
            bounds(&mut words, min, (max < i64::MAX).then_some(max), off);
        }
        Kind::Millis { min, max, off } => {
            words.push_str("whole milliseconds");
            bounds(&mut words, min, (max < i64::MAX as u64).then_some(max), off);
        }
        Kind::Real { min, max, above_min } => {
            let from = if above_min { "above" } else { "from" };
            words.push_str("a number ");
            let _ = write!(words, "{from} {min}");
            if max < f64::MAX {
                let _ = write!(words, " to {max}");
            }
        }
        Kind::Text => words.push_str("any text"),
        Kind::NonEmpty => words.push_str("a text that is not empty"),
        Kind::List => words.push_str("a list with commas"),
        Kind::OneOf { names, any_case } => {
            let _ = write!(words, "one of {}", names.join(", "));
            if any_case {
                words.push_str(" (in any case)");
            }
        }
        Kind::Class => words.push_str("a class name"),
        Kind::Password => words.push_str("a secret text"),
    }
    words
}

fn bounds<N: std::fmt::Display>(words: &mut String, min: N, max: Option<N>, off: bool) {
    let _ = match max {
        Some(max) => write!(words, " from {min} to {max}"),
        None => write!(words, ", {min} or more"),
    };
    if off {
        words.push_str(", or -1");
    }
}
