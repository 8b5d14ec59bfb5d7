//! Which of a service's endpoints a worker's users connect to.
//!
//! Where there are more than a few, each worker keeps to a few of them: it shares connections for API calls among its
//! users, endpoint by endpoint, and among sixty endpoints those would be too few each, and always idle for too long.

/// Up to so many endpoints are spoken to by every worker, and about so many by each worker of more of them.
const FEW: u64 = 4;

/// Users of one worker that an endpoint may have beyond its share: multiples of the golden ratio are never far from even.
const UNEVEN: u64 = 6;

/// 2⁶⁴ ÷ φ. Multiples of it, modulo 2⁶⁴, are spread evenly however many of them are taken (Knuth, The Art of Computer
/// Programming, volume 3, section 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// So many workers, and the endpoints that they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    workers: u64,
    endpoints: u64,
}

impl Spread {
    /// At least one of each is taken for granted.
    pub fn new(workers: u64, endpoints: u64) -> Self {
        Self { workers: workers.max(1), endpoints: endpoints.max(1) }
    }

    /// How many workers share each point of the circle of endpoints, where each has an arc of it: as many as make the arcs
    /// a few endpoints long.
    fn sharers(self) -> u64 {
        (FEW * self.workers).div_ceil(self.endpoints).clamp(1, self.workers)
    }

    /// Endpoints that one worker speaks to, at most.
    pub fn reach(self) -> u64 {
        if self.endpoints <= FEW {
            return self.endpoints;
        }
        ((self.sharers() * self.endpoints).div_ceil(self.workers) + 1).min(self.endpoints)
    }

    /// Workers that speak to one endpoint, at most.
    pub fn speakers(self) -> u64 {
        if self.endpoints <= FEW {
            return self.workers;
        }
        (self.sharers() + self.workers.div_ceil(self.endpoints)).min(self.workers)
    }

    /// Users that one endpoint may have beyond its fair share, at most.
    pub fn uneven(self) -> u64 {
        if self.endpoints <= FEW { 1 } else { UNEVEN * self.speakers() }
    }

    /// The endpoint of the `nth` user of a worker, which so many endpoints have turned away: each time it tries another,
    /// all of them in turn. Those that one endpoint has turned away are spread over all others.
    pub fn endpoint(self, worker: u64, nth: u64, turned_away: u64) -> usize {
        let (own, others) = (self.own(worker, nth), self.endpoints - 1);
        let at = match turned_away % self.endpoints {
            0 => own,
            tried => own + 1 + (nth / self.endpoints + tried - 1) % others,
        };
        (at % self.endpoints) as usize
    }

    fn own(self, worker: u64, nth: u64) -> u64 {
        if self.endpoints <= FEW {
            return (worker + nth.wrapping_mul(self.workers)) % self.endpoints;
        }
        // A place on the worker's arc, in units of 2⁻⁶⁴ of the distance between two workers.
        let within = u128::from(nth.wrapping_mul(GOLDEN)) * u128::from(self.sharers());
        let place = (u128::from(worker % self.workers) << 64) + within;
        (((place * u128::from(self.endpoints)) / u128::from(self.workers)) >> 64) as u64 % self.endpoints
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SIZES: [(u64, u64); 9] = [(1, 1), (1, 57), (2, 4), (3, 5), (11, 12), (57, 57), (60, 57), (100, 9), (7, 256)];

    #[test]
    fn all_endpoints_have_as_many_users_and_few_workers() {
        for (workers, endpoints) in SIZES {
            let (spread, each) = (Spread::new(workers, endpoints), 18_000);
            let mut held = vec![0_u64; endpoints as usize];
            let mut speakers = vec![HashSet::new(); endpoints as usize];
            for worker in 0..workers {
                let mut reached = HashSet::new();
                for nth in 0..each {
                    let at = spread.endpoint(worker, nth, 0);
                    held[at] += 1;
                    speakers[at].insert(worker);
                    reached.insert(at);
                }
                assert!(reached.len() as u64 <= spread.reach(), "{worker} of {spread:?}: {}", reached.len());
            }
            let most = speakers.iter().map(HashSet::len).max().unwrap() as u64;
            assert!(most <= spread.speakers(), "{spread:?}: {most}");
            let (fair, uneven) = ((workers * each).div_ceil(endpoints), spread.uneven());
            let (least, most) = (*held.iter().min().unwrap(), *held.iter().max().unwrap());
            assert!(least + uneven >= fair && most <= fair + uneven, "{spread:?}: {least} to {most} of {fair}");
        }
        assert!(Spread::new(57, 57).reach() <= FEW + 1, "a few");
        assert_eq!(Spread::new(1, 57).reach(), 57, "one worker has to speak to all");
    }

    #[test]
    fn who_is_turned_away_tries_all_others_before_the_same_again() {
        for (workers, endpoints) in SIZES {
            let spread = Spread::new(workers, endpoints);
            for nth in [0, 1, 5, 17_999] {
                let tried: HashSet<_> = (0..endpoints).map(|away| spread.endpoint(0, nth, away)).collect();
                assert_eq!(tried.len() as u64, endpoints, "{spread:?}");
                assert_eq!(spread.endpoint(0, nth, endpoints), spread.endpoint(0, nth, 0));
            }
        }
    }

    #[test]
    fn an_endpoint_that_is_gone_leaves_its_users_to_all_others() {
        let spread = Spread::new(11, 12);
        let mut next = [0_u64; 12];
        for worker in 0..11 {
            let gone = (0..18_000).filter(|nth| spread.endpoint(worker, *nth, 0) == 5);
            gone.for_each(|nth| next[spread.endpoint(worker, nth, 1)] += 1);
        }
        assert_eq!(next[5], 0);
        let others = next.iter().enumerate().filter(|(at, _)| *at != 5).map(|(_, users)| *users);
        let (least, most) = (others.clone().min().unwrap(), others.max().unwrap());
        assert!(least * 10 >= most * 9, "{next:?}");
    }
}
