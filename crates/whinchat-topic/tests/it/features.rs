//! What the optional features add.

#[cfg(feature = "serde")]
mod serde {
    use whinchat_topic::{SharedFilterBuf, TopicFilterBuf, TopicNameBuf};

    #[test]
    fn names_and_filters_are_strings_in_json() {
        let name = TopicNameBuf::new("caf\u{e9}/\"1\"").unwrap();
        let json = serde_json::to_string(&name).unwrap();
        assert_eq!(json, r#""café/\"1\"""#);
        assert_eq!(serde_json::from_str::<TopicNameBuf>(&json).unwrap(), name);
        let shared: SharedFilterBuf = serde_json::from_str(r##""$share/g/a/#""##).unwrap();
        assert_eq!(
            serde_json::to_string(&shared).unwrap(),
            r##""$share/g/a/#""##
        );
    }

    #[test]
    fn what_is_read_is_checked() {
        assert!(serde_json::from_str::<TopicNameBuf>(r#""a/+""#).is_err());
        let error = serde_json::from_str::<TopicFilterBuf>(r##""#/a""##).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("topic filter: # at byte 0 is not the last level")
        );
        assert!(serde_json::from_str::<SharedFilterBuf>(r#""a/b""#).is_err());
    }
}

#[cfg(feature = "arbitrary")]
mod arbitrary {
    use arbitrary::{Arbitrary, Unstructured};
    use whinchat_topic::{Subscribed, TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf};

    #[test]
    fn any_bytes_make_valid_names_and_filters() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut matches = 0;
        for _ in 0..5_000 {
            let bytes: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
            let mut input = Unstructured::new(&bytes);
            let name = TopicNameBuf::arbitrary(&mut input).unwrap();
            let filter = TopicFilterBuf::arbitrary(&mut input).unwrap();
            assert!(TopicName::new(name.as_str()).is_ok());
            assert!(TopicFilter::new(filter.as_str()).is_ok());
            matches += usize::from(filter.matches(&name));
        }
        assert!(matches > 50, "they meet often enough to test a match");
        let mut input = Unstructured::new(b"abcdefgh");
        let shared = whinchat_topic::SharedFilterBuf::arbitrary(&mut input).unwrap();
        assert!(Subscribed::parse(&shared.to_string()).is_ok());
    }
}

#[cfg(feature = "proptest")]
mod proptest {
    use proptest::prelude::*;
    use whinchat_topic::{
        SharedFilterBuf, Subscribed, TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf,
    };

    proptest! {
        #[test]
        fn strategies_make_what_they_say(
            name in any::<TopicNameBuf>(),
            filter in any::<TopicFilterBuf>(),
            shared in any::<SharedFilterBuf>(),
        ) {
            prop_assert!(TopicName::new(name.as_str()).is_ok());
            prop_assert!(TopicFilter::new(filter.as_str()).is_ok());
            let text = shared.to_string();
            prop_assert_eq!(Subscribed::parse(&text), Ok(Subscribed::Shared(shared.as_shared_filter())));
        }
    }
}
