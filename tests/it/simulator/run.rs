//! One run: a world made from a seed, its actors, and what was wrong with it in the end.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::simulator::actors::Actor;
use crate::simulator::actors::Part;
use crate::simulator::contents::Content;
use crate::simulator::ledger::Ledger;
use crate::simulator::oracle::examine;
use crate::simulator::weather::Lie;
use crate::simulator::weather::Weather;
use crate::simulator::world::World;
use crate::support::back_up_stream;
use crate::support::init;
use crate::support::open;
use crate::support::scratch;
use sbf_repo::KeyFile;
use sbf_repo::format::keyslot::Role;
use sbf_repo::id::SnapshotId;
use sbf_repo::ops::init::FirstSecret;
use sbf_repo::ops::key::add::AddOptions;
use sbf_repo::ops::key::add::add;
use sbf_repo::testing::MemoryStore;
use sbf_repo::testing::SplitMix;
use sbf_repo::testing::Store;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    /// What must not be.
    pub(crate) wrongs: Vec<String>,
    /// Every call and command, in order.
    pub(crate) trace: Vec<String>,
    /// Snapshots whose writers were told that they are safe.
    pub(crate) acknowledged_count: usize,
}

/// Runs the world of a seed; a store that lies must be found out.
pub(crate) fn run(seed: u64, lie: Option<Lie>) -> Ran {
    let Base { store, keys, written } = base();
    let mut random = SplitMix::new(seed);
    let mut weather = Weather::of(&mut random);
    weather.lie = lie;
    let parts = [
        (Part::Writer, 1 + random.below(4)),
        (Part::Pruner, random.below(3).max(u64::from(lie.is_some()))),
        (Part::Reader, random.below(4)),
    ];
    let parts = parts.iter().flat_map(|(part, count)| (0..*count).map(move |_| *part));
    let parts: Vec<Part> = parts.collect();
    let world = World::new(store.snapshot(), random.below(u64::MAX), weather, parts.len());
    let world = Arc::new(world);
    let mut ledger = Ledger::default();
    for (snapshot, source, content) in written {
        ledger.tries(source, content);
        ledger.acknowledges(*snapshot, source, content);
    }
    let ledger = Mutex::new(ledger);
    let states = keys.each_ref().map(|_| scratch());
    let deeds_count = 2 + random.below(3);
    let panics = std::thread::scope(|scope| {
        let actors: Vec<_> = parts
            .iter()
            .enumerate()
            .map(|(number, &part)| {
                let host = usize::from(random.below(2) == 0);
                let actor = Actor {
                    world: Arc::clone(&world),
                    ledger: &ledger,
                    number,
                    part,
                    key: &keys[host],
                    state: (random.below(2) == 0).then(|| states[host].path()),
                    random: SplitMix::new(random.below(u64::MAX)),
                };
                let world = Arc::clone(&world);
                scope.spawn(move || {
                    let ended = catch_unwind(AssertUnwindSafe(|| actor.play(deeds_count)));
                    world.turns.end_actor(number);
                    ended.is_err()
                })
            })
            .collect();
        actors.into_iter().map(|actor| actor.join().unwrap()).filter(|failed| *failed).count()
    });
    if panics > 0 {
        world.wrong(format!("{panics} actors panicked"));
    }
    world.calm_down();
    world.land_all();
    let ledger = ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
    examine(&world, &keys[0], &ledger);
    let trace = world.trace();
    let acknowledged = ledger.notes().values().filter(|note| note.acknowledged.is_some());
    Ran { wrongs: world.wrongs(), acknowledged_count: acknowledged.count(), trace }
}

/// Where every run begins.
struct Base {
    store: MemoryStore,
    keys: [KeyFile; 2],
    written: Vec<(SnapshotId, String, Content)>,
}

/// A repository with the keys of two clients, and some snapshots that share pieces.
fn base() -> &'static Base {
    static MADE: OnceLock<Base> = OnceLock::new();
    MADE.get_or_init(|| {
        let store = Arc::new(MemoryStore::new());
        let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
        let first = init(&shared, 1).unwrap();
        let mut second = None;
        let options = AddOptions::new(Role::Admin, "second".to_owned(), FirstSecret::KeyFile);
        add(&open(&shared, &first, 2, None).unwrap(), &options, &mut |file| {
            second = Some(file.clone());
            Ok(())
        })
        .unwrap();
        let written = (0..BASE_SNAPSHOTS_COUNT).map(|number| {
            let seed = u64::try_from(number).unwrap() + 3;
            let repository = open(&shared, &first, seed, None).unwrap();
            let pieces = vec![number, number + 1, number + 2];
            let source = format!("source{}", number % 2);
            let bytes = Content::stream(&pieces);
            let report = back_up_stream(&repository, &source, &bytes).unwrap();
            (report.snapshot.unwrap(), source, Content::Stream(pieces))
        });
        let written = written.collect();
        Base { store: store.snapshot(), keys: [first, second.unwrap()], written }
    })
}

const BASE_SNAPSHOTS_COUNT: usize = 4;
