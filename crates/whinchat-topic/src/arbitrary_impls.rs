//! Owns `Arbitrary` for names and filters, for fuzz targets. Levels are short and often alike, so
//! that filters and names made from the same input meet.

use alloc::string::String;

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::{SharedFilter, SharedFilterBuf, TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf};

impl<'a> Arbitrary<'a> for TopicNameBuf {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut text = String::new();
        push_levels(u, &mut text, &["a", "b", "", "$SYS"])?;
        Self::new(text).map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

impl<'a> Arbitrary<'a> for TopicFilterBuf {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut text = String::new();
        push_levels(u, &mut text, &["a", "b", "", "$SYS", "+", "+"])?;
        if u.ratio(1, 4)? {
            text.push_str("/#");
        }
        Self::new(text).map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

impl<'a> Arbitrary<'a> for SharedFilterBuf {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let group = u.choose(&["g", "h", "group"])?;
        let filter = TopicFilterBuf::arbitrary(u)?;
        let shared = SharedFilter::new(group, &filter);
        Ok(shared
            .map_err(|_| arbitrary::Error::IncorrectFormat)?
            .to_owned())
    }
}

/// Borrows the fuzzer's bytes where they are a name, and rejects them where not.
impl<'a> Arbitrary<'a> for &'a TopicName {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        TopicName::new(<&str>::arbitrary(u)?).map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

/// Borrows the fuzzer's bytes where they are a filter, and rejects them where not.
impl<'a> Arbitrary<'a> for &'a TopicFilter {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        TopicFilter::new(<&str>::arbitrary(u)?).map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

fn push_levels(u: &mut Unstructured<'_>, text: &mut String, common: &[&str]) -> Result<()> {
    for at in 0..u.int_in_range(1..=8)? {
        if at > 0 {
            text.push('/');
        }
        if u.ratio(7, 8)? {
            text.push_str(u.choose(common)?);
        } else {
            let free = <&str>::arbitrary(u)?.chars().take(40);
            text.extend(free.filter(|c| !matches!(c, '\0' | '+' | '#' | '/')));
        }
    }
    if text.is_empty() {
        text.push('/');
    }
    Ok(())
}
