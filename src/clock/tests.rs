use super::*;

/// When PostgreSQL and this machine first showed the same.
fn start() -> Timestamp {
    "2026-04-20T08:00:00Z".parse().unwrap()
}

const QUARTER: SignedDuration = SignedDuration::from_hours(91 * 24);
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// A world in which each clock can be turned by itself.
struct World {
    clock: DatabaseClock,
    moments: Arc<Mutex<Moments>>,
    /// How far PostgreSQL's clock is ahead of the true time.
    database: SignedDuration,
    /// How far this machine's is.
    machine: SignedDuration,
    passed: SignedDuration,
    boot: BootInstant,
    high_water: Option<Timestamp>,
}

impl World {
    fn new() -> Self {
        let boot = BootInstant::now();
        let moments = Arc::new(Mutex::new(Moments { boot, wall: start() }));
        let shown = Arc::clone(&moments);
        let clock = DatabaseClock::with_clocks(Tolerance::default(), Arc::new(move || *shown.lock().unwrap()));
        let zero = SignedDuration::ZERO;
        Self { clock, moments, database: zero, machine: zero, passed: zero, boot, high_water: None }
    }

    fn truth(&self) -> Timestamp {
        later(start(), self.passed)
    }

    fn said(&self) -> Timestamp {
        later(self.truth(), self.database)
    }

    /// Lets time pass for all clocks alike.
    fn pass(&mut self, length: SignedDuration) -> &mut Self {
        self.passed += length;
        *self.moments.lock().unwrap() =
            Moments { boot: self.boot.after(self.passed.unsigned_abs()), wall: later(self.truth(), self.machine) };
        self
    }

    /// Asks, with an answer that takes `length`.
    fn ask_for(&mut self, length: SignedDuration) -> Judgement {
        let asked = self.pass(SignedDuration::ZERO).clock.moments();
        self.pass(length / 2);
        let said = self.said();
        let answered = self.pass(length / 2).clock.moments();
        self.clock.judge(&Told { asked, answered, said, high_water: self.high_water })
    }

    fn ask(&mut self) -> Judgement {
        self.ask_for(SignedDuration::from_millis(2))
    }

    /// A process that knows nothing, beside the same clocks.
    fn restart(&mut self) {
        let shown = Arc::clone(&self.moments);
        self.clock = DatabaseClock::with_clocks(Tolerance::default(), Arc::new(move || *shown.lock().unwrap()));
    }

    fn vouched_for(&self) -> SignedDuration {
        self.clock.vouched(self.said()).duration_since(self.truth())
    }
}

/// `actual` is `expected` but for what an answer takes.
#[track_caller]
fn about(actual: SignedDuration, expected: SignedDuration) {
    assert!((actual - expected).abs() < SECOND, "{actual:?} is not about {expected:?}");
}

#[test]
fn clocks_that_agree_are_trusted() {
    let mut world = World::new();
    assert_eq!(world.clock.vouched(world.said()), world.said());
    about(world.clock.vouched(later(start(), QUARTER)).duration_since(start()), SignedDuration::ZERO);
    for _ in 0..100 {
        let judgement = world.ask();
        assert_eq!((judgement.verdict, judgement.skew), (Verdict::Well, SignedDuration::ZERO));
        assert!(world.clock.is_trusted());
        world.pass(SECOND);
    }
    assert_eq!(world.clock.vouched(world.said()), world.said());
    about(world.clock.expected().now.duration_since(world.said()), SignedDuration::ZERO);
}

#[test]
fn a_database_that_jumps_ahead_or_back_is_not_believed_until_it_comes_back() {
    for jump in [QUARTER, -QUARTER, SignedDuration::from_secs(61), SignedDuration::from_secs(-61)] {
        let mut world = World::new();
        world.ask();
        world.pass(SECOND).database = jump;
        about(world.vouched_for(), SignedDuration::ZERO);
        for _ in 0..100 {
            let judgement = world.pass(SECOND).ask();
            assert_eq!((judgement.verdict, world.clock.is_trusted()), (Verdict::Untrusted, false), "{judgement:?}");
            about(judgement.skew, jump);
            about(world.vouched_for(), SignedDuration::ZERO);
        }
        world.database = SignedDuration::ZERO;
        assert_eq!((world.ask().verdict, world.clock.is_trusted()), (Verdict::Well, true));
    }
}

#[test]
fn beyond_half_a_minute_there_is_an_alert_and_beyond_a_minute_no_trust() {
    for (seconds, verdict) in [
        (29, Verdict::Well),
        (-29, Verdict::Well),
        (31, Verdict::Off),
        (-31, Verdict::Off),
        (59, Verdict::Off),
        (61, Verdict::Untrusted),
    ] {
        let mut world = World::new();
        world.ask();
        world.database = SignedDuration::from_secs(seconds);
        let judgement = world.ask();
        assert_eq!(judgement.verdict, verdict, "{seconds}");
        about(judgement.skew, world.database);
        assert_eq!(world.clock.is_trusted(), verdict != Verdict::Untrusted);
        let believed = if verdict == Verdict::Untrusted { SignedDuration::ZERO } else { world.database };
        about(world.vouched_for(), believed);
    }
}

