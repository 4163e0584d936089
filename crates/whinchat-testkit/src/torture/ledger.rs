//! What is owed to whom: every numbered message, who must get it, who must not, and who got it how often.
//!
//! A subscription is *firm* while it, or its absence, has been acknowledged and nothing else was asked since. A message is owed where the
//! subscription was firm from its first sending until its last answer; what lies on a border is owed to nobody and forbidden to nobody.

use std::collections::{HashMap, VecDeque};

use whinchat_codec::QoS;

use super::finding::{Findings, Kind};

/// Most subscribers: one bit each.
pub(super) const SUBSCRIBERS: usize = 8;

/// A set of subscribers, one bit each.
pub(super) type Subscribers = u8;

#[derive(Clone)]
struct Message {
    topic: String,
    cycle: u32,
    sends: u8,
    is_accepted: bool,
    is_finished: bool,
    owed: Subscribers,
    forbidden: Subscribers,
    delivered: Subscribers,
    /// Copies without DUP.
    plain: [u8; SUBSCRIBERS],
}

#[derive(Clone, Default)]
pub(super) struct Ledger {
    /// The number of the first message that is kept.
    first: u64,
    messages: VecDeque<Message>,
    /// The latest that each subscriber got of a topic. A topic has one publisher.
    latest: [HashMap<String, u64>; SUBSCRIBERS],
    pub(super) accepted: u64,
    pub(super) deliveries: u64,
    pub(super) cycle: u32,
}

impl Ledger {
    /// A new message, and for whom it is.
    pub(super) fn publish(
        &mut self,
        topic: &str,
        owed: Subscribers,
        forbidden: Subscribers,
    ) -> u64 {
        self.messages.push_back(Message {
            topic: topic.to_owned(),
            cycle: self.cycle,
            sends: 0,
            is_accepted: false,
            is_finished: false,
            owed,
            forbidden,
            delivered: 0,
            plain: [0; SUBSCRIBERS],
        });
        self.first + self.messages.len() as u64 - 1
    }

    fn message(&mut self, number: u64) -> Option<&mut Message> {
        let index = number.checked_sub(self.first)?;
        self.messages.get_mut(usize::try_from(index).ok()?)
    }

    pub(super) fn sent(&mut self, number: u64) {
        if let Some(message) = self.message(number) {
            message.sends = message.sends.saturating_add(1);
        }
    }

    /// The broker has taken it.
    pub(super) fn accepted(&mut self, number: u64) {
        if let Some(message) = self.message(number) {
            message.is_accepted = true;
            self.accepted += 1;
        }
    }

    pub(super) fn finished(&mut self, number: u64) {
        if let Some(message) = self.message(number) {
            message.is_finished = true;
        }
    }

    /// Whether it was taken is not known, and will never be.
    pub(super) fn abandoned(&mut self, number: u64) {
        if let Some(message) = self.message(number) {
            message.is_finished = true;
            message.owed = 0;
            message.forbidden = 0;
        }
    }

    /// The subscription of this subscriber to what `concerns` is not firm any more.
    pub(super) fn loosen(&mut self, subscriber: usize, concerns: impl Fn(&str) -> bool) {
        let others = !(1 << subscriber);
        for message in &mut self.messages {
            if !message.is_finished && concerns(&message.topic) {
                message.owed &= others;
                message.forbidden &= others;
            }
        }
    }

    /// The session of this subscriber has ended: it is owed nothing more.
    pub(super) fn release(&mut self, subscriber: usize) {
        for message in &mut self.messages {
            message.owed &= !(1 << subscriber);
        }
    }

    /// One that stands for several has it: who of them, and in which order, is not looked at.
    pub(super) fn taken(&mut self, subscriber: usize, number: u64) {
        if let Some(message) = self.message(number) {
            message.delivered |= 1 << subscriber;
        }
    }

