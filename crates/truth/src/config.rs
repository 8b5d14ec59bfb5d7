//! What the target is to do, right and wrong.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use measure::Clock;

use crate::delay::{Delay, NotUnderstood, duration};

/// One in so many, exactly: of each block of so many there is one, at a place drawn from the seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OneIn(u64);

impl OneIn {
    /// None at all.
    pub const NEVER: Self = Self(0);

    /// One in `n`; 0 is none at all.
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// How many a block has; `None`: there are none.
    pub(crate) const fn block(self) -> Option<u64> {
        if self.0 == 0 { None } else { Some(self.0) }
    }
}

impl FromStr for OneIn {
    type Err = NotUnderstood;

    fn from_str(text: &str) -> Result<Self, NotUnderstood> {
        let number = text.trim().strip_prefix("1/").unwrap_or(text.trim()).replace('_', "");
        let how = "1/10000 for one in ten thousand, or 0 for none";
        number.parse().map(Self).map_err(|_| NotUnderstood { what: "the share", text: text.to_owned(), how })
    }
}

/// The server stands still once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StallSpec {
    /// For how long.
    pub lasts: Duration,
    /// So long after the first message came.
    pub after: Duration,
}

impl FromStr for StallSpec {
    type Err = NotUnderstood;

    fn from_str(text: &str) -> Result<Self, NotUnderstood> {
        let read = text.split_once('@').and_then(|(lasts, after)| Some((duration(lasts)?, duration(after)?)));
        let how = "1.4s@10s: for 1.4 s, 10 s after the first message";
        let (lasts, after) = read.ok_or_else(|| NotUnderstood { what: "the stall", text: text.to_owned(), how })?;
        Ok(Self { lasts, after })
    }
}

/// What the target is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long each delivery is kept back. A connection's frames stay in order, as a socket's do: who has to wait holds
    /// up those behind.
    pub delay: Delay,
    /// When it stands still.
    pub stall: Option<StallSpec>,
    /// Deliveries that are left out.
    pub drop: OneIn,
    /// Deliveries that come twice; the second time before their successor of the same channel and connection.
    pub duplicate: OneIn,
    /// Deliveries that come after their successor of the same channel and connection.
    pub swap: OneIn,
    /// Decides every draw.
    pub seed: u64,
    /// Where time comes from.
    pub clock: Clock,
}

impl Config {
    /// A target that does nothing wrong and delays nothing.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            delay: Delay::default(),
            stall: None,
            drop: OneIn::NEVER,
            duplicate: OneIn::NEVER,
            swap: OneIn::NEVER,
            seed: 0,
            clock: Clock::System,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_stalls_are_read() {
        assert_eq!("1/10_000".parse(), Ok(OneIn::new(10_000)));
        assert_eq!("500".parse(), Ok(OneIn::new(500)));
        assert_eq!("0".parse::<OneIn>().unwrap().block(), None);
        assert!("2/3".parse::<OneIn>().is_err() && "often".parse::<OneIn>().is_err());
        let stall = StallSpec { lasts: Duration::from_millis(1_400), after: Duration::from_secs(10) };
        assert_eq!("1.4s@10s".parse(), Ok(stall));
        assert!("1.4s".parse::<StallSpec>().unwrap_err().to_string().contains("1.4s@10s"));
    }
}
