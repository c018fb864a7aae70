//! Owns the decoding of one file: the loop from packet to samples, and what its errors mean for each container.

use std::{
    io::ErrorKind,
    panic::{AssertUnwindSafe, catch_unwind},
};

use symphonia::core::{
    audio::Channels,
    codecs::{
        CodecParameters,
        audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions},
    },
    errors::Error as Symphonia,
    formats::{FormatReader, TrackType},
    packet::Packet,
};

use super::{
    Config, DecodeError, intact,
    reader::{self, CODECS, Deadline, Source},
    sink::{Audio, Sink},
    sniff::{self, Container},
};

/// Samples over all channels for which a decoder may reserve memory at the word of a header. FLAC needs half of it.
const PACKET_SAMPLES_MAX: u64 = 1 << 20;

/// Some readers answer the same error for ever on bytes that they cannot pass.
const ERRORS_IN_A_ROW_MAX: u32 = 64;

pub(super) struct Job<'a> {
    pub bytes: &'a [u8],
    pub container: Container,
    pub limits: &'a Config,
    pub deadline: Deadline,
    pub seekable: bool,
}

/// What one file yielded.
pub(super) struct Heard {
    pub container: &'static str,
    pub codec: String,
    pub audio: Audio,
    pub damaged: bool,
}

impl Job<'_> {
    /// Third-party decoders read hostile bytes: a panic there is this note's fault and must not take the worker along.
    /// Nothing outlives the unwinding: all that the closure can leave half done is dropped with it.
    pub(super) fn run(&self) -> Result<Heard, DecodeError> {
        catch_unwind(AssertUnwindSafe(|| self.decode()))
            .unwrap_or_else(|_| Err(DecodeError::corrupt("its decoder broke off")))
    }

    fn decode(&self) -> Result<Heard, DecodeError> {
        let source = Source::new(self.bytes, self.deadline, self.seekable);
        let reader = reader::open(self.container, source).map_err(|error| self.cannot_open(&error))?;
        let container = self.name(&*reader);
        let mut listener = Listener::new(self, reader)?;
        let codec = listener.voice.decoder.codec_info().short_name.to_owned();
        while let Some(packet) = listener.next_packet()? {
            listener.hear(&packet)?;
        }
        let Listener { sink, frames_promised, mut damaged, .. } = listener;
        let audio = sink.finish()?;
        if audio.pcm.0.is_empty() {
            let lost = damaged && self.container != Container::Ogg;
            return Err(if lost { DecodeError::corrupt("none of it can be decoded") } else { DecodeError::Empty });
        }
        damaged |= self.container.counts_frames() && audio.frames < frames_promised;
        Ok(Heard { container, codec, audio, damaged })
    }

    fn name(&self, reader: &dyn FormatReader) -> &'static str {
        match (self.container, reader.format_info().short_name) {
            (Container::Mpeg, "aac") => "adts",
            (Container::Mpeg, name) => name,
            _ => self.container.name(),
        }
    }

    fn cannot_open(&self, error: &Symphonia) -> DecodeError {
        if let Err(late) = self.deadline.check() {
            return late;
        }
        match (error, self.container) {
            // The reader looks for the first audio; where only headers are, there is none.
            (Symphonia::IoError(_), Container::Ogg) if intact::is_whole_ogg_pages(self.bytes) => DecodeError::Empty,
            (Symphonia::Unsupported(_), Container::Mpeg) => {
                DecodeError::UnsupportedContainer { found: "something unknown" }
            }
            (Symphonia::Unsupported(_), _) => {
                self.unsupported_codec().unwrap_or_else(|| DecodeError::corrupt(error.to_string()))
            }
            _ => DecodeError::corrupt(error.to_string()),
        }
    }

    /// The first audio track that can be decoded; a video note has a picture track beside it.
    fn voice(&self, reader: &dyn FormatReader) -> Result<Voice, DecodeError> {
        let mut refusal = None;
        for track in reader.tracks() {
            let Some(CodecParameters::Audio(parameters)) = &track.codec_params else { continue };
            if packet_samples(parameters) > PACKET_SAMPLES_MAX {
                refusal = refusal.or_else(|| Some(DecodeError::corrupt("its packets would be larger than any are")));
                continue;
            }
            match CODECS.make_audio_decoder(parameters, &AudioDecoderOptions::default()) {
                Ok(decoder) => return Ok(Voice { track: track.id, frames: track.num_frames.unwrap_or(0), decoder }),
                Err(Symphonia::Unsupported(_)) => refusal = refusal.or_else(|| self.unsupported_codec()),
                Err(error) => refusal = refusal.or_else(|| Some(DecodeError::corrupt(error.to_string()))),
            }
        }
        Err(refusal.or_else(|| self.unsupported_codec()).unwrap_or_else(|| self.no_voice(reader)))
    }

    fn unsupported_codec(&self) -> Option<DecodeError> {
        let codec = sniff::codec(self.container, self.bytes)?;
        Some(DecodeError::UnsupportedCodec { container: self.container.name(), codec })
    }

    fn no_voice(&self, reader: &dyn FormatReader) -> DecodeError {
        let codec = match reader.first_track(TrackType::Audio) {
            Some(_) => "a codec without a name known here",
            None => "no audio track",
        };
        DecodeError::UnsupportedCodec { container: self.container.name(), codec: codec.to_owned() }
    }
}

