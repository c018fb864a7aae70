//! Owns the meaning of an AMQP topic pattern, for the queue that has no RabbitMQ to ask.

/// A topic pattern: words with dots between them; `*` is one word, `#` any number of words, none included.
#[derive(Debug, Clone)]
pub struct TopicPattern(Vec<String>);

impl TopicPattern {
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        let mut words: Vec<String> = words(pattern).map(str::to_owned).collect();
        // `#.#` says nothing more than `#`, and every further one would multiply the work.
        words.dedup_by(|word, before| word == "#" && before == "#");
        Self(words)
    }

    #[must_use]
    pub fn matches(&self, routing_key: &str) -> bool {
        let words: Vec<&str> = words(routing_key).collect();
        // `reached[n]`: the pattern so far can match exactly the first n words. Time is the product of both lengths,
        // whatever the pattern.
        let mut reached = vec![false; words.len() + 1];
        reached[0] = true;
        for part in &self.0 {
            let mut next = vec![false; words.len() + 1];
            let mut any_before = false;
            for n in 0..=words.len() {
                any_before |= reached[n];
                next[n] = match part.as_str() {
                    "#" => any_before,
                    "*" => n > 0 && reached[n - 1],
                    word => n > 0 && reached[n - 1] && words[n - 1] == word,
                };
            }
            reached = next;
        }
        reached[words.len()]
    }
}

/// An empty key has no words; otherwise empty words count, as they do on RabbitMQ.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('.').filter(move |_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_on_rabbitmq() {
        for (pattern, key, expected) in [
            ("processed.#", "processed.acme.whatsapp.completed", true),
            ("processed.#", "processed", true),
            ("processed.#", "acknowledged.acme", false),
            ("processed.*.*.completed.de.complaint.high", "processed.acme.mail.completed.de.complaint.high", true),
            ("processed.*.*.completed.de.complaint.high", "processed.acme.mail.completed.de.complaint.low", false),
            ("*", "one", true),
            ("*", "one.two", false),
            ("*", "", false),
            ("#", "", true),
            ("#", "a.b.c", true),
            ("#.c", "a.b.c", true),
            ("#.c", "c", true),
            ("#.c", "c.d", false),
            ("a.#.c", "a.c", true),
            ("a.#.c", "a.b.b.c", true),
            ("a.#.*.c", "a.c", false),
            ("#.#.a", "a", true),
            ("a.*.c", "a..c", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(TopicPattern::new(pattern).matches(key), expected, "{pattern:?} against {key:?}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_others() {
        let pattern = TopicPattern::new(&"#.a.".repeat(60));
        assert!(!pattern.matches(&"a.".repeat(120).replace("a.a.a", "a.a.b")));
    }
}
