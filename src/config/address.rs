//! Addresses in `bootstrap.servers`, and what is wrong with those that are none.
//!
//! Pure, any thread. Resolves no names: that takes time and is the driver's.

use super::check::Notes;
use crate::error::Error;
use std::fmt;

const KEY: &str = "bootstrap.servers";

/// A broker to start from: where to connect to for a first look at the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BootstrapServer {
    host: String,
    port: u16,
}

impl BootstrapServer {
    /// The name or IP address; IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, above 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Reads `host:port`, `[v6]:port`, or either behind `PLAINTEXT://`.
    fn parse(given: &str) -> Result<Self, Error> {
        if given.contains('@') {
            // Not shown: what stands before it may be a password.
            return Err(wrong("an address contains '@'; give host:port, and no user or password"));
        }
        let address = strip_scheme(given)?;
        if address.contains('/') {
            return Err(wrong(format_args!("{given:?} has a path; give host:port")));
        }
        if let Some(separator) = address.chars().find(|&c| c.is_whitespace() || c == ';') {
            return Err(wrong(format_args!(
                "{given:?} contains {separator:?}; put commas between addresses"
            )));
        }
        let (host, port) = split(address, given)?;
        let port = match port.parse::<u16>() {
            Ok(port) if port > 0 && !port_has_sign(address) => port,
            _ => {
                return Err(wrong(format_args!(
                    "{given:?} has no valid port; give 1 to 65535 after the host"
                )));
            }
        };
        if !valid_host(host) {
            return Err(wrong(format_args!("{given:?} has no valid host before its port")));
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for BootstrapServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn wrong(message: impl fmt::Display) -> Error {
    Error::config(KEY, message)
}

/// Java takes a listener's protocol before the address and ignores it; one that says something else is no mistake to
/// pass over.
fn strip_scheme(given: &str) -> Result<&str, Error> {
    let Some((scheme, address)) = given.split_once("://") else {
        return Ok(given);
    };
    match scheme.to_ascii_uppercase().as_str() {
        "PLAINTEXT" => Ok(address),
        "SSL" | "SASL_PLAINTEXT" | "SASL_SSL" => Err(wrong(format_args!(
            "{given:?}: {scheme} is not supported by this version yet; use PLAINTEXT"
        ))),
        "HTTP" | "HTTPS" => Err(wrong(format_args!(
            "{given:?} is the address of an HTTP server; give a Kafka broker's host:port without {scheme}://"
        ))),
        _ => {
            Err(wrong(format_args!("{given:?} begins with the unknown protocol {scheme:?}; give host:port")))
        }
    }
}

/// Host and port, still unchecked.
fn split<'a>(address: &'a str, given: &str) -> Result<(&'a str, &'a str), Error> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) =
            rest.split_once(']').ok_or_else(|| wrong(format_args!("{given:?} lacks the closing ']'")))?;
        if host.parse::<std::net::Ipv6Addr>().is_err() && !host.contains('%') {
            return Err(wrong(format_args!("{given:?} has no IPv6 address in its brackets")));
        }
        let port = rest.strip_prefix(':').ok_or_else(|| no_port(given))?;
        return Ok((host, port));
    }
    match address.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => {
            Err(wrong(format_args!("{given:?}: put the IPv6 address in brackets, as in [::1]:9092")))
        }
        Some(parts) => Ok(parts),
        None => Err(no_port(given)),
    }
}

fn no_port(given: &str) -> Error {
    wrong(format_args!("{given:?} has no port; give host:port, as in {given}:9092"))
}

/// `u16::from_str` takes a plus sign.
fn port_has_sign(address: &str) -> bool {
    address.rsplit(':').next().is_some_and(|port| port.starts_with('+'))
}

/// What a host may be made of in Java; 255 bytes is what DNS allows.
fn valid_host(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '%' | ':');
    !host.is_empty() && host.len() <= 255 && host.chars().all(allowed)
}

/// Reads the list. Repetitions are left out with a warning; an empty list is an error.
pub(super) fn parse_all(list: &[String], notes: &mut Notes) -> Result<Vec<BootstrapServer>, Error> {
    let mut servers = Vec::new();
    let parts = list.iter().flat_map(|item| item.split(',')).map(str::trim).filter(|item| !item.is_empty());
    for part in parts {
        let server = BootstrapServer::parse(part)?;
        if servers.contains(&server) {
            notes.warn(format_args!("{KEY}: {server} is there more than once"));
        } else {
            servers.push(server);
        }
    }
    if servers.is_empty() {
        return Err(wrong("no broker is given; give at least one host:port, better two"));
    }
    Ok(servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<(String, u16), String> {
        BootstrapServer::parse(text).map(|s| (s.host, s.port)).map_err(|e| e.to_string())
    }

    #[test]
    fn valid_addresses() {
        let ok = |text: &str, host: &str, port| assert_eq!(one(text), Ok((host.to_owned(), port)), "{text}");
        ok("kafka-1.example.com:9092", "kafka-1.example.com", 9092);
        ok("10.0.0.1:1", "10.0.0.1", 1);
        ok("[::1]:9092", "::1", 9092);
        ok("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535);
        ok("PLAINTEXT://h:1", "h", 1);
        ok("plaintext://[::1]:1", "::1", 1);
        ok("my_host:9092", "my_host", 9092);
    }

    #[test]
    fn invalid_addresses_name_key_cause_and_value() {
        for (text, cause) in [
            ("host", "has no port"),
            ("host:", "no valid port"),
            ("host:0", "no valid port"),
            ("host:99999", "no valid port"),
            ("host:+9", "no valid port"),
            ("host:-1", "no valid port"),
            ("host:http", "no valid port"),
            (":9092", "no valid host"),
            ("hö:9092", "no valid host"),
            ("http://a", "HTTP server"),
            ("https://a:443", "HTTP server"),
            ("SSL://a:9093", "not supported by this version yet"),
            ("ftp://a:9093", "unknown protocol"),
            ("a:9092/path", "has a path"),
            ("a:9092 b:9092", "put commas"),
            ("a:9092;b:9092", "put commas"),
            ("::1:9092", "in brackets"),
            ("[::1:9092", "closing ']'"),
            ("[::1]", "has no port"),
            ("[nonsense]:1", "no IPv6 address"),
        ] {
            let error = one(text).unwrap_err();
            assert!(error.starts_with("bootstrap.servers: "), "{error}");
            assert!(error.contains(cause) && error.contains(text), "{text}: {error}");
        }
        let long = format!("{}:1", "a".repeat(256));
        assert!(one(&long).unwrap_err().contains("no valid host"));
    }

    #[test]
    fn a_password_is_not_shown() {
        assert!(!one("user:hunter2@host:9092").unwrap_err().contains("hunter2"));
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["h:1", "[::1]:9092"] {
            assert_eq!(BootstrapServer::parse(text).unwrap().to_string(), text);
        }
    }
}
