//! Owns what is set for one tenant and not for another.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{asr::Profile, note::Tenant, understanding::playbook::WeekHours};

/// Settings by tenant; a tenant without an entry has the defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Tenants(BTreeMap<String, TenantConfig>);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantConfig {
    /// Language that this tenant's customers speak (ISO 639-1); detected where none, and a note's own hint goes first.
    pub language: Option<String>,
    /// Languages that detection may choose among; empty means any.
    pub languages: Vec<String>,
    /// Words or speed for this tenant's notes; `asr.profile` where none.
    pub asr_profile: Option<Profile>,
    /// Names of this tenant's products and places, the most important first; recognition prefers them where a sound is in
    /// doubt. As many as fit into 64 tokens, some 15 to 20 names. Off where empty.
    pub glossary: Vec<String>,
    /// Whether senders are told at once that their note is there; as the playbook says where it is not set.
    pub acknowledgement: Option<bool>,
    /// When somebody is there for this tenant's customers, in the time zone and but for the holidays of the playbook;
    /// the playbook's hours where none.
    pub business_hours: Option<WeekHours>,
    /// Publish each result a second time, without personal data, for consumers that may not see those.
    pub redacted_events: bool,
}

impl Tenants {
    /// All tenants that have settings, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TenantConfig)> {
        self.0.iter().map(|(name, config)| (name.as_str(), config))
    }

    #[must_use]
    pub fn get(&self, tenant: &Tenant) -> TenantConfig {
        self.0.get(tenant.as_str()).cloned().unwrap_or_default()
    }
}

impl FromIterator<(String, TenantConfig)> for Tenants {
    fn from_iter<T: IntoIterator<Item = (String, TenantConfig)>>(tenants: T) -> Self {
        Self(tenants.into_iter().collect())
    }
}
