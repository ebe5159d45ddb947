//! What the settings mean together: defaults yield to what was set, and two settings that were set may contradict.
//!
//! Pure, any thread; the rules of Java's `ProducerConfig`, with one difference: where Java refuses an explicit setting
//! because a *default* stands against it, the default yields here, with a warning. KIP-91 (delivery timeout), KIP-98
//! and KIP-679 (idempotence), KIP-580 (backoff), KIP-939.

use super::names::Acks;
use super::parse::{self, FOREVER, Value};
use super::table;
use crate::error::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What the caller should know and did not ask for.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) warnings: Vec<String>,
}

impl Notes {
    pub(super) fn warn(&mut self, message: impl fmt::Display) {
        self.warnings.push(message.to_string());
    }
}

/// The settings that were given, by the table's names; every value fits its row.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) explicit: BTreeMap<&'static str, Value>,
}

impl Settings {
    pub(super) fn has(&self, key: &str) -> bool {
        self.explicit.contains_key(key)
    }

    /// What was given, else the table's default, else nothing.
    pub(super) fn value(&self, name: &str) -> Result<Option<Value>, Error> {
        if let Some(value) = self.explicit.get(name) {
            return Ok(Some(value.clone()));
        }
        let key = table::find(name).ok_or_else(|| out_of_table(name))?;
        key.default.map(|text| parse::parse(key, text)).transpose()
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Error> {
        match self.value(name)? {
            Some(Value::Bool(value)) => Ok(value),
            _ => Err(out_of_table(name)),
        }
    }

    pub(super) fn real(&self, name: &str) -> Result<f64, Error> {
        match self.value(name)? {
            Some(Value::Real(value)) => Ok(value),
            _ => Err(out_of_table(name)),
        }
    }

    pub(super) fn int<N: TryFrom<i64>>(&self, name: &str) -> Result<N, Error> {
        self.int_or_off(name)?.ok_or_else(|| out_of_table(name))
    }

    /// `None` for -1, where the key has it.
    pub(super) fn int_or_off<N: TryFrom<i64>>(&self, name: &str) -> Result<Option<N>, Error> {
        match self.value(name)? {
            Some(Value::Int(value)) => N::try_from(value).map(Some).map_err(|_| {
                Error::config(name, format_args!("{value} is more than this machine can address"))
            }),
            Some(Value::Off) => Ok(None),
            _ => Err(out_of_table(name)),
        }
    }

    pub(super) fn time(&self, name: &str) -> Result<Duration, Error> {
        self.time_or_off(name)?.ok_or_else(|| out_of_table(name))
    }

    /// `None` for -1, where the key has it.
    pub(super) fn time_or_off(&self, name: &str) -> Result<Option<Duration>, Error> {
        match self.value(name)? {
            Some(Value::Time(value)) => Ok(Some(value)),
            Some(Value::Off) => Ok(None),
            _ => Err(out_of_table(name)),
        }
    }

    /// `None` if there is none or it is empty.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Error> {
        match self.value(name)? {
            Some(Value::Text(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            None => Ok(None),
            Some(_) => Err(out_of_table(name)),
        }
    }

    pub(super) fn list(&self, name: &str) -> Result<Vec<String>, Error> {
        match self.value(name)? {
            Some(Value::List(list)) => Ok(list),
            None => Ok(Vec::new()),
            Some(_) => Err(out_of_table(name)),
        }
    }
}

/// A defect: code and table name a key or its kind differently.
fn out_of_table(name: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("{name}: the table of keys lacks it or types it differently"))
}

/// Shows a time as a file would have it, in milliseconds.
struct Ms(Duration);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_micros() as f64 / 1000.0)
    }
}

const LINGER: &str = "linger.ms";
const REQUEST: &str = "request.timeout.ms";
const DELIVERY: &str = "delivery.timeout.ms";

/// The times that bound a record's way.
#[derive(Debug, PartialEq)]
pub(super) struct Timing {
    pub(super) linger: Duration,
    pub(super) request: Duration,
    pub(super) delivery: Duration,
}

