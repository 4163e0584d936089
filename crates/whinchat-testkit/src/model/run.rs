//! Runs a model for so many steps, each case from a seed of its own.

use std::{
    fmt,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use proptest::test_runner::{
    Config, FailurePersistence, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner,
};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

/// Steps of one case.
const STEPS_PER_CASE: Range<usize> = 20..240;

/// How long a run goes on, and where it begins.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The seed of the first case; each further one has the next.
    pub seed: u64,
    /// Steps after which no further case begins.
    pub steps: u64,
    /// Time after which no further case begins.
    pub time: Option<Duration>,
}

/// What a run has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Cases from the first seed on.
    pub cases: u64,
    /// Steps in all.
    pub steps: u64,
}

/// A case that failed, shrunk.
#[derive(Debug)]
pub struct Failure {
    /// What was wrong.
    pub reason: String,
    /// Its seed.
    pub seed: u64,
    /// Steps that had been taken when it was found, shrinking not counted.
    pub steps: u64,
    /// What the case began with, and its steps, one per line.
    pub course: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reason,
            seed,
            steps,
            course,
        } = self;
        write!(f, "{reason}\nseed {seed}, after {steps} steps:\n{course}")
    }
}

/// Runs cases of a model until one fails, or the plan is done.
///
/// # Errors
/// The first case that fails.
pub fn run<M: StateMachineTest>(plan: Plan) -> Result<Done, Box<Failure>> {
    let began = Instant::now();
    let mut done = Done { cases: 0, steps: 0 };
    while done.steps < plan.steps && plan.time.is_none_or(|time| began.elapsed() < time) {
        let seed = plan.seed.wrapping_add(done.cases);
        done.steps += run_case::<M>(seed).map_err(|mut failure| {
            failure.steps += done.steps;
            failure
        })?;
        done.cases += 1;
    }
    Ok(done)
}

/// Leaves out what is not needed to fail: halves first, then less and less. Every sequence of steps
/// is a valid one, so nothing has to be checked. The reason of the last failure.
fn shrink<T: Clone>(steps: &mut Vec<T>, fails: impl Fn(&[T]) -> Option<String>) -> Option<String> {
    let mut last = None;
    let mut piece = steps.len();
    while piece > 0 {
        let before = steps.len();
        let mut end = steps.len();
        while end > 0 {
            let start = end.saturating_sub(piece);
            let fewer = [&steps[..start], &steps[end..]].concat();
            if let Some(reason) = fails(&fewer) {
                *steps = fewer;
                last = Some(reason);
            }
            end = start;
        }
        // The smallest piece is tried for as long as it helps.
        if piece > 1 || steps.len() == before {
            piece /= 2;
        }
    }
    last
}

/// What a panic said.
fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

/// One case; its steps.
fn run_case<M: StateMachineTest>(seed: u64) -> Result<u64, Box<Failure>> {
    let config = Config {
        cases: 1,
        failure_persistence: None::<Box<dyn FailurePersistence>>,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config.clone(), random);
    let steps = std::cell::Cell::new(0);
    let outcome = runner.run(
        &M::Reference::sequential_strategy(STEPS_PER_CASE),
        |(state, transitions, seen)| {
            if seen.is_some() {
                steps.set(transitions.len() as u64);
            }
            M::test_sequential(config.clone(), state, transitions, seen);
            Ok::<(), TestCaseError>(())
        },
    );
    match outcome {
        Ok(()) => Ok(steps.get()),
        Err(TestError::Abort(reason)) => Err(Box::new(Failure {
            reason: reason.to_string(),
            seed,
            steps: steps.get(),
            course: String::new(),
        })),
        Err(TestError::Fail(reason, (state, mut transitions, _))) => {
            let fails = |transitions: &[_]| -> Option<String> {
                let course = (config.clone(), state.clone(), transitions.to_vec());
                let play = AssertUnwindSafe(|| {
                    let (config, state, transitions) = course;
                    M::test_sequential(config, state, transitions, None);
                });
                Some(text_of(&*catch_unwind(play).err()?))
            };
            let reason = shrink(&mut transitions, fails).unwrap_or_else(|| reason.to_string());
            let mut course = format!("  {state:?}\n");
            for transition in &transitions {
                course += &format!("  {transition:?}\n");
            }
            Err(Box::new(Failure {
                reason,
                seed,
                steps: steps.get(),
                course,
            }))
        }
    }
}
