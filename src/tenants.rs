//! Owns what is set for one tenant and not for another.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{
    asr::{Profile, whisper::language},
    note::Tenant,
    understanding::playbook::WeekHours,
};

/// Settings by tenant; a tenant without an entry has the defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Tenants(#[serde(deserialize_with = "by_name")] BTreeMap<String, TenantConfig>);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantConfig {
    /// Language that this tenant's customers speak (ISO 639-1); detected where none, and a note's own hint goes first.
    #[serde(deserialize_with = "known_language")]
    pub language: Option<String>,
    /// Languages that detection may choose among; empty means any.
    #[serde(deserialize_with = "known_languages")]
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

/// A name that no tenant can have would be settings for nobody.
fn by_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, TenantConfig>, D::Error> {
    let tenants = BTreeMap::<Tenant, TenantConfig>::deserialize(deserializer)?;
    Ok(tenants.into_iter().map(|(tenant, config)| (tenant.to_string(), config)).collect())
}

fn known_language<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let language = Option::<String>::deserialize(deserializer)?;
    all_known(language.as_slice())?;
    Ok(language)
}

fn known_languages<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let languages = Vec::<String>::deserialize(deserializer)?;
    all_known(&languages)?;
    Ok(languages)
}

/// With a language that is none, every note of the tenant would fail.
fn all_known<E: de::Error>(languages: &[String]) -> Result<(), E> {
    match languages.iter().find_map(|code| language::fault_of(code)) {
        Some(fault) => Err(E::custom(fault)),
        None => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_or_a_name_that_cannot_be_is_refused_with_what_is_wanted() {
        let fault = |text: &str| toml::from_str::<Tenants>(text).unwrap_err().message().to_owned();
        for language in ["deutsch", "de-AT", "ger", ""] {
            for text in [format!("[a]\nlanguages = [\"de\", {language:?}]"), format!("[a]\nlanguage = {language:?}")] {
                assert!(fault(&text).contains("ISO 639-1"), "{}", fault(&text));
            }
        }
        assert!(fault("[Muster]\nlanguages = [\"de\"]").contains("a-z"), "{}", fault("[Muster]"));
        let good: Tenants = toml::from_str("[muster-1]\nlanguage = \"DE\"\nlanguages = [\"de\", \"EN\"]").unwrap();
        assert_eq!(good.get(&"muster-1".parse().unwrap()).languages, ["de", "EN"]);
    }
}
