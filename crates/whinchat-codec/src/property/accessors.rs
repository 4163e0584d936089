//! The macros that turn the table of properties into one pair of types per packet.

/// Declares [`Place`](super::Place) and, per place, the owned and the borrowed property type.
macro_rules! property_sets {
    ($($place:ident $owned:ident $borrowed:ident $packet:literal $section:literal;)+) => {
        /// Where a property section stands.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Place {
            $($place,)+
        }

        $(
            #[doc = concat!("The properties of ", $packet, " (MQTT 5.0 section ", $section, "), borrowed.")]
            ///
            /// Valid bytes of the wire, read on demand: a getter of an absent property costs one
            /// bit test. Equality is by value. In 3.x there are none.
            #[derive(Clone, Copy, Default)]
            pub struct $borrowed<'a>(RawRef<'a>);

            impl<'a> $borrowed<'a> {
                #[inline]
                pub(crate) fn read(
                    reader: &mut $crate::reader::Reader<'a>,
                    limits: &$crate::DecodeLimits,
                ) -> Result<Self, $crate::DecodeError> {
                    RawRef::read(const { PlaceRules::of(Place::$place) }, reader, limits).map(Self)
                }

                #[inline]
                pub(crate) const fn raw(self) -> RawRef<'a> {
                    self.0
                }

                /// Whether there is none.
                #[inline]
                pub const fn is_empty(self) -> bool {
                    self.0.is_empty()
                }

                /// Whether this property is there.
                #[inline]
                pub const fn contains(self, property: Property) -> bool {
                    self.0.contains(property)
                }

                /// All properties in the order of the wire.
                pub const fn iter(self) -> PropertyIter<'a> {
                    self.0.iter()
                }

                /// The properties as they stand on the wire, without the Property Length.
                #[inline]
                pub const fn as_bytes(self) -> &'a [u8] {
                    self.0.bytes()
                }

                /// The same properties, copied.
                pub fn to_owned(self) -> $owned {
                    $owned(self.0.to_owned(None))
                }

                pub(crate) fn to_owned_in(self, parent: Option<&bytes::Bytes>) -> $owned {
                    $owned(self.0.to_owned(parent))
                }
            }

            impl PartialEq for $borrowed<'_> {
                fn eq(&self, other: &Self) -> bool {
                    self.0.same_values(other.0)
                }
            }

            impl Eq for $borrowed<'_> {}

            impl core::fmt::Debug for $borrowed<'_> {
                fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                    self.iter().fmt(f)
                }
            }

            #[doc = concat!("The properties of ", $packet, " (MQTT 5.0 section ", $section, ").")]
            ///
            /// The default is none. `with_*` builds, `set_*` replaces in place or appends,
            /// `remove_*` removes; the bytes and the order of all others stay as they are.
            /// Equality is by value. In 3.x there must be none.
            #[derive(Clone, Default)]
            pub struct $owned(Raw);

            impl $owned {
                /// No properties.
                pub fn new() -> Self {
                    Self::default()
                }

                /// The same properties, borrowed.
                #[inline]
                pub fn borrowed(&self) -> $borrowed<'_> {
                    $borrowed(self.0.borrowed())
                }

                /// Whether there is none.
                #[inline]
                pub fn is_empty(&self) -> bool {
                    self.0.borrowed().is_empty()
                }

                /// Whether this property is there.
                #[inline]
                pub fn contains(&self, property: Property) -> bool {
                    self.0.borrowed().contains(property)
                }

                /// All properties in the order of the wire.
                pub fn iter(&self) -> PropertyIter<'_> {
                    self.0.borrowed().iter()
                }
            }

            impl PartialEq for $owned {
                fn eq(&self, other: &Self) -> bool {
                    self.0.borrowed().same_values(other.0.borrowed())
                }
            }

            impl Eq for $owned {}

            impl core::fmt::Debug for $owned {
                fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                    self.iter().fmt(f)
                }
            }
            #[cfg(feature = "arbitrary")]
            impl<'u> arbitrary::Arbitrary<'u> for $owned {
                fn arbitrary(u: &mut arbitrary::Unstructured<'u>) -> arbitrary::Result<Self> {
                    $crate::generate::properties(Place::$place, u).map(Self)
                }
            }

            #[cfg(feature = "serde")]
            impl serde::Serialize for $owned {
                fn serialize<S: serde::Serializer>(
                    &self,
                    serializer: S,
                ) -> Result<S::Ok, S::Error> {
                    $crate::json::serialize_properties(Place::$place, self.0.borrowed(), serializer)
                }
            }

            #[cfg(feature = "serde")]
            impl<'de> serde::Deserialize<'de> for $owned {
                fn deserialize<D: serde::Deserializer<'de>>(
                    deserializer: D,
                ) -> Result<Self, D::Error> {
                    $crate::json::deserialize_properties(Place::$place, deserializer).map(Self)
                }
            }
        )+

        /// The owned type of a place.
        macro_rules! owned_of {
            $(($place) => { $owned };)+
        }

        /// The borrowed type of a place.
        macro_rules! borrowed_of {
            $(($place) => { $borrowed<'a> };)+
        }
    };
}