/// A record must have time to linger and for one request: `delivery >= linger + request`.
pub(super) fn timing(settings: &Settings, notes: &mut Notes) -> Result<Timing, Error> {
    let most = Duration::from_millis(i32::MAX as u64);
    let mut timing = Timing {
        linger: settings.time(LINGER)?.min(most),
        request: settings.time(REQUEST)?,
        delivery: settings.time(DELIVERY)?,
    };
    let needed = timing.linger + timing.request;
    if timing.delivery >= needed {
        return Ok(timing);
    }
    if !settings.has(DELIVERY) {
        timing.delivery = needed.min(most);
        notes.warn(format_args!(
            "{DELIVERY}: raised from its default to {}, the sum of {LINGER} and {REQUEST}",
            Ms(timing.delivery)
        ));
        return Ok(timing);
    }
    shorten_defaults(settings, &mut timing, notes)?;
    Ok(timing)
}

/// `delivery.timeout.ms` was set and is too short for the others: those that are defaults yield.
fn shorten_defaults(settings: &Settings, timing: &mut Timing, notes: &mut Notes) -> Result<(), Error> {
    let delivery = timing.delivery;
    let Timing { linger, request, .. } = timing;
    let conflict = |others: &str| {
        let given = Ms(delivery);
        Err(Error::config(
            DELIVERY,
            format_args!("{given} is too short for {others}; raise it or lower those"),
        ))
    };
    match (settings.has(LINGER), settings.has(REQUEST)) {
        (true, true) => conflict(&format!("{LINGER}={} plus {REQUEST}={}", Ms(*linger), Ms(*request))),
        (true, false) if *linger >= delivery => conflict(&format!("{LINGER}={}", Ms(*linger))),
        (false, true) if *request > delivery => conflict(&format!("{REQUEST}={}", Ms(*request))),
        (false, true) => {
            *linger = delivery - *request;
            notes.warn(format_args!(
                "{LINGER}: lowered from its default to {}, what {DELIVERY} leaves beside {REQUEST}",
                Ms(*linger)
            ));
            Ok(())
        }
        (explicit_linger, false) => {
            if !explicit_linger && *linger >= delivery {
                *linger = Duration::ZERO;
                notes.warn(format_args!("{LINGER}: lowered from its default to 0 to fit {DELIVERY}"));
            }
            *request = delivery - *linger;
            notes.warn(format_args!(
                "{REQUEST}: lowered from its default to {}, what {DELIVERY} leaves beside {LINGER}",
                Ms(*request)
            ));
            Ok(())
        }
    }
}

const ACKS: &str = "acks";
const IDEMPOTENCE: &str = "enable.idempotence";
const RETRIES: &str = "retries";
const IN_FLIGHT: &str = "max.in.flight.requests.per.connection";
const TRANSACTIONAL_ID: &str = "transactional.id";
const TRANSACTION_TIMEOUT: &str = "transaction.timeout.ms";
const TWO_PHASE_COMMIT: &str = "transaction.two.phase.commit.enable";

/// As many batches of a partition as a broker remembers to tell a repetition by.
const MAX_IN_FLIGHT_WITH_IDEMPOTENCE: usize = 5;

/// What is promised of a record once it is in.
#[derive(Debug)]
pub(super) struct Reliability {
    pub(super) acks: Acks,
    pub(super) idempotence: bool,
    pub(super) retries: u32,
    pub(super) max_in_flight: usize,
    pub(super) transactional_id: Option<String>,
    pub(super) transaction_timeout: Duration,
    pub(super) two_phase_commit: bool,
}

