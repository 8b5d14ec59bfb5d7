//! How many processes a run needs on this machine, from its users, the file limit and the cores; and refusing, with
//! the arithmetic, what can't be had.

/// Files of a process beside its users' connections: libraries, logs, listeners, pooled API connections.
pub(crate) const FILES_BESIDE_USERS: u64 = 100;
/// Users for which another worker is started while cores are free.
const USERS_A_WORKER: u64 = 500;

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

/// Chooses the sizes.
///
/// # Errors
/// When the users don't fit: the arithmetic, and what would mend it.
pub(crate) fn choose(users: u64, bundled: bool, workers: Option<u32>, room: Room) -> Result<Sizes, String> {
    let a_process = room.open_files.saturating_sub(FILES_BESIDE_USERS);
    let limit = room.open_files;
    let refuse = |what: &str, held: u64| {
        format!(
            "{users} users don't fit: {what} holds at most {held}, since the hard limit of open files is {limit} a process \
             and {FILES_BESIDE_USERS} of them are kept for other things\n\
             raise it (for a shell: ulimit -Hn {}), or lower the users in the scenario",
            users.saturating_add(FILES_BESIDE_USERS)
        )
    };
    // The bundled server is one process, and holds one end of every connection.
    if bundled && users > a_process {
        return Err(refuse("the chat server", a_process));
    }
    let needed = if a_process == 0 { u64::MAX } else { users.div_ceil(a_process).max(1) };
    let wanted = match workers {
        Some(workers) if u64::from(workers) < needed => {
            let held = a_process.saturating_mul(u64::from(workers));
            return Err(refuse(&format!("{workers} worker{}", if workers == 1 { "" } else { "s" }), held));
        }
        Some(workers) => u64::from(workers),
        None => needed.max(users.div_ceil(USERS_A_WORKER).min(room.cores)),
    };
    // A worker without a user would have nothing to do.
    let wanted = wanted.min(users.max(1));
    match u32::try_from(wanted) {
        Ok(workers) if workers <= 256 => Ok(Sizes { workers }),
        _ => Err(refuse("256 workers", a_process.saturating_mul(256))),
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
        assert_eq!(workers(100_000, false, None, ROOM), Some(6), "19,900 users a process");
        assert_eq!(workers(1_000, true, Some(3), ROOM), Some(3));
        assert_eq!(workers(2, true, Some(3), ROOM), Some(2), "none is idle");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_arithmetic() {
        let tight = Room { open_files: 256, cores: 2 };
        assert_eq!(workers(156, true, None, tight), Some(1));
        let told = choose(1_000, true, None, tight).unwrap_err();
        assert!(
            told.contains("1000 users") && told.contains("at most 156") && told.contains("256 a process"),
            "{told}"
        );
        assert_eq!(workers(1_000, false, None, tight), Some(7), "another's server has its own limit");
        assert!(choose(1_000, false, Some(2), tight).unwrap_err().contains("2 workers holds at most 312"));
        assert!(choose(10, true, None, Room { open_files: 64, cores: 1 }).is_err());
        assert!(choose(100_000, false, None, tight).is_err());
    }
}
