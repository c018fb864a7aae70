use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use super::{
    file::{Fault, parse},
    *,
};

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/e5-small-q4.bin")
}

static ENCODER: LazyLock<Encoder> =
    LazyLock::new(|| Encoder::load(&path()).unwrap_or_else(|e| panic!("{e}; `make test` fetches the models first")));

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Computed from the same file by a program of its own, in another language, on whole matrices of 32-bit numbers, their
/// rows rounded to 127 steps on either side: number of tokens, the first of them behind the prefix, the first and the last
/// numbers of the embedding.
type Reference = (&'static str, usize, [u32; 4], [f32; 8], [f32; 4]);

const REFERENCE: [Reference; 5] = [
    (
        "Mein Paket ist nicht angekommen.",
        11,
        [21375, 50867, 443, 749],
        [0.0653, -0.0263, -0.0241, -0.0865, 0.1065, -0.0494, 0.009, 0.0797],
        [0.0697, 0.0677, -0.0288, 0.051],
    ),
    (
        "Grüezi, s Internet isch scho wieder abgheit, ½ vo de Lüt händ kei Netz – d’Frau au!",
        36,
        [527, 18687, 10779, 4],
        [0.0418, -0.0158, -0.0402, -0.0523, 0.1166, -0.0453, 0.0017, 0.0224],
        [0.0425, 0.0564, 0.0506, 0.0569],
    ),
    (
        "İnternet bağlantım kesildi",
        10,
        [95890, 83061, 39, 2820],
        [0.0707, -0.0306, -0.0267, -0.0645, 0.0903, -0.0494, 0.0375, 0.0641],
        [0.0777, 0.0202, 0.0325, 0.0532],
    ),
    (
        "  \t 你好 🙂 \n ",
        9,
        [6, 124_084, 3143, 6],
        [0.0657, -0.0224, -0.05, -0.0391, 0.094, -0.0468, 0.0031, 0.0894],
        [0.0274, 0.0972, 0.0655, 0.0257],
    ),
    (
        "also ich wollte nur mal nachfragen ob die rechnung vom letzten monat schon raus ist weil ich habe da noch \
         nichts bekommen und dann wollte ich auch noch wissen ob der techniker jetzt am dienstag kommt oder nicht",
        48,
        [2843, 654, 34485, 1649],
        [0.0345, -0.0168, -0.0313, -0.0671, 0.0805, -0.0173, -0.0333, 0.0214],
        [-0.0089, 0.0588, 0.0083, 0.0388],
    ),
];

#[test]
fn embeddings_are_those_of_another_program() {
    // In single precision, whatever this processor is given usually; that program knows nothing of tuning.
    let encoder = Encoder::load_for(Arch::Scalar, &path(), &[]).unwrap();
    let rounding = Encoder::load_for(Arch::new(), &path(), &[]).unwrap();
    for (text, tokens, behind_prefix, first, last) in REFERENCE {
        let found: Vec<u32> = encoder.tokenizer.encode(PREFIX, text, 512).iter().map(|token| token.id).collect();
        assert_eq!((found.len(), &found[4..8]), (tokens, &behind_prefix[..]), "{text}");
        let embedding = encoder.embed(text);
        let ends = embedding[..8].iter().chain(&embedding[embedding.len() - 4..]);
        for (found, wanted) in ends.zip(first.iter().chain(&last)) {
            assert!((found - wanted).abs() < 2e-4, "{text}: {found} is not {wanted}");
        }
        assert!((cosine(&embedding, &embedding) - 1.0).abs() < 1e-4);
        let usual = cosine(&embedding, &rounding.embed(text));
        assert!(usual > 0.999_99, "{text}: rounded to 14 bits, it means something else: {usual}");
    }
}

#[test]
fn tuned_it_tells_requests_apart_better_than_by_itself() {
    let requests = [
        ["Wo bleibt denn meine Lieferung?", "Das Paket müsste längst da sein, ist es aber nicht."],
        ["Ich will aus dem Vertrag raus.", "Bitte beenden Sie mein Abo zum nächsten Termin."],
        ["Auf der letzten Abrechnung habt ihr zu viel verlangt.", "The amount on my bill cannot be right."],
        ["Seit heute früh haben wir kein Netz mehr.", "Our internet connection is down again."],
    ];
    // How much nearer two wordings of a request are than two requests, as seen from the middle of all.
    let apart = |encoder: &Encoder| {
        let all: Vec<Embedding> = requests.iter().flatten().map(|text| encoder.embed(text)).collect();
        let middle = |at: usize| all.iter().map(|embedding| embedding[at]).sum::<f32>() / all.len() as f32;
        let seen = |embedding: &Embedding| {
            normalised((0..embedding.len()).map(|at| embedding[at] - middle(at)).collect()).unwrap()
        };
        let seen: Vec<Embedding> = all.iter().map(seen).collect();
        let (mut same, mut other) = (0.0, 0.0);
        for (i, one) in seen.iter().enumerate() {
            for (j, two) in seen.iter().enumerate().filter(|(j, _)| *j != i) {
                *(if i / 2 == j / 2 { &mut same } else { &mut other }) += cosine(one, two);
            }
        }
        same / seen.len() as f32 - other / (seen.len() * (seen.len() - 2)) as f32
    };
    let by_itself = Encoder::load_for(Arch::new(), &path(), &[]).unwrap();
    let (tuned, by_itself) = (apart(&ENCODER), apart(&by_itself));
    assert!(tuned > by_itself + 0.02, "{tuned} {by_itself}");
}

#[test]
fn what_was_learnt_beside_a_matrix_changes_what_it_says_and_has_to_fit() {
    let model: [u8; 32] = Sha256::digest(std::fs::read(path()).expect("the model")).into();
    let learnt = |up: f32, outputs: usize| {
        let mut bytes = [&b"E5T1"[..], &model].concat();
        for (name, number, count) in [("l0.v.down", 0.1, 384), ("l0.v.up", up, outputs)] {
            bytes.push(name.len() as u8);
            bytes.extend(name.as_bytes());
            bytes.extend((count as u32).to_le_bytes());
            bytes.extend(std::iter::repeat_n(half::f16::from_f32(number).to_le_bytes(), count).flatten());
        }
        Encoder::load_for(Arch::new(), &path(), &bytes)
    };
    let text = REFERENCE[0].0;
    let by_itself = Encoder::load_for(Arch::new(), &path(), &[]).unwrap().embed(text);
    let [same, other] = [0.0, 20.0].map(|up| cosine(&by_itself, &learnt(up, 384).unwrap().embed(text)));
    assert!(same > 0.99999 && other < 0.999, "{same} {other}");
    assert!(matches!(learnt(0.5, 383), Err(EncoderError::Format { what: Fault::Tensor(name), .. }) if name == "l0.v"));
}

#[test]
fn what_means_the_same_lies_closer_in_another_language_than_another_matter_in_this_one() {
    let texts = ["Mein Paket ist nicht angekommen.", "My parcel has not arrived.", "Das Internet geht nicht."];
    let [german, english, other] = texts.map(|text| ENCODER.embed(text));
    assert!(cosine(&german, &english) > cosine(&german, &other) + 0.02);
}

#[test]
fn parts_are_what_was_asked_for_and_all_of_it_is_nearly_the_whole() {
    let text = "Das Paket fehlt. Außerdem stimmt die Rechnung nicht.";
    let cut = text.find(" Außerdem").unwrap_or_default();
    let encoded = ENCODER.encode(text, &[0..cut, cut..text.len(), 0..text.len(), 900..901]);
    let parcel = ENCODER.embed("Das Paket fehlt.");
    assert!(cosine(&encoded.parts[0], &parcel) > cosine(&encoded.parts[1], &parcel));
    assert!(cosine(&encoded.parts[2], &encoded.whole) > 0.99);
    assert_eq!(encoded.parts[3], encoded.whole);
}

#[test]
fn texts_without_end_are_cut_and_texts_without_words_have_a_meaning_too() {
    let unspaced = "ä".repeat(200_000);
    for text in [unspaced.as_str(), "", "\u{0}\u{301}\u{202e}", "🙂🙂🙂"] {
        let tokens = ENCODER.tokenizer.encode(PREFIX, text, 512);
        assert!(tokens.len() <= 512);
        assert!(tokens.iter().filter_map(|token| token.at.clone()).all(|at| text.get(at).is_some()));
        let embedding = ENCODER.embed(text.get(..2000).unwrap_or(text));
        assert!((cosine(&embedding, &embedding) - 1.0).abs() < 1e-4);
    }
    let stretches = ENCODER.stretches(&unspaced[..20_000], &[]);
    assert!((2..=STRETCHES_MAX).contains(&stretches.len()) && stretches.iter().all(|tokens| tokens.len() <= 512));
}

/// 600 words about one thing, and at the end another.
fn long_note() -> (String, Vec<Range<usize>>) {
    let mut text = "Das Internet geht bei uns seit gestern nicht mehr, die Lampe am Router ist rot. ".repeat(40);
    text += "Außerdem möchte ich mein Paket zurückschicken.";
    let parts = crate::understanding::text::sentences(&text);
    (text, parts)
}

#[test]
fn what_is_said_at_the_end_of_a_very_long_note_is_read() {
    let (text, parts) = long_note();
    let stretches = ENCODER.stretches(&text, &parts);
    assert!(stretches.len() >= 2 && stretches.iter().all(|tokens| tokens.len() <= 512), "{}", stretches.len());
    let encoded = ENCODER.encode(&text, &parts);
    let alone = ENCODER.embed("Außerdem möchte ich mein Paket zurückschicken.");
    let (last, first) = (&encoded.parts[parts.len() - 1], &encoded.parts[0]);
    // Read in the light of its stretch, it is still far closer to itself alone than what the rest is about.
    let (end, rest) = (cosine(last, &alone), cosine(first, &alone));
    assert!(end > rest + 0.04, "{end} {rest}");
}

#[test]
fn every_byte_of_a_long_text_is_read_once() {
    let (text, parts) = long_note();
    for parts in [&parts[..], &[]] {
        let stretches = ENCODER.stretches(&text, parts);
        let read: String =
            stretches.iter().flatten().filter_map(|token| token.at.clone()).map(|at| &text[at]).collect();
        let spaceless = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(spaceless(&read), spaceless(&text));
    }
}

#[test]
fn what_lies_behind_the_last_stretch_is_counted() {
    let (once, _) = long_note();
    let unread_of = |text: &str| {
        let stretches = ENCODER.stretches(text, &crate::understanding::text::sentences(text));
        (stretches.len(), unread(text, &stretches))
    };
    let (few, nothing) = unread_of(&once);
    assert!(few < STRETCHES_MAX && nothing == 0, "{few} {nothing}");
    let text = once.repeat(9);
    let (all, unread) = unread_of(&text);
    assert!(all == STRETCHES_MAX && (1..text.chars().count()).contains(&unread), "{all} {unread}");
    // Twice as much more lies behind when there is twice as much more.
    let (_, more) = unread_of(&once.repeat(10));
    assert_eq!(more - unread, once.chars().count());
}

#[test]
fn texts_that_are_read_together_mean_what_they_mean_alone() {
    let (long, _) = long_note();
    let short = REFERENCE.iter().map(|reference| reference.0).chain([""]).cycle().take(TEXTS_TOGETHER);
    let texts: Vec<&str> = short.chain([&long[..long.len() / 2], REFERENCE[0].0]).collect();
    for (text, together) in texts.iter().zip(ENCODER.embed_all(&texts)) {
        assert!(cosine(&together, &ENCODER.embed(text)) > 0.99999, "{} bytes", text.len());
    }
}

#[test]
fn a_file_that_ends_early_is_refused_wherever_it_ends() {
    let bytes = std::fs::read(path()).expect("the model");
    for length in [0, 3, 4, 8, 30, 60, 1000, 1_000_000, 3_600_000, 4_600_000, 4_638_272, bytes.len() - 1] {
        let parsed = parse(bytes[..length].to_vec());
        let made = parsed.and_then(|(_, weights)| Transformer::new(Arch::new(), &weights));
        assert!(made.is_err(), "{length} bytes are taken for the whole");
    }
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    /// Where the last block of the last layer's weights has its scale.
    const LAST_SCALE: usize = 71_617_792 - 18;
    let mut bytes = std::fs::read(path()).expect("the model");
    bytes[LAST_SCALE..LAST_SCALE + 2].copy_from_slice(&half::f16::NAN.to_le_bytes());
    let made = parse(bytes).and_then(|(_, weights)| Transformer::new(Arch::new(), &weights));
    assert_eq!(made.err(), Some(Fault::Tensor("l11.fo".to_owned())));
}

#[test]
fn a_lying_header_does_not_allocate() {
    let bytes = std::fs::read(path()).expect("the model");
    // Every number of the header at its largest: width, layers, …, number of pieces, length of their text.
    for at in (8..68).step_by(4) {
        // The number of kinds of text and the padding are read by nobody.
        if matches!(at, 32 | 56) {
            continue;
        }
        let mut lying = bytes[..4096].to_vec();
        lying[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(parse(lying).is_err(), "byte {at}");
    }
    assert_eq!(parse(b"GGUF\x03\0\0\0".to_vec()).err(), Some(Fault::Magic));
}

#[test]
fn a_missing_file_is_named() {
    let error = Encoder::load(Path::new("/nowhere/model.bin")).expect_err("there is none");
    assert!(error.to_string().contains("/nowhere/model.bin"), "{error}");
}