#[test]
fn clocks_that_slew_together_are_followed() {
    let mut world = World::new();
    for _ in 0..1_000 {
        let judgement = world.pass(SECOND).ask();
        assert_eq!(judgement.verdict, Verdict::Well, "{judgement:?}");
        world.database += SignedDuration::from_millis(500);
        world.machine += SignedDuration::from_millis(500);
    }
    assert!(world.database > SignedDuration::from_secs(400));
    assert_eq!(world.clock.vouched(world.said()), world.said());
}

#[test]
fn a_database_that_creeps_away_is_caught_by_this_machine_s_clock_and_its_lead_is_bounded() {
    let mut world = World::new();
    let mut caught = 0;
    for _ in 0..100 {
        caught += u32::from(world.pass(SECOND).ask().verdict == Verdict::Untrusted);
        world.database += SignedDuration::from_secs(10);
    }
    assert!(caught > 90, "{caught}");
    about(world.vouched_for(), SignedDuration::from_secs(60));
}

#[test]
fn clocks_that_jump_together_are_believed_only_after_a_restart_or_when_they_come_back() {
    for restarts in [true, false] {
        let mut world = World::new();
        world.ask();
        world.high_water = Some(world.truth());
        (world.database, world.machine) = (QUARTER, QUARTER);
        for _ in 0..100 {
            let judgement = world.pass(SECOND).ask();
            assert_eq!((judgement.verdict, judgement.against), (Verdict::Untrusted, Witness::Before));
            assert!(judgement.machine_agrees);
            about(world.vouched_for(), SignedDuration::ZERO);
        }
        if restarts {
            world.restart();
        } else {
            (world.database, world.machine) = (SignedDuration::ZERO, SignedDuration::ZERO);
        }
        assert_eq!(world.pass(SECOND).ask().verdict, Verdict::Well, "{restarts}");
        assert_eq!(world.clock.vouched(world.said()), world.said());
    }
}

#[test]
fn a_machine_whose_own_clock_is_wrong_stops_its_sweeps_and_goes_on_deciding_by_the_database() {
    let mut world = World::new();
    world.ask();
    world.machine = -QUARTER;
    for _ in 0..100 {
        let judgement = world.pass(SECOND).ask();
        assert_eq!((judgement.verdict, judgement.against), (Verdict::Untrusted, Witness::Machine));
        assert!(!judgement.machine_agrees);
        assert_eq!(world.clock.vouched(world.said()), world.said());
    }
    world.machine = SignedDuration::ZERO;
    assert_eq!(world.pass(SECOND).ask().verdict, Verdict::Well);
}

#[test]
fn a_process_that_starts_while_the_database_is_ahead_goes_by_the_earlier_clock() {
    for (database, machine, believed) in [
        (QUARTER, SignedDuration::ZERO, SignedDuration::ZERO),
        (SignedDuration::ZERO, QUARTER, SignedDuration::ZERO),
        // Behind what was seen already: the other is right.
        (-QUARTER, SignedDuration::ZERO, SignedDuration::ZERO),
        (SignedDuration::ZERO, -QUARTER, SignedDuration::ZERO),
    ] {
        let mut world = World::new();
        world.high_water = Some(world.truth());
        (world.database, world.machine) = (database, machine);
        let judgement = world.ask();
        assert_eq!((judgement.verdict, world.clock.is_trusted()), (Verdict::Untrusted, false));
        about(world.pass(SECOND).vouched_for(), believed);
        (world.database, world.machine) = (SignedDuration::ZERO, SignedDuration::ZERO);
        assert_eq!(world.pass(SECOND).ask().verdict, Verdict::Well, "{database:?} {machine:?}");
        assert_eq!(world.clock.vouched(world.said()), world.said());
    }
}

#[test]
fn a_clock_behind_the_high_water_mark_is_not_trusted_although_all_others_agree() {
    let mut world = World::new();
    world.high_water = Some(later(start(), SignedDuration::from_hours(1)));
    let judgement = world.ask();
    assert_eq!((judgement.verdict, judgement.against), (Verdict::Untrusted, Witness::HighWater));
    world.high_water = Some(later(start(), SignedDuration::from_hours(-1)));
    assert_eq!(world.ask().verdict, Verdict::Well, "time that has passed is no fault");
}

#[test]
fn an_answer_that_takes_long_and_a_process_that_was_frozen_are_no_fault() {
    let mut world = World::new();
    let long = SignedDuration::from_mins(10);
    assert_eq!(world.ask_for(long).verdict, Verdict::Well);
    assert!(!world.clock.is_trusted(), "it leaves open what time it is now");
    world.ask();
    let judgement = world.ask_for(long);
    assert_eq!((judgement.verdict, judgement.skew), (Verdict::Well, SignedDuration::ZERO));
    assert!(world.clock.is_trusted());
    world.pass(SignedDuration::from_hours(48));
    assert_eq!(world.clock.expected().now, later(world.said(), SignedDuration::from_millis(1)));
    assert_eq!(world.clock.vouched(world.said()), world.said());
    assert_eq!(world.ask().verdict, Verdict::Well);
}