    pub(super) fn delivered(
        &mut self,
        subscriber: usize,
        number: u64,
        topic: &str,
        qos: QoS,
        dup: bool,
        findings: &mut Findings,
    ) {
        self.deliveries += 1;
        let bit = 1 << subscriber;
        let cycle = self.cycle;
        let is_exact = qos == QoS::ExactlyOnce;
        if number < self.first {
            if is_exact || !dup {
                findings.add(
                    Kind::Duplicated,
                    format!("#{number} {topic} to s{subscriber} again in cycle {cycle}, long after it was delivered"),
                );
            }
            return;
        }
        let Some(message) = self
            .message(number)
            .filter(|message| message.topic == topic)
        else {
            findings.add(
                Kind::Nonsense,
                format!(
                    "#{number} on {topic} to s{subscriber} in cycle {cycle}: nobody published it"
                ),
            );
            return;
        };
        let who = |what: &str| {
            format!(
                "#{number} {topic} of cycle {} to s{subscriber} in cycle {cycle}{what}",
                message.cycle
            )
        };
        if message.forbidden & bit != 0 {
            findings.add(Kind::Resurrected, who(": it had unsubscribed"));
        }
        let is_first = message.delivered & bit == 0;
        // What was sent when nobody was subscribed comes late if its publisher repeats it.
        let has_place = message.owed & bit != 0;
        message.delivered |= bit;
        let plain = &mut message.plain[subscriber];
        *plain = plain.saturating_add(u8::from(!dup));
        if is_exact && !is_first {
            findings.add(Kind::Duplicated, who(" at QoS 2"));
        } else if !is_exact && !dup {
            // A message that its publisher repeats may be a new one to the broker, also at QoS 2 if it was not acknowledged.
            let (plain, sends) = (*plain, message.sends);
            if plain > sends {
                let what = format!(" at QoS 1, {plain} times without DUP, published {sends} times");
                findings.add(Kind::Duplicated, who(&what));
            }
        }
        if is_first {
            let latest = self.latest[subscriber].entry(topic.to_owned()).or_default();
            if number < *latest && has_place {
                findings.add(
                    Kind::Reordered,
                    format!("#{number} {topic} to s{subscriber} in cycle {cycle}, after #{latest}"),
                );
            }
            *latest = number.max(*latest);
        }
    }

    /// Whether all is answered, and all that the broker has taken is delivered.
    pub(super) fn is_settled(&self) -> bool {
        let is_settled = |message: &Message| {
            let missing = message.owed & !message.delivered;
            message.is_finished && (!message.is_accepted || missing == 0)
        };
        self.messages.iter().all(is_settled)
    }

    /// How many copies are owed.
    pub(super) fn backlog(&self) -> u64 {
        let owed = |message: &Message| u64::from((message.owed & !message.delivered).count_ones());
        self.messages.iter().map(owed).sum()
    }

    /// Closes the book: what is still owed is lost.
    pub(super) fn settle(&mut self, findings: &mut Findings) {
        for (number, message) in (self.first..).zip(&self.messages) {
            let Message { topic, cycle, .. } = message;
            if !message.is_finished {
                findings.add(
                    Kind::Unanswered,
                    format!("#{number} {topic} of cycle {cycle}"),
                );
            }
            let missing = message.owed & !message.delivered;
            if message.is_accepted && missing != 0 {
                let whom: Vec<_> = (0..SUBSCRIBERS)
                    .filter(|subscriber| missing & (1 << subscriber) != 0)
                    .map(|subscriber| format!("s{subscriber}"))
                    .collect();
                findings.add(
                    Kind::Lost,
                    format!("#{number} {topic} of cycle {cycle} for {}", whom.join(" ")),
                );
            }
        }
        self.first += self.messages.len() as u64;
        self.messages.clear();
    }
}

#[cfg(test)]
mod tests {
    use whinchat_codec::QoS::{AtLeastOnce, ExactlyOnce};

    use super::{Findings, Kind, Ledger};

    /// A ledger with one message of QoS 2 for subscribers 0 and 1, accepted and finished.
    fn with_one() -> (Ledger, Findings, u64) {
        let mut ledger = Ledger::default();
        let number = ledger.publish("t", 0b11, 0b100);
        ledger.sent(number);
        ledger.accepted(number);
        ledger.finished(number);
        (ledger, Findings::default(), number)
    }

    #[test]
    fn what_the_broker_has_not_taken_is_not_waited_for() {
        let mut ledger = Ledger::default();
        let number = ledger.publish("w/0", 0b1, 0);
        assert!(!ledger.is_settled());
        ledger.finished(number);
        assert!(ledger.is_settled());
        ledger.accepted(number);
        assert!(!ledger.is_settled());
    }