/// Declares the methods of one property on the types of all packets that may carry it.
macro_rules! accessors {
    (Bool $($row:tt)+) => {
        accessors! { @plain bool, read.number() => |number| number != 0, value => PropertyValue::Byte(u8::from(value)), $($row)+ }
    };
    (U16 $($row:tt)+) => {
        accessors! { @plain u16, read.number() => |number| u16::try_from(number).unwrap_or(u16::MAX), value => PropertyValue::TwoByteInteger(value), $($row)+ }
    };
    (U32 $($row:tt)+) => {
        accessors! { @plain u32, read.number() => |number| number, value => PropertyValue::FourByteInteger(value), $($row)+ }
    };
    (U16Checked $($row:tt)+) => {
        accessors! { @checked u16, u16, read.number() => |number| u16::try_from(number).unwrap_or(u16::MAX), value => set_number PropertyValue::TwoByteInteger(value), $($row)+ }
    };
    (U32Checked $($row:tt)+) => {
        accessors! { @checked u32, u32, read.number() => |number| number, value => set_number PropertyValue::FourByteInteger(value), $($row)+ }
    };
    (Identifier $($row:tt)+) => {
        accessors! { @checked u32, u32, read.number() => |number| number, value => set_number PropertyValue::VariableByteInteger(value), $($row)+ }
    };
    (QoS $($row:tt)+) => {
        accessors! { @checked $crate::QoS, $crate::QoS, read.number() => |number| if number == 0 { $crate::QoS::AtMostOnce } else { $crate::QoS::AtLeastOnce }, value => set_number PropertyValue::Byte(value as u8), $($row)+ }
    };
    (Text $($row:tt)+) => {
        accessors! { @checked &'a str, &str, read.text() => |text| text, value => set_text value, $($row)+ }
    };
    (Topic $($row:tt)+) => {
        accessors! { @checked &'a str, &str, read.text() => |text| text, value => set_topic value, $($row)+ }
    };
    (Binary $($row:tt)+) => {
        accessors! { @checked &'a [u8], &[u8], read.binary() => |bytes| bytes, value => set_binary value, $($row)+ }
    };
    (Identifiers $name:ident $doc:literal $get:ident $add:ident $with:ident $remove:ident [$($place:ident)+]) => {$(
        impl<'a> borrowed_of!($place) {
            #[doc = concat!("[", stringify!($name), "](Property::", stringify!($name), "), all of them: ", $doc)]
            #[inline]
            pub fn $get(self) -> SubscriptionIdentifiers<'a> {
                self.0.$get()
            }
        }

        impl owned_of!($place) {
            #[doc = concat!("[", stringify!($name), "](Property::", stringify!($name), "), all of them: ", $doc)]
            pub fn $get(&self) -> SubscriptionIdentifiers<'_> {
                self.borrowed().$get()
            }

            #[doc = concat!("Appends one more [", stringify!($name), "](Property::", stringify!($name), ").")]
            ///
            /// # Errors
            /// If the value is outside the range of the property.
            pub fn $add(&mut self, value: u32) -> Result<(), $crate::EncodeError> {
                self.0.add_number(Property::$name, PropertyValue::VariableByteInteger(value))
            }

            accessors! { @with_and_remove $name $add $with $remove (value: u32) }
        }
    )+};
    (Pairs $name:ident $doc:literal $get:ident $add:ident $with:ident $remove:ident [$($place:ident)+]) => {$(
        impl<'a> borrowed_of!($place) {
            #[doc = concat!("[", stringify!($name), "](Property::", stringify!($name), "), all of them: ", $doc)]
            #[inline]
            pub fn $get(self) -> UserProperties<'a> {
                self.0.$get()
            }
        }

        impl owned_of!($place) {
            #[doc = concat!("[", stringify!($name), "](Property::", stringify!($name), "), all of them: ", $doc)]
            pub fn $get(&self) -> UserProperties<'_> {
                self.borrowed().$get()
            }

            #[doc = concat!("Appends one more [", stringify!($name), "](Property::", stringify!($name), ").")]
            ///
            /// # Errors
            /// If name or value is no string that MQTT can carry.
            pub fn $add(&mut self, name: &str, value: &str) -> Result<(), $crate::EncodeError> {
                self.0.add_pair(Property::$name, name, value)
            }

            accessors! { @with_and_remove $name $add $with $remove (name: &str, value: &str) }
        }
    )+};
    (@plain $type:ty, $read:ident.$part:ident() => $convert:expr, $value:ident => $write:expr,
        $name:ident $doc:literal $get:ident $set:ident $with:ident $remove:ident [$($place:ident)+]) => {$(
        accessors! { @getter $type, $part $convert, $name $doc $get $place }

        impl owned_of!($place) {
            #[doc = concat!("Sets [", stringify!($name), "](Property::", stringify!($name), ").")]
            pub fn $set(&mut self, $value: $type) {
                self.0.set(Property::$name, $write);
            }

            #[doc = concat!("The same properties with this [", stringify!($name), "](Property::", stringify!($name), ").")]
            #[must_use]
            pub fn $with(mut self, value: $type) -> Self {
                self.$set(value);
                self
            }

            accessors! { @remove $name $remove }
        }
    )+};
    (@checked $type:ty, $argument:ty, $read:ident.$part:ident() => $convert:expr, $value:ident => $check:ident $write:expr,
        $name:ident $doc:literal $get:ident $set:ident $with:ident $remove:ident [$($place:ident)+]) => {$(
        accessors! { @getter $type, $part $convert, $name $doc $get $place }

        impl owned_of!($place) {
            #[doc = concat!("Sets [", stringify!($name), "](Property::", stringify!($name), ").")]
            ///
            /// # Errors
            /// If the value is outside the range of the property.
            pub fn $set(&mut self, $value: $argument) -> Result<(), $crate::EncodeError> {
                self.0.$check(Property::$name, $write)
            }

            accessors! { @with_and_remove $name $set $with $remove (value: $argument) }
        }
    )+};
    (@getter $type:ty, $part:ident $convert:expr, $name:ident $doc:literal $get:ident $place:ident) => {
        impl<'a> borrowed_of!($place) {
            #[doc = concat!("[", stringify!($name), "](Property::", stringify!($name), "): ", $doc)]
            #[inline]
            pub fn $get(self) -> Option<$type> {
                self.0.value(Property::$name)?.$part().map($convert)
            }
        }

        impl<'a> owned_of!($place) {
            #[doc = concat!("[", stringify!($name), "](Property::", stringify!($name), "): ", $doc)]
            #[inline]
            pub fn $get(&'a self) -> Option<$type> {
                self.borrowed().$get()
            }
        }
    };
    (@with_and_remove $name:ident $set:ident $with:ident $remove:ident ($($argument:ident: $type:ty),+)) => {
        #[doc = concat!("The same properties with this [", stringify!($name), "](Property::", stringify!($name), ").")]
        ///
        /// # Errors
        /// If the value is outside the range of the property, or no string that MQTT can carry.
        pub fn $with(mut self, $($argument: $type),+) -> Result<Self, $crate::EncodeError> {
            self.$set($($argument),+)?;
            Ok(self)
        }

        accessors! { @remove $name $remove }
    };
    (@remove $name:ident $remove:ident) => {
        #[doc = concat!("Removes every [", stringify!($name), "](Property::", stringify!($name), ").")]
        pub fn $remove(&mut self) {
            self.0.remove(Property::$name);
        }
    };
}

pub(super) use {accessors, property_sets};
