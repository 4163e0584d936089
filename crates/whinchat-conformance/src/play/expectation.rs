//! Is what came what was to come?
//!
//! Packets are taken one by one; after each it is known whether an alternative is complete, which ones can still
//! become so, or that none can.

use core::slice;

use whinchat_codec::{Packet, ProtocolVersion};

use crate::notation::{Id, Ids, Names, Reading, Template, format, has_code, packet_id};
use crate::step::Alternative;

/// What one client may get next.
pub(super) struct Expectation<'a> {
    pub(super) alternatives: &'a [Alternative],
    pub(super) ids: &'a Ids,
    pub(super) names: &'a Names,
    pub(super) version: ProtocolVersion,
    pub(super) strict: bool,
}

/// Names that stand for packet ids from here on.
pub(super) type Bindings = Vec<(String, u16)>;

/// What can be said after some packets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// An alternative is what came.
    Complete(Bindings),
    /// More has to come.
    Open,
    /// No alternative is what came; says what is otherwise.
    Wrong(String),
}

/// The alternative that came.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// How many packets it has; those behind belong to later steps.
    pub(super) len: usize,
    /// Whether it is the end of the connection.
    pub(super) is_end: bool,
    pub(super) names: Bindings,
}

impl Expectation<'_> {
    /// Compares all that came since the step began.
    pub(super) fn progress(&self, got: &[Packet], has_ended: bool) -> Progress {
        let mut is_open = false;
        let mut first_error = None;
        // Of several alternatives our own broker must choose the first.
        let considered = if self.strict {
            1
        } else {
            self.alternatives.len()
        };
        for alternative in self.alternatives.iter().take(considered) {
            match self.one(alternative, got, has_ended) {
                Ok(Some(names)) => return Progress::Complete(names),
                Ok(None) => is_open = true,
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        match first_error {
            Some(error) if !is_open => Progress::Wrong(error),
            _ => Progress::Open,
        }
    }

    /// The alternative that begins with what came, after which nothing was to come for now.
    pub(super) fn settled(&self, got: &[Packet], has_ended: bool) -> Option<Settled> {
        self.alternatives.iter().find_map(|alternative| {
            let (len, is_end) = match alternative {
                Alternative::Nothing => {
                    let is_it = got.is_empty() && !has_ended;
                    return is_it.then(Settled::default);
                }
                Alternative::Packets(templates) => (templates.len(), false),
                Alternative::Closed(_) | Alternative::Refused(_) => (got.len(), true),
            };
            let own = got.get(..len)?;
            let names = self.one(alternative, own, has_ended && is_end).ok()??;
            Some(Settled { len, is_end, names })
        })
    }

    /// Whether one alternative is complete, can become so, or not.
    fn one(
        &self,
        alternative: &Alternative,
        got: &[Packet],
        has_ended: bool,
    ) -> Result<Option<Bindings>, String> {
        match alternative {
            Alternative::Packets(templates) => self.group(templates, got, has_ended),
            Alternative::Nothing => match got.first() {
                Some(packet) => Err(self.unexpected(packet)),
                None if has_ended => Err("the end".to_owned()),
                None => Ok(None),
            },
            Alternative::Closed(last_word) => {
                let may_speak = self.version.is_v5();
                self.end(last_word.as_ref().filter(|_| may_speak), got, has_ended)
            }
            Alternative::Refused(last_word) => self.end(Some(last_word), got, has_ended),
        }
    }

    fn group(
        &self,
        templates: &[Template],
        got: &[Packet],
        has_ended: bool,
    ) -> Result<Option<Bindings>, String> {
        if let Some(extra) = got.get(templates.len()) {
            return Err(self.unexpected(extra));
        }
        let mut used = vec![false; templates.len()];
        let mut names = Vec::new();
        if !self.assign(templates, got, &mut used, &mut names) {
            return Err(self.why_not(templates, got));
        }
        match (got.len() == templates.len(), has_ended) {
            (true, _) => Ok(Some(names)),
            (false, true) => Err("the end".to_owned()),
            (false, false) => Ok(None),
        }
    }

    /// Gives each packet a template of its own, by trying; groups are small.
    fn assign(
        &self,
        templates: &[Template],
        got: &[Packet],
        used: &mut [bool],
        names: &mut Bindings,
    ) -> bool {
        let Some((packet, rest)) = got.split_first() else {
            return true;
        };
        for (index, template) in templates.iter().enumerate() {
            if used[index] || self.takes(template, packet, names).is_err() {
                continue;
            }
            used[index] = true;
            let known = names.len();
            names.extend(self.name(template, packet));
            if self.assign(templates, rest, used, names) {
                return true;
            }
            names.truncate(known);
            used[index] = false;
        }
        false
    }

    /// The name that a packet gives to its id.
    fn name(&self, template: &Template, packet: &Packet) -> Option<(String, u16)> {
        match (template.id(), packet_id(packet)) {
            (Some(Id::Named(name)), Some(id)) => Some((name.clone(), id.get())),
            _ => None,
        }
    }

    fn takes(
        &self,
        template: &Template,
        packet: &Packet,
        names: &[(String, u16)],
    ) -> Result<(), String> {
        let reading = Reading {
            names: self.names,
            version: self.version,
            strict: self.strict,
            exact: false,
            partial: false,
        };
        template
            .matches(packet, &reading)
            .map_err(|mismatch| mismatch.to_string())?;
        let Some((name, id)) = self.name(template, packet) else {
            return Ok(());
        };
        self.ids.check(&name, id)?;
        match names
            .iter()
            .find(|(other, other_id)| (*other == name) != (*other_id == id))
        {
            Some((other, _)) => Err(format!("id {id} cannot be both id:{other} and id:{name}")),
            None => Ok(()),
        }
    }

    fn why_not(&self, templates: &[Template], got: &[Packet]) -> String {
        let Some(last) = got.last() else {
            return String::new();
        };
        let packet = format(last, self.version, self.names);
        match templates {
            [template] => match self.takes(template, last, &[]) {
                Err(why) => format!("{packet}   ({why})"),
                Ok(()) => packet,
            },
            _ => packet,
        }
    }

    fn unexpected(&self, packet: &Packet) -> String {
        format(packet, self.version, self.names)
    }

    /// The end of the connection, with a word before it or without.
    fn end(
        &self,
        last_word: Option<&Template>,
        got: &[Packet],
        has_ended: bool,
    ) -> Result<Option<Bindings>, String> {
        let mut got = got.iter();
        match (got.next(), last_word) {
            (Some(packet), Some(template)) => {
                if self.takes(template, packet, &[]).is_err() {
                    let (template, packet) = (slice::from_ref(template), slice::from_ref(packet));
                    return Err(self.why_not(template, packet));
                }
            }
            (Some(packet), None) => return Err(self.unexpected(packet)),
            (None, Some(template)) if has_ended && self.strict => {
                let packet_type = template.packet_type();
                let is_known = |code| has_code(packet_type, self.version, code);
                if template
                    .code()
                    .is_some_and(|codes| codes.have_known(is_known))
                {
                    return Err(format!("the end without {packet_type}"));
                }
            }
            (None, _) => {}
        }
        if let Some(extra) = got.next() {
            return Err(self.unexpected(extra));
        }
        Ok(has_ended.then(Vec::new))
    }
}
