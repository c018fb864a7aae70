//! Owns blanking secrets in messages of others, before anything else looks at them or keeps them.
//!
//! It works on bytes and not on JSON: what cannot be parsed lands with the dead letters, and must not take a key there.

use std::ops::Range;

/// Blanks the values of these fields, wherever they stand, also in JSON within a string. What was valid stays so.
pub fn blank(body: &mut [u8], fields: &[&str]) {
    let mut at = 0;
    while let Some(value) = next_value(&body[at..], fields) {
        body[at..][value.clone()].fill(b'*');
        at += value.end;
    }
}

/// Where the content of the next such value lies: between its quotes, or to the end where they do not close.
fn next_value(text: &[u8], fields: &[&str]) -> Option<Range<usize>> {
    let mut from = 0;
    loop {
        from += text[from..].iter().position(|b| *b == b'"')? + 1;
        let rest = &text[from..];
        let field = fields.iter().find(|field| starts_with(rest, field));
        if let Some((start, escapes)) = field.and_then(|field| content_after(rest, field.len())) {
            let start = from + start;
            return Some(start..start + content_len(&text[start..], escapes));
        }
    }
}

fn starts_with(text: &[u8], field: &str) -> bool {
    text.get(..field.len()).is_some_and(|start| start.eq_ignore_ascii_case(field.as_bytes()))
}

/// Where the string after `":` begins, and how many backslashes stand before its quote: none, or some where it is in a
/// string itself. `at` is where the name ended.
fn content_after(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let at = at + count(&text[at..], |b| b == b'\\');
    let at = at + expect(text, at, b'"')?;
    let at = at + count(&text[at..], |b| b.is_ascii_whitespace());
    let at = at + expect(text, at, b':')?;
    let at = at + count(&text[at..], |b| b.is_ascii_whitespace());
    let escapes = count(&text[at..], |b| b == b'\\');
    let at = at + escapes;
    Some((at + expect(text, at, b'"')?, escapes))
}

fn count(text: &[u8], counted: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|b| counted(**b)).count()
}

fn expect(text: &[u8], at: usize, byte: u8) -> Option<usize> {
    (text.get(at) == Some(&byte)).then_some(1)
}

/// Up to the quote that ends it: one as deep in strings as the quote that it began with. Backslashes beyond that belong
/// to the content, in pairs, or escape the quote.
fn content_len(text: &[u8], escapes: usize) -> usize {
    let mut backslashes = 0;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'\\' => backslashes += 1,
            b'"' if backslashes % (2 * (escapes + 1)) == escapes => return at - escapes,
            _ => backslashes = 0,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn blanked(text: &str) -> String {
        let mut body = text.as_bytes().to_vec();
        blank(&mut body, &["apikey", "token"]);
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn the_values_of_the_fields_are_blanked_and_nothing_else() {
        for (before, after) in [
            (r#"{"apikey":"B6D7","a":"B6D7"}"#, r#"{"apikey":"****","a":"B6D7"}"#),
            (r#"{"ApiKey" : "B6" , "token":"x"}"#, r#"{"ApiKey" : "**" , "token":"*"}"#),
            (r#"{"apikey":null,"token":7,"apikey2":"B6"}"#, r#"{"apikey":null,"token":7,"apikey2":"B6"}"#),
            (r#"{"inner":"{\"apikey\":\"B6\",\"a\":1}"}"#, r#"{"inner":"{\"apikey\":\"**\",\"a\":1}"}"#),
            (r#"{"apikey":"B\"6","a":1}"#, r#"{"apikey":"****","a":1}"#),
            (r#"{"apikey":"never closed"#, r#"{"apikey":"************"#),
            (r#""apikey"#, r#""apikey"#),
        ] {
            assert_eq!(blanked(before), after);
        }
    }

    proptest! {
        #[test]
        fn no_key_is_left_and_valid_json_stays_valid(secret in "[A-Z0-9]{8}(\\PC|\"|\\\\){0,8}[A-Z0-9]{8}", text in "\\PC{0,20}") {
            let inner = json!({"text": text, "token": secret}).to_string();
            let value = json!({"data": {"text": text, "inner": inner}, "apikey": secret, "webhooks": [{"token": secret}]});
            let left = blanked(&value.to_string());
            let read: Value = serde_json::from_str(&left).unwrap();
            prop_assert!(read["apikey"].as_str().unwrap().bytes().all(|b| b == b'*'));
            prop_assert!(read["webhooks"][0]["token"].as_str().unwrap().bytes().all(|b| b == b'*'));
            prop_assert_eq!(read["data"]["text"].as_str().unwrap(), text);
        }

        #[test]
        fn any_bytes_can_be_looked_through(mut body in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..60_usize) {
            let mut shaped = br#"{"a":"\\\"","apikey" : "secret\\","token":"#[..].to_vec();
            shaped.truncate(cut.min(shaped.len()));
            shaped.append(&mut body);
            blank(&mut shaped, &["apikey", "token"]);
        }
    }
}