    #[test]
    fn what_was_accepted_and_not_delivered_is_lost() {
        let (mut ledger, mut findings, number) = with_one();
        ledger.delivered(0, number, "t", ExactlyOnce, false, &mut findings);
        assert!(!ledger.is_settled());
        ledger.settle(&mut findings);
        assert_eq!(findings.summary(), "lost 1");
        assert!(findings.to_string().contains("for s1"), "{findings}");
    }

    #[test]
    fn a_second_delivery_at_qos_2_is_a_duplicate_also_when_the_book_is_closed() {
        let (mut ledger, mut findings, number) = with_one();
        ledger.delivered(0, number, "t", ExactlyOnce, false, &mut findings);
        ledger.delivered(1, number, "t", ExactlyOnce, false, &mut findings);
        assert_eq!(findings.count(), 0);
        ledger.delivered(1, number, "t", ExactlyOnce, true, &mut findings);
        ledger.settle(&mut findings);
        ledger.delivered(1, number, "t", ExactlyOnce, false, &mut findings);
        assert_eq!(findings.summary(), "duplicated 2");
    }

    #[test]
    fn at_qos_1_a_copy_without_dup_is_allowed_for_each_time_it_was_sent() {
        let mut findings = Findings::default();
        let mut ledger = Ledger::default();
        let number = ledger.publish("t", 1, 0);
        ledger.sent(number);
        ledger.delivered(0, number, "t", AtLeastOnce, false, &mut findings);
        ledger.delivered(0, number, "t", AtLeastOnce, true, &mut findings);
        ledger.sent(number);
        ledger.delivered(0, number, "t", AtLeastOnce, false, &mut findings);
        assert_eq!(findings.count(), 0, "{findings}");
        ledger.delivered(0, number, "t", AtLeastOnce, false, &mut findings);
        assert_eq!(findings.of(Kind::Duplicated), 1);
    }

    #[test]
    fn first_deliveries_come_in_order_and_repetitions_in_any() {
        let (mut ledger, mut findings, first) = with_one();
        let second = ledger.publish("t", 1, 0);
        ledger.sent(second);
        ledger.delivered(0, second, "t", AtLeastOnce, false, &mut findings);
        ledger.delivered(0, first, "t", AtLeastOnce, false, &mut findings);
        assert_eq!(findings.summary(), "reordered 1");
        ledger.delivered(0, first, "t", AtLeastOnce, true, &mut findings);
        assert_eq!(findings.summary(), "reordered 1");
    }

    #[test]
    fn what_is_not_owed_has_no_place_in_the_order() {
        let mut findings = Findings::default();
        let mut ledger = Ledger::default();
        let early = ledger.publish("t", 0, 0);
        let late = ledger.publish("t", 1, 0);
        ledger.sent(early);
        ledger.sent(late);
        ledger.delivered(0, late, "t", AtLeastOnce, false, &mut findings);
        ledger.delivered(0, early, "t", AtLeastOnce, false, &mut findings);
        assert_eq!(findings.count(), 0, "{findings}");
    }

    #[test]
    fn who_has_unsubscribed_gets_nothing_unless_that_changed_meanwhile() {
        let (mut ledger, mut findings, number) = with_one();
        ledger.delivered(2, number, "t", ExactlyOnce, false, &mut findings);
        assert_eq!(findings.summary(), "resurrected 1");
        let second = ledger.publish("t", 1, 0b100);
        ledger.sent(second);
        ledger.loosen(2, |topic| topic == "t");
        ledger.delivered(2, second, "t", AtLeastOnce, false, &mut findings);
        assert_eq!(findings.summary(), "resurrected 1");
    }

    #[test]
    fn a_message_that_nobody_published_is_nonsense() {
        let (mut ledger, mut findings, number) = with_one();
        ledger.delivered(0, number, "u", ExactlyOnce, false, &mut findings);
        ledger.delivered(0, number + 1, "t", ExactlyOnce, false, &mut findings);
        assert_eq!(findings.summary(), "nonsense 2");
    }
}
