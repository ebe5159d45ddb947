//! Money moves between accounts: a debit in one topic, a credit in another, both or neither. Some transfers are aborted,
//! some of them by `?`, and a read-committed reader checks that nothing of those can be seen.
//!
//! ```text
//! cargo run --release --example transactions
//! cargo run --release --example transactions -- --bootstrap-server localhost:9092
//! ```

use kafka_producer::{KafkaProducer, ProducerConfig, ProducerRecord, Transaction};
use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

#[path = "support/args.rs"]
mod args;
#[path = "support/brokers.rs"]
mod brokers;
#[path = "support/logger.rs"]
mod logger;

use brokers::{Brokers, reader};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;
type Producer = KafkaProducer<str, str>;

const HELP: &str = "\
Moves money between accounts in transactions, aborts a third of them, and checks what a read-committed reader sees.

  --bootstrap-server HOST:PORT   a real cluster that creates topics on demand; otherwise three brokers are started
                                 inside this process
  --help                         this text";
const DEBITS: &str = "transactions-debits";
const CREDITS: &str = "transactions-credits";
const ACCOUNTS: [&str; 4] = ["ann", "bob", "cid", "dora"];
const TRANSFERS: usize = 300;

/// What an account holds.
type Balances = BTreeMap<&'static str, i64>;

fn main() -> ExitCode {
    let parse = |args: &mut args::Args| {
        let mut server = None;
        while let Some(flag) = args.next_flag()? {
            match flag.as_str() {
                "--bootstrap-server" => server = Some(args.value()?),
                _ => return Err(format!("unknown option {flag}")),
            }
        }
        Ok(server)
    };
    args::run("transactions", HELP, parse, run)
}

fn run(server: Option<String>) -> Result {
    logger::start();
    let brokers = Brokers::find(server, 3)?;
    brokers.announce();
    // Tells the transfers of this run from those that a real cluster has from earlier ones.
    let run = micros()?;

    let config = ProducerConfig::builder(brokers.servers().split(','))
        .transactional_id("transactions-example")
        .build()?;
    let producer = Producer::open(config)?;
    let mut balances: Balances = ACCOUNTS.iter().map(|account| (*account, 100)).collect();
    let mut done = Vec::new();
    let mut refused = 0;
    for n in 0..TRANSFERS {
        let (from, to) = (ACCOUNTS[n % 4], ACCOUNTS[(n * n + n / 7 + 1) % 4]);
        let id = format!("{run}-{n}");
        match transfer(&producer, &mut balances, &id, from, to, 10 + (n as i64 * 37) % 60) {
            Ok(()) => done.push(id),
            Err(error) if error.is::<Overdrawn>() => refused += 1,
            Err(error) => return Err(error),
        }
    }
    println!("committed    {} transfers", done.len());
    println!("aborted      {refused} transfers, after a record or two of each had been sent");
    producer.close()?;
    check(brokers.servers(), run, &done, &balances)
}

#[expect(clippy::disallowed_methods, reason = "an example, not the library")]
fn micros() -> Result<u128> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())
}

/// Both records or neither. Each `?` here aborts the transaction, since it drops it.
fn transfer(
    producer: &Producer,
    balances: &mut Balances,
    id: &str,
    from: &'static str,
    to: &'static str,
    amount: i64,
) -> Result {
    let transaction = producer.transaction()?;
    send(&transaction, DEBITS, id, from, amount)?;
    if from == to {
        // Pointless; the debit is taken back, and this waits for it.
        transaction.abort()?;
        return Err(Overdrawn.into());
    }
    let left = balances.get(from).copied().unwrap_or(0) - amount;
    if left < 0 {
        return Err(Overdrawn.into());
    }
    send(&transaction, CREDITS, id, to, amount)?;
    commit(transaction)?;
    balances.insert(from, left);
    *balances.entry(to).or_default() += amount;
    Ok(())
}

fn send(
    transaction: &Transaction<'_, str, str>,
    topic: &str,
    id: &str,
    account: &str,
    amount: i64,
) -> Result {
    let value = format!("{id} {amount}");
    // Nobody looks at the handle: commit fails if the record does.
    transaction.send(ProducerRecord::new(topic, &*value).key(account))?.detach();
    Ok(())
}

/// A commit whose outcome is not known in time may only be repeated.
fn commit(mut transaction: Transaction<'_, str, str>) -> Result {
    for _ in 0..10 {
        match transaction.commit() {
            Ok(()) => return Ok(()),
            Err(error) if error.outcome_unknown() => transaction = error.into_transaction(),
            // Dropping it aborts.
            Err(error) => return Err(error.into_error().into()),
        }
    }
    Err("the cluster does not say whether the transaction is committed".into())
}

/// Each committed transfer is in both topics, once; of the others nothing can be seen; and the records add up.
fn check(servers: &str, run: u128, done: &[String], balances: &Balances) -> Result {
    let mut expected: Balances = ACCOUNTS.iter().map(|account| (*account, 100)).collect();
    for (topic, sign) in [(DEBITS, -1), (CREDITS, 1)] {
        let mut seen = Vec::new();
        for record in reader::Reader::read_all(servers, topic).map_err(|e| e.to_string())? {
            let value = String::from_utf8(record.value)?;
            let (id, amount) = value.split_once(' ').ok_or("a record of somebody else")?;
            if !id.starts_with(&format!("{run}-")) {
                continue;
            }
            let key = record.key.unwrap_or_default();
            let account = ACCOUNTS.iter().find(|a| a.as_bytes() == key).ok_or("an unknown account")?;
            *expected.entry(account).or_default() += sign * amount.parse::<i64>()?;
            seen.push(id.to_owned());
        }
        seen.sort();
        let mut wanted = done.to_vec();
        wanted.sort();
        if seen != wanted {
            return Err(format!("{topic}: {} transfers can be read, not {}", seen.len(), wanted.len()).into());
        }
    }
    if expected != *balances {
        return Err(format!("the records add up to {expected:?}, not to {balances:?}").into());
    }
    println!("read back    each committed transfer once in both topics, of the others nothing: {balances:?}");
    Ok(())
}

/// The account does not hold the amount.
#[derive(Debug)]
struct Overdrawn;

impl std::fmt::Display for Overdrawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the account does not hold that much")
    }
}

impl Error for Overdrawn {}
