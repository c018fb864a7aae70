//! Owns notes that a script answers: each is a stretch of real speech, and its length says what is to happen to it.
//!
//! The length is all that a recogniser learns about a note, so it is what the script goes by, in whatever process.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use sprachpost::{
    asr::{AsrError, Hints, Recognised, Transcriber, scripted::ScriptedTranscriber},
    audio::{Pcm, SAMPLE_RATE_HZ},
    event::envelope::Received,
    note::{AudioSource, VoiceNote},
};

/// What happens to a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// It is answered with this line of [`LINES`].
    Says(usize),
    /// It takes the process down.
    Aborts,
    /// It is worked on until it is abandoned.
    Overruns,
    /// Its transcript alone is larger than what the broker takes.
    SaysTooMuch,
}

pub const LINES: [&str; 6] = [
    "Mein Internet ist ausgefallen.",
    "Wo bleibt mein Paket?",
    "Ich habe eine Frage zur Rechnung.",
    "Bitte rufen Sie mich nicht an.",
    "Das ist eine Frechheit, ich kündige!",
    "Ich möchte einen Termin vereinbaren.",
];

/// Of an unmistakable length each.
const ALL: [Voice; LINES.len() + 3] = [
    Voice::Says(0),
    Voice::Says(1),
    Voice::Says(2),
    Voice::Says(3),
    Voice::Says(4),
    Voice::Says(5),
    Voice::Aborts,
    Voice::Overruns,
    Voice::SaysTooMuch,
];
const SHORTEST_MS: u32 = 1200;
const STEP_MS: u32 = 100;

/// The files, in a folder of their own.
pub struct Voices {
    folder: tempfile::TempDir,
}

impl Voices {
    pub fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clips/formats/wav-pcm16-8k.wav");
        let speech = Wav::read(&clip);
        for (index, voice) in ALL.iter().enumerate() {
            let length_ms = SHORTEST_MS + STEP_MS * index as u32;
            std::fs::write(path(folder.path(), *voice), speech.first(length_ms).bytes()).unwrap();
        }
        Self { folder }
    }

    pub fn path(&self, voice: Voice) -> PathBuf {
        path(self.folder.path(), voice)
    }

    pub fn note(&self, id: &str, voice: Voice) -> Received {
        let audio = AudioSource::File { path: self.path(voice).to_string_lossy().into_owned() };
        let (tenant, channel) = ("chaos".parse().unwrap(), "test".parse().unwrap());
        Received { note: VoiceNote::new(tenant, channel, id.to_owned(), audio), traceparent: None }
    }
}

fn path(folder: &Path, voice: Voice) -> PathBuf {
    folder.join(format!("{voice:?}.wav"))
}

/// Plain 16-bit sound, one channel.
pub struct Wav {
    header: Vec<u8>,
    samples: Vec<u8>,
}

const HEADER_BYTES: usize = 44;

impl Wav {
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        assert_eq!((&bytes[..4], &bytes[36..40]), (b"RIFF".as_slice(), b"data".as_slice()), "a plain WAV file");
        Self { header: bytes[..HEADER_BYTES].to_vec(), samples: bytes[HEADER_BYTES..].to_vec() }
    }

    /// What the decoder made of a clip.
    pub fn of(pcm: &Pcm) -> Self {
        let mut header = b"RIFF\0\0\0\0WAVEfmt ".to_vec();
        let (format, channels, bits) = (1_u16, 1_u16, 16_u16);
        header.extend(16_u32.to_le_bytes());
        header.extend([format, channels].map(u16::to_le_bytes).concat());
        header.extend([SAMPLE_RATE_HZ, SAMPLE_RATE_HZ * 2].map(u32::to_le_bytes).concat());
        header.extend([channels * bits / 8, bits].map(u16::to_le_bytes).concat());
        header.extend(b"data\0\0\0\0");
        let samples = pcm.0.iter().flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes()).collect();
        Self { header, samples }
    }

    fn bytes_per_s(&self) -> u32 {
        u32::from_le_bytes(self.header[28..32].try_into().unwrap())
    }

    fn first(&self, length_ms: u32) -> Self {
        let count = (self.bytes_per_s() * length_ms / 1000 / 2 * 2) as usize;
        Self { header: self.header.clone(), samples: self.samples[..count].to_vec() }
    }

    pub fn repeated(&self, times: usize) -> Self {
        Self { header: self.header.clone(), samples: self.samples.repeat(times) }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut header = self.header.clone();
        let samples = self.samples.len() as u32;
        header[4..8].copy_from_slice(&(samples + HEADER_BYTES as u32 - 8).to_le_bytes());
        header[40..44].copy_from_slice(&samples.to_le_bytes());
        [header, self.samples.clone()].concat()
    }
}

/// Does what the note's length says, in so much time.
pub struct Reader {
    pub work: Duration,
}

impl Transcriber for Reader {
    fn transcribe(&mut self, pcm: &Pcm, hints: &Hints) -> Result<Recognised, AsrError> {
        let say = |text: &str| ScriptedTranscriber::default().then_say("de", text).transcribe(pcm, hints);
        match voice_of(pcm) {
            Voice::Says(line) => {
                thread::sleep(self.work);
                say(LINES[line])
            }
            Voice::Aborts => {
                // Long enough for its neighbours to be done: that they do not die with it is another matter.
                thread::sleep(Duration::from_millis(300));
                std::process::abort()
            }
            Voice::Overruns => {
                while !hints.limit.is_over() {
                    thread::sleep(Duration::from_millis(10));
                }
                Err(hints.limit.error())
            }
            Voice::SaysTooMuch => say(&"Und noch etwas. ".repeat(100_000)),
        }
    }
}

fn voice_of(pcm: &Pcm) -> Voice {
    let index = ((pcm.duration_s() * 1000.0 - f64::from(SHORTEST_MS)) / f64::from(STEP_MS)).round();
    ALL[index as usize]
}