pub(super) fn reliability(settings: &Settings, notes: &mut Notes) -> Result<Reliability, Error> {
    let mut all = Reliability {
        acks: Acks::parse(settings.text(ACKS)?.as_deref().unwrap_or_default()),
        idempotence: settings.flag(IDEMPOTENCE)?,
        retries: settings.int(RETRIES)?,
        max_in_flight: settings.int(IN_FLIGHT)?,
        transactional_id: id(settings, TRANSACTIONAL_ID, notes)?,
        transaction_timeout: settings.time(TRANSACTION_TIMEOUT)?,
        two_phase_commit: settings.flag(TWO_PHASE_COMMIT)?,
    };
    if all.two_phase_commit && settings.has(TRANSACTION_TIMEOUT) {
        let message =
            format!("cannot be set with {TWO_PHASE_COMMIT}=true, under which transactions do not expire");
        return Err(Error::config(TRANSACTION_TIMEOUT, message));
    }
    if !all.idempotence {
        return match all.transactional_id {
            Some(_) => Err(Error::config(TRANSACTIONAL_ID, format_args!("contradicts {IDEMPOTENCE}=false"))),
            None => Ok(all),
        };
    }
    let mut unmet = Vec::new();
    if all.acks != Acks::All {
        unmet.push((ACKS, all.acks.name(), "acks=all"));
    }
    if all.retries == 0 {
        unmet.push((RETRIES, "0", "retries above 0"));
    }
    for (key, given, needed) in unmet {
        if all.transactional_id.is_some() {
            return Err(Error::config(
                key,
                format_args!("{given} contradicts {TRANSACTIONAL_ID}, which needs {needed}"),
            ));
        }
        if settings.has(IDEMPOTENCE) {
            return Err(Error::config(
                key,
                format_args!("{given} contradicts {IDEMPOTENCE}=true, which needs {needed}"),
            ));
        }
        all.idempotence = false;
        notes.warn(format_args!(
            "{IDEMPOTENCE}: turned off from its default, since {key}={given}; retries may double or reorder records"
        ));
    }
    if all.idempotence && all.max_in_flight > MAX_IN_FLIGHT_WITH_IDEMPOTENCE {
        let origin = if settings.has(IDEMPOTENCE) { "" } else { " (the default)" };
        let most = MAX_IN_FLIGHT_WITH_IDEMPOTENCE;
        let message = format!(
            "{} contradicts {IDEMPOTENCE}=true{origin}, which needs at most {most}; lower it or set {IDEMPOTENCE}=false",
            all.max_in_flight
        );
        return Err(Error::config(IN_FLIGHT, message));
    }
    Ok(all)
}

/// A name that requests carry: the protocol's strings hold 32,767 bytes. Blanks around it belong to it, as in Java, where a
/// predecessor or an access rule may have the same; nobody sees them, hence the warning.
pub(super) fn id(settings: &Settings, key: &str, notes: &mut Notes) -> Result<Option<String>, Error> {
    let id = settings.text(key)?;
    if let Some(id) = id.as_ref().filter(|id| id.trim().len() < id.len()) {
        notes.warn(format_args!("{key}: {id:?} has blanks around it, which belong to it, as in Java"));
    }
    match id.as_ref().map(String::len) {
        Some(len) if len > i16::MAX as usize => {
            Err(Error::config(key, format_args!("{len} bytes are too long; give at most {}", i16::MAX)))
        }
        _ => Ok(id),
    }
}

const BATCH: &str = "batch.size";
const LARGEST_BATCH: &str = "batch.max.size";
const BUFFER: &str = "buffer.memory";

/// Sizes of a batch and of all of them.
#[derive(Debug, PartialEq)]
pub(super) struct Memory {
    pub(super) batch: usize,
    pub(super) largest_batch: usize,
    pub(super) buffer: usize,
}

pub(super) fn memory(settings: &Settings, notes: &mut Notes) -> Result<Memory, Error> {
    let (batch, largest_batch) = batches(settings, notes)?;
    let (batch, buffer) = in_buffer(batch, settings, notes)?;
    Ok(Memory { batch, largest_batch: largest_batch.max(batch), buffer })
}

