//! Names, filters and matches by the words of the specification.

use std::cmp::Ordering;

use whinchat_topic::{Subscribed, TopicError, TopicFilter, TopicName};

/// Two lines of text, a filter and a name: each is accepted exactly when section 4.7 of MQTT 5.0 says so, `$share` by
/// section 4.8.2, they match by the rules of the wildcards, and two names are ordered level by level.
pub fn matching(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (first, second) = text.split_once('\n').unwrap_or((text, text));
    for text in [first, second] {
        let found = TopicFilter::new(text);
        assert_eq!(found.is_ok(), is_filter(text), "{text:?}: {found:?}");
        check_error(text, found.err(), 0x8F);
        let found = TopicName::new(text);
        assert_eq!(found.is_ok(), is_name(text), "{text:?}: {found:?}");
        check_error(text, found.err(), 0x90);
        check_shared(text);
    }
    if let (Ok(filter), Ok(name)) = (TopicFilter::new(first), TopicName::new(second)) {
        let (levels, names): (Vec<_>, Vec<_>) =
            (first.split('/').collect(), second.split('/').collect());
        let is_hidden = second.starts_with('$') && matches!(levels[0], "+" | "#");
        let expected = !is_hidden && matches(&levels, &names);
        assert_eq!(filter.matches(name), expected, "{first:?} and {second:?}");
        assert_eq!(filter.is_wildcard(), first.contains(['+', '#']));
    }
    if let (Ok(one), Ok(other)) = (TopicName::new(first), TopicName::new(second)) {
        let expected = first.split('/').cmp(second.split('/'));
        assert_eq!(one.cmp(other), expected, "{first:?} and {second:?}");
        assert_eq!(expected == Ordering::Equal, one == other);
        let count = first.matches('/').count() + 1;
        assert!(one.check_levels(count).is_ok() && one.check_levels(count - 1).is_err());
    }
}

fn is_name(text: &str) -> bool {
    is_text(text) && !text.contains(['+', '#'])
}

fn is_filter(text: &str) -> bool {
    let levels: Vec<_> = text.split('/').collect();
    is_text(text)
        && (1..).zip(&levels).all(|(place, level)| match *level {
            "+" => true,
            "#" => place == levels.len(),
            level => !level.contains(['+', '#']),
        })
}

fn is_text(text: &str) -> bool {
    (1..=65_535).contains(&text.len()) && !text.contains('\0')
}

fn matches(filter: &[&str], name: &[&str]) -> bool {
    match (filter, name) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, name @ ..]) => matches(filter, name),
        ([level, filter @ ..], [same, name @ ..]) => level == same && matches(filter, name),
        ([], _) | (_, []) => false,
    }
}

fn check_error(text: &str, error: Option<TopicError>, code: u8) {
    if let Some(error) = error {
        assert_eq!(error.reason_code(), code, "{text:?}: {error}");
        assert!(!error.to_string().is_empty());
    }
}

fn check_shared(text: &str) {
    let found = Subscribed::parse(text);
    let expected = match text.split('/').collect::<Vec<_>>()[..] {
        ["$share"] => None,
        ["$share", group, ref rest @ ..] => {
            let filter = rest.join("/");
            (is_text(text)
                && !group.is_empty()
                && !group.contains(['+', '#'])
                && is_filter(&filter))
            .then_some((Some(group.to_owned()), filter))
        }
        _ => is_filter(text).then(|| (None, text.to_owned())),
    };
    if let Ok(Subscribed::Shared(shared)) = found {
        assert_eq!(shared.to_string(), text);
    }
    let found = found.map(|found| match found {
        Subscribed::Plain(filter) => (None, filter.to_string()),
        Subscribed::Shared(shared) => {
            (Some(shared.group().to_owned()), shared.filter().to_string())
        }
    });
    check_error(text, found.as_ref().err().copied(), 0x8F);
    assert_eq!(found.ok(), expected, "{text:?}");
}
