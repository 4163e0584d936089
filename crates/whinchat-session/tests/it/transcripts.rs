//! The scenes in `testdata/`, one test per chapter and version.

use whinchat_testkit::transcript;

macro_rules! chapters {
    ($($version:ident { $($chapter:ident)+ })+) => {
        $(mod $version {
            use super::*;

            $(
                #[test]
                fn $chapter() {
                    const TEXT: &str = include_str!(concat!(
                        "../../testdata/",
                        stringify!($version),
                        "/",
                        stringify!($chapter),
                        ".txt"
                    ));
                    transcript::check(
                        concat!(stringify!($version), "/", stringify!($chapter), ".txt"),
                        TEXT,
                    );
                }
            )+
        })+

        #[test]
        fn there_are_enough_of_them() {
            let count: usize = [$($(transcript::count(include_str!(concat!(
                "../../testdata/",
                stringify!($version),
                "/",
                stringify!($chapter),
                ".txt"
            )))),+),+].into_iter().sum();
            assert!(count >= 80, "{count} scenes");
        }
    };
}

chapters! {
    v31 { connect publish }
    v311 { connect keep_alive publish resume subscribe }
    v5 {
        aliases
        auth
        connect
        disconnect
        durable
        expiry
        flow_control
        keep_alive
        packet_size
        problem_information
        qos1
        qos2
        resume
        stray
        subscribe
        wrong_direction
    }
}
