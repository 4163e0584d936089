//! A broker, run step by step, with 2 to 8 clients, and the book of what it has to do.
//!
//! Clients publish, subscribe, answer late or not at all, cut their connections at any byte and come
//! back; time jumps, the log is late, the broker restarts from what it had exported. After every step
//! each packet that left is looked up in the book. Read first: `ledger`, then `book`.

mod book;
mod client;
mod groups;
mod step;
mod watch;
mod world;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use whinchat_codec::ProtocolVersion;

pub use self::{
    step::{ConnectWords, PublishWords, Step, StrayAnswer, WillWords},
    world::World,
};

/// What decides which steps make sense, and what broker the case is about.
#[derive(Clone, Debug)]
pub struct Sketch {
    versions: Vec<ProtocolVersion>,
    shards: u16,
    /// The log commits late, as this seed says.
    late_log: Option<u64>,
    /// Which clients have a connection, bit by bit.
    connected: u16,
}

/// The model of the broker.
#[derive(Debug)]
pub struct Broker;

impl ReferenceStateMachine for Broker {
    type State = Sketch;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Sketch> {
        let version = prop_oneof![
            5 => Just(ProtocolVersion::V5),
            2 => Just(ProtocolVersion::V311),
            1 => Just(ProtocolVersion::V31),
        ];
        let versions = prop::collection::vec(version, 2..=8).no_shrink();
        (versions, 1_u16..4, prop::option::of(any::<u64>()))
            .prop_map(|(versions, shards, late_log)| Sketch {
                versions,
                shards,
                late_log,
                connected: 0,
            })
            .boxed()
    }

    fn transitions(sketch: &Sketch) -> BoxedStrategy<Step> {
        let clients = u8::try_from(sketch.versions.len()).unwrap_or(u8::MAX);
        Step::any(clients, sketch.connected)
    }

    fn apply(mut sketch: Sketch, step: &Step) -> Sketch {
        match step {
            Step::Connect(client, _) => sketch.connected |= 1 << client,
            Step::Cut(client, _) | Step::CutWithin(client, _) | Step::Disconnect { client, .. } => {
                sketch.connected &= !(1 << client);
            }
            Step::Restart(_) => sketch.connected = 0,
            _ => {}
        }
        sketch
    }
}

impl StateMachineTest for Broker {
    type SystemUnderTest = World;
    type Reference = Self;

    fn init_test(sketch: &Sketch) -> World {
        World::new(&sketch.versions, sketch.shards, sketch.late_log)
    }

    fn apply(mut world: World, _: &Sketch, step: Step) -> World {
        world.take(&step);
        world
    }

    fn teardown(mut world: World, _: Sketch) {
        world.finish();
    }
}
