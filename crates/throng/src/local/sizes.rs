//! How many processes a run needs on this machine, from its users, the file limit and the cores; and refusing, with
//! the arithmetic, what can't be had.

/// Files of a process beside its users' connections and API calls: event loops, logs, listeners.
pub(crate) const OTHER_FILES: u64 = worker::machine::OTHER_FILES;
/// Connections for API calls that a worker keeps for each of its threads, of which it has one a core.
const CALLS_A_CORE: u64 = 32;
/// Users for which another worker is started while cores are free.
const USERS_A_WORKER: u64 = 500;
/// More worker processes than this help nobody on one machine.
const WORKERS_MAX: u64 = 256;

/// How many of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Worker processes.
    pub(crate) workers: u32,
}

/// What a run on this machine has to fit into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Files that one process may open.
    pub(crate) open_files: u64,
    /// Cores.
    pub(crate) cores: u64,
}

impl Room {
    /// This machine's, where a process may open so many files.
    pub(crate) fn here(open_files: u64) -> Self {
        Self { open_files, cores: std::thread::available_parallelism().map_or(1, usize::from) as u64 }
    }

    /// Files of a worker that are not for users.
    pub(crate) fn beside_users(self) -> u64 {
        OTHER_FILES + CALLS_A_CORE * self.cores
    }

    /// Files of a chat server that are not for users: it holds the other end of all workers' API calls.
    pub(crate) fn beside_users_of_server(self, workers: u64) -> u64 {
        OTHER_FILES + CALLS_A_CORE * self.cores * workers
    }
}

/// Chooses the sizes.
///
/// # Errors
/// When the users don't fit: the arithmetic, and what would mend it.
pub(crate) fn choose(users: u64, bundled: bool, workers: Option<u32>, room: Room) -> Result<Sizes, String> {
    let a_worker = room.open_files.saturating_sub(room.beside_users());
    let needed = if a_worker == 0 { u64::MAX } else { users.div_ceil(a_worker).max(1) };
    let wanted = match workers {
        Some(workers) => u64::from(workers),
        None => needed.max(users.div_ceil(USERS_A_WORKER).min(room.cores)),
    };
    // A worker without a user would have nothing to do.
    let wanted = wanted.min(users.max(1));
    let refuse = |what: &str, held: u64, beside: u64| {
        let limit = room.open_files;
        format!(
            "{users} users don't fit: {what} can hold {held}, since the hard limit of open files is {limit} a process, and \
             {beside} of them are needed for other things\n\
             raise it (for a shell: ulimit -Hn {}), or lower the users in the scenario",
            users.saturating_add(beside)
        )
    };
    // The bundled server is one process, and holds one end of every connection.
    let beside = room.beside_users_of_server(wanted.min(WORKERS_MAX));
    let held = room.open_files.saturating_sub(beside);
    if bundled && users > held {
        return Err(refuse("the chat server", held, beside));
    }
    match u32::try_from(wanted) {
        Ok(workers) if wanted <= WORKERS_MAX && wanted >= needed => Ok(Sizes { workers }),
        _ => {
            let most = wanted.min(WORKERS_MAX);
            let what = if most == 1 { "1 worker".to_owned() } else { format!("{most} workers") };
            Err(refuse(&what, a_worker.saturating_mul(most), room.beside_users()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { open_files: 20_000, cores: 4 };

    fn workers(users: u64, bundled: bool, asked: Option<u32>, room: Room) -> Option<u32> {
        choose(users, bundled, asked, room).ok().map(|s| s.workers)
    }

    #[test]
    fn workers_follow_users_files_and_cores() {
        assert_eq!(workers(1, true, None, ROOM), Some(1));
        assert_eq!(workers(1_000, true, None, ROOM), Some(2));
        assert_eq!(workers(15_000, true, None, ROOM), Some(4));
        assert_eq!(workers(100_000, false, None, ROOM), Some(6), "19,672 users a process");
        assert_eq!(workers(1_000, true, Some(3), ROOM), Some(3));
        assert_eq!(workers(2, true, Some(3), ROOM), Some(2), "none is idle");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_arithmetic() {
        let tight = Room { open_files: 512, cores: 1 };
        assert_eq!(workers(280, true, None, tight), Some(1));
        let told = choose(1_000, true, None, tight).unwrap_err();
        for part in ["1000 users", "the chat server can hold 184", "512 a process", "328 of them", "ulimit -Hn 1328"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(workers(1_000, false, None, tight), Some(4), "another's server has its own limit");
        assert!(choose(1_000, false, Some(2), tight).unwrap_err().contains("2 workers can hold 560"));
        assert!(choose(10, true, None, Room { open_files: 64, cores: 1 }).unwrap_err().contains("can hold 0"));
        assert!(choose(100_000, false, None, tight).unwrap_err().contains("256 workers can hold"));
    }
}
