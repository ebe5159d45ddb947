//! From names to addresses, in plain blocking code on connector threads.
//!
//! Nothing can bound how long a look-up takes, so there is at most one under way for each broker: a name server that
//! hangs costs one thread per broker, however often the engine gives up and tries again. Remembers at which of a name's
//! addresses to begin, so that one that swallows packets is waited for once and not at every connection. Two leaf
//! locks, never held during a look-up.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use crate::engine::Address;
use crate::error::{Error, ErrorKind};
use crate::sync::{Arc, Mutex};

/// What turns a host and a port into addresses.
pub(crate) type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Looks names up, with the program's own function or the system's.
#[derive(Clone)]
pub(crate) struct Resolver {
    lookup: Arc<Lookup>,
    memory: Arc<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    under_way: Mutex<HashSet<Address>>,
    /// With which address the next attempt begins: the one that worked, or the one behind the last that did not.
    first: Mutex<HashMap<Address, SocketAddr>>,
}

impl Resolver {
    pub(crate) fn new(lookup: Arc<Lookup>) -> Self {
        Self { lookup, memory: Arc::default() }
    }

    /// Every address of the name: in the resolver's order, beginning where the last attempt left off.
    ///
    /// # Errors
    /// The look-up failed, found nothing, or one for the same broker has not returned yet.
    pub(super) fn resolve(&self, address: &Address) -> Result<Vec<SocketAddr>, Error> {
        let trouble = |text: String| Error::new(ErrorKind::Connection, text).with_retriable(true);
        let Some(_look) = Look::begin(&self.memory, address) else {
            let host = &address.host;
            return Err(trouble(format!(
                "the look-up of {host} has not come to an end; it is not begun again"
            )));
        };
        let found = (self.lookup)(&address.host, address.port)
            .map_err(|error| trouble(format!("cannot resolve {}", address.host)).with_source(error))?;
        if found.is_empty() {
            return Err(trouble(format!("{} has no address", address.host)));
        }
        Ok(self.in_turn(address, found))
    }

    fn in_turn(&self, address: &Address, mut found: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let first = self.memory.first.lock().get(address).copied();
        if let Some(at) = first.and_then(|first| found.iter().position(|a| *a == first)) {
            found.rotate_left(at);
        }
        found
    }

    /// With which address the next attempt to reach the broker begins.
    pub(super) fn begin_with(&self, address: &Address, first: SocketAddr) {
        let mut firsts = self.memory.first.lock();
        match firsts.get_mut(address) {
            Some(old) => *old = first,
            None => {
                firsts.insert(address.clone(), first);
            }
        }
    }
}

impl Default for Resolver {
    /// The system's.
    fn default() -> Self {
        Self::new(Arc::new(|host, port| (host, port).to_socket_addrs().map(Iterator::collect)))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// A look-up that is under way; ends also where the program's own function panics.
struct Look<'m> {
    memory: &'m Memory,
    address: &'m Address,
}

impl<'m> Look<'m> {
    fn begin(memory: &'m Memory, address: &'m Address) -> Option<Self> {
        let new = memory.under_way.lock().insert(address.clone());
        new.then(|| Self { memory, address })
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.memory.under_way.lock().remove(self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(port: u16) -> Address {
        Address { host: "broker".into(), port }
    }

    fn three(_: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok((1..=3).map(|n| SocketAddr::from(([127, 0, 0, n], port))).collect())
    }

    #[test]
    fn an_attempt_begins_where_the_last_one_left_off() {
        let resolver = Resolver::new(Arc::new(three));
        let all = resolver.resolve(&broker(1)).unwrap();
        resolver.begin_with(&broker(1), all[2]);
        assert_eq!(resolver.resolve(&broker(1)).unwrap(), [all[2], all[0], all[1]]);
        assert_eq!(resolver.resolve(&broker(2)).unwrap()[0].ip(), all[0].ip(), "another broker");
        resolver.begin_with(&broker(1), SocketAddr::from(([127, 0, 0, 9], 1)));
        assert_eq!(resolver.resolve(&broker(1)).unwrap(), all, "an address that the name no longer has");
    }

    #[test]
    fn a_look_up_that_hangs_is_not_begun_again() {
        let (release, wait) = crossbeam_channel::bounded::<()>(0);
        let (began, begun) = crossbeam_channel::bounded(1);
        let lookup = move |host: &str, port: u16| {
            if port == 1 {
                let _ = began.send(());
                let _ = wait.recv();
            }
            three(host, port)
        };
        let resolver = Resolver::new(Arc::new(lookup));
        std::thread::scope(|s| {
            let hanging = s.spawn(|| resolver.resolve(&broker(1)));
            begun.recv().unwrap();
            let error = resolver.resolve(&broker(1)).unwrap_err();
            assert!(error.is_retriable() && error.to_string().contains("not begun again"), "{error}");
            assert_eq!(resolver.resolve(&broker(2)).unwrap().len(), 3, "another broker is not kept waiting");
            drop(release);
            assert_eq!(hanging.join().unwrap().unwrap().len(), 3);
        });
        assert_eq!(resolver.resolve(&broker(1)).unwrap().len(), 3);
    }

    #[test]
    fn failures_and_names_without_address_are_errors() {
        let resolver = Resolver::new(Arc::new(|_, _| Err(io::ErrorKind::NotFound.into())));
        assert!(resolver.resolve(&broker(1)).unwrap_err().to_string().contains("cannot resolve broker"));
        let resolver = Resolver::new(Arc::new(|_, _| Ok(Vec::new())));
        assert!(resolver.resolve(&broker(1)).unwrap_err().to_string().contains("has no address"));
        let named = Address { host: "localhost".into(), port: 9 };
        assert!(!Resolver::default().resolve(&named).unwrap().is_empty());
    }
}
