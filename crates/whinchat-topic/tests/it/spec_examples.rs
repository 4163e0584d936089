//! The rules and examples of section 4.7, on the plain definition and on both indexes.

use whinchat_topic::{FilterIndex, NameIndex, TopicErrorKind, TopicFilter, TopicName};

/// Asserts what a filter does to a name, by the definition and by each index.
#[track_caller]
fn check(filter: &str, name: &str, expected: bool) {
    let filter = TopicFilter::new(filter).expect("a valid filter");
    let name = TopicName::new(name).expect("a valid name");
    assert_eq!(
        filter.matches(name),
        expected,
        "definition: {filter} against {name}"
    );

    let mut filters = FilterIndex::new();
    filters.insert(filter, (), ());
    let mut found = 0;
    filters.for_each_match(name, |_, _| found += 1);
    assert_eq!(
        found,
        usize::from(expected),
        "filter index: {filter} against {name}"
    );

    let mut names = NameIndex::new();
    names.insert(name, ());
    let mut found = 0;
    names.for_each_match(filter, |_, _| found += 1);
    assert_eq!(
        found,
        usize::from(expected),
        "name index: {filter} against {name}"
    );
}

#[track_caller]
fn matches(filter: &str, names: &[&str]) {
    names.iter().for_each(|name| check(filter, name, true));
}

#[track_caller]
fn rejects(filter: &str, names: &[&str]) {
    names.iter().for_each(|name| check(filter, name, false));
}

#[track_caller]
fn invalid_filter(text: &str, expected: TopicErrorKind) {
    let error = TopicFilter::new(text).expect_err("an invalid filter");
    assert_eq!(error.kind(), expected, "{text:?}");
    assert_eq!(error.reason_code(), 0x8F);
}

mod v5 {
    use super::*;

    #[test]
    fn mqtt_4_7_0_1_wildcards_are_not_for_topic_names() {
        for (text, at) in [("a/+", 2), ("#", 0), ("a+b", 1), ("sport/#", 6)] {
            let error = TopicName::new(text).expect_err("a wildcard");
            assert_eq!(error.kind(), TopicErrorKind::Wildcard { at });
            assert_eq!(error.reason_code(), 0x90);
        }
    }

    #[test]
    fn mqtt_4_7_1_1_multi_level_wildcard_is_the_last_level_and_matches_the_parent() {
        matches(
            "sport/tennis/player1/#",
            &[
                "sport/tennis/player1",
                "sport/tennis/player1/ranking",
                "sport/tennis/player1/score/wimbledon",
            ],
        );
        rejects(
            "sport/tennis/player1/#",
            &["sport/tennis", "sport/tennis/player2"],
        );
        matches("sport/#", &["sport", "sport/", "sport//x"]);
        matches("#", &["a", "/", "a/b/c"]);
        invalid_filter("sport/tennis#", TopicErrorKind::WildcardNotAlone { at: 12 });
        invalid_filter(
            "sport/tennis/#/ranking",
            TopicErrorKind::MultiLevelNotLast { at: 13 },
        );
        invalid_filter("#/a", TopicErrorKind::MultiLevelNotLast { at: 0 });
        invalid_filter("a#", TopicErrorKind::WildcardNotAlone { at: 1 });
        invalid_filter("##", TopicErrorKind::WildcardNotAlone { at: 0 });
        invalid_filter("#/", TopicErrorKind::MultiLevelNotLast { at: 0 });
    }

    #[test]
    fn mqtt_4_7_1_2_single_level_wildcard_fills_a_level_and_matches_one() {
        matches(
            "sport/tennis/+",
            &[
                "sport/tennis/player1",
                "sport/tennis/player2",
                "sport/tennis/",
            ],
        );
        rejects(
            "sport/tennis/+",
            &["sport/tennis/player1/ranking", "sport/tennis"],
        );
        rejects("sport/+", &["sport"]);
        matches("sport/+", &["sport/"]);
        matches("+/tennis/#", &["a/tennis", "/tennis/b"]);
        matches("sport/+/player1", &["sport/tennis/player1"]);
        invalid_filter("sport+", TopicErrorKind::WildcardNotAlone { at: 5 });
        invalid_filter("+a", TopicErrorKind::WildcardNotAlone { at: 0 });
        invalid_filter("a/++/b", TopicErrorKind::WildcardNotAlone { at: 2 });
        invalid_filter("+/+#", TopicErrorKind::WildcardNotAlone { at: 2 });
    }

    #[test]
    fn v311_mqtt_4_7_1_3_a_leading_separator_makes_an_empty_first_level() {
        matches("+/+", &["/finance"]);
        matches("/+", &["/finance"]);
        rejects("+", &["/finance"]);
    }

    /// T-37
    #[test]
    fn mqtt_4_7_2_1_a_leading_wildcard_does_not_match_a_leading_dollar() {
        rejects("#", &["$SYS/broker/uptime", "$SYS", "$"]);
        rejects("+/monitor/Clients", &["$SYS/monitor/Clients"]);
        rejects("+", &["$SYS"]);
        rejects("+/#", &["$SYS/a"]);
        matches("$SYS/#", &["$SYS/broker/uptime", "$SYS"]);
        matches("$SYS/monitor/+", &["$SYS/monitor/Clients"]);
        matches("+/$SYS", &["a/$SYS"]);
    }

    #[test]
    fn mqtt_4_7_3_1_at_least_one_character() {
        invalid_filter("", TopicErrorKind::Empty);
        assert_eq!(
            TopicName::new("").expect_err("empty").kind(),
            TopicErrorKind::Empty
        );
        matches("/", &["/"]);
    }

    #[test]
    fn mqtt_4_7_3_2_no_null() {
        invalid_filter("a\0/+", TopicErrorKind::Null { at: 1 });
        let error = TopicName::new("a/\0").expect_err("U+0000");
        assert_eq!(error.kind(), TopicErrorKind::Null { at: 2 });
    }

    #[test]
    fn mqtt_4_7_3_3_at_most_65535_bytes() {
        let longest = "a".repeat(65_535);
        matches(&longest, &[&longest]);
        let too_long = "a".repeat(65_536);
        invalid_filter(&too_long, TopicErrorKind::TooLong { len: 65_536 });
        assert!(TopicName::new(&too_long).is_err());
    }

    #[test]
    fn mqtt_4_7_3_4_nothing_is_normalised_or_folded() {
        rejects("ACCOUNTS", &["Accounts"]);
        rejects("\u{e9}", &["e\u{301}"]);
        rejects("accounts/", &["accounts"]);
        matches("Accounts payable", &["Accounts payable"]);
    }
}
