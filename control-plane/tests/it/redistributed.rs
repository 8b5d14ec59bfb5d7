//! Lost workers' users under `on_worker_loss: redistribute`, step by step.

use std::time::Duration;

use control_plane::core::{Core, Input, Output};
use control_plane::limits::Limits;
use control_plane::run::{AgentEvent, Closing, Event, OnLoss, Order, Plan, RunState};
use measure::Timestamp;
use proto::control::{AgentKind, Hello};

const RUN: &str = "r";

/// A control plane, and workers that live as long as they are in `alive`.
struct Fleet {
    core: Core,
    ms: u64,
    alive: Vec<u64>,
    out: Vec<Output>,
}

fn hello(name: &str, capacity: u64) -> Hello {
    let (kind, version, name) = (AgentKind::Worker.into(), proto::VERSION.to_owned(), name.to_owned());
    Hello { name, kind, version, capacity, ..Hello::default() }
}

impl Fleet {
    /// A run of a hundred seconds that has started, by workers `w1`, `w2`, … that can hold so many users.
    fn under_way(users: u64, capacities: &[u64]) -> Self {
        let core = Core::new(Limits::default(), String::new());
        let mut fleet = Self { core, ms: 0, alive: Vec::new(), out: Vec::new() };
        for (connection, capacity) in (1..).zip(capacities) {
            fleet.input(Input::Join(connection, Box::new(hello(&format!("w{connection}"), *capacity))));
            fleet.alive.push(connection);
        }
        let (duration, on_worker_loss) = (Duration::from_secs(100), OnLoss::Redistribute);
        fleet.core.submit(RUN, Plan { users, duration, on_worker_loss, ..Plan::default() }).unwrap();
        fleet.input(Input::Tick);
        let alone = |o: &Output| matches!(o, Output::Order(_, _, Order::Prepare { alone: Some(_), .. }));
        assert_eq!(fleet.out.iter().filter(|o| alone(o)).count(), capacities.len());
        for connection in fleet.alive.clone() {
            fleet.report(connection, AgentEvent::Ready);
        }
        fleet.input(Input::Run(RUN.to_owned(), Event::Opened));
        fleet
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000 + self.ms * 1_000_000)
    }

    fn input(&mut self, input: Input) {
        let out = self.core.step(self.now(), input);
        self.out.extend(out);
    }

    fn report(&mut self, connection: u64, event: AgentEvent) {
        self.input(Input::Report(connection, Some((RUN.to_owned(), event))));
    }

    /// Lets time pass; who is alive keeps its lease.
    fn pass(&mut self, ms: u64) {
        let until = self.ms + ms;
        while self.ms < until {
            self.ms = (self.ms + 500).min(until);
            for connection in self.alive.clone() {
                self.input(Input::Report(connection, None));
            }
            self.input(Input::Tick);
        }
    }

    fn dies(&mut self, connection: u64) {
        self.alive.retain(|alive| *alive != connection);
        self.input(Input::BrokeOff(connection));
    }

    /// Who was told to take which shard over since the last time.
    fn adopts(&mut self) -> Vec<(u64, u32, u32)> {
        let told = std::mem::take(&mut self.out).into_iter().filter_map(|output| match output {
            Output::Order(connection, _, Order::Adopt { index, count, of }) => {
                assert!(count.is_multiple_of(of), "a part of the lost shard");
                Some((connection, index, count))
            }
            _ => None,
        });
        told.collect()
    }

    fn adopted(&mut self, told: &[(u64, u32, u32)]) {
        for (connection, index, count) in told.iter().copied() {
            self.report(connection, AgentEvent::Adopted { index, count, error: None });
        }
    }

    fn notes(&self, kind: &str) -> Vec<String> {
        let run = self.core.run(RUN).unwrap();
        run.happenings().iter().filter(|h| h.kind == kind).map(|h| h.text.clone()).collect()
    }

    /// Everybody finishes at the planned end; what the data plane is told then.
    fn end(&mut self) -> Closing {
        self.pass(101_000 - self.ms);
        for connection in self.alive.clone() {
            self.report(connection, AgentEvent::Finished(None));
        }
        let closing = self.out.drain(..).find_map(|output| match output {
            Output::Close(_, closing) => Some(closing),
            _ => None,
        });
        closing.expect("the run is closed")
    }
}

