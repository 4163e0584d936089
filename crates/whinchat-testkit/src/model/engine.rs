//! Two engines, a client and a server, and the plain list of what each owes the other.
//!
//! The bytes between them arrive in pieces of any size or not at all; applications decide late and in
//! any order; logs commit late; either end restarts from what it exported. Read first: `ledger`.

mod end;
mod step;
mod world;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use whinchat_codec::ProtocolVersion;

pub use self::{
    step::{SideName, Step},
    world::World,
};

/// What decides which steps make sense, and what two ends the case is about.
#[derive(Clone, Debug)]
pub struct Sketch {
    version: ProtocolVersion,
    /// Effects have tickets, which are committed late.
    is_durable: bool,
    /// The server's Receive Maximum, and how much either end has in flight.
    receive_maximum: u16,
    is_connected: bool,
}

/// The model of the engine.
#[derive(Debug)]
pub struct Engine;

impl ReferenceStateMachine for Engine {
    type State = Sketch;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Sketch> {
        let version = prop_oneof![
            4 => Just(ProtocolVersion::V5),
            2 => Just(ProtocolVersion::V311),
            1 => Just(ProtocolVersion::V31),
        ];
        (version, any::<bool>(), 1_u16..6)
            .prop_map(|(version, is_durable, receive_maximum)| Sketch {
                version,
                is_durable,
                receive_maximum,
                is_connected: false,
            })
            .boxed()
    }

    fn transitions(sketch: &Sketch) -> BoxedStrategy<Step> {
        Step::any(sketch.is_connected)
    }

    fn apply(mut sketch: Sketch, step: &Step) -> Sketch {
        match step {
            Step::Connect { .. } => sketch.is_connected = true,
            Step::Cut | Step::Restart(_) => sketch.is_connected = false,
            _ => {}
        }
        sketch
    }
}

impl StateMachineTest for Engine {
    type SystemUnderTest = World;
    type Reference = Self;

    fn init_test(sketch: &Sketch) -> World {
        World::new(sketch.version, sketch.is_durable, sketch.receive_maximum)
    }

    fn apply(mut world: World, _: &Sketch, step: Step) -> World {
        world.take(&step);
        world
    }

    fn teardown(mut world: World, _: Sketch) {
        world.finish();
    }
}
