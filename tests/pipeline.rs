//! The main job on real audio with the real model: every container, every kind of bad file.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use sprachpost::{
    asr::{AsrError, pool::Pool, scripted::ScriptedTranscriber},
    bench::wer,
    event::{
        Processed, Reason,
        envelope::Received,
        processed::{OutcomeKind, Reply},
    },
    note::AudioSource,
    outcome::{Settlement, Stage},
    pipeline::{self, Stages},
    report::Attempt,
    retry::RetryPolicy,
};

use crate::support::{
    clips::{self, Clip},
    runtime,
    stages::{self, note_of, process},
};

/// Of all words in the repository's clips: synthetic voices, most of them thin, some in noise.
const WORD_ERROR_RATE_MAX: f64 = 0.20;

fn process_all(clips: Vec<Clip>) -> Vec<(Clip, Processed)> {
    let stages = stages::stages();
    runtime().block_on(async {
        stream::iter(clips)
            .map(|clip| async {
                let processed = process(note_of(&clip.path), &stages).await;
                (clip, processed)
            })
            .buffered(stages.pool.slots())
            .collect()
            .await
    })
}

/// Everything that the manifest says about a clip, all mistakes at once.
fn mistakes(clip: &Clip, processed: &Processed) -> Vec<String> {
    let mut mistakes = vec![];
    let mut compare = |what: &str, expected: Option<&str>, found: Option<&str>| {
        if expected.is_some() && expected != found {
            mistakes.push(format!("{}: {what} is {found:?}, not {expected:?}", clip.file));
        }
    };
    let audio = processed.audio.as_ref();
    compare("outcome", clip.outcome.as_deref(), Some(processed.outcome.as_str()));
    compare("reason", clip.reason.as_deref(), processed.reason.map(Reason::as_str));
    if let Some(audio) = audio {
        compare("container", clip.container.as_deref(), Some(&audio.container));
        compare("codec", clip.codec.as_deref(), Some(&audio.codec));
        let partial = clip.partial.map(|p| p.to_string());
        compare("partial", partial.as_deref(), Some(&audio.partial.to_string()));
    }
    if let Some(transcript) = &processed.transcript {
        compare("language", clip.language.as_deref(), Some(&transcript.language));
    }
    mistakes
}

#[test]
fn every_container_is_heard_and_every_bad_file_ends_in_its_own_event() {
    let results = process_all(clips::own());
    let mistakes: Vec<String> = results.iter().flat_map(|(clip, processed)| mistakes(clip, processed)).collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));

    let (mut errors, mut words) = (0, 0);
    for (clip, processed) in &results {
        if let (Some(text), Some(transcript)) = (&clip.text, &processed.transcript) {
            let counted = wer::count(transcript.text.expose(), text, clip.text_written.as_deref().unwrap_or(text));
            eprintln!("{:4.0} %  {}", 100.0 * counted.errors as f64 / counted.words as f64, clip.file);
            (errors, words) = (errors + counted.errors, words + counted.words);
        }
    }
    let rate = errors as f64 / f64::from(u32::try_from(words).unwrap());
    eprintln!("word error rate {:.1} % ({errors} of {words} words)", 100.0 * rate);
    assert!(words > 500 && rate <= WORD_ERROR_RATE_MAX, "word error rate {rate:.3} over {words} words");
}

#[test]
fn times_within_a_transcript_are_ordered_and_within_the_audio() {
    let clip = clips::own().into_iter().find(|c| c.file.ends_with("de-outage.ogg")).unwrap();
    let results = process_all(vec![clip]);
    let processed = &results[0].1;
    let (audio, transcript) = (processed.audio.as_ref().unwrap(), processed.transcript.as_ref().unwrap());
    assert!(!transcript.segments.is_empty());
    // Resampling may end some milliseconds after the original does.
    let end_s = audio.duration_s + 0.05;
    for segment in &transcript.segments {
        assert!(segment.start_s <= segment.end_s && segment.end_s <= end_s, "{segment:?}");
        assert!((0.0..=1.0).contains(&segment.confidence));
        assert!(!segment.words.is_empty(), "words carry times, so that a note can be heard again from any of them");
        assert!(segment.words.iter().all(|w| w.start_s <= w.end_s && w.end_s <= end_s), "{segment:?}");
    }
    assert!(processed.timings_ms.decode.is_some() && processed.timings_ms.transcribe.is_some());
}

#[test]
fn no_note_conditions_the_next() {
    let find = |name: &str| clips::own().into_iter().find(|c| c.file.ends_with(name)).unwrap();
    let alone = process_all(vec![find("de-invoice-question.ogg")]);
    let after_others = process_all(vec![
        find("en-outage.ogg"),
        find("de-complaint.ogg"),
        find("en-outage.ogg"),
        find("de-invoice-question.ogg"),
    ]);
    assert_eq!(alone[0].1.transcript, after_others[3].1.transcript);
}

