//! How many processes a run needs on this machine, from its users, the file limit and the cores; and refusing, with
//! the arithmetic, what can't be had.

use scenarios::Shard;
use worker::machine::{CALLS_A_THREAD_MAX, calls_a_thread};
use worker::spread::Spread;

/// Files of a process beside its users' connections and API calls: event loops, logs, listeners.
pub(crate) const OTHER_FILES: u64 = worker::machine::OTHER_FILES;
/// Users for which another worker is started while cores are free.
const USERS_A_WORKER: u64 = 500;
/// More worker processes than this help nobody on one machine.
const WORKERS_MAX: u64 = 256;

/// More edges than this are no chat service of one machine.
const EDGES_MAX: u64 = 256;

/// How many of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Worker processes.
    pub(crate) workers: u32,
    /// Edges of the bundled chat server; 0: one process is origin and edge.
    pub(crate) edges: u32,
}

impl Sizes {
    /// Users that each edge may have, where a process may open so many files: when another one dies its users come here,
    /// and must leave room for what everybody asks.
    pub(crate) fn users_an_edge(self, open_files: u64) -> u64 {
        let (workers, edges) = (u64::from(self.workers), u64::from(self.edges.max(1)));
        Room::here(open_files).held_beside(workers, edges) + OTHER_FILES / 2
    }

    /// Threads of each of so many of its processes of one kind; none said: as many as there are cores.
    pub(crate) fn threads(self, processes: u32) -> Option<u32> {
        let threads = || Room::here(0).threads(processes.into(), self.edges.into());
        (self.edges > 1).then(|| u32::try_from(threads()).unwrap_or(u32::MAX))
    }
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

    /// Threads of each of so many processes of one kind: of several nodes and their workers none has more than its share
    /// of the cores, since each thread more is one more that is woken for every little thing.
    fn threads(self, processes: u64, nodes: u64) -> u64 {
        if nodes > 1 { (self.cores / processes.max(1)).max(1) } else { self.cores }
    }

    /// Connections for API calls between one of so many workers and one of so many nodes that it speaks to.
    fn calls(self, workers: u64, nodes: u64) -> u64 {
        let threads = self.threads(workers, nodes);
        calls_a_thread(self.open_files, threads * Spread::new(workers, nodes).reach()) * threads
    }

    /// Files of one of so many nodes that are not for users: it holds the other ends of workers' API calls.
    fn beside_users(self, workers: u64, nodes: u64) -> u64 {
        OTHER_FILES + self.calls(workers, nodes) * Spread::new(workers, nodes).speakers()
    }

    /// Users for whom one of so many nodes has files, beside the API calls of so many workers.
    fn held_beside(self, workers: u64, nodes: u64) -> u64 {
        self.open_files.saturating_sub(self.beside_users(workers, nodes))
    }

    /// Users for whom one of so many workers has files, beside its API calls to some of so many nodes.
    fn held_by_worker(self, workers: u64, nodes: u64) -> u64 {
        let calls = self.calls(workers, nodes) * Spread::new(workers, nodes).reach();
        self.open_files.saturating_sub(OTHER_FILES + calls)
    }

    /// The fewest workers that have files for so many users, beside their API calls to so many nodes.
    fn fewest_workers(self, users: u64, nodes: u64) -> Option<u64> {
        (1..=WORKERS_MAX).find(|workers| largest(users, *workers) <= self.held_by_worker(*workers, nodes))
    }

    /// A limit of files with which so many workers have room for so many users in one process.
    fn enough(self, users: u64, workers: u64) -> u64 {
        users.saturating_add(OTHER_FILES + CALLS_A_THREAD_MAX * self.cores * workers)
    }

    /// The workers that one would like, if files are plenty.
    fn workers(self, users: u64) -> u64 {
        users.div_ceil(USERS_A_WORKER).clamp(1, self.cores.max(1))
    }

    /// Why so many users don't fit, and what would mend it.
    fn refuse(self, users: u64, what: &str, held: u64, workers: u64, enough: u64) -> String {
        let (limit, beside) = (self.open_files, self.beside_users(workers, 1));
        format!(
            "{users} users don't fit: {what} can hold {held}, since the hard limit of open files is {limit} a process, and \
             {beside} of them are needed for other things\n\
             raise it to {enough} (for a shell, as root: ulimit -Hn {enough}), or lower the users in the scenario"
        )
    }
}

/// Chooses the sizes: one process as the bundled chat server while the users fit into it, else as few edges as hold them.
///
/// # Errors
/// When the users don't fit: the arithmetic, and what would mend it.
pub(crate) fn choose(users: u64, bundled: bool, workers: Option<u32>, room: Room) -> Result<Sizes, String> {
    let one = choose_one(users, bundled, workers, room);
    one.or_else(|why| if bundled { spread(users, workers, room).ok_or(why) } else { Err(why) })
}

/// The most users that one of so many workers has.
fn largest(users: u64, workers: u64) -> u64 {
    u32::try_from(workers).map_or(1, |workers| Shard::largest(workers, users))
}

/// The fewest edges that hold the users, and workers for them.
fn spread(users: u64, workers: Option<u32>, room: Room) -> Option<Sizes> {
    (2..=EDGES_MAX).find_map(|edges| {
        let least = room.fewest_workers(users, edges)?;
        let liked = workers.map_or(room.workers(users), u64::from).min(users);
        // Fewer workers than one likes leave the edges more room; fewer than were asked for are none of our business.
        let ways = [liked.max(least), if workers.is_some() { liked } else { least }];
        let fits = |workers: &u64| {
            // Its users come from some workers, each of which may have more than others.
            let a_node = users.div_ceil(edges) + Spread::new(*workers, edges).uneven() + 2 * (Shard::uneven(users) - 1);
            (least..=WORKERS_MAX).contains(workers) && a_node <= room.held_beside(*workers, edges)
        };
        let workers =
            ways.into_iter().filter(|ways| workers.is_none_or(|asked| *ways <= u64::from(asked))).find(fits)?;
        Some(Sizes { workers: u32::try_from(workers).ok()?, edges: u32::try_from(edges).ok()? })
    })
}

