//! Owns what the usual sentence encoder says of the program's own texts: the background that every playbook is set
//! against, and the built-in playbook. They are the same everywhere, so they are read here once, and not by every
//! installation.
//!
//! The encoder looks into it only if it is the one that said it (`encoder/memory.rs`); without it everything is the same,
//! and the first start takes longer. When one of those texts changed, a test fails until the file is made again:
//!
//! ```console
//! $ SPRACHPOST_UPDATE_EMBEDDINGS=1 cargo test --lib understanding::builtin
//! ```

/// Hashes and 16-bit numbers; `encoder/memory.rs` owns the format.
pub const EMBEDDINGS: &[u8] = include_bytes!("builtin.embeddings");

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use super::*;
    use crate::understanding::{Understander, encoder::Encoder, playbook::Playbook};

    const UPDATE: &str = "SPRACHPOST_UPDATE_EMBEDDINGS";
    /// Every so many texts are read again, which takes a second instead of a quarter of a minute.
    const STEP: usize = 16;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    fn encoder() -> Encoder {
        let loaded = Encoder::load(&root().join("models/e5-small-q4.bin"));
        loaded.unwrap_or_else(|e| panic!("{e}; `make test` fetches the models first"))
    }

    /// How often the encoder was asked beyond what it knew, in learning the built-in playbook, and what it said.
    fn read_by(encoder: Encoder) -> (usize, Vec<u8>) {
        let encoder = Arc::new(encoder);
        drop(Understander::train(&Playbook::builtin().unwrap(), Some(Arc::clone(&encoder))));
        encoder.newly_read()
    }

    #[test]
    fn all_of_the_programs_own_texts_have_been_read() {
        if std::env::var_os(UPDATE).is_some() {
            let (_, bytes) = read_by(encoder());
            std::fs::write(root().join("src/understanding/builtin.embeddings"), bytes).unwrap();
            return;
        }
        let (missing, _) = read_by(encoder().knowing(EMBEDDINGS));
        assert_eq!(
            missing, 0,
            "texts of the program changed: run this test with {UPDATE}=1 and check in what it writes"
        );
    }

    #[test]
    fn what_is_known_is_what_the_encoder_says() {
        if std::env::var_os(UPDATE).is_some() {
            return;
        }
        let playbook = Playbook::builtin().unwrap();
        let intents = playbook.intents.iter().flat_map(|intent| intent.description.iter().chain(&intent.examples));
        let mut texts: Vec<&str> = intents.map(String::as_str).collect();
        texts.extend(include_str!("intent/background.txt").lines());
        texts.sort_unstable();
        texts.dedup();
        let (fresh, knowing) = (encoder(), encoder().knowing(EMBEDDINGS));
        assert_eq!(knowing.shipped(), texts.len(), "and nothing else: run this test with {UPDATE}=1");
        let sample: Vec<&str> = texts.into_iter().step_by(STEP).collect();
        for (known, computed) in knowing.embed_examples(&sample).iter().zip(fresh.embed_examples(&sample)) {
            // Processors differ in how many bits they multiply with.
            let off: f32 = known.iter().zip(&computed).map(|(known, computed)| (known - computed).powi(2)).sum();
            assert!(off.sqrt() < 0.02, "the encoder is off by {off}: run this test with {UPDATE}=1");
        }
        assert_eq!(knowing.newly_read().0, 0);
    }
}
