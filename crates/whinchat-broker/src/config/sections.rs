//! The list of the sections: walking over them, and finding what was perhaps meant.

use super::{
    AcksConfig, AdminConfig, AuthenticationConfig, Config, GeneralConfig, LogConfig, MqttConfig,
    ShutdownConfig, SysConfig, error::nearest, row::Section,
};
use crate::BrokerLimits;

/// What is done to one section, whichever it is.
pub(super) trait Sections {
    type Answer;

    fn visit<S: Section>(&mut self, section: &mut S) -> Self::Answer;
}

macro_rules! sections {
    ($($field:ident: $type:ty,)+) => {
        impl Config {
            /// Shows `visitor` the section with this heading; `None` if there is none.
            pub(super) fn with_named_section<V: Sections>(&mut self, name: &str, visitor: &mut V) -> Option<V::Answer> {
                $(if name == <$type as Section>::NAME {
                    return Some(visitor.visit(&mut self.$field));
                })+
                None
            }

            /// Shows `visitor` every section but the listeners, in the order of the documentation.
            pub(super) fn for_each_section<V: Sections>(&mut self, visitor: &mut V) {
                $(visitor.visit(&mut self.$field);)+
            }

            /// Headings, without the empty one.
            pub(super) fn section_names() -> impl Iterator<Item = &'static str> {
                [$(<$type as Section>::NAME),+].into_iter().filter(|name| !name.is_empty())
            }

            /// Heading and key of every option outside the listeners.
            pub(super) fn option_paths() -> impl Iterator<Item = (&'static str, &'static str)> {
                let sections: [Vec<(&str, &str)>; _] = [$(
                    <$type as Section>::ROWS.iter().map(|row| (<$type as Section>::NAME, row.key)).collect()
                ),+];
                sections.into_iter().flatten()
            }
        }
    };
}

sections! {
    general: GeneralConfig,
    acks: AcksConfig,
    mqtt: MqttConfig,
    limits: BrokerLimits,
    authentication: AuthenticationConfig,
    admin: AdminConfig,
    log: LogConfig,
    sys: SysConfig,
    shutdown: ShutdownConfig,
}

impl Config {
    pub(super) fn is_section(name: &str) -> bool {
        Self::section_names().any(|known| known == name)
    }

    /// The option that was perhaps meant by `key` in `section`: one of that section, or the same word
    /// in another one.
    pub(super) fn nearest_option(section: &str, key: &str) -> Option<String> {
        if let Some((section, key)) = Self::option_paths().find(|(_, known)| *known == key) {
            let place = if section.is_empty() {
                "before the first heading".to_owned()
            } else {
                format!("under [{section}]")
            };
            return Some(format!("{key} {place}"));
        }
        let here = Self::option_paths()
            .filter(|(own, _)| *own == section)
            .map(|(_, key)| key);
        let headings = Self::section_names().filter(|_| section.is_empty());
        nearest(key, here.chain(headings)).map(str::to_owned)
    }
}
