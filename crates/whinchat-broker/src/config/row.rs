//! One row per option: key, type, default, range and text in one place.
//!
//! From the row come the field of the settings struct with its documentation, what a file and the
//! environment may say, the default file and the reference for operators.

use super::value::{Given, OptionValue, Refused};

/// One option of the section `S`.
#[derive(Debug)]
pub(crate) struct Row<S: 'static> {
    /// Its name in its section.
    pub(crate) key: &'static str,
    /// Its documentation, line by line, each with the space that follows the comment sign.
    pub(crate) doc: &'static [&'static str],
    pub(crate) set: fn(&mut S, Given<'_>) -> Result<(), Wrong>,
    /// The value as a TOML literal.
    pub(crate) show: fn(&S) -> String,
    /// Type and range.
    pub(crate) expected: fn() -> String,
    /// Smallest and largest value, as literals: for tests of the bounds.
    #[cfg(test)]
    pub(crate) bounds: fn() -> Option<[(u64, String); 2]>,
}

/// A value that the option does not take.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// What was expected instead.
    Expected(String),
    /// Why it cannot be had.
    Because(&'static str),
}

/// Settings that stand together under one heading.
pub(crate) trait Section: Default + 'static {
    /// The heading; empty for the options before the first heading.
    const NAME: &'static str;
    /// What the section is about, line by line.
    const DOC: &'static [&'static str];
    /// Its options in the order of the documentation.
    const ROWS: &'static [Row<Self>];
}

/// Reads a value and checks its range.
pub(crate) fn read<T: OptionValue>(
    given: Given<'_>,
    range: Option<(u64, u64)>,
) -> Result<T, Wrong> {
    let value = T::read(given).map_err(|refused| match refused {
        Refused::NotOfType => Wrong::Expected(expected::<T>(range)),
        Refused::Because(reason) => Wrong::Because(reason),
    })?;
    match (range, value.magnitude()) {
        (Some((min, max)), Some(magnitude)) if !(min..=max).contains(&magnitude) => {
            Err(Wrong::Expected(expected::<T>(range)))
        }
        _ => Ok(value),
    }
}

/// Type and range in words.
pub(crate) fn expected<T: OptionValue>(range: Option<(u64, u64)>) -> String {
    match range {
        None => T::expected(),
        Some((min, max)) => {
            format!(
                "{}, from {} to {}",
                T::expected(),
                T::show_magnitude(min),
                T::show_magnitude(max)
            )
        }
    }
}

/// Declares a section: a public struct of public fields, its defaults and its rows.
///
/// Fields in `beside` are no options: something else fills them. A range is given on the scale of [`OptionValue::magnitude`]: bytes, milliseconds or plain numbers.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        pub struct $name:ident in $heading:literal {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $type:ty = $default:expr $(, $min:expr => $max:expr)?;
            )+
        } $(beside {
            $(
                $(#[doc = $beside_doc:literal])+
                $beside:ident: $beside_type:ty = $beside_default:expr;
            )+
        })?
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[doc = $doc])+ pub $key: $type,)+
            $($($(#[doc = $beside_doc])+ pub $beside: $beside_type,)+)?
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)+ $($($beside: $beside_default,)+)? }
            }
        }

        impl $crate::config::row::Section for $name {
            const NAME: &'static str = $heading;
            const DOC: &'static [&'static str] = &[$($section_doc),+];
            const ROWS: &'static [$crate::config::row::Row<Self>] = &[$({
                const RANGE: Option<(u64, u64)> = $crate::config::row::range!($($min => $max)?);
                $crate::config::row::Row {
                    key: stringify!($key),
                    doc: &[$($doc),+],
                    set: |section, given| {
                        section.$key = $crate::config::row::read(given, RANGE)?;
                        Ok(())
                    },
                    show: |section| $crate::config::value::OptionValue::show(&section.$key),
                    expected: || $crate::config::row::expected::<$type>(RANGE),
                    #[cfg(test)]
                    bounds: || $crate::config::row::bounds::<$type>(RANGE),
                }
            }),+];
        }
    };
}

macro_rules! range {
    () => {
        None
    };
    ($min:expr => $max:expr) => {
        Some(($min, $max))
    };
}

pub(crate) use {range, section};

/// The ends of the range as the configuration writes them.
#[cfg(test)]
pub(crate) fn bounds<T: OptionValue>(range: Option<(u64, u64)>) -> Option<[(u64, String); 2]> {
    range.map(|(min, max)| [min, max].map(|end| (end, T::show_magnitude(end))))
}