/// Who has set how large a batch is full has said how large it is at most, too.
fn batches(settings: &Settings, notes: &mut Notes) -> Result<(usize, usize), Error> {
    let batch = settings.int::<usize>(BATCH)?.max(1);
    let largest = settings.int::<usize>(LARGEST_BATCH)?;
    match (settings.has(BATCH), settings.has(LARGEST_BATCH)) {
        (true, false) => Ok((batch, batch)),
        _ if largest == 0 => Ok((batch, batch)),
        _ if largest >= batch => Ok((batch, largest)),
        (true, true) => {
            let message = format!("{largest} is less than {BATCH}={batch}; raise it or lower {BATCH}");
            Err(Error::config(LARGEST_BATCH, message))
        }
        (false, _) => {
            notes.warn(format_args!("{BATCH}: lowered from its default to {LARGEST_BATCH}={largest}"));
            Ok((largest, largest))
        }
    }
}

/// A batch that the memory cannot hold would never be full, nor its record ever fit.
fn in_buffer(batch: usize, settings: &Settings, notes: &mut Notes) -> Result<(usize, usize), Error> {
    let buffer = settings.int::<usize>(BUFFER)?;
    if batch <= buffer {
        return Ok((batch, buffer));
    }
    match (settings.has(BATCH), settings.has(BUFFER)) {
        (true, true) => {
            let message = format!("{batch} is more than {BUFFER}={buffer}; lower it or raise {BUFFER}");
            Err(Error::config(BATCH, message))
        }
        (_, true) => {
            notes.warn(format_args!("{BATCH}: lowered from its default to {buffer}, the whole of {BUFFER}"));
            Ok((buffer, buffer))
        }
        _ => {
            // One batch to fill while another is under way.
            let buffer = batch.saturating_mul(2);
            notes
                .warn(format_args!("{BUFFER}: raised from its default to {buffer}, room for two of {BATCH}"));
            Ok((batch, buffer))
        }
    }
}

/// A first pause and the longest one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Growing {
    pub(super) first: Duration,
    pub(super) most: Duration,
}

/// The largest send buffer that nobody asked for: more of a batch than this would leave the caches on its way.
const LARGEST_UNSET_SEND_BUFFER: usize = 512 * 1024;

/// Unset, it grows with `batch.size`: a socket that holds an eighth of a batch wakes the sender eight times for each.
pub(super) fn send_buffer(settings: &Settings) -> Result<Option<usize>, Error> {
    let buffer: Option<usize> = settings.int_or_off("send.buffer.bytes")?;
    if settings.has("send.buffer.bytes") {
        return Ok(buffer);
    }
    let batch: usize = settings.int("batch.size")?;
    Ok(buffer.map(|bytes| bytes.max(batch.min(LARGEST_UNSET_SEND_BUFFER))))
}

/// Whatever was set holds; if both were and the first is longer, the longest is used from the start, as in Java.
pub(super) fn growing(
    settings: &Settings,
    notes: &mut Notes,
    first_key: &str,
    most_key: &str,
) -> Result<Growing, Error> {
    let (first, most) = (settings.time(first_key)?, settings.time(most_key)?);
    if first <= most {
        return Ok(Growing { first, most });
    }
    if settings.has(most_key) {
        let default = if settings.has(first_key) { "" } else { " from its default" };
        notes.warn(format_args!("{first_key}: lowered{default} to {most_key}={}", Ms(most)));
        return Ok(Growing { first: most, most });
    }
    notes.warn(format_args!("{most_key}: raised from its default to {first_key}={}", Ms(first)));
    Ok(Growing { first, most: first })
}

/// As [`growing`], but the first pause set alone is constant, as in Java.
pub(super) fn reconnect(settings: &Settings, notes: &mut Notes) -> Result<Growing, Error> {
    let (first_key, most_key) = ("reconnect.backoff.ms", "reconnect.backoff.max.ms");
    if settings.has(first_key) && !settings.has(most_key) {
        let first = settings.time(first_key)?;
        return Ok(Growing { first, most: first });
    }
    growing(settings, notes, first_key, most_key)
}

/// `None` for 0, where 0 turns something off.
pub(super) fn unless_zero(time: Duration) -> Option<Duration> {
    debug_assert!(time <= FOREVER);
    (!time.is_zero()).then_some(time)
}
