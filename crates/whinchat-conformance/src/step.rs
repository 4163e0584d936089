//! The steps of a scene.

use std::time::Duration;

use crate::notation::{NotationError, Raw, Template, split};

/// One step of a scene.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The line of the scene's file.
    pub(crate) line: usize,
    /// The step as it is written.
    pub(crate) text: String,
    pub(crate) action: Action,
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// `A> ...`: these in one piece.
    Send(String, Vec<Piece>),
    /// `A> 1..3 ...`.
    SendEach(String, Each),
    /// `A< ...`: one of these.
    Expect(String, Vec<Alternative>),
    /// `A< 1..3 ...`.
    ExpectEach(String, Each),
    /// `C? ...`.
    Maybe(String, Template),
    /// `A! silent`.
    Silent(String),
    /// `A! cut`.
    Cut(String),
    /// `A! open`.
    Open(String),
    /// `wait 2s`.
    Wait(Duration),
    /// `settle`.
    Settle,
}

/// What is sent in one piece with others.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Packet(Template),
    Bytes(Raw),
    /// Only the first bytes of a packet.
    Part(usize, Template),
}

/// What may come.
#[derive(Clone, Debug)]
pub(crate) enum Alternative {
    /// These, in any order.
    Packets(Vec<Template>),
    Nothing,
    /// The end; this DISCONNECT may come first.
    Closed(Option<Template>),
    /// The end; this CONNACK may come first.
    Refused(Template),
}

/// A packet for each number of a range, with the number for `$n`.
#[derive(Clone, Debug)]
pub(crate) struct Each {
    pub(crate) from: Bound,
    pub(crate) to: Bound,
    words: Vec<String>,
}

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Number(u32),
    /// The Receive Maximum that the client was told, and so many more.
    ReceiveMaximum(u32),
    /// The Topic Alias Maximum that the client was told, and so many more.
    TopicAliasMaximum(u32),
}

/// What the server told a client that it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maxima {
    pub(crate) receive: u16,
    pub(crate) topic_alias: u16,
}

impl Maxima {
    /// What holds for a client that was told nothing.
    pub(crate) const UNTOLD: Self = Self {
        receive: u16::MAX,
        topic_alias: 0,
    };
}

impl Each {
    pub(crate) fn template(&self, number: u32) -> Result<Template, NotationError> {
        let number = number.to_string();
        let words: Vec<String> = self
            .words
            .iter()
            .map(|word| word.replace("$n", &number))
            .collect();
        Template::from_words(&words)
    }
}

impl Bound {
    fn parse(word: &str) -> Option<Self> {
        let more = |rest: &str| match rest {
            "" => Some(0),
            rest => rest.strip_prefix('+')?.parse().ok(),
        };
        if let Some(rest) = word.strip_prefix("rm") {
            more(rest).map(Self::ReceiveMaximum)
        } else if let Some(rest) = word.strip_prefix("tam") {
            more(rest).map(Self::TopicAliasMaximum)
        } else {
            word.parse().ok().map(Self::Number)
        }
    }

    pub(crate) fn number(self, maxima: Maxima) -> u32 {
        match self {
            Self::Number(number) => number,
            Self::ReceiveMaximum(more) => more.saturating_add(u32::from(maxima.receive)),
            Self::TopicAliasMaximum(more) => more.saturating_add(u32::from(maxima.topic_alias)),
        }
    }
}

impl Step {
    /// Reads the steps of one line.
    pub(crate) fn parse_line(line: usize, text: &str) -> Result<Vec<Self>, NotationError> {
        let words = split(text)?;
        let mut steps = Vec::new();
        let mut rest = &words[..];
        while let Some(first) = rest.first() {
            if !begins_step(first) {
                return Err(NotationError::new(first, "begins no step"));
            }
            let len = 1 + rest[1..]
                .iter()
                .take_while(|word| !begins_step(word))
                .count();
            let (step, behind) = rest.split_at(len);
            steps.push(Self {
                line,
                text: step.join(" "),
                action: action(first, &step[1..])?,
            });
            rest = behind;
        }
        Ok(steps)
    }
}

fn begins_step(word: &str) -> bool {
    matches!(word, "wait" | "settle") || mark(word).is_some()
}

