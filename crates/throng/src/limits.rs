//! How many files this process may open, and raising it as far as one may.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Stands for "no limit", and is more than any process here opens.
const UNLIMITED: u64 = 1 << 30;

/// Raises the soft limit of open files to the hard one, and answers the limit that then holds.
pub(crate) fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where this is refused the old limit holds, and the arithmetic below works with that.
    let holds = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    holds.unwrap_or(UNLIMITED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_reaches_the_hard_one() {
        let holds = raise_open_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(holds, limit.maximum.unwrap_or(UNLIMITED));
    }
}
