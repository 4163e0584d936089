//! Shared groups against a plain map of maps.

use std::collections::BTreeMap;

use whinchat_topic::{GroupId, SharedFilterBuf, SharedGroups, Subscribed};

use super::super::steps::Steps;
use super::text;

/// Members join and leave: a group is there while it has one, keeps its number, and knows its members.
pub fn shared_groups(data: &[u8]) {
    let mut steps = Steps(data);
    let mut groups = SharedGroups::new();
    let mut plain: BTreeMap<SharedFilterBuf, (GroupId, BTreeMap<u8, u8>)> = BTreeMap::new();
    while let Some(step) = steps.next() {
        let key = steps.byte() % if step & 0x80 == 0 { 3 } else { 64 };
        let text = format!("$share/{}/{}", ["g", "h"][steps.below(2)], text(&mut steps));
        let Ok(Subscribed::Shared(shared)) = Subscribed::parse(&text) else {
            continue;
        };
        if step % 3 < 2 {
            let (id, replaced) = groups.join(shared, key, step);
            let (kept, members) = plain
                .entry(shared.to_owned())
                .or_insert((id, BTreeMap::new()));
            assert_eq!(*kept, id, "{shared} has another number");
            assert_eq!(replaced, members.insert(key, step), "{key} joins {shared}");
        } else {
            let left = groups.leave(shared, &key);
            let expected = plain
                .get_mut(&shared.to_owned())
                .and_then(|(id, members)| Some((*id, members.remove(&key)?)));
            assert_eq!(left, expected, "{key} leaves {shared}");
            plain.retain(|_, (_, members)| !members.is_empty());
            if !plain.contains_key(&shared.to_owned()) {
                assert_eq!(groups.id_of(shared), None);
            }
            if let Some((id, _)) = left {
                assert_eq!(
                    groups.members(id).is_empty(),
                    groups.id_of(shared).is_none()
                );
            }
        }
        assert_eq!(groups.len(), plain.len());
    }
    for (shared, (id, members)) in &plain {
        let shared = shared.as_shared_filter();
        assert_eq!(groups.id_of(shared), Some(*id));
        assert_eq!(groups.shared_filter(*id), Some(shared));
        let found: BTreeMap<_, _> = groups.members(*id).iter().copied().collect();
        assert_eq!((&found, found.len()), (members, groups.members(*id).len()));
        for (key, value) in members {
            assert_eq!(groups.get(*id, key), Some(value));
        }
    }
}