/// Sizes with one chat server, or with another's.
fn choose_one(users: u64, bundled: bool, workers: Option<u32>, room: Room) -> Result<Sizes, String> {
    let a_worker = room.held_by_worker(1, 1);
    let needed = (a_worker > 0).then(|| users.div_ceil(a_worker).max(1));
    let least = needed.unwrap_or(1);
    // The bundled server is one process, and holds one end of every connection.
    let served = |workers| !bundled || users <= room.held_beside(workers, 1);
    let wanted = match workers {
        // A worker without a user would have nothing to do.
        Some(workers) => u64::from(workers).min(users.max(1)),
        None => Some(room.workers(users).max(least)).filter(|&workers| served(workers)).unwrap_or(least),
    };
    let most = wanted.min(WORKERS_MAX);
    if !served(most) {
        let workers = if served(1) || workers.is_some() { most } else { 1 };
        let enough = room.enough(users, workers.max(room.workers(users)));
        return Err(room.refuse(users, "the chat server", room.held_beside(workers, 1), workers, enough));
    }
    match u32::try_from(wanted) {
        Ok(workers) if wanted <= WORKERS_MAX && needed.is_some_and(|needed| wanted >= needed) => {
            Ok(Sizes { workers, edges: 0 })
        }
        _ => {
            let what = if most == 1 { "1 worker".to_owned() } else { format!("{most} workers") };
            let enough = room.enough(users.div_ceil(most), 1);
            Err(room.refuse(users, &what, a_worker.saturating_mul(most), 1, enough))
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
        assert_eq!(workers(100_000, false, None, ROOM), Some(6), "19,832 users a process");
        assert_eq!(workers(1_000, true, Some(3), ROOM), Some(3));
        assert_eq!(workers(2, true, Some(3), ROOM), Some(2), "none is idle");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_arithmetic() {
        let tight = Room { open_files: 512, cores: 1 };
        assert_eq!(workers(440, true, None, tight), Some(1));
        let told = choose_one(1_000, true, None, tight).unwrap_err();
        for part in ["1000 users", "the chat server can hold 440", "512 a process", "72 of them", "ulimit -Hn 1072"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(workers(1_000, true, None, Room { open_files: 1_072, ..tight }), Some(1), "what was told is enough");
        assert_eq!(workers(1_000, false, None, tight), Some(3), "another's server has its own limit");
        assert!(choose(1_000, false, Some(2), tight).unwrap_err().contains("2 workers can hold 880"));
        assert!(choose(1_000_000, false, None, tight).unwrap_err().contains("256 workers can hold"));
    }

    #[test]
    fn a_small_limit_holds_a_small_run() {
        let room = |open_files| Room { open_files, cores: 2 };
        assert_eq!(workers(150, true, None, room(256)), Some(1));
        assert_eq!(workers(1_000, true, None, room(1_104)), Some(1), "two workers would leave the server too few");
        assert_eq!(edges(1_000, None, room(1_104)), Some(0), "one process, then, and no edge");
        assert_eq!(workers(50, true, None, room(128)), Some(1), "with fewer connections for API calls");
        for cores in [1, 2, 8, 64] {
            let told = choose_one(1_000, true, None, Room { open_files: 64, cores }).unwrap_err();
            let enough = told.rsplit_once("ulimit -Hn ").and_then(|(_, rest)| rest.split(')').next()?.parse().ok());
            let enough = enough.unwrap_or_else(|| panic!("{told}"));
            assert!(workers(1_000, true, None, Room { open_files: enough, cores }).is_some(), "{cores} cores: {told}");
        }
        assert!(choose(10, true, None, Room { open_files: 32, cores: 1 }).unwrap_err().contains("can hold 0"));
    }

    fn edges(users: u64, asked: Option<u32>, room: Room) -> Option<u32> {
        choose(users, true, asked, room).ok().map(|sizes| sizes.edges)
    }

    #[test]
    fn whoever_does_not_fit_into_one_process_is_spread_over_edges() {
        let two = Room { open_files: 20_000, cores: 2 };
        assert_eq!(choose(19_000, true, None, two), Ok(Sizes { workers: 2, edges: 0 }));
        assert_eq!(choose(100_000, true, None, two), Ok(Sizes { workers: 6, edges: 6 }));
        let million = choose(1_000_000, true, None, two).unwrap();
        assert!(million.edges < 70 && million.workers < 70, "{million:?}");
        let tight = Room { open_files: 256, cores: 2 };
        assert_eq!(choose(300, true, None, tight), Ok(Sizes { workers: 2, edges: 2 }));
        for (users, room) in [(300, tight), (1_000, tight), (100_000, two), (1_000_000, two), (30_000, ROOM)] {
            let Sizes { workers, edges } = choose(users, true, None, room).unwrap();
            let (workers, edges) = (u64::from(workers), u64::from(edges));
            let (calls, spread) = (room.calls(workers, edges), Spread::new(workers, edges));
            let node = users.div_ceil(edges) + calls * spread.speakers() + OTHER_FILES;
            let worker = largest(users, workers) + calls * spread.reach() + OTHER_FILES;
            assert!(node <= room.open_files && worker <= room.open_files, "{users}: {node} and {worker}");
        }
        assert_eq!(edges(300, Some(1), tight), None, "one worker can't hold them");
        assert!(choose(1_000_000, true, None, tight).unwrap_err().contains("256 a process"));
    }
}