/// What a decoder reserves memory for when it is made: the header's word, which may be a lie.
fn packet_samples(parameters: &AudioCodecParameters) -> u64 {
    let channels = parameters.channels.as_ref().map_or(1, Channels::count) as u64;
    parameters.max_frames_per_packet.unwrap_or(1).saturating_mul(channels)
}

/// The track that is listened to, and its decoder.
struct Voice {
    track: u32,
    /// Frames that the container promises; 0 where it does not.
    frames: u64,
    decoder: Box<dyn AudioDecoder>,
}

/// One pass through the file.
struct Listener<'a> {
    job: &'a Job<'a>,
    reader: Box<dyn FormatReader + 'a>,
    voice: Voice,
    sink: Sink<'a>,
    frames_promised: u64,
    damaged: bool,
    errors_in_a_row: u32,
}

impl<'a> Listener<'a> {
    fn new(job: &'a Job<'a>, reader: Box<dyn FormatReader + 'a>) -> Result<Self, DecodeError> {
        let voice = job.voice(&*reader)?;
        let (sink, frames_promised) = (Sink::new(job.limits), voice.frames);
        Ok(Self { job, reader, voice, sink, frames_promised, damaged: false, errors_in_a_row: 0 })
    }

    /// The next packet of any track, or `None` where the audio ends, as it should or not.
    fn next_packet(&mut self) -> Result<Option<Packet>, DecodeError> {
        while self.errors_in_a_row < ERRORS_IN_A_ROW_MAX {
            self.job.deadline.check()?;
            match self.reader.next_packet() {
                Ok(packet) => return Ok(packet),
                Err(Symphonia::ResetRequired) => {
                    self.errors_in_a_row += 1;
                    if !self.goes_on_with_next_stream()? {
                        break;
                    }
                }
                Err(Symphonia::IoError(error)) => {
                    self.job.deadline.check()?;
                    self.damaged |= error.kind() != ErrorKind::UnexpectedEof || self.job.container.tells_its_end();
                    return Ok(None);
                }
                Err(_) => {
                    self.damaged = true;
                    self.errors_in_a_row += 1;
                }
            }
        }
        self.damaged = true;
        Ok(None)
    }

    /// Chained streams each have headers of their own, and may have another codec.
    fn goes_on_with_next_stream(&mut self) -> Result<bool, DecodeError> {
        match self.job.voice(&*self.reader) {
            Ok(voice) => {
                self.frames_promised = self.frames_promised.saturating_add(voice.frames);
                self.voice = voice;
                Ok(true)
            }
            Err(error) if self.sink.is_empty() => Err(error),
            Err(_) => Ok(false),
        }
    }

    fn hear(&mut self, packet: &Packet) -> Result<(), DecodeError> {
        if packet.track_id != self.voice.track {
            return Ok(());
        }
        if let Ok(samples) = self.voice.decoder.decode(packet) {
            self.errors_in_a_row = 0;
            self.sink.take(&samples)
        } else {
            self.damaged = true;
            self.errors_in_a_row += 1;
            Ok(())
        }
    }
}

impl Container {
    fn name(self) -> &'static str {
        match self {
            Self::Ogg => "ogg",
            Self::Wav => "wav",
            Self::Flac => "flac",
            Self::Caf => "caf",
            Self::Mp4 => "mp4",
            Self::Webm => "webm",
            Self::Matroska => "matroska",
            Self::Mpeg => "mpeg",
        }
    }

    /// Whether running into the end of the file means that something is missing. A live WebM or a streamed WAV always
    /// ends like that; what their sizes promise is judged by [`intact`].
    fn tells_its_end(self) -> bool {
        match self {
            Self::Ogg | Self::Flac | Self::Mp4 | Self::Mpeg => true,
            Self::Wav | Self::Caf | Self::Webm | Self::Matroska => false,
        }
    }

    /// Whether the number of frames in the header is exact, so that fewer mean a cut. Elsewhere it is an estimate, or
    /// known to be wrong at times.
    fn counts_frames(self) -> bool {
        self == Self::Flac
    }
}
