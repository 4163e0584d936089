//! Section 4.8.2: the `$share` form, and groups beside plain subscriptions.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use whinchat_topic::{
    FilterIndex, GroupId, SharedFilter, SharedFilterBuf, SharedGroups, Subscribed, TopicErrorKind,
    TopicFilter, TopicName, TopicPart,
};

#[track_caller]
fn shared(text: &str) -> SharedFilter<'_> {
    match Subscribed::parse(text) {
        Ok(Subscribed::Shared(shared)) => shared,
        other => panic!("{text:?} gave {other:?}"),
    }
}

#[track_caller]
fn refused(text: &str, part: TopicPart, kind: TopicErrorKind) {
    let error = Subscribed::parse(text).expect_err("an invalid shared filter");
    assert_eq!((error.part(), error.kind()), (part, kind), "{text:?}");
    assert_eq!(error.reason_code(), 0x8F, "{text:?}");
}

#[test]
fn v5_mqtt_4_8_2_1_a_share_name_has_a_character_and_a_filter_follows() {
    let filter = shared("$share/consumer1/sport/tennis/+");
    assert_eq!(
        (filter.group(), filter.filter().as_str()),
        ("consumer1", "sport/tennis/+")
    );
    assert_eq!(shared("$share/g//finance").filter().as_str(), "/finance");
    assert_eq!(shared("$share/g/#").filter().as_str(), "#");
    refused("$share", TopicPart::ShareName, TopicErrorKind::Empty);
    refused("$share/", TopicPart::ShareName, TopicErrorKind::Empty);
    refused("$share/g", TopicPart::ShareName, TopicErrorKind::NoFilter);
    refused("$share/g/", TopicPart::Filter, TopicErrorKind::Empty);
    refused("$share//t", TopicPart::ShareName, TopicErrorKind::Empty);
    refused(
        "$share/g/a#",
        TopicPart::Filter,
        TopicErrorKind::WildcardNotAlone { at: 1 },
    );
    let error = SharedFilter::new("g/h", TopicFilter::new("t").unwrap()).unwrap_err();
    assert_eq!(error.kind(), TopicErrorKind::Separator { at: 1 });
}

#[test]
fn v5_mqtt_4_8_2_2_a_share_name_has_no_wildcard() {
    refused(
        "$share/g+/t",
        TopicPart::ShareName,
        TopicErrorKind::Wildcard { at: 1 },
    );
    refused(
        "$share/+/t",
        TopicPart::ShareName,
        TopicErrorKind::Wildcard { at: 0 },
    );
    refused("$share/#", TopicPart::ShareName, TopicErrorKind::NoFilter);
    refused(
        "$share/a#b/t",
        TopicPart::ShareName,
        TopicErrorKind::Wildcard { at: 1 },
    );
    refused(
        "$share/g\0/t",
        TopicPart::Filter,
        TopicErrorKind::Null { at: 8 },
    );
}

#[test]
fn other_names_that_begin_alike_are_plain() {
    for text in [
        "$shared/g/t",
        "$sharex",
        "share/g/t",
        "/$share/g/t",
        "$SHARE/g/t",
    ] {
        assert!(
            matches!(Subscribed::parse(text), Ok(Subscribed::Plain(_))),
            "{text:?}"
        );
    }
    assert_eq!(
        "t".parse::<SharedFilterBuf>().unwrap_err().kind(),
        TopicErrorKind::NotShared
    );
}

#[test]
fn the_whole_shared_text_has_at_most_65535_bytes() {
    let rest = "t".repeat(65_535 - "$share/g/".len());
    assert_eq!(shared(&format!("$share/g/{rest}")).filter().as_str(), rest);
    refused(
        &format!("$share/g/{rest}t"),
        TopicPart::Filter,
        TopicErrorKind::TooLong { len: 65_536 },
    );
}

#[test]
fn unsubscribing_a_filter_leaves_the_group_with_the_same_filter_and_the_reverse() {
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    enum Subscriber {
        Session(u32),
        Group(GroupId),
    }
    let in_group = shared("$share/g/t");
    let plain = TopicFilter::new("t").unwrap();
    for group_first in [true, false] {
        let mut groups = SharedGroups::new();
        let mut index = FilterIndex::new();
        let (group, _) = groups.join(in_group, 1_u32, ());
        index.insert(plain, Subscriber::Session(1), ());
        index.insert(in_group.filter(), Subscriber::Group(group), ());

        let (gone, left) = if group_first {
            assert_eq!(groups.leave(in_group, &1), Some((group, ())));
            assert!(groups.members(group).is_empty());
            (Subscriber::Group(group), Subscriber::Session(1))
        } else {
            (Subscriber::Session(1), Subscriber::Group(group))
        };
        assert_eq!(index.remove(plain, &gone), Some(()));
        let mut found = Vec::new();
        index.for_each_match(TopicName::new("t").unwrap(), |&key, ()| found.push(key));
        assert_eq!(found, [left]);
    }
}

#[test]
fn the_same_share_name_with_another_filter_is_another_group() {
    let mut groups = SharedGroups::new();
    let (a, _) = groups.join(shared("$share/g/a"), 1, ());
    let (b, _) = groups.join(shared("$share/g/b"), 1, ());
    let (h, _) = groups.join(shared("$share/h/a"), 1, ());
    assert_eq!(BTreeSet::from([a, b, h]).len(), 3);
    assert_eq!(groups.shared_filter(h).unwrap().to_string(), "$share/h/a");
}

proptest! {
    #[test]
    fn groups_agree_with_a_plain_map(
        steps in vec((any::<bool>(), 0..40_usize, 0..40_u8, any::<u8>()), 0..400),
    ) {
        let filters: Vec<SharedFilterBuf> =
            (0..40).map(|n| format!("$share/g{}/t/{}", n % 5, n / 5).parse().unwrap()).collect();
        let mut groups = SharedGroups::new();
        let mut model = BTreeMap::<usize, BTreeMap<u8, u8>>::new();
        for (join, nth, key, value) in steps {
            let filter = filters[nth].as_shared_filter();
            let members = model.entry(nth).or_default();
            if join {
                let (group, replaced) = groups.join(filter, key, value);
                prop_assert_eq!(replaced, members.insert(key, value));
                prop_assert_eq!(groups.get(group, &key), Some(&value));
            } else {
                let left = groups.leave(filter, &key).map(|(_, value)| value);
                prop_assert_eq!(left, members.remove(&key));
            }
        }
        model.retain(|_, members| !members.is_empty());
        prop_assert_eq!(groups.len(), model.len());
        for (nth, filter) in filters.iter().enumerate() {
            let group = groups.id_of(filter.as_shared_filter());
            prop_assert_eq!(group.is_some(), model.contains_key(&nth));
            if let Some(group) = group {
                prop_assert_eq!(groups.shared_filter(group), Some(filter.as_shared_filter()));
                let members: BTreeMap<_, _> = groups.members(group).iter().copied().collect();
                prop_assert_eq!(&members, &model[&nth]);
            }
        }
    }
}