#[test]
fn users_are_handed_over_when_their_load_has_surely_ended_and_not_before() {
    let mut fleet = Fleet::under_way(99, &[1_000; 3]);
    fleet.pass(20_000);
    fleet.dies(2);
    fleet.pass(3_000);
    assert_eq!(fleet.notes("worker_lost").len(), 1);
    fleet.pass(9_500);
    assert_eq!(fleet.adopts(), [], "it may still make its load");
    fleet.pass(500);
    let told = fleet.adopts();
    assert_eq!(told, [(1, 1, 6), (3, 4, 6)]);
    // The answer is waited for, and asked for again.
    fleet.pass(2_500);
    assert_eq!(fleet.adopts(), []);
    fleet.pass(500);
    assert_eq!(fleet.adopts(), told);
    fleet.adopted(&told);
    fleet.adopted(&told);
    fleet.pass(10_000);
    assert_eq!(fleet.adopts(), []);
    assert_eq!(fleet.core.run(RUN).unwrap().users_of("w1"), 50);
    let text = "w2 is lost: its connection broke, and it did not come back within 3.0 s: it is not known what its 33 users saw \
                and did from 19.7 s to 35.7 s, nor what they had seen and not told before; since then they are with w1 (17), \
                w3 (16)";
    assert_eq!(fleet.notes("handed_over"), [text]);
    let closing = fleet.end();
    assert_eq!((closing.allowed, closing.invalid), (vec![text.to_owned()], vec![]));
    assert_eq!(closing.lost, ["w2"]);
    let gaps: Vec<_> = closing.gaps.iter().map(|gap| (gap.users, (gap.until - gap.since) / 1_000_000)).collect();
    assert_eq!(gaps, [(33, 16_000)]);
}

#[test]
fn a_second_loss_hands_everything_on() {
    let mut fleet = Fleet::under_way(90, &[1_000; 3]);
    fleet.pass(10_000);
    fleet.dies(2);
    fleet.pass(13_000);
    let told = fleet.adopts();
    fleet.adopted(&told);
    fleet.dies(3);
    fleet.pass(13_000);
    let told = fleet.adopts();
    assert!(told.iter().all(|(connection, ..)| *connection == 1) && told.len() == 2, "{told:?}");
    assert!(told.contains(&(1, 2, 3)), "its own shard, and what it had of the first: {told:?}");
    fleet.adopted(&told);
    assert_eq!(fleet.core.run(RUN).unwrap().users_of("w1"), 90);
    let closing = fleet.end();
    assert_eq!((closing.allowed.len(), closing.invalid.len()), (2, 0), "{closing:?}");
    assert!(closing.allowed[1].contains("its 45 users") && closing.allowed[1].contains("w1 (45)"), "{closing:?}");
}

#[test]
fn a_keeper_that_is_lost_before_it_answers_passes_them_on() {
    let mut fleet = Fleet::under_way(90, &[1_000; 3]);
    fleet.pass(10_000);
    fleet.dies(2);
    fleet.pass(13_000);
    let told = fleet.adopts();
    fleet.adopted(&told[..1]);
    fleet.dies(3);
    fleet.pass(13_000);
    let told = fleet.adopts();
    assert_eq!(told.iter().filter(|(connection, ..)| *connection == 1).count(), 2, "{told:?}");
    let told: Vec<_> = told.into_iter().filter(|(connection, ..)| *connection == 1).collect();
    fleet.adopted(&told);
    assert_eq!(fleet.core.run(RUN).unwrap().users_of("w1"), 90);
    assert!(fleet.end().invalid.is_empty());
}

#[test]
fn without_room_the_run_goes_on_and_is_invalid() {
    let mut fleet = Fleet::under_way(90, &[40, 40, 40]);
    fleet.pass(10_000);
    fleet.dies(1);
    fleet.pass(13_500);
    assert_eq!(fleet.adopts(), []);
    assert_eq!(fleet.core.run(RUN).unwrap().state(), RunState::Running);
    let closing = fleet.end();
    assert!(closing.allowed.is_empty() && closing.invalid.len() == 1, "{closing:?}");
    assert!(
        closing.invalid[0].ends_with("30 of them were taken over by nobody: no worker has room for them"),
        "{closing:?}"
    );
}

