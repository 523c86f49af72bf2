//! How many logins at one address are under way at the same time.
//!
//! A server drops connections at random while too many logins are under way: as installed, OpenSSH begins
//! with the tenth (`MaxStartups 10:30:100`). So logins at one address, for example at the gate that all hosts
//! are behind, take turns.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Logins under way at one address. Below OpenSSH's ten, since a server counts a login for a moment longer
/// than we do, and others log in too.
const AT_ONCE: usize = 6;
/// How often one that waits looks whether the user is typing.
const TICK: Duration = Duration::from_millis(100);

/// The logins under way, by address.
#[derive(Default)]
pub(super) struct Turns {
    addresses: Mutex<HashMap<String, Count>>,
    changed: Condvar,
}

#[derive(Default)]
struct Count {
    under_way: usize,
    succeeded: u64,
}

/// Permission for one login. Dropping it lets the next one begin.
pub(super) struct Turn<'t> {
    turns: &'t Turns,
    address: String,
}

impl Turns {
    /// Waits for a turn at `address`. The wait goes on for as long as others get in there or the user
    /// `is_asked` for something, and for `patience` beyond; `None` when that is over.
    pub(super) fn take(
        &self,
        address: String,
        patience: Duration,
        is_asked: impl Fn() -> bool,
    ) -> Option<Turn<'_>> {
        let (mut start, mut succeeded) = (Instant::now(), 0);
        let mut addresses = self.lock();
        loop {
            let count = addresses.entry(address.clone()).or_default();
            if count.under_way < AT_ONCE {
                count.under_way += 1;
                drop(addresses);
                return Some(Turn { turns: self, address });
            }
            if count.succeeded != succeeded || is_asked() {
                (start, succeeded) = (Instant::now(), count.succeeded);
            }
            if start.elapsed() >= patience {
                return None;
            }
            let waited = self.changed.wait_timeout(addresses, TICK.min(patience));
            addresses = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Count>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The login has succeeded.
    pub(super) fn succeed(self) {
        if let Some(count) = self.turns.lock().get_mut(&self.address) {
            count.succeeded += 1;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.turns.lock().get_mut(&self.address) {
            count.under_way -= 1;
        }
        self.turns.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn few_are_under_way_and_all_get_their_turn() {
        let (turns, now, most) = (Turns::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 * AT_ONCE {
                scope.spawn(|| {
                    let turn = turns.take("gate".to_string(), LONG, || false).expect("a turn");
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(2));
                    now.fetch_sub(1, Ordering::SeqCst);
                    turn.succeed();
                });
            }
        });
        assert!((1..=AT_ONCE).contains(&most.into_inner()));
    }

    #[test]
    fn a_wait_ends_when_nobody_gets_in() {
        let turns = Turns::default();
        let short = Duration::from_millis(20);
        let take = |address: &str, is_asked: bool| turns.take(address.to_string(), short, || is_asked);
        let held: Vec<_> = (0..AT_ONCE).map(|_| take("gate", false).expect("a turn")).collect();
        assert!(take("gate", false).is_none());
        assert!(take("elsewhere", false).is_some(), "addresses do not wait for each other");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| take("gate", true).is_some());
            thread::sleep(10 * short);
            drop(held);
            assert!(waiting.join().unwrap(), "a question to the user stops the clock");
        });
    }
}
