//! Owns the question whether tokens or words go round in circles, which whisper does when its window is too tight or
//! the audio holds nothing to hold on to. Probabilities do not show it: a loop scores better than speech.

use std::collections::BTreeSet;

/// Longest period looked for, in tokens: a sentence.
const PERIOD_MAX: usize = 32;
/// Tokens that a loop must cover; shorter ones people do say ("nein, nein, nein").
const LOOP_TOKENS_MIN: usize = 12;
/// A sentence this long, said twice in a row, is suspicious.
const SENTENCE_WORDS_MIN: usize = 5;
/// A phrase of so many words, …
const REFRAIN_WORDS: usize = 4;
/// … so often.
const REFRAIN_TIMES: usize = 4;

/// True if some part of `tokens` is the same sequence at least three times in a row.
pub fn is_loop(tokens: &[i32]) -> bool {
    (1..=PERIOD_MAX.min(tokens.len() / 3)).any(|period| {
        let needed = LOOP_TOKENS_MIN.next_multiple_of(period).max(3 * period) - period;
        longest_run(tokens, period) >= needed
    })
}

/// True if a whole stretch of words stands twice in a row. People do that too; so it is a reason to listen again,
/// not to give up.
pub fn is_said_twice(text: &str) -> bool {
    let words = words(text);
    (SENTENCE_WORDS_MIN..=words.len() / 2).any(|period| longest_run(&words, period) >= period)
}

/// True if the same few words come again and again, with others between them: a loop that varies a little. Nobody speaks
/// like that in half a minute.
pub fn is_refrain(text: &str) -> bool {
    let words = words(text);
    // Numbers are said digit by digit, and digits come again.
    let is_phrase = |words: &&[String]| words.iter().collect::<BTreeSet<_>>().len() > REFRAIN_WORDS / 2;
    let mut phrases: Vec<&[String]> = words.windows(REFRAIN_WORDS).filter(is_phrase).collect();
    phrases.sort_unstable();
    phrases.windows(REFRAIN_TIMES).any(|same| same.first() == same.last())
}

/// Without punctuation and capitals.
fn words(text: &str) -> Vec<String> {
    text.split_whitespace()
        .map(|word| word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect())
        .collect()
}

/// The longest stretch in which every item equals the one `period` before it.
fn longest_run<T: PartialEq>(items: &[T], period: usize) -> usize {
    let (mut run, mut longest) = (0, 0);
    for (earlier, later) in items.iter().zip(items.iter().skip(period)) {
        run = if earlier == later { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_times_the_same_sentence_is_a_loop_wherever_it_stands() {
        let sentence = [5, 9, 2, 7, 1];
        let mut tokens = vec![100, 101];
        tokens.extend(sentence.repeat(3));
        tokens.push(102);
        assert!(is_loop(&tokens));
        assert!(!is_loop(&[&sentence[..], &sentence[..]].concat()));
    }

    #[test]
    fn one_token_for_ever_is_a_loop_but_no_no_no_is_not() {
        assert!(is_loop(&[3; 12]));
        assert!(!is_loop(&[3, 3, 3]));
    }

    #[test]
    fn a_doubled_sentence_is_noticed_in_spite_of_punctuation() {
        assert!(is_said_twice("Wo bleibt denn mein Paket? Wo bleibt denn mein Paket."));
        assert!(!is_said_twice("Ja, ja, das ist gut, ja."));
    }

    #[test]
    fn a_loop_that_varies_is_a_refrain() {
        let evening = "Ich wünsche Ihnen einen schönen guten Abend. Am besten noch von vielen Dank. Ich wünsche Ihnen \
                       einen schönen guten Abend. Ich wünsche Ihnen einen schönen Abend. Ich wünsche Ihnen einen \
                       schönen Abend. Ich wünsche Ihnen ein schönen Abend. Ich wünsche Ihnen ein schönen Abend.";
        assert!(is_refrain(evening));
        assert!(!is_refrain(
            "Nein, nein, nein. Ich möchte gerne mein Geld, ich möchte gerne mein Paket, ich möchte \
                             gerne mein Recht."
        ));
    }

    #[test]
    fn numbers_said_one_by_one_are_no_refrain() {
        assert!(!is_refrain("null null null null null null null null, ich wiederhole: null null eins null null eins"));
    }

    #[test]
    fn nothing_is_no_loop() {
        assert!(!is_loop(&[]) && !is_said_twice("") && !is_refrain(""));
    }
}
