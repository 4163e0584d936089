//! From a random seed, which a failure prints. `cargo xtask models` takes a million steps.

use proptest_state_machine::StateMachineTest;
use whinchat_testkit::model::{
    broker::Broker,
    engine::Engine,
    run::{Plan, run},
};

fn find_nothing<M: StateMachineTest>() {
    let plan = Plan {
        seed: fastrand::u64(..),
        steps: 20_000,
        time: None,
    };
    if let Err(failure) = run::<M>(plan) {
        panic!("{failure}");
    }
}

#[test]
fn two_engines_pay_what_they_owe() {
    find_nothing::<Engine>();
}

#[test]
fn a_broker_pays_what_it_owes() {
    find_nothing::<Broker>();
}
