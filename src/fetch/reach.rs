//! Whether the service can be reached at all, as it is addressed. Pure; time is a duration since the process began.
//!
//! A certificate that is refused or a name without an address does not mend itself within a run's patience. A port where nothing
//! listens, or where something else answers, is what a service gives that starts again, too; after a minute it is the wrong port.
//! But where anything was heard from the service before, the address is right, and the trouble is one that may pass.

use std::time::Duration;

use crate::api::client::InVain;

/// Attempts in a row that have to end in lasting trouble before the address is given up.
const MOST_IN_VAIN: u32 = 5;
/// How long they have to go on at least: a network may only just be coming up.
const LEAST_TIME: Duration = Duration::from_secs(5);

/// How long a port has to be shut, or another's: longer than a service takes to start again.
const LEAST_TIME_OF_PORT: Duration = Duration::from_secs(60);

/// What the attempts of one process say of the way to the service.
#[derive(Debug, Default)]
pub struct Reach {
    is_heard: bool,
    in_vain: u32,
    began: Option<Duration>,
}

impl Reach {
    /// An answer came, whatever it says.
    pub fn heard(&mut self) {
        self.is_heard = true;
    }

    /// Whether any answer came.
    pub fn is_heard(&self) -> bool {
        self.is_heard
    }

    /// An attempt ended in trouble that may pass.
    pub fn passing(&mut self) {
        (self.in_vain, self.began) = (0, None);
    }

    /// An attempt ended in trouble that lies in how the service is addressed; answers whether that is final.
    pub fn lasting(&mut self, what: InVain, now: Duration) -> bool {
        let least = if what == InVain::Port { LEAST_TIME_OF_PORT } else { LEAST_TIME };
        self.in_vain += 1;
        let began = *self.began.get_or_insert(now);
        !self.is_heard && self.in_vain >= MOST_IN_VAIN && now.saturating_sub(began) >= least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_address_is_given_up_after_some_attempts_over_some_time() {
        let mut reach = Reach::default();
        assert!((1..=4).all(|second| !reach.lasting(InVain::Address, at(second * 10))), "too few attempts");
        assert!(reach.lasting(InVain::Address, at(50)));
        let mut reach = Reach::default();
        assert!((0..20).all(|_| !reach.lasting(InVain::Address, at(7))), "too short a time");
        assert!(reach.lasting(InVain::Address, at(12)));
    }

    #[test]
    fn a_port_has_a_minute() {
        let mut reach = Reach::default();
        assert!((0..60).all(|second| !reach.lasting(InVain::Port, at(second))));
        assert!(reach.lasting(InVain::Port, at(60)));
    }

    #[test]
    fn what_was_heard_before_or_meanwhile_keeps_it() {
        let mut reach = Reach::default();
        reach.heard();
        assert!((0..100).all(|second| !reach.lasting(InVain::Address, at(second))));
        let mut reach = Reach::default();
        (0..4).for_each(|second| assert!(!reach.lasting(InVain::Address, at(second))));
        reach.passing();
        assert!(!reach.lasting(InVain::Address, at(60)));
    }
}
