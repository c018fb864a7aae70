//! Owns what the notes of a bench are: how they sound, and what is heard in them without listening.
//!
//! The audio is a real file, a fiftieth of a second long and of the rate that recognisers take, so that fetching and
//! decoding do run and cost next to nothing. The recogniser answers at once with one sentence.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;

use crate::{
    asr::{AsrError, Transcriber, pool::Pool, scripted::ScriptedTranscriber},
    audio::{SAMPLE_RATE_HZ, speech},
    broker::Message,
    event::envelope::{PROCESSED_V1, Received, received_message},
    note::{AudioSource, Channel, NoteId, Tenant, VoiceNote},
    private::Private,
};

/// What is heard in every note: as much as can be said in the second that a note is taken to last at least.
const SENTENCE: &str = "Mein Internet geht nicht mehr.";
/// Samples of one byte each: 20 ms.
const SAMPLES: u32 = SAMPLE_RATE_HZ / 50;
/// The tenant of all notes of benches.
const TENANT: &str = "bench";

/// Slots that answer at once, or fail in a way that may pass.
pub(super) fn pool(slots: usize, failures: &Arc<Failures>) -> Result<Pool, AsrError> {
    let failures = Arc::clone(failures);
    Pool::start(slots, move || {
        let failures = Arc::clone(&failures);
        let engine = ScriptedTranscriber::always(move |pcm| {
            if failures.is_next() {
                return Err(AsrError::Engine("a failure of the bench's script".to_owned()));
            }
            Ok(ScriptedTranscriber::confident(pcm, "de", Private::new(SENTENCE)))
        });
        Ok(Box::new(engine) as Box<dyn Transcriber>)
    })
}

/// Which recognitions fail.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// One in so many; 0: none.
    every: u64,
    recognitions: AtomicU64,
}

impl Failures {
    pub(super) fn none() -> Self {
        Self::default()
    }

    pub(super) fn one_in(every: u64) -> Self {
        Self { every, ..Self::default() }
    }

    fn is_next(&self) -> bool {
        let number = self.recognitions.fetch_add(1, Ordering::Relaxed) + 1;
        self.every > 0 && number.is_multiple_of(self.every)
    }

    /// How many there were so far.
    pub(super) fn made(&self) -> u64 {
        self.recognitions.load(Ordering::Relaxed).checked_div(self.every).unwrap_or(0)
    }
}

/// Lets every sound pass as speech: the notes of a bench hold none.
pub(super) fn speech() -> speech::Config {
    speech::Config { silence_dbfs: f32::NEG_INFINITY, score_min: 0.0, speech_s_min: 0.0, ..speech::Config::default() }
}

/// One note of a bench, as a producer sends it.
#[derive(Debug, Clone)]
pub(super) struct Script {
    tenant: Tenant,
    run: String,
    sound: String,
}

/// What is sent, and the id of the event that answers it.
#[derive(Debug)]
pub(super) struct Sent {
    pub message: Message,
    pub event_id: String,
}

impl Script {
    /// Notes whose ids differ from those of every other run.
    pub(super) fn new() -> Self {
        Self {
            tenant: TENANT.parse().expect("a name of lower-case letters"),
            run: uuid::Uuid::new_v4().to_string(),
            sound: BASE64_STANDARD.encode(silence()),
        }
    }

    /// The note with this number.
    pub(super) fn note(&self, number: u64) -> Sent {
        self.sent(number, self.sound.clone())
    }

    /// One whose audio nobody can decode.
    pub(super) fn broken(&self, number: u64) -> Sent {
        self.sent(number, BASE64_STANDARD.encode("no audio"))
    }

    /// A message that is no note.
    pub(super) fn no_note(&self, number: u64) -> Sent {
        let mut sent = self.broken(number);
        sent.message.body = format!("no note {}-{number}", self.run).into_bytes();
        sent.event_id = NoteId::of_unreadable(&sent.message.body).event_id(PROCESSED_V1).to_string();
        sent
    }

    /// One with this audio file.
    pub(super) fn clip(&self, number: u64, audio: &[u8]) -> Sent {
        self.sent(number, BASE64_STANDARD.encode(audio))
    }

    fn sent(&self, number: u64, data: String) -> Sent {
        let (audio, message_id) = (AudioSource::Inline { data }, format!("{}-{number}", self.run));
        let mut note = VoiceNote::new(self.tenant.clone(), Channel::upload(), message_id, audio);
        note.sent_at = Some(Timestamp::now());
        let event_id = note.id().event_id(PROCESSED_V1).to_string();
        let message = received_message(&Received { note, traceparent: None }, Timestamp::now());
        Sent { message, event_id }
    }
}

/// A WAV file of unsigned bytes: a header of 44 bytes, then the samples.
fn silence() -> Vec<u8> {
    const PCM: u16 = 1;
    const SILENCE: u8 = 128;
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + SAMPLES).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend(PCM.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(SAMPLE_RATE_HZ.to_le_bytes());
    file.extend(SAMPLE_RATE_HZ.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(8_u16.to_le_bytes());
    file.extend(b"data");
    file.extend(SAMPLES.to_le_bytes());
    file.extend(std::iter::repeat_n(SILENCE, SAMPLES as usize));
    file
}
