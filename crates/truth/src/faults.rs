//! What goes wrong with which delivery: drawn from the seed by the delivery's number.

use measure::SplitMix64;

use crate::config::{Config, OneIn};

/// What goes wrong with one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It is left out.
    Drop,
    /// It comes twice.
    Duplicate,
    /// It comes after its successor.
    Swap,
}

/// Draws of different kinds have nothing to do with each other.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// How long a delivery is kept back.
    Delay = 1,
    Drop,
    Duplicate,
    Swap,
}

/// What is to go wrong with the delivery of this number. Of several things that would, the first of drop, duplicate, swap.
/// Less does where two meet: whose predecessor waits for it is neither repeated nor swapped, and what has no successor
/// within a second is not either. The ledger counts what was done.
pub(crate) fn fault(config: &Config, number: u64) -> Fault {
    let kinds = [
        (Fault::Drop, config.drop, Purpose::Drop),
        (Fault::Duplicate, config.duplicate, Purpose::Duplicate),
        (Fault::Swap, config.swap, Purpose::Swap),
    ];
    let hit = kinds.into_iter().find(|(_, one_in, purpose)| is_hit(*one_in, config.seed, *purpose, number));
    hit.map_or(Fault::None, |(fault, ..)| fault)
}

fn is_hit(one_in: OneIn, seed: u64, purpose: Purpose, number: u64) -> bool {
    one_in.block().is_some_and(|n| SplitMix64::of(&[seed, purpose as u64, number / n]).below(n) == number % n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_has_exactly_one() {
        let mut config = Config::new("127.0.0.1:0".parse().unwrap());
        (config.seed, config.drop) = (7, OneIn::new(100));
        let dropped: Vec<u64> = (0..10_000).filter(|n| fault(&config, *n) == Fault::Drop).collect();
        assert_eq!(dropped.len(), 100);
        assert!(dropped.iter().zip(0..).all(|(number, block)| number / 100 == block), "{dropped:?}");
        config.seed = 8;
        let others: Vec<u64> = (0..10_000).filter(|n| fault(&config, *n) == Fault::Drop).collect();
        assert_ne!(dropped, others, "the seed decides");
    }

    #[test]
    fn one_thing_at_most_goes_wrong_with_a_delivery() {
        let mut config = Config::new("127.0.0.1:0".parse().unwrap());
        (config.drop, config.duplicate, config.swap) = (OneIn::new(1), OneIn::new(1), OneIn::new(1));
        assert!((0..100).all(|n| fault(&config, n) == Fault::Drop));
        config.drop = OneIn::NEVER;
        assert!((0..100).all(|n| fault(&config, n) == Fault::Duplicate));
    }
}
