//! How many words are heard wrong, by profile, within a stated band: a change that costs words does not pass unnoticed.
//!
//! The bands are wide enough for another processor's rounding, and too narrow for a decoder that got worse. Whoever hears
//! better moves them down.

use std::path::Path;

use sprachpost::{
    asr::Profile::{self, Accurate, Balanced, Fast},
    bench::asr::{
        self, Measured, OfProfile, Plan,
        clips::{self, Clip},
    },
    config::Address,
    understanding,
};

use crate::support::{runtime, stages};

/// Heard by each profile in turn, through queue and worker.
fn heard(clips: Vec<Clip>) -> Measured {
    let mut config = stages::config();
    config.understanding = understanding::Config::without_encoder();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("embedded:{}", folder.path().join("queue.sqlite").display());
    config.broker.url = Some(Address::Plain(url));
    let plan = Plan {
        clips,
        profiles: vec![Fast, Balanced, Accurate],
        rounds: 1,
        in_flight: None,
        language_known: false,
        tenant: None,
    };
    let measured = runtime().block_on(async { asr::run(config, &plan).await.unwrap() });
    for of in &measured.profiles {
        println!("\n{:?}, {:.1} × real time a core", of.profile, of.real_time_per_core);
        for row in &of.rows {
            let rate = row.word_error_rate.unwrap_or(0.0);
            println!(
                "{:26}{:4} notes{:8.1} % of {:4} words{:3} without text{:3} dropped  calibration {:.3}",
                row.group,
                row.notes,
                rate,
                row.words,
                row.untold,
                row.dropped,
                row.calibration_error.unwrap_or(0.0)
            );
        }
    }
    measured
}

fn of(measured: &Measured, profile: Profile) -> &OfProfile {
    measured.profiles.iter().find(|of| of.profile == profile).unwrap()
}

/// `bands`: percent of words heard wrong, from and to, for each profile.
fn assert_within(measured: &Measured, bands: [(Profile, f64, f64); 3]) {
    for (profile, from, to) in bands {
        let all = &of(measured, profile).rows[0];
        let rate = all.word_error_rate.unwrap();
        assert!((from..=to).contains(&rate), "{profile:?}: {rate:.1} % of {} words, not {from} to {to}", all.words);
    }
}

#[test]
fn the_repositorys_notes_are_heard_as_well_as_ever_by_every_profile() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clips");
    let mut clips = clips::read(&folder).unwrap();
    clips.retain(|clip| clip.text.is_some() && (clip.file.starts_with("notes/") || clip.file.starts_with("edge/")));
    let measured = heard(clips);
    assert_within(&measured, [(Fast, 6.5, 10.5), (Balanced, 6.0, 10.0), (Accurate, 5.5, 9.5)]);
    for of in &measured.profiles {
        let all = &of.rows[0];
        assert_eq!((all.untold, all.other_language), (0, 0), "{:?}", of.profile);
    }
}

#[test]
fn the_evaluation_folders_notes_are_heard_as_well_as_ever_by_every_profile() {
    let Some(folder) = std::env::var_os("SPRACHPOST_EVAL_DIR") else {
        eprintln!("\n!!! SKIPPED: words heard wrong: SPRACHPOST_EVAL_DIR names no folder of labelled clips\n");
        return;
    };
    let mut clips = clips::read(Path::new(&folder)).unwrap();
    // As WhatsApp sends them: customers' notes with and without noise, people, other languages.
    clips.retain(|clip| clip.text.is_some() && clip.file.ends_with("_wa.ogg"));
    let measured = heard(clips);
    assert_within(&measured, [(Fast, 20.0, 24.0), (Balanced, 19.0, 23.0), (Accurate, 18.6, 22.6)]);
    assert!(of(&measured, Balanced).rows[0].dropped == 0, "nobody who speaks is taken for nobody");
}
