//! Owns what is set for one tenant and not for another.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::note::Tenant;

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
}

impl Tenants {
    #[must_use]
    pub fn get(&self, tenant: &Tenant) -> TenantConfig {
        self.0.get(tenant.as_str()).cloned().unwrap_or_default()
    }
}
