//! Owns [`TextHasher`]: the hash of text that a peer chose.

use core::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;

/// Hashes text under a secret of its own, so that who chooses the text cannot choose what it
/// collides with. With `std` the secret comes from the operating system; without, from addresses.
pub(crate) struct TextHasher {
    builder: DefaultHashBuilder,
    secret: u64,
}

impl TextHasher {
    pub(crate) fn new() -> Self {
        Self {
            builder: DefaultHashBuilder::default(),
            secret: secret(),
        }
    }

    pub(crate) fn hash(&self, text: &[u8]) -> u64 {
        let mut hasher = self.builder.build_hasher();
        hasher.write_u64(self.secret);
        hasher.write(text);
        hasher.finish()
    }
}

#[cfg(feature = "std")]
fn secret() -> u64 {
    std::hash::RandomState::new().hash_one(())
}

#[cfg(not(feature = "std"))]
const fn secret() -> u64 {
    0
}
