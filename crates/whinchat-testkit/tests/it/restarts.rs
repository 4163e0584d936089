//! The transcripts of brokers, on one that begins again whenever nobody is connected.

use whinchat_conformance::{Offers, Options, Verdict, broker_scenes, play, plays};
use whinchat_testkit::stepped_target::SteppedTarget;

/// T-64
#[test]
fn nobody_notices_that_the_broker_began_again_while_nobody_was_connected() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("a runtime without sockets can be made");
    let (passed, restarts, failures) = runtime.block_on(async {
        let mut options = Options::default();
        options.strict = true;
        let offers = Offers::learn(&SteppedTarget::that_restarts(), &options).await;
        let offers = offers.expect("a broker that lets us in");
        let (mut passed, mut restarts, mut failures) = (0, 0, Vec::new());
        for one in plays(broker_scenes()) {
            let target = SteppedTarget::that_restarts();
            let played = play(one, &target, &offers, &options).await;
            restarts += u32::from(target.restarts());
            match played.verdict {
                Verdict::Passed => passed += 1,
                Verdict::Failed(failure) => {
                    failures.push(format!("{}: {}\n{failure}", played.place, played.name));
                }
                Verdict::NotOffered(_) | Verdict::NotTested(_) => {}
            }
        }
        (passed, restarts, failures)
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(
        passed > 500 && restarts > 500,
        "{passed} passed, {restarts} restarts"
    );
}
