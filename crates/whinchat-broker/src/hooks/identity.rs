//! Who a client is, once that is known.

use std::{collections::BTreeMap, fmt, sync::Arc, time::SystemTime};

/// Who is at the other end of a connection, as the authenticator says. Cheap to clone.
///
/// It is not the client id: several clients may share an identity.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity(Arc<Known>);

#[derive(Clone, PartialEq, Eq)]
struct Known {
    name: String,
    anonymous: bool,
    roles: Vec<String>,
    attributes: BTreeMap<String, String>,
    expires_at: Option<SystemTime>,
}

impl Identity {
    /// Somebody with this name, without roles and attributes, who stays known.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self::known(name.into(), false)
    }

    /// A client that nobody vouches for; its name is `anonymous`.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::known("anonymous".to_owned(), true)
    }

    fn known(name: String, anonymous: bool) -> Self {
        Self(Arc::new(Known {
            name,
            anonymous,
            roles: Vec::new(),
            attributes: BTreeMap::new(),
            expires_at: None,
        }))
    }

    /// Adds a role.
    #[must_use]
    pub fn with_role(mut self, role: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).roles.push(role.into());
        self
    }

    /// Adds an attribute, or replaces the one with this key.
    #[must_use]
    pub fn with_attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0)
            .attributes
            .insert(key.into(), value.into());
        self
    }

    /// Ends the connection at this time unless the client authenticates again before.
    #[must_use]
    pub fn with_expiry(mut self, at: SystemTime) -> Self {
        Arc::make_mut(&mut self.0).expires_at = Some(at);
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether nobody vouches for the client.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.0.anonymous
    }

    /// The roles, in the order they were added.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.0.roles
    }

    /// The attribute with this key.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.0.attributes.get(key).map(String::as_str)
    }

    /// All attributes, by key.
    #[must_use]
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.0.attributes
    }

    /// When the connection ends unless the client authenticates again.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at
    }
}

/// Attributes may hold what an authenticator learnt from a secret: their keys are shown alone.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("name", &self.0.name)
            .field("roles", &self.0.roles)
            .field("attributes", &self.0.attributes.keys().collect::<Vec<_>>())
            .field("expires_at", &self.0.expires_at)
            .finish_non_exhaustive()
    }
}