/// A client's name and its mark.
fn mark(word: &str) -> Option<(&str, char)> {
    let mark = word.chars().last().filter(|mark| "<>!?".contains(*mark))?;
    let name = &word[..word.len() - 1];
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    is_name.then_some((name, mark))
}

fn action(first: &str, words: &[String]) -> Result<Action, NotationError> {
    let one = |what: &str| match words {
        [word] => Ok(word.as_str()),
        _ => Err(NotationError::new(first, format!("needs {what}"))),
    };
    let Some((client, mark)) = mark(first) else {
        return match first {
            "wait" => one("a time").and_then(time).map(Action::Wait),
            _ if words.is_empty() => Ok(Action::Settle),
            _ => Err(NotationError::new(&words[0], "is too much")),
        };
    };
    let client = client.to_owned();
    let each = match words {
        [range, packet @ ..] => each(range, packet)?,
        [] => return Err(NotationError::new(first, "has nothing behind it")),
    };
    Ok(match (mark, each) {
        ('>', Some(each)) => Action::SendEach(client, each),
        ('<', Some(each)) => Action::ExpectEach(client, each),
        ('>', None) => {
            let pieces = words.split(|word| word == "+").map(piece);
            Action::Send(client, pieces.collect::<Result<_, _>>()?)
        }
        ('<', None) => {
            let alternatives = words.split(|word| word == "or").map(alternative);
            Action::Expect(client, alternatives.collect::<Result<_, _>>()?)
        }
        ('?', None) => Action::Maybe(client, Template::from_words(words)?),
        ('!', None) => match one("silent, cut or open")? {
            "silent" => Action::Silent(client),
            "cut" => Action::Cut(client),
            "open" => Action::Open(client),
            other => return Err(NotationError::new(other, "is not silent, cut or open")),
        },
        _ => return Err(NotationError::new(first, "cannot be repeated")),
    })
}

fn time(word: &str) -> Result<Duration, NotationError> {
    let time = match word.strip_suffix("ms") {
        Some(millis) => millis.parse().map(Duration::from_millis),
        None => word
            .strip_suffix('s')
            .unwrap_or("")
            .parse()
            .map(Duration::from_secs),
    };
    time.map_err(|_| NotationError::new(word, "is no time such as 2s or 500ms"))
}

fn each(range: &str, packet: &[String]) -> Result<Option<Each>, NotationError> {
    let bounds = range
        .split_once("..")
        .filter(|(from, _)| Bound::parse(from).is_some());
    let Some((from, to)) = bounds else {
        return Ok(None);
    };
    let bound = |word| Bound::parse(word).ok_or_else(|| NotationError::new(range, "is no range"));
    let each = Each {
        from: bound(from)?,
        to: bound(to)?,
        words: packet.to_vec(),
    };
    each.template(1)?;
    Ok(Some(each))
}

fn piece(words: &[String]) -> Result<Piece, NotationError> {
    match words {
        [first, rest @ ..] if first == "bytes" => Raw::parse(rest).map(Piece::Bytes),
        [first, len, rest @ ..] if first == "part" => {
            let len = len
                .parse()
                .map_err(|_| NotationError::new(len, "is no number of bytes"))?;
            Template::from_words(rest).map(|packet| Piece::Part(len, packet))
        }
        words => Template::from_words(words).map(Piece::Packet),
    }
}

fn alternative(words: &[String]) -> Result<Alternative, NotationError> {
    match words {
        [word] if word == "nothing" => Ok(Alternative::Nothing),
        [word] if word == "closed" => Ok(Alternative::Closed(None)),
        [word, goodbye @ ..] if word == "closed" => {
            last_word("DISCONNECT", goodbye).map(|packet| Alternative::Closed(Some(packet)))
        }
        [word, refusal @ ..] if word == "refused" && !refusal.is_empty() => {
            last_word("CONNACK", refusal).map(Alternative::Refused)
        }
        words => {
            let packets = words.split(|word| word == "~").map(Template::from_words);
            packets.collect::<Result<_, _>>().map(Alternative::Packets)
        }
    }
}

