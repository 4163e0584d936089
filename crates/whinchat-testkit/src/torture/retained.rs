//! What may be found in the retained topics: the last value that was answered, or one that was sent after it.

use std::collections::{BTreeMap, VecDeque};

use super::finding::{Findings, Kind};

/// A value of a topic: the message that set or cleared it.
#[derive(Clone, Copy)]
struct Value {
    number: u64,
    is_clear: bool,
}

/// Retained topics, each with one publisher.
#[derive(Clone)]
pub(super) struct Retained {
    /// The first one is sure, unless a later one is in force.
    topics: Vec<VecDeque<Value>>,
}

impl Retained {
    pub(super) fn new(topics: usize) -> Self {
        let none = Value {
            number: u64::MAX,
            is_clear: true,
        };
        Self {
            topics: vec![VecDeque::from([none]); topics],
        }
    }

    pub(super) fn name(topic: usize) -> String {
        format!("r/{topic}")
    }

    pub(super) fn set(&mut self, topic: usize, number: u64, is_clear: bool) {
        self.topics[topic].push_back(Value { number, is_clear });
    }

    /// This value is in force, or was until a later one came.
    pub(super) fn finished(&mut self, number: u64) {
        for values in &mut self.topics {
            if let Some(position) = values.iter().position(|value| value.number == number) {
                values.drain(..position);
            }
        }
    }

    pub(super) fn declined(&mut self, number: u64) {
        for values in &mut self.topics {
            values.retain(|value| value.number != number);
        }
    }

    /// The topics that must have some message.
    pub(super) fn sure(&self) -> impl Iterator<Item = usize> {
        let topics = self.topics.iter().enumerate();
        topics.filter_map(|(topic, values)| {
            values.iter().all(|value| !value.is_clear).then_some(topic)
        })
    }

    /// Compares with what a new subscriber was sent, by topic.
    pub(super) fn check(&self, found: &BTreeMap<usize, u64>, cycle: u32, findings: &mut Findings) {
        for (topic, values) in self.topics.iter().enumerate() {
            let name = Self::name(topic);
            let may_be_clear = values.iter().any(|value| value.is_clear);
            let may_be = |number| {
                values
                    .iter()
                    .any(|value| !value.is_clear && value.number == number)
            };
            match found.get(&topic) {
                None if !may_be_clear => findings.add(
                    Kind::Lost,
                    format!("the retained message of {name}, missing in cycle {cycle}"),
                ),
                Some(&number) if !may_be(number) => findings.add(
                    Kind::Resurrected,
                    format!("#{number}, retained in {name}, in cycle {cycle}: it had been cleared or replaced"),
                ),
                None | Some(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Findings, Retained};

    fn found(retained: &Retained, values: &[(usize, u64)]) -> String {
        let mut findings = Findings::default();
        retained.check(
            &BTreeMap::from_iter(values.iter().copied()),
            1,
            &mut findings,
        );
        findings.summary()
    }

    #[test]
    fn the_last_answered_value_or_one_that_was_sent_after_it_may_be_there() {
        let mut retained = Retained::new(1);
        assert_eq!(found(&retained, &[]), "none");
        retained.set(0, 1, false);
        assert_eq!(found(&retained, &[]), "none");
        assert_eq!(found(&retained, &[(0, 1)]), "none");
        retained.finished(1);
        assert_eq!(found(&retained, &[]), "lost 1");
        retained.set(0, 2, true);
        assert_eq!(found(&retained, &[]), "none");
        assert_eq!(found(&retained, &[(0, 1)]), "none");
        retained.finished(2);
        assert_eq!(found(&retained, &[(0, 1)]), "resurrected 1");
    }
}
