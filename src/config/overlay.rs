//! Owns how the environment is laid over the file: `SPRACHPOST__ASR__SLOTS=2` is `asr.slots = 2`.

use super::ConfigError;

const PREFIX: &str = "SPRACHPOST__";
const SEPARATOR: &str = "__";

/// Writes every variable with our prefix into `table` and returns their names.
pub fn lay(
    table: &mut toml::Table,
    environment: impl IntoIterator<Item = (String, String)>,
    secrets: &[&[&str]],
) -> Result<Vec<String>, ConfigError> {
    let mut ours: Vec<(String, String)> =
        environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    ours.sort();
    for (name, value) in &ours {
        let path = path_of(name);
        let is_secret = secrets.iter().any(|secret| path.iter().map(String::as_str).eq(secret.iter().copied()));
        let value = if is_secret { reference_to(name) } else { typed(value) };
        set(table, &path, value).ok_or_else(|| ConfigError::Invalid {
            place: name.clone(),
            what: "the variable names no setting: a part of its path is empty or not a section".to_owned(),
        })?;
    }
    Ok(ours.into_iter().map(|(name, _)| name).collect())
}

/// The path of the setting that a variable means.
pub fn path_of(variable: &str) -> Vec<String> {
    variable.trim_start_matches(PREFIX).split(SEPARATOR).map(str::to_lowercase).collect()
}

fn set(table: &mut toml::Table, path: &[String], value: toml::Value) -> Option<()> {
    let (first, rest) = path.split_first()?;
    if first.is_empty() {
        return None;
    }
    if rest.is_empty() {
        table.insert(first.clone(), value);
        return Some(());
    }
    let section = table.entry(first.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    set(section.as_table_mut()?, rest, value)
}

/// A secret stays where it is: only the variable's name goes into the configuration.
fn reference_to(variable: &str) -> toml::Value {
    toml::Value::Table([("env".to_owned(), toml::Value::String(variable.to_owned()))].into_iter().collect())
}

/// Numbers, booleans, arrays and inline tables as TOML writes them; everything else is text.
fn typed(value: &str) -> toml::Value {
    if value.contains('\n') {
        return toml::Value::String(value.to_owned());
    }
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}")).ok().and_then(|mut t| t.remove("value"));
    match parsed {
        Some(
            typed @ (toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::String(_)
            | toml::Value::Array(_)
            | toml::Value::Table(_)),
        ) => typed,
        Some(toml::Value::Datetime(_)) | None => toml::Value::String(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_type_they_look_like() {
        assert_eq!(typed("3"), toml::Value::Integer(3));
        assert_eq!(typed(r#"["a"]"#), toml::Value::Array(vec!["a".into()]));
        assert_eq!(typed("embedded:/tmp/x"), toml::Value::String("embedded:/tmp/x".to_owned()));
        assert_eq!(typed("1\n[evil]"), toml::Value::String("1\n[evil]".to_owned()));
    }
}