/// The packet that may stand in front of the end: its code, and more of its words.
fn last_word(name: &str, words: &[String]) -> Result<Template, NotationError> {
    Template::from_words(&[&[name.to_owned()], words].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(line: &str) -> Vec<Action> {
        let steps = Step::parse_line(1, line).expect(line);
        steps.into_iter().map(|step| step.action).collect()
    }

    #[test]
    fn a_line_holds_steps_from_left_to_right() {
        let line =
            "A> CONNECT clean  A< CONNACK 00  wait 2s settle B2! cut A! silent A! open C? PINGREQ";
        let steps = Step::parse_line(3, line).unwrap();
        let texts: Vec<&str> = steps.iter().map(|step| step.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "A> CONNECT clean",
                "A< CONNACK 00",
                "wait 2s",
                "settle",
                "B2! cut",
                "A! silent",
                "A! open",
                "C? PINGREQ"
            ]
        );
        assert!(matches!(&steps[2].action, Action::Wait(time) if *time == Duration::from_secs(2)));
        assert!(matches!(&steps[4].action, Action::Cut(name) if name == "B2"));
    }

    #[test]
    fn alternatives_groups_pieces_and_ranges() {
        let line = "A< PUBACK id1 00/10 or PUBACK id1 ~ PUBREL id:m or nothing or closed 81/82 no-expiry or refused 84 or closed";
        let [Action::Expect(_, alternatives)] = &actions(line)[..] else {
            panic!("one expectation");
        };
        assert!(matches!(&alternatives[1], Alternative::Packets(group) if group.len() == 2));
        assert!(matches!(alternatives[2], Alternative::Nothing));
        assert!(matches!(alternatives[5], Alternative::Closed(None)));
        let [Action::Send(_, pieces)] = &actions("A> PINGREQ + part 1 PINGREQ + bytes c0 00")[..]
        else {
            panic!("one piece");
        };
        assert_eq!(pieces.len(), 3);
        let [Action::SendEach(_, each)] = &actions("A> 1..rm+1 PUBLISH q1 id$n a/b '$n'")[..]
        else {
            panic!("one range");
        };
        let maxima = Maxima {
            receive: 9,
            topic_alias: 3,
        };
        assert_eq!((each.from.number(maxima), each.to.number(maxima)), (1, 10));
        assert_eq!(
            each.template(7).unwrap(),
            Template::parse("PUBLISH q1 id7 a/b '7'").unwrap()
        );
        let [Action::SendEach(_, each)] = &actions("A> tam..tam+1 PUBLISH a/b x alias=$n")[..]
        else {
            panic!("one range");
        };
        assert_eq!((each.from.number(maxima), each.to.number(maxima)), (3, 4));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, word) in [
            ("PINGREQ", "PINGREQ"),
            ("a> PINGREQ", "a>"),
            ("A>", "A>"),
            ("A! sleep", "sleep"),
            ("A! silent now", "A!"),
            ("wait", "wait"),
            ("wait 2", "2"),
            ("settle now", "now"),
            ("A> PINGREK", "PINGREK"),
            ("A> PINGREQ 00", "00"),
            ("A> PUBLISH q1 a/b", "PUBLISH"),
            ("A> PUBLISH id1 a/b", "PUBLISH"),
            ("A> PUBLISH", "PUBLISH"),
            ("A> PUBACK 00", "PUBACK"),
            ("A> PUBLISH a/b 'x' 'y'", "'y'"),
            ("A> PUBLISH a/b 'x' what=1", "what=1"),
            ("A> PUBLISH a/b expiry=x", "x"),
            ("A> CONNECT rm=70000", "70000"),
            ("A> CONNECT a b", "b"),
            ("A> SUBSCRIBE id1 a:1,x", "a:1,x"),
            ("A> CONNECT prop=a", "a"),
            ("A< CONNACK 0", "0"),
            ("A< closed 8", "8"),
            ("A< refused", "refused"),
            ("A< PUBACK id1 or", ""),
            ("A> part x PINGREQ", "x"),
            ("A> 1..x PINGREQ", "1..x"),
            ("C? 1..2 PINGREQ", "C?"),
        ] {
            let error = Step::parse_line(1, line).expect_err(line);
            assert_eq!(error.word(), word, "{line}: {error}");
        }
    }
}
