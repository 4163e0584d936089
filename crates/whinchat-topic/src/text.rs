//! Owns the conversions that the borrowed and owned forms of names and filters share.

/// All that follows from a `str` newtype (`$Borrowed`, which has `new`, `cast`, `as_str` and `Ord`)
/// and the boxed text that is its owned form (`$Owned`).
macro_rules! text_impls {
    ($Borrowed:ident, $Owned:ident) => {
        impl $Owned {
            /// Checks a text and keeps it.
            ///
            /// # Errors
            ///
            /// As `new` of the borrowed form.
            pub fn new(text: impl Into<String>) -> Result<Self, TopicError> {
                let text = text.into();
                $Borrowed::new(&text)?;
                Ok(Self(text.into_boxed_str()))
            }

            /// The text itself.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0.into_string()
            }
        }

        impl Deref for $Owned {
            type Target = $Borrowed;

            fn deref(&self) -> &$Borrowed {
                $Borrowed::cast(&self.0)
            }
        }

        impl ToOwned for $Borrowed {
            type Owned = $Owned;

            fn to_owned(&self) -> $Owned {
                $Owned(self.0.into())
            }
        }

        impl PartialOrd for $Borrowed {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl PartialOrd for $Owned {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $Owned {
            fn cmp(&self, other: &Self) -> Ordering {
                (**self).cmp(&**other)
            }
        }

        impl Borrow<$Borrowed> for $Owned {
            fn borrow(&self) -> &$Borrowed {
                self
            }
        }

        impl AsRef<$Borrowed> for $Owned {
            fn as_ref(&self) -> &$Borrowed {
                self
            }
        }

        impl AsRef<$Borrowed> for $Borrowed {
            fn as_ref(&self) -> &$Borrowed {
                self
            }
        }

        impl AsRef<str> for $Borrowed {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl From<&$Borrowed> for $Owned {
            fn from(borrowed: &$Borrowed) -> Self {
                borrowed.to_owned()
            }
        }

        impl<'a> TryFrom<&'a str> for &'a $Borrowed {
            type Error = TopicError;

            fn try_from(text: &'a str) -> Result<Self, TopicError> {
                $Borrowed::new(text)
            }
        }

        impl TryFrom<String> for $Owned {
            type Error = TopicError;

            fn try_from(text: String) -> Result<Self, TopicError> {
                Self::new(text)
            }
        }

        impl FromStr for $Owned {
            type Err = TopicError;

            fn from_str(text: &str) -> Result<Self, TopicError> {
                Self::new(text)
            }
        }

        impl PartialEq<str> for $Borrowed {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $Owned {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl fmt::Debug for $Borrowed {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl fmt::Display for $Borrowed {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $Owned {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&**self, f)
            }
        }

        impl fmt::Display for $Owned {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&**self, f)
            }
        }
    };
}

pub(crate) use text_impls;