#[test]
fn a_worker_that_refuses_says_why() {
    let mut fleet = Fleet::under_way(90, &[1_000; 3]);
    fleet.pass(10_000);
    fleet.dies(1);
    fleet.pass(13_000);
    let told = fleet.adopts();
    fleet.adopted(&told[..1]);
    let (connection, index, count) = told[1];
    let error = Some("12 users need 99 open files".to_owned());
    fleet.report(connection, AgentEvent::Adopted { index, count, error });
    let closing = fleet.end();
    let reason = &closing.invalid[0];
    assert!(reason.contains("15 of them were taken over by nobody: w3 can't: 12 users need 99 open files"), "{reason}");
    assert_eq!(closing.gaps.iter().map(|gap| gap.users).collect::<Vec<_>>(), [15, 15]);
}

#[test]
fn who_ends_in_order_is_relieved_at_once_and_too_late_is_nobody() {
    let mut fleet = Fleet::under_way(90, &[1_000; 3]);
    fleet.pass(10_000);
    fleet.report(1, AgentEvent::Finished(None));
    let told = fleet.adopts();
    assert_eq!(told.len(), 2, "its load has ended");
    fleet.adopted(&told);
    assert!(
        fleet.notes("handed_over")[0].contains("its 30 users did nothing from"),
        "{:?}",
        fleet.notes("handed_over")
    );
    fleet.pass(80_000);
    fleet.dies(2);
    let closing = fleet.end();
    assert_eq!(fleet.adopts(), []);
    assert_eq!((closing.allowed.len(), closing.invalid.len()), (1, 1), "{closing:?}");
    assert!(closing.invalid[0].contains("the load was over before others had them"), "{closing:?}");
}

#[test]
fn the_next_life_goes_on_with_a_handover_and_nobody_gets_users_back() {
    let mut old = Fleet::under_way(90, &[1_000; 3]);
    old.pass(10_000);
    old.dies(2);
    old.pass(13_000);
    let told = old.adopts();
    old.adopted(&told[..1]);
    let saved = serde_json::to_string(&old.core.run(RUN).unwrap().saved().unwrap()).unwrap();
    let mut core = Core::new(Limits::default(), String::new());
    let mut fleet = Fleet { ms: old.ms + 1_000, out: Vec::new(), alive: Vec::new(), ..old };
    core.restore(fleet.now(), RUN, serde_json::from_str(&saved).unwrap(), Vec::new());
    fleet.core = core;
    fleet.input(Input::Run(RUN.to_owned(), Event::Resumed));
    for connection in [1, 3] {
        let back = Hello { agent: format!("w{connection}"), run: RUN.to_owned(), ..hello("x", 1_000) };
        let name = format!("w{connection}");
        fleet.input(Input::Join(connection, Box::new(Hello { name, ..back })));
        fleet.alive.push(connection);
    }
    let again = fleet.adopts();
    assert_eq!(again, told[1..], "who had not answered is asked again, and who had is not");
    fleet.adopted(&again);
    // The lost one is back, and is told to stop.
    fleet.input(Input::Join(7, Box::new(hello("w2", 1_000))));
    fleet.report(7, AgentEvent::Progress(30, None));
    assert!(fleet.out.iter().any(|o| matches!(o, Output::Order(7, _, Order::Stop(_)))), "{:?}", fleet.out);
    fleet.alive.push(7);
    fleet.pass(20_000);
    assert_eq!(fleet.core.run(RUN).unwrap().users_of("w1"), 45);
    fleet.alive.pop();
    assert!(fleet.end().invalid.is_empty());
}

#[test]
fn who_is_lost_hears_nothing_more() {
    let mut fleet = Fleet::under_way(90, &[1_000; 3]);
    fleet.alive.retain(|alive| *alive != 2);
    fleet.pass(3_500);
    assert!(fleet.out.contains(&Output::Cut(2)), "its stream is there, and it says nothing");
}
