//! Owns the proptest strategies that make names and filters, for property tests of this crate's
//! users.
//!
//! Half of the levels come from a few common ones, so that filters and names made apart still
//! match now and then; the others are any text that a level can be. `any::<TopicNameBuf>()` and its
//! like give the same.
//!
//! ```
//! use proptest::prelude::*;
//! use whinchat_topic::strategy::{topic_filter, topic_name};
//!
//! proptest!(|(filter in topic_filter(), name in topic_name())| {
//!     prop_assert_eq!(filter.matches(&name), filter.clone().matches(&name));
//! });
//! ```

use alloc::string::String;

use proptest::arbitrary::Arbitrary;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{SharedFilter, SharedFilterBuf, TopicFilterBuf, TopicNameBuf};

/// Valid topic names of 1 to 8 levels.
pub fn topic_name() -> impl Strategy<Value = TopicNameBuf> {
    let text = vec(level(), 1..=8).prop_map(|levels| levels.join("/"));
    text.prop_filter_map("a name has a character", |text| {
        TopicNameBuf::new(text).ok()
    })
}

/// Valid topic filters of 1 to 8 levels, with wildcards in many of them.
pub fn topic_filter() -> impl Strategy<Value = TopicFilterBuf> {
    let level = prop_oneof![2 => level(), 1 => Just(String::from("+"))];
    let levels = (vec(level, 0..=7), prop::bool::weighted(0.25));
    let text = levels.prop_map(|(mut levels, multi)| {
        if multi || levels.is_empty() {
            levels.push(String::from("#"));
        }
        levels.join("/")
    });
    text.prop_filter_map("a filter has a character", |text| {
        TopicFilterBuf::new(text).ok()
    })
}

/// Valid shared filters: a ShareName and any of [`topic_filter`].
pub fn shared_filter() -> impl Strategy<Value = SharedFilterBuf> {
    let group = prop_oneof![Just(String::from("g")), "[^/+#\u{0}]{1,12}"];
    (group, topic_filter()).prop_filter_map("the two fit together", |(group, filter)| {
        SharedFilter::new(&group, &filter)
            .ok()
            .map(|shared| shared.to_owned())
    })
}

fn level() -> impl Strategy<Value = String> {
    let common = prop::sample::select(["a", "b", "sensors", "$SYS", ""].as_slice());
    prop_oneof![common.prop_map(String::from), "[^/+#\u{0}]{0,24}"]
}

macro_rules! any_of {
    ($($Type:ident from $strategy:ident;)*) => { $(
        impl Arbitrary for $Type {
            type Parameters = ();
            type Strategy = BoxedStrategy<Self>;

            fn arbitrary_with((): ()) -> Self::Strategy {
                $strategy().boxed()
            }
        }
    )* };
}

any_of! {
    TopicNameBuf from topic_name;
    TopicFilterBuf from topic_filter;
    SharedFilterBuf from shared_filter;
}