#[test]
fn the_evaluation_clips_end_as_they_should() {
    let Some(clips) = clips::evaluation("pipeline on the evaluation clips") else { return };
    // The long ones are for benchmarks.
    let clips = clips.into_iter().filter(|c| !c.file.contains("l_20min")).collect();
    let results = process_all(clips);
    let (mut errors, mut words) = (0, 0);
    for (clip, processed) in &results {
        let name = clip.file.rsplit('/').next().unwrap();
        let heard = processed.transcript.as_ref();
        match name.as_bytes()[0] {
            // Bait for invented text.
            b'x' => assert!(heard.is_none(), "{name}: {:?}", processed.outcome),
            b'd' | b'e' if clip.variant.as_deref() == Some("clean") && processed.outcome != OutcomeKind::Rejected => {
                let text = clip.text.as_deref().unwrap();
                let written = clip.text_written.as_deref().unwrap_or(text);
                let counted = wer::count(heard.map_or("", |t| t.text.expose()), text, written);
                (errors, words) = (errors + counted.errors, words + counted.words);
            }
            _ => {}
        }
    }
    let rate = errors as f64 / f64::from(u32::try_from(words).unwrap());
    eprintln!("evaluation clips: word error rate {:.1} % of {words} words (clean customer notes)", 100.0 * rate);
    assert!(rate <= WORD_ERROR_RATE_MAX, "word error rate {rate:.3}");
}

/// The real stages with an engine that does what the test says.
fn scripted(engine: impl Fn() -> ScriptedTranscriber + Send + Sync + 'static, retry: RetryPolicy) -> Arc<Stages> {
    let mut config = stages::config();
    config.worker.retry = retry;
    let pool = Pool::start(1, move || Ok(Box::new(engine()))).unwrap();
    sprachpost::app::stages_on(&config, pool).unwrap()
}

fn an_outage() -> Received {
    let clip = clips::own().into_iter().find(|c| c.file.ends_with("de-outage.ogg")).unwrap();
    Received { note: note_of(&clip.path), traceparent: Some("00-a-b-01".to_owned()) }
}

#[test]
fn a_broken_recogniser_means_another_attempt_and_in_the_end_a_dead_letter_and_an_event() {
    let policy = RetryPolicy { attempts_max: 2, ..RetryPolicy::default() };
    let stages = scripted(
        || ScriptedTranscriber::default().then(|_, _| Err(AsrError::Engine("out of order".to_owned()))),
        policy,
    );
    let received = an_outage();
    let attempt = |number| {
        let (attempt, learnt) = (Attempt { number, ..Attempt::only() }, stages.learning.in_force());
        runtime().block_on(pipeline::process(&received, attempt, &learnt, &stages))
    };
    let first = attempt(1);
    assert!(first.effects.is_empty());
    assert!(matches!(first.settlement, Settlement::Retry { reason: Reason::TranscriberFailed, .. }));

    let last = attempt(2);
    let Settlement::DeadLetter(cause) = &last.settlement else { panic!("{:?}", last.settlement) };
    assert_eq!((cause.reason, cause.stage), (Reason::TranscriberFailed, Stage::Transcribe));
    let sprachpost::event::Event::Processed { data, traceparent } = &last.effects[0] else { panic!() };
    assert_eq!((data.outcome, data.attempt), (OutcomeKind::Failed, 2));
    assert_eq!(traceparent, &received.traceparent);
    assert!(data.audio.is_some(), "what was found out before stays in the event");
}

#[test]
fn a_panic_in_the_recogniser_is_an_attempt_and_not_the_end_of_the_worker() {
    let policy = RetryPolicy { attempts_max: 3, ..RetryPolicy::default() };
    let stages = scripted(|| ScriptedTranscriber::default().then(|_, _| panic!("on purpose")), policy);
    for number in [1, 2] {
        let (attempt, learnt) = (Attempt { number, ..Attempt::only() }, stages.learning.in_force());
        let outcome = runtime().block_on(pipeline::process(&an_outage(), attempt, &learnt, &stages));
        assert!(matches!(outcome.settlement, Settlement::Retry { reason: Reason::TranscriberFailed, .. }));
    }
}

#[test]
fn a_recogniser_that_hears_nothing_certain_is_answered_with_silence() {
    let stages = scripted(
        || {
            ScriptedTranscriber::default().then(|pcm, hints| {
                let mut sure = ScriptedTranscriber::default().then_say("de", "Krumpel wasser.");
                let mut recognised = sprachpost::asr::Transcriber::transcribe(&mut sure, pcm, hints)?;
                recognised.mean_log_probability = -1.5;
                Ok(recognised)
            })
        },
        RetryPolicy::default(),
    );
    let processed = runtime().block_on(process(an_outage().note, &stages));
    assert_eq!((processed.outcome, processed.reason), (OutcomeKind::Unintelligible, Some(Reason::LowConfidence)));
    assert!(processed.transcript.is_none(), "what cannot be trusted is not published");
    assert!(matches!(processed.reply, Some(Reply::Abstention { .. })));
}

#[test]
fn unreachable_and_forbidden_addresses_differ() {
    // A port that nobody listens on, on a host that the operator allows.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = stages::config();
    let host = vec!["127.0.0.1".to_owned()];
    (config.fetch.hosts, config.fetch.private_hosts, config.fetch.allow_http_hosts) =
        (host.clone(), host.clone(), host);
    let pool = Pool::start(1, || Ok(Box::new(ScriptedTranscriber::default()))).unwrap();
    let stages = sprachpost::app::stages_on(&config, pool).unwrap();
    let at = |url: &str| {
        let mut note = an_outage().note;
        note.audio = AudioSource::Url { url: url.parse().unwrap() };
        runtime().block_on(process(note, &stages))
    };

    let forbidden = at("https://not-on-the-list.example/voice.ogg");
    assert_eq!((forbidden.outcome, forbidden.reason), (OutcomeKind::Rejected, Some(Reason::SourceForbidden)));
    assert!(!forbidden.detail.unwrap().contains("not-on-the-list"), "no address in an event");

    let unreachable = at(&format!("http://{nobody}/voice.ogg"));
    assert_eq!((unreachable.outcome, unreachable.reason), (OutcomeKind::Failed, Some(Reason::AudioUnreachable)));
}
