//! The shape that the payloads of SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK share: an iterator
//! over checked bytes of the wire, or over the owned values they become.

/// Declares one such iterator: its items, the owned values, how an item is read from the wire
/// and how it is borrowed from an owned value.
macro_rules! list {
    ($(#[$doc:meta])+ $list:ident, $item:ty, $owned:ty, $read:expr, $borrow:expr) => {
        $(#[$doc])+
        ///
        /// A copy starts where the original stands.
        #[derive(Clone, Copy)]
        pub struct $list<'a> {
            source: Source<'a>,
            len: usize,
        }

        #[derive(Clone, Copy)]
        enum Source<'a> {
            Wire($crate::reader::Reader<'a>, $crate::ProtocolVersion),
            Owned(&'a [$owned]),
        }

        impl<'a> $list<'a> {
            /// `len` items that were checked.
            #[inline]
            fn from_wire(
                reader: $crate::reader::Reader<'a>,
                version: $crate::ProtocolVersion,
                len: usize,
            ) -> Self {
                Self {
                    source: Source::Wire(reader, version),
                    len,
                }
            }

            /// How many are left.
            #[inline]
            pub const fn len(&self) -> usize {
                self.len
            }

            /// Whether none is left.
            #[inline]
            pub const fn is_empty(&self) -> bool {
                self.len == 0
            }

            /// The same items, to walk over more than once.
            #[inline]
            pub const fn iter(&self) -> Self {
                *self
            }
        }

        impl<'a> Iterator for $list<'a> {
            type Item = $item;

            // The bytes were accepted once, so no step fails; an error would end the walk.
            #[inline]
            fn next(&mut self) -> Option<Self::Item> {
                self.len = self.len.checked_sub(1)?;
                match &mut self.source {
                    Source::Wire(reader, version) => $read(reader, *version).ok(),
                    Source::Owned(owned) => {
                        let (first, rest) = owned.split_first()?;
                        *owned = rest;
                        Some($borrow(first))
                    }
                }
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.len, Some(self.len))
            }
        }

        impl ExactSizeIterator for $list<'_> {}

        impl<'a> From<&'a [$owned]> for $list<'a> {
            fn from(owned: &'a [$owned]) -> Self {
                Self {
                    source: Source::Owned(owned),
                    len: owned.len(),
                }
            }
        }

        impl PartialEq for $list<'_> {
            fn eq(&self, other: &Self) -> bool {
                self.iter().eq(other.iter())
            }
        }

        impl Eq for $list<'_> {}

        impl core::fmt::Debug for $list<'_> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_list().entries(self.iter()).finish()
            }
        }
    };
}
pub(super) use list;
